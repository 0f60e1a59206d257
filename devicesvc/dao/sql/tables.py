"""The tables of a SQL store, to read and, in a transaction, to change."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from devicesvc.columns import DEVICE, GROUP, MEMBERSHIP, Entity, nic_rows, stored_device, stored_devices, stored_group
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
from devicesvc.dao.sql.reads import Source
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership

CHUNK = 500  # values in one statement: databases limit them
MAX_FOLDED = 3 * 64  # characters that a model of 64 may have when it is folded

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
    """The devices, or the groups."""

    _entity: ClassVar[Entity[Any]]
    _table: ClassVar[Table]
    _all: ClassVar[Select[Any]]  # the rows of all items
    _one: ClassVar[Select[Any]]  # the row of the item with the parameter `id`
    _change: ClassVar[Update]  # the item with the parameter `its_id`
    _fields: ClassVar[Mapping[str, ColumnElement[str]]]  # the column of each field that a list may be sorted by

    def __init__(self, source: Source) -> None:
        self._source = source

    def find(self, id: str) -> Item | None:
        row = self._source.one(self._one, id) if _storable(id) else None
        return self._item(row) if row else None

    def page(self, where: Filter, request: PageRequest) -> Page[Item]:
        conditions: list[Condition] = [*self._conditions(where)]
        value, id = self._fields[request.sort], self._table.c.id
        rest = [*conditions, _after(request.after, value, id, request.descending)] if request.after else conditions
        query = self._all.where(*rest).order_by(value.desc() if request.descending else value, id)
        if request.limit is not None:
            query = query.limit(request.limit + 1)
        if request.count:
            total, rows = self._counted(query, request, conditions)
        else:
            total, rows = None, self._source.rows(query)
        items = self._items(rows)
        more = request.limit is not None and len(items) > request.limit
        items = items[: request.limit]
        last = items[-1] if items and more else None
        return Page(items, total, Cursor(where.SORTS[request.sort](last), last.id) if last else None)  # type: ignore[arg-type]

    def _counted(
        self, page: Select[Any], request: PageRequest, conditions: Sequence[Condition]
    ) -> tuple[int, list[Any]]:
        """The total, and the rows of the page: in one statement, so of one snapshot. An empty page has a total too."""
        counted = select(func.count().label("total")).select_from(self._table).where(*conditions).subquery()
        rows = page.subquery()
        value, id = rows.c[self._fields[request.sort].name], rows.c.id
        both = select(counted.c.total, rows).select_from(counted.outerjoin(rows, true()))
        found = self._source.rows(both.order_by(value.desc() if request.descending else value, id))
        return found[0].total, [row[1:] for row in found if row.id is not None]

    def find_many(self, ids: Iterable[str]) -> dict[str, Item]:
        found: list[Item] = []
        with self._source.connect() as connection:
            for chunk in _chunks(filter(_storable, ids)):
                found += self._items(connection.execute(self._all.where(self._table.c.id.in_(chunk))).all())
        return {item.id: item for item in found}

    def missing(self, ids: Iterable[str]) -> list[str]:
        wanted, found = list(dict.fromkeys(ids)), set[str]()
        with self._source.connect() as connection:
            for chunk in _chunks(filter(_storable, wanted)):
                found.update(connection.scalars(select(self._table.c.id).where(self._table.c.id.in_(chunk))))
        return [id for id in wanted if id not in found]

    @abstractmethod
    def _conditions(self, where: Filter) -> Iterator[Condition]:
        """What is true of all that the filter wants, and of nothing else."""

    @abstractmethod
    def _item(self, row: Any) -> Item:
        """The item of a row."""

    def _items(self, rows: Sequence[Any]) -> list[Item]:
        """The items of rows, in their order."""
        return list(map(self._item, rows))


def _after(cursor: Cursor, value: ColumnElement[str], id: ColumnElement[str], descending: bool) -> Condition:
    beyond = value < cursor.value if descending else value > cursor.value
    # The OR says this already. But for this form of it, an index leads to the cursor.
    from_there = value <= cursor.value if descending else value >= cursor.value
    return and_(from_there, or_(beyond, id > cursor.id))


class _Lists(FunctionElement[str]):
    """The JSON text of a list that has a list of these columns for each row, in any order."""

    type = Text()
    inherit_cache = True


@compiles(_Lists, "sqlite")
def _sqlite_lists(element: _Lists, compiler: Any, **options: Any) -> str:
    return f"json_group_array(json_array({compiler.process(element.clauses, **options)}))"


@compiles(_Lists, "postgresql")
def _postgresql_lists(element: _Lists, compiler: Any, **options: Any) -> str:
    return f"CAST(json_agg(json_build_array({compiler.process(element.clauses, **options)})) AS text)"


_NICS = (
    select(_Lists(*(schema.nics.c[name] for name in ("position", "type", "mac", "ipv4"))))
    .where(schema.nics.c.device_id == schema.devices.c.id)
    .scalar_subquery()
    .label("nics")
)


class SqlDevices(SqlReader[Device, DeviceFilter]):
    item = Device
    filter = DeviceFilter

    _entity = DEVICE
    _table = schema.devices
    _all = select(schema.devices, _NICS)
    _one = _all.where(schema.devices.c.id == bindparam("id"))
    _change = update(schema.devices).where(schema.devices.c.id == bindparam("its_id"))
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

    def _item(self, row: Any) -> Device:
        return stored_device(row)

    def _items(self, rows: Sequence[Any]) -> list[Device]:
        return stored_devices(rows)


class SqlGroups(SqlReader[Group, GroupFilter]):
    item = Group
    filter = GroupFilter

    _entity = GROUP
    _table = schema.groups
    _all = select(schema.groups)
    _one = _all.where(schema.groups.c.id == bindparam("id"))
    _change = update(schema.groups).where(schema.groups.c.id == bindparam("its_id"))
    _fields = _columns_by_field(GROUP, schema.groups)

    def _conditions(self, where: GroupFilter) -> Iterator[Condition]:
        columns, memberships = schema.groups.c, schema.memberships.c
        for name in ("id", "name"):
            if (wanted := getattr(where, name)) is not None:
                yield _is(columns[name], wanted)
        for id in where.device_ids:
            yield columns.id.in_(select(memberships.group_id).where(_is(memberships.device_id, id)))

    def _item(self, row: Any) -> Group:
        return stored_group(row)


class SqlWriter(SqlReader[Item, Filter], Writer[Item, Filter], Generic[Item, Filter]):
    """The same, to be changed too."""

    def __init__(self, source: Source, change_set: ChangeSet) -> None:
        super().__init__(source)
        self.change_set = change_set

    def _insert(self, items: Sequence[Item]) -> None:
        with self._source.connect() as connection:
            connection.execute(insert(self._table), self._rows(items))

    def _update(self, pairs: Sequence[tuple[Item, Item]]) -> None:
        with self._source.connect() as connection:
            rows = [{**row, "its_id": row["id"]} for row in self._rows([item for _, item in pairs])]
            connection.execute(self._change, rows)

    def _delete(self, ids: Sequence[str]) -> None:
        with self._source.connect() as connection:  # the foreign keys take the memberships along
            for chunk in _chunks(ids):
                connection.execute(delete(self._table).where(self._table.c.id.in_(chunk)))

    def _rows(self, items: Sequence[Item]) -> list[dict[str, str]]:
        return [self._entity.to_row(item)._asdict() for item in items]


class SqlDeviceWriter(SqlDevices, SqlWriter[Device, DeviceFilter]):
    def _insert(self, items: Sequence[Device]) -> None:
        super()._insert(items)
        self._insert_nics(items)

    def _update(self, pairs: Sequence[tuple[Device, Device]]) -> None:
        super()._update(pairs)
        rewritten = [device for old, device in pairs if old.nic != device.nic]
        with self._source.connect() as connection:
            for chunk in _chunks(device.id for device in rewritten):
                connection.execute(delete(schema.nics).where(schema.nics.c.device_id.in_(chunk)))
        self._insert_nics(rewritten)

    def _insert_nics(self, devices: Iterable[Device]) -> None:
        if rows := [row._asdict() for device in devices for row in nic_rows(device)]:
            with self._source.connect() as connection:
                connection.execute(insert(schema.nics), rows)


class SqlGroupWriter(SqlGroups, SqlWriter[Group, GroupFilter]):
    pass


class SqlMemberships(MembershipReader):
    """The memberships."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def list(self, *, device_id: str | None = None, group_id: str | None = None) -> list[Membership]:
        columns = schema.memberships.c
        query = select(schema.memberships).order_by(columns.device_id, columns.group_id)
        if device_id is not None:
            query = query.where(_is(columns.device_id, device_id))
        if group_id is not None:
            query = query.where(_is(columns.group_id, group_id))
        return [MEMBERSHIP.from_row(row) for row in self._source.rows(query)]

    def existing(self, memberships: Iterable[Membership]) -> set[Membership]:
        with self._source.connect() as connection:
            return {
                MEMBERSHIP.from_row(row)
                for chunk in _chunks(map(_pair, memberships))
                for row in connection.execute(select(schema.memberships).where(_PAIR.in_(chunk)))
            }


class SqlMembershipWriter(SqlMemberships, MembershipWriter):
    """The same, to be changed too."""

    def __init__(self, source: Source, devices: SqlDeviceWriter, groups: SqlGroupWriter, change_set: ChangeSet) -> None:
        super().__init__(source)
        self.devices = devices
        self.groups = groups
        self.change_set = change_set

    def _insert(self, memberships: Sequence[Membership]) -> None:
        with self._source.connect() as connection:
            rows = [MEMBERSHIP.to_row(each)._asdict() for each in memberships]
            connection.execute(insert(schema.memberships), rows)

    def _delete(self, memberships: Sequence[Membership]) -> None:
        with self._source.connect() as connection:
            for chunk in _chunks(map(_pair, memberships)):
                connection.execute(delete(schema.memberships).where(_PAIR.in_(chunk)))


_PAIR = tuple_(schema.memberships.c.device_id, schema.memberships.c.group_id)


def _pair(membership: Membership) -> tuple[str, str]:
    return membership.device_id, membership.group_id
