"""A request that waits for something new costs no thread. It is answered when there is, or when its time is over."""

import resource
import signal
import statistics
import time
from contextlib import contextmanager
from pathlib import Path

from tests.worker.conftest import children, read_all, request, until

CLOSE = "Connection: close"
LONG = "/park?after=1&seconds=30"


def parked(service, count=1, path=LONG, *headers):
    """Clients whose request waits."""
    before = times_asked(service)
    clients = [service.connect() for _ in range(count)]
    for client in clients:
        client.sendall(request("GET", path, *headers))
    until(lambda: times_asked(service) == before + count, "all were asked")
    return clients


def times_asked(service):
    return int(service.get("/asked")[1].split()[1])


def body(client):
    """The body of one answer."""
    head, _, rest = client.recv(65_536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return rest.decode()


def is_silent(client):
    client.settimeout(0.2)
    try:
        return client.recv(1000) is None
    except TimeoutError:
        client.settimeout(60)
        return True


def test_it_is_answered_when_it_is_woken_and_its_connection_goes_on(serve):
    service = serve()
    (client,) = parked(service)
    assert is_silent(client)
    service.get("/wake?2")
    assert body(client) == "number 2"
    client.sendall(request("GET", "/sized?says=1&has=1"))
    assert body(client) == "x"


def test_what_it_has_seen_does_not_wake_it(serve):
    service = serve()
    (client,) = parked(service, path="/park?after=5&seconds=30")
    service.get("/wake?5")
    assert is_silent(client)
    assert times_asked(service) == 1
    service.get("/wake?6")
    assert body(client) == "number 6"


def test_what_comes_while_it_is_run_is_not_missed(serve):
    (client,) = parked(serve(), path="/park?after=5&seconds=30&late=6")
    assert body(client) == "number 6"


def test_it_is_answered_when_its_time_is_over_also_if_it_was_woken_before(serve):
    service = serve()
    begun = time.monotonic()
    (client,) = parked(service, path="/park?after=9&seconds=1.5&late=10")
    service.get("/wake?3")
    service.get("/wake?10")
    assert body(client) in ("number 10", "number 3")
    (client,) = parked(service, path="/park?after=90&seconds=1")
    assert body(client) == "number 10 at once"
    assert 1 <= time.monotonic() - begun < 20


def test_a_wait_ends_when_it_was_first_to_end_however_often_it_is_run(serve):
    service = serve()
    begun = time.monotonic()
    (client,) = parked(service, path="/park?after=9&seconds=2")
    for _ in range(4):
        service.get("/wake?99")  # and there is nothing after all
        service.get("/wake?1")
    assert body(client).endswith(("at once", "99"))
    assert time.monotonic() - begun < 20


def test_its_body_is_there_each_time_that_it_is_run(serve):
    service = serve()
    with service.connect() as client:
        client.sendall(request("GET", LONG, "Content-Length: 5", body=b"hello"))
        until(lambda: times_asked(service) == 1, "it waits")
        service.get("/wake?2")
        assert body(client) == "number 2hello"


def test_sigterm_answers_it_at_once(serve):
    service = serve(graceful_timeout=20)
    clients = parked(service, 30)
    begun = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    for client in clients:
        answer = read_all(client)
        assert b"Connection: close" in answer
        assert answer.endswith(b"number 0 at once")
    assert service.process.wait(60) == 0
    assert time.monotonic() - begun < 10


def handles(service):
    (worker,) = children(service.process.pid)
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


def test_a_client_that_leaves_is_noticed(serve):
    service = serve()
    assert times_asked(service) == 0  # now it serves
    before = handles(service)
    clients = parked(service, 20)
    assert handles(service) >= before + 20
    for client in clients:
        client.close()
    until(lambda: handles(service) <= before + 1, "they are closed")
    service.get("/wake?2")
    assert times_asked(service) == 20  # nothing is made for those that have left


def test_the_next_request_of_a_client_that_waits_has_time(serve):
    service = serve()
    (client,) = parked(service)
    client.sendall(request("GET", "/sized?says=1&has=1", CLOSE))
    assert is_silent(client)
    service.get("/wake?2")
    answer = read_all(client)
    assert answer.index(b"number 2") < answer.index(b"\r\n\r\nx")


def test_those_that_wait_keep_nobody_out(serve):
    service = serve(worker_connections=30)
    clients = [service.connect() for _ in range(40)]
    for client in clients:
        client.sendall(request("GET", "/park?after=1&seconds=300"))
    late = [service.connect() for _ in range(10)]
    for client in late:
        client.sendall(request("GET", "/sized?says=1&has=1", CLOSE))
    for client in late:
        assert read_all(client).endswith(b"x")
    assert body(clients[0]) == "number 0 at once"


@contextmanager
def many_handles():
    """Let this process, and those that it starts, have as many files as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_others_do_not_notice_when_two_thousand_are_woken(serve):
    with many_handles():
        service = serve(worker_connections=3000, threads=2)
        clients = parked(service, 2000, LONG + "&takes=0.002")
        waits = []
        with service.connect() as other:
            service.get("/wake?2")
            for _ in range(50):
                begun = time.monotonic()
                other.sendall(request("GET", "/sized?says=1&has=1"))
                assert body(other) == "x"
                waits.append(time.monotonic() - begun)
        for client in clients:
            assert body(client) == "number 2"
            client.close()
        service.stop()
    print(f"2,000 are woken; another waits {statistics.median(waits) * 1000:.1f} ms, at most {max(waits) * 1000:.0f}")
    assert max(waits) < 1  # and not the four seconds that all of them take
