"""/v1/devices/{id} and /v1/groups/{id}: one item by its id."""

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
