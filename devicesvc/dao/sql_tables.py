"""The tables of a SQL store, to read and, for one op, to change."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from devicesvc.dao import tables
from devicesvc.dao.base import (
    Filter,
    Item,
    MembershipReader,
    MembershipWriter,
    Page,
    Place,
    Reader,
    Record,
    Window,
    Writer,
    id_taken,
    name_taken,
    no_such,
    pairs,
)
from devicesvc.model import (
    Device,
    DeviceFilter,
    Group,
    GroupFilter,
    Hardware,
    Membership,
    Nic,
    Software,
    fold,
)

CHUNK = 500  # values in one statement: databases limit them
MAX_FOLDED = 3 * 64  # characters that a model of 64 may have when it is folded

Connecting = Callable[[], AbstractContextManager[Connection]]
Condition = ColumnElement[bool]


def _is(column: ColumnElement[str], value: str) -> Condition:
    """Whether the column has the value: never, where no database can hold it."""
    return column == value if _storable(value) else false()


def _storable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return "\0" not in value


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    rest = list(dict.fromkeys(values))
    return (rest[start : start + CHUNK] for start in range(0, len(rest), CHUNK))


class SqlReader(Reader[Item, Filter], Generic[Item, Filter]):
    """The devices, or the groups. connect: a connection for one call, which sees one state."""

    _table: ClassVar[Table]
    _sorts: ClassVar[Mapping[str, ColumnElement[str]]]

    def __init__(self, connect: Connecting) -> None:
        self._connect = connect

    def find(self, id: str) -> Item | None:
        with self._connect() as connection:
            found = self._items(connection, select(self._table).where(_is(self._table.c.id, id)))
        return found[0] if found else None

    def page(self, where: Filter, window: Window) -> Page[Item]:
        conditions: list[Condition] = [*self._conditions(where)]
        value, id = self._sorts[window.sort], self._table.c.id
        rest = [*conditions, _after(window.after, value, id, window.descending)] if window.after else conditions
        query = select(self._table).where(*rest).order_by(value.desc() if window.descending else value, id)
        if window.limit is not None:
            query = query.limit(window.limit + 1)
        with self._connect() as connection:
            items = self._items(connection, query)
            total = None
            if window.count:
                total = connection.scalar(select(func.count()).select_from(self._table).where(*conditions))
        more = window.limit is not None and len(items) > window.limit
        items = items[: window.limit]
        last = items[-1] if items and more else None
        return Page(items, total, Place(where.SORTS[window.sort](last), last.id) if last else None)  # type: ignore[arg-type]

    def find_many(self, ids: Iterable[str]) -> dict[str, Item]:
        found: list[Item] = []
        with self._connect() as connection:
            for chunk in _chunks(filter(_storable, ids)):
                found += self._items(connection, select(self._table).where(self._table.c.id.in_(chunk)))
        return {item.id: item for item in found}

    def missing(self, ids: Iterable[str]) -> list[str]:
        wanted, found = list(dict.fromkeys(ids)), set[str]()
        with self._connect() as connection:
            for chunk in _chunks(filter(_storable, wanted)):
                found.update(connection.scalars(select(self._table.c.id).where(self._table.c.id.in_(chunk))))
        return [id for id in wanted if id not in found]

    @abstractmethod
    def _conditions(self, where: Filter) -> Iterator[Condition]:
        """What all fit that the filter wants."""

    @abstractmethod
    def _items(self, connection: Connection, query: Select[Any]) -> list[Item]:
        """The items of the rows, in their order."""


def _after(place: Place, value: ColumnElement[str], id: ColumnElement[str], descending: bool) -> Condition:
    beyond = value < place.value if descending else value > place.value
    # What the OR says already, in a form for which an index leads to the place.
    from_there = value <= place.value if descending else value >= place.value
    return and_(from_there, or_(beyond, id > place.id))


class SqlDevices(SqlReader[Device, DeviceFilter]):
    item = Device
    filter = DeviceFilter

    _table = tables.devices
    _sorts = {
        **{name: tables.devices.c[name] for name in ("id", "name", "type", "status")},
        **{name: tables.devices.c[f"hardware_{name}"] for name in ("model", "sn")},
        **{name: tables.devices.c[f"software_{name}"] for name in ("version", "last_update")},
    }

    def _conditions(self, where: DeviceFilter) -> Iterator[Condition]:
        columns, nics, memberships = tables.devices.c, tables.nics.c, tables.memberships.c
        for name in ("id", "name", "type", "status", "sn"):
            if (wanted := getattr(where, name)) is not None:
                yield _is(self._sorts[name], wanted)
        if where.model is not None:
            fits = _storable(where.model) and len(where.model) <= MAX_FOLDED
            yield columns.hardware_model_folded.contains(where.model, autoescape=True) if fits else false()
        # By IN, not by EXISTS: SQLite would ask for each device in turn.
        if where.mac is not None:
            yield columns.id.in_(select(nics.device_id).where(_is(nics.mac, where.mac)))
        if where.ipv4 is not None:
            yield columns.id.in_(select(nics.device_id).where(_is(nics.ipv4, where.ipv4)))
        for id in where.group_ids:
            yield columns.id.in_(select(memberships.device_id).where(_is(memberships.group_id, id)))

    def _items(self, connection: Connection, query: Select[Any]) -> list[Device]:
        rows = connection.execute(query).all()
        nics: dict[str, list[Nic]] = {row.id: [] for row in rows}
        for chunk in _chunks(nics):
            wanted = select(tables.nics).where(tables.nics.c.device_id.in_(chunk))
            for row in connection.execute(wanted.order_by(tables.nics.c.device_id, tables.nics.c.position)):
                nics[row.device_id].append(Nic(row.type, row.mac, row.ipv4))
        return [
            Device(
                id=row.id,
                name=row.name,
                type=row.type,
                hardware=Hardware(row.hardware_model, row.hardware_sn),
                software=Software(row.software_version, row.software_last_update),
                nic=tuple(nics[row.id]),
                status=row.status,
            )
            for row in rows
        ]


class SqlGroups(SqlReader[Group, GroupFilter]):
    item = Group
    filter = GroupFilter

    _table = tables.groups
    _sorts = {name: tables.groups.c[name] for name in ("id", "name", "description")}

    def _conditions(self, where: GroupFilter) -> Iterator[Condition]:
        columns, memberships = tables.groups.c, tables.memberships.c
        for name in ("id", "name"):
            if (wanted := getattr(where, name)) is not None:
                yield _is(columns[name], wanted)
        for id in where.device_ids:
            yield columns.id.in_(select(memberships.group_id).where(_is(memberships.device_id, id)))

    def _items(self, connection: Connection, query: Select[Any]) -> list[Group]:
        return [Group(row.id, row.name, row.description) for row in connection.execute(query)]


class SqlWriter(SqlReader[Item, Filter], Writer[Item, Filter], Generic[Item, Filter]):
    """The same, to be changed too."""

    _kind: ClassVar[str]  # what such an item is called

    def __init__(self, connect: Connecting, record: Record) -> None:
        super().__init__(connect)
        self._record = record

    def add(self, item: Item) -> None:
        if not self.missing([item.id]):
            raise id_taken(item)
        self._insert(item)
        self._record.note(f"{self._kind}s added", [item.id])

    def replace(self, item: Item) -> None:
        if self.get(item.id) != item:
            self._update(item)
            self._record.note(f"{self._kind}s changed", [item.id])

    def remove(self, ids: Iterable[str]) -> list[str]:
        wanted = list(dict.fromkeys(ids))
        missing = set(self.missing(wanted))
        removed = [id for id in wanted if id not in missing]
        with self._connect() as connection:
            for chunk in _chunks(removed):
                connection.execute(delete(self._table).where(self._table.c.id.in_(chunk)))
        self._record.note(f"{self._kind}s deleted", removed)
        return removed

    @abstractmethod
    def _insert(self, item: Item) -> None:
        """Add the rows of an item."""

    @abstractmethod
    def _update(self, item: Item) -> None:
        """Change the rows of an item."""


class SqlDeviceWriter(SqlDevices, SqlWriter[Device, DeviceFilter]):
    _kind = "device"

    def _insert(self, device: Device) -> None:
        with self._connect() as connection:
            connection.execute(insert(tables.devices), [device_row(device)])
            self._insert_nics(connection, [device])

    def _update(self, device: Device) -> None:
        with self._connect() as connection:
            connection.execute(update(tables.devices).where(tables.devices.c.id == device.id), device_row(device))
            connection.execute(delete(tables.nics).where(tables.nics.c.device_id == device.id))
            self._insert_nics(connection, [device])

    def put_many(self, items: Iterable[Device]) -> None:
        given = {device.id: device for device in items}
        old = self.find_many(given)
        new = [device for device in given.values() if device.id not in old]
        changed = [device for device in given.values() if device.id in old and old[device.id] != device]
        with self._connect() as connection:
            for chunk in _chunks(device.id for device in changed):
                connection.execute(delete(tables.nics).where(tables.nics.c.device_id.in_(chunk)))
            if changed:
                its_row = tables.devices.c.id == bindparam("its_id")
                rows = [{**device_row(device), "its_id": device.id} for device in changed]
                connection.execute(update(tables.devices).where(its_row), rows)
            if new:
                connection.execute(insert(tables.devices), list(map(device_row, new)))
            self._insert_nics(connection, [*changed, *new])
        self._record.note("devices added", (device.id for device in new))
        self._record.note("devices changed", (device.id for device in changed))

    def _insert_nics(self, connection: Connection, devices: Iterable[Device]) -> None:
        if rows := [row for device in devices for row in nic_rows(device)]:
            connection.execute(insert(tables.nics), rows)


def device_row(device: Device) -> dict[str, str]:
    """The row of a device in the table of devices."""
    return {
        **{name: getattr(device, name) for name in ("id", "name", "type", "status")},
        "hardware_model": device.hardware.model,
        "hardware_model_folded": fold(device.hardware.model),
        "hardware_sn": device.hardware.sn,
        "software_version": device.software.version,
        "software_last_update": device.software.last_update,
    }


def nic_rows(device: Device) -> list[dict[str, Any]]:
    """Its rows in the table of network interfaces."""
    return [
        {"device_id": device.id, "position": position, "type": nic.type, "mac": nic.mac, "ipv4": nic.ipv4}
        for position, nic in enumerate(device.nic)
    ]


class SqlGroupWriter(SqlGroups, SqlWriter[Group, GroupFilter]):
    _kind = "group"

    def _insert(self, group: Group) -> None:
        self._refuse_taken(group)
        with self._connect() as connection:
            connection.execute(insert(tables.groups), [group_row(group)])

    def _update(self, group: Group) -> None:
        self._refuse_taken(group)
        with self._connect() as connection:
            connection.execute(update(tables.groups).where(tables.groups.c.id == group.id), group_row(group))

    def _refuse_taken(self, group: Group) -> None:
        columns = tables.groups.c
        with self._connect() as connection:
            query = select(columns.id).where(columns.name == group.name, columns.id != group.id)
            if holder := connection.scalar(query):
                raise name_taken(group, holder)


def group_row(group: Group) -> dict[str, str]:
    """The row of a group."""
    return {"id": group.id, "name": group.name, "description": group.description}


class SqlMemberships(MembershipReader):
    def __init__(self, connect: Connecting) -> None:
        self._connect = connect

    def has(self, membership: Membership) -> bool:
        return bool(self.list(device_id=membership.device_id, group_id=membership.group_id))

    def list(self, *, device_id: str | None = None, group_id: str | None = None) -> list[Membership]:
        columns = tables.memberships.c
        query = select(tables.memberships).order_by(columns.device_id, columns.group_id)
        if device_id is not None:
            query = query.where(_is(columns.device_id, device_id))
        if group_id is not None:
            query = query.where(_is(columns.group_id, group_id))
        with self._connect() as connection:
            return [Membership(row.device_id, row.group_id) for row in connection.execute(query)]


class SqlMembershipWriter(SqlMemberships, MembershipWriter):
    def __init__(
        self,
        connect: Connecting,
        devices: Reader[Device, DeviceFilter],
        groups: Reader[Group, GroupFilter],
        record: Record,
    ) -> None:
        super().__init__(connect)
        self._record = record
        self._devices = devices
        self._groups = groups

    def add(self, memberships: Iterable[Membership]) -> list[Membership]:
        wanted = tuple(dict.fromkeys(memberships))
        there = self._there(wanted)
        new = [each for each in wanted if each not in there]
        for id in self._devices.missing(each.device_id for each in new):
            raise no_such(Device, id)
        for id in self._groups.missing(each.group_id for each in new):
            raise no_such(Group, id)
        if new:
            with self._connect() as connection:
                rows = [{"device_id": each.device_id, "group_id": each.group_id} for each in new]
                connection.execute(insert(tables.memberships), rows)
        self._record.note("memberships added", pairs(new))
        return new

    def remove(self, memberships: Iterable[Membership]) -> list[Membership]:
        wanted = tuple(dict.fromkeys(memberships))
        there = self._there(wanted)
        with self._connect() as connection:
            for chunk in _chunks(map(_pair, there)):
                connection.execute(delete(tables.memberships).where(_PAIR.in_(chunk)))
        old = [each for each in wanted if each in there]
        self._record.note("memberships deleted", pairs(old))
        return old

    def _there(self, wanted: Iterable[Membership]) -> set[Membership]:
        """Those of the memberships that there are."""
        with self._connect() as connection:
            return {
                Membership(row.device_id, row.group_id)
                for chunk in _chunks(map(_pair, wanted))
                for row in connection.execute(select(tables.memberships).where(_PAIR.in_(chunk)))
            }


_PAIR = tuple_(tables.memberships.c.device_id, tables.memberships.c.group_id)


def _pair(membership: Membership) -> tuple[str, str]:
    return membership.device_id, membership.group_id
