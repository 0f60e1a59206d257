"""Any calls in any order, restarts in between: the service answers as plain dicts say. `make test-long` takes more and
longer walks."""

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from devicesvc.dao.urls import open_store
from tests.conftest import STORES
from tests.hard_data import content
from tests.strategies import WALKS, devices, groups, ids, names, text

some_ids = st.lists(ids, max_size=4)
ends = st.sampled_from(["groups", "devices"])


def other(end):
    return {"groups": "devices", "devices": "groups"}[end]


class Machine(RuleBasedStateMachine):
    def __init__(self, new_store_url, app_over):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.url, self.app_over = new_store_url(self.folder), app_over
        self.start()
        self.items: dict[str, dict[str, dict[str, Any]]] = {"devices": {}, "groups": {}}
        self.pairs = set()  # of (device id, group id)

    def start(self):
        self.store = open_store(self.url)
        self.client = self.app_over(self.store).test_client()

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)

    def call(self, method, path, status, **arguments):
        """The JSON of an answer that must have this status."""
        answer = self.client.open(f"/v1/{path}", method=method, **arguments)
        assert (answer.status_code, answer.json["status"]) == (status, status), answer.text
        return answer.json

    def name_is_free(self, kind, name, id):
        return kind == "devices" or all(each["name"] != name for each in self.items[kind].values() if each["id"] != id)

    def forget(self, kind, gone):
        for id in gone:
            del self.items[kind][id]
        index = ("devices", "groups").index(kind)
        self.pairs = {pair for pair in self.pairs if pair[index] not in gone}

    def pair(self, end, owner, member):
        return (owner, member) if end == "devices" else (member, owner)

    def members(self, end, owner):
        return sorted(id for id in self.items[other(end)] if self.pair(end, owner, id) in self.pairs)

    @rule()
    def restart(self):
        self.store.close()
        self.start()

    @rule(kind_and_item=st.one_of(st.tuples(st.just("devices"), devices), st.tuples(st.just("groups"), groups)))
    def post(self, kind_and_item):
        kind, item = kind_and_item[0], asdict(kind_and_item[1])
        del item["id"]
        free = self.name_is_free(kind, item["name"], None)
        answer = self.call("POST", kind, 201 if free else 409, json=item)
        if free:
            self.items[kind][answer["data"]] = {
                "id": answer["data"],
                **item,
                **({"nic": list(item["nic"])} if "nic" in item else {}),
            }

    @rule(kind_and_item=st.one_of(st.tuples(st.just("devices"), devices), st.tuples(st.just("groups"), groups)))
    def put_one(self, kind_and_item):
        kind, item = kind_and_item[0], asdict(kind_and_item[1])
        if "nic" in item:
            item["nic"] = list(item["nic"])
        status = 200 if item["id"] in self.items[kind] else 201
        if not self.name_is_free(kind, item["name"], item["id"]):
            self.call("PUT", f"{kind}/{item['id']}", 409, json=item)
            return
        assert self.call("PUT", f"{kind}/{item['id']}", status, json=item)["data"] == item
        self.items[kind][item["id"]] = item

    @rule(kind=ends, id=ids, name=names, path=st.booleans())
    def rename(self, kind, id, name, path):
        status = 404 if id not in self.items[kind] else 200 if self.name_is_free(kind, name, id) else 409
        if path:
            answer = self.call("PATCH", f"{kind}/{id}", status, json={"name": name})
        else:
            answer = self.call("PUT", kind, status, json={"id": id, "name": name})
        if status == 200:
            self.items[kind][id] = {**self.items[kind][id], "name": name}
            assert answer["data"] == self.items[kind][id]

    @rule(id=ids, description=st.one_of(st.none(), text(256, least=0)))
    def describe(self, id, description):
        status = 200 if id in self.items["groups"] else 404
        self.call("PATCH", f"groups/{id}", status, json={"description": description})
        if status == 200:
            self.items["groups"][id] = {**self.items["groups"][id], "description": description or ""}

    @rule(kind=ends, doomed=some_ids)
    def delete(self, kind, doomed):
        gone = [id for id in dict.fromkeys(doomed) if id in self.items[kind]]
        assert self.call("DELETE", kind, 200, json={"ids": doomed})["ids"] == gone
        self.forget(kind, gone)

    @rule(kind=ends, id=ids)
    def delete_one(self, kind, id):
        if id in self.items[kind]:
            assert self.call("DELETE", f"{kind}/{id}", 200)["ids"] == [id]
            self.forget(kind, [id])
        else:
            self.call("DELETE", f"{kind}/{id}", 404)

    @rule(end=ends, owner=ids, members=some_ids, method=st.sampled_from(["POST", "PUT", "DELETE"]))
    def change_members(self, end, owner, members, method):
        path = f"{end}/{owner}/{other(end)}"
        if owner not in self.items[end]:
            self.call(method, path, 404, json={"ids": members})
            return
        if unknown := {id for id in members if id not in self.items[other(end)]}:
            errors = self.call(method, path, 422, json={"ids": members})["errors"]
            assert set(errors) == {f"ids.{members.index(id)}" for id in unknown}
            return
        before = {self.pair(end, owner, id) for id in self.members(end, owner)}
        given = {self.pair(end, owner, id) for id in members}
        after = {"POST": before | given, "PUT": given, "DELETE": before - given}[method]
        changed = self.call(method, path, 200, json={"ids": members})["ids"]
        assert len(changed) == len(set(changed))
        assert {self.pair(end, owner, id) for id in changed} == before ^ after
        self.pairs = (self.pairs - before) | after

    @rule(end=ends, owner=ids, member=ids, method=st.sampled_from(["GET", "PUT", "DELETE"]))
    def one_member(self, end, owner, member, method):
        path, pair = f"{end}/{owner}/{other(end)}/{member}", self.pair(end, owner, member)
        if owner not in self.items[end] or member not in self.items[other(end)]:
            self.call(method, path, 404)
        elif method == "PUT":
            answer = self.call("PUT", path, 200 if pair in self.pairs else 201)
            assert answer["ids"] == ([] if pair in self.pairs else [member])
            self.pairs.add(pair)
        else:
            self.call(method, path, 200 if pair in self.pairs else 404)
            if method == "DELETE":
                self.pairs.discard(pair)

    @rule(new=st.lists(devices, max_size=2), ids=some_ids, name=names, doomed=some_ids)
    def batch(self, new, ids, name, doomed):
        create = [{key: value for key, value in asdict(device).items() if key != "id"} for device in new]
        batch = {"create": create, "update": [{"id": id, "name": name} for id in ids], "delete": doomed}
        unknown = [f"update.{number}.id" for number, id in enumerate(ids) if id not in self.items["devices"]]
        if unknown:
            assert list(self.call("POST", "devices/batch", 422, json=batch)["errors"]) == unknown
            return
        done = self.call("POST", "devices/batch", 200, json=batch)["data"]
        for id, data in zip(done["create"], create, strict=True):
            self.items["devices"][id] = {"id": id, **data, "nic": list(data["nic"])}
        assert done["update"] == ids
        for id in ids:
            self.items["devices"][id] = {**self.items["devices"][id], "name": name}
        assert done["delete"] == [id for id in dict.fromkeys(doomed) if id in self.items["devices"]]
        self.forget("devices", done["delete"])

    @rule(rows=st.lists(devices, max_size=4), dry_run=st.booleans())
    def import_(self, rows, dry_run):
        given = [{**asdict(device), "nic": list(asdict(device)["nic"])} for device in rows]
        query = {"dry_run": str(dry_run).lower()}
        request = {"data": content(rows), "content_type": "text/csv", "query_string": query}
        if len({device.id for device in rows}) < len(rows):
            self.call("POST", "devices/import", 422, **request)
            return
        have = self.items["devices"]
        done = self.call("POST", "devices/import", 200, **request)["data"]
        assert done == {
            "added": [each["id"] for each in given if each["id"] not in have],
            "changed": [each["id"] for each in given if each["id"] in have and have[each["id"]] != each],
            "unchanged": [each["id"] for each in given if have.get(each["id"]) == each],
        }
        if not dry_run:
            have.update({each["id"]: each for each in given})

    @invariant()
    def lists_agree(self):
        for kind, items in self.items.items():
            expected = [items[id] for id in sorted(items)]
            answer = self.call("GET", kind, 200)
            assert (answer["data"], answer["total"]) == (expected, len(items))
            for owner in items:
                found = [each["id"] for each in self.call("GET", f"{kind}/{owner}/{other(kind)}", 200)["data"]]
                assert found == self.members(kind, owner)

    @rule(kind=ends, limit=st.integers(1, 3), sort=st.sampled_from(["id", "-id", "name", "-name"]))
    def pages_agree(self, kind, limit, sort):
        field, items = sort.lstrip("-"), sorted(self.items[kind].values(), key=lambda each: each["id"])
        expected = sorted(items, key=lambda each: each[field], reverse=sort.startswith("-"))
        found: list[dict[str, Any]] = []
        query: dict[str, Any] | None = {"limit": limit, "sort": sort}
        while query:
            answer = self.call("GET", kind, 200, query_string=query)
            found += answer["data"]
            query = {"limit": limit, "cursor": answer["next"]} if answer["next"] else None
        assert found == expected


@pytest.mark.parametrize("new_store_url", STORES, indirect=True, scope="session")
def test_the_service_does_what_plain_dicts_do(new_store_url, app_over):
    class OfThisKind(Machine):
        def __init__(self):
            super().__init__(new_store_url, app_over)

    run_state_machine_as_test(OfThisKind, settings=WALKS)
