"""A thousand clients that are slow, and one that is not, straight on `devicesvc serve`."""

import resource
import socket
import statistics
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests

from tests.hard_data import NIC, content, device

MANY, STALLED = 1_000, 300
PATIENCE = 20  # seconds until the service has taken in what a client sends
HEAD = b"PUT /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
REGISTRY = content(device(f"d{number}", nic=(NIC,) * 4) for number in range(1_000))
KINDS = {
    "silent": (MANY, b""),
    "half a head": (MANY, HEAD),
    "half a body": (MANY, HEAD + b"Content-Length: 3000000\r\n\r\n" + b'{"id": "' + b"x" * 300_000),
    "reading nothing": (STALLED, b"GET /v1/devices HTTP/1.1\r\nHost: x\r\n\r\n" * 3),
}


@pytest.fixture
def service(start, tmp_path):
    (tmp_path / "device.csv").write_bytes(REGISTRY)
    return start()


def ordinary(service, count):
    """The seconds that each call of an ordinary client takes; each on a new connection. Any failure is raised."""
    seconds = []
    for number in range(count):
        begin = time.perf_counter()
        answer = requests.get(f"{service.url}/v1/devices/d{number}", timeout=60)
        seconds.append(time.perf_counter() - begin)
        assert answer.json()["data"]["id"] == f"d{number}"
    change = requests.put(f"{service.url}/v1/devices", json={"id": "d7", "name": "设备"}, timeout=60)
    assert change.status_code == 200
    return seconds


def most_memory(service):
    """The most bytes that the worker ever had."""
    (worker,) = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    words = Path(f"/proc/{worker}/status").read_text()
    return int(words.partition("VmHWM:")[2].split()[0]) * 1024


@contextmanager
def flood(port, kind):
    """Have so many clients of this kind connected."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # they are all in this process
    count, begin = KINDS[kind]
    with ExitStack() as clients:
        for _ in range(count):
            client = clients.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that answers wait in the service
            client.connect(("127.0.0.1", port))
            client.settimeout(PATIENCE)
            with suppress(ConnectionError):  # it was let go already, as the oldest of too many
                client.sendall(begin)
        yield count
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", KINDS)
def test_ordinary_clients_do_not_notice(service, kind):
    before = statistics.median(ordinary(service, 200))
    with flood(service.port, kind) as count:
        during = statistics.median(ordinary(service, 200))
        memory = most_memory(service)
    print(f"{kind}: median {before * 1000:.2f} ms before, {during * 1000:.2f} ms with {count}; {memory >> 20} MiB")
    assert during < 2 * before + 0.002
    assert memory < 300 * 1024 * 1024
    assert len(ordinary(service, 20)) == 20
