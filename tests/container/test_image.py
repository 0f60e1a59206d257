"""The image: the lab's command, and all the ways in which people run it."""

import hashlib
import os
import re
import signal
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

import devicesvc
from devicesvc.sample import DEVICES
from tests.conftest import ROOT
from tests.container.conftest import DATA, build, is_up, run, wait_until
from tests.hard_data import ADD, content
from tests.long.test_slow_clients import KINDS, REGISTRY, flood, ordinary

WRITERS = 8
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop=ALL", "--security-opt", "no-new-privileges")


def shell(image, command):
    return run("docker", "run", "--rm", "--entrypoint", "sh", image, "-c", command)


def owner(path):
    return path.stat().st_uid, path.stat().st_gid


@pytest.fixture
def loaded():
    """Let clients add devices until the service is gone, each of which is acknowledged or fails."""
    acknowledged = []

    def write(url):
        while True:
            try:
                answer = requests.post(f"{url}/v1/devices", json=ADD, timeout=30)
            except requests.RequestException:
                return
            if answer.status_code != 201:
                return
            acknowledged.append(answer.json()["data"])

    with ThreadPoolExecutor(WRITERS) as pool:

        def loaded(url):
            writers = [pool.submit(write, url) for _ in range(WRITERS)]
            wait_until(lambda: len(acknowledged) > 50)
            return acknowledged, writers

        yield loaded


class TestBuild:
    def test_it_says_what_it_is(self, image, figure):
        label = "org.opencontainers.image."
        labels = run("docker", "inspect", "-f", "{{json .Config.Labels}}", image)
        assert f'"{label}version":"{devicesvc.__version__}"' in labels
        assert f'"{label}licenses":"MIT"' in labels
        assert run("docker", "inspect", "-f", "{{json .Config.ExposedPorts}}", image) == '{"8000/tcp":{}}'
        size, base = (int(run("docker", "inspect", "-f", "{{.Size}}", each)) for each in (image, "python:3.13-slim"))
        figure(f"Image: {size / 1e6:.0f} MB, of which {(size - base) / 1e6:.0f} MB over its base.")

    def test_it_has_the_pinned_versions_and_no_more(self, image):
        locked = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
        pinned = {line.split(" ")[0] for line in locked if "==" in line and "win32" not in line}
        command = "python -c 'import importlib.metadata as m; print(*{(d.name, d.version) for d in m.distributions()})'"
        found = re.findall(r"\('([^']+)', '([^']+)'\)", shell(image, f"cd /opt/devicesvc && {command}"))
        names = {f"{re.sub('[-_.]+', '-', name).lower()}=={version}" for name, version in found}
        assert names == pinned | {f"devicesvc=={devicesvc.__version__}"}

    def test_nothing_is_left_of_its_making(self, image):
        assert shell(image, "ls -d /build ~/.cache 2>/dev/null; command -v gcc cc make; true") == ""
        assert shell(image, "find / -xdev -name '*.whl' -not -path '*/ensurepip/*'") == ""


class TestTheLabsCommand:
    def test_it_makes_device_csv_in_a_folder_that_docker_makes_for_root(self, start, figure):
        begin = time.monotonic()
        container = start("--restart=always").wait()
        figure(f"Start to first answer: {time.monotonic() - begin:.2f} s.")
        assert (container.data / "device.csv").read_bytes() == content(DEVICES)
        assert owner(container.data) == owner(container.data / "device.csv") == (10001, 10001)
        pids = run("docker", "top", container.name, "-o", "pid,uid").splitlines()[1:]
        assert len(pids) >= 2
        assert {line.split()[1] for line in pids} <= {"10001", "devicesvc"}

    def test_its_log_shows_the_start_the_samples_the_documentation_and_requests(self, start):
        container = start().wait()
        requests.get(f"{container.url}/v1/devices?id=5661391086", headers={"X-Request-ID": "mine"})
        log = wait_until(lambda: (log := container.log()) and "[mine]" in log and log)
        assert "Made /var/lib/exp_pyms_api_data/device.csv with 5 sample devices: 4322159209, 5661391086," in log
        assert "http://localhost:8000/docs and can be tried at http://localhost:8000/docs/swagger" in log
        assert re.search(r'\[mine\] - \S+ "GET /v1/devices\?id=5661391086 HTTP/1.1" 200 ', log)

    def test_it_takes_the_path_that_the_lab_gives(self, start):
        container = start(command=("devicesvc", "serve", f"{DATA}/device.csv")).wait()
        assert (container.data / "device.csv").exists()

    def test_its_processes_have_no_rights_to_spare(self, start):
        container = start().wait()
        status = run("docker", "exec", container.name, "cat", "/proc/1/status")
        found = re.findall(r"^Cap(?:Inh|Prm|Eff|Amb):\t(\w+)$", status, re.MULTILINE)
        assert found == ["0" * 16] * 4

    def test_it_is_healthy(self, start):
        container = start("--health-interval=1s").wait()
        wait_until(lambda: container.state("Health.Status") == "healthy")
        (container.data / "device.csv").write_text("broken\n")
        wait_until(lambda: container.state("Health.FailingStreak"))

    def test_its_memory_at_rest(self, start, figure):
        container = start().wait()
        figure(f"Memory at rest: {run('docker', 'stats', '--no-stream', '--format', '{{.MemUsage}}', container.name)}.")

    @pytest.mark.parametrize("kind", KINDS)
    def test_slow_clients_are_not_noticed(self, start, tmp_path, figure, kind):
        """The lab's command has no proxy in front."""
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "device.csv").write_bytes(REGISTRY)
        service = start().wait()
        before = statistics.median(ordinary(service, 100))
        with flood(service.port, kind) as count:
            during = statistics.median(ordinary(service, 100))
        figure(f"With {count} clients, each {kind}, an ordinary request takes {during / before:.2f} times as long.")
        assert during < 2 * before + 0.005


