"""How PostgreSQL runs changes at the same time, and yet all are as if they ran one after another.

What a change reads by id it locks (SELECT ... FOR UPDATE), so that nobody else changes that before the change has
ended; a membership is locked by its device and its group. Two kinds of reading lock no row: a list by a condition, and
an id that does not exist. All changes hold one advisory lock, shared; a change that depends on such a reading is run
again, alone: it holds that lock exclusively.

https://www.postgresql.org/docs/current/explicit-locking.html
"""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, literal_column, select

from devicesvc.dao.sql.reads import InTransaction
from devicesvc.dao.sql.statements import Statements
from devicesvc.dao.sql.tables import CHUNK

# How a change begins: it locks the number that stands for all changes, and counts itself.
_LOCK = 0x646576696365  # "device"; any number that no other program locks in this database
TOGETHER = f"SELECT pg_advisory_xact_lock_shared({_LOCK}), nextval('changes')"
ALONE = f"SELECT pg_advisory_xact_lock({_LOCK}), nextval('changes')"

# Nobody is within a change while this is held. So a change that is not seen then counts itself later.
NOBODY_CHANGES = f"SELECT pg_advisory_xact_lock({_LOCK})"
COUNTED = "SELECT last_value + is_called::int FROM changes"


class NotAlone(Exception):
    """Only a change that is alone can keep what this one has read as it is."""


class RowLocks(InTransaction):
    """Reads and changes in the transaction of a change that is not alone."""

    def __init__(self, connection: Connection, statements: Statements) -> None:
        super().__init__(connection, statements)
        self._held: dict[str, set[str]] = {}  # ids, by table
        self._absent: set[tuple[str, str]] = set()  # tables and ids that were looked for, and neither found nor added

    def check(self) -> None:
        """Raises NotAlone if something that the change has missed may exist now."""
        if self._absent:
            raise NotAlone

    def hold(self, table: Table, ids: Iterable[str]) -> Collection[str]:
        wanted = list(dict.fromkeys(ids))
        held = self._held.setdefault(table.name, set())
        new = sorted({*wanted} - held)
        for start in range(0, len(new), CHUNK):
            # In the order of ids: so two changes with the same ones do not lock each other out.
            query = f"SELECT id FROM {table.name} WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
            found = self._statements.do(self._raw, query, (new[start : start + CHUNK],))
            held.update(row[0] for row in found)
        self._absent.update((table.name, id) for id in new if id not in held)
        return [id for id in wanted if id in held]

    def rows_of_one(self, table: Table, query: Select[Any], id: str) -> Sequence[Any]:
        held = self._held.setdefault(table.name, set())
        if id in held:
            return self.rows(query, {"id": id})
        found = self.rows(_locking(query, table), {"id": id})
        if not found:
            self._absent.add((table.name, id))
            return ()
        held.add(id)
        [(*row, is_whole)] = found
        return [row] if is_whole else self.rows(query, {"id": id})

    def hold_found(self, table: Table, query: Select[Any]) -> None:
        self.hold(table, self._connection.scalars(query))

    def hold_all(self) -> None:
        raise NotAlone

    def made(self, table: Table, ids: Iterable[str]) -> None:
        self._absent.difference_update((table.name, id) for id in ids)


@lru_cache
def _locking(query: Select[Any], table: Table) -> Select[Any]:
    """The query, which locks the row of the table. If it has waited for another change, that row is as the other left
    it, but all rows of other tables are as they were before: the last column says whether it has not waited."""
    before = table.alias("before")
    version: ColumnElement[str] = literal_column(f"{table.name}.xmin")
    seen = select(literal_column("before.xmin")).where(before.c.id == table.c.id).scalar_subquery()
    return query.add_columns((version == seen).label("is_whole")).with_for_update(of=table)
