"""Clients that are slow, silent, or too many cannot stop the others."""

import resource
import socket
import time

import pytest

from tests.strategies import only_long
from tests.worker.conftest import children, first_json, read_all, request, until

SHORT = {"GRACE": 0.5, "RATE": 1_000_000}
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
ANSWERED = request("GET", "/sized?says=1&has=1")
BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nbegin"


def has_ended(client):
    """Whether the server has ended the connection, be it by a reset."""
    client.settimeout(0.3)
    try:
        while client.recv(65_536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


class TestDeadlines:
    @pytest.mark.parametrize("begin", [HEAD, BODY])
    def test_a_request_that_does_not_arrive_is_408_however_it_drips(self, serve, begin):
        service = serve(**SHORT)
        with service.connect() as client:
            client.sendall(begin)
            end = time.monotonic() + 60
            client.settimeout(0.05)
            while True:
                assert time.monotonic() < end
                try:
                    answer = client.recv(65_536)
                    break
                except TimeoutError:
                    client.sendall(b"a")
            assert first_json(answer)["devicesvc.refusal"] == [408, "The request took too long to arrive."]

    def test_a_body_that_comes_at_a_fair_rate_may_take_longer(self, serve):
        service = serve(GRACE=1, RATE=4)
        with service.connect() as client:
            client.sendall(request("POST", "/", "Content-Length: 30", "Connection: close"))
            end = time.monotonic() + 1.5
            sent = 0
            while sent < 30:
                client.sendall(b"12345")
                sent += 5
                until(lambda sent=sent: time.monotonic() > end - 1.5 + sent / 20, "the clock goes on")
            assert first_json(read_all(client))["body"] == "12345" * 6

    @pytest.mark.parametrize("begin", [b"", ANSWERED])
    def test_an_idle_connection_is_closed_without_a_word(self, serve, begin):
        service = serve(GRACE=0.5, keepalive=1)
        with service.connect() as client:
            client.sendall(begin)
            assert read_all(client).count(b"HTTP/1.1") == bool(begin)

    def test_a_client_that_reads_nothing_of_its_answer_is_left(self, serve):
        service = serve(STALLED=0.5)
        with service.connect() as client:
            client.sendall(request("GET", "/stream?pieces=1000000"))
            assert service.get("/was-left")[1].startswith(b"4\r\nTrue")

    @pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such limit")
    def test_of_an_answer_that_nobody_reads_little_is_made(self, serve):
        service = serve(STALLED=0.5)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", service.port))
            client.sendall(request("GET", "/stream?pieces=1000000"))
            assert service.get("/was-left")[1].startswith(b"4\r\nTrue")
        assert int(service.get("/given")[1].split()[1]) <= 6  # of 64 KiB

    def test_they_are_counted_in_one_line_of_the_log(self, serve):
        service = serve(**SHORT)
        clients = [service.connect() for _ in range(30)]
        for client in clients:
            client.sendall(HEAD)
        for client in clients:
            read_all(client)
        until(lambda: any("were too slow" in line for line in service.lines), "it is said")
        assert sum("were too slow" in line for line in service.lines) < 5


class TestLimits:
    @pytest.mark.parametrize("begin", [BODY, *(pytest.param(each, marks=only_long) for each in (b"", HEAD, ANSWERED))])
    def test_beyond_the_limit_the_one_that_waits_longest_goes_and_the_next_is_served(self, serve, begin):
        service = serve(worker_connections=30, keepalive=60)
        clients = [service.connect() for _ in range(30)]
        for client in clients:
            client.sendall(begin)
        assert [service.get("/")[0] for _ in range(5)] == [200] * 5
        assert has_ended(clients[0])
        assert not has_ended(clients[-1])

    def test_if_all_are_at_work_the_next_waits_for_one_of_them(self, serve):
        service = serve(worker_connections=3, threads=4)
        clients = [service.connect() for _ in range(3)]
        for client in clients:
            client.sendall(request("POST", "/block", "Content-Length: 0", "Connection: close"))
        with service.connect() as next_one:
            next_one.sendall(request("GET", "/", "Connection: close"))
            next_one.settimeout(0.3)
            with pytest.raises(TimeoutError):
                next_one.recv(1000)

    def test_bodies_together_have_a_limit_and_the_oldest_goes(self, serve):
        service = serve(MAX_HELD=1_000_000)
        clients = [service.connect() for _ in range(5)]
        for client in clients:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n" + b"x" * 300_000)
            assert service.get("/")[0] == 200
        clients[4].sendall(b"x" * 100_000)
        assert b"HTTP/1.1 200" in clients[4].recv(1000)
        assert has_ended(clients[0])

    def test_without_file_handles_the_oldest_goes_too(self, serve):
        service = serve(worker_connections=10_000)
        assert service.get("/")[0] == 200
        (worker,) = children(service.process.pid)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (60, 60))
        clients = [service.connect() for _ in range(100)]
        assert [service.get("/")[0] for _ in range(5)] == [200] * 5
        for client in clients:
            client.close()


@pytest.mark.parametrize("begin", [HEAD, *(pytest.param(each, marks=only_long) for each in (b"", BODY))])
def test_three_hundred_of_them_are_not_noticed(serve, begin):
    service = serve(threads=2)
    clients = [service.connect() for _ in range(300)]
    for client in clients:
        client.sendall(begin)
    for _ in range(20):
        begun = time.monotonic()
        assert service.get("/")[0] == 200
        assert time.monotonic() - begun < 5  # half of the time that one of them has
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # they all leave at once
        client.close()
    assert service.get("/")[0] == 200
