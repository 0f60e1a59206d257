"""/v1/devices, call by call, on every store."""

import re

import pytest

from devicesvc.model import Nic
from devicesvc.sample import DEVICES
from tests.api.checks import ids, problem
from tests.hard_data import ADD as NEW
from tests.hard_data import HARD

FIRST = "4322159209"


class TestGet:
    def test_without_arguments_it_lists_all_by_id(self, client):
        answer = client.get("/v1/devices")
        assert answer.status_code == answer.json["status"] == 200
        assert answer.content_type == "application/json"
        assert ids(answer) == sorted(device.id for device in DEVICES)

    def test_a_device_has_the_form_of_the_lab(self, client):
        assert client.get("/v1/devices", query_string={"id": "5661391086"}).json["data"] == [
            {
                "id": "5661391086",
                "name": "greenhouse-gateway",
                "type": "gateway",
                "hardware": {"model": "Raspberry Pi 4", "sn": "itOYJ"},
                "software": {"version": "0.3", "last_update": "2023-05-12 09:45:00"},
                "nic": [{"type": "wifi", "mac": "dc:a6:32:5e:71:20", "ipv4": "192.168.1.20"}],
                "status": "online",
            }
        ]

    @pytest.mark.parametrize(
        "wanted",
        [{"id": "5661391086"}, {"sn": "itOYJ", "model": "Raspberry Pi 4"}, {"mac": "DC-A6-32-5E-71-20"}],
    )
    def test_query_and_body_find_the_same(self, client, wanted):
        assert ids(client.get("/v1/devices", query_string=wanted)) == ["5661391086"]
        assert ids(client.get("/v1/devices", json=wanted)) == ["5661391086"]

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "", "application/x-www-form-urlencoded", "application/json"]
    )
    def test_a_body_counts_whatever_its_content_type(self, client, content_type):
        assert ids(client.get("/v1/devices", data='{"id": "5661391086"}', content_type=content_type)) == ["5661391086"]

    def test_each_filter_narrows(self, client):
        assert ids(client.get("/v1/devices?type=gateway")) == ["5394030919", "5661391086"]
        assert ids(client.get("/v1/devices?type=gateway&status=online&model=x86")) == ["5394030919"]
        assert ids(client.get("/v1/devices?name=meter-adapter&ipv4=192.168.2.30")) == ["3635138853"]

    def test_what_fits_nothing_is_an_empty_list(self, client):
        assert client.get("/v1/devices?id=设备").json["data"] == []
        assert client.get("/v1/devices?id=").json["data"] == []

    def test_a_trailing_slash_works(self, client):
        assert ids(client.get("/v1/devices/?id=5661391086")) == ["5661391086"]

    @pytest.mark.parametrize(
        ("request_", "words"),
        [
            ({"query_string": "id=1", "json": {"sn": "x"}}, "in the query or in the body, not in both"),
            ({"query_string": "id=1&id=2"}, "The query gives 'id' twice."),
            ({"data": '{"id": "1", "id": "2"}'}, "it gives 'id' twice"),
            ({"data": "id=1"}, "not proper JSON"),
            ({"data": b"\xff"}, "not proper JSON"),
        ],
    )
    def test_400(self, client, request_, words):
        assert words in problem(client.get("/v1/devices", **request_), 400)["detail"]

    @pytest.mark.parametrize(
        ("request_", "field"),
        [
            ({"query_string": "colour=red"}, "colour"),
            ({"json": {"colour": "red"}}, "colour"),
            ({"json": {"id": 5}}, "id"),
            ({"json": {"id": None}}, "id"),
            ({"json": ["id"]}, "the body"),
        ],
    )
    def test_422_names_the_field(self, client, request_, field):
        answer = problem(client.get("/v1/devices", **request_), 422)
        assert list(answer["errors"]) == [field]
        assert answer["detail"].startswith(f"{field} ")
        assert answer["message"] == answer["detail"]


