"""The id of each request, and what the log says of it."""

import logging
import re

import pytest

from devicesvc.errors import StoreUnavailable
from devicesvc.logs import RequestFilter
from tests.hard_data import ADD


class TestRequestId:
    @pytest.mark.parametrize("id", ["a", "7f3c-42", "Root=1-67891233-abcdef012345678912345678", "x" * 128])
    def test_a_well_formed_id_is_kept(self, client, id):
        assert client.get("/v1/devices", headers={"X-Request-ID": id}).headers["X-Request-ID"] == id

    @pytest.mark.parametrize("id", ["", "a b", "x" * 129, "[a]", 'a"', "设备", "a\tb"])
    def test_any_other_id_is_replaced_by_a_new_one(self, client, id):
        given = client.get("/v1/devices", headers={"X-Request-ID": id}).headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{16}", given)

    def test_each_request_has_its_own(self, client):
        assert len({client.get("/healthz").headers["X-Request-ID"] for _ in range(5)}) == 5

    @pytest.mark.parametrize("path", ["/nothing", "/v1/devices/none", "/v1/devices?x=1", "/docs", "/metrics"])
    def test_every_answer_has_one(self, client, path):
        assert client.get(path, headers={"X-Request-ID": "mine"}, buffered=True).headers["X-Request-ID"] == "mine"


def test_what_is_logged_for_a_request_has_it_and_nothing_after_it_does(client, caplog):
    caplog.set_level(logging.INFO)
    caplog.handler.addFilter(RequestFilter())
    client.delete("/v1/devices?ids=4322159209", headers={"X-Request-ID": "mine"})
    logging.getLogger("devicesvc").info("after")
    changed, after = (record for record in caplog.records if record.name.startswith("devicesvc"))
    assert (changed.request, changed.getMessage()) == ("[mine] - ", "devices deleted: 4322159209")
    assert after.request == ""


def test_a_503_is_logged_with_its_reason(app, client, monkeypatch, caplog):
    def fail(*_arguments):
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr(app.extensions["devicesvc.store"], "_write", fail)
    client.post("/v1/devices", json=ADD)
    assert [record.getMessage() for record in caplog.records] == ["The disk is full."]
