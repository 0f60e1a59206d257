"""`devicesvc serve` and `gunicorn wsgi:app`, as processes."""

import os
import signal
import socket
import subprocess
import sys

import pytest
import requests
from click.testing import CliRunner

import devicesvc
from devicesvc.cli import main
from devicesvc.dao import lock_file
from devicesvc.sample import DEVICES
from tests.conftest import BIN, ROOT, Service, find_free_port
from tests.hard_data import content
from tests.worker.conftest import children, has_open, until


def fail(*arguments, **options):
    """Run a command that is to fail at once, and return what it says."""
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False, **options)
    assert ended.returncode not in (0, -signal.SIGTERM)
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "exited with code" not in ended.stdout
    assert "exiting" not in ended.stdout
    assert "Shutting down" not in ended.stdout
    assert "ERROR" not in ended.stdout  # the sentence is said once, on stderr
    return ended.stderr


@pytest.fixture
def refused(tmp_path, clean_env):
    def refused(*arguments, env=None):
        """The one sentence that `devicesvc serve` refuses with."""
        words = fail(BIN / "devicesvc", "serve", *arguments, cwd=tmp_path, env=clean_env | (env or {}))
        assert len(words.splitlines()) == 1 or words.startswith("Usage:")
        return words.strip().splitlines()[-1]

    return refused


def test_the_first_start_makes_device_csv_with_the_samples_and_says_so(start, tmp_path):
    service = start()
    assert len(requests.get(f"{service.url}/v1/devices").json()["data"]) == 5
    assert (tmp_path / "device.csv").read_bytes() == content(DEVICES)
    service.stop()
    log = "".join(service.lines)
    assert f"Made {tmp_path}/device.csv with 5 sample devices: 4322159209, 5661391086, 3635138853" in log
    assert f"{service.url}/docs and can be tried at {service.url}/docs/swagger" in log
    assert '127.0.0.1 "GET /v1/devices HTTP/1.1" 200' in log
    assert "No tokens are configured" in log


def test_a_file_that_is_there_is_read(start, tmp_path):
    (tmp_path / "mine.csv").write_bytes(content(DEVICES[:1]))
    service = start("mine.csv")
    assert [device["id"] for device in requests.get(f"{service.url}/v1/devices").json()["data"]] == ["4322159209"]
    assert not (tmp_path / "device.csv").exists()


def test_the_environment_names_the_store_if_the_command_does_not(start, tmp_path):
    start(env={"DEVICESVC_STORE": "other.csv"})
    assert (tmp_path / "other.csv").exists()


def test_it_survives_a_restart_with_its_changes(start):
    service = start()
    requests.delete(f"{service.url}/v1/devices", json={"ids": ["4322159209"]})
    assert service.stop() == 0
    again = start()
    assert requests.get(f"{again.url}/v1/devices/4322159209").status_code == 404


def test_several_workers_answer_with_what_the_others_wrote(start):
    service = start("--workers", "3")
    for number in range(20):
        name = f"name {number}"
        requests.put(f"{service.url}/v1/devices", json={"id": "4322159209", "name": name})
        names = {requests.get(f"{service.url}/v1/devices/4322159209").json()["data"]["name"] for _ in range(6)}
        assert names == {name}


def test_the_environment_says_how_many_workers_there_are_if_the_command_does_not(start):
    service = start(env={"WEB_CONCURRENCY": "2"})
    until(lambda: len(children(service.process.pid)) == 2, "there are not two workers")


def test_a_number_of_workers_that_is_not_one_is_refused_with_one_sentence(refused):
    assert refused(env={"WEB_CONCURRENCY": "abc"}) == (
        "Error: Invalid value for '--workers' (env var: 'WEB_CONCURRENCY'): 'abc' is not a valid integer range."
    )


def test_sigterm_finishes_what_is_in_flight(start):
    service = start()
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(b"DELETE /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 23\r\n\r\n" + b'{"ids": ["4322')
        assert requests.get(f"{service.url}/healthz").status_code == 200  # so the request above has been taken up
        service.process.send_signal(signal.SIGTERM)
        client.sendall(b'159209"]}')
        answer = client.makefile("rb").read()
    assert b"HTTP/1.1 200 OK" in answer
    assert b'"ids":["4322159209"]' in answer
    assert service.process.wait(60) == 0


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_can_be_stopped_while_it_still_opens_the_store(tmp_path, clean_env, free_port, stop):
    # If the end waited for anything, that would take a hundred seconds.
    program = (
        "from devicesvc import cli, server; from devicesvc.dao.csv import store\n"
        "server.graceful_timeout = store.WRITER_PATIENCE = 100; cli.main()"
    )
    command = [sys.executable, "-c", program, "serve", "--port", str(free_port)]
    lock = lock_file.lock_path(tmp_path / "device.csv")
    with (
        lock_file.locked(tmp_path / "device.csv", 0),
        subprocess.Popen(command, cwd=tmp_path, env=clean_env, start_new_session=True) as ended,
    ):
        until(lambda: any(has_open(pid, lock) for pid in children(ended.pid)), "a worker waits for the lock")
        os.killpg(ended.pid, stop)
        assert ended.wait(60) == 0
    assert not (tmp_path / "device.csv").exists()


