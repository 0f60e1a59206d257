"""The contract of every store: what it answers, in which order, and which error it raises when.

A store has three tables: devices, groups, and memberships, which say what device is in what group. `store.devices` and
the like read what is durable now; every change goes through `store.write(op)`. tests/dao holds each promise below
against each store.
"""

import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from devicesvc.errors import Conflict, NotFound, StoreUnavailable
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership

T = TypeVar("T")
Item = TypeVar("Item", Device, Group)
Filter = TypeVar("Filter", DeviceFilter, GroupFilter)

MAX_LOGGED = 1000  # ids in the line of a change: as many as a batch may have

log = logging.getLogger("devicesvc.changes")


class Place(NamedTuple):
    """A place in a sorted list: the value of the item there, in the field that the list is sorted by, and its id."""

    value: str
    id: str


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list to read, in which order.

    sort: a name of the filter's SORTS. Values are compared by code point; those that are equal, always by ascending id.
    after: only items that come after this place, whether or not there is an item in it. limit: at most so many items.
    count: whether to count all that fit.
    """

    sort: str = "id"
    descending: bool = False
    after: Place | None = None
    limit: int | None = None
    count: bool = False


class Page(NamedTuple, Generic[Item]):
    """Part of a list. total: the number of all items that fit, before and after too; None where it was not asked for.
    next: the place that the next page comes after; None where this is the last."""

    items: list[Item]
    total: int | None
    next: Place | None


class Record(dict[str, list[str]]):
    """What an op really changed, for the log: ids by what was done to them, such as `devices added`."""

    def note(self, done: str, ids: Iterable[str]) -> None:
        """Add that this was done to these items."""
        if known := list(ids):
            self.setdefault(done, []).extend(known)


class Observer:
    """Is told what a store does; this one does nothing with it."""

    def committed(self, ops: int, seconds: float) -> None:
        """So many ops, which changed something, were made durable together, in so long."""

    def refused(self) -> None:
        """A change could not be kept."""

    def reloaded(self) -> None:
        """Files were read again, for somebody else had changed them."""


class Size(NamedTuple):
    """How much a store holds: items, and bytes on the disk."""

    devices: int
    groups: int
    memberships: int
    bytes: int


def no_such(kind: type[Device | Group], id: str) -> NotFound:
    """The refusal of an id that no item has."""
    return NotFound(f"There is no {_kind(kind)} with the id {id!r}.")


def id_taken(item: Device | Group) -> Conflict:
    """The refusal of an item whose id another has."""
    return Conflict(f"There is a {_kind(type(item))} with the id {item.id!r} already.")


def name_taken(group: Group, holder: str) -> Conflict:
    """The refusal of a group whose name another has: the one with the id `holder`."""
    return Conflict(
        f"The name {group.name!r} is taken by the group with the id {holder!r}.",
        {"name": f"must be unique; the group with the id {holder!r} has it"},
    )


def _shown(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - MAX_LOGGED} more" if len(ids) > MAX_LOGGED else ""
    return ", ".join(ids[:MAX_LOGGED]) + more


def _kind(kind: type[Device | Group]) -> str:
    return kind.__name__.lower()


class Reader(ABC, Generic[Item, Filter]):
    """Devices, or groups, to read."""

    item: type[Item]
    filter: type[Filter]

    @abstractmethod
    def find(self, id: str) -> Item | None:
        """Return the item, or None where there is none with this id."""

    @abstractmethod
    def page(self, where: Filter, window: Window) -> Page[Item]:
        """Return the items that fit, as far as they are in the window."""

    def get(self, id: str) -> Item:
        """Return the item. Raises NotFound."""
        item = self.find(id)
        if not item:
            raise no_such(self.item, id)
        return item

    def find_many(self, ids: Iterable[str]) -> dict[str, Item]:
        """Return those of the items that there are, by id."""
        return {id: item for id in ids if (item := self.find(id))}

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return those of the ids that no item has, each once, in the order given."""
        return [id for id in dict.fromkeys(ids) if not self.find(id)]

    def list(self, where: Filter | None = None) -> list[Item]:
        """Return all items that fit, by id in the order of code points; an empty list where none does."""
        return self.page(where or self.filter(), Window()).items


