"""What devicesvc/dao/undo.py promises, against every store: a change is taken back as a whole, or not at all."""

import pytest

from devicesvc.dao.history import HistoryFilter
from devicesvc.dao.undo import MAX_NAMED, undo
from devicesvc.errors import Conflict
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from tests.dao.conftest import add
from tests.hard_data import HARD, device

FIRST, SECOND = DEVICES[0], DEVICES[1]
A = Group("a", "alpha", "the first")


@pytest.fixture
def store(store):
    """A store with a group, in which the first device is."""
    store.write(lambda tx: (tx.groups.add(A), tx.memberships.add([Membership(FIRST.id, "a")])))
    return store


def everything(store):
    return store.devices.list(), store.groups.list(), store.memberships.list()


def last(store):
    """The last change, with all its rows."""
    return store.history.get(store.history.last())


def taken_back(store, change):
    """Take a change back; return the change that does it."""
    store.write(lambda tx: undo(tx, change))
    return last(store)


def batch(tx):
    tx.devices.update(SECOND.id, {"name": "x", "status": "y"})
    tx.devices.put_many([device(f"{number:04}") for number in range(500)])
    tx.memberships.add([Membership("0001", "a"), Membership(SECOND.id, "a")])
    tx.devices.remove([FIRST.id, "0001"])
    tx.devices.update(SECOND.id, {"name": "z"})


CHANGES = {
    "a device added": add(device("new")),
    **{f"a device added, {case}": add(HARD[case]) for case in HARD},
    "a device changed": lambda tx: tx.devices.update(FIRST.id, {"name": "设备", "nic": [], "status": ","}),
    "a device deleted with its memberships": lambda tx: tx.devices.remove([FIRST.id]),
    "a group added": lambda tx: tx.groups.add(Group("b", "beta")),
    "a group changed": lambda tx: tx.groups.put(Group("a", "gamma")),
    "a group deleted with its memberships": lambda tx: tx.groups.remove(["a"]),
    "a membership added": lambda tx: tx.memberships.add([Membership(SECOND.id, "a")]),
    "a membership deleted": lambda tx: tx.memberships.remove([Membership(FIRST.id, "a")]),
    "names that were swapped": lambda tx: (
        tx.groups.add(Group("b", "beta")),
        tx.groups.update("a", {"name": "gamma"}),
        tx.groups.update("b", {"name": "alpha"}),
    ),
    "a batch of all kinds": batch,
    "a device deleted and another added in its place": lambda tx: (
        tx.devices.remove([FIRST.id]),
        tx.devices.add(device(FIRST.id)),
        tx.devices.update(FIRST.id, {"name": "x"}),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_undone_change_leaves_all_as_it_was_before_and_an_undone_undo_as_it_was_after(store, name):
    before = everything(store)
    store.write(CHANGES[name])
    after, change = everything(store), last(store)
    assert after != before
    second = taken_back(store, change)
    assert everything(store) == before
    assert second.number > change.number
    third = taken_back(store, second)
    assert everything(store) == after
    taken_back(store, third)
    assert everything(store) == before


def test_the_rows_of_an_undo_are_those_of_the_change_the_other_way_round(store):
    store.write(lambda tx: tx.devices.update(FIRST.id, {"name": "x"}))
    change = last(store)
    [row] = taken_back(store, change).rows
    assert (row.column, row.before, row.after) == ("name", "x", FIRST.name)


def test_a_rehearsed_undo_changes_nothing(store):
    store.write(lambda tx: tx.devices.remove([FIRST.id]))
    change, before = last(store), everything(store)
    store.rehearse(lambda tx: undo(tx, change))
    assert everything(store) == before
    assert last(store) == change


def rename(name):
    return lambda tx: tx.devices.update(FIRST.id, {"name": name})


REFUSED = {
    "another value": (rename("one"), rename("two"), {f"the device {FIRST.id}, name": "is 'two' now"}),
    "an item that is gone": (
        rename("one"),
        lambda tx: tx.devices.remove([FIRST.id]),
        {f"the device {FIRST.id}": "is gone"},
    ),
    "an item that was added and is gone": (
        add(device("d")),
        lambda tx: tx.devices.remove(["d"]),
        {"the device d": "is gone"},
    ),
    "an item that was added and is another now": (
        add(device("d")),
        lambda tx: tx.devices.update("d", {"name": "x", "status": "y"}),
        {"the device d, name": "is 'x' now", "the device d, status": "is 'y' now"},
    ),
    "an item that was added and is a member now": (
        lambda tx: tx.groups.add(Group("b", "beta")),
        lambda tx: tx.memberships.add([Membership(FIRST.id, "b"), Membership(SECOND.id, "b")]),
        {"the group b": "has 2 memberships now"},
    ),
    "an item that is there again": (
        lambda tx: tx.groups.remove(["a"]),
        lambda tx: tx.groups.add(Group("a", "new")),
        {"the group a": "is there again"},
    ),
    "a membership that is gone": (
        lambda tx: tx.memberships.add([Membership(SECOND.id, "a")]),
        lambda tx: tx.memberships.remove([Membership(SECOND.id, "a")]),
        {f"the membership {SECOND.id}/a": "is gone"},
    ),
    "a membership that is there again": (
        lambda tx: tx.memberships.remove([Membership(FIRST.id, "a")]),
        lambda tx: tx.memberships.add([Membership(FIRST.id, "a")]),
        {f"the membership {FIRST.id}/a": "is there again"},
    ),
    "a membership of what is gone": (
        lambda tx: tx.memberships.remove([Membership(FIRST.id, "a")]),
        lambda tx: tx.groups.remove(["a"]),
        {f"the membership {FIRST.id}/a": "names a device or group that is gone"},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_was_changed_later_is_named_and_nothing_is_undone(store, name):
    first, later, differences = REFUSED[name]
    store.write(lambda tx: (tx.devices.update(SECOND.id, {"status": "x"}), first(tx)))
    change = last(store)
    store.write(later)
    before = everything(store)
    with pytest.raises(Conflict, match=f"Change {change.number} cannot be undone") as refusal:
        store.write(lambda tx: undo(tx, change))
    assert refusal.value.errors == differences
    assert everything(store) == before
    assert last(store).number > change.number
    assert len(store.history.page(HistoryFilter(), None, 10)) == 4


def test_a_name_that_another_group_has_taken_is_refused(store):
    store.write(lambda tx: tx.groups.update("a", {"name": "other"}))
    change = last(store)
    store.write(lambda tx: tx.groups.add(Group("b", "alpha")))
    with pytest.raises(Conflict, match="taken by the group with the id 'b'"):
        store.write(lambda tx: undo(tx, change))
    assert store.groups.get("a").name == "other"


def test_of_many_differences_the_first_are_named(store):
    store.write(lambda tx: tx.devices.put_many([device(f"{number:04}") for number in range(MAX_NAMED + 5)]))
    change = last(store)
    store.write(lambda tx: tx.devices.remove([f"{number:04}" for number in range(MAX_NAMED + 5)]))
    with pytest.raises(Conflict) as refusal:
        store.write(lambda tx: undo(tx, change))
    assert len(refusal.value.errors) == MAX_NAMED
