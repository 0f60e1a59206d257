"""Open a store, make one change, once more if need be, and say so when it is acknowledged:

python -m tests.long.one_change CHANGE PATH
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from devicesvc.dao import history
from devicesvc.dao.base import Store, Transaction
from devicesvc.dao.history import KINDS_BY_NAME
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device, Group, Membership
from devicesvc.sample import DEVICES
from tests.hard_data import device
from tests.histories import replayed
from tests.long.crash_states import ANSWER

LONG = {"name": "设" * 64, "hardware_model": "备" * 64, "hardware_sn": "管" * 64}  # so that a file has several blocks


@dataclass(frozen=True)
class Registry:
    """What a store holds, each kind sorted by id."""

    devices: Sequence[Device]
    groups: Sequence[Group] = ()
    memberships: Sequence[Membership] = ()

    @classmethod
    def of(cls, store: Store) -> "Registry":
        return cls(tuple(store.devices.list()), tuple(store.groups.list()), tuple(store.memberships.list()))

    @classmethod
    def told_by(cls, store: Store) -> "Registry":
        """What the rows of the history make of nothing, one after another."""
        items = replayed(row for change in changes(store) for row in change.rows)
        kinds = [[items[each] for each in sorted(items) if each[0] == kind and items[each]] for kind in KINDS_BY_NAME]
        return cls(*map(tuple, kinds))

    def fill(self, tx: Transaction) -> None:
        """Put all into an empty store that has only the devices."""
        for group in self.groups:
            tx.groups.add(group)
        tx.memberships.add(self.memberships)


def changes(store: Store) -> Iterator[history.Change]:
    """All changes of the history, the oldest first, each with all its rows."""
    number = 0
    while some := store.history.after(number, 100):
        yield from (store.history.get(each.number) for each in some)
        number = some[-1].number


@dataclass(frozen=True)
class Change:
    """before: None if there is no file yet. change: None for the opening alone."""

    before: Registry | None
    after: Registry
    change: Callable[[Transaction], object] | None


ONE, TWO, THREE, FOUR = (device(id, **LONG) for id in ("1", "2", "3", "4"))
A, B = (Group(id, LONG["name"][:63] + id, "组" * 256) for id in "ab")
RENAMED = {"name": "理" * 64}

ALONE = Registry((ONE, TWO, THREE))
JOINED = Registry((ONE, TWO, THREE), (A, B), (Membership("1", "a"), Membership("1", "b"), Membership("2", "a")))

CHANGES = {
    "the first start": Change(None, Registry(tuple(sorted(DEVICES, key=lambda each: each.id))), None),
    "an add": Change(ALONE, Registry((ONE, TWO, THREE, FOUR)), lambda tx: tx.devices.add(FOUR)),
    "an update": Change(ALONE, Registry((ONE.merge(RENAMED), TWO, THREE)), lambda tx: tx.devices.update("1", RENAMED)),
    "a delete": Change(ALONE, Registry((TWO, THREE)), lambda tx: tx.devices.remove(["1"])),
    "the first group": Change(ALONE, Registry((ONE, TWO, THREE), (A,)), lambda tx: tx.groups.add(A)),
    "a membership": Change(
        JOINED,
        Registry(JOINED.devices, JOINED.groups, (*JOINED.memberships, Membership("3", "b"))),
        lambda tx: tx.memberships.add([Membership("3", "b")]),
    ),
    "a delete of a device in groups": Change(
        JOINED, Registry((TWO, THREE), (A, B), (Membership("2", "a"),)), lambda tx: tx.devices.remove(["1"])
    ),
    "a delete of a group with devices": Change(
        JOINED, Registry(JOINED.devices, (B,), (Membership("1", "b"),)), lambda tx: tx.groups.remove(["a"])
    ),
}


if __name__ == "__main__":
    name, path = sys.argv[1:]
    change = CHANGES[name].change
    try:
        with open_store(path, DEVICES) as store:
            if change:
                store.write(change)
    except StoreUnavailable:
        with open_store(path) as store:  # as another worker would, or the service after a restart
            if change:
                store.write(change)
    os.write(1, ANSWER)
