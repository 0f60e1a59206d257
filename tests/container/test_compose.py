"""compose.yaml, each profile as it stands, with stand-ins for the images that cannot be pulled here."""

import json
import os
import re
import secrets
import shlex
import shutil
import socket
import statistics
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from devicesvc.sample import DEVICES
from tests.conftest import BIN, ROOT, find_free_port
from tests.container.conftest import PROXIES, is_up, run, wait_until
from tests.hard_data import content

STAND_INS = Path(__file__).parent / "stand_ins"
SLOW = 300  # clients that send headers a byte at a time
PATIENCE = 5  # seconds that an ordinary client waits


@pytest.fixture(scope="session")
def compose_command():
    """`docker compose`, or its predecessor of Debian."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "version"], capture_output=True, check=False).returncode
        ):
            return command
    pytest.fail("There is an engine, but no docker compose.")


@pytest.fixture(scope="session")
def images(image, tmp_path_factory):  # noqa: ARG001 - it needs the engine, which the image needs
    """The images that compose.yaml names: pulled, or else stand-ins."""
    for name in sorted(set(re.findall(r"image: ((?:nginx|postgres):\S+)", (ROOT / "compose.yaml").read_text()))):
        if run("docker", "images", "-q", name) or not run_quietly("docker", "pull", name):
            continue
        context = shutil.copytree(STAND_INS / name.partition(":")[0], tmp_path_factory.mktemp("stand-in") / "context")
        if name.startswith("nginx"):
            run("apt-get", "download", "nginx", cwd=context)
            run("dpkg-deb", "--extract", next(context.glob("*.deb")), context / "package")
        run("docker", "build", "--network=host", *PROXIES, "--tag", name, context)


def run_quietly(*command):
    return subprocess.run(command, capture_output=True, check=False).returncode


class Project:
    """A folder with what compose.yaml needs on a server, and the services that run from it."""

    def __init__(self, command, folder, image, profile):
        shutil.copytree(ROOT / "examples", folder / "examples")
        for name in ("compose.yaml", ".env"):
            shutil.copy(ROOT / name, folder / name)
        self.folder = folder
        self.url = f"http://127.0.0.1:{(port := find_free_port())}"
        self._env = os.environ | {"PORT": str(port), "DEVICESVC_IMAGE": image}
        self._env["POSTGRES_PASSWORD"] = secrets.token_hex(24)
        self._command = [*command, "--project-name", f"devicesvc-test-{secrets.token_hex(4)}"]
        self._command += ["--profile", profile] if profile else []

    def do(self, *arguments):
        return run(*self._command, *arguments, cwd=self.folder, env=self._env)

    def up(self):
        self.do("up", "-d", "--no-build")
        wait_until(lambda: is_up(self.url))
        return self

    def containers(self, service):
        return self.do("ps", "-q", service).split()

    def address(self, container):
        """Where a container answers, from this machine."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return f"http://{run('docker', 'inspect', '-f', form, container)}:8000"

    def down(self):
        self.do("down", "--volumes", "--timeout", "10")


@pytest.fixture(scope="module")
def up(image, compose_command, images, tmp_path_factory):  # noqa: ARG001 - compose.yaml names them
    """Start the services of a profile."""
    projects = []

    def up(profile=None):
        projects.append(Project(compose_command, tmp_path_factory.mktemp("project"), image, profile))
        return projects[-1].up()

    yield up
    for project in projects:
        project.down()


def tour(url):
    ended = subprocess.run([BIN / "devicesvc", "tour", url], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()[-1]


def test_docker_compose_up_is_the_csv_service(up):
    project = up()
    assert (project.folder / "data" / "device.csv").read_bytes() == content(DEVICES)
    assert tour(project.url).startswith("ok")
    (container,) = project.containers("devicesvc")
    project.do("stop")
    assert run("docker", "inspect", "-f", "{{.State.ExitCode}}", container) == "0"


def backups(project):
    return sorted((project.folder / "data/backups").glob("devicesvc-*Z"))


def test_a_backup_of_the_file_is_made_by_itself_and_restored(up):
    project = up()
    wait_until(lambda: backups(project))
    assert (backups(project)[0] / "device.csv").read_bytes() == content(DEVICES)
    made = float(re.findall("^devicesvc_last_backup_timestamp_seconds (.*)", metrics(project.url), re.MULTILINE)[0])
    assert abs(made - time.time()) < 600
    requests.delete(f"{project.url}/v1/devices", json={"ids": [DEVICES[0].id]}).raise_for_status()
    project.do("run", "--rm", "backup", "devicesvc", "restore", f"backups/{backups(project)[0].name}", "--yes")
    assert requests.get(f"{project.url}/v1/devices").json()["total"] == len(DEVICES)


def metrics(url):
    return requests.get(f"{url}/metrics").text


def test_the_backup_ends_with_the_others_and_each_log_has_a_limit(up):
    project = up()
    (container,) = project.containers("backup")
    begin = time.monotonic()
    run("docker", "stop", container)
    assert time.monotonic() - begin < 8  # it is not killed after ten seconds
    for each in project.do("ps", "-q").split():
        options = json.loads(run("docker", "inspect", "-f", "{{json .HostConfig.LogConfig}}", each))
        assert options == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}


