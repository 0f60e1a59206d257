"""The feed of `devicesvc serve`: who waits is told at once, and costs the others nothing."""

import json
import re
import resource
import signal
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import requests

from devicesvc import tokens
from devicesvc.dao.urls import open_store
from devicesvc.model import Device
from tests.conftest import BIN, ROOT, Service, find_free_port
from tests.hard_data import ADD
from tests.strategies import only_long
from tests.worker.conftest import until

MANY = 1_000
STORES = ["device.csv", "sqlite:///device.db"]


@pytest.fixture(params=STORES)
def store(request):
    return request.param


@pytest.fixture
def service(start, store):
    return start(store)


def last(service):
    """The number of the last change."""
    return requests.get(f"{service.url}/v1/changes?limit=1").json()["data"][0]["number"]


def change(service, name="x"):
    """Add a device."""
    requests.post(f"{service.url}/v1/devices", json={**ADD, "name": name}).raise_for_status()


class Waiter:
    """A client that waits on a connection of its own."""

    def __init__(self, service, after, wait=30):
        self.socket = socket.create_connection(("127.0.0.1", service.port), timeout=60)
        path = f"/v1/changes?after={after}&wait={wait}"
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: waiter\r\n\r\n".encode())

    def answer(self):
        """The body of the answer."""
        head, _, body = self.socket.recv(65_536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        (length,) = map(int, re.findall(rb"Content-Length: (\d+)", head))
        while len(body) < length:
            body += self.socket.recv(65_536)
        return json.loads(body)

    def has_answer(self, seconds=0.3):
        """Whether there is an answer within so many seconds."""
        self.socket.settimeout(seconds)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(60)

    def close(self):
        self.socket.close()


@contextmanager
def waiters(service, count=1, **options):
    """So many clients that wait for the next change."""
    after = last(service)
    with ExitStack() as closing:
        clients = [Waiter(service, after, **options) for _ in range(count)]
        for client in clients:
            closing.callback(client.close)
        assert not clients[-1].has_answer(0.3 + count / 1000)
        yield clients


def test_a_change_of_its_own_is_told_at_once(service):
    taken = []
    for number in range(5):
        with waiters(service) as (waiter,):
            begun = time.monotonic()
            change(service, f"n{number}")
            told = waiter.answer()
            taken.append(time.monotonic() - begun)
        assert [row["after"].split(",")[1] for each in told["data"] for row in each["rows"]] == [f"n{number}"]
        assert told["next"] == told["data"][0]["number"] == last(service)
    print(f"a change is told after {statistics.median(taken) * 1000:.0f} ms, its request included")
    assert min(taken) < 0.25  # by the look of each second, it would be about 0.7


def test_a_change_of_another_process_is_told_within_a_second(service, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with waiters(service) as (waiter,), open_store(store) as other:
        begun = time.monotonic()
        other.write(lambda tx: tx.devices.add(Device.build({**ADD, "id": "other"})))
        told = waiter.answer()
        seconds = time.monotonic() - begun
    assert [row["id"] for row in told["data"][0]["rows"]] == ["other"]
    print(f"a change of another process is told after {seconds * 1000:.0f} ms")
    assert seconds < 1.0 + 1.0  # a busy machine may take its time


def test_several_workers_tell_one_another(start, store):
    service = start(store, "--workers", "3")
    with waiters(service, 12) as clients:
        change(service)
        assert {len(client.answer()["data"]) for client in clients} == {1}


def test_its_time_ends_with_an_empty_list(service):
    begun = time.monotonic()
    with waiters(service, wait=1) as (waiter,):
        assert waiter.answer() == {
            **{"status": 200, "message": "changes found: 0", "data": []},
            "next": last(service),
        }
    assert time.monotonic() - begun > 1


def test_what_is_there_already_is_told_without_waiting(service):
    begin = last(service)
    change(service)
    change(service)
    waiter = Waiter(service, begin)
    assert len(waiter.answer()["data"]) == 2
    waiter.close()


def test_nothing_is_told_twice_and_nothing_is_missed(service):
    begin = last(service)

    def follow():
        names, after = list[str](), begin
        with requests.Session() as session:
            while len(names) < 40:
                answer = session.get(f"{service.url}/v1/changes", params={"after": after, "wait": 10}).json()
                names += [row["after"].split(",")[1] for each in answer["data"] for row in each["rows"]]
                after = answer["next"]
        return names

    with ThreadPoolExecutor(8) as pool:
        followers = [pool.submit(follow) for _ in range(4)]
        list(pool.map(lambda number: change(service, f"n{number}"), range(40)))
        told = [follower.result(60) for follower in followers]
    assert all(sorted(names) == sorted(f"n{number}" for number in range(40)) for names in told)
    assert all(names == told[0] for names in told)


def test_sigterm_answers_who_waits_at_once(service):
    with waiters(service, 20) as clients:
        begun = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert {len(client.answer()["data"]) for client in clients} == {0}
        assert time.monotonic() - begun < 5
    assert service.process.wait(60) == 0


def test_the_log_has_a_line_when_it_is_answered_with_the_time_that_it_took(service):
    with waiters(service, wait=1) as (waiter,):
        assert not any("[waiter]" in line for line in service.lines)
        waiter.answer()
    until(lambda: any("[waiter]" in line for line in service.lines), "it is logged")
    service.stop()
    (line,) = [line for line in service.lines if "[waiter]" in line]
    assert int(line.split()[-2]) >= 1000


def test_a_token_that_is_taken_back_meanwhile_is_told_nothing(start, store, tmp_path):
    secret = tokens.create(tmp_path / "tokens.txt", "writer", "write")
    service = start(store, env={"DEVICESVC_TOKENS_FILE": "tokens.txt"})
    headers = {"Authorization": f"Bearer {secret}"}
    url = f"{service.url}/v1/changes"
    with ThreadPoolExecutor(1) as pool:
        begin = requests.get(f"{url}?limit=1", headers=headers).json()["data"][0]["number"]
        waiting = pool.submit(requests.get, f"{url}?after={begin}&wait=2", headers=headers)
        until(lambda: waiting.running(), "it is asked")
        (tmp_path / "tokens.txt").write_text("")
        assert waiting.result(60).status_code == 401


@only_long
class TestAThousand:
    """They wait in one worker."""

    @pytest.fixture
    def service(self, start, store):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # they are all in this process
        yield start(store)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def seconds(self, service, times):
        """How long /healthz and PUT take: the median of each, and the longest."""
        taken = {"/healthz": list[float](), "PUT": list[float]()}
        with requests.Session() as session:
            for number in range(times):
                for what, method, path in (("/healthz", "GET", "/healthz"), ("PUT", "PUT", "/v1/groups/g")):
                    begun = time.perf_counter()
                    body = None if method == "GET" else {"name": f"G{number}"}
                    session.request(method, f"{service.url}{path}", json=body).raise_for_status()
                    taken[what].append(time.perf_counter() - begun)
        return {what: (statistics.median(each), max(each)) for what, each in taken.items()}

    def test_others_do_not_notice(self, service):
        change(service)
        before = self.seconds(service, 30)
        after = last(service) + 10**6  # nothing wakes these
        with ExitStack() as closing:
            clients = [Waiter(service, after) for _ in range(MANY)]
            for client in clients:
                closing.callback(client.close)
            assert not clients[-1].has_answer(2)
            during = self.seconds(service, 30)
        for what in before:
            print(f"{what}: {before[what][0] * 1000:.1f} ms, with {MANY} that wait {during[what][0] * 1000:.1f} ms")
            assert during[what][0] < 2 * before[what][0] + 0.01

    def test_all_are_told_and_others_get_their_turn_meanwhile(self, service):
        with waiters(service, MANY) as clients, ThreadPoolExecutor(2) as pool:
            begun = time.monotonic()
            change(service)
            others = pool.submit(lambda: requests.get(f"{service.url}/healthz").elapsed.total_seconds())
            first = clients[0].answer()
            told_first = time.monotonic() - begun
            assert all(client.answer() == first for client in clients[1:])
            told_all = time.monotonic() - begun
            longest = others.result(60)
        print(f"the first of {MANY} is told after {told_first * 1000:.0f} ms, all after {told_all * 1000:.0f} ms;")
        print(f"/healthz takes {longest * 1000:.0f} ms meanwhile")
        assert longest < 0.5
        assert told_all < 10


def test_on_another_worker_at_most_a_quarter_of_the_threads_wait(tmp_path, clean_env):
    port = find_free_port()
    (tmp_path / "conf.py").write_text("def when_ready(server):\n    print('can be tried at', flush=True)\n")
    command = [BIN / "gunicorn", "devicesvc.app:create_app()", "--config", tmp_path / "conf.py", "--no-control-socket"]
    command += ["--worker-class", "gthread", "--threads", "8", "--bind", f"127.0.0.1:{port}"]
    env = clean_env | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    service = Service([str(part) for part in command], port, cwd=tmp_path, env=env)
    try:
        after = last(service)
        clients = []
        for _ in range(40):
            clients.append(Waiter(service, after, wait=30))
        waiting = [client for client in clients if not client.has_answer(0.5)]
        refused = [client for client in clients if client not in waiting]
        assert len(waiting) <= 2
        assert b"Retry-After: 1" in refused[-1].socket.recv(65_536)
        assert requests.get(f"{service.url}/healthz", timeout=5).ok
        change(service)
        assert {len(client.answer()["data"]) for client in waiting} in ({1}, set())
        for client in clients:
            client.close()
    finally:
        service.stop()
