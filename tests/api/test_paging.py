"""Lists in pages: limit, cursor, sort, total and next, of devices, groups and members."""

import base64

import pytest

from devicesvc.model import Group, Membership
from tests.api.checks import ids, problem
from tests.api.conftest import Contents
from tests.hard_data import device

COUNT = 7


@pytest.fixture(scope="module")
def contents():
    """Some devices, all of them in all of as many groups, and one of each beside them."""
    devices = [device(f"d{n}", name=f"设{n % 2}", hardware_sn=f"{COUNT - n}") for n in range(COUNT)]
    groups = [Group(f"g{n}", f"name {COUNT - n}") for n in range(COUNT)]
    memberships = [Membership(f"d{one}", f"g{two}") for one in range(COUNT) for two in range(COUNT)]
    return Contents([*devices, device("other")], [*groups, Group("other", "other")], memberships)


@pytest.fixture(params=["/v1/devices", "/v1/groups", "/v1/groups/g0/devices", "/v1/devices/d0/groups"])
def path(request):
    return request.param


def walk(client, path, **query):
    """The ids of all pages, one after another."""
    found, cursor = [], dict[str, str]()
    while True:
        answer = client.get(path, query_string={**query, **cursor})
        found += ids(answer)
        assert len(set(found)) == len(found)  # else it might never end
        if answer.json["next"] is None:
            return found
        cursor = {"cursor": answer.json["next"]}


def test_without_arguments_a_list_is_whole_with_its_total(client, path):
    answer = client.get(path)
    assert answer.json["total"] == len(ids(answer)) == (COUNT if path.count("/") > 2 else COUNT + 1)
    assert answer.json["next"] is None


def test_a_limit_cuts_it_into_pages_that_join_to_the_whole(client, path):
    whole = ids(client.get(path))
    for limit in (1, 3, len(whole)):
        assert walk(client, path, limit=limit) == whole
    first = client.get(path, query_string={"limit": 2})
    assert (ids(first), first.json["total"]) == (whole[:2], len(whole))


def test_sort_and_its_reverse(client, path):
    whole = ids(client.get(path))
    assert walk(client, path, sort="-id", limit=2) == whole[::-1]
    names = [item["name"] for item in client.get(path, query_string={"sort": "-name"}).json["data"]]
    assert names == sorted(names, reverse=True)


def test_equal_ones_come_by_ascending_id_in_both_directions(client):
    even, odd = [f"d{n}" for n in range(0, COUNT, 2)], [f"d{n}" for n in range(1, COUNT, 2)]
    assert walk(client, "/v1/groups/g1/devices", sort="name", limit=2) == even + odd
    assert walk(client, "/v1/groups/g1/devices", sort="-name", limit=2) == odd + even


@pytest.mark.parametrize("sort", ["sn", "model", "version", "last_update", "type", "status"])
def test_devices_sort_by_every_field_of_one_value(client, sort):
    part = {"sn": "hardware", "model": "hardware", "version": "software", "last_update": "software"}.get(sort)

    def change(tx):
        for number in range(COUNT):
            value = f"200{number * 3 % COUNT}-01-01 00:00:00"
            tx.devices.update(f"d{number}", {part: {sort: value}} if part else {sort: value})

    client.application.extensions["devicesvc.store"].write(change)
    order = ["d0", "d5", "d3", "d1", "d6", "d4", "d2"]
    assert walk(client, "/v1/devices", sort=sort, limit=3) == [*order, "other"]
    assert walk(client, "/v1/groups/g0/devices", sort=sort) == order


def test_a_filter_holds_on_every_page(client):
    assert walk(client, "/v1/devices", name="设1", limit=1) == ["d1", "d3", "d5"]
    assert client.get("/v1/devices?name=设1&limit=1").json["total"] == 3
    assert walk(client, "/v1/groups", device_id="d3", limit=2) == [f"g{n}" for n in range(COUNT)]
    assert walk(client, "/v1/devices", group_id="g3", limit=2) == [f"d{n}" for n in range(COUNT)]
    assert ids(client.get("/v1/groups/g0/devices?group_id=other")) == []


def test_the_total_is_left_out_when_it_is_not_wanted(client, path):
    assert "total" not in client.get(path, query_string={"total": "false"}).json
    assert "total" not in client.get(path, json={"total": False, "limit": 2}).json


