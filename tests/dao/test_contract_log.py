"""The contract of every store: the line in the log for each change, what it tells its observer, and its size."""

import logging

import pytest

from devicesvc.dao.base import Observer
from devicesvc.dao.history import MAX_LOGGED
from devicesvc.dao.urls import open_store
from devicesvc.errors import Conflict, NotFound
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from tests.hard_data import device

ONE, TWO = DEVICES[0].id, DEVICES[1].id


@pytest.fixture
def lines(caplog):
    """The lines of the changes so far."""
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records if record.name == "devicesvc.changes"]


def test_each_change_is_one_line_with_what_was_done_and_the_ids(store, lines):
    store.write(lambda tx: tx.devices.add(device("new")))
    store.write(lambda tx: tx.devices.update("new", {"name": "other"}))
    store.write(lambda tx: tx.devices.remove([TWO, "new", "none"]))
    store.write(lambda tx: (tx.groups.put(Group("a", "A")), tx.memberships.add([Membership(ONE, "a")])))
    store.write(lambda tx: tx.memberships.remove([Membership(ONE, "a")]))
    assert lines() == [
        "devices added: new",
        "devices changed: new",
        f"devices deleted: {TWO}, new",
        f"groups added: a; memberships added: {ONE}/a",
        f"memberships deleted: {ONE}/a",
    ]


def test_many_that_are_put_at_once_are_told_apart(store, lines):
    store.write(lambda tx: tx.devices.put_many([device(ONE), device("b"), DEVICES[1], device("a")]))
    (line,) = lines()
    assert sorted(line.split("; ")) == ["devices added: b, a", f"devices changed: {ONE}"]


def test_what_changes_nothing_has_no_line(store, lines):
    store.write(lambda tx: tx.devices.replace(DEVICES[0]))
    store.write(lambda tx: tx.devices.remove(["none"]))
    store.write(lambda tx: tx.memberships.add([]))
    store.write(lambda tx: tx.devices.put_many([DEVICES[0]]))
    assert lines() == []


def test_what_is_refused_has_no_line_and_leaves_none_behind(store, lines):
    with pytest.raises(Conflict):
        store.write(lambda tx: (tx.devices.add(device("a")), tx.devices.add(device("a"))))
    store.write(lambda tx: tx.devices.add(device("b")))
    assert lines() == ["devices added: b"]


def test_a_very_long_line_is_cut(store, lines):
    many = [device(f"{number:06}") for number in range(MAX_LOGGED + 5)]
    store.write(lambda tx: tx.devices.put_many(many))
    (line,) = lines()
    assert line.endswith(f", {many[MAX_LOGGED - 1].id} and 5 more")


class Noting(Observer):
    def __init__(self):
        self.commits = []

    def committed(self, changes, seconds):
        assert seconds > 0
        self.commits.append(changes)


def test_the_observer_is_told_of_each_commit_that_changed_something(store):
    store.observer = Noting()
    store.write(lambda tx: tx.devices.add(device("a")))
    store.write(lambda tx: tx.devices.remove(["none"]))
    with pytest.raises(NotFound):
        store.write(lambda tx: tx.devices.update("none", {}))
    store.write(lambda tx: tx.devices.remove(["a"]))
    assert store.observer.commits == [1, 1]


def test_the_size_counts_items_and_bytes(store):
    before = store.size()
    assert (before.devices, before.groups, before.memberships) == (5, 0, 0)
    store.write(lambda tx: (tx.groups.put(Group("a", "A")), tx.memberships.add([Membership(ONE, "a")])))
    store.write(lambda tx: tx.devices.put_many([device(f"{number:06}") for number in range(500)]))
    after = store.size()
    assert (after.devices, after.groups, after.memberships) == (505, 1, 1)
    assert after.bytes >= before.bytes > 0  # a database may have had the room already
    assert after.bytes > 500 * 40


def test_the_size_is_what_another_has_made_of_it(store, store_url):
    with open_store(store_url) as other:
        other.write(lambda tx: tx.devices.remove([ONE]))
    assert store.size().devices == 4