class TestPost:
    def test_it_answers_with_the_new_id_and_where_it_is(self, client):
        answer = client.post("/v1/devices", json=NEW)
        assert answer.status_code == answer.json["status"] == 201
        assert re.fullmatch("[1-9][0-9]{9}", answer.json["data"])
        assert answer.headers["Location"] == f"/v1/devices/{answer.json['data']}"
        assert client.get(answer.headers["Location"]).json["data"] == {"id": answer.json["data"], **NEW}

    def test_the_same_body_twice_makes_two_devices(self, client):
        first, second = (client.post("/v1/devices", json=NEW).json["data"] for _ in range(2))
        assert first != second
        assert len(client.get("/v1/devices?sn=test-sn").json["data"]) == 2

    def test_last_update_may_be_written_as_the_table_of_the_lab_prints_it(self, client):
        software = {"version": "0.1", "last update": "2023-08-06 20:00:00"}
        id = client.post("/v1/devices", json={**NEW, "software": software}).json["data"]
        assert client.get(f"/v1/devices/{id}").json["data"]["software"] == NEW["software"]

    @pytest.mark.parametrize("case", HARD)
    def test_hard_data_goes_in_and_comes_out(self, client, case):
        hard = client.application.extensions["devicesvc.store"].write(
            lambda tx: tx.devices.add(HARD[case]) or HARD[case]
        )
        given = client.get(f"/v1/devices/{hard.id}").json["data"]
        id = client.post("/v1/devices", json={k: v for k, v in given.items() if k != "id"}).json["data"]
        assert client.get(f"/v1/devices/{id}").json["data"] == {**given, "id": id}

    @pytest.mark.parametrize(
        ("changes", "errors"),
        [
            ({"name": ""}, {"name": "must be 1 to 64 characters with no control character, not ''"}),
            ({"name": None}, {"name": "may not be null"}),
            ({"id": "1"}, {"id": "is made by the service here; to choose it yourself, call PUT /v1/devices/{id}"}),
            ({"hardware": {"model": "x"}}, {"hardware.sn": "is required"}),
            ({"hardware": "x"}, {"hardware": "must be a JSON object"}),
            ({"nic": {}}, {"nic": "must be a list"}),
            ({"nic": NEW["nic"] * 17}, {"nic": "must be at most 16 network interfaces"}),
            ({"nic": [None]}, {"nic.0": "may not be null"}),
            (
                {"nic": [*NEW["nic"], {**NEW["nic"][0], "ipv4": "1.2.3.256"}]},
                {"nic.1.ipv4": f"must be {Nic.RULES['ipv4'].says}, not '1.2.3.256'"},
            ),
            (
                {"software": {**NEW["software"], "last update": "2023-08-06 20:00:00"}},
                {"software.last update": "is not a field of this object (known: version, last_update)"},
            ),
        ],
    )
    def test_422_names_each_field_at_fault_and_adds_nothing(self, client, changes, errors):
        assert problem(client.post("/v1/devices", json={**NEW, **changes}), 422)["errors"] == errors
        assert len(client.get("/v1/devices").json["data"]) == 5

    def test_every_missing_field_is_named(self, client):
        assert problem(client.post("/v1/devices", json={}), 422)["errors"] == dict.fromkeys(NEW, "is required")

    def test_415_if_the_body_is_not_declared_as_json(self, client):
        assert "Content-Type: application/json" in problem(client.post("/v1/devices", data="{}"), 415)["detail"]

    def test_400_if_it_is_not_json(self, client):
        problem(client.post("/v1/devices", data="{", content_type="application/json"), 400)
        problem(client.post("/v1/devices", data="", content_type="application/json"), 400)


class TestPut:
    def test_it_changes_what_is_given_and_answers_with_the_whole(self, client):
        before = client.get(f"/v1/devices/{FIRST}").json["data"]
        change = {"id": FIRST, "name": "new-name", "software": {"version": "0.5"}, "status": "offline"}
        answer = client.put("/v1/devices", json=change)
        assert answer.status_code == answer.json["status"] == 200
        software = {**before["software"], "version": "0.5"}
        assert answer.json["data"] == {**before, "name": "new-name", "status": "offline", "software": software}
        assert client.get(f"/v1/devices/{FIRST}").json["data"] == answer.json["data"]

    def test_nics_replace_the_whole_list(self, client):
        assert client.put("/v1/devices", json={"id": FIRST, "nic": []}).json["data"]["nic"] == []

    def test_last_update_may_be_written_with_a_space_here_too(self, client):
        change = {"id": FIRST, "software": {"last update": "2024-01-01 00:00:00"}}
        software = client.put("/v1/devices", json=change).json["data"]["software"]
        assert software == {"version": "0.3", "last_update": "2024-01-01 00:00:00"}

    @pytest.mark.parametrize("id", ["1234567890", "", "a b", "batch"])
    def test_404_if_there_is_none(self, client, id):
        assert repr(id) in problem(client.put("/v1/devices", json={"id": id, "name": "x"}), 404)["detail"]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": "x"}, "id"),
            ({"id": FIRST, "status": ""}, "status"),
            ({"id": FIRST, "hardware": {"colour": "x"}}, "hardware.colour"),
            ({"id": FIRST, "hardware": None}, "hardware"),
            ({"id": FIRST, "nic": [{"type": "eth"}]}, "nic.0.mac"),
        ],
    )
    def test_422_names_the_field_and_changes_nothing(self, client, change, field):
        before = client.get("/v1/devices").json["data"]
        assert field in problem(client.put("/v1/devices", json=change), 422)["errors"]
        assert client.get("/v1/devices").json["data"] == before


class TestDelete:
    BODY = {"ids": ["3635138853", "5394030919", "1234567890 "]}

    @pytest.mark.parametrize("request_", [{"json": BODY}, {"query_string": BODY}])
    def test_it_answers_with_what_it_really_deleted(self, client, request_):
        answer = client.delete("/v1/devices", **request_)
        assert answer.status_code == answer.json["status"] == 200
        assert answer.json["ids"] == ["3635138853", "5394030919"]
        assert client.delete("/v1/devices", **request_).json["ids"] == []
        assert ids(client.get("/v1/devices")) == ["4322159209", "5661391086", "8170245536"]

    @pytest.mark.parametrize(
        ("request_", "field"),
        [
            ({}, "ids"),
            ({"json": {"ids": "3635138853"}}, "ids"),
            ({"json": {"ids": [3635138853]}}, "ids.0"),
            ({"json": {"ids": ["3635138853", None]}}, "ids.1"),
            ({"query_string": "ids=3635138853&id=1"}, "id"),
        ],
    )
    def test_422_names_the_field_and_deletes_nothing(self, client, request_, field):
        assert field in problem(client.delete("/v1/devices", **request_), 422)["errors"]
        assert len(client.get("/v1/devices").json["data"]) == 5