def test_the_arguments_may_come_in_the_body(client, path):
    query = {"limit": 3, "sort": "-name", "total": True}
    first = client.get(path, json=query)
    assert first.json == client.get(path, query_string={**query, "total": "true"}).json
    second = {**query, "cursor": first.json["next"]}
    assert (
        client.get(path, json=second).json["data"]
        == client.get(path, query_string=second | {"total": "true"}).json["data"]
    )


def test_a_cursor_knows_how_its_list_is_sorted(client, path):
    cursor = client.get(path, query_string={"sort": "-name", "limit": 2}).json["next"]
    same = client.get(path, query_string={"cursor": cursor, "limit": 2})
    assert same.json == client.get(path, query_string={"cursor": cursor, "limit": 2, "sort": "-name"}).json
    answer = problem(client.get(path, query_string={"cursor": cursor, "sort": "name"}), 422)
    assert "sort=-name" in answer["errors"]["cursor"]


def encoded(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ({"limit": "0"}, "limit", "must be from 1 to 1000"),
        ({"limit": "1001"}, "limit", "must be from 1 to 1000"),
        ({"limit": "-1"}, "limit", "must be a whole number from 1 to 1000"),
        ({"limit": "ten"}, "limit", "must be a whole number from 1 to 1000"),
        ({"limit": ""}, "limit", "must be a whole number from 1 to 1000"),
        ({"limit": "1.0"}, "limit", "must be a whole number from 1 to 1000"),
        ({"limit": "１０"}, "limit", "must be a whole number from 1 to 1000"),
        ({"limit": "9" * 5000}, "limit", "must be"),
        ({"sort": "colour"}, "sort", "must be one of these fields, with or without - before it: id, name"),
        ({"sort": "--id"}, "sort", "must be one of these fields"),
        ({"sort": ""}, "sort", "must be one of these fields"),
        ({"total": "1"}, "total", "must be true or false"),
        *(
            ({"cursor": cursor}, "cursor", "must be the `next` of an earlier answer")
            for cursor in (
                encoded(r'["id", "a\u0000", "1"]'),
                encoded(r'["id", "a", "\u0000"]'),
                "A" * 100_000,
                "",
                "x",
                "设",
                "*" * 8,
                encoded("[]"),
                encoded('["id", "a"]'),
                encoded('["id", "a", 5]'),
                encoded('["colour", "a", "b"]'),
                encoded('{"a": 1, "b": 2, "c": 3}'),
                encoded("5"),
                "/w",
            )
        ),
    ],
)
def test_422_names_the_argument_and_its_rule(client, path, query, field, words):
    answer = problem(client.get(path, query_string=query), 422)
    assert list(answer["errors"]) == [field]
    assert words in answer["errors"][field]


@pytest.mark.parametrize(
    ("name", "value"), [("limit", True), ("limit", None), ("limit", 1.5), ("total", "no"), ("sort", 5)]
)
def test_422_for_a_wrong_value_in_the_body(client, path, name, value):
    assert list(problem(client.get(path, json={name: value}), 422)["errors"]) == [name]


def test_at_most_a_thousand_come_in_one_answer(client):
    def change(tx):
        for number in range(1001):
            tx.devices.add(device(f"{number:04}"))

    client.application.extensions["devicesvc.store"].write(change)
    answer = client.get("/v1/devices")
    assert len(ids(answer)) == 1000
    assert answer.json["total"] == 1001 + COUNT + 1
    assert len(walk(client, "/v1/devices", limit=1000)) == 1001 + COUNT + 1


def test_a_walk_while_others_add_and_delete_neither_repeats_nor_skips_what_was_there_all_along(client, path):
    stay = ids(client.get(path, query_string={"sort": "-name"}))
    found, cursor, number = [], dict[str, str | None](), 0
    while cursor.get("cursor", "") is not None:
        answer = client.get(path, query_string={"limit": 2, "sort": "-name", **cursor})
        found += ids(answer)
        cursor = {"cursor": answer.json["next"]}
        for name in ("devices", "groups"):
            client.delete(f"/v1/{name}/come{number - 1}")
            body: dict[str, object] = {"name": f"name {number}.5"}
            if name == "devices":
                body |= {key: client.get("/v1/devices/other").json["data"][key] for key in ("type", "status", "nic")}
                body |= {
                    "hardware": {"model": "m", "sn": "s"},
                    "software": {"version": "1", "last_update": "2024-01-01 00:00:00"},
                }
            assert client.put(f"/v1/{name}/come{number}", json=body).status_code == 201
        number += 1
    assert [id for id in found if id in stay] == stay
