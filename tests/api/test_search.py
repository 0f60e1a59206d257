"""Finding, counting and changing devices by filters, on every store."""

import pytest

from devicesvc.api import items
from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from tests.api.checks import ids, problem
from tests.hard_data import content

BY_ID = sorted(DEVICES, key=lambda each: each.id)
ALL = [each.id for each in BY_ID]
ONLINE = [each.id for each in BY_ID if each.status == "online"]


@pytest.fixture
def grouped(store):
    """Two groups that share a device."""

    def change(tx):
        tx.groups.put_many([Group("g", "一组"), Group("h", "h")])
        tx.memberships.add(Membership(*each) for each in [(ALL[0], "g"), (ALL[1], "g"), (ALL[1], "h"), (ALL[2], "h")])

    store.write(change)


class TestGet:
    def test_q_finds_a_part_of_a_text_in_any_case(self, client):
        assert ids(client.get("/v1/devices?q=GREEN")) == ids(client.get("/v1/devices?q=itoyj")) == ["5661391086"]
        assert ids(client.get("/v1/devices", json={"q": "192.168.2"})) == ["3635138853", "5394030919"]
        assert ids(client.get("/v1/devices?q=PI&status=offline")) == ["8170245536"]

    def test_software_version_is_a_filter(self, client):
        assert ids(client.get("/v1/devices?software_version=0.3")) == ["4322159209", "5661391086"]
        assert ids(client.get("/v1/devices?software_version=0.3&sort=-version&q=green")) == ["5661391086"]

    def test_hardware_model_fits_only_the_whole_model_in_its_own_case(self, client):
        client.patch(f"/v1/devices/{ALL[1]}", json={"hardware": {"model": "x86 PC 2"}})
        assert ids(client.get("/v1/devices?hardware_model=x86 PC")) == ["3635138853", "5394030919"]
        assert ids(client.get("/v1/devices", json={"hardware_model": "x86 PC 2"})) == [ALL[1]]
        assert ids(client.get("/v1/devices?hardware_model=X86 PC")) == []
        assert ids(client.get("/v1/devices?model=X86 pc")) == ["3635138853", ALL[1], "5394030919"]

    @pytest.mark.usefixtures("grouped")
    def test_a_device_is_in_all_groups_that_are_named(self, client):
        assert ids(client.get("/v1/devices?group_id=g")) == ALL[:2]
        assert ids(client.get("/v1/devices?group_id=g&group_id=h")) == ids(
            client.get("/v1/devices", json={"group_id": ["h", "g"]})
        )
        assert ids(client.get("/v1/groups/g/devices?group_id=h&group_id=h")) == [ALL[1]]
        assert ids(client.get(f"/v1/groups?device_id={ALL[0]}&device_id={ALL[1]}")) == ["g"]

    def test_too_many_groups_are_refused(self, client):
        query = "&".join(f"group_id=g{number}" for number in range(17))
        assert problem(client.get(f"/v1/devices?{query}"), 422)["errors"] == {"group_id": "must be at most 16 ids"}

    @pytest.mark.parametrize("accept", ["application/json", "text/csv"])
    def test_format_says_whether_the_answer_is_csv_whatever_accept_says(self, client, accept):
        headers = {"Accept": accept}
        answer = client.get("/v1/devices?format=csv&status=online", headers=headers)
        assert answer.data == content([each for each in BY_ID if each.status == "online"])
        assert ids(client.get("/v1/devices?format=json&status=online", headers=headers)) == ONLINE
        assert client.get("/v1/devices?format=csv&excel=true").data.startswith(b"\xef\xbb\xbf")
        assert FORMAT.header.decode().strip() in client.get("/v1/devices?excel=true").text.replace('"', "")

    def test_another_format_is_refused(self, client):
        assert problem(client.get("/v1/devices?format=xml"), 422)["errors"] == {"format": "must be json or csv"}


