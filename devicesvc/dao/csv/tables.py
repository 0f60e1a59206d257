"""The tables of the CSV store: to read in a snapshot, and to change in the overlays of a commit."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from heapq import nsmallest
from itertools import islice
from operator import attrgetter
from typing import Any, ClassVar, Generic, NamedTuple

from devicesvc.csv_codec.formats import MEMBERSHIP_CSV, membership_key
from devicesvc.dao.base import (
    Counts,
    Cursor,
    DeviceReader,
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
from devicesvc.dao.history import ChangeSet
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership

LOOK = 8  # a look at an item takes as long as it takes to get so many ids from an index


class _Condition(NamedTuple):
    """A condition of a filter. size, ids: how many items fit it, and their ids, to go through once. fits: whether an
    item does. An index gives the first two without a look at the items."""

    size: int
    ids: Iterable[str]
    fits: Callable[[Any], object]


class CsvReader(Reader[Item, Filter], Generic[Item, Filter]):
    """The devices, or the groups, of a snapshot or of the overlays over it."""

    _exact_fields: ClassVar[Mapping[str, str]]  # of the filter: those that an index has, and its name

    def __init__(self, table: TableView[Item], memberships: TableView[Membership]) -> None:
        self._table: TableView[Item] = table
        self._memberships = memberships

    def find(self, id: str) -> Item | None:
        return self._table.get(id)

    def page(self, where: Filter, request: PageRequest) -> Page[Item]:
        value_of: Callable[[Any], str] = where.SORTS[request.sort]
        conditions = sorted(self._conditions(where), key=attrgetter("size"))
        least = conditions[0].size if conditions else len(self._table.index(request.sort))
        rest: Iterator[Item]
        if conditions and self._are_few(least, request):
            items = sorted(self._items(self._in_all(conditions), ()), key=attrgetter("id"))
            items.sort(key=value_of, reverse=request.descending)  # equal ones keep their order, in reverse too
            total = len(items)
            rest = (item for item in items if _comes_after(Cursor(value_of(item), item.id), request))
        else:
            total = len(self._in_all(conditions)) if request.count and len(conditions) > 1 else least
            rest = self._items(self._in_order(where, request), conditions)
        return _first_page(rest, total if request.count else None, request, value_of)

    def _are_few(self, number: int, request: PageRequest) -> bool:
        """Whether to sort so many items takes less than to walk through all items in their order until the page is
        full, which looks at about limit * all / number of them."""
        return number < 2 or request.limit is None or number**2 <= request.limit * len(self._table.index(request.sort))

    def chunks(self, where: Filter, request: PageRequest, size: int) -> Iterator[Sequence[Item]]:
        left = request.limit
        while left is None or left > 0:
            page = self.page(where, replace(request, limit=size if left is None else min(left, size), count=False))
            yield page.items
            if not page.next:
                return
            left = None if left is None else left - len(page.items)
            request = replace(request, after=page.next)

    def _in_order(self, where: Filter, request: PageRequest) -> Iterator[str]:
        """The ids in the order of the list, from the cursor on. If the filter wants one value of the field that sorts
        the list, only the ids with this value: half of all items may come before them."""
        order, after = self._table.index(request.sort), request.after
        value = next((getattr(where, each) for each, name in self._exact_fields.items() if name == request.sort), None)
        if value is None:
            return order.walk(after, request.descending)
        if not after or (value != after.value and (value < after.value) == request.descending):
            return order.keys(value)
        return order.keys(value, after.id) if value == after.value else iter(())

    def _in_all(self, conditions: Sequence[_Condition]) -> set[str]:
        """The ids of the items that fit these conditions, of which the first has the fewest."""
        least, *others = conditions
        ids = set(least.ids)
        for each in others:
            if each.size < LOOK * len(ids):
                ids.intersection_update(each.ids)
            else:
                ids = {item.id for item in self._items(ids, [each])}
        return ids

    def _items(self, ids: Iterable[str], conditions: Iterable[_Condition]) -> Iterator[Item]:
        """The items with these ids that fit the conditions."""
        items = filter(None, map(self._table.get, ids))
        for condition in conditions:
            items = filter(condition.fits, items)
        return items

    @abstractmethod
    def _conditions(self, where: Filter) -> Iterator[_Condition]:
        """The conditions that an item must fit, all of them."""

    def _exact(self, where: Filter) -> Iterator[_Condition]:
        """The conditions of the id and of the fields that an index has."""
        if where.id is not None:
            ids = [where.id] if self._table.get(where.id) else []
            yield _Condition(len(ids), ids, lambda item: item.id == where.id)
        for field, name in self._exact_fields.items():
            if (value := getattr(where, field)) is not None:
                index, has = self._table.index(name), partial(_has, self._table.format.indexes[name], value)
                yield _Condition(index.count(value), index.keys(value), has)


def _has(values_of: Callable[[Item], Collection[str]], value: str, item: Item) -> bool:
    return value in values_of(item)


def _most_frequent(values: Iterable[str], limit: int) -> Counts:
    count = Counter(values)
    most = nsmallest(limit, count.items(), key=lambda each: (-each[1], each[0]))
    return Counts(most, count.total() - sum(number for _, number in most))


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


class CsvDevices(CsvReader[Device, DeviceFilter], DeviceReader):
    item = Device
    filter = DeviceFilter

    _exact_fields: ClassVar = {
        **{name: name for name in ("sn", "name", "type", "status", "mac", "ipv4")},
        "software_version": "version",
        "hardware_model": "model",
    }

    def _conditions(self, where: DeviceFilter) -> Iterator[_Condition]:
        yield from self._exact(where)
        if where.model is not None:
            fits = cache(where.model_fits)
            found = [id for model, id in self._table.index("model") if fits(model)]
            yield _Condition(len(found), found, lambda device: fits(device.hardware.model))
        if where.q is not None:
            found = [device.id for device in self._items(self._table.search(where.q), ()) if where.q_fits(device)]
            yield _Condition(len(found), found, where.q_fits)
        for group_id in where.group_ids:
            members = self._memberships.index("group_id")
            ids = (key.split(",")[0] for key in members.keys(group_id))
            yield _Condition(members.count(group_id), ids, partial(self._is_in, group_id))

    def counts(self, by: Collection[str], where: DeviceFilter, limit: int) -> dict[str, Counts]:
        conditions = sorted(self._conditions(where), key=attrgetter("size"))
        ids = self._in_all(conditions) if conditions else None
        return {field: _most_frequent(self._values(field, ids), limit) for field in by}

    def _values(self, field: str, ids: Collection[str] | None) -> Iterable[str]:
        """The values that the devices with these ids, or all if it is None, have in a field of COUNTED."""
        of_groups = field == "group_ids"
        table: TableView[Any] = self._memberships if of_groups else self._table
        index = table.index("group_id" if of_groups else self._exact_fields.get(field, field))
        if ids is None:
            return index.values()
        if of_groups:
            return (group_id for group_id, key in index if key.split(",")[0] in ids)
        value_of = self._table.format.indexes[self._exact_fields.get(field, field)]
        return (value for device in self._items(ids, ()) for value in value_of(device))

    def _is_in(self, group_id: str, device: Device) -> bool:
        return self._memberships.get(membership_key(device.id, group_id)) is not None


class CsvGroups(CsvReader[Group, GroupFilter]):
    item = Group
    filter = GroupFilter

    _exact_fields: ClassVar = {"name": "name"}

    def _conditions(self, where: GroupFilter) -> Iterator[_Condition]:
        yield from self._exact(where)
        for device_id in where.device_ids:
            members = self._memberships.index("device_id")
            ids = (key.split(",")[1] for key in members.keys(device_id))
            yield _Condition(members.count(device_id), ids, partial(self._has_member, device_id))

    def _has_member(self, device_id: str, group: Group) -> bool:
        return self._memberships.get(membership_key(device_id, group.id)) is not None


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

    def _update(self, pairs: Sequence[tuple[Item, Item]]) -> None:
        self._insert([item for _, item in pairs])

    def _delete(self, ids: Sequence[str]) -> list[Membership]:
        gone: list[Membership] = []
        for id in ids:
            keys = list(self._memberships.index(f"{noun(self.item)}_id").keys(id))
            gone += filter(None, map(self._memberships.get, keys))
            for key in keys:
                self._memberships.remove(key)
            self._table.remove(id)
        return gone


class CsvDeviceWriter(CsvDevices, CsvWriter[Device, DeviceFilter]):
    pass


class CsvGroupWriter(CsvGroups, CsvWriter[Group, GroupFilter]):
    pass


class CsvMemberships(MembershipReader):
    """The memberships of a snapshot or of the overlays over it."""

    def __init__(self, table: TableView[Membership]) -> None:
        self._table = table

    def list(self, *, device_id: str | None = None, group_id: str | None = None) -> list[Membership]:
        keys: Iterable[str]
        if device_id is not None:
            keys = self._table.index("device_id").keys(device_id)
        elif group_id is not None:
            keys = self._table.index("group_id").keys(group_id)
        else:
            keys = self._table.index("device_id").walk()
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
