"""The tables of a SQL store, to read and, in a transaction, to change."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

from devicesvc.columns import DEVICE, GROUP, MEMBERSHIP, Entity, device_of_rows, nic_rows
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
    Writer,
)
from devicesvc.dao.sql import schema
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership

CHUNK = 500  # values in one statement: databases limit them
MAX_FOLDED = 3 * 64  # characters that a model of 64 may have when it is folded

Connecting = Callable[[], AbstractContextManager[Connection]]
Condition = ColumnElement[bool]


def _is(column: ColumnElement[str], value: str) -> Condition:
    """Whether the column has the value: never, if no database can hold it."""
    return column == value if _storable(value) else false()


def _storable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return "\0" not in value


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    rest = list(dict.fromkeys(values))
    return (rest[start : start + CHUNK] for start in range(0, len(rest), CHUNK))


def _columns_by_field(entity: Entity[Any], table: Table) -> dict[str, ColumnElement[str]]:
    return {column.field: table.c[column.name] for column in entity.in_database if column.in_file}


class SqlReader(Reader[Item, Filter], Generic[Item, Filter]):
    """The devices, or the groups. connect: a connection for one call, which sees one snapshot."""

    _entity: ClassVar[Entity[Any]]
    _table: ClassVar[Table]
    _fields: ClassVar[Mapping[str, ColumnElement[str]]]  # the column of each field that a list may be sorted by

    def __init__(self, connect: Connecting) -> None:
        self._connect = connect

    def find(self, id: str) -> Item | None:
        with self._connect() as connection:
            found = self._items(connection, select(self._table).where(_is(self._table.c.id, id)))
        return found[0] if found else None

    def page(self, where: Filter, request: PageRequest) -> Page[Item]:
        conditions: list[Condition] = [*self._conditions(where)]
        value, id = self._fields[request.sort], self._table.c.id
        rest = [*conditions, _after(request.after, value, id, request.descending)] if request.after else conditions
        query = select(self._table).where(*rest).order_by(value.desc() if request.descending else value, id)
        if request.limit is not None:
            query = query.limit(request.limit + 1)
        with self._connect() as connection:
            items = self._items(connection, query)
            total = None
            if request.count:
                total = connection.scalar(select(func.count()).select_from(self._table).where(*conditions))
        more = request.limit is not None and len(items) > request.limit
        items = items[: request.limit]
        last = items[-1] if items and more else None
        return Page(items, total, Cursor(where.SORTS[request.sort](last), last.id) if last else None)  # type: ignore[arg-type]

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
        """What is true of all that the filter wants, and of nothing else."""

    @abstractmethod
    def _items(self, connection: Connection, query: Select[Any]) -> list[Item]:
        """The items of the rows, in their order."""


def _after(cursor: Cursor, value: ColumnElement[str], id: ColumnElement[str], descending: bool) -> Condition:
    beyond = value < cursor.value if descending else value > cursor.value
    # The OR says this already. But for this form of it, an index leads to the cursor.
    from_there = value <= cursor.value if descending else value >= cursor.value
    return and_(from_there, or_(beyond, id > cursor.id))


class SqlDevices(SqlReader[Device, DeviceFilter]):
    item = Device
    filter = DeviceFilter

    _entity = DEVICE
    _table = schema.devices
    _fields = _columns_by_field(DEVICE, schema.devices)

    def _conditions(self, where: DeviceFilter) -> Iterator[Condition]:
        columns, nics, memberships = schema.devices.c, schema.nics.c, schema.memberships.c
        for name in ("id", "name", "type", "status", "sn"):
            if (wanted := getattr(where, name)) is not None:
                yield _is(self._fields[name], wanted)
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
        nics: dict[str, list[Any]] = {row.id: [] for row in rows}
        for chunk in _chunks(nics):
            wanted = select(schema.nics).where(schema.nics.c.device_id.in_(chunk))
            for row in connection.execute(wanted.order_by(schema.nics.c.device_id, schema.nics.c.position)):
                nics[row.device_id].append(row)
        return [device_of_rows(row, nics[row.id]) for row in rows]


class SqlGroups(SqlReader[Group, GroupFilter]):
    item = Group
    filter = GroupFilter

    _entity = GROUP
    _table = schema.groups
    _fields = _columns_by_field(GROUP, schema.groups)

    def _conditions(self, where: GroupFilter) -> Iterator[Condition]:
        columns, memberships = schema.groups.c, schema.memberships.c
        for name in ("id", "name"):
            if (wanted := getattr(where, name)) is not None:
                yield _is(columns[name], wanted)
        for id in where.device_ids:
            yield columns.id.in_(select(memberships.group_id).where(_is(memberships.device_id, id)))

    def _items(self, connection: Connection, query: Select[Any]) -> list[Group]:
        return [GROUP.from_row(row) for row in connection.execute(query)]


class SqlWriter(SqlReader[Item, Filter], Writer[Item, Filter], Generic[Item, Filter]):
    """The same, to be changed too."""

    def __init__(self, connect: Connecting, change_set: ChangeSet) -> None:
        super().__init__(connect)
        self.change_set = change_set

    def _insert(self, items: Sequence[Item]) -> None:
        with self._connect() as connection:
            connection.execute(insert(self._table), self._rows(items))

    def _update(self, items: Sequence[Item]) -> None:
        with self._connect() as connection:
            rows = [{**row, "its_id": row["id"]} for row in self._rows(items)]
            connection.execute(update(self._table).where(self._table.c.id == bindparam("its_id")), rows)

    def _delete(self, ids: Sequence[str]) -> None:
        with self._connect() as connection:  # the foreign keys take the memberships along
            for chunk in _chunks(ids):
                connection.execute(delete(self._table).where(self._table.c.id.in_(chunk)))

    def _rows(self, items: Sequence[Item]) -> list[dict[str, str]]:
        return [self._entity.to_row(item)._asdict() for item in items]


class SqlDeviceWriter(SqlDevices, SqlWriter[Device, DeviceFilter]):
    def _insert(self, items: Sequence[Device]) -> None:
        super()._insert(items)
        self._insert_nics(items)

    def _update(self, items: Sequence[Device]) -> None:
        super()._update(items)
        with self._connect() as connection:
            for chunk in _chunks(device.id for device in items):
                connection.execute(delete(schema.nics).where(schema.nics.c.device_id.in_(chunk)))
        self._insert_nics(items)

    def _insert_nics(self, devices: Iterable[Device]) -> None:
        if rows := [row._asdict() for device in devices for row in nic_rows(device)]:
            with self._connect() as connection:
                connection.execute(insert(schema.nics), rows)


class SqlGroupWriter(SqlGroups, SqlWriter[Group, GroupFilter]):
    pass


class SqlMemberships(MembershipReader):
    """The memberships."""

    def __init__(self, connect: Connecting) -> None:
        self._connect = connect

    def list(self, *, device_id: str | None = None, group_id: str | None = None) -> list[Membership]:
        columns = schema.memberships.c
        query = select(schema.memberships).order_by(columns.device_id, columns.group_id)
        if device_id is not None:
            query = query.where(_is(columns.device_id, device_id))
        if group_id is not None:
            query = query.where(_is(columns.group_id, group_id))
        with self._connect() as connection:
            return [MEMBERSHIP.from_row(row) for row in connection.execute(query)]

    def existing(self, memberships: Iterable[Membership]) -> set[Membership]:
        with self._connect() as connection:
            return {
                MEMBERSHIP.from_row(row)
                for chunk in _chunks(map(_pair, memberships))
                for row in connection.execute(select(schema.memberships).where(_PAIR.in_(chunk)))
            }


class SqlMembershipWriter(SqlMemberships, MembershipWriter):
    """The same, to be changed too."""

    def __init__(
        self, connect: Connecting, devices: SqlDeviceWriter, groups: SqlGroupWriter, change_set: ChangeSet
    ) -> None:
        super().__init__(connect)
        self.devices = devices
        self.groups = groups
        self.change_set = change_set

    def _insert(self, memberships: Sequence[Membership]) -> None:
        with self._connect() as connection:
            rows = [MEMBERSHIP.to_row(each)._asdict() for each in memberships]
            connection.execute(insert(schema.memberships), rows)

    def _delete(self, memberships: Sequence[Membership]) -> None:
        with self._connect() as connection:
            for chunk in _chunks(map(_pair, memberships)):
                connection.execute(delete(schema.memberships).where(_PAIR.in_(chunk)))


_PAIR = tuple_(schema.memberships.c.device_id, schema.memberships.c.group_id)


def _pair(membership: Membership) -> tuple[str, str]:
    return membership.device_id, membership.group_id
