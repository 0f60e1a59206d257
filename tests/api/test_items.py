"""/v1/devices/{id} and /v1/groups/{id}: one item by its id, under the conditions that a request sets."""

import re

import pytest

from devicesvc.api.examples import GROUP
from tests.api.checks import ids, problem
from tests.hard_data import ADD

FIRST = "4322159209"
DEVICE, CLASSROOM = f"/v1/devices/{FIRST}", f"/v1/groups/{GROUP['id']}"


@pytest.fixture
def client(client):
    assert client.put(CLASSROOM, json=GROUP).status_code == 201
    return client


@pytest.fixture(params=[DEVICE, CLASSROOM])
def path(request):
    """The path of an item that is there."""
    return request.param


class TestGet:
    def test_it_answers_with_the_item(self, client, path):
        answer = client.get(path)
        assert answer.status_code == answer.json["status"] == 200
        assert answer.json["data"]["id"] == path.split("/")[-1]
        assert client.get(f"{path}/").json == answer.json

    @pytest.mark.parametrize("id", ["1234567890", "4322159209 ", "设备", "..", "a%00b", "x" * 1000])
    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_404_if_there_is_none(self, client, path, method, id):
        body = {"json": {"name": "x"}} if method == "PATCH" else {}
        kind = path.split("/")[2].rstrip("s")
        answer = client.open(f"{path.rsplit('/', 1)[0]}/{id}", method=method, **body)
        assert f"There is no {kind} with the id" in problem(answer, 404)["detail"]


class TestPut:
    def test_it_adds_under_the_given_id_and_then_replaces(self, client):
        answer = client.put("/v1/devices/gateway.7", json=ADD)
        assert answer.status_code == answer.json["status"] == 201
        assert answer.headers["Location"] == "/v1/devices/gateway.7"
        again = client.put("/v1/devices/gateway.7", json={**ADD, "status": "offline"})
        assert again.status_code == again.json["status"] == 200
        assert again.json["data"] == {"id": "gateway.7", **ADD, "status": "offline"}
        assert client.get("/v1/devices/gateway.7").json["data"] == again.json["data"]

    def test_it_adds_and_replaces_a_group_whose_members_stay(self, client):
        client.put(f"{CLASSROOM}/devices/{FIRST}")
        again = client.put(CLASSROOM, json={"name": "new"})
        assert again.json["data"] == {"id": "classroom", "name": "new", "description": ""}
        assert ids(client.get(f"{CLASSROOM}/devices")) == [FIRST]

    def test_what_was_got_can_be_put_back_with_its_id(self, client, path):
        data = client.get(path).json["data"]
        assert client.put(path, json=data).json["data"] == data

    @pytest.mark.parametrize("id", ["other", "", None, 4322159209])
    def test_422_if_the_body_names_another_id(self, client, path, id):
        data = client.get(path).json["data"]
        for method in ("PUT", "PATCH"):
            answer = client.open(path, method=method, json={**data, "id": id})
            assert list(problem(answer, 422)["errors"]) == ["id"]
        assert client.get(path).json["data"] == data

    def test_it_brings_a_deleted_device_back(self, client):
        before = client.get(DEVICE).json["data"]
        client.delete("/v1/devices", json={"ids": [FIRST]})
        client.put(DEVICE, json=before)
        assert client.get(DEVICE).json["data"] == before

    @pytest.mark.parametrize("name", ["batch", "import"])
    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
    def test_405_for_the_names_of_other_calls(self, client, name, method):
        answer = client.open(f"/v1/devices/{name}", method=method, json=ADD)
        problem(answer, 405)
        assert answer.headers["Allow"] == "POST"

    @pytest.mark.parametrize("id", ["a b", "设备", "x" * 65, ".hidden"])
    def test_422_for_an_id_that_breaks_the_rule(self, client, id):
        assert list(problem(client.put(f"/v1/devices/{id}", json=ADD), 422)["errors"]) == ["id"]
        assert list(problem(client.put(f"/v1/groups/{id}", json={"name": "x"}), 422)["errors"]) == ["id"]

    def test_422_for_half_an_item(self, client):
        assert "status" in problem(client.put(DEVICE, json={"name": "x"}), 422)["errors"]
        assert "name" in problem(client.put(CLASSROOM, json={"description": "x"}), 422)["errors"]

    def test_409_for_a_name_that_another_group_has(self, client):
        answer = problem(client.put("/v1/groups/other", json={"name": GROUP["name"]}), 409)
        assert "'classroom'" in answer["detail"]
        assert list(answer["errors"]) == ["name"]


