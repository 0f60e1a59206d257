"""What the app gets: whole requests, as PEP 3333 says, and nothing that HTTP forbids."""

import json
import os
import socket
from pathlib import Path

import pytest

from tests.strategies import only_long
from tests.worker.conftest import children, first_json, read_all, request

CHUNKED = "Transfer-Encoding: chunked"


def test_the_environ_is_that_of_pep_3333(shared):
    path = "/a%20b/%E8%AE%BE?x=1&y=%20"
    environ = first_json(shared.raw(request("GET", path, "X-Two: 1", "X-Two: 2", "X_Two: 3", "Connection: close")))
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/a b/设"
    assert (environ["QUERY_STRING"], environ["RAW_URI"], environ["SCRIPT_NAME"]) == ("x=1&y=%20", path, "")
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert (environ["REMOTE_ADDR"], environ["SERVER_PORT"]) == ("127.0.0.1", str(shared.port))
    assert environ["HTTP_X_TWO"] == "1,2"
    assert environ["wsgi.version"] == [1, 0]


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script_Name", "PATH_INFO", "REMOTE_USER"])
def test_a_header_does_not_become_a_variable_of_the_server(shared, name):
    environ = first_json(shared.raw(request("GET", "/a", f"{name}: /x", "Connection: close")))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/a")
    assert "/x" not in environ.values()


def test_the_absolute_form_names_the_same_path(shared):
    environ = first_json(shared.raw(request("GET", "http://x:80/a?b=c", "Connection: close")))
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a", "b=c")


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_body_in_chunks_comes_as_one_however_it_is_cut(shared, step):
    sent = request(
        "POST", "/", CHUNKED, "Connection: close", body=b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n"
    )
    parts = [sent[start : start + step] for start in range(0, len(sent), step)]
    assert first_json(shared.raw(*parts))["body"] == "hello world"


def test_requests_that_are_sent_together_are_answered_in_their_order(shared):
    sent = [request("POST", f"/{n}", "Content-Length: 2", body=b"%02d" % n) for n in range(60)]
    answer = shared.raw(*[b"".join(sent)], request("GET", "/last", "Connection: close"))
    bodies = [json.loads(part[part.index(b"{") :].split(b"\r\n")[0]) for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert [body["PATH_INFO"] for body in bodies] == [*(f"/{n}" for n in range(60)), "/last"]
    assert [body["body"] for body in bodies[:-1]] == [f"{n:02d}" for n in range(60)]


def test_the_second_half_of_a_request_may_come_after_the_answer_to_the_one_before(shared):
    with shared.connect() as client:
        client.sendall(request("GET", "/one") + b"GET /two HTTP/1.1\r\nHo")
        assert b'"/one"' in client.recv(65_536)
        client.sendall(b"st: x\r\nConnection: close\r\n\r\n")
        assert b'"/two"' in read_all(client)


def test_a_client_that_has_ended_its_side_gets_its_answer(shared):
    assert b'"/a"' in shared.raw(request("GET", "/a"), half_close=True)


def test_a_client_that_ends_in_a_head_gets_none(shared):
    assert shared.raw(b"GET / HTTP/1.1\r\nHost", half_close=True) == b""


def test_a_body_that_breaks_off_comes_as_far_as_it_came_and_ends_the_connection(shared):
    answer = shared.raw(request("POST", "/", "Content-Length: 10", body=b"abc"), half_close=True)
    assert b"Connection: close" in answer
    assert first_json(answer)["body"] == "abc"


def test_http_1_0_ends_the_connection_unless_it_asks_otherwise(shared):
    assert b"Connection: close" in shared.raw(request("GET", "/", version="1.0"))
    kept = request("GET", "/a", "Connection: keep-alive", version="1.0")
    answer = shared.raw(request("GET", "/sized?says=1&has=1", "Connection: keep-alive", version="1.0"), kept)
    assert answer.count(b"HTTP/1.1 200 OK") == 2


class TestExpect:
    def test_100_continue_is_sent_before_the_body_comes(self, shared):
        with shared.connect() as client:
            client.sendall(request("POST", "/", "Content-Length: 2", "Expect: 100-Continue", "Connection: close"))
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"ok")
            assert first_json(read_all(client))["body"] == "ok"

    def test_it_is_not_sent_after_the_body_has_begun_or_to_http_1_0(self, shared):
        head = "Content-Length: 2", "Expect: 100-continue", "Connection: close"
        assert shared.raw(request("POST", "/", *head, body=b"ok")).startswith(b"HTTP/1.1 200 OK")
        with shared.connect() as client:
            client.sendall(request("POST", "/", *head, version="1.0"))
            client.sendall(b"ok")
            assert read_all(client).startswith(b"HTTP/1.1 200 OK")

    def test_anything_else_is_417(self, shared):
        answer = first_json(shared.raw(request("POST", "/", "Content-Length: 2", "Expect: the best")))
        assert answer["devicesvc.refusal"][0] == 417

    def test_a_body_over_the_limit_is_not_asked_for(self, shared):
        answer = shared.raw(request("POST", "/", f"Content-Length: {10**9}", "Expect: 100-continue"))
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"Connection: close" in answer


