"""/v1/devices/batch, /v1/devices/import, and devices as CSV."""

import csv
import io

import pytest

from devicesvc import handover
from devicesvc.api import csv_body
from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.model import Nic
from devicesvc.sample import DEVICES
from tests.api.checks import ids, problem
from tests.hard_data import ADD, HARD, IN_GBK, content, device

ONE, TWO, THREE = sorted(each.id for each in DEVICES)[:3]
BY_ID = sorted(DEVICES, key=lambda each: each.id)


class TestBatch:
    def test_it_creates_updates_and_deletes(self, client):
        batch = {
            "create": [ADD, {**ADD, "name": "two"}],
            "update": [{"id": ONE, "nic": []}],
            "delete": [TWO, "none", TWO],
        }
        answer = client.post("/v1/devices/batch", json=batch)
        assert answer.status_code == answer.json["status"] == 200
        done = answer.json["data"]
        assert (done["update"], done["delete"], len(done["create"])) == ([ONE], [TWO], 2)
        assert answer.json["message"] == "devices created: 2, updated: 1, deleted: 1"
        assert client.get(f"/v1/devices/{done['create'][1]}").json["data"]["name"] == "two"
        assert client.get(f"/v1/devices/{ONE}").json["data"]["nic"] == []
        assert len(ids(client.get("/v1/devices"))) == 6

    @pytest.mark.parametrize("batch", [{}, {"create": []}, {"create": [], "update": [], "delete": []}])
    def test_an_empty_one_changes_nothing(self, client, batch):
        assert client.post("/v1/devices/batch", json=batch).json["data"] == {"create": [], "update": [], "delete": []}

    def test_a_device_may_be_changed_twice_and_then_deleted(self, client):
        batch = {"update": [{"id": ONE, "name": "x"}, {"id": ONE, "type": "y"}]}
        client.post("/v1/devices/batch", json=batch)
        data = client.get(f"/v1/devices/{ONE}").json["data"]
        assert (data["name"], data["type"]) == ("x", "y")
        assert client.post("/v1/devices/batch", json={**batch, "delete": [ONE]}).json["data"]["delete"] == [ONE]

    def test_every_bad_item_is_named_by_list_and_index_and_nothing_is_changed(self, client):
        before = client.get("/v1/devices").json
        batch = {
            "create": [ADD, {**ADD, "name": "", "status": None}, 5, {**ADD, "id": "x"}, None],
            "update": [{"id": ONE, "name": "x"}, {"id": "none"}, {"name": "x"}, {"id": TWO, "nic": [{"type": ""}]}],
            "delete": [TWO, 5, None],
        }
        errors = problem(client.post("/v1/devices/batch", json=batch), 422)["errors"]
        assert list(errors) == [
            *("create.1.name", "create.1.status", "create.2", "create.3.id", "create.4"),
            *("update.1.id", "update.2.id", "update.3.nic.0.type", "update.3.nic.0.mac", "update.3.nic.0.ipv4"),
            *("delete.1", "delete.2"),
        ]
        assert errors["update.1.id"] == "must be the id of a device; there is none with the id 'none'"
        assert errors["create.4"] == "may not be null"
        assert client.get("/v1/devices").json == before

    @pytest.mark.parametrize(
        ("batch", "field"),
        [({"create": {}}, "create"), ({"add": []}, "add"), ([], "the body"), ({"delete": "x"}, "delete")],
    )
    def test_422_for_what_is_not_a_batch(self, client, batch, field):
        assert list(problem(client.post("/v1/devices/batch", json=batch), 422)["errors"]) == [field]

    def test_a_thousand_items_are_taken_and_no_more(self, client):
        batch = {"create": [ADD] * 998, "update": [{"id": ONE}], "delete": [TWO]}
        answer = client.post("/v1/devices/batch", json={**batch, "delete": [TWO, THREE]})
        assert "at most 1000 items, not 1001" in problem(answer, 422)["detail"]
        done = client.post("/v1/devices/batch", json=batch)
        assert len(set(done.json["data"]["create"])) == 998
        assert client.get("/v1/devices").json["total"] == 1002


