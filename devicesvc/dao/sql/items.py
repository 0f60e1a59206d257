"""The devices and the groups of a SQL store, to read."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Text,
    bindparam,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from devicesvc.columns import DEVICE, GROUP, stored_device, stored_devices, stored_group
from devicesvc.dao.base import Counts, DeviceReader
from devicesvc.dao.sql import schema
from devicesvc.dao.sql.pages import Condition, SqlReader, columns_by_field, storable, text_parameter
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter

FIRST_GROUP = "group_0"  # the parameter with the id of the first of the groups that a device must be in


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
    _fields = columns_by_field(DEVICE, schema.devices)

    def _wanted(self, where: DeviceFilter) -> Iterator[tuple[str, str]]:
        exact = ("id", "name", "type", "status", "sn", "mac", "ipv4", "software_version", "hardware_model")
        for name in (*exact, "model", "q"):
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
        value = text_parameter(parameter)
        if parameter in ("software_version", "hardware_model"):
            return columns[parameter] == value
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
        if by and all(map(storable, values.values())):
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
    _fields = columns_by_field(GROUP, schema.groups)

    def _wanted(self, where: GroupFilter) -> Iterator[tuple[str, str]]:
        for name in ("id", "name"):
            if (wanted := getattr(where, name)) is not None:
                yield name, wanted
        yield from ((f"device_{number}", id) for number, id in enumerate(where.device_ids))

    @classmethod
    def _condition(cls, parameter: str) -> Condition:
        memberships, value = schema.memberships.c, text_parameter(parameter)
        if parameter.startswith("device_"):
            return cls._table.c.id.in_(select(memberships.group_id).where(memberships.device_id == value))
        return cls._fields[parameter] == value

    def _item(self, row: Any) -> Group:
        return stored_group(row)
