"""One shape for every failure, whatever fails."""

import pytest
from flask import abort

from devicesvc.errors import StoreUnavailable

MEMBERS = {"status", "title", "detail", "message", "errors"}


def check(answer, status):
    assert answer.status_code == answer.json["status"] == status
    assert answer.content_type == "application/problem+json"
    assert answer.json.keys() == MEMBERS
    assert answer.json["detail"] == answer.json["message"] != ""
    return answer.json["detail"]


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/", "/v2/devices", "/v1//devices", "/docs/offapi/x"])
def test_404_on_any_path(client, path):
    answer = client.get(path)
    assert f"There is nothing at {path}" in check(answer, 404)
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/v1/devices", "DELETE, GET, HEAD, POST, PUT"),
        ("OPTIONS", "/v1/devices", "DELETE, GET, HEAD, POST, PUT"),
        ("POST", "/v1/devices/1", "DELETE, GET, HEAD, PATCH, PUT"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
        ("TRACE", "/openapi.json", "GET, HEAD"),
        ("BREW", "/v1/devices", "DELETE, GET, HEAD, POST, PUT"),
    ],
)
def test_405_says_what_is_allowed(client, method, path, allow):
    answer = client.open(path, method=method)
    assert check(answer, 405) == f"{method} does not work on {path}, only {allow}."
    assert answer.headers["Allow"] == allow


def test_head_answers_as_get_does_without_the_body(client):
    answer = client.head("/v1/devices")
    assert answer.status_code == 200
    assert answer.text == ""
    assert answer.content_length == client.get("/v1/devices").content_length


def test_500_says_nothing_of_the_inside_but_the_log_does(client, monkeypatch, caplog):
    def fail():
        raise RuntimeError("secret")

    monkeypatch.setitem(client.application.view_functions, "health.Alive", fail)
    answer = client.get("/healthz")
    assert check(answer, 500) == "The service failed; its log says why."
    assert "secret" not in answer.text
    assert "RuntimeError: secret" in caplog.text


def test_503_says_what_is_wrong_with_the_store_and_when_to_come_back(client, monkeypatch):
    def fail(_change):
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr(client.application.extensions["devicesvc.store"], "write", fail)
    answer = client.delete("/v1/devices?ids=1")
    assert check(answer, 503) == "The disk is full."
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("status", [418, 429, 502])
def test_a_status_that_a_student_aborts_with_has_the_shape_too(client, monkeypatch, status):
    monkeypatch.setitem(client.application.view_functions, "health.Alive", lambda: abort(status, "So it is."))
    assert check(client.get("/healthz"), status) == "So it is."


def test_every_answer_forbids_sniffing(client):
    for path in ("/v1/devices", "/nothing", "/docs"):
        assert client.get(path, buffered=True).headers["X-Content-Type-Options"] == "nosniff"


def test_an_error_of_a_kind_of_its_own_has_the_status_of_what_it_is(client, monkeypatch):
    class DiskFull(StoreUnavailable):
        """More exact than the error that the table of status codes names."""

    def fail():
        raise DiskFull("The disk is full.")

    monkeypatch.setitem(client.application.view_functions, "health.Alive", fail)
    assert check(client.get("/healthz"), 503) == "The disk is full."
