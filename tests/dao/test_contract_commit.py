"""Where changes come one after another, those that wait at the same time are committed together, and each has its own
outcome."""

import pytest

from devicesvc.dao.base import Observer
from devicesvc.errors import Conflict
from devicesvc.sample import DEVICES
from tests.dao.conftest import add
from tests.hard_data import device

FIRST = DEVICES[0]

pytestmark = pytest.mark.parametrize("new_store_url", ["csv", "sqlite"], indirect=True)


def remove(tx):
    return tx.devices.remove([FIRST.id])


def test_each_sees_what_the_one_before_did(together, store):
    outcomes = together(remove, remove, add(device("1")), add(device("1")), remove)
    assert outcomes[:3] == [[FIRST.id], [], None]
    assert isinstance(outcomes[3], Conflict)
    assert outcomes[4] == []
    assert {each.id for each in store.devices.list()} == {"1", *(each.id for each in DEVICES[1:])}


def test_they_share_one_commit_and_the_observer_is_told_how_many_changes_it_has(together, store):
    told = []
    store.observer = Observer()
    store.observer.committed = lambda changes, _seconds: told.append(changes)
    together(add(device("1")), lambda tx: tx.devices.list(), add(device("1")), add(device("2")))
    assert told == [2]


def test_a_change_that_raises_takes_only_its_own_changes_along(together, store):
    def half(tx):
        tx.devices.remove([FIRST.id])
        tx.groups.create({"name": "half"})
        raise ZeroDivisionError

    outcomes = together(add(device("1")), half, add(device("2")))
    assert isinstance(outcomes[1], ZeroDivisionError)
    assert {each.id for each in store.devices.list()} == {"1", "2", *(each.id for each in DEVICES)}
    assert store.groups.list() == []


def test_if_none_changes_anything_nothing_is_committed(together, store):
    told = []
    store.observer = Observer()
    store.observer.committed = lambda changes, _seconds: told.append(changes)
    together(lambda tx: tx.devices.list(), lambda tx: tx.devices.remove(["none"]))
    assert not told