class TestCounts:
    def test_all_is_counted_if_nothing_is_asked_for(self, client):
        counts = client.get("/v1/counts").json["data"]
        assert list(counts) == ["type", "status", "model", "software_version", "group_id"]
        assert counts["model"] == {
            "values": [{"value": "Raspberry Pi 4", "count": 3}, {"value": "x86 PC", "count": 2}],
            "others": 0,
        }
        assert counts["group_id"] == {"values": [], "others": 0}

    @pytest.mark.usefixtures("grouped")
    def test_groups_are_named(self, client):
        counts = client.get("/v1/counts?by=group_id").json["data"]["group_id"]["values"]
        assert counts == [{"value": "g", "count": 2, "name": "一组"}, {"value": "h", "count": 2, "name": "h"}]

    def test_only_devices_that_fit_are_counted(self, client):
        counts = client.get("/v1/counts?by=status&by=type&q=pi&limit=1").json["data"]
        assert counts == {
            "status": {"values": [{"value": "online", "count": 2}], "others": 1},
            "type": {"values": [{"value": "controller", "count": 2}], "others": 1},
        }
        assert counts == client.get("/v1/counts", json={"by": ["status", "type"], "q": "pi", "limit": 1}).json["data"]

    def test_a_change_is_counted_at_once(self, client):
        assert client.get("/v1/counts?by=status").json["data"]["status"]["values"][0]["count"] == 3
        client.patch(f"/v1/devices/{ONLINE[0]}", json={"status": "offline"})
        assert client.get("/v1/counts?by=status").json["data"]["status"]["values"] == [
            {"value": "offline", "count": 3},
            {"value": "online", "count": 2},
        ]

    @pytest.mark.parametrize(
        ("query", "place"), [("by=name", "by.0"), ("limit=0", "limit"), ("limit=1001", "limit"), ("sort=id", "sort")]
    )
    def test_what_cannot_be_counted_is_refused(self, client, query, place):
        assert list(problem(client.get(f"/v1/counts?{query}"), 422)["errors"]) == [place]


class TestPatch:
    def test_all_devices_that_fit_are_changed(self, client):
        answer = client.patch("/v1/devices?model=pi", json={"status": "在线", "software": {"version": "1"}})
        assert answer.json == {
            "status": 200,
            "message": "devices changed: 3 of 3",
            "data": {"found": 3, "changed": 3, "ids": ["4322159209", "5661391086", "8170245536"]},
        }
        assert ids(client.get("/v1/devices?status=在线&software_version=1")) == answer.json["data"]["ids"]
        assert client.get("/v1/devices/4322159209").json["data"]["software"]["last_update"] == "2023-05-12 09:30:00"

    def test_those_that_are_so_already_are_not_named(self, client):
        answer = client.patch("/v1/devices?q=192", json={"status": "online"})
        assert answer.json["data"] == {"found": 5, "changed": 2, "ids": sorted({*ALL} - {*ONLINE})}

    def test_a_dry_run_changes_nothing(self, client):
        before = client.get("/v1/devices").json
        answer = client.patch("/v1/devices?status=online&dry_run=true", json={"nic": []})
        assert answer.json["message"] == "devices that would be changed: 3 of 3"
        assert answer.json["data"]["ids"] == ONLINE
        assert client.get("/v1/devices").json == before

    def test_if_another_number_fits_than_is_expected_nothing_is_changed(self, client):
        answer = client.patch("/v1/devices?status=online&expect=2", json={"status": "x"})
        assert problem(answer, 409)["detail"] == "3 devices fit, and not 2: nothing was changed."
        assert ids(client.get("/v1/devices?status=online")) == ONLINE
        assert client.patch("/v1/devices?status=online&expect=3", json={"status": "x"}).status_code == 200
        assert client.patch("/v1/devices?status=online&expect=0", json={"status": "x"}).json["data"]["found"] == 0

    @pytest.mark.parametrize("query", ["", "?dry_run=true", "?expect=5"])
    def test_without_a_filter_it_is_refused(self, client, query):
        answer = client.patch(f"/v1/devices{query}", json={"status": "x"})
        rule = "must have a filter, such as status=offline: without one, all devices would change"
        assert problem(answer, 422)["errors"] == {"the query": rule}

    def test_more_than_the_limit_are_refused(self, client, monkeypatch):
        monkeypatch.setattr(items, "MAX_FOUND", 4)
        answer = client.patch("/v1/devices?q=192", json={"status": "x"})
        assert problem(answer, 422)["errors"] == {"the query": "must fit at most 4 devices, not 5"}
        assert client.patch("/v1/devices?q=pi", json={"status": "x"}).status_code == 200

    @pytest.mark.parametrize("change", [{"id": "x"}, {"status": ""}, {"nic": [{"type": "eth"}]}, {"name": None}])
    def test_a_wrong_change_is_refused(self, client, change):
        before = client.get("/v1/devices").json
        assert problem(client.patch("/v1/devices?status=online", json=change), 422)["errors"]
        assert client.get("/v1/devices").json == before


class TestDryRunOfABatch:
    def test_nothing_is_kept(self, client):
        before = client.get("/v1/devices").json
        batch = {"update": [{"id": ALL[0], "name": "x"}], "delete": [ALL[1], "none"]}
        answer = client.post("/v1/devices/batch?dry_run=true", json=batch)
        assert answer.json["message"] == "devices that would be created: 0, updated: 1, deleted: 1"
        assert answer.json["data"] == {"create": [], "update": [ALL[0]], "delete": [ALL[1]]}
        assert client.get("/v1/devices").json == before

    def test_what_is_wrong_is_named(self, client):
        answer = client.post("/v1/devices/batch?dry_run=true", json={"update": [{"id": "none", "name": "x"}]})
        assert list(problem(answer, 422)["errors"]) == ["update.0.id"]
