"""The tables of a SQL store, to change in a transaction, and the memberships, to read too."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, ClassVar, Generic

from sqlalchemy import Insert, Select, Table, Update, bindparam, delete, insert, select, tuple_, update

from devicesvc.columns import MEMBERSHIP, nic_rows
from devicesvc.dao.base import Filter, Item, MembershipReader, MembershipWriter, Writer, noun
from devicesvc.dao.history import ChangeSet
from devicesvc.dao.sql import schema
from devicesvc.dao.sql.items import SqlDevices, SqlGroups
from devicesvc.dao.sql.pages import SqlReader, chunks, storable, text_parameter
from devicesvc.dao.sql.reads import InTransaction, Source
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership


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

    def _delete(self, ids: Sequence[str]) -> list[Membership]:
        gone: list[Membership] = []
        with self._source.connect() as connection:  # the foreign keys take the memberships along
            for chunk in chunks(ids):
                self._source.hold_found(*self._members(chunk))
                of_these = schema.memberships.c[f"{noun(self.item)}_id"].in_(chunk)
                gone += map(MEMBERSHIP.from_row, connection.execute(select(schema.memberships).where(of_these)))
                connection.execute(delete(self._table).where(self._table.c.id.in_(chunk)))
        return gone

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
            for chunk in chunks(device.id for device in rewritten):
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
        if not all(map(storable, values.values())):
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
                for chunk in chunks(pairs)
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
            for chunk in chunks(map(_pair, memberships)):
                connection.execute(delete(schema.memberships).where(_PAIR.in_(chunk)))


@cache
def _of(*names: str) -> Select[Any]:
    """The memberships of those that the parameters name."""
    columns = schema.memberships.c
    wanted = [columns[name] == text_parameter(name) for name in names]
    return select(columns.device_id, columns.group_id).where(*wanted).order_by(columns.device_id, columns.group_id)


_PAIR = tuple_(schema.memberships.c.device_id, schema.memberships.c.group_id)


def _pair(membership: Membership) -> tuple[str, str]:
    return membership.device_id, membership.group_id
