"""The tables of a CSV store, to read and, for one op, to change."""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, ClassVar, Generic

from devicesvc.dao.base import (
    Filter,
    Item,
    MembershipReader,
    MembershipWriter,
    Page,
    Place,
    Reader,
    Record,
    T,
    Transaction,
    Window,
    Writer,
    id_taken,
    name_taken,
    pairs,
)
from devicesvc.dao.csv_format import MEMBERSHIPS
from devicesvc.dao.csv_state import Draft, Rows, State
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership


class CsvReader(Reader[Item, Filter], Generic[Item, Filter]):
    """The devices, or the groups, of one state, or of the drafts over it."""

    def __init__(self, table: Rows[Item], memberships: Rows[Membership]) -> None:
        self._table: Rows[Item] = table
        self._memberships = memberships

    def find(self, id: str) -> Item | None:
        return self._table.get(id)

    def page(self, where: Filter, window: Window) -> Page[Item]:
        value_of: Callable[[Any], str] = where.SORTS[window.sort]
        if window == Window(after=window.after, limit=window.limit):  # by id, and not all need be seen to count them
            return _cut(self._fitting(where, after=window.after), None, window, value_of)
        found = list(self._fitting(where))
        found.sort(key=value_of, reverse=window.descending)  # equal ones stay as they are, in reverse too
        rest = (item for item in found if _comes_after(Place(value_of(item), item.id), window))
        return _cut(rest, len(found) if window.count else None, window, value_of)

    def _fitting(self, where: Filter, after: Place | None = None) -> Iterator[Item]:
        """The items that fit, by id, from the first with a greater id than `after`."""
        fits: Callable[[Any], bool] = where.matches
        narrowed = list(self._narrow(where))
        ids = sorted(set.intersection(*narrowed)) if narrowed else self._table.keys
        for id in islice(ids, bisect_right(ids, after.id) if after else 0, None):
            if (item := self.find(id)) and fits(item):
                yield item

    @abstractmethod
    def _narrow(self, where: Filter) -> Iterator[set[str]]:
        """Sets of ids, where some can be had without a look at each item: what fits is in all of them."""


def _comes_after(place: Place, window: Window) -> bool:
    if not window.after or place.value == window.after.value:
        return not window.after or place.id > window.after.id
    return (place.value < window.after.value) == window.descending


def _cut(rest: Iterator[Item], total: int | None, window: Window, value_of: Callable[[Item], str]) -> Page[Item]:
    """The page at the beginning of the rest of a list."""
    items = list(islice(rest, window.limit))
    more = any(True for _ in rest)
    return Page(items, total, Place(value_of(items[-1]), items[-1].id) if items and more else None)


class CsvDevices(CsvReader[Device, DeviceFilter]):
    item = Device
    filter = DeviceFilter

    def _narrow(self, where: DeviceFilter) -> Iterator[set[str]]:
        if where.id is not None:
            yield {where.id}
        if where.sn is not None:
            yield set(self._table.having("sn", where.sn))
        for id in where.group_ids:
            yield {each.device_id for each in CsvMemberships(self._memberships).list(group_id=id)}


class CsvGroups(CsvReader[Group, GroupFilter]):
    item = Group
    filter = GroupFilter

    def _narrow(self, where: GroupFilter) -> Iterator[set[str]]:
        if where.id is not None:
            yield {where.id}
        if where.name is not None:
            yield set(self._table.having("name", where.name))
        for id in where.device_ids:
            yield {each.group_id for each in CsvMemberships(self._memberships).list(device_id=id)}