class TestExport:
    def export(self, client, **query):
        answer = client.get("/v1/devices", query_string=query, headers={"Accept": "text/csv"})
        assert answer.status_code == 200
        assert answer.content_type == "text/csv; charset=utf-8"
        return answer.data

    def test_it_is_the_file_format_sorted_by_id(self, client):
        assert self.export(client) == content(BY_ID)

    def test_filters_sort_and_limit_apply(self, client):
        assert self.export(client, status="offline") == content([each for each in BY_ID if each.status == "offline"])
        assert self.export(client, sort="-id", limit=2) == content(BY_ID[::-1][:2])
        assert self.export(client, name="nobody") == content([])

    def test_it_is_whole_however_many_there_are(self, client):
        many = [device(f"{number:04}") for number in range(1500)]
        client.application.extensions["devicesvc.store"].write(lambda tx: [tx.devices.add(each) for each in many])
        assert self.export(client, sn="s") == content(many)

    @pytest.mark.parametrize(
        ("accept", "media_type"),
        [
            ("text/csv", "text/csv; charset=utf-8"),
            ("text/csv, application/json;q=0.5", "text/csv; charset=utf-8"),
            ("application/json, text/csv;q=0.5", "application/json"),
            ("*/*", "application/json"),
            ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
            ("text/*", "text/csv; charset=utf-8"),
            ("image/png", "application/json"),
            ("", "application/json"),
        ],
    )
    def test_only_who_prefers_csv_gets_it(self, client, accept, media_type):
        answer = client.get("/v1/devices", headers={"Accept": accept})
        assert (answer.status_code, answer.content_type) == (200, media_type)

    def test_for_excel_no_cell_begins_as_a_formula(self, client):
        for number, name in enumerate(["=1+1", "+1", "-1", "@SUM(1)", "a=1", '=A1,"b"', "设备"]):
            client.put(f"/v1/devices/d{number}", json={**ADD, "name": name, "status": "-"})
        answer = client.get("/v1/devices?excel=true", headers={"Accept": "application/json"})
        assert answer.content_type == "text/csv; charset=utf-8"
        assert answer.headers["Content-Disposition"] == "attachment; filename=device.csv"
        assert answer.data.startswith(b"\xef\xbb\xbfid,name,")
        rows = list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"), newline="")))
        names = [row["name"] for row in rows if row["id"].startswith("d")]
        assert names == ["'=1+1", "'+1", "'-1", "'@SUM(1)", "a=1", '\'=A1,"b"', "设备"]
        assert {row["status"] for row in rows if row["id"].startswith("d")} == {"'-"}
        assert not any(cell.startswith(tuple("=+-@")) for row in rows for cell in row.values())

    def test_the_plain_export_has_every_value_as_it_is(self, client):
        client.put("/v1/devices/d", json={**ADD, "name": "=1+1"})
        for query in ({}, {"excel": "false"}):
            assert b"\nd,=1+1," in self.export(client, **query)

    def test_a_refusal_is_json_all_the_same(self, client):
        problem(client.get("/v1/devices?x=1", headers={"Accept": "text/csv"}), 422)


