"""The contract of every store: what it answers, in which order, and which error it raises when.

A store has three tables: devices, groups, and memberships, which say what device is in what group. `store.devices` and
the like read what is durable now; every change goes through `store.write(change)`. tests/dao holds each promise below
against each store.

What all stores have in common is written here, once. A store implements the methods that are abstract.
"""

import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

from devicesvc.dao.history import KINDS, Author, ChangeSet, History
from devicesvc.errors import Conflict, NotFound, StoreUnavailable, shown
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership

T = TypeVar("T")
Item = TypeVar("Item", Device, Group)
Filter = TypeVar("Filter", DeviceFilter, GroupFilter)

log = logging.getLogger("devicesvc.changes")


class Cursor(NamedTuple):
    """A place in a sorted list: the value of the item there, in the field that the list is sorted by, and its id."""

    value: str
    id: str


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a list to read, and how the list is sorted (keyset pagination).

    sort: a name of the filter's SORTS. Values are compared by code point; equal ones come by ascending id, always.
    after: only items that come after this cursor, whether or not its item still exists. limit: at most so many items.
    count: whether to count all items that fit.
    """

    sort: str = "id"
    descending: bool = False
    after: Cursor | None = None
    limit: int | None = None
    count: bool = False


class Page(NamedTuple, Generic[Item]):
    """A page of a list. total: the number of all items that fit, on all pages; None if it was not asked for. next: the
    cursor that the next page comes after; None if this page is the last."""

    items: list[Item]
    total: int | None
    next: Cursor | None


class Counts(NamedTuple):
    """How many devices have which value. values: the most frequent ones, each with the number of its devices; if two
    have as many, the lesser value comes first. others: how many devices have the values that are not among them."""

    values: list[tuple[str, int]]
    others: int


class Observer:
    """Is told what a store does; this one does nothing with it."""

    def committed(self, changes: int, seconds: float) -> None:
        """So many changes were made durable together, in so many seconds."""

    def refused(self) -> None:
        """A change could not be kept."""

    def reloaded(self) -> None:
        """Files were read again, because somebody else had changed them."""


class Observers(Observer):
    """Tells several observers."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def committed(self, changes: int, seconds: float) -> None:
        """Tell each."""
        for each in self._observers:
            each.committed(changes, seconds)

    def refused(self) -> None:
        """Tell each."""
        for each in self._observers:
            each.refused()

    def reloaded(self) -> None:
        """Tell each."""
        for each in self._observers:
            each.reloaded()


class Size(NamedTuple):
    """How much a store holds: items, and bytes on the disk."""

    devices: int
    groups: int
    memberships: int
    bytes: int


def noun(item: type[Device | Group]) -> str:
    """What an item of this type is called in messages: device or group."""
    return KINDS[item].name


def not_found(item: type[Device | Group], id: str) -> NotFound:
    """The error for an id that no item has."""
    return NotFound(f"There is no {noun(item)} with the id {shown(id)}.")