class TestRefuses:
    @pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
    def test_a_bad_port(self, port):
        ended = CliRunner().invoke(main, ["serve", "--port", port])
        assert ended.exit_code == 2
        assert "Invalid value for '--port'" in ended.stderr

    def test_a_port_that_is_taken(self, refused):
        with socket.create_server(("127.0.0.1", port := find_free_port())):
            words = refused("--host", "127.0.0.1", "--port", str(port))
        assert words == (
            f"Error: Cannot listen on 127.0.0.1, port {port}: Address already in use. "
            f"Choose another port: make run PORT={port + 1}, or devicesvc serve --port {port + 1}."
        )

    def test_a_host_that_is_not_here(self, refused):
        assert "Cannot listen on 192.0.2.1" in refused("--host", "192.0.2.1")

    def test_a_folder(self, refused, free_port):
        words = refused(".", "--port", str(free_port))
        assert words == "Error: . is a folder: give the path of a CSV file, such as device.csv."

    def test_a_file_in_a_folder_that_is_not_there(self, refused, tmp_path, free_port):
        words = refused("no/device.csv", "--port", str(free_port))
        assert words == f"Error: There is no folder {tmp_path}/no: make it first, or give another path."

    def test_a_folder_that_cannot_be_written(self, refused, free_port):
        assert "/sys/device.csv cannot be written" in refused("/sys/device.csv", "--port", str(free_port))

    def test_a_broken_csv_which_it_leaves_as_it_is(self, refused, tmp_path, free_port):
        broken = content(DEVICES).replace(b"eth", b"", 1)
        (tmp_path / "device.csv").write_bytes(broken)
        words = refused("--port", str(free_port))
        assert "device.csv breaks a rule: line 2, column nic_type: must be 1 to 32 characters" in words
        assert (tmp_path / "device.csv").read_bytes() == broken

    def test_another_kind_of_url(self, refused, free_port):
        assert "'redis://x' names no store" in refused("redis://x", "--port", str(free_port))


def test_a_tokens_file_that_is_not_there_stops_it_too(tmp_path, clean_env, free_port):
    env = clean_env | {"DEVICESVC_TOKENS_FILE": "none.txt"}
    words = fail(BIN / "devicesvc", "serve", "--port", str(free_port), cwd=tmp_path, env=env)
    assert words.startswith("Error: The tokens file none.txt cannot be used")


class TestGunicorn:
    """`gunicorn wsgi:app` in the checkout is the same service."""

    @pytest.fixture
    def command(self, free_port):
        return [str(BIN / "gunicorn"), "wsgi:app", "--bind", f"127.0.0.1:{free_port}"]

    def test_it_serves_the_store_of_the_environment(self, command, free_port, clean_env, tmp_path):
        env = clean_env | {"DEVICESVC_STORE": str(tmp_path / "device.csv")}
        service = Service(command, free_port, cwd=ROOT, env=env)
        assert len(requests.get(f"{service.url}/v1/devices").json()["data"]) == 5
        assert service.stop() == 0
        assert "Using worker: devicesvc.worker.worker.Worker" in "".join(service.lines)

    def test_a_store_that_cannot_be_opened_ends_it_with_one_sentence_and_no_endless_restart(self, command, clean_env):
        words = fail(*command, cwd=ROOT, env=clean_env | {"DEVICESVC_STORE": "/sys/device.csv"})
        assert words.startswith("Error: /sys/device.csv cannot be written")
        assert len(words.splitlines()) == 1

    def test_it_takes_its_settings_from_devicesvc_server(self, command, clean_env, tmp_path):
        env = clean_env | {"DEVICESVC_STORE": str(tmp_path / "device.csv")}
        config = [*command, "--print-config"]
        output = subprocess.run(config, capture_output=True, text=True, cwd=ROOT, env=env, check=True).stdout
        settings = dict(line.split("=", 1) for line in output.replace(" ", "").splitlines() if "=" in line)
        assert settings["worker_class"] == "devicesvc.worker.worker.Worker"
        assert (settings["threads"], settings["workers"], settings["graceful_timeout"]) == ("32", "1", "8")
        assert settings["control_socket_disable"] == "True"


def test_help_names_the_commands_and_their_options():
    def words(*arguments):
        return subprocess.run(
            [BIN / "devicesvc", *arguments, "--help"], capture_output=True, text=True, check=True
        ).stdout

    assert "serve" in words()
    assert "token" in words()
    assert all(option in words("serve") for option in ("STORE", "--host", "--port", "--workers", "--threads"))


def test_the_version_is_that_of_the_package():
    output = subprocess.run([BIN / "devicesvc", "--version"], capture_output=True, text=True, check=True).stdout
    assert output.strip() == f"devicesvc, version {devicesvc.__version__}"


def test_the_metrics_that_a_killed_service_left_are_removed_and_those_of_a_running_one_stay(tmp_path):
    work = (
        "import os, sys; from devicesvc import server\n"
        "server.worker_tmp_dir = sys.argv[1]; server.on_starting(None)\n"
        "print(os.environ['PROMETHEUS_MULTIPROC_DIR'], flush=True); sys.stdin.read()"
    )

    def begin():
        command = [sys.executable, "-c", work, str(tmp_path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        return process, process.stdout.readline().strip()

    (running, kept), (killed, left) = begin(), begin()
    killed.kill()
    killed.communicate()
    assert {str(each) for each in tmp_path.iterdir()} == {kept, left}
    new, made = begin()
    assert {str(each) for each in tmp_path.iterdir()} == {kept, made}
    for process in (running, new):
        process.communicate()


def test_a_host_that_cannot_be_one_is_refused_with_one_sentence(refused):
    assert "this is not the name of a host. Choose another" in refused("--host", "é..x")
