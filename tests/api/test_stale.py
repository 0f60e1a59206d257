"""An answer that was read from an older state, because the file is broken now, says so."""

from email.utils import parsedate_to_datetime
from time import time

import pytest

from devicesvc.api.items import Items
from devicesvc.app import create_app
from devicesvc.dao.csv import store as store_module
from devicesvc.dao.urls import open_store
from devicesvc.handover import STALE
from devicesvc.sample import DEVICES
from devicesvc.tokens import create
from tests.hard_data import content

ONE, NONE = "/v1/devices/4322159209", "/v1/devices/none"
READS = [ONE, NONE, "/v1/devices?type=gateway", "/v1/groups", "/v1/devices/4322159209/groups", "/v1/counts"]
GOOD = content(DEVICES)
MENDED = GOOD.replace(b"classroom-controller", b"mended")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "device.csv"


@pytest.fixture
def store(path, monkeypatch):
    monkeypatch.setattr(store_module, "LOOK_EVERY", 0)  # each read sees an edit
    with open_store(str(path), DEVICES) as store:
        yield store


@pytest.fixture
def client(store):
    return create_app({"TOKENS_FILE": ""}, store=store).test_client()


def put(path, text):
    new = path.with_name("new")
    new.write_bytes(text)
    new.replace(path)


def is_stale(answer):
    return STALE in answer.headers


@pytest.mark.parametrize("call", READS)
def test_each_read_says_so_from_the_break_until_it_is_mended_also_if_it_is_remembered(client, path, call):
    for text, expected in ((GOOD, False), (b"broken", True), (MENDED, False), (b"broken", True), (GOOD, False)):
        put(path, text)
        assert [is_stale(client.get(call)) for _ in range(3)] == [expected] * 3


def test_it_says_since_when_and_another_broken_edit_changes_nothing_of_that(client, path):
    put(path, b"broken")
    first = client.get(ONE)
    since = parsedate_to_datetime(first.headers[STALE])
    assert 0 <= time() - since.timestamp() < 20
    path.unlink()
    assert client.get(ONE).headers[STALE] == first.headers[STALE]


def test_head_and_a_get_with_a_body_say_so_too_and_are_right_in_the_first_answer(client, path):
    def answers():
        return [client.head(ONE), client.get("/v1/devices", json={"id": "4322159209"})]

    for text, expected in ((b"broken", True), (MENDED, False)):
        for number in range(2):
            put(path, text)
            assert is_stale(answers()[number]) is expected


@pytest.mark.parametrize("call", ["/healthz", "/docs", "/openapi.json", "/metrics"])
def test_what_does_not_read_the_registry_does_not_say_so(client, path, call):
    put(path, b"broken")
    assert is_stale(client.get(ONE))
    assert not is_stale(client.get(call))


def test_who_may_not_read_learns_nothing_of_it(store, path, tmp_path):
    secret = create(tmp_path / "tokens.txt", "reader", "read")
    client = create_app({"TOKENS_FILE": str(tmp_path / "tokens.txt")}, store=store).test_client()
    put(path, b"broken")
    assert is_stale(client.get(ONE, headers={"Authorization": f"Bearer {secret}"}))
    assert not is_stale(client.get(ONE))


def test_an_answer_from_before_says_so_if_the_file_is_mended_while_the_answer_is_made(client, store, path, monkeypatch):
    def get_one(self, id, *more):
        answer = original(self, id, *more)
        put(path, MENDED)
        assert store.devices.get(id).name == "mended"
        return answer

    original = Items.get_one
    put(path, b"broken")
    assert is_stale(client.get("/v1/groups"))
    monkeypatch.setattr(Items, "get_one", get_one)
    answer = client.get(ONE)
    assert (answer.json["data"]["name"], is_stale(answer)) == ("classroom-controller", True)
    monkeypatch.undo()
    answer = client.get(ONE)
    assert (answer.json["data"]["name"], is_stale(answer)) == ("mended", False)
