"""What becomes of the app's answer: PEP 3333 in full, and RFC 9112."""

import subprocess

import pytest

from tests.conftest import BIN, ROOT
from tests.worker.conftest import first_json, read_all, request, until

CLOSE = "Connection: close"


def test_an_answer_without_a_length_comes_in_chunks_and_to_http_1_0_until_the_end(shared):
    answer = shared.raw(request("GET", "/written", CLOSE))
    assert b"Transfer-Encoding: chunked" in answer
    assert answer.endswith(b"\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n")
    old = shared.raw(request("GET", "/written", "Connection: keep-alive", version="1.0"))
    assert b"Transfer-Encoding" not in old
    assert b"Connection: close" in old
    assert old.endswith(b"\r\n\r\none two")


def test_bytes_beyond_the_length_are_cut_and_the_connection_goes_on(shared):
    answer = shared.raw(request("GET", "/sized?says=3&has=5"), request("GET", "/sized?says=1&has=1", CLOSE))
    assert answer.count(b"HTTP/1.1 200") == 2
    assert b"\r\n\r\nxxxHTTP/1.1" in answer


def test_too_few_bytes_end_the_connection(shared):
    answer = shared.raw(request("GET", "/sized?says=5&has=3"), request("GET", "/"))
    assert answer.endswith(b"\r\n\r\nxxx")


@pytest.mark.parametrize("path", ["/status?204", "/status?304", "/status?200"])
def test_no_body_follows_the_head_where_there_is_none(shared, path):
    method = "HEAD" if path.endswith("200") else "GET"
    answer = shared.raw(request(method, path), request(method, path, CLOSE))
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"abc" not in answer


def test_exc_info_replaces_what_was_not_sent(shared):
    answer = shared.raw(request("GET", "/restarted"), request("GET", "/sized?says=1&has=1", CLOSE))
    assert answer.startswith(b"HTTP/1.1 404 No\r\n")
    assert b"X-First" not in answer
    assert b"\r\n\r\nHTTP/1.1 200 OK" in answer


@pytest.mark.parametrize("path", ["/fail", "/bad-header", "/exit"])
def test_an_app_that_fails_is_asked_for_its_answer_to_that(shared, path):
    answer = shared.raw(request("GET", path))
    assert first_json(answer)["devicesvc.refusal"][0] == 500
    assert b"Set-Cookie" not in answer


def test_an_app_that_fails_in_its_answer_ends_the_connection_without_the_last_chunk(shared):
    answer = shared.raw(request("GET", "/fail-late"))
    assert answer.endswith(b"5\r\nbegun\r\n")


def test_a_long_answer_arrives_whole(shared):
    answer = shared.raw(request("GET", "/stream?pieces=300", CLOSE))
    assert answer.count(b"x") >= 300 * 65_536
    assert answer.endswith(b"0\r\n\r\n")


def test_an_answer_whose_client_left_is_closed(shared):
    with shared.connect() as client:
        client.sendall(request("GET", "/stream?pieces=1000000"))
        client.recv(1000)
    assert shared.get("/was-left")[1].startswith(b"4\r\nTrue")


def test_more_clients_may_stop_reading_than_there_are_threads(serve):
    service = serve(threads=2)
    clients = [service.connect() for _ in range(20)]
    for client in clients:
        client.sendall(request("GET", "/stream?pieces=2000", CLOSE))
    assert service.get("/")[0] == 200
    assert service.raw(request("POST", "/", "Content-Length: 2", CLOSE, body=b"ok")).startswith(b"HTTP/1.1 200")
    assert read_all(clients[7]).endswith(b"0\r\n\r\n")  # and who goes on reading gets the rest
    for client in clients:
        client.close()


class TestThreads:
    def test_a_get_that_takes_long_does_not_hold_the_others(self, serve):
        service = serve()
        clients = [service.connect() for _ in range(3)]
        for client in clients:
            client.sendall(request("GET", "/block", CLOSE))
        for _ in range(5):
            assert service.get("/")[0] == 200
        assert service.get("/unblock")[0] == 200
        assert all(b"released" in read_all(client) for client in clients)

    def test_as_many_may_take_long_as_there_are_threads_and_the_rest_waits(self, serve):
        service = serve(threads=2)
        clients = [service.connect() for _ in range(8)]
        for client in clients:
            client.sendall(request("POST", "/block", "Content-Length: 0", CLOSE))
        assert service.get("/")[0] == 200
        assert service.get("/unblock")[0] == 200
        assert all(b"released" in read_all(client) for client in clients)

    def test_a_worker_whose_loop_hangs_is_replaced(self, serve):
        service = serve(threads=1, timeout=4)
        for _ in range(3):  # one thread may be at work besides the one that runs the loop
            service.connect().sendall(request("GET", "/block"))
        until(lambda: any("WORKER TIMEOUT" in line for line in service.lines), "gunicorn notices")
        assert service.get("/")[0] == 200


def test_a_worker_that_has_answered_max_requests_makes_room_for_another(serve):
    service = serve(max_requests=20)
    assert [service.get("/")[0] for _ in range(50)] == [200] * 50
    until(lambda: sum("Booting worker" in line for line in service.lines) > 1, "there is a second worker")


def test_tls_is_refused_at_the_start_with_one_sentence(tmp_path):
    (tmp_path / "key.pem").write_text("")
    pem = str(tmp_path / "key.pem")
    command = [str(BIN / "gunicorn"), "tests.worker.app:app", "--worker-class", "devicesvc.worker.worker.Worker"]
    command += ["--certfile", pem, "--keyfile", pem, "--no-control-socket"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 4
    assert "This worker class has no TLS: put nginx in front of it." in ended.stderr
    assert "Traceback" not in ended.stderr
