"""What devicesvc/dao/base.py promises of lists in pages, against every store."""

import random
import tracemalloc
from dataclasses import replace

import pytest

from devicesvc.dao.base import Cursor, PageRequest
from devicesvc.model import DeviceFilter, Group, GroupFilter, Membership
from tests.api.conftest import Contents
from tests.hard_data import NIC, device

NAMES = ["", "b", "B", "é", "设", "\U0001f4e1", "a", "", "b", " "]


def numbered(number):
    """The device of this number, with each field in an order of its own."""
    others = ("status", "hardware_model", "hardware_sn", "software_version")
    values = {field: NAMES[(number + turn) % 10] or "none" for turn, field in enumerate(others, 1)}
    values["software_last_update"] = f"200{number * 3 % 4}-01-01 00:00:00"
    return device(f"{number * 7 % 10}", name=NAMES[number] or "none", type="ab"[number % 2], **values)


TEN = Contents(
    [numbered(number) for number in range(10)],
    [Group(f"g{number * 3 % 10}", f"{name}{number}", description=name) for number, name in enumerate(NAMES)],
)


@pytest.fixture
def store(shared_store):
    """A store with ten devices of few names and types, and as many groups."""
    return TEN.given_to(shared_store)


def walk(table, where, request):
    """The ids of all pages, one after another."""
    ids = []
    while True:
        page = table.page(where, request)
        ids += [each.id for each in page.items]
        assert len(set(ids)) == len(ids)  # else it might never end
        if not page.next:
            return ids
        assert len(page.items) == request.limit
        request = replace(request, after=page.next)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", DeviceFilter.SORTS)
def test_devices_are_sorted_by_code_point_and_equal_ones_by_ascending_id(store, sort, descending):
    value_of = DeviceFilter.SORTS[sort]
    expected = sorted(store.devices.list(), key=value_of, reverse=descending)
    assert store.devices.page(DeviceFilter(), PageRequest(sort, descending)).items == expected
    ids = [each.id for each in expected]
    for limit in (1, 3, 10, 11):
        assert walk(store.devices, DeviceFilter(), PageRequest(sort, descending, limit=limit)) == ids


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", GroupFilter.SORTS)
def test_groups_are_sorted_in_the_same_way(store, sort, descending):
    expected = sorted(store.groups.list(), key=GroupFilter.SORTS[sort], reverse=descending)
    ids = [each.id for each in expected]
    assert walk(store.groups, GroupFilter(), PageRequest(sort, descending, limit=4)) == ids


def test_a_filter_narrows_every_page(store):
    expected = [each.id for each in store.devices.list() if each.type == "a"]
    assert walk(store.devices, DeviceFilter(type="a"), PageRequest(limit=2)) == expected
    assert walk(store.devices, DeviceFilter(type="a"), PageRequest("id", descending=True, limit=2)) == expected[::-1]


FILTERS = [
    {},
    {"type": "a"},
    {"type": "a", "status": "b"},
    {"type": "b", "model": "B"},
    {"model": "b"},
    {"model": "b", "mac": NIC.mac},
    {"ipv4": NIC.ipv4, "group_ids": {"g0"}},
    {"group_ids": {"g0", "g3"}, "type": "a"},
    {"id": "5", "type": "b"},
    {"name": "设", "sn": "none"},
    {"software_version": "b"},
    {"software_version": "b", "type": "b"},
    {"hardware_model": "b"},
    {"hardware_model": "b", "type": "b"},
    {"q": "B"},
    {"q": "设", "type": "b"},
    {"q": NIC.mac[:5], "group_ids": {"g0"}},
]


@pytest.mark.parametrize("sort", ["id", "name", "-status"])
@pytest.mark.parametrize("wanted", FILTERS)
def test_filter_order_cursor_and_total_go_together_also_inside_a_change(store, wanted, sort):
    groups = {"g0": "0123456789", "g3": "13579"}
    addresses = [{"type": "eth", "mac": NIC.mac, "ipv4": NIC.ipv4}] * 2
    where = DeviceFilter(**{**wanted, "group_ids": frozenset(wanted.get("group_ids", ()))})
    request = PageRequest(sort.lstrip("-"), sort.startswith("-"), count=True)
    value_of = DeviceFilter.SORTS[request.sort]

    def check(devices):
        fitting = [
            each
            for each in devices.list()
            if where.matches(each) and all(each.id in groups[group] for group in where.group_ids)
        ]
        fitting.sort(key=value_of, reverse=request.descending)
        for limit in (None, 3):
            for place, after in enumerate([None, *fitting]):
                cursor = Cursor(value_of(after), after.id) if after else None
                page = devices.page(where, replace(request, limit=limit, after=cursor))
                assert page.items == fitting[place:][:limit]
                assert page.total == len(fitting)
        return len(fitting)

    def change(tx):
        check(tx.devices)
        for id in "1234":
            tx.devices.update(id, {"nic": addresses})
        tx.memberships.add(Membership(device, group) for group, devices in groups.items() for device in devices)
        tx.devices.update("7", {"type": "a", "status": "b", "hardware": {"model": "aBc"}})
        return check(tx.devices)

    assert store.write(change) == check(store.devices) > 0


