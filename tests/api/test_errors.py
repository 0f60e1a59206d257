"""One shape for every failure, whatever fails."""

import re

import pytest
from flask import abort

from devicesvc.api import schemas
from devicesvc.api.examples import ADD, ADD_GROUP
from devicesvc.errors import StoreUnavailable

KNOWN = "known: id, name, type, hardware, software, nic, status"  # of a change of a device
JSON = {"Content-Type": "application/json"}
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
        ("PATCH", "/v1/devices/batch", "POST"),
        ("OPTIONS", "/v1/devices", "DELETE, GET, HEAD, PATCH, POST, PUT"),
        ("POST", "/v1/devices/1", "DELETE, GET, HEAD, PATCH, PUT"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
        ("TRACE", "/openapi.json", "GET, HEAD"),
        ("BREW", "/v1/devices", "DELETE, GET, HEAD, PATCH, POST, PUT"),
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


class TestUnknownFields:
    """An unknown field is refused, with the known field that is probably meant."""

    NIC = {"Mac": ADD["nic"][0]["mac"], **{k: v for k, v in ADD["nic"][0].items() if k != "mac"}}

    @pytest.mark.parametrize(
        ("method", "path", "body", "place", "field"),
        [
            ("PATCH", "/v1/devices/5661391086", {"Type": "x"}, "Type", "type"),
            ("PATCH", "/v1/devices/5661391086", {"statuz": "x"}, "statuz", "status"),
            ("PATCH", "/v1/devices/5661391086", {"hardware": {"SN": "x"}}, "hardware.SN", "sn"),
            (
                "PATCH",
                "/v1/devices/5661391086",
                {"software": {"lastUpdate": "x"}},
                "software.lastUpdate",
                "last_update",
            ),
            ("POST", "/v1/devices", {**ADD, "nic": [NIC]}, "nic.0.Mac", "mac"),
            ("GET", "/v1/devices?Status=online", None, "Status", "status"),
            ("GET", "/v1/devices", {"groupId": "a"}, "groupId", "group_id"),
            ("POST", "/v1/devices/import?dryrun=true", None, "dryrun", "dry_run"),
            ("POST", "/v1/devices/batch", {"creates": []}, "creates", "create"),
            ("POST", "/v1/devices/batch", {"update": [{"id": "1", "Type": "x"}]}, "update.0.Type", "type"),
        ],
    )
    def test_a_close_field_is_suggested(self, client, method, path, body, place, field):
        answer = client.open(path, method=method, json=body)
        rule = answer.json["errors"][place]
        short, _, known = rule.partition(" (known: ")
        assert f"{place} {short}" in check(answer, 422)
        assert re.fullmatch(rf"is not an? (field|argument) of this \w+; did you mean `{field}`\?", short)
        assert field in known.removesuffix(")").split(", ")

    @pytest.mark.parametrize("name", ["colour", "status" + "s" * 59, "名字"])
    def test_no_field_is_suggested_if_none_is_close_or_the_name_is_long(self, client, name):
        answer = client.patch("/v1/devices/5661391086", json={name: "x"})
        shown = f"{name[:64]}{name[64:] and '...'}"
        assert check(answer, 422) == f"{shown} is not a field of this object."
        assert answer.json["errors"] == {shown: f"is not a field of this object ({KNOWN})"}

    def test_a_field_that_is_given_is_not_suggested(self, client):
        answer = client.patch("/v1/devices/5661391086", json={"Type": "x", "type": "x"})
        assert check(answer, 422) == "Type is not a field of this object."

    @pytest.mark.parametrize("call", ["GET /v1/devices?statuz=online", 'GET /v1/devices {"statuz": "online"}'])
    def test_an_unknown_argument_is_answered_with_the_closest_and_once_with_all_known_ones(self, client, call):
        method, path, *body = call.split(" ", 2)
        known = "q, id, sn, model, name, type, status, mac, ipv4, software_version, hardware_model, group_id"
        known += ", limit, cursor, total, sort, format, excel"
        answer = client.open(path, method=method, data="".join(body))
        short = "is not an argument of this call; did you mean `status`?"
        assert check(answer, 422) == f"statuz {short}"
        assert answer.json["errors"] == {"statuz": f"{short} (known: {known})"}
        assert answer.text.count("known") == 1

    def test_of_several_only_the_first_is_told_with_all_known_ones(self, client):
        answer = client.patch("/v1/devices/5661391086", data='{"x": 1, "a": 1, "statuz": 1}', headers=JSON)
        assert check(answer, 422) == (
            "x is not a field of this object; a is not a field of this object; statuz is not a field of this object;"
            " did you mean `status`?"
        )
        assert answer.json["errors"]["x"] == f"is not a field of this object ({KNOWN})"
        assert answer.text.count("known") == 1

    def test_in_a_batch_too_only_the_rule_names_all_known_ones(self, client):
        answer = client.post("/v1/devices/batch", json={"update": [{"id": "5661391086", "colour": "x"}]})
        assert check(answer, 422) == "update.0.colour is not a field of this object."
        known = f"is not a field of this object ({KNOWN})"
        assert answer.json["errors"] == {"update.0.colour": known}

    @pytest.mark.parametrize(("items", "body"), [("devices", ADD), ("groups", ADD_GROUP)])
    def test_who_sends_an_id_to_a_call_that_makes_one_is_told_of_the_call_that_takes_it(self, client, items, body):
        answer = client.post(f"/v1/{items}", json={"id": "greenhouse", **body})
        rule = f"is made by the service here; to choose it yourself, call PUT /v1/{items}/{{id}}"
        assert check(answer, 422) == f"id {rule}."
        assert answer.json["errors"] == {"id": rule}

    def test_at_most_a_hundred_of_a_request_are_compared_with_the_known_ones(self, client, monkeypatch):
        compared = []

        def compare(name, _known, **_options):
            compared.append(name)
            return []

        monkeypatch.setattr(schemas, "get_close_matches", compare)
        check(client.patch("/v1/devices/5661391086", json={f"name{number}": "x" for number in range(5000)}), 422)
        assert len(compared) == 100


class TestManyFaults:
    """An answer names a hundred faults at most, its sentence five, and it says how many more there are."""

    def test_few_are_all_in_the_sentence(self, client):
        answer = client.patch("/v1/devices/5661391086", json=dict.fromkeys(["type", "name", "status", "nic"]))
        assert check(answer, 422).count("may not be null") == len(answer.json["errors"]) == 4

    def test_of_more_than_five_the_sentence_names_five(self, client):
        answer = client.patch("/v1/devices/5661391086", json=dict.fromkeys(map(str, range(60))))
        assert check(answer, 422).count("is not a field") == 5
        assert answer.json["detail"].endswith("; and 55 more.")
        assert len(answer.json["errors"]) == 60

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PATCH", "/v1/devices/5661391086", dict.fromkeys(map(str, range(7318)))),
            ("DELETE", "/v1/devices", {"ids": [1] * 7318}),
            ("PUT", "/v1/devices/5661391086/groups", {"ids": list(map(str, range(7318)))}),
        ],
        ids=["unknown fields", "ids", "memberships"],
    )
    def test_of_more_than_a_hundred_a_hundred_are_named(self, client, method, path, body):
        answer = client.open(path, method=method, json=body)
        assert check(answer, 422).endswith("; and at least 7,313 more.")
        assert len(answer.json["errors"]) == 100

    def test_a_batch_looks_for_no_more_than_a_hundred(self, client):
        answer = client.post("/v1/devices/batch", json={"create": [{}] * 1000})
        assert check(answer, 422).endswith(" more.")
        assert list(answer.json["errors"])[-1].startswith("create.16")

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "/v1/devices", {"x" * 100_000: 1}),
            ("PUT", "/v1/devices", {"id": "x" * 100_000}),
            ("PATCH", "/v1/devices/5661391086", {"name": "x" * 100_000}),
            ("PATCH", "/v1/devices/5661391086", {"name": [1] * 100_000}),
            ("PUT", "/v1/devices/5661391086/groups", {"ids": ["x" * 100_000]}),
            ("POST", "/v1/devices/batch", {"update": [{"id": "x" * 100_000}]}),
        ],
    )
    def test_what_a_client_sent_is_not_sent_back_at_length(self, client, method, path, body):
        assert len(client.open(path, method=method, json=body).data) < 2000

    @pytest.mark.parametrize(
        ("method", "path", "body", "words"),
        [
            ("POST", "/v1/devices/batch", {"create": [5] * 1001}, "must have at most 1000 items, not 1001"),
            ("DELETE", "/v1/devices", {"ids": [5] * 10_001}, "ids must be at most 10000 ids"),
            ("POST", "/v1/devices/5661391086/groups", {"ids": [5] * 10_001}, "ids must be at most 10000 ids"),
            ("PATCH", "/v1/devices/5661391086", {"nic": [5] * 17}, "nic must be at most 16 network interfaces"),
        ],
    )
    def test_a_list_that_is_too_long_is_refused_for_that_alone(self, client, method, path, body, words):
        answer = client.open(path, method=method, json=body)
        assert words in check(answer, 422)
        assert len(answer.json["errors"]) == 1
