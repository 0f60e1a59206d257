"""The tables of a SQL store, to read and, in a transaction, to change."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, ClassVar, Generic, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Insert,
    Integer,
    Select,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from devicesvc.columns import (
    DEVICE,
    ENTITIES,
    GROUP,
    MEMBERSHIP,
    Entity,
    nic_rows,
    stored_device,
    stored_devices,
    stored_group,
)
from devicesvc.dao.base import (
    ChangeSet,
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
    Writer,
)
from devicesvc.dao.sql import schema
from devicesvc.dao.sql.reads import InTransaction, Source
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership

CHUNK = 500  # values in one statement: databases limit them
LONGEST = max(column.max_length for each in ENTITIES for column in each.columns)

FIRST_GROUP = "group_0"  # the parameter with the id of the first of the groups that a device must be in
NOTHING = "\0"  # a text that no database can hold
LINE_BREAK = "\n"  # what no field has

Condition = ColumnElement[bool]


class _Shape(NamedTuple):
    """What statements of pages differ in, besides the values. wanted: the parameters of the filter."""

    wanted: tuple[str, ...]
    sort: str
    descending: bool
    is_after: bool
    is_limited: bool
    is_counted: bool


def _storable(value: str) -> bool:
    """Whether a field may have this value: no statement need ask for any other, and MariaDB takes none of megabytes."""
    if len(value) > LONGEST or NOTHING in value or LINE_BREAK in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


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
    _one: ClassVar[Select[Any]]  # the rows of the item with the parameter `id`
    _fields: ClassVar[Mapping[str, ColumnElement[str]]]  # the column of each field that a list may be sorted by

    def __init__(self, source: Source) -> None:
        self._source = source

    def find(self, id: str) -> Item | None:
        rows = self._source.rows_of_one(self._table, self._one, id) if _storable(id) else None
        return self._item(rows[0]) if rows else None

    def page(self, where: Filter, request: PageRequest) -> Page[Item]:
        self._source.hold_all()
        values: dict[str, Any] = dict(self._wanted(where))
        if not all(map(_storable, values.values())):  # no database can hold it: nothing fits
            return Page([], 0 if request.count else None, None)
        is_after, is_limited = request.after is not None, request.limit is not None
        shape = _Shape(tuple(values), request.sort, request.descending, is_after, is_limited, request.count)
        if request.after:
            values |= {"after": request.after.value, "after_id": request.after.id}
        if request.limit is not None:
            values["most"] = request.limit + 1
        total, rows = None, self._source.rows(self._statement(shape), values)
        if request.count:
            total, rows = rows[0][0], [row[1:] for row in rows if row[1] is not None]
        items = self._items(rows)
        more = request.limit is not None and len(items) > request.limit
        items = items[: request.limit]
        last = items[-1] if items and more else None
        return Page(items, total, Cursor(where.SORTS[request.sort](last), last.id) if last else None)  # type: ignore[arg-type]

    @classmethod
    @lru_cache(256)
    def _statement(cls, shape: _Shape) -> Select[Any]:
        """The rows of a page. If they are counted, each has the total in front of it: in one statement, so of one
        snapshot. Then an empty page has a row too, which has only the total."""
        table, id = cls._searched(shape.wanted)
        conditions = list(map(cls._condition, shape.wanted))
        by_id = shape.sort == "id"
        value = id if by_id else cls._fields[shape.sort]
        after = [_after(value, id, shape.descending)] if shape.is_after else []
        if after and by_id and id is not cls._table.c.id:  # a database may start with either of them
            after.append(_after(cls._table.c.id, cls._table.c.id, shape.descending))

        def wanted(what: Select[Any]) -> Select[Any]:
            what = what.select_from(table).where(*conditions, *after).order_by(*_order(value, id, shape.descending))
            return what.limit(bindparam("most", type_=Integer)) if shape.is_limited else what

        if shape.descending and shape.is_limited and not by_id:
            # No index has this order: many ids may be sorted for a page. The rest is read only of those that are on it.
            ids = wanted(select(cls._table.c.id)).subquery()
            page = cls._all.join_from(cls._table, ids, cls._table.c.id == ids.c.id)
            page = page.order_by(*_order(value, cls._table.c.id, shape.descending))
        else:
            page = wanted(cls._all)
        if not shape.is_counted:
            return page
        counted = select(func.count().label("total")).select_from(table).where(*conditions).subquery()
        rows = page.subquery()
        both = select(counted.c.total, rows).select_from(counted.outerjoin(rows, true()))
        return both.order_by(*_order(rows.c[cls._fields[shape.sort].name], rows.c.id, shape.descending))

    @classmethod
    def _searched(cls, _wanted: Sequence[str]) -> tuple[FromClause, ColumnElement[str]]:
        """What is searched for these parameters, and the column there that has the ids."""
        return cls._table, cls._table.c.id

    def find_many(self, ids: Iterable[str]) -> dict[str, Item]:
        found: list[Item] = []
        with self._source.connect() as connection:
            for chunk in _chunks(self._source.hold(self._table, filter(_storable, ids))):
                found += self._items(connection.execute(self._all.where(self._table.c.id.in_(chunk))).all())
        return {item.id: item for item in found}

    def missing(self, ids: Iterable[str]) -> list[str]:
        wanted, found = list(dict.fromkeys(ids)), set[str]()
        with self._source.connect() as connection:
            for chunk in _chunks(self._source.hold(self._table, filter(_storable, wanted))):
                found.update(connection.scalars(select(self._table.c.id).where(self._table.c.id.in_(chunk))))
        return [id for id in wanted if id not in found]

    @abstractmethod
    def _wanted(self, where: Filter) -> Iterator[tuple[str, str]]:
        """The parameters of the conditions, with their values."""

    @classmethod
    @abstractmethod
    def _condition(cls, parameter: str) -> Condition:
        """What is true of the rows that are wanted by this parameter."""

    @abstractmethod
    def _item(self, row: Any) -> Item:
        """The item of a row."""

    def _items(self, rows: Sequence[Any]) -> list[Item]:
        """The items of rows, in their order."""
        return list(map(self._item, rows))


def _after(value: ColumnElement[str], id: ColumnElement[str], descending: bool) -> Condition:
    """Whether a row comes after the cursor of the parameters `after` and `after_id`."""
    after, after_id = _text("after"), _text("after_id")
    if value is id:
        return id < after if descending else id > after
    if not descending:  # in this form, an index leads to the cursor
        return tuple_(value, id) > tuple_(after, after_id)
    # The OR says this already. But for this form of it, an index leads to the value of the cursor.
    return and_(value <= after, or_(value < after, id > after_id))


def _order(value: ColumnElement[str], id: ColumnElement[str], descending: bool) -> list[ColumnElement[str]]:
    first = value.desc() if descending else value
    return [first] if value is id else [first, id]


def _text(parameter: str) -> BindParameter[str]:
    return bindparam(parameter, type_=schema.TEXT)


def _function(returns: TypeEngine[Any], **words: str) -> Callable[..., ColumnElement[Any]]:
    """A function of SQL that each kind of database calls otherwise. returns: its type. words: what it is called, by
    kind; {} stands for the arguments."""

    class Function(FunctionElement[Any]):
        type = returns
        inherit_cache = True

    for kind, pattern in words.items():

        def write(element: Function, compiler: Any, pattern: str = pattern, **options: Any) -> str:
            return pattern.format(compiler.process(element.clauses, **options))

        compiles(Function, kind)(write)
    return Function


# The JSON text of a list that has a list of these columns for each row, in any order.
_lists = _function(
    Text(),
    sqlite="json_group_array(json_array({}))",
    postgresql="CAST(json_agg(json_build_array({})) AS text)",
    mysql="json_arrayagg(json_array({}))",
)
# Where a text has another one, counted from 1; 0 if nowhere. LIKE of SQLite takes some characters for others.
_place = _function(Integer(), sqlite="instr({})", postgresql="strpos({})", mysql="instr({})")

_NICS = (
    select(_lists(*(schema.nics.c[name] for name in ("position", "type", "mac", "ipv4"))))
    .where(schema.nics.c.device_id == schema.devices.c.id)
    .scalar_subquery()
    .label("nics")
)


_FOLDED = {"model": schema.devices.c.hardware_model_folded, "q": schema.devices.c.search_text}


class SqlDevices(SqlReader[Device, DeviceFilter], DeviceReader):
    item = Device
    filter = DeviceFilter

    _entity = DEVICE
    _table = schema.devices
    _all = select(*(schema.devices.c[name] for name in DEVICE.own_names), _NICS)
    _one = _all.where(schema.devices.c.id == bindparam("id"))
    _fields = _columns_by_field(DEVICE, schema.devices)

    def _wanted(self, where: DeviceFilter) -> Iterator[tuple[str, str]]:
        for name in ("id", "name", "type", "status", "sn", "mac", "ipv4", "software_version", "model", "q"):
            if (wanted := getattr(where, name)) is not None:
                yield name, wanted
        yield from ((f"group_{number}", id) for number, id in enumerate(where.group_ids))

    @classmethod
    def _searched(cls, wanted: Sequence[str]) -> tuple[FromClause, ColumnElement[str]]:
        if FIRST_GROUP not in wanted:
            return super()._searched(wanted)
        # An index has the members of a group by id: a page of a large group is read there in this order.
        ids = schema.memberships.c.device_id
        return cls._table.join(schema.memberships, cls._table.c.id == ids), ids

    @classmethod
    def _condition(cls, parameter: str) -> Condition:
        columns, nics, memberships = schema.devices.c, schema.nics.c, schema.memberships.c
        value = _text(parameter)
        if parameter == "software_version":
            return columns.software_version == value
        if parameter in _FOLDED:
            return _place(_FOLDED[parameter], value) > 0
        # By IN, not by EXISTS: SQLite would ask for each device in turn.
        if parameter in ("mac", "ipv4"):
            return columns.id.in_(select(nics.device_id).where(nics[parameter] == value))
        if parameter == FIRST_GROUP:
            return memberships.group_id == value
        if parameter.startswith("group_"):
            others = schema.memberships.alias().c
            return columns.id.in_(select(others.device_id).where(others.group_id == value))
        return cls._fields[parameter] == value

    def counts(self, by: Collection[str], where: DeviceFilter, limit: int) -> dict[str, Counts]:
        self._source.hold_all()
        values: dict[str, Any] = dict(self._wanted(where))
        found: dict[str, list[Any]] = {field: [] for field in by}
        if by and all(map(_storable, values.values())):
            query = self._counted(tuple(field for field in self.COUNTED if field in by), tuple(values))
            for field, *row in self._source.rows(query, {**values, "most": limit}):
                found[field].append(row)
        return {field: _counts(rows) for field, rows in found.items()}

    @classmethod
    @lru_cache(256)
    def _counted(cls, by: Sequence[str], wanted: Sequence[str]) -> CompoundSelect[Any]:
        """The most frequent values of each of these fields: a row has the field, a value, the number of its devices,
        and that of all. In one statement, so of one snapshot."""
        table, id = cls._searched(wanted)
        conditions, number = list(map(cls._condition, wanted)), func.count().label("number")
        counts = []
        for field in by:
            if field in _COUNTED:
                searched, value = table, _COUNTED[field].label("value")
            else:
                members = schema.memberships.alias()
                searched, value = table.join(members, members.c.device_id == id), members.c.group_id.label("value")
            of_all = func.sum(func.count()).over().label("of_all")
            count = select(value, number, of_all).select_from(searched).where(*conditions).group_by(value)
            count = count.order_by(number.desc(), value).limit(bindparam("most", type_=Integer))
            counts.append(select(literal_column(f"'{field}'").label("field"), *count.subquery().c))
        return union_all(*counts)

    def _item(self, row: Any) -> Device:
        return stored_device(row)

    def _items(self, rows: Sequence[Any]) -> list[Device]:
        return stored_devices(rows)


# The columns of those fields of COUNTED that the table of devices has.
_COUNTED = {
    "type": schema.devices.c.type,
    "status": schema.devices.c.status,
    "model": schema.devices.c.hardware_model,
    "software_version": schema.devices.c.software_version,
}


def _counts(rows: Sequence[Any]) -> Counts:
    values = sorted(((value, number) for value, number, _ in rows), key=lambda each: (-each[1], each[0]))
    return Counts(values, int(rows[0][2]) - sum(number for _, number in values) if rows else 0)


class SqlGroups(SqlReader[Group, GroupFilter]):
    item = Group
    filter = GroupFilter

    _entity = GROUP
    _table = schema.groups
    _all = select(schema.groups)
    _one = _all.where(schema.groups.c.id == bindparam("id"))
    _fields = _columns_by_field(GROUP, schema.groups)

    def _wanted(self, where: GroupFilter) -> Iterator[tuple[str, str]]:
        for name in ("id", "name"):
            if (wanted := getattr(where, name)) is not None:
                yield name, wanted
        yield from ((f"device_{number}", id) for number, id in enumerate(where.device_ids))

    @classmethod
    def _condition(cls, parameter: str) -> Condition:
        memberships, value = schema.memberships.c, _text(parameter)
        if parameter.startswith("device_"):
            return cls._table.c.id.in_(select(memberships.group_id).where(memberships.device_id == value))
        return cls._fields[parameter] == value

    def _item(self, row: Any) -> Group:
        return stored_group(row)


class SqlWriter(SqlReader[Item, Filter], Writer[Item, Filter], Generic[Item, Filter]):
    """The same, to be changed too."""

    _source: InTransaction
    _added: ClassVar[Insert]
    _changed: ClassVar[Update]  # the item with the parameter `its_id`

    def __init__(self, source: InTransaction, change_set: ChangeSet) -> None:
        super().__init__(source)
        self.change_set = change_set

    def _insert(self, items: Sequence[Item]) -> None:
        self._source.made(self._table, [item.id for item in items])
        self._source.change(self._added, self._rows(items))

    def _update(self, pairs: Sequence[tuple[Item, Item]]) -> None:
        # Only the columns that differ: SQLite writes the indexes of all that are named, also if their values stay.
        changes: dict[tuple[str, ...], list[dict[str, str]]] = {}
        for old, new in pairs:
            before, after = (self._entity.to_row(each)._asdict() for each in (old, new))
            changed = {name: value for name, value in after.items() if value != before[name]}
            if changed:
                changes.setdefault(tuple(changed), []).append({**changed, "its_id": new.id})
        for rows in changes.values():
            self._source.change(self._changed, rows)

    def _delete(self, ids: Sequence[str]) -> None:
        with self._source.connect() as connection:  # the foreign keys take the memberships along
            for chunk in _chunks(ids):
                self._source.hold_found(*self._members(chunk))
                connection.execute(delete(self._table).where(self._table.c.id.in_(chunk)))

    @abstractmethod
    def _members(self, ids: Sequence[str]) -> tuple[Table, Select[Any]]:
        """The other side of the memberships that go along with these items: its table, and a query for the ids."""

    def _rows(self, items: Sequence[Item]) -> list[dict[str, str]]:
        return [self._entity.to_row(item)._asdict() for item in items]


class SqlDeviceWriter(SqlDevices, SqlWriter[Device, DeviceFilter]):
    _added = insert(schema.devices)
    _changed = update(schema.devices).where(schema.devices.c.id == bindparam("its_id"))
    _added_nics = insert(schema.nics)

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

    def _members(self, ids: Sequence[str]) -> tuple[Table, Select[Any]]:
        columns = schema.memberships.c
        return schema.groups, select(columns.group_id).where(columns.device_id.in_(ids))

    def _insert_nics(self, devices: Iterable[Device]) -> None:
        self._source.change(self._added_nics, [row._asdict() for device in devices for row in nic_rows(device)])


class SqlGroupWriter(SqlGroups, SqlWriter[Group, GroupFilter]):
    _added = insert(schema.groups)
    _changed = update(schema.groups).where(schema.groups.c.id == bindparam("its_id"))

    def _members(self, ids: Sequence[str]) -> tuple[Table, Select[Any]]:
        columns = schema.memberships.c
        return schema.devices, select(columns.device_id).where(columns.group_id.in_(ids))


class SqlMemberships(MembershipReader):
    """The memberships."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def list(self, *, device_id: str | None = None, group_id: str | None = None) -> list[Membership]:
        wanted = {"device_id": device_id, "group_id": group_id}
        values = {name: id for name, id in wanted.items() if id is not None}
        if not all(map(_storable, values.values())):
            return []
        if not values:
            self._source.hold_all()
        for owners, id in ((schema.devices, device_id), (schema.groups, group_id)):
            if id is not None and not self._source.hold(owners, [id]):
                return []
        return [
            Membership.trusted(device_id=row[0], group_id=row[1]) for row in self._source.rows(_of(*values), values)
        ]

    def existing(self, memberships: Iterable[Membership]) -> set[Membership]:
        pairs = list(map(_pair, memberships))
        devices = {*self._source.hold(schema.devices, (device_id for device_id, _ in pairs))}
        groups = {*self._source.hold(schema.groups, (group_id for _, group_id in pairs))}
        pairs = [(device_id, group_id) for device_id, group_id in pairs if device_id in devices and group_id in groups]
        with self._source.connect() as connection:
            return {
                MEMBERSHIP.from_row(row)
                for chunk in _chunks(pairs)
                for row in connection.execute(select(schema.memberships).where(_PAIR.in_(chunk)))
            }


