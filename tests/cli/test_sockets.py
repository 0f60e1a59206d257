"""What only a real socket shows: chunked bodies, bodies that break off, paths that clients tidy up."""

import json
import socket

import pytest

from devicesvc.handover import MAX_BODY

FIRST, SECOND, THIRD = "4322159209", "5661391086", "3635138853"  # the tests share a service: each deletes its own


@pytest.fixture
def send(shared_service):

    def send(*parts, close=False):
        """Send bytes as they are; return (status, headers, body) of the one answer."""
        with socket.create_connection(("127.0.0.1", shared_service.port), timeout=60) as client:
            for part in parts:
                client.sendall(part)
            if close:
                client.shutdown(socket.SHUT_WR)
            answer = client.makefile("rb")
            status = int(answer.readline().split()[1])
            headers = {}
            while line := answer.readline().strip():
                name, value = line.decode().split(": ", 1)
                headers[name] = value
            return status, headers, json.loads(answer.read(int(headers["Content-Length"])))

    return send


def head(method, path="/v1/devices", *headers):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def chunks(body, size=65536):
    for start in range(0, len(body), size):
        part = body[start : start + size]
        yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


CHUNKED = "Transfer-Encoding: chunked"
JSON = "Content-Type: application/json"


def test_a_chunked_body_is_read_in_get_and_delete_and_put(send):
    status, _, answer = send(head("GET", "/v1/devices", CHUNKED), *chunks(b'{"id": "5661391086"}', 3))
    assert (status, len(answer["data"])) == (200, 1)
    status, _, answer = send(
        head("PUT", "/v1/devices", CHUNKED, JSON), *chunks(b'{"id": "5661391086", "name": "x"}', 3)
    )
    assert (status, answer["data"]["name"]) == (200, "x")
    status, _, answer = send(head("DELETE", "/v1/devices", CHUNKED), *chunks(b'{"ids": ["5661391086"]}', 3))
    assert (status, answer["ids"]) == (200, [SECOND])


def test_a_chunked_body_over_the_limit_is_413_and_not_cut_to_fit(send):
    """Cut to the limit this body would be proper JSON, and delete a device."""
    body = b'{"ids": ["4322159209"]}'.ljust(MAX_BODY) + b"x"
    status, headers, answer = send(head("DELETE", "/v1/devices", CHUNKED), *chunks(body))
    assert (status, answer["status"]) == (413, 413)
    assert headers["Content-Type"] == "application/problem+json"
    assert send(head("GET", f"/v1/devices/{FIRST}"))[0] == 200


def test_a_chunked_body_at_the_limit_is_read(send):
    status, _, answer = send(
        head("DELETE", "/v1/devices", CHUNKED), *chunks(b'{"ids": ["3635138853"]}'.ljust(MAX_BODY))
    )
    assert (status, answer["ids"]) == (200, [THIRD])


def test_a_declared_body_over_the_limit_is_413_before_it_is_sent(send):
    status, _, answer = send(head("POST", "/v1/devices", JSON, f"Content-Length: {MAX_BODY + 1}"))
    assert status == 413
    assert f"{MAX_BODY + 1} bytes" in answer["detail"]


@pytest.mark.parametrize("body", [b"zz\r\n", b"-5\r\nhello\r\n", b"5\r\nhello-more", b"5\r\nhel"])
def test_malformed_chunks_are_400(send, body):
    status, _, answer = send(head("DELETE", "/v1/devices", CHUNKED), body, close=True)
    assert (status, answer["status"]) == (400, 400)


def test_a_body_that_breaks_off_is_400_even_if_its_beginning_is_json(send):
    status, _, answer = send(
        head("DELETE", "/v1/devices", "Content-Length: 100"), b'{"ids": ["4322159209"]}', close=True
    )
    assert status == 400
    assert "broke off after 23 of 100 bytes" in answer["detail"]
    assert send(head("GET", f"/v1/devices/{FIRST}"))[0] == 200


@pytest.mark.parametrize("path", ["/v1//devices", "/v1/devices//", "/v1/./devices", "/v1/devices/a/b"])
def test_no_path_is_tidied_up_with_a_redirect(send, path):
    status, headers, answer = send(head("GET", path))
    assert (status, answer["status"]) == (404, 404)
    assert "Location" not in headers


def test_405_keeps_its_allow_header(send):
    status, headers, _ = send(head("OPTIONS"))
    assert (status, headers["Allow"]) == (405, "DELETE, GET, HEAD, PATCH, POST, PUT")


def test_the_connection_is_good_for_the_next_request_after_a_body_nobody_read(shared_service):
    with socket.create_connection(("127.0.0.1", shared_service.port), timeout=60) as client:
        client.sendall(head("GET", f"/v1/devices/{FIRST}", "Content-Length: 5") + b"GET /" + head("GET", "/healthz"))
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b'{"status":200,"message":"alive"}\n')
