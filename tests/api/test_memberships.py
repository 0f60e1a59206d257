"""/v1/groups/{id}/devices and /v1/devices/{id}/groups: every test from both ends."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devicesvc import sample
from devicesvc.model import Group
from tests.api.checks import ids, problem
from tests.api.conftest import Contents

DEVICES = ["3635138853", "4322159209", "5394030919", "5661391086", "8170245536"]
GROUPS = ["a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def contents():
    return Contents(list(sample.DEVICES), [Group(id, f"group {id}") for id in GROUPS])


class End:
    """One end: an owner, its path to its members, and the ids that may become members."""

    def __init__(self, owner, members, owner_kind, member_kind):
        self.owner, self.members = owner, members
        self.owner_kind, self.member_kind = owner_kind, member_kind
        self.path = f"/v1/{owner_kind}s/{owner}/{member_kind}s"
        self.nowhere = f"/v1/{owner_kind}s/none/{member_kind}s"

    def mirror(self, member):
        """The path of the same memberships from the other end."""
        return f"/v1/{self.member_kind}s/{member}/{self.owner_kind}s"


ENDS = {
    "from the group": End("a", DEVICES, "group", "device"),
    "from the device": End(DEVICES[0], GROUPS, "device", "group"),
}


@pytest.fixture(params=ENDS)
def end(request):
    return ENDS[request.param]


def test_there_are_none_at_first(client, end):
    assert ids(client.get(end.path)) == []


def test_post_adds_and_answers_with_the_new_ones(client, end):
    one, two, three, *_ = end.members
    first = client.post(end.path, json={"ids": [two, one, two]})
    assert (first.status_code, first.json["ids"]) == (200, [two, one])
    again = client.post(end.path, json={"ids": [three, one]})
    assert again.json == {"status": 200, "message": "memberships added: 1", "ids": [three]}
    assert ids(client.get(end.path)) == [one, two, three]
    assert ids(client.get(end.mirror(three))) == [end.owner]


def test_put_replaces_the_set_and_answers_with_what_came_and_went(client, end):
    one, two, three, four, _ = end.members
    client.post(end.path, json={"ids": [one, two, three]})
    answer = client.put(end.path, json={"ids": [four, two]})
    assert answer.json["message"] == "memberships added: 1, removed: 2"
    assert sorted(answer.json["ids"]) == [one, three, four]
    assert ids(client.get(end.path)) == [two, four]
    assert client.put(end.path, json={"ids": [four, two]}).json["ids"] == []
    assert sorted(client.put(end.path, json={"ids": []}).json["ids"]) == [two, four]
    assert ids(client.get(end.mirror(two))) == []


def test_two_puts_at_once_leave_the_set_of_one_and_nothing_of_the_other(client, end, monkeypatch):
    """Neither begins to change anything before the other has come as far."""
    store = client.application.extensions["devicesvc.store"]
    both, write = threading.Barrier(2, timeout=60), store.write

    def together(change):
        both.wait()
        return write(change)

    def put(members):
        return client.application.test_client().put(end.path, json={"ids": members}).status_code

    sets = [end.members[:2], end.members[2:4]]
    with monkeypatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(store, "write", together)
        assert list(pool.map(put, sets)) == [200, 200]
    assert ids(client.get(end.path)) in sets


def test_put_leaves_the_memberships_of_others_alone(client, end):
    one, two, *_ = end.members
    other = {"group": "b", "device": DEVICES[1]}[end.owner_kind]
    client.post(end.mirror(two), json={"ids": [end.owner, other]})
    client.put(end.path, json={"ids": [one]})
    assert ids(client.get(end.mirror(two))) == [other]


@pytest.mark.parametrize("form", ["json", "query_string"])
def test_delete_removes_and_answers_with_those_that_were_members(client, end, form):
    one, two, three, *_ = end.members
    client.post(end.path, json={"ids": [one, two]})
    assert client.delete(end.path, **{form: {"ids": [three, two]}}).json["ids"] == [two]
    assert client.delete(end.path, **{form: {"ids": [three, two]}}).json["ids"] == []
    assert ids(client.get(end.path)) == [one]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_unknown_ids_are_all_named_and_nothing_is_changed(client, end, method):
    one, two, *_ = end.members
    client.post(end.path, json={"ids": [one]})
    body = {"ids": [two, "none", one, "1234567890 ", "none"]}
    errors = problem(client.open(end.path, method=method, json=body), 422)["errors"]
    assert errors == {
        "ids.1": f"must be the id of a {end.member_kind}; there is none with the id 'none'",
        "ids.3": f"must be the id of a {end.member_kind}; there is none with the id '1234567890 '",
    }
    assert ids(client.get(end.path)) == [one]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_404_if_the_owner_is_unknown(client, end, method):
    body = {} if method == "GET" else {"json": {"ids": [end.members[0]]}}
    detail = problem(client.open(end.nowhere, method=method, **body), 404)["detail"]
    assert detail == f"There is no {end.owner_kind} with the id 'none'."


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("body", "field"), [({}, "ids"), ({"ids": "a"}, "ids"), ({"ids": [1]}, "ids.0"), ({"ids": [], "x": 1}, "x")]
)
def test_422_names_the_field(client, end, method, body, field):
    assert list(problem(client.open(end.path, method=method, json=body), 422)["errors"]) == [field]


class TestOne:
    def test_put_adds_it_and_a_second_put_changes_nothing(self, client, end):
        path = f"{end.path}/{end.members[0]}"
        assert problem(client.get(path), 404)["detail"].startswith("There is no membership of the ")
        first = client.put(path)
        assert (first.status_code, first.json["status"], first.json["ids"]) == (201, 201, [end.members[0]])
        again = client.put(path)
        assert (again.status_code, again.json["ids"]) == (200, [])
        assert client.get(path).json["data"]["id"] == end.members[0]
        assert client.get(f"{end.mirror(end.members[0])}/{end.owner}").json["data"]["id"] == end.owner

    def test_delete_removes_it_and_a_second_delete_is_404(self, client, end):
        path = f"{end.path}/{end.members[0]}"
        client.put(path)
        assert client.delete(path).json["ids"] == [end.members[0]]
        problem(client.delete(path), 404)
        problem(client.get(path), 404)
        assert ids(client.get(end.path)) == []

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_404_if_either_is_unknown(self, client, end, method):
        for path in (f"{end.nowhere}/{end.members[0]}", f"{end.path}/none", f"{end.path}/设备", f"{end.path}/a b"):
            assert "There is no " in problem(client.open(path, method=method), 404)["detail"]


class TestLists:
    def test_members_are_found_by_every_filter(self, client):
        client.post("/v1/groups/a/devices", json={"ids": DEVICES[:3]})
        assert ids(client.get("/v1/groups/a/devices?type=gateway")) == ["5394030919"]
        assert ids(client.get("/v1/groups/a/devices", json={"model": "X86"})) == ["3635138853", "5394030919"]
        client.post("/v1/groups/b/devices", json={"ids": DEVICES[2:]})
        assert ids(client.get("/v1/groups/a/devices?group_id=b")) == [DEVICES[2]]
        assert ids(client.get("/v1/devices?group_id=b")) == DEVICES[2:]
        assert ids(client.get("/v1/devices?group_id=none")) == []

    def test_groups_of_a_device_are_found_by_every_filter(self, client):
        client.post(f"/v1/devices/{DEVICES[0]}/groups", json={"ids": ["a", "b"]})
        client.put(f"/v1/devices/{DEVICES[1]}/groups/b")
        assert ids(client.get(f"/v1/devices/{DEVICES[0]}/groups?name=group b")) == ["b"]
        assert ids(client.get(f"/v1/devices/{DEVICES[0]}/groups?device_id={DEVICES[1]}")) == ["b"]

    def test_an_unknown_argument_is_422(self, client, end):
        problem(client.get(f"{end.path}?colour=red"), 422)


def test_what_is_deleted_takes_its_memberships_along_and_never_the_other_side(client, end):
    client.put(f"{end.path}/{end.members[0]}")
    client.delete(f"/v1/{end.owner_kind}s/{end.owner}")
    assert ids(client.get(end.mirror(end.members[0]))) == []
    assert client.get(f"/v1/{end.member_kind}s/{end.members[0]}").status_code == 200