class SqlMembershipWriter(SqlMemberships, MembershipWriter):
    """The same, to be changed too."""

    _source: InTransaction
    _added = insert(schema.memberships)

    def __init__(
        self, source: InTransaction, devices: SqlDeviceWriter, groups: SqlGroupWriter, change_set: ChangeSet
    ) -> None:
        super().__init__(source)
        self.devices = devices
        self.groups = groups
        self.change_set = change_set

    def _insert(self, memberships: Sequence[Membership]) -> None:
        self._source.change(self._added, [MEMBERSHIP.to_row(each)._asdict() for each in memberships])

    def _delete(self, memberships: Sequence[Membership]) -> None:
        with self._source.connect() as connection:
            for chunk in _chunks(map(_pair, memberships)):
                connection.execute(delete(schema.memberships).where(_PAIR.in_(chunk)))


@cache
def _of(*names: str) -> Select[Any]:
    """The memberships of those that the parameters name."""
    columns = schema.memberships.c
    wanted = [columns[name] == _text(name) for name in names]
    return select(columns.device_id, columns.group_id).where(*wanted).order_by(columns.device_id, columns.group_id)


_PAIR = tuple_(schema.memberships.c.device_id, schema.memberships.c.group_id)


def _pair(membership: Membership) -> tuple[str, str]:
    return membership.device_id, membership.group_id