class Reader(ABC, Generic[Item, Filter]):
    """Devices, or groups, to read."""

    item: type[Item]
    filter: type[Filter]

    @abstractmethod
    def find(self, id: str) -> Item | None:
        """Return the item, or None if there is none with this id."""

    @abstractmethod
    def page(self, where: Filter, request: PageRequest) -> Page[Item]:
        """Return a page of the items that fit."""

    def get(self, id: str) -> Item:
        """Return the item. Raises NotFound."""
        item = self.find(id)
        if not item:
            raise not_found(self.item, id)
        return item

    def find_many(self, ids: Iterable[str]) -> dict[str, Item]:
        """Return the items that exist, by id."""
        return {id: item for id in ids if (item := self.find(id))}

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return the ids that no item has, each once, in the order given."""
        return [id for id in dict.fromkeys(ids) if not self.find(id)]

    @abstractmethod
    def chunks(self, where: Filter, request: PageRequest, size: int) -> Iterator[Sequence[Item]]:
        """Yield the items of a page, at most so many together, all of one snapshot. Who takes them may be slow, and
        there may be a million: only a few are in memory at once."""

    def list(self, where: Filter | None = None) -> list[Item]:
        """Return all items that fit, by id in the order of code points; an empty list if none fits."""
        return self.page(where or self.filter(), PageRequest()).items


class DeviceReader(Reader[Device, DeviceFilter]):
    """Devices, to read."""

    # What devices can be counted by: the field of the filter that finds those with a value. A device may be in several
    # groups, or in none.
    COUNTED: ClassVar[tuple[str, ...]] = ("type", "status", "model", "software_version", "group_ids")

    @abstractmethod
    def counts(self, by: Collection[str], where: DeviceFilter, limit: int) -> dict[str, Counts]:
        """Count the devices that fit by each of these fields of COUNTED: the `limit` most frequent values of each."""


class Writer(Reader[Item, Filter]):
    """Devices, or groups, to read and change, inside one change. It sees what the change did so far; nobody else sees
    it before the change has ended.

    Its methods check, call the store's `_insert`, `_update` or `_delete`, and add each step to the change set.
    """

    change_set: ChangeSet

    def add(self, item: Item) -> None:
        """Add the item. Raises Conflict if its id, or the name of a group, is taken."""
        if not self.missing([item.id]):
            raise Conflict(f"There is a {noun(self.item)} with the id {item.id!r} already.")
        self._add([item])

    def replace(self, item: Item) -> None:
        """Put the item in the place of the one with its id, which keeps its memberships. Raises NotFound, and Conflict
        if another group has the name."""
        old = self.get(item.id)
        if old != item:
            self._replace([(old, item)])

    def remove(self, ids: Iterable[str]) -> list[str]:
        """Remove the items, with their memberships, and return the ids really removed, each once, in the order given.
        Unknown ids are no error."""
        found = self.find_many(wanted := list(dict.fromkeys(ids)))
        if removed := [found[id] for id in wanted if id in found]:
            self.change_set.deleted(self._delete([item.id for item in removed]))
            self.change_set.deleted(removed)
        return [item.id for item in removed]

    def create(self, data: Mapping[str, Any]) -> Item:
        """Add an item made of `data`, the JSON form without id, under a new id: ten random digits, the first 1-9.
        Raises Invalid, Conflict."""
        while not self.missing([id := str(10**9 + secrets.randbelow(9 * 10**9))]):
            pass
        item = self.item.build({"id": id, **data})
        self._add([item])
        return item

    def update_many(self, items: Iterable[Item], changes: Mapping[str, Any]) -> list[str]:
        """Change some fields of items that were read in this change, and return the ids of those that then differ.
        Raises Invalid, Conflict."""
        pairs = [(old, new) for old in items if (new := old.merge(changes)) != old]
        self._replace(pairs)
        return [new.id for _, new in pairs]

    def put(self, item: Item) -> bool:
        """Put the item in the place of the one with its id, or add it. Return whether it is new. Raises Conflict."""
        return bool(self.put_many([item]))

    def put_many(self, items: Iterable[Item]) -> list[str]:
        """Put the items, no two of them with the same id, as `put` does. Return the ids that are new. Raises
        Conflict."""
        given = {item.id: item for item in items}
        old = self.find_many(given)
        # Groups one by one, so that each may take a name that one before it has given up.
        for some in [[item] for item in given.values()] if self.item is Group else [list(given.values())]:
            self._add([item for item in some if item.id not in old])
            self._replace([(old[item.id], item) for item in some if item.id in old and old[item.id] != item])
        return [id for id in given if id not in old]

    def update(self, id: str, changes: Mapping[str, Any]) -> Item:
        """Change some fields of an item (`merge` in model.py) and return the whole. Raises NotFound, Invalid,
        Conflict."""
        old = self.get(id)
        item = old.merge(changes)
        if item != old:
            self._replace([(old, item)])
        return item

    def _add(self, items: Sequence[Item]) -> None:
        """Insert these items, and add them to the change set. Raises Conflict if the name of a group is taken."""
        if items:
            self._check_names(items)
            self._insert(items)
            self.change_set.added(items)

    def _replace(self, pairs: Sequence[tuple[Item, Item]]) -> None:
        """Put the second of each pair in the place of the first, and add it to the change set. Raises Conflict if the
        name of a group is taken."""
        if pairs:
            self._check_names([item for _, item in pairs])
            self._update(pairs)
            self.change_set.changed(pairs)

    def _check_names(self, items: Sequence[Item]) -> None:
        for item in items if self.item is Group else ():
            for holder in self.list(self.filter(name=item.name)):
                if holder.id != item.id:
                    raise Conflict(
                        f"The name {item.name!r} is taken by the group with the id {holder.id!r}.",
                        {"name": f"must be unique; the group with the id {holder.id!r} has it"},
                    )

    @abstractmethod
    def _insert(self, items: Sequence[Item]) -> None:
        """Add these items, whose ids are free."""

    @abstractmethod
    def _update(self, pairs: Sequence[tuple[Item, Item]]) -> None:
        """Put the second of each pair in the place of the first, which has the same id and keeps its memberships. The
        two differ."""

    @abstractmethod
    def _delete(self, ids: Sequence[str]) -> Sequence[Membership]:
        """Remove the items with these ids, which exist, and the memberships that name them. Return the memberships."""


class MembershipReader(ABC):
    """What device is in what group."""

    @abstractmethod
    def list(self, *, device_id: str | None = None, group_id: str | None = None) -> list[Membership]:
        """Return the memberships of a device, of a group, or all, by the ids of device and group in the order of code
        points."""

    @abstractmethod
    def existing(self, memberships: Iterable[Membership]) -> set[Membership]:
        """Return those of the memberships that exist."""

    def has(self, membership: Membership) -> bool:
        """Whether the device is in the group."""
        return bool(self.existing([membership]))


class MembershipWriter(MembershipReader):
    """What device is in what group, to read and change inside one change, as Writer does it."""

    change_set: ChangeSet
    devices: Reader[Device, DeviceFilter]
    groups: Reader[Group, GroupFilter]

    def add(self, memberships: Iterable[Membership]) -> list[Membership]:
        """Add the memberships, and return those that are new, each once, in the order given. Raises NotFound if there
        is no such device or group."""
        wanted = list(dict.fromkeys(memberships))
        existing = self.existing(wanted)
        new = [each for each in wanted if each not in existing]
        for id in self.devices.missing(each.device_id for each in new):
            raise not_found(Device, id)
        for id in self.groups.missing(each.group_id for each in new):
            raise not_found(Group, id)
        if new:
            self._insert(new)
            self.change_set.added(new)
        return new

    def remove(self, memberships: Iterable[Membership]) -> list[Membership]:
        """Remove the memberships, and return those that existed, each once, in the order given."""
        wanted = list(dict.fromkeys(memberships))
        existing = self.existing(wanted)
        if removed := [each for each in wanted if each in existing]:
            self._delete(removed)
            self.change_set.deleted(removed)
        return removed

    @abstractmethod
    def _insert(self, memberships: Sequence[Membership]) -> None:
        """Add these memberships, which are new, and whose devices and groups exist."""

    @abstractmethod
    def _delete(self, memberships: Sequence[Membership]) -> None:
        """Remove these memberships, which exist."""


class Transaction(Protocol):
    """What a change gets: the tables as they are when it runs."""

    @property
    def devices(self) -> Writer[Device, DeviceFilter]: ...

    @property
    def groups(self) -> Writer[Group, GroupFilter]: ...

    @property
    def memberships(self) -> MembershipWriter: ...

    @property
    def change_set(self) -> ChangeSet:
        """What the change did so far."""


class _TakenBack(Exception):
    """A change was only tried out."""


class Store(ABC):
    """The place of a registry. It is safe to share between threads; several stores, also of several processes, may be
    open on the same data. Close it when done; `with` does.

    Each call of a table to read answers from one snapshot, which is durable then. It raises StoreUnavailable if none
    can be had. Each change that was kept has a line in the log. observer: who is told what happens.
    """

    observer = Observer()

    @property
    @abstractmethod
    def devices(self) -> DeviceReader:
        """The devices."""

    @property
    @abstractmethod
    def groups(self) -> Reader[Group, GroupFilter]:
        """The groups."""

    @property
    @abstractmethod
    def memberships(self) -> MembershipReader:
        """What device is in what group."""

    @property
    @abstractmethod
    def history(self) -> History:
        """Who changed what, when. Each change that is kept is in it at the same moment."""

    def write(self, change: Callable[[Transaction], T]) -> T:
        """Run the change in a transaction, keep what it did, and return what it returned once that is durable.

        All that the change did is kept, or nothing. What it raises is raised here, and then nothing is kept. Changes
        run one after another, each on what the one before it left. Raises StoreUnavailable if the change cannot be
        kept.
        """
        done, author = ChangeSet(), Author.of_request()  # of the thread of the caller, whose request it belongs to

        def recorded(tx: Transaction) -> T:
            tx.change_set.author = author
            done.clear()  # the change may run again, if another one was in its way
            result = change(tx)
            done.clear()  # a database may have had the change run before, and taken that back
            done.extend(tx.change_set)
            return result

        try:
            result = self._write(recorded)
        except StoreUnavailable:
            self.observer.refused()
            raise
        if done:
            log.info("%s", done, extra={"changes": done.by_done()})
        return result

    def rehearse(self, change: Callable[[Transaction], T]) -> T:
        """Run the change as `write` does, keep nothing of what it did, and return what it returned. What it raises is
        raised here. Raises StoreUnavailable."""
        results: list[T] = []

        def taken_back(tx: Transaction) -> None:
            results.append(change(tx))
            raise _TakenBack

        with suppress(_TakenBack):
            self._write(taken_back)
        return results[-1]

    @abstractmethod
    def _write(self, change: Callable[[Transaction], T]) -> T:
        """As `write`; the observer is told of the commit and of nothing else. A change whose change set stays empty is
        not committed."""

    def state(self) -> object | None:
        """An object that stays the same one as long as every read answers the same, and `stale_since` too: so an answer
        may be kept with it. None if the store cannot tell. Raises StoreUnavailable."""
        return None

    @property
    def stale_since(self) -> float | None:
        """Since when reads are answered from an older state, in seconds since the epoch: what there is now cannot be
        read, and changes are refused. None if reads are current. It is as the last read has found it."""
        return None

    @abstractmethod
    def size(self) -> Size:
        """How much the store holds now. Raises StoreUnavailable."""

    @abstractmethod
    def ping(self) -> None:
        """Prove that the store can read and write. Raises StoreUnavailable with the reason."""

    @abstractmethod
    def close(self) -> None:
        """Free what the store holds. Closing twice is no error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