class TestPatch:
    """RFC 7396."""

    @pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/json"])
    def test_it_changes_what_is_given(self, client, content_type):
        before = client.get(DEVICE).json["data"]
        body = '{"name": "new", "software": {"last update": "2024-01-01 00:00:00"}, "nic": []}'
        answer = client.patch(DEVICE, data=body, content_type=content_type)
        software = {**before["software"], "last_update": "2024-01-01 00:00:00"}
        assert answer.json["data"] == {**before, "name": "new", "software": software, "nic": []}
        assert client.get(DEVICE).json["data"] == answer.json["data"]

    def test_nothing_given_changes_nothing(self, client, path):
        before = client.get(path)
        answer = client.patch(path, json={})
        assert answer.json["data"] == before.json["data"]
        assert answer.headers["ETag"] == before.headers["ETag"]

    @pytest.mark.parametrize("path", [CLASSROOM])
    def test_null_removes_the_description_of_a_group(self, client, path):
        assert client.patch(path, json={"description": None}).json["data"] == {**GROUP, "description": ""}

    @pytest.mark.parametrize(
        ("path", "patch", "field"),
        [
            *((DEVICE, {name: None}, name) for name in ADD),
            (DEVICE, {"software": {"version": None}}, "software.version"),
            (DEVICE, {"nic": [{"type": "eth"}]}, "nic.0.mac"),
            (DEVICE, {"colour": "red"}, "colour"),
            (CLASSROOM, {"name": None}, "name"),
            (CLASSROOM, {"description": "x" * 257}, "description"),
            (DEVICE, [], "the body"),
            (DEVICE, "x", "the body"),
        ],
    )
    def test_422_names_the_field_and_changes_nothing(self, client, path, patch, field):
        before = client.get(path).json["data"]
        assert field in problem(client.patch(path, json=patch), 422)["errors"]
        assert client.get(path).json["data"] == before

    def test_422_for_a_null_that_would_remove_all(self, client):
        problem(client.patch(DEVICE, data="null", content_type="application/merge-patch+json"), 422)

    def test_409_for_a_name_that_another_group_has(self, client):
        client.put("/v1/groups/other", json={"name": "other"})
        assert "'other'" in problem(client.patch(CLASSROOM, json={"name": "other"}), 409)["detail"]

    def test_415_if_the_body_is_not_declared_as_json(self, client):
        problem(client.patch(DEVICE, data="{}"), 415)


class TestDelete:
    def test_it_answers_with_the_id_and_then_with_404(self, client, path):
        answer = client.delete(path)
        assert answer.status_code == answer.json["status"] == 200
        assert answer.json["ids"] == [path.split("/")[-1]]
        problem(client.delete(path), 404)
        problem(client.get(path), 404)


class TestETag:
    def test_every_answer_with_the_item_has_the_same(self, client, path):
        data = client.get(path).json["data"]
        etags = {
            client.get(path).headers["ETag"],
            client.head(path).headers["ETag"],
            client.put(path, json=data).headers["ETag"],
            client.patch(path, json={}).headers["ETag"],
            client.get(path, headers={"If-None-Match": "*"}).headers["ETag"],
        }
        assert len(etags) == 1
        assert re.fullmatch('"[0-9a-f]{32}"', etags.pop())

    def test_it_changes_with_the_item_and_comes_back_with_it(self, client, path):
        first = client.get(path)
        changed = client.patch(path, json={"name": "new"}).headers["ETag"]
        assert changed != first.headers["ETag"]
        assert client.put(path, json=first.json["data"]).headers["ETag"] == first.headers["ETag"]

    def test_it_is_the_same_after_a_restart(self, client, store_url, path):
        from devicesvc.app import create_app
        from devicesvc.dao.urls import open_store

        with open_store(store_url) as again:
            assert create_app(store=again).test_client().get(path).headers["ETag"] == client.get(path).headers["ETag"]


class TestIfNoneMatch:
    @pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', "*"])
    def test_304_without_a_body_if_the_client_has_this_version(self, client, path, form):
        etag = client.get(path).headers["ETag"]
        for method in ("GET", "HEAD"):
            answer = client.open(path, method=method, headers={"If-None-Match": form.format(etag)})
            assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", etag)

    def test_200_if_it_has_another(self, client, path):
        etag = client.get(path).headers["ETag"]
        client.patch(path, json={"name": "new"})
        assert client.get(path, headers={"If-None-Match": etag}).status_code == 200

    def test_a_put_with_a_star_adds_and_never_replaces(self, client, path):
        body = {**client.get(path).json["data"], "name": "other"}
        before = client.get(path).json["data"]
        problem(client.put(path, json=body, headers={"If-None-Match": "*"}), 412)
        assert client.get(path).json["data"] == before
        client.delete(path)
        assert client.put(path, json=body, headers={"If-None-Match": "*"}).status_code == 201

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    def test_a_change_of_a_version_that_is_named_is_412(self, client, path, method):
        got = client.get(path)
        body = {} if method == "DELETE" else {"json": got.json["data"]}
        problem(client.open(path, method=method, headers={"If-None-Match": got.headers["ETag"]}, **body), 412)


class TestIfMatch:
    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    @pytest.mark.parametrize("form", ["{}", '"x", {}', "*"])
    def test_a_change_of_this_version_is_made(self, client, path, method, form):
        got = client.get(path)
        body = {} if method == "DELETE" else {"json": {**got.json["data"], "name": "new"}}
        answer = client.open(path, method=method, headers={"If-Match": form.format(got.headers["ETag"])}, **body)
        assert answer.status_code == 200
        assert method == "DELETE" or client.get(path).json["data"]["name"] == "new"

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    @pytest.mark.parametrize("form", ['"x"', "W/{}", '""', ""])
    def test_a_change_of_another_version_is_412_and_changes_nothing(self, client, path, method, form):
        got = client.get(path)
        body = {} if method == "DELETE" else {"json": {**got.json["data"], "name": "new"}}
        answer = client.open(path, method=method, headers={"If-Match": form.format(got.headers["ETag"])}, **body)
        assert "If-Match" in problem(answer, 412)["detail"]
        assert client.get(path).json["data"] == got.json["data"]

    def test_a_put_of_what_is_not_there_is_412_and_what_else_is_404(self, client):
        for match in ("*", '"x"'):
            problem(client.put("/v1/devices/none", json=ADD, headers={"If-Match": match}), 412)
            problem(client.patch("/v1/devices/none", json={}, headers={"If-Match": match}), 404)
            problem(client.delete("/v1/devices/none", headers={"If-Match": match}), 404)
            problem(client.get("/v1/devices/none", headers={"If-Match": match}), 404)

    def test_what_is_invalid_is_422_whatever_the_condition(self, client, path):
        problem(client.patch(path, json={"name": ""}, headers={"If-Match": '"x"'}), 422)