# Each with the status that stock gthread answers, which is asked too.
STRANGE = {
    "both lengths": request("POST", "/", "Content-Length: 3", CHUNKED, body=b"0\r\n\r\n"),
    "two lengths": request("POST", "/", "Content-Length: 3", "Content-Length: 3", body=b"abc"),
    "a length with a sign": request("POST", "/", "Content-Length: +3", body=b"abc"),
    "a length of letters": request("POST", "/", "Content-Length: x", body=b"abc"),
    "chunked twice": request("POST", "/", "Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "chunked before gzip": request("POST", "/", "Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    "gzip alone": request("POST", "/", "Transfer-Encoding: gzip", body=b"x"),
    "an unknown coding": request("POST", "/", "Transfer-Encoding: other", body=b"x"),
    "chunked in HTTP/1.0": request("POST", "/", CHUNKED, body=b"0\r\n\r\n", version="1.0"),
    "a folded line": request("GET", "/", "X-A: b", " folded"),
    "a space before the colon": request("GET", "/", "X-A : b"),
    "a name with a space": request("GET", "/", "X A: b"),
    "no colon": request("GET", "/", "XA"),
    "a null": request("GET", "/", "X-A: \0"),
    "a bare LF": b"GET / HTTP/1.1\nHost: x\n\n",
    "a bare LF in the head": b"GET / HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n",
    "two hosts": request("GET", "/", "Host: y"),
    "a small letter in the method": request("Get", "/"),
    "no version": b"GET /\r\nHost: x\r\n\r\n",
    "version 2": request("GET", "/", version="2.0"),
    "no path": b"GET HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path without its slash": request("GET", "a"),
    "a space in the path": request("GET", "/a b"),
    "bytes over 127 in the path": "GET /设 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "a long line": request("GET", "/" + "x" * 9000),
    "a long field": request("GET", "/", "X-A: " + "x" * 9000),
    "many fields": request("GET", "/", *(f"X-{n}: x" for n in range(200))),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "an empty line first": b"\r\n" + request("GET", "/", "Connection: close"),
    "a fine one": request("GET", "/", "Connection: close"),
}


@pytest.mark.parametrize("sent", STRANGE.values(), ids=STRANGE)
def test_what_is_strange_is_refused_as_gunicorn_itself_refuses_it(shared, stock, sent):
    theirs = int(stock.raw(sent, half_close=True).split()[1])
    answer = shared.raw(sent, half_close=True)
    refusal = first_json(answer).get("devicesvc.refusal")
    assert b"Connection: close" in answer
    assert (refusal[0] if refusal else 200) == theirs


BROKEN_CHUNKS = [
    b"zz\r\n",
    b"-5\r\nhello\r\n",
    b"5\r\nhello-more",
    b"5 \r\nhello\r\n",
    b"5\nhello\r\n",
    b'5;"\r\nhello\r\n',
]


@pytest.mark.parametrize("body", BROKEN_CHUNKS)
def test_malformed_chunks_cannot_be_read_and_end_the_connection(shared_service, body):
    with socket.create_connection(("127.0.0.1", shared_service.port), timeout=60) as client:
        client.sendall(request("DELETE", "/v1/devices", CHUNKED) + body + b"0\r\n\r\n" + request("GET", "/healthz"))
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


def in_chunks(count, size):
    return b"%x\r\n%b\r\n" % (size, b" " * size) * count + b"0\r\n\r\n"


@pytest.mark.parametrize(("count", "size"), [(10_000, 1), (30_000, 64)])
def test_some_small_chunks_or_many_larger_ones_are_taken(shared, count, size):
    sent = request("POST", "/", CHUNKED, "Connection: close", body=in_chunks(count, size))
    assert len(first_json(shared.raw(sent))["body"]) == count * size


@pytest.mark.parametrize(("count", "size"), [pytest.param(1_000_000, 1, marks=only_long), (30_000, 8)])
def test_a_body_in_very_many_small_chunks_is_refused_before_it_costs_much(start, count, size):
    service = start()
    path = Path(f"/proc/{children(service.process.pid)[0]}/stat")
    before = seconds_of(path)
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as client:
        client.sendall(
            request("POST", "/v1/devices", CHUNKED, "Content-Type: application/json") + in_chunks(count, size)
        )
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert first_json(answer)["detail"] == "The body comes in too many small chunks: send at least 64 bytes in each."
    assert seconds_of(path) - before < 1
    service.stop()
    assert [line for line in service.lines if '"POST /v1/devices HTTP/1.1" 400 ' in line]


def seconds_of(stat):
    """The processor time of a process."""
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
