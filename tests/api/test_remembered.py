"""Answers to GET are remembered, and nobody can tell but by the clock."""

from datetime import date

import pytest
from flask import request
from flask.views import MethodView

from devicesvc.api import remembered
from devicesvc.api.items import Items
from devicesvc.app import create_app
from devicesvc.dao.urls import open_store
from devicesvc.sample import DEVICES
from devicesvc.tokens import create
from tests.hard_data import NIC, content, device

ONE, LIST = "/v1/devices/4322159209", "/v1/devices?type=gateway&limit=2"
READS = [ONE, LIST, "/v1/groups", "/v1/groups/g/devices", "/v1/groups/g/devices/4322159209", "/v1/devices?q=x"]


@pytest.fixture
def made(monkeypatch):
    """The paths whose answers were made, and not remembered."""
    paths = []

    def note(self, *arguments, **values):
        paths.append(request.full_path.rstrip("?"))
        return dispatch(self, *arguments, **values)

    dispatch = MethodView.dispatch_request
    monkeypatch.setattr(MethodView, "dispatch_request", note)
    return paths


@pytest.fixture
def on_file(tmp_path):
    """A client of a service on a CSV file, whose store can tell its state."""
    with open_store(str(tmp_path / "device.csv"), DEVICES) as store:
        yield create_app({"TOKENS_FILE": ""}, store=store).test_client()


@pytest.mark.parametrize("path", READS)
def test_the_same_request_gets_the_same_answer_until_something_changes(client, path):
    client.put("/v1/groups/g", json={"name": "组"})
    client.put("/v1/groups/g/devices/4322159209")
    first, again = client.get(path), client.get(path)
    assert (first.status_code, first.data) == (again.status_code, again.data)
    lasting = [dict(answer.headers) | {"X-Request-ID": ""} for answer in (first, again)]
    assert lasting[0] == lasting[1]
    assert first.headers["X-Request-ID"] != again.headers["X-Request-ID"]


def test_each_change_is_in_the_next_answer(client):
    for number in range(20):
        name = f"名 {number}"
        client.patch(ONE, json={"name": name})
        assert [client.get(ONE).json["data"]["name"] for _ in range(2)] == [name, name]
        assert {each["name"] for each in client.get("/v1/devices?id=4322159209").json["data"]} == {name}


def test_an_answer_is_made_once_for_each_state(on_file, made):
    for _ in range(3):
        assert on_file.get(ONE).status_code == on_file.get(LIST).status_code == 200
    assert made == [ONE, LIST]
    on_file.patch(ONE, json={"name": "new"})
    on_file.get(ONE)
    assert made[2:] == [ONE, ONE]


def test_what_the_answer_depends_on_tells_answers_apart(on_file):
    etag = on_file.get(ONE).headers["ETag"]
    assert on_file.get(ONE, headers={"If-None-Match": etag}).status_code == 304
    assert on_file.get(ONE, headers={"If-Match": '"other"'}).status_code == 412
    assert on_file.get(ONE).status_code == 200
    assert on_file.get("/v1/devices").is_json
    assert on_file.get("/v1/devices", headers={"Accept": "text/csv"}).mimetype == "text/csv"
    assert on_file.get("/v1/devices", json={"id": "none"}).json["data"] == []
    assert on_file.get("/v1/devices").json["total"] == 5
    assert on_file.head(ONE).data == b""
    assert on_file.get(ONE).data


def test_a_view_that_does_not_say_so_is_asked_each_time(on_file, made, monkeypatch):
    monkeypatch.setattr(Items, "get_one", lambda self, id: {"status": 200, "message": f"{self.noun} {id}"})
    for _ in range(3):
        on_file.get(ONE)
    assert made == [ONE] * 3


def test_a_token_that_is_taken_back_reads_nothing_more(tmp_path):
    tokens = tmp_path / "tokens.txt"
    secret = create(tokens, "one", "read")
    create(tokens, "two", "read")
    with open_store(str(tmp_path / "device.csv"), DEVICES) as store:
        client = create_app({"TOKENS_FILE": str(tokens)}, store=store).test_client()
        headers = {"Authorization": f"Bearer {secret}"}
        assert [client.get(ONE, headers=headers).status_code for _ in range(2)] == [200, 200]
        assert client.get(ONE).status_code == 401
        tokens.write_text("".join(tokens.read_text().splitlines(keepends=True)[1:]))
        assert client.get(ONE, headers=headers).status_code == 401


def test_a_token_that_has_expired_reads_nothing_more(tmp_path, made, monkeypatch):
    tokens = tmp_path / "tokens.txt"
    headers = {"Authorization": f"Bearer {create(tokens, 'one', 'read', date(2099, 1, 31))}"}
    with open_store(str(tmp_path / "device.csv"), DEVICES) as store:
        client = create_app({"TOKENS_FILE": str(tokens)}, store=store).test_client()
        assert [client.get(ONE, headers=headers).status_code for _ in range(2)] == [200, 200]
        assert made == [ONE]
        monkeypatch.setattr("devicesvc.tokens.today", lambda: date(2099, 1, 31))
        assert client.get(ONE, headers=headers).status_code == 200
        monkeypatch.setattr("devicesvc.tokens.today", lambda: date(2099, 2, 1))
        assert client.get(ONE, headers=headers).status_code == 401


def test_they_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "MAX_BYTES", 20_000)
    (tmp_path / "device.csv").write_bytes(content(device(f"d{number}", nic=(NIC,) * 16) for number in range(50)))
    made = []

    class Kept(remembered.Remembered):
        def __init__(self, *state):
            super().__init__(*state)
            made.append(self)

    monkeypatch.setattr(remembered, "Remembered", Kept)
    with open_store(str(tmp_path / "device.csv")) as store:
        client = create_app({"TOKENS_FILE": ""}, store=store).test_client()
        for number in range(50):
            assert client.get(f"/v1/devices/d{number}").get_json()["data"]["id"] == f"d{number}"
            assert made[-1].bytes <= 20_000
    assert 0 < len(made[-1].answers) < 50
