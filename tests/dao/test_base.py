"""What all stores have in common: the methods that devicesvc/dao/base.py writes once, over those that are abstract.

The store here has no more than the abstract methods, in the plainest form: so what these tests find is of base.py.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from devicesvc.dao.base import (
    Filter,
    Item,
    MembershipWriter,
    Observer,
    Page,
    PageRequest,
    Size,
    Store,
    Writer,
)
from devicesvc.dao.history import ChangeSet, Step
from devicesvc.errors import Conflict, Invalid, NotFound, StoreUnavailable
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership
from tests.hard_data import ADD, device


class Items(Writer[Item, Filter]):
    def __init__(self, item, kind_of_filter, end, items, pairs, changes):
        self.item, self.filter, self._end = item, kind_of_filter, end
        self._items, self._pairs, self.change_set = items, pairs, changes

    def find(self, id: str) -> Item | None:
        return self._items.get(id)

    def page(self, where: Filter, _request: PageRequest) -> Page[Item]:
        return Page([self._items[id] for id in sorted(self._items) if where.matches(self._items[id])], None, None)

    def chunks(self, where: Filter, request: PageRequest, _size: int) -> Iterator[Sequence[Item]]:
        yield self.page(where, request).items

    def _insert(self, items):
        assert items, "an empty list is not handed on"
        for item in items:
            assert item.id not in self._items
            self._items[item.id] = item

    def _update(self, pairs):
        assert pairs, "an empty list is not handed on"
        for old, item in pairs:
            assert self._items[item.id] == old
            assert old != item, "nothing is updated that stays as it is"
            self._items[item.id] = item

    def _delete(self, ids):
        assert ids, "an empty list is not handed on"
        for id in ids:
            del self._items[id]
        gone = [pair for pair in self._pairs if getattr(pair, self._end) in ids]
        self._pairs.difference_update(gone)
        return gone


class Pairs(MembershipWriter):
    def __init__(self, pairs, devices, groups, changes):
        self._pairs, self.devices, self.groups, self.change_set = pairs, devices, groups, changes

    def list(self, *, device_id=None, group_id=None):
        return sorted(
            (each for each in self._pairs if device_id in (None, each.device_id) and group_id in (None, each.group_id)),
            key=lambda each: (each.device_id, each.group_id),
        )

    def existing(self, memberships):
        return {*memberships} & self._pairs

    def _insert(self, memberships):
        assert memberships
        assert self._pairs.isdisjoint(memberships)
        self._pairs.update(memberships)

    def _delete(self, memberships):
        assert memberships
        assert self._pairs.issuperset(memberships)
        self._pairs.difference_update(memberships)


class PlainTransaction:
    def __init__(self, devices, groups, pairs):
        self.change_set = ChangeSet()
        self.devices = Items[Device, DeviceFilter](Device, DeviceFilter, "device_id", devices, pairs, self.change_set)
        self.groups = Items[Group, GroupFilter](Group, GroupFilter, "group_id", groups, pairs, self.change_set)
        self.memberships = Pairs(pairs, self.devices, self.groups, self.change_set)


class PlainStore(Store):
    """commits: the change set of each commit."""

    def __init__(self):
        self._tables: tuple[dict[str, Any], dict[str, Any], set[Membership]] = {}, {}, set()
        self.commits = []

    @property
    def devices(self):
        return PlainTransaction(*self._tables).devices

    @property
    def groups(self):
        return PlainTransaction(*self._tables).groups

    @property
    def memberships(self):
        return PlainTransaction(*self._tables).memberships

    @property
    def history(self):
        raise NotImplementedError

    def _write(self, change):
        devices, groups, pairs = self._tables
        tables = dict(devices), dict(groups), set(pairs)
        tx = PlainTransaction(*tables)
        result = change(tx)
        if tx.change_set:
            self._tables = tables
            self.commits.append(tx.change_set.by_done())
        return result

    def size(self):
        devices, groups, pairs = self._tables
        return Size(len(devices), len(groups), len(pairs), 0)

    def ping(self):
        pass

    def close(self):
        pass


ONE, TWO, NEW = device("1"), device("2"), device("new")
A, B = Group("a", "alpha"), Group("b", "beta")


@pytest.fixture
def store():
    """Two devices and two groups: the first device is in the first group."""
    store = PlainStore()

    def fill(tx):
        tx.devices.put_many([ONE, TWO])
        tx.groups.put_many([A, B])
        tx.memberships.add([Membership("1", "a")])

    store.write(fill)
    store.commits.clear()
    return store


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        (lambda tx: tx.devices.add(NEW), {"devices added": ["new"]}),
        (lambda tx: tx.devices.replace(device("1", name="x")), {"devices changed": ["1"]}),
        (lambda tx: tx.devices.update("1", {"name": "x"}), {"devices changed": ["1"]}),
        (
            lambda tx: tx.devices.remove(["2", "1", "2"]),
            {"memberships deleted": ["1/a"], "devices deleted": ["2", "1"]},
        ),
        (lambda tx: tx.devices.remove(["none", "2"]), {"devices deleted": ["2"]}),
        (lambda tx: tx.devices.put(NEW), {"devices added": ["new"]}),
        (lambda tx: tx.devices.put(device("2", name="x")), {"devices changed": ["2"]}),
        (
            lambda tx: tx.devices.put_many([device("2", name="x"), ONE, NEW]),
            {"devices added": ["new"], "devices changed": ["2"]},
        ),
        (lambda tx: tx.groups.add(Group("c", "gamma")), {"groups added": ["c"]}),
        (lambda tx: tx.groups.replace(Group("a", "x")), {"groups changed": ["a"]}),
        (lambda tx: tx.groups.update("a", {"description": "x"}), {"groups changed": ["a"]}),
        (
            lambda tx: tx.groups.remove(["b", "a"]),
            {"memberships deleted": ["1/a"], "groups deleted": ["b", "a"]},
        ),
        (lambda tx: tx.groups.put(Group("c", "gamma")), {"groups added": ["c"]}),
        (
            lambda tx: tx.groups.put_many([Group("c", "gamma"), Group("a", "x"), B]),
            {"groups added": ["c"], "groups changed": ["a"]},
        ),
        (
            lambda tx: tx.memberships.add([Membership("2", "b"), Membership("1", "a"), Membership("2", "b")]),
            {"memberships added": ["2/b"]},
        ),
        (
            lambda tx: tx.memberships.remove([Membership("2", "b"), Membership("1", "a")]),
            {"memberships deleted": ["1/a"]},
        ),
    ],
)
def test_each_change_is_in_the_change_set_with_the_ids_that_it_really_changed(store, change, changes):
    store.write(change)
    assert store.commits == [changes]


def test_create_is_in_the_change_set_under_the_id_that_it_made(store):
    item = store.write(lambda tx: tx.devices.create(ADD))
    group = store.write(lambda tx: tx.groups.create({"name": "gamma"}))
    assert store.commits == [{"devices added": [item.id]}, {"groups added": [group.id]}]
    assert (store.devices.get(item.id), store.groups.get(group.id)) == (item, group)


def test_what_one_change_does_with_several_methods_is_in_one_change_set_in_the_order_done(store):
    def change(tx):
        tx.devices.add(NEW)
        tx.memberships.add([Membership("new", "b")])
        tx.devices.remove(["1"])
        tx.devices.put(device("3"))

    store.write(change)
    assert store.commits == [
        {
            "devices added": ["new", "3"],
            "memberships added": ["new/b"],
            "memberships deleted": ["1/a"],
            "devices deleted": ["1"],
        },
    ]
    assert list(store.commits[0]) == ["devices added", "memberships added", "memberships deleted", "devices deleted"]
    assert store.memberships.list() == [Membership("new", "b")]


@pytest.mark.parametrize(
    "change",
    [
        lambda tx: tx.devices.list(),
        lambda tx: tx.devices.replace(ONE),
        lambda tx: tx.devices.update("1", {"name": ONE.name}),
        lambda tx: tx.devices.update("1", {}),
        lambda tx: tx.devices.remove(["none"]),
        lambda tx: tx.devices.remove([]),
        lambda tx: tx.devices.put(ONE),
        lambda tx: tx.devices.put_many([TWO, ONE]),
        lambda tx: tx.devices.put_many([]),
        lambda tx: tx.groups.replace(A),
        lambda tx: tx.groups.update("a", {"description": ""}),
        lambda tx: tx.groups.remove(["A"]),
        lambda tx: tx.groups.put_many([B, A]),
        lambda tx: tx.memberships.add([Membership("1", "a")]),
        lambda tx: tx.memberships.add([]),
        lambda tx: tx.memberships.remove([Membership("2", "a")]),
        lambda tx: tx.memberships.remove([]),
    ],
)
def test_what_changes_nothing_adds_nothing_to_the_change_set(store, change, caplog):
    caplog.set_level(logging.INFO)
    assert store.write(lambda tx: (change(tx), tx.change_set.by_done())[1]) == {}
    assert store.commits == []
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda tx: tx.devices.add(ONE), Conflict),
        (lambda tx: tx.devices.replace(NEW), NotFound),
        (lambda tx: tx.devices.update("new", {"name": "x"}), NotFound),
        (lambda tx: tx.devices.update("1", {"name": ""}), Invalid),
        (lambda tx: tx.devices.create({**ADD, "name": ""}), Invalid),
        (lambda tx: tx.groups.add(A), Conflict),
        (lambda tx: tx.groups.add(Group("c", "alpha")), Conflict),
        (lambda tx: tx.groups.put(Group("b", "alpha")), Conflict),
        (lambda tx: tx.groups.create({"name": "alpha"}), Conflict),
        (lambda tx: tx.memberships.add([Membership("2", "b"), Membership("none", "a")]), NotFound),
        (lambda tx: tx.memberships.add([Membership("2", "b"), Membership("1", "none")]), NotFound),
    ],
)
def test_what_is_refused_adds_nothing_to_the_change_set(store, change, error):
    seen = []

    def refused(tx):
        with pytest.raises(error):
            change(tx)
        seen.append(tx.change_set.by_done())

    store.write(refused)
    assert (seen, store.commits) == ([{}], [])


def test_one_name_may_go_from_group_to_group_within_a_change_and_each_step_is_in_the_change_set(store):
    def change(tx):
        tx.groups.update("a", {"name": "gamma"})
        tx.groups.put_many([Group("c", "alpha")])

    store.write(change)
    assert store.commits == [{"groups changed": ["a"], "groups added": ["c"]}]


def test_the_log_has_a_line_of_each_change_set(store, caplog):
    caplog.set_level(logging.INFO)
    store.write(lambda tx: tx.devices.put_many([NEW, device("1", name="x")]))
    assert caplog.messages == ["devices added: new; devices changed: 1"]
    assert caplog.records[0].changes == {"devices added": ["new"], "devices changed": ["1"]}


def test_of_a_change_that_cannot_be_kept_the_observer_is_told_and_the_log_says_nothing(store, caplog, monkeypatch):
    class Told(Observer):
        times = 0

        def refused(self):
            self.times += 1

    def fail(change):
        change(PlainTransaction({}, {}, set()))
        raise StoreUnavailable("The disk is full.")

    caplog.set_level(logging.INFO)
    store.observer = Told()
    monkeypatch.setattr(store, "_write", fail)
    with pytest.raises(StoreUnavailable):
        store.write(lambda tx: tx.devices.add(NEW))
    assert (store.observer.times, caplog.messages) == (1, [])


def test_a_long_change_set_is_cut_in_the_log_and_not_in_what_is_committed(store):
    items = [device(f"d{number:04}") for number in range(1002)]
    store.write(lambda tx: tx.devices.put_many(items))
    assert store.commits == [{"devices added": [item.id for item in items]}]
    assert str(ChangeSet(Step(None, item) for item in items)).endswith("d0998, d0999 and 2 more")