class TestOtherWaysToRunIt:
    def test_as_another_user(self, start, tmp_path):
        (tmp_path / "data").mkdir()
        os.chown(tmp_path / "data", 1234, 1234)
        container = start("--user", "1234:1234").wait()
        assert owner(container.data / "device.csv") == (1234, 1234)

    def test_without_capabilities(self, start):
        container = start(*HARDENED).wait()
        assert requests.post(f"{container.url}/v1/devices", json=ADD).status_code == 201

    def test_without_capabilities_as_the_user_that_it_becomes(self, start):
        start().wait().remove()
        container = start(*HARDENED, "--user", "10001:10001").wait()
        assert requests.post(f"{container.url}/v1/devices", json=ADD).status_code == 201

    def test_if_it_may_not_write_it_says_so_in_one_sentence(self, start):
        start().wait().remove()
        container = start("--user", "1234:1234")
        wait_until(lambda: not container.state("Running"))
        assert container.state("ExitCode") == 4
        errors = re.findall(r"^Error: .*", container.log(), re.MULTILINE)
        assert errors == [f"Error: {DATA}/device.csv cannot be written: {DATA}/.device.csv.lock: Permission denied."]
        assert "Traceback" not in container.log()

    def test_it_leaves_what_is_not_data_alone(self, start, tmp_path):
        (tmp_path / "data").mkdir()
        (tmp_path / "mine").write_text("mine")
        (tmp_path / "data" / "link").symlink_to("/mine")
        start("-v", f"{tmp_path / 'mine'}:/mine", "-w", "/").wait()
        assert owner(tmp_path / "mine") == (0, 0)

    def test_the_registry_in_sqlite(self, start):
        container = start("-e", f"DEVICESVC_STORE=sqlite:///{DATA}/device.db").wait()
        assert len(requests.get(f"{container.url}/v1/devices").json()["data"]) == 5
        assert (container.data / "device.db").exists()

    def test_tokens_beside_the_data(self, start):
        container = start().wait()
        secret = run(
            *("docker", "exec", "--user", "devicesvc", container.name),
            *("devicesvc", "token", "create", "gateway-7", "--scope", "write", "--file", "tokens.txt"),
        ).splitlines()[0]
        container.remove()
        container = start("-e", "DEVICESVC_TOKENS_FILE=tokens.txt").wait()
        assert requests.get(f"{container.url}/v1/devices").status_code == 401
        headers = {"Authorization": f"Bearer {secret}"}
        assert requests.get(f"{container.url}/v1/devices", headers=headers).status_code == 200


class TestItsEnd:
    def test_docker_stop_under_load_loses_nothing_that_was_acknowledged(self, start, loaded, figure):
        container = start().wait()
        acknowledged, writers = loaded(container.url)
        begin = time.monotonic()
        assert container.stop() == 0
        seconds = time.monotonic() - begin
        assert seconds < 8
        for writer in writers:
            writer.result()
        there = {line.split(",")[0] for line in (container.data / "device.csv").read_text("utf-8").splitlines()}
        assert set(acknowledged) <= there
        figure(f"docker stop with {WRITERS} writers: {seconds:.2f} s, {len(acknowledged)} acknowledged, none lost.")

    def test_docker_stop_right_after_the_start_does_not_wait_to_kill(self, start):
        container = start()
        wait_until(lambda: "Made" in container.log())
        assert container.stop() == 0

    def test_killed_it_comes_back_by_itself(self, start):
        container = start("--restart=always").wait()
        added = requests.post(f"{container.url}/v1/devices", json=ADD).json()["data"]
        os.kill(container.state("Pid"), signal.SIGKILL)
        wait_until(lambda: run("docker", "inspect", "-f", "{{.RestartCount}}", container.name) == "1")
        wait_until(lambda: is_up(container.url))
        assert requests.get(f"{container.url}/v1/devices/{added}").status_code == 200

    def test_a_worker_that_is_killed_is_replaced(self, start):
        container = start().wait()
        worker = int(run("docker", "top", container.name, "-o", "pid").splitlines()[2])
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: is_up(container.url))
        assert container.state("Running")
        assert run("docker", "inspect", "-f", "{{.RestartCount}}", container.name) == "0"

    def test_a_new_image_keeps_every_byte_of_the_old_data(self, start):
        def sums():
            return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in container.data.glob("*.csv")}

        container = start().wait()
        group = f"{container.url}/v1/groups/roof"
        requests.put(group, json={"name": '屋顶, "A"'}).raise_for_status()
        requests.put(f"{group}/devices", json={"ids": [DEVICES[0].id]}).raise_for_status()
        before = sums()
        assert len(before) == 4  # the history too
        container.remove()
        new = build("devicesvc-test-new", "--label", "is=new")
        container = start(image=new).wait()
        assert len(requests.get(f"{container.url}/v1/groups/roof/devices").json()["data"]) == 1
        assert sums() == before
