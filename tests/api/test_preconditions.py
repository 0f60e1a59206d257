"""ETags, and the conditions that a request sets with them: If-Match and If-None-Match."""

import re

import pytest

from devicesvc.api.examples import GROUP
from devicesvc.app import create_app
from devicesvc.dao.urls import open_store
from devicesvc.model import Group
from devicesvc.sample import DEVICES
from tests.api.checks import problem
from tests.api.conftest import Contents
from tests.hard_data import ADD

DEVICE, CLASSROOM = "/v1/devices/4322159209", f"/v1/groups/{GROUP['id']}"


@pytest.fixture(scope="module")
def contents():
    return Contents(list(DEVICES), [Group(**GROUP)])


@pytest.fixture(params=[DEVICE, CLASSROOM])
def path(request):
    """The path of an item that is there."""
    return request.param


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


class TestLists:
    PATHS = ("/v1/devices?status=online&limit=2", "/v1/groups", f"{CLASSROOM}/devices", f"{DEVICE}/groups?sort=name")

    @pytest.mark.parametrize("path", PATHS)
    def test_a_list_that_the_client_has_is_not_sent_again(self, client, path):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]

    @pytest.mark.parametrize("path", PATHS)
    def test_a_list_that_has_changed_is_sent(self, client, path):
        old = client.get(path).headers["ETag"]
        client.put(f"{CLASSROOM}/devices/4322159209")
        client.patch(DEVICE, json={"name": "another"})
        client.patch(CLASSROOM, json={"name": "another"})
        answer = client.get(path, headers={"If-None-Match": old})
        assert answer.status_code == 200
        assert answer.headers["ETag"] != old