class CsvWriter(CsvReader[Item, Filter], Writer[Item, Filter], Generic[Item, Filter]):
    """The same in drafts, to be changed."""

    _kind: ClassVar[str]  # what such an item is called; the index of memberships by its id is named so too

    _table: Draft[Item]
    _memberships: Draft[Membership]

    def __init__(self, table: Draft[Item], memberships: Draft[Membership], record: Record) -> None:
        super().__init__(table, memberships)  # type: ignore[arg-type]  # a draft has more than it reads
        self._record = record

    def add(self, item: Item) -> None:
        if self.find(item.id):
            raise id_taken(item)
        self._set(item)
        self._record.note(f"{self._kind}s added", [item.id])

    def replace(self, item: Item) -> None:
        if self.get(item.id) != item:
            self._set(item)
            self._record.note(f"{self._kind}s changed", [item.id])

    def remove(self, ids: Iterable[str]) -> list[str]:
        removed = [id for id in dict.fromkeys(ids) if self.find(id)]
        for id in removed:
            for key in self._memberships.having(f"{self._kind}_id", id):
                self._memberships.remove(key)
            self._table.remove(id)
        self._record.note(f"{self._kind}s deleted", removed)
        return removed

    def _set(self, item: Item) -> None:
        self._table.set(item)


class CsvDeviceWriter(CsvDevices, CsvWriter[Device, DeviceFilter]):
    _kind = "device"


class CsvGroupWriter(CsvGroups, CsvWriter[Group, GroupFilter]):
    _kind = "group"

    def _set(self, item: Group) -> None:
        for holder in self._table.having("name", item.name):
            if holder != item.id:
                raise name_taken(item, holder)
        super()._set(item)


class CsvMemberships(MembershipReader):
    def __init__(self, table: Rows[Membership]) -> None:
        self._table = table

    def has(self, membership: Membership) -> bool:
        return self._table.get(MEMBERSHIPS.key(membership)) is not None

    def list(self, *, device_id: str | None = None, group_id: str | None = None) -> list[Membership]:
        if device_id is not None:
            keys = self._table.having("device_id", device_id)
        elif group_id is not None:
            keys = self._table.having("group_id", group_id)
        else:
            keys = self._table.keys
        found = [item for key in keys if (item := self._table.get(key)) and group_id in (None, item.group_id)]
        return sorted(found, key=lambda each: (each.device_id, each.group_id))


class CsvMembershipWriter(CsvMemberships, MembershipWriter):
    _table: Draft[Membership]

    def __init__(
        self,
        draft: Draft[Membership],
        devices: Reader[Device, DeviceFilter],
        groups: Reader[Group, GroupFilter],
        record: Record,
    ) -> None:
        super().__init__(draft)
        self._record = record
        self._devices = devices
        self._groups = groups

    def add(self, memberships: Iterable[Membership]) -> list[Membership]:
        new = [each for each in dict.fromkeys(memberships) if not self.has(each)]
        for each in new:
            self._devices.get(each.device_id)
            self._groups.get(each.group_id)
            self._table.set(each)
        self._record.note("memberships added", pairs(new))
        return new

    def remove(self, memberships: Iterable[Membership]) -> list[Membership]:
        old = [each for each in dict.fromkeys(memberships) if self.has(each)]
        for each in old:
            self._table.remove(MEMBERSHIPS.key(each))
        self._record.note("memberships deleted", pairs(old))
        return old


class CsvTransaction:
    """What the ops of one commit get, one after another: the tables as drafts over one state."""

    def __init__(self, state: State) -> None:
        self._drafts = Draft(state.devices), Draft(state.groups), Draft(state.memberships)
        devices, groups, memberships = self._drafts
        self.record = Record()
        self.devices = CsvDeviceWriter(devices, memberships, self.record)
        self.groups = CsvGroupWriter(groups, memberships, self.record)
        self.memberships = CsvMembershipWriter(memberships, self.devices, self.groups, self.record)

    def run(self, op: Callable[[Transaction], T]) -> T:
        """Run an op after those before it. Where it raises, nothing of it is left."""
        self.record.clear()
        try:
            result = op(self)
        except Exception:
            for draft in self._drafts:
                draft.undo()
            raise
        for draft in self._drafts:
            draft.keep()
        return result

    def state(self) -> State:
        """The state that the ops so far have made of the one before."""
        devices, groups, memberships = self._drafts
        return State(devices.apply(), groups.apply(), memberships.apply())
