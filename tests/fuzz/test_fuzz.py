"""Whatever a client sends: it gets an answer or the end of its connection, never a fault of the service.

make test-fuzz SECONDS=600 takes so long, for all stores together. What was found once is in seeds/, as it was sent, and
is sent first; what is found new is put there.
"""

import hashlib
import http.client
import io
import json
import os
import random
import re
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest
import requests

from devicesvc.dao.urls import KINDS
from tests.conftest import BIN
from tests.fuzz import shapes
from tests.worker.conftest import children

SECONDS = float(os.environ.get("SECONDS", "30")) / len(KINDS) / 2  # for proper requests on a store, and for others
SEEDS = Path(__file__).parent / "seeds"
NEW = Path(os.environ.get("SEEDS", SEEDS))  # where what is found is put

HEADS = re.compile(rb"^HTTP/1\.1 (\d{3}) [^\r\n]*\r\nServer: devicesvc\r\n(.*?)\r\n\r\n", re.DOTALL | re.MULTILINE)
BY_THE_SERVER = {501, 505}  # what the request asks for is unknown to it: not a fault


@pytest.fixture
def service(start, store_url):
    """A service on each kind of store. Its worker must live to the end, and its log must name no fault."""
    service = start(store_url)
    before = children(service.process.pid)
    yield service
    assert children(service.process.pid) == before
    assert requests.get(f"{service.url}/readyz", timeout=20).ok
    assert requests.get(f"{service.url}/v1/devices", timeout=20).ok
    service.stop()
    faults = [
        line for line in service.lines if re.search(r"Traceback|[Ff]ailed|ERROR|CRITICAL", line.partition('"')[0])
    ]
    assert not faults
    subprocess.run([BIN / "devicesvc", "check", store_url], check=True, timeout=60)


def ask(service, sent):
    """Send bytes, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        parts = []
        with suppress(ConnectionResetError, BrokenPipeError):  # it may refuse before all was sent
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while part := client.recv(65_536):
                parts.append(part)
        return b"".join(parts)


def check_any(service, sent):
    """Nothing in the answers is a fault, and each has an id. Returns how many there are."""
    answers = HEADS.findall(ask(service, sent))
    for status, head in answers:
        assert int(status) < 500 or int(status) in BY_THE_SERVER, status
        assert b"\r\nX-Request-ID: " in b"\r\n" + head, head
    return len(answers)


def check_call(service, sent):
    """The answer is whole, and is of the shape that the documentation promises."""
    method = sent.partition(b" ")[0].decode()
    answer = http.client.HTTPResponse(_Bytes(ask(service, sent)), method=method)  # type: ignore[arg-type]
    answer.begin()
    body, kind = answer.read(), answer.headers["Content-Type"] or ""
    assert answer.status < 500, body
    assert answer.headers["X-Request-ID"]
    if answer.status >= 400:
        assert kind == "application/problem+json"
    if "json" in kind and method != "HEAD" and b"/openapi.json" not in sent.partition(b"\r\n")[0]:
        said = json.loads(body)
        assert (said["status"], bool(said["message"])) == (answer.status, True)


class _Bytes:
    """A socket for http.client."""

    def __init__(self, data):
        self.data = data

    def makefile(self, _mode):
        return io.BytesIO(self.data)


def search(service, requests_of, check):
    """Draw requests for SECONDS. The smallest one that fails is kept."""
    document = requests.get(f"{service.url}/openapi.json", timeout=20).json()
    found: list[bytes] = []
    cases = 0

    def run(sent):
        nonlocal cases
        cases += 1
        try:
            check(service, sent)
        except Exception:
            found[:] = [sent]
            raise

    given = hypothesis.given(requests_of(document))
    options = hypothesis.settings(
        max_examples=200, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            hypothesis.seed(random.getrandbits(64))(options(given(run)))()
    except Exception:
        if found:
            kept = NEW / f"{hashlib.sha256(found[0]).hexdigest()[:12]}.http"
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(found[0])
            print(f"What fails is kept in {kept}")
        raise
    print(f"{cases} requests")
    assert cases > SECONDS


def test_what_was_found_once_is_not_a_fault_any_more(service):
    seeds = sorted(SEEDS.glob("*.http"))
    assert seeds
    for seed in seeds:
        assert check_any(service, seed.read_bytes()), f"{seed.name} gets no answer"


def test_a_call_with_any_values_gets_an_answer_of_the_promised_shape(service):
    search(service, shapes.calls, check_call)


def test_bytes_that_are_nearly_requests_are_not_a_fault(service):
    search(service, shapes.near, check_any)
