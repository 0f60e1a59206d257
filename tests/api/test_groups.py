"""/v1/groups, call by call, on every store."""

import re

import pytest

from tests.api.checks import ids, problem
from tests.hard_data import HARD_GROUPS

NEW = {"name": "Greenhouse", "description": "All that measures or waters."}
FIRST = "4322159209"


@pytest.fixture
def group(client):
    """The id of a group."""
    return client.post("/v1/groups", json=NEW).json["data"]


class TestGet:
    def test_there_are_none_at_first(self, client):
        answer = client.get("/v1/groups")
        assert answer.json == {"status": 200, "message": "groups found: 0", "data": [], "next": None, "total": 0}

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            ({}, ["a", "b"]),
            ({"id": "a"}, ["a"]),
            ({"name": "组"}, ["b"]),
            ({"device_id": FIRST}, ["b"]),
            ({"name": ""}, []),
        ],
    )
    def test_query_and_body_find_the_same(self, client, wanted, found):
        client.put("/v1/groups/a", json={"name": "x"})
        client.put("/v1/groups/b", json={"name": "组"})
        client.put(f"/v1/groups/b/devices/{FIRST}")
        assert ids(client.get("/v1/groups", query_string=wanted)) == found
        assert ids(client.get("/v1/groups", json=wanted)) == found

    @pytest.mark.parametrize("request_", [{"query_string": "sn=x"}, {"json": {"ids": []}}, {"json": {"device_id": 1}}])
    def test_422_for_what_is_not_an_argument(self, client, request_):
        problem(client.get("/v1/groups", **request_), 422)


class TestPost:
    def test_it_answers_with_the_new_id_and_where_it_is(self, client):
        answer = client.post("/v1/groups", json=NEW)
        assert answer.status_code == answer.json["status"] == 201
        assert re.fullmatch("[1-9][0-9]{9}", answer.json["data"])
        assert answer.headers["Location"] == f"/v1/groups/{answer.json['data']}"
        assert client.get(answer.headers["Location"]).json["data"] == {"id": answer.json["data"], **NEW}

    def test_the_description_may_be_left_out(self, client):
        id = client.post("/v1/groups", json={"name": "x"}).json["data"]
        assert client.get(f"/v1/groups/{id}").json["data"]["description"] == ""

    def test_409_names_the_group_that_has_the_name(self, client, group):
        answer = problem(client.post("/v1/groups", json=NEW), 409)
        assert answer["detail"] == f"The name 'Greenhouse' is taken by the group with the id '{group}'."
        assert list(answer["errors"]) == ["name"]
        assert len(ids(client.get("/v1/groups"))) == 1

    @pytest.mark.parametrize("case", HARD_GROUPS)
    def test_hard_data_goes_in_and_comes_out(self, client, case):
        hard = HARD_GROUPS[case]
        id = client.post("/v1/groups", json={"name": hard.name, "description": hard.description}).json["data"]
        data = client.get(f"/v1/groups/{id}").json["data"]
        assert data == {"id": id, "name": hard.name, "description": hard.description}

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "x" * 65}, "name"),
            ({"name": "a\nb"}, "name"),
            ({"name": None}, "name"),
            ({"description": "x" * 257}, "description"),
            ({"description": None}, "description"),
            ({"id": "x"}, "id"),
            ({"devices": []}, "devices"),
        ],
    )
    def test_422_names_the_field_and_adds_nothing(self, client, changes, field):
        assert list(problem(client.post("/v1/groups", json={**NEW, **changes}), 422)["errors"]) == [field]
        assert ids(client.get("/v1/groups")) == []


class TestPut:
    def test_it_changes_what_is_given_and_answers_with_the_whole(self, client, group):
        answer = client.put("/v1/groups", json={"id": group, "description": ""})
        assert answer.json["data"] == {"id": group, "name": NEW["name"], "description": ""}
        assert client.get(f"/v1/groups/{group}").json["data"] == answer.json["data"]

    def test_404_if_there_is_none(self, client):
        assert "'none'" in problem(client.put("/v1/groups", json={"id": "none", "name": "x"}), 404)["detail"]

    def test_409_for_a_name_that_another_has_but_not_for_its_own(self, client, group):
        other = client.post("/v1/groups", json={"name": "other"}).json["data"]
        assert f"'{other}'" in problem(client.put("/v1/groups", json={"id": group, "name": "other"}), 409)["detail"]
        assert client.put("/v1/groups", json={"id": other, "name": "other"}).status_code == 200

    def test_422_without_an_id(self, client):
        assert "id" in problem(client.put("/v1/groups", json={"name": "x"}), 422)["errors"]


class TestDelete:
    @pytest.mark.parametrize("form", ["json", "query_string"])
    def test_it_answers_with_what_it_really_deleted_and_leaves_the_devices(self, client, group, form):
        client.put(f"/v1/groups/{group}/devices/{FIRST}")
        answer = client.delete("/v1/groups", **{form: {"ids": [group, "none"]}})
        assert answer.json["ids"] == [group]
        assert client.delete("/v1/groups", **{form: {"ids": [group, "none"]}}).json["ids"] == []
        assert len(ids(client.get("/v1/devices"))) == 5
        assert ids(client.get(f"/v1/devices/{FIRST}/groups")) == []
