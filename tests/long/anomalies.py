"""Changes that collide on a few items, made by one of several processes for some seconds, and what must be true then.

`run` makes them; a Scenario says what they are. The plain modes lock nothing: so they show what a scenario finds.
"""

import random
from collections import Counter
from contextlib import suppress
from multiprocessing.synchronize import Barrier
from time import monotonic

from devicesvc.dao.sql.postgresql import PostgresqlStore
from devicesvc.dao.sql.reads import InTransaction
from devicesvc.dao.sql.store import SqlTransaction
from devicesvc.dao.urls import open_store, parse
from devicesvc.errors import Conflict, NotFound, StoreUnavailable
from devicesvc.model import DeviceFilter, Group, GroupFilter, Membership, Nic
from tests.hard_data import NIC, device

REAL = "row locks"
PLAIN = "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"

barrier: Barrier


def meet_at(given: Barrier) -> None:
    """Where the processes wait for each other before they begin."""
    global barrier
    barrier = given


class PlainStore(PostgresqlStore):
    """Changes are kept apart only by the isolation of the database, and tried again if it says so."""

    level = ""

    def _commit(self, change, _is_alone):
        with self._changing(f"BEGIN ISOLATION LEVEL {self.level}") as (connection, _):
            tx = SqlTransaction(InTransaction(connection, self._statements))
            result = change(tx)
            connection.exec_driver_sql("COMMIT")  # here, so that it is tried again if it is refused
            connection.rollback()
        return result


def opened(mode: str, url: str):
    if mode == REAL:
        return open_store(url)
    store = PlainStore(parse(url))
    store.level = mode
    return store


class Broken(Exception):
    """Something was seen that no order of changes could have left."""


def expect(truth: object) -> None:
    if not truth:
        raise Broken


class Scenario:
    """Few items, and changes of them. They raise Broken if something cannot be."""

    def __init__(self, pick: random.Random) -> None:
        self.pick = pick

    def begin(self, tx) -> None:
        """Fill the empty registry."""

    def begin_again(self, tx) -> None:
        tx.devices.remove([each.id for each in tx.devices.list()])
        tx.groups.remove([each.id for each in tx.groups.list()])
        self.begin(tx)

    def change(self, tx) -> str | None:
        """One change. Return what it did, if that is counted."""
        raise NotImplementedError

    def look(self, store) -> None:
        """Look from outside."""

    def end(self, store, counts: Counter[str]) -> None:  # noqa: ARG002
        """Look when all have ended. counts: how many changes did what."""
        self.look(store)

    def one_of(self, *choices):
        return self.pick.choice(choices)

    def order(self, *ids: str) -> list[str]:
        return self.pick.sample(ids, len(ids))


class LostUpdates(Scenario):
    """Each change adds one to a number that it has read."""

    def begin(self, tx):
        tx.devices.put_many([device("a", name="0"), device("b", name="0")])

    def change(self, tx):
        old = tx.devices.get(self.one_of("a", "b"))
        tx.devices.update(old.id, {"name": str(int(old.name) + 1)})
        return "added"

    def end(self, store, counts):
        expect(sum(int(each.name) for each in store.devices.list()) == counts["added"])


class TornReads(Scenario):
    """The states and the interfaces of two devices always have the same number."""

    def begin(self, tx):
        tx.devices.put_many([device(id, status="0", nic=(Nic("0", NIC.mac, NIC.ipv4),)) for id in "ab"])

    def change(self, tx):
        ids = self.order("a", "b")
        self._compare(tx.devices.find_many(ids).values() if self.one_of(True, False) else map(tx.devices.get, ids))
        number = str(self.pick.randrange(10**6))
        for id in ids:
            tx.devices.update(id, {"status": number, "nic": [{"type": number, "mac": NIC.mac, "ipv4": NIC.ipv4}]})

    def look(self, store):
        self._compare([store.devices.get("a")])
        self._compare(store.devices.list())
        self._compare(store.devices.find_many("ab").values())

    def _compare(self, devices):
        expect(len({number for each in devices for number in (each.status, each.nic[0].type)}) == 1)


class SkewById(Scenario):
    """A device goes offline only if the other one is online."""

    def begin(self, tx):
        tx.devices.put_many([device("a", status="online"), device("b", status="online")])

    def change(self, tx):
        this, other = self.order("a", "b")
        if tx.devices.get(other).status == "online":
            tx.devices.update(this, {"status": "offline"})
        else:
            expect(tx.devices.get(this).status == "online")
            tx.devices.update(other, {"status": "online"})

    def look(self, store):
        expect(any(each.status == "online" for each in store.devices.list()))


class SkewByAbsence(Scenario):
    """A device is added only if the other one is missing."""

    def change(self, tx):
        this, other = self.order("a", "b")
        if tx.devices.find(other):
            expect(not tx.devices.find(this))
            tx.devices.remove([other])
        else:
            tx.devices.put(device(this))

    def look(self, store):
        expect(len(store.devices.list()) <= 1)


class Swapped(Scenario):
    """One of two devices always exists, and so does a third one, which changes delete and add again."""

    def begin(self, tx):
        tx.devices.put_many([device("a"), device("c")])

    def change(self, tx):
        this, other = self.order("a", "b")
        do = self.pick.randrange(6)
        if do == 0:
            expect(len(tx.devices.missing([this, other])) == 1)
        elif do == 1:
            expect(bool(tx.devices.find(this)) != bool(tx.devices.find(other)))
        elif do == 2:
            tx.devices.remove(["c"])
            tx.devices.add(device("c"))
        elif do == 3:
            tx.devices.update("c", {"status": str(self.pick.random())})  # it is always found
        else:
            [removed] = tx.devices.remove([this, other])
            tx.devices.add(device(other if removed == this else this))

    def look(self, store):
        expect([each.id for each in store.devices.list()] in (["a", "c"], ["b", "c"]))