class TestImport:
    def load(self, client, data, content_type="text/csv", **query):
        return client.post("/v1/devices/import", data=data, content_type=content_type, query_string=query)

    def test_what_was_exported_is_imported_with_no_difference(self, client):
        for each in HARD.values():
            client.application.extensions["devicesvc.store"].write(lambda tx, each=each: tx.devices.put(each))
        exported = client.get("/v1/devices", headers={"Accept": "text/csv"}).data
        again = self.load(client, exported)
        assert again.json["data"] == {"added": [], "changed": [], "unchanged": ids(client.get("/v1/devices"))}
        before = client.get("/v1/devices").json
        client.delete("/v1/devices", json={"ids": ids(client.get("/v1/devices"))})
        assert self.load(client, exported).json["data"]["added"] == [each["id"] for each in before["data"]]
        assert client.get("/v1/devices").json == before
        assert client.get("/v1/devices", headers={"Accept": "text/csv"}).data == exported

    def test_it_adds_changes_and_leaves(self, client):
        file = content([device("new", name="设备"), BY_ID[0].merge({"name": "x"}), BY_ID[1]])
        done = {"added": ["new"], "changed": [ONE], "unchanged": [TWO]}
        dry = self.load(client, file, dry_run="true")
        assert dry.json["data"] == done
        assert dry.json["message"] == "devices that would be added: 1, changed: 1, unchanged: 1"
        assert client.get("/v1/devices").json["total"] == 5
        wet = self.load(client, file)
        assert wet.json["data"] == done
        assert wet.json["message"] == "devices added: 1, changed: 1, unchanged: 1"
        assert client.get("/v1/devices").json["total"] == 6
        assert client.get(f"/v1/devices/{ONE}").json["data"]["name"] == "x"
        assert self.load(client, file).json["data"] == {"added": [], "changed": [], "unchanged": ["new", ONE, TWO]}

    def test_a_device_keeps_its_memberships(self, client):
        client.put("/v1/groups/a", json={"name": "a"})
        client.put(f"/v1/groups/a/devices/{ONE}")
        self.load(client, content([device(ONE)]))
        assert ids(client.get("/v1/groups/a/devices")) == [ONE]

    @pytest.mark.parametrize("dry_run", ["true", "false"])
    def test_every_bad_cell_is_named_by_line_and_column_and_nothing_is_changed(self, client, dry_run):
        good = content([device("new")])
        line = good.splitlines(keepends=True)[1]
        bad = good + line + line.replace(b"new,n,", b"a b,,") + b"x,y\n"
        errors = problem(self.load(client, bad, dry_run=dry_run), 422)["errors"]
        assert errors == {
            "line 3, column id": "must be unique; 'new' is on line 2 too",
            "line 4, column id": errors["line 4, column id"],
            "line 4, column name": "must be 1 to 64 characters with no control character, not ''",
            "line 5": f"must have {len(FORMAT.columns)} cells, as the header has, not 2",
        }
        assert client.get("/v1/devices").json["total"] == 5

    def test_at_most_a_hundred_faults_are_named(self, client):
        assert len(problem(self.load(client, content([]) + b"x\n" * 5000), 422)["errors"]) == 100

    @pytest.mark.parametrize("data", [b"", b"\xff\n", b"id,name\n", content(DEVICES)[:-1], b"\0\n"])
    def test_what_is_not_such_a_file_is_422(self, client, data):
        assert "line " in problem(self.load(client, data), 422)["detail"]

    def test_a_file_in_gbk_is_refused_and_the_form_of_excel_that_works_is_named(self, client):
        rule = "is not UTF-8: save the file in UTF-8; in Excel, choose the file type CSV UTF-8, not CSV"
        assert problem(self.load(client, IN_GBK), 422)["errors"] == {"line 2": rule}

    def test_a_column_without_a_name_is_named_by_its_number(self, client):
        data = content(DEVICES).replace(b",status", b",", 1)
        rule = "has no name in the header; missing: status"
        assert problem(self.load(client, data), 422)["errors"] == {"line 1, column 11": rule}

    @pytest.mark.parametrize(
        "content_type",
        ["", "application/json", "text/plain", "text/csv; charset=gbk", "multipart/form-data; boundary=x"],
    )
    def test_415_if_it_is_not_declared_as_csv_in_utf8(self, client, content_type):
        answer = problem(self.load(client, content(DEVICES), content_type), 415)
        assert answer["detail"] == "Send the file in UTF-8, with the header Content-Type: text/csv."

    @pytest.mark.parametrize("content_type", ["text/csv", "text/csv; charset=UTF-8", 'text/csv; header="present"'])
    def test_these_content_types_are_taken(self, client, content_type):
        assert self.load(client, content(DEVICES), content_type).status_code == 200

    def test_it_has_a_limit_of_its_own(self, client, monkeypatch):
        nics = tuple(Nic("设" * 32, f"00:00:00:00:00:{number:02x}", "10.0.0.1") for number in range(16))
        large = content([device(str(number), nic=nics) for number in range(4500)])
        assert len(large) > handover.MAX_BODY
        read = self.load(client, large, dry_run="true").json["data"]
        assert read["added"] == [str(number) for number in range(4500)]
        row = content([device("x")])
        monkeypatch.setattr(csv_body, "MAX_CSV", len(row))
        assert self.load(client, row).status_code == 200
        assert f"limit of {len(row)}" in problem(self.load(client, row + b"\n"), 413)["detail"]

    @pytest.mark.parametrize("query", [{"dry_run": "1"}, {"dry_run": "yes"}, {"dry": "true"}])
    def test_422_for_a_wrong_argument_and_nothing_is_changed(self, client, query):
        problem(self.load(client, content([device("new")]), **query), 422)
        assert client.get("/v1/devices").json["total"] == 5

    def test_400_for_an_argument_given_twice(self, client):
        problem(
            client.post("/v1/devices/import?dry_run=true&dry_run=false", data=content([]), content_type="text/csv"), 400
        )