@pytest.fixture(scope="module")
def scale(up):
    return up("scale")


@contextmanager
def slow_clients(host, port):
    """Clients whose headers come a byte at a time, and whose connections are opened again if they are cut."""
    done = threading.Event()

    def connected():
        client = socket.create_connection((host, port), timeout=PATIENCE)
        client.sendall(b"GET /v1/devices HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        return client

    def send(clients):
        while not done.wait(0.5):
            for index, client in enumerate(clients):
                try:
                    client.sendall(b"x")
                except OSError:
                    client.close()
                    clients[index] = connected()

    clients = [connected() for _ in range(SLOW)]
    thread = threading.Thread(target=send, args=[clients])
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for client in clients:
            client.close()


def seconds(url, count=100):
    """How long ordinary requests take, each on a connection of its own."""
    taken = []
    for _ in range(count):
        begin = time.perf_counter()
        requests.get(f"{url}/v1/devices/4322159209", timeout=PATIENCE).raise_for_status()
        taken.append(time.perf_counter() - begin)
    return taken


def requests_a_second(url):
    output = run("wrk", "-t1", "-c16", "-d3s", f"{url}/v1/devices/4322159209")
    assert "Non-2xx" not in output
    (rate,) = re.findall(r"Requests/sec: +([\d.]+)", output)
    return float(rate)


@pytest.mark.usefixtures("images")
def test_a_database_that_is_filled_before_its_services_start_shows_no_other_devices(compose_command, image, tmp_path):
    """The steps of docs/deploy-aliyun.md."""
    text = (ROOT / "docs/deploy-aliyun.md").read_text("utf-8")
    (fill,) = re.findall("^docker compose (run .*)\ndocker compose up -d$", text, re.MULTILINE)
    project = Project(compose_command, tmp_path, image, "scale")
    try:
        (project.folder / "data").mkdir()
        (project.folder / "data/device.csv").write_bytes(content(DEVICES[:2]))
        project.do(*shlex.split(fill))
        project.up()
        assert [each["id"] for each in requests.get(f"{project.url}/v1/devices").json()["data"]] == sorted(
            each.id for each in DEVICES[:2]
        )
    finally:
        project.down()


class TestScale:
    def test_it_is_two_services_on_one_postgresql_behind_nginx(self, scale):
        assert len(scale.containers("api")) == 2
        assert tour(scale.url).startswith("ok")
        for number in range(10):
            requests.get(f"{scale.url}/healthz", headers={"X-Request-ID": f"mine-{number}"}).raise_for_status()

        def lines():
            return [run("docker", "logs", each).count("[mine-") for each in scale.containers("api")]

        wait_until(lambda: sum(lines()) == 10)
        assert all(lines())
        assert "[mine-" in run("docker", "logs", *scale.containers("nginx"))

    def test_postgresql_has_the_password_and_no_port_here(self, scale):
        (postgres,) = scale.containers("postgres")
        assert run("docker", "port", postgres) == ""
        connect = "import psycopg; psycopg.connect('host=postgres user=devicesvc', connect_timeout=5)"
        with pytest.raises(AssertionError, match="no password supplied"):
            scale.do("run", "--rm", "upgrade", "python", "-c", connect)

    def test_what_it_keeps_outlives_its_containers(self, scale):
        requests.put(f"{scale.url}/v1/groups/kept", json={"name": "保存"}).raise_for_status()
        scale.do("down")
        scale.up()
        assert requests.get(f"{scale.url}/v1/groups/kept").json()["data"]["name"] == "保存"

    def test_a_replica_that_goes_is_not_missed(self, scale):
        one, _ = scale.containers("api")
        done, answers = threading.Event(), []

        def read():  # nginx may need seconds to find that a replica is gone, and on a busy machine many
            while not done.is_set():
                answers.append(requests.get(f"{scale.url}/v1/devices/4322159209", timeout=60).status_code)

        reader = threading.Thread(target=read)
        reader.start()
        run("docker", "stop", one)
        before = len(answers)
        wait_until(lambda: len(answers) > before + 50)
        run("docker", "start", one)
        wait_until(lambda: is_up(scale.address(one)))
        before = len(answers)
        wait_until(lambda: len(answers) > before + 50)
        done.set()
        reader.join()
        assert set(answers) == {200}

    def test_if_no_replica_is_there_it_says_503_in_the_words_of_the_api(self, scale):
        scale.do("stop", "api")
        answer = requests.get(f"{scale.url}/v1/devices", timeout=30)
        scale.do("start", "api")
        assert (answer.status_code, answer.json()["status"]) == (503, 503)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"] == "1"
        wait_until(lambda: is_up(scale.url))

    def test_a_body_beyond_all_limits_is_refused_in_the_words_of_the_api(self, scale):
        answer = requests.post(f"{scale.url}/v1/devices/import", bytes(65 * 1024 * 1024), timeout=30)
        assert (answer.status_code, answer.json()["status"]) == (413, 413)

    def test_the_metrics_of_one_replica_are_not_given_for_those_of_all(self, scale):
        assert requests.get(f"{scale.url}/metrics").json()["status"] == 404
        assert "devicesvc_items" in requests.get(f"{scale.address(scale.containers('api')[0])}/metrics").text

    def test_clients_that_take_their_time_keep_no_other_waiting(self, scale, figure):
        """Neither at nginx nor at a service without it."""
        direct = scale.address(scale.containers("api")[0])
        for name, url in (("nginx", scale.url), ("a service", direct)):
            host, port = url.removeprefix("http://").split(":")
            before = seconds(url)
            with slow_clients(host, int(port)):
                during = seconds(url)
            ratio, worst = statistics.median(during) / statistics.median(before), max(during)
            figure(
                f"With {SLOW} slow clients at {name} an ordinary request takes {ratio:.2f} times as long (median of"
                f" {len(during)}; at most {worst * 1000:.0f} ms)."
            )

    def test_a_migration_takes_the_csv_registry_along(self, scale):
        (scale.folder / "data" / "device.csv").write_bytes(content(DEVICES[:2]))
        command = 'devicesvc migrate device.csv "$DEVICESVC_STORE" --replace'
        scale.do("run", "--rm", "upgrade", "sh", "-c", command)
        assert requests.get(f"{scale.url}/v1/devices").json()["total"] == 2

    def test_a_backup_of_postgresql_is_made_by_itself_and_restored(self, scale):
        wait_until(lambda: backups(scale))
        group = f"{scale.url}/v1/groups/backed-up"
        requests.put(group, json={"name": "备份"}).raise_for_status()
        before = requests.get(f"{scale.url}/v1/devices").json()
        scale.do("run", "--rm", "backup-scale", "devicesvc", "backup")
        newest = backups(scale)[-1]
        assert "备份" in (newest / "group.csv").read_text("utf-8")
        ids = [each["id"] for each in before["data"]]
        requests.delete(f"{scale.url}/v1/devices", json={"ids": ids}).raise_for_status()
        requests.delete(group).raise_for_status()
        scale.do("run", "--rm", "backup-scale", "devicesvc", "restore", f"backups/{newest.name}", "--yes")
        assert requests.get(f"{scale.url}/v1/devices").json() == before
        assert requests.get(group).json()["data"]["name"] == "备份"

    @pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed: no figures of requests a second")
    def test_how_many_requests_go_through(self, scale, figure):
        direct, through = [], []
        address = scale.address(scale.containers("api")[0])
        for _ in range(5):
            direct.append(requests_a_second(address))
            through.append(requests_a_second(scale.url))
        ratios = [one / other for one, other in zip(through, direct, strict=True)]
        figure(
            f"Requests/s through nginx to two replicas: {statistics.median(through):.0f}; to one directly:"
            f" {statistics.median(direct):.0f}; ratio {statistics.median(ratios):.2f}"
            f" ({min(ratios):.2f} to {max(ratios):.2f})."
        )


@pytest.fixture(scope="module")
def cluster(up):
    tag = ["--network=host", *PROXIES, "--tag", "devicesvc-cluster"]
    if run_quietly("docker", "build", *tag, ROOT / "examples/cluster") and run_quietly(
        "docker", "image", "inspect", "devicesvc-cluster"
    ):
        pytest.skip("examples/cluster cannot be built here: the profile `cluster` is not tested")
    return up("cluster")


class TestCluster:
    def test_it_is_two_services_on_three_postgresqls_of_which_one_leads(self, cluster):
        assert len(cluster.containers("api-on-cluster")) == 2
        assert tour(cluster.url).startswith("ok")
        assert [each["Role"] for each in members(cluster)].count("Leader") == 1

    def test_a_leader_that_is_killed_is_replaced(self, cluster):
        (leader,) = [each["Member"] for each in members(cluster) if each["Role"] == "Leader"]
        run("docker", "kill", *cluster.containers(leader))
        wait_until(lambda: requests.put(f"{cluster.url}/v1/groups/after", json={"name": "n"}, timeout=PATIENCE * 8).ok)
        assert [each["Role"] for each in members(cluster)].count("Leader") == 1
        run("docker", "start", *cluster.containers(leader))
        wait_until(lambda: [each["Role"] for each in members(cluster)].count("Sync Standby") == 2)


def members(cluster):
    """What Patroni says of each node, in the words of the first that answers."""
    for number in range(1, 4):
        ask = ["exec", "-T", f"postgres{number}", "patronictl", "-c", "/etc/patroni.yml", "list", "--format=json"]
        try:
            return json.loads(cluster.do(*ask))
        except AssertionError:  # this one is killed
            continue
    raise AssertionError("No node answers.")