def test_the_total_counts_all_that_fit_and_only_when_asked(store):
    for after in (None, Cursor("5", "5"), Cursor("9", "9")):
        page = store.devices.page(DeviceFilter(type="a"), PageRequest(after=after, limit=1, count=True))
        assert page.total == 5
    for request in (PageRequest(limit=1), PageRequest("name"), PageRequest(descending=True)):
        assert store.devices.page(DeviceFilter(), request).total is None
    assert store.devices.page(DeviceFilter(name="nothing"), PageRequest(count=True)).total == 0


def test_the_last_page_has_no_next_also_when_it_is_full(store):
    assert store.devices.page(DeviceFilter(), PageRequest(limit=10)).next is None
    assert store.devices.page(DeviceFilter(), PageRequest(limit=9)).next == Cursor("8", "8")
    assert store.devices.page(DeviceFilter(name="nothing"), PageRequest(limit=1)).next is None


@pytest.mark.parametrize("sort", ["id", "-id", "name", "-name"])
def test_a_walk_while_others_add_and_delete_neither_repeats_nor_skips_what_was_there_all_along(store, sort):
    chance = random.Random(sort)
    stay = walk(store.devices, DeviceFilter(), PageRequest(sort.lstrip("-"), sort.startswith("-")))
    coming = [f"{number}x" for number in range(40)]

    def disturb(tx):
        for id in chance.sample(coming, 8):
            if not tx.devices.remove([id]):
                tx.devices.add(device(id, name=chance.choice(NAMES) or "none"))

    request, seen = PageRequest(sort.lstrip("-"), sort.startswith("-"), limit=2), []
    while True:
        page = store.devices.page(DeviceFilter(), request)
        seen += [each.id for each in page.items]
        if not page.next:
            break
        request = replace(request, after=page.next)
        store.write(disturb)
    assert [id for id in seen if id in stay] == stay
    assert any(id in coming for id in seen)


def test_the_item_of_a_cursor_may_be_gone(store):
    page = store.devices.page(DeviceFilter(), PageRequest(limit=3))
    store.write(lambda tx: tx.devices.remove([page.next.id]))
    after = store.devices.page(DeviceFilter(), PageRequest(limit=3, after=page.next))
    assert [each.id for each in after.items] == ["3", "4", "5"]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("after", [Cursor("A", "5"), Cursor("a", "4"), Cursor("a", "x"), Cursor("b", "5")])
def test_a_cursor_may_have_another_value_than_the_filter_wants(store, descending, after):
    """The item there may have fitted when it was shown."""
    fitting = [(each.type, each.id) for each in store.devices.list() if each.type == "a"]
    if after.value == "a":
        expected = [id for _, id in fitting if id > after.id]
    else:
        expected = [id for type, id in fitting if (type < after.value) == descending]
    request = PageRequest("type", descending, after=after, limit=1)
    assert walk(store.devices, DeviceFilter(type="a"), request) == expected


def test_a_change_pages_over_its_own_changes(store):
    def change(tx):
        tx.devices.add(device("35"))
        tx.devices.remove(["4"])
        return [each.id for each in tx.devices.page(DeviceFilter(), PageRequest(limit=3, after=Cursor("2", "2"))).items]

    assert store.write(change) == ["3", "35", "5"]


@pytest.mark.parametrize("limit", [None, 1, 3, 1000])
@pytest.mark.parametrize("sort", ["id", "-status"])
def test_chunks_are_the_page_in_pieces(store, limit, sort):
    request = PageRequest(sort.lstrip("-"), sort.startswith("-"), limit=limit)
    for where in (DeviceFilter(), DeviceFilter(type="gateway"), DeviceFilter(name="none")):
        chunks = list(store.devices.chunks(where, request, 2))
        assert [each for chunk in chunks for each in chunk] == store.devices.page(where, request).items
        assert all(len(chunk) <= 2 for chunk in chunks)


def test_chunks_are_those_of_one_moment(store):
    chunks = store.devices.chunks(DeviceFilter(), PageRequest(), 2)
    before = store.devices.list()
    found = list(next(chunks))
    store.write(lambda tx: tx.devices.remove(device.id for device in before))
    for chunk in chunks:
        found.extend(chunk)
    assert found == before


def test_chunks_of_very_many_are_not_in_memory_together(shared_store):
    many = Contents([device(f"{number:04}", name=f"名{number}", nic=[NIC]) for number in range(4_000)], [])
    chunks = many.given_to(shared_store).devices.chunks(DeviceFilter(), PageRequest(), 100)
    tracemalloc.start()
    try:
        assert sum(map(len, chunks)) == 4_000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000  # their list takes 4.8 MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("%", ["1"]),
        ("_", ["1"]),
        ("/", ["1"]),
        ("0%_", ["1"]),
        ("\ufffd", ["2"]),
        ("\uffff", []),
        ("设", ["2"]),
        ("", ["1", "2"]),
    ],
)
def test_a_part_of_a_model_is_looked_for_as_it_is_written(store, part, found):
    def change(tx):
        tx.devices.remove([each.id for each in tx.devices.list()])
        tx.devices.add(device("1", hardware_model="50%_/x"))
        tx.devices.add(device("2", hardware_model="设\ufffd"))

    store.write(change)
    assert [each.id for each in store.devices.list(DeviceFilter(model=part))] == found
