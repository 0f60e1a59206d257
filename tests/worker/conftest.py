"""gunicorn with the worker class and a small app, as a process, and sockets to it."""

import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import BIN, ROOT, Service, find_free_port


class Served(Service):
    """A gunicorn on the app of app.py."""

    def __init__(self, *arguments, **options):
        self.clients = []
        super().__init__(*arguments, **options)

    def raw(self, *parts, half_close=False):
        """Send bytes on a new connection, and return all that comes back until its end."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            return read_all(client)

    def connect(self):
        self.clients.append(socket.create_connection(("127.0.0.1", self.port), timeout=60))
        return self.clients[-1]

    def stop(self):
        """As `Service.stop`; its clients are closed afterwards."""
        try:
            return super().stop()
        finally:
            for client in self.clients:
                client.close()

    def get(self, path, *headers):
        """The status and the body of a GET that closes its connection."""
        head, _, body = self.raw(request("GET", path, "Connection: close", *headers)).partition(b"\r\n\r\n")
        return int(head.split()[1]), body


def read_all(client):
    """Until the end. A reset is an error."""
    parts = []
    while part := client.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def request(method, path="/", *headers, body=b"", version="1.1"):
    lines = [f"{method} {path} HTTP/{version}", "Host: x", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def first_json(answer):
    """The body of an answer of the echo, in chunks or not."""
    start, end = answer.index(b"{"), answer.rindex(b"}")
    return json.loads(answer[start : end + 1])


def children(pid):
    """The process ids of the children of a process."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def has_open(pid, path):
    """Whether a process has a file open."""
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in the meantime
            if file.readlink() == path:
                return True
    return False


def until(condition, what):
    """Ask until the answer is yes, and return it."""
    end = time.monotonic() + 60
    while not (answer := condition()):
        assert time.monotonic() < end, what
        threading.Event().wait(0.01)
    return answer


def started(folder, worker="devicesvc.worker.worker.Worker", env=None, **options):
    """A gunicorn. options: constants of loop.py in capitals, settings of gunicorn in small letters."""
    port = find_free_port()
    settings = {
        "threads": 4,
        "graceful_timeout": 3,
        **{name: value for name, value in options.items() if name.islower()},
    }
    (folder / f"{port}.py").write_text(
        "".join(f"{name} = {value!r}\n" for name, value in settings.items())
        + "def when_ready(server):\n    print('can be tried at', flush=True)\n"
    )
    command = [BIN / "gunicorn", "tests.worker.app:app", "--config", folder / f"{port}.py", "--no-control-socket"]
    command += ["--worker-class", worker, "--bind", f"127.0.0.1:{port}"]
    constants = {name: value for name, value in options.items() if name.isupper()}
    env = {**os.environ, **(env or {}), "LOOP": json.dumps(constants), "PYTHONUNBUFFERED": "1"}
    return Served([str(part) for part in command], port, cwd=ROOT, env=env)


@pytest.fixture
def serve(tmp_path):
    """Start a gunicorn with options."""
    services = []

    def serve(**options):
        services.append(started(tmp_path, **options))
        return services[-1]

    yield serve
    for service in services:
        service.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One gunicorn for the tests that leave it as it was."""
    service = started(tmp_path_factory.mktemp("shared"))
    yield service
    service.stop()


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """One with gunicorn's own worker class for threads."""
    service = started(tmp_path_factory.mktemp("stock"), "gthread")
    yield service
    service.stop()
