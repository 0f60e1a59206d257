"""The history: /v1/changes, /v1/devices/{id}/history, an item as it was, and undo."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from flask import jsonify

from devicesvc.api import history as calls
from devicesvc.dao.history import time_text
from devicesvc.logs import NOBODY
from devicesvc.sample import DEVICES
from tests.api.checks import problem
from tests.hard_data import ADD, HARD, content, device

ID = DEVICES[1].id
ONE = f"/v1/devices/{ID}"
ID_HEADER = {"X-Request-ID": "request-7"}


@pytest.fixture
def last(store):
    """The number of the last change now."""
    return store.history.last


@pytest.fixture
def changes(client, last):
    """The changes since the test began, the oldest first."""
    begin = last()

    def changes(**query):
        answer = client.get("/v1/changes", query_string={"after": begin, "limit": 1000, **query})
        assert answer.status_code == 200, answer.text
        return answer.json["data"]

    return changes


def done(change):
    """What a change did, in short."""
    return [(row["done"], row["kind"], row["id"], row["column"]) for row in change["rows"]]


class TestAChange:
    def test_it_says_who_changed_what_from_where_and_when(self, client, changes):
        begin = time_text(datetime.now(UTC))
        client.patch(ONE, json={"name": "new", "status": "offline"}, headers=ID_HEADER)
        (change,) = changes()
        rows = [
            {"done": "changed", "kind": "device", "id": ID, "column": column, "before": before, "after": after}
            for column, before, after in (("name", DEVICES[1].name, "new"), ("status", "online", "offline"))
        ]
        assert change.pop("number") > 0
        assert begin <= change.pop("time") <= time_text(datetime.now(UTC))
        assert change == {"who": NOBODY, "request_id": "request-7", "address": "127.0.0.1", "count": 2, "rows": rows}

    @pytest.mark.parametrize("hard", HARD.values(), ids=HARD)
    def test_the_whole_line_of_an_item_that_comes_or_goes_is_in_it(self, client, changes, hard):
        client.post("/v1/devices/import", data=content([hard]), content_type="text/csv")
        client.delete(f"/v1/devices/{quote(hard.id)}")
        came, went = changes()
        line = content([hard]).decode().partition("\n")[2].removesuffix("\n")
        assert [(row["column"], row["before"], row["after"]) for row in came["rows"]] == [("", "", line)]
        assert [(row["column"], row["before"], row["after"]) for row in went["rows"]] == [("", line, "")]

    def test_a_batch_is_one_change_and_its_rows_come_in_pages(self, client, changes):
        client.post("/v1/devices/batch", json={"create": [ADD] * 1000})
        (change,) = changes()
        assert (change["count"], len(change["rows"])) == (1000, 100)
        client.post("/v1/devices/import", data=content(device(f"d{n}") for n in range(1500)), content_type="text/csv")
        *_, whole = changes()
        first = client.get(f"/v1/changes/{whole['number']}").json
        rest = client.get(f"/v1/changes/{whole['number']}?cursor={first['next']}").json
        assert [len(first["data"]["rows"]), len(rest["data"]["rows"]), rest["next"]] == [1000, 500, None]
        ids = [row["id"] for page in (first, rest) for row in page["data"]["rows"]]
        assert sorted(ids) == sorted(f"d{n}" for n in range(1500))

    def test_what_changes_nothing_is_no_change(self, client, changes):
        client.patch(ONE, json={"name": DEVICES[1].name})
        client.delete("/v1/devices?ids=none")
        client.put(ONE, json={})
        assert changes() == []

    @pytest.mark.parametrize("number", [0, 10**15, 999_999, "x", "-1", "01x"])
    def test_there_is_no_other(self, client, number):
        assert client.get(f"/v1/changes/{number}").status_code == 404


class TestLists:
    def test_the_newest_come_first_in_pages(self, client, changes):
        for name in "abcde":
            client.patch(ONE, json={"name": name})
        numbers, cursor = list[int](), None
        while len(numbers) < 5:
            page = client.get("/v1/changes", query_string={"limit": 2, **({"cursor": cursor} if cursor else {})}).json
            numbers += [change["number"] for change in page["data"]]
            cursor = page["next"]
        assert numbers[:5] == [change["number"] for change in changes()][::-1]

    def test_the_last_page_says_so(self, client):
        client.put("/v1/devices/only-here", json=ADD)
        client.patch("/v1/devices/only-here", json={"name": "x"})
        query = "/v1/changes?device_id=only-here&limit="
        assert [client.get(f"{query}{limit}").json["next"] is None for limit in (1, 2, 3)] == [False, True, True]

    def test_each_argument_narrows_it(self, client, changes):
        client.put("/v1/groups/g", json={"name": "G"}, headers={"X-Request-ID": "first"})
        client.put(f"/v1/groups/g/devices/{ID}", headers={"X-Request-ID": "second"})
        client.patch(ONE, json={"name": "third"}, headers={"X-Request-ID": "third"})
        group, member, name = (change["number"] for change in changes())
        begin, middle = (change["time"] for change in changes()[:2])

        def found(**query):
            return [each["number"] for each in client.get("/v1/changes", query_string=query).json["data"]]

        assert found(device_id=ID, since=begin) == [name, member]
        assert found(group_id="g", since=begin) == [member, group]
        assert found(device_id=ID, group_id="g", since=begin) == [member]
        assert found(request_id="second") == [member]
        assert found(who="nobody") == []
        assert found(who=NOBODY, since=middle)[-1] in (group, member)  # two may be of the same millisecond
        assert group not in found(since=middle) or begin == middle
        assert name not in found(until=begin)

    def test_an_answer_that_the_client_has_is_not_sent_again(self, client):
        client.patch(ONE, json={"name": "x"})
        etag = client.get("/v1/changes").headers["ETag"]
        assert client.get("/v1/changes", headers={"If-None-Match": etag}).status_code == 304
        client.patch(ONE, json={"name": "y"})
        assert client.get("/v1/changes", headers={"If-None-Match": etag}).status_code == 200

    def test_the_feed_may_begin_now(self, client, last):
        client.patch(ONE, json={"name": "x"})
        begin = client.get("/v1/changes?after=now").json
        assert (begin["data"], begin["next"]) == ([], last())
        client.patch(ONE, json={"name": "y"})
        assert len(client.get(f"/v1/changes?after={begin['next']}").json["data"]) == 1

    def test_an_answer_has_a_limit_of_rows_and_goes_on_after_it(self, client, monkeypatch):
        monkeypatch.setattr(calls, "MAX_ROWS", 150)
        monkeypatch.setattr(calls, "STEP", 2)
        begin = client.get("/v1/changes?limit=1").json["data"][0]["number"]
        for _ in range(5):
            client.post("/v1/devices/batch", json={"create": [ADD] * 100})
        feed = client.get(f"/v1/changes?after={begin}").json
        assert 2 <= len(feed["data"]) < 5
        assert feed["next"] == feed["data"][-1]["number"]
        rest = client.get(f"/v1/changes?after={feed['next']}").json
        assert len(feed["data"]) + len(rest["data"]) == 5 or len(rest["data"]) >= 2
        newest = client.get("/v1/changes").json
        assert newest["next"] == newest["data"][-1]["number"]

    @pytest.mark.parametrize(
        ("query", "place"),
        [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=x", "limit"),
            ("cursor=0", "cursor"),
            ("cursor=abc", "cursor"),
            ("after=-1", "after"),
            ("after=Now", "after"),
            (f"after={10**15}", "after"),
            ("wait=5", "wait"),
            ("after=1&wait=0", "wait"),
            ("after=1&wait=31", "wait"),
            ("after=1&who=x", "after"),
            ("after=1&cursor=7", "after"),
            ("since=yesterday", "since"),
            ("until=2026-11-31", "until"),
            ("color=red", "color"),
        ],
    )
    def test_a_wrong_argument_is_named(self, client, query, place):
        refusal = problem(client.get(f"/v1/changes?{query}"), 422)
        assert list(refusal["errors"]) == [place]

    @pytest.mark.parametrize(
        "moment",
        [
            "2026-11-24T20:00:00Z",
            "2026-11-24t20:00:00z",
            "2026-11-25T04:00:00+08:00",
            "2026-11-25T04:00:00 08:00",  # a + in a query
            "2026-11-24 20:00:00.000000001Z",
            "2026-11-24T12:30:00.0-07:30",
        ],
    )
    def test_a_time_may_have_any_zone_and_fraction(self, client, moment, monkeypatch):
        monkeypatch.setattr(calls, "find", lambda where, *_: jsonify(since=where.since))
        answer = client.get("/v1/changes", query_string={"since": moment})
        assert answer.json == {"since": "2026-11-24T20:00:00.000Z"}

    def test_a_day_is_its_start_in_utc(self, client, monkeypatch):
        monkeypatch.setattr(calls, "find", lambda where, *_: jsonify(until=where.until))
        assert client.get("/v1/changes?until=2026-11-24").json == {"until": "2026-11-24T00:00:00.000Z"}

    @pytest.mark.parametrize(
        "moment",
        ["", "now", "20:00:00Z", "2026-11-24T20:00:00", "2026-11-24T20:00Z", "2026-13-01", "0001-01-01T00:00:00+08:00"],
    )
    def test_any_other_time_is_refused(self, client, moment):
        refusal = problem(client.get("/v1/changes", query_string={"since": moment}), 422)
        assert refusal["detail"].startswith("since must be a time with its zone, such as 2026-11-24T20:00:00Z")


class TestTheHistoryOfAnItem:
    def test_it_has_the_changes_of_the_item_and_of_its_memberships(self, client, changes):
        client.put("/v1/groups/g", json={"name": "G"})
        client.put(f"/v1/groups/g/devices/{ID}")
        client.patch(ONE, json={"name": "x"})
        client.patch(f"/v1/devices/{DEVICES[0].id}", json={"name": "y"})
        group, member, name, _ = (change["number"] for change in changes())
        of_device = [each["number"] for each in client.get(f"{ONE}/history").json["data"]]
        assert of_device[:2] == [name, member]
        assert [each["number"] for each in client.get("/v1/groups/g/history?limit=2").json["data"]] == [member, group]
        one = client.get(f"/v1/groups/g/history?device_id={ID}&limit=1").json["data"]
        assert [each["number"] for each in one] == [member]
        one = client.get(f"{ONE}/history?group_id=g&limit=1").json["data"]
        assert [each["number"] for each in one] == [member]

    def test_it_is_there_also_if_the_item_is_deleted(self, client):
        client.put("/v1/devices/gone", json=ADD)
        client.delete("/v1/devices/gone")
        found = client.get("/v1/devices/gone/history").json["data"]
        assert [done(change) for change in found[:2]] == [
            [("deleted", "device", "gone", "")],
            [("added", "device", "gone", "")],
        ]

    @pytest.mark.parametrize("kind", ["device", "group"])
    def test_what_never_was_is_404(self, client, kind):
        refusal = problem(client.get(f"/v1/{kind}s/never/history"), 404)
        assert refusal["detail"] == f"There is no {kind} with the id 'never'."

    def test_one_that_is_there_has_a_history_whatever_is_asked_for(self, client):
        assert client.get(f"{ONE}/history?who=nobody").json["data"] == []


class TestAsItWas:
    @pytest.fixture
    def at(self, client, changes):
        """A time just before the changes of the test."""
        client.patch(ONE, json={"name": "begin"})
        return changes()[-1]["time"]

    def test_it_is_the_item_before_what_came_later(self, client, at):
        then = client.get(ONE).json["data"]
        self.wait_past(at)
        client.patch(ONE, json={"name": "x", "software": {"version": "9"}})
        client.delete(ONE)
        client.put(ONE, json=ADD)
        answer = client.get(ONE, query_string={"at": at})
        assert answer.json["data"] == then
        assert answer.json["message"] == f"device found, as it was at {at}"
        assert "ETag" not in answer.headers

    def test_a_group_too(self, client):
        client.put("/v1/groups/g-then", json={"name": "then"})
        then = client.get("/v1/groups/g-then/history").json["data"][0]["time"]
        self.wait_past(then)
        client.patch("/v1/groups/g-then", json={"name": "now"})
        assert client.get("/v1/groups/g-then", query_string={"at": then}).json["data"]["name"] == "then"

    def test_before_it_was_added_there_was_none(self, client, at):
        self.wait_past(at)
        client.put("/v1/devices/late", json=ADD)
        refusal = problem(client.get("/v1/devices/late", query_string={"at": at}), 404)
        assert refusal["detail"] == f"There was no device with the id 'late' at {at}."

    def test_the_answer_is_not_the_one_of_now_that_is_remembered(self, client, at):
        self.wait_past(at)
        client.patch(ONE, json={"name": "now"})
        assert client.get(ONE).json["data"]["name"] == "now"
        assert client.get(ONE, query_string={"at": at}).json["data"]["name"] == "begin"
        assert client.get(ONE).json["data"]["name"] == "now"

    def test_preconditions_do_not_matter(self, client, at):
        headers = {"If-Match": '"other"', "If-None-Match": "*"}
        assert client.get(ONE, query_string={"at": at}, headers=headers).status_code == 200

    def test_a_time_to_come_is_refused(self, client):
        later = time_text(datetime.now(UTC) + timedelta(hours=1))
        refusal = problem(client.get(ONE, query_string={"at": later}), 422)
        assert re.fullmatch(r"at must not be in the future; it is \S+Z now\.", refusal["detail"])

    @staticmethod
    def wait_past(time):
        """Until another millisecond: changes of the same one cannot be told apart by time."""
        while time_text(datetime.now(UTC)) <= time:
            pass


class TestUndo:
    @pytest.fixture
    def undo(self, client, last):
        """Undo the last change."""

        def undo(query="", number=None):
            return client.post(f"/v1/changes/{number or last()}/undo{query}")

        return undo

    def everything(self, client):
        return [client.get(f"/v1/{items}").json["data"] for items in ("devices", "groups")]

    def test_a_batch_is_undone_as_a_whole(self, client, undo, changes):
        before = self.everything(client)
        batch = {"create": [ADD] * 3, "update": [{"id": ID, "name": "x"}], "delete": [DEVICES[0].id]}
        client.post("/v1/devices/batch", json=batch)
        answer = undo()
        assert answer.status_code == 200, answer.text
        assert self.everything(client) == before
        made, taken_back = changes()
        assert answer.json["message"] == f"change {made['number']} undone, rows: 5"
        assert answer.json["data"] == {"count": 5, "rows": taken_back["rows"]}

    def test_a_group_comes_back_with_its_members_and_the_undo_can_be_undone(self, client, undo):
        client.put("/v1/groups/g", json={"name": "G"})
        client.put(f"/v1/groups/g/devices/{ID}")
        client.delete("/v1/groups/g")
        assert undo().status_code == 200
        assert [each["id"] for each in client.get("/v1/groups/g/devices").json["data"]] == [ID]
        assert undo().status_code == 200
        assert client.get("/v1/groups/g").status_code == 404

    def test_a_dry_run_says_the_same_and_changes_nothing(self, client, undo, changes):
        client.patch(ONE, json={"name": "x"})
        before = self.everything(client)
        tried = undo("?dry_run=true").json
        assert tried["message"] == f"change {changes()[0]['number']} would be undone, rows: 1"
        assert self.everything(client) == before
        assert len(changes()) == 1
        assert undo().json["data"] == tried["data"]

    def test_what_differs_now_is_named_and_nothing_is_done(self, client, undo, changes):
        client.patch(ONE, json={"name": "x", "status": "offline"})
        number = changes()[0]["number"]
        client.patch(ONE, json={"name": "y"})
        before = self.everything(client)
        refusal = problem(undo(number=number), 409)
        assert refusal["errors"] == {f"the device {ID}, name": "is 'y' now"}
        assert refusal["detail"].startswith(f"Change {number} cannot be undone, because there were later changes: ")
        assert self.everything(client) == before

    def test_one_that_is_not_there_is_404(self, undo):
        assert problem(undo(number=10**12), 404)["detail"] == f"There is no change with the number {10**12}."

    def test_of_a_large_change_the_answer_has_a_thousand_rows(self, client, undo):
        client.post("/v1/devices/import", data=content(device(f"d{n}") for n in range(1001)), content_type="text/csv")
        data = undo().json["data"]
        assert (data["count"], len(data["rows"])) == (1001, 1000)

    def test_it_has_an_author_of_its_own(self, client, changes, last):
        client.patch(ONE, json={"name": "x"}, headers={"X-Request-ID": "first"})
        client.post(f"/v1/changes/{last()}/undo", headers={"X-Request-ID": "second"})
        assert [change["request_id"] for change in changes()] == ["first", "second"]
