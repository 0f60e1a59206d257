"""The tables of the CSV store: to read in a snapshot, and to change in the overlays of a commit."""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic

from devicesvc.csv_codec.formats import MEMBERSHIP_CSV
from devicesvc.dao.base import (
    ChangeSet,
    Cursor,
    Filter,
    Item,
    MembershipReader,
    MembershipWriter,
    Page,
    PageRequest,
    Reader,
    T,
    Transaction,
    Writer,
    noun,
)
from devicesvc.dao.csv.snapshot import Overlay, Snapshot, TableView
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership


class CsvReader(Reader[Item, Filter], Generic[Item, Filter]):
    """The devices, or the groups, of a snapshot or of the overlays over it."""

    def __init__(self, table: TableView[Item], memberships: TableView[Membership]) -> None:
        self._table: TableView[Item] = table
        self._memberships = memberships

    def find(self, id: str) -> Item | None:
        return self._table.get(id)

    def page(self, where: Filter, request: PageRequest) -> Page[Item]:
        value_of: Callable[[Any], str] = where.SORTS[request.sort]
        if request == PageRequest(after=request.after, limit=request.limit):  # by id, and nothing is to be counted
            return _first_page(self._fitting(where, after=request.after), None, request, value_of)
        found = list(self._fitting(where))
        found.sort(key=value_of, reverse=request.descending)  # equal ones keep their order, in reverse too
        rest = (item for item in found if _comes_after(Cursor(value_of(item), item.id), request))
        return _first_page(rest, len(found) if request.count else None, request, value_of)

    def _fitting(self, where: Filter, after: Cursor | None = None) -> Iterator[Item]:
        """The items that fit, by id, from the first whose id is greater than that of `after`."""
        fits: Callable[[Any], bool] = where.matches
        narrowed = list(self._narrow(where))
        ids = sorted(set.intersection(*narrowed)) if narrowed else self._table.keys
        for id in islice(ids, bisect_right(ids, after.id) if after else 0, None):
            if (item := self.find(id)) and fits(item):
                yield item

    @abstractmethod
    def _narrow(self, where: Filter) -> Iterator[set[str]]:
        """Sets of ids that an index gives without a look at each item: what fits is in all of them."""


def _comes_after(cursor: Cursor, request: PageRequest) -> bool:
    if not request.after or cursor.value == request.after.value:
        return not request.after or cursor.id > request.after.id
    return (cursor.value < request.after.value) == request.descending


def _first_page(
    rest: Iterator[Item], total: int | None, request: PageRequest, value_of: Callable[[Item], str]
) -> Page[Item]:
    """The first page of the rest of a list."""
    items = list(islice(rest, request.limit))
    more = any(True for _ in rest)
    return Page(items, total, Cursor(value_of(items[-1]), items[-1].id) if items and more else None)


class CsvDevices(CsvReader[Device, DeviceFilter]):
    item = Device
    filter = DeviceFilter

    def _narrow(self, where: DeviceFilter) -> Iterator[set[str]]:
        if where.id is not None:
            yield {where.id}
        if where.sn is not None:
            yield set(self._table.keys_where("sn", where.sn))
        for id in where.group_ids:
            yield {each.device_id for each in CsvMemberships(self._memberships).list(group_id=id)}


class CsvGroups(CsvReader[Group, GroupFilter]):
    item = Group
    filter = GroupFilter

    def _narrow(self, where: GroupFilter) -> Iterator[set[str]]:
        if where.id is not None:
            yield {where.id}
        if where.name is not None:
            yield set(self._table.keys_where("name", where.name))
        for id in where.device_ids:
            yield {each.group_id for each in CsvMemberships(self._memberships).list(device_id=id)}


class CsvWriter(CsvReader[Item, Filter], Writer[Item, Filter], Generic[Item, Filter]):
    """The same in overlays, to be changed."""

    _table: Overlay[Item]
    _memberships: Overlay[Membership]

    def __init__(self, table: Overlay[Item], memberships: Overlay[Membership], change_set: ChangeSet) -> None:
        super().__init__(table, memberships)  # type: ignore[arg-type]  # an overlay has more than it reads
        self.change_set = change_set

    def _insert(self, items: Sequence[Item]) -> None:
        for item in items:
            self._table.set(item)

    def _update(self, items: Sequence[Item]) -> None:
        self._insert(items)

    def _delete(self, ids: Sequence[str]) -> None:
        for id in ids:
            for key in self._memberships.keys_where(f"{noun(self.item)}_id", id):
                self._memberships.remove(key)
            self._table.remove(id)


class CsvDeviceWriter(CsvDevices, CsvWriter[Device, DeviceFilter]):
    pass


class CsvGroupWriter(CsvGroups, CsvWriter[Group, GroupFilter]):
    pass


class CsvMemberships(MembershipReader):
    """The memberships of a snapshot or of the overlays over it."""

    def __init__(self, table: TableView[Membership]) -> None:
        self._table = table

    def list(self, *, device_id: str | None = None, group_id: str | None = None) -> list[Membership]:
        if device_id is not None:
            keys = self._table.keys_where("device_id", device_id)
        elif group_id is not None:
            keys = self._table.keys_where("group_id", group_id)
        else:
            keys = self._table.keys
        found = [item for key in keys if (item := self._table.get(key)) and group_id in (None, item.group_id)]
        return sorted(found, key=lambda each: (each.device_id, each.group_id))

    def existing(self, memberships: Iterable[Membership]) -> set[Membership]:
        return {each for each in memberships if self._table.get(MEMBERSHIP_CSV.key(each))}


class CsvMembershipWriter(CsvMemberships, MembershipWriter):
    """The same in an overlay, to be changed."""

    _table: Overlay[Membership]

    def __init__(
        self, table: Overlay[Membership], devices: CsvDeviceWriter, groups: CsvGroupWriter, change_set: ChangeSet
    ) -> None:
        super().__init__(table)
        self.devices = devices
        self.groups = groups
        self.change_set = change_set

    def _insert(self, memberships: Sequence[Membership]) -> None:
        for each in memberships:
            self._table.set(each)

    def _delete(self, memberships: Sequence[Membership]) -> None:
        for each in memberships:
            self._table.remove(MEMBERSHIP_CSV.key(each))


class CsvTransaction:
    """What the changes of one commit get, one after another: the tables, as overlays over one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._overlays = Overlay(snapshot.devices), Overlay(snapshot.groups), Overlay(snapshot.memberships)
        devices, groups, memberships = self._overlays
        self.change_set = ChangeSet()
        self.devices = CsvDeviceWriter(devices, memberships, self.change_set)
        self.groups = CsvGroupWriter(groups, memberships, self.change_set)
        self.memberships = CsvMembershipWriter(memberships, self.devices, self.groups, self.change_set)

    def run(self, change: Callable[[Transaction], T]) -> T:
        """Run a change after those before it. If it raises, nothing of it is left. Then `change_set` is what it did."""
        self.change_set.clear()
        try:
            result = change(self)
        except Exception:
            for overlay in self._overlays:
                overlay.undo()
            raise
        for overlay in self._overlays:
            overlay.keep()
        return result

    def snapshot(self) -> Snapshot:
        """The snapshot that the changes so far have made of the one before."""
        devices, groups, memberships = self._overlays
        return Snapshot(devices.apply(), groups.apply(), memberships.apply())