class Writer(Reader[Item, Filter]):
    """Devices, or groups, to read and change, inside one op: it reads its own changes, nobody else does before the op
    has ended."""

    @abstractmethod
    def add(self, item: Item) -> None:
        """Add the item. Raises Conflict where its id, or the name of a group, is taken."""

    @abstractmethod
    def replace(self, item: Item) -> None:
        """Put the item in the place of the one with its id, whose memberships it keeps. Raises NotFound, and Conflict
        where another group has the name."""

    @abstractmethod
    def remove(self, ids: Iterable[str]) -> list[str]:
        """Remove the items, with their memberships, and return the ids really removed, each once, in the order given.
        Unknown ids are no error."""

    def create(self, data: Mapping[str, Any]) -> Item:
        """Add an item made of `data`, the JSON form without id, under a new id: ten random digits, the first 1-9.
        Raises Invalid, Conflict."""
        while not self.missing([id := str(10**9 + secrets.randbelow(9 * 10**9))]):
            pass
        item = self.item.build({"id": id, **data})
        self.add(item)
        return item

    def put(self, item: Item) -> bool:
        """Put the item in the place of the one with its id, or add it. Return whether it is new. Raises Conflict."""
        new = not self.find(item.id)
        (self.add if new else self.replace)(item)
        return new

    def put_many(self, items: Iterable[Item]) -> None:
        """Put the items, no two of them with one id, as `put` does. Raises Conflict."""
        for item in items:
            self.put(item)

    def update(self, id: str, changes: Mapping[str, Any]) -> Item:
        """Change some fields of an item (`merge` in model.py) and return the whole. Raises NotFound, Invalid,
        Conflict."""
        item = self.get(id).merge(changes)
        self.replace(item)
        return item


def pairs(memberships: Iterable[Membership]) -> list[str]:
    """Memberships for the record of an op, as device/group."""
    return [f"{each.device_id}/{each.group_id}" for each in memberships]


class MembershipReader(ABC):
    """What device is in what group."""

    @abstractmethod
    def has(self, membership: Membership) -> bool:
        """Whether the device is in the group."""

    @abstractmethod
    def list(self, *, device_id: str | None = None, group_id: str | None = None) -> list[Membership]:
        """Return the memberships of a device, of a group, or all, by the ids of device and group in the order of code
        points."""


class MembershipWriter(MembershipReader):
    """What device is in what group, to read and change inside one op."""

    @abstractmethod
    def add(self, memberships: Iterable[Membership]) -> list[Membership]:
        """Add the memberships, and return those that were not there yet, each once, in the order given. Raises
        NotFound where there is no such device or group."""

    @abstractmethod
    def remove(self, memberships: Iterable[Membership]) -> list[Membership]:
        """Remove the memberships, and return those that were there, each once, in the order given."""


class Transaction(Protocol):
    """What an op gets: the tables as they are when it runs."""

    @property
    def devices(self) -> Writer[Device, DeviceFilter]: ...

    @property
    def groups(self) -> Writer[Group, GroupFilter]: ...

    @property
    def memberships(self) -> MembershipWriter: ...

    @property
    def record(self) -> Record:
        """What the op has changed so far."""


class Store(ABC):
    """Where a registry is kept. Safe to share between threads; several stores, also of several processes, may be open
    on the same data. Close it when done; `with` does.

    Each call of a table to read answers from one state, which is durable then. It raises StoreUnavailable where none
    can be had. Each change that was kept has a line in the log. observer: who is told what happens.
    """

    observer = Observer()

    @property
    @abstractmethod
    def devices(self) -> Reader[Device, DeviceFilter]:
        """The devices."""

    @property
    @abstractmethod
    def groups(self) -> Reader[Group, GroupFilter]:
        """The groups."""

    @property
    @abstractmethod
    def memberships(self) -> MembershipReader:
        """What device is in what group."""

    def write(self, op: Callable[[Transaction], T]) -> T:
        """Run op, keep what it changed, and return what it returned once that is durable.

        All of the op's changes are kept, or none. What op raises is raised here, and none of its changes is kept. Ops
        run one after another, each on the state that the one before it left. Raises StoreUnavailable where the change
        cannot be kept.
        """
        done: dict[str, list[str]] = {}

        def recorded(to: Transaction) -> T:
            result = op(to)
            done.update(to.record)
            return result

        try:
            result = self._write(recorded)
        except StoreUnavailable:
            self.observer.refused()
            raise
        if done:  # in the thread of the caller, whose request it belongs to
            log.info("%s", "; ".join(f"{what}: {_shown(ids)}" for what, ids in done.items()), extra={"changes": done})
        return result

    @abstractmethod
    def _write(self, op: Callable[[Transaction], T]) -> T:
        """As `write`, without a word to the log or to the observer but of the commit."""

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