class Members(Scenario):
    """The members of a group are always x and y, or z. Devices are deleted and come back in the same change."""

    SETS = {"x", "y"}, {"z"}

    def begin(self, tx):
        tx.groups.add(Group("g", "g"))
        tx.devices.put_many([device(id) for id in "xyz"])
        tx.memberships.add([Membership("z", "g")])

    def change(self, tx):
        if self.one_of(True, False, False):
            id = self.one_of("x", "y", "z")
            before = tx.memberships.list(device_id=id)
            tx.devices.remove([id])
            tx.devices.add(device(id))
            tx.memberships.add(before)
            return
        before = self._members(tx)
        tx.memberships.remove(Membership(id, "g") for id in before)
        tx.memberships.add(Membership(id, "g") for id in self.one_of(*self.SETS))
        self._members(tx)

    def look(self, store):
        self._members(store)

    def _members(self, tables):
        found = {each.device_id for each in tables.memberships.list(group_id="g")}
        expect(found in self.SETS)
        return found


class ReadTwice(Scenario):
    """The members of a group, read twice in a change, are the same, also as each device tells it."""

    def begin(self, tx):
        tx.groups.put_many([Group("g", "g"), Group("h", "h")])
        tx.devices.put_many([device(id) for id in "xyz"])

    def change(self, tx):
        group, id = self.one_of("g", "h"), self.one_of("x", "y", "z")
        do = self.pick.randrange(4)
        if do == 0:
            tx.devices.remove([id])
        elif do == 1:
            tx.devices.put(device(id))
            tx.memberships.add([Membership(id, group)])
        elif do == 2:
            tx.memberships.remove([Membership(id, group)])
        else:
            before = tx.memberships.list(group_id=group)
            told = [each for id in "xyz" for each in tx.memberships.list(device_id=id) if each.group_id == group]
            expect(before == told)
            expect(before == tx.memberships.list(group_id=group))


class Names(Scenario):
    """Groups take each other's names. One that is free is refused to nobody, and one that is taken to everybody."""

    def change(self, tx):
        id, name = self.one_of("1", "2", "3"), self.one_of("a", "b", "c")
        if self.one_of(True, False, False):
            tx.groups.remove([id])
            return
        try:
            tx.groups.put(Group(id, name))
        except Conflict:
            expect([each for each in tx.groups.list(GroupFilter(name=name)) if each.id != id])
            raise

    def look(self, store):
        names = [each.name for each in store.groups.list()]
        expect(len(names) == len({*names}))


class PutAgainstRemove(Scenario):
    """As often as a device was new, it was removed, or it is there."""

    def change(self, tx):
        if self.one_of(True, False):
            return "new" if tx.devices.put(device("a", status=str(self.pick.random()))) else None
        return "removed" if tx.devices.remove(["a"]) else None

    def end(self, store, counts):
        expect(counts["new"] - counts["removed"] == len(store.devices.list()))


class ConditionOnAList(Scenario):
    """A device is added only if fewer than three are listed."""

    def change(self, tx):
        id = str(self.pick.randrange(100))
        found = tx.devices.list(DeviceFilter(type="few"))
        if len(found) < 3:
            tx.devices.put(device(id, type="few"))
        else:
            tx.devices.remove([each.id for each in found[1:]])

    def look(self, store):
        expect(len(store.devices.list(DeviceFilter(type="few"))) <= 3)


SCENARIOS: dict[str, type[Scenario]] = {
    "lost updates": LostUpdates,
    "torn reads": TornReads,
    "write skew by id": SkewById,
    "write skew by absence": SkewByAbsence,
    "one of two exists": Swapped,
    "replaced members": Members,
    "members read twice": ReadTwice,
    "names": Names,
    "put against remove": PutAgainstRemove,
    "a condition on a list": ConditionOnAList,
}


def run(scenario: str, mode: str, url: str, seed: int, seconds: float) -> Counter[str]:
    """Make changes for so long, as one process. Return how many `changes` there were, in how many `tries`, and how many
    of them were `broken`, `conflict` or `unavailable`, or did what they say."""
    it, counts = SCENARIOS[scenario](random.Random(seed)), Counter[str]()

    def change(tx):
        counts["tries"] += 1
        return it.change(tx)

    def once(store):
        counts["changes"] += 1
        try:
            counts[store.write(change)] += 1
            it.look(store)
        except Conflict:
            counts["conflict"] += 1
        except StoreUnavailable as error:
            counts["unavailable"] += 1
            counts[str(error)] += 1
        except Exception as error:  # Broken, or what a change stumbles over that has seen what cannot be
            counts["broken"] += 1
            counts[f"{scenario}, {mode}: {error!r}"] += 1
            with suppress(StoreUnavailable, Conflict, NotFound):
                store.write(it.begin_again)

    with opened(mode, url) as store:
        barrier.wait(60)
        end = monotonic() + seconds
        while monotonic() < end:
            once(store)
        barrier.wait(60)  # so that a process ends only this one task
    return counts
