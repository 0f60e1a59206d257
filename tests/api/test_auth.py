"""Tokens: who may call /v1."""

import os
from datetime import UTC, date, datetime

import pytest

from devicesvc import tokens
from devicesvc.app import create_app
from devicesvc.errors import StoreUnavailable


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tokens.txt"


@pytest.fixture
def secrets(file):
    return {scope: tokens.create(file, f"{scope}er", scope) for scope in tokens.SCOPES}


@pytest.fixture
def client(store, file, secrets, app_over):  # noqa: ARG001 - it makes the tokens in the file
    return app_over(store, file).test_client()


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(
    "headers",
    [{}, bearer(""), bearer("x"), bearer("设备"), {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}],
    ids=["none", "empty", "wrong", "not ASCII", "Basic", "no token"],
)
def test_401_without_a_valid_token(client, headers):
    for path in ("/v1/devices", "/v1/nothing", "/v1", "/metrics"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == answer.json["status"] == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "No token was sent"),
        (bearer(""), "must be: Bearer, a space and the token"),
        ({"Authorization": ""}, "must be: Bearer, a space and the token"),
        ({"Authorization": "Basic eDp5"}, "must be: Bearer, a space and the token"),
        ({"Authorization": "writer"}, "must be: Bearer, a space and the token"),
        (bearer("x"), "This token is unknown"),
    ],
    ids=["none", "empty", "an empty header", "Basic", "no scheme", "unknown"],
)
def test_401_says_what_is_wrong_with_the_token(client, headers, words):
    assert words in client.get("/v1/devices", headers=headers).json["detail"]


def test_401_does_not_say_which_token_it_nearly_was(client, secrets):
    for nearly in (secrets["read"][:-1], secrets["write"] + "x", secrets["read"].swapcase()):
        detail = client.get("/v1/devices", headers=bearer(nearly)).json["detail"]
        assert detail == client.get("/v1/devices", headers=bearer("x")).json["detail"]


def test_503_names_no_file_but_the_log_does(client, secrets, monkeypatch, caplog):
    def fail(*_arguments):
        raise StoreUnavailable("/data/device.csv breaks a rule: line 3, column name.", {"line 3": "x"})

    monkeypatch.setattr(client.application.extensions["devicesvc.store"], "_write", fail)
    answer = client.delete("/v1/devices?ids=1", headers=bearer(secrets["write"]))
    assert (answer.status_code, answer.json["errors"]) == (503, {})
    assert "device.csv" not in answer.text
    assert "line 3" not in answer.text
    assert "the log of the service says why" in answer.json["detail"]
    assert "/data/device.csv breaks a rule: line 3" in caplog.text


def test_a_read_token_reads_and_does_not_write(client, secrets):
    headers = bearer(secrets["read"])
    for path in ("/v1/devices", "/metrics"):
        assert client.get(path, headers=headers).status_code == 200
    answer = client.delete("/v1/devices?ids=4322159209", headers=headers)
    assert answer.status_code == answer.json["status"] == 403
    assert "'reader' may only read" in answer.json["detail"]
    assert client.get("/v1/devices/4322159209", headers=headers).status_code == 200


def test_a_write_token_reads_and_writes(client, secrets):
    headers = bearer(secrets["write"])
    assert client.get("/v1/devices", headers=headers).status_code == 200
    assert client.delete("/v1/devices?ids=4322159209", headers=headers).json["ids"] == ["4322159209"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/docs/swagger", "/openapi.json"])
def test_pages_and_health_need_none(client, path):
    assert client.get(path, buffered=True).status_code == 200


@pytest.mark.parametrize("path", ["/V1/devices", "/%76%31/devices", "/./v1/devices", "/docs/../v1/devices"])
def test_no_other_spelling_of_the_path_goes_around_it(client, path):
    assert client.get(path).status_code in (401, 404)


def test_a_doubled_slash_at_the_front_does_not_either(client):
    assert client.get("/", environ_overrides={"PATH_INFO": "//v1/devices"}).status_code == 401


def test_the_file_holds_no_secret(file, secrets):
    text = file.read_text()
    assert len(text.splitlines()) == 2
    assert not any(secret in text for secret in secrets.values())
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_token_whose_line_is_deleted_no_longer_works(client, file, secrets):
    read, _write = file.read_text().splitlines(keepends=True)
    file.write_text(f"# only this one\n\n{read}")
    assert client.get("/v1/devices", headers=bearer(secrets["write"])).status_code == 401
    assert client.get("/v1/devices", headers=bearer(secrets["read"])).status_code == 200


@pytest.fixture
def clock(monkeypatch):
    """Sets the time, in UTC, that tokens see."""

    class Clock(datetime):
        present = datetime(2027, 1, 31, 23, 59, 59)

        @classmethod
        def now(cls, tz=None):
            assert tz is UTC
            return cls.present

    def set_time(*parts):
        Clock.present = datetime(*parts)

    monkeypatch.setattr(tokens, "datetime", Clock)
    return set_time


def test_a_token_is_valid_until_its_last_day_ends_in_utc(client, file, clock):
    clock(2027, 1, 1)
    headers = bearer(tokens.create(file, "guest", "read", date(2027, 1, 31)))
    clock(2027, 1, 31, 23, 59, 59)
    assert client.get("/v1/devices", headers=headers).status_code == 200
    clock(2027, 2, 1)
    answer = client.get("/v1/devices", headers=headers)
    assert answer.status_code == answer.json["status"] == 401
    assert answer.json["detail"] == (
        "The token 'guest' was valid until 2027-01-31, and has expired:"
        " ask the person who runs the service for a new one."
    )
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("text", ["admin\n", f"{'0' * 64} admin name\n", f"{'0' * 64} read name 2027-02-30\n"])
def test_a_file_that_cannot_be_read_lets_nobody_in(client, file, secrets, text, caplog):
    with file.open("a") as end:
        end.write(text)
    answer = client.get("/v1/devices", headers=bearer(secrets["write"]))
    assert answer.status_code == 503
    assert str(file) not in answer.text
    assert "line 3 must be" in caplog.text


def test_a_file_that_is_gone_lets_nobody_in(client, file, secrets):
    file.unlink()
    assert client.get("/v1/devices", headers=bearer(secrets["write"])).status_code == 503


def test_a_fifo_in_its_place_lets_nobody_in_and_stops_nobody(client, file, secrets, caplog):
    file.unlink()
    os.mkfifo(file)
    answer = client.get("/v1/devices", headers={"Authorization": f"Bearer {secrets['read']}"})
    assert answer.status_code == 503
    assert "It is not a regular file" in caplog.text


def test_the_service_does_not_start_with_a_file_that_is_not_there(store, tmp_path):
    with pytest.raises(StoreUnavailable, match=r"nothing\.txt cannot be used"):
        create_app({"TOKENS_FILE": str(tmp_path / "nothing.txt")}, store=store)


def test_without_tokens_the_log_warns(store, caplog):
    create_app({"TOKENS_FILE": ""}, store=store)
    assert "everybody who reaches this address may read and change everything" in caplog.text
