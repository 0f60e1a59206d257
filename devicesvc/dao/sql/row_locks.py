"""How PostgreSQL runs changes at the same time, and yet all are as if they ran one after another.

What a change reads by id it locks (SELECT ... FOR UPDATE), so that nobody else changes that before the change has
ended; a membership is locked by its device and its group. Two kinds of reading lock no row: a list by a condition, and
an id that does not exist. All changes hold one advisory lock, shared; a change that depends on such a reading is run
again, alone: it holds that lock exclusively. So is one that would have to wait for a row out of order, or that the
database has taken back because of another: so it does not meet that again.

https://www.postgresql.org/docs/current/explicit-locking.html
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, literal_column, select

from devicesvc.dao.sql.pages import CHUNK
from devicesvc.dao.sql.reads import InTransaction
from devicesvc.dao.sql.statements import Statements

# How a change begins. It locks the number that stands for all changes, and, before it takes its own number, one that
# tells which was taken last: so its own is greater than that.
_LOCK = 0x646576696365  # "device"; any number that no other program locks in this database
_RUNS = 0x6876 << 48  # to which the number that was taken last is added
_TAKEN = "SELECT last_value + is_called::int - 1 FROM changes"
_TAKE = f"pg_advisory_xact_lock_shared({_RUNS} + ({_TAKEN})), nextval('changes')"
TOGETHER = f"SELECT pg_advisory_xact_lock_shared({_LOCK}), {_TAKE}"
ALONE = f"SELECT pg_advisory_xact_lock({_LOCK}), {_TAKE}"

# Nobody is within a change while this is held. So a change that is not seen then counts itself later.
NOBODY_CHANGES = f"SELECT pg_advisory_xact_lock({_LOCK})"
COUNTED = "SELECT last_value + is_called::int FROM changes"

_RUNNING = f"""
SELECT min((classid::bigint << 32 | objid::bigint) - {_RUNS}) FROM pg_locks
WHERE locktype = 'advisory' AND classid::bigint >> 16 = {_RUNS >> 48}
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def settled(connection: Connection) -> int | None:
    """The number up to which all changes have ended: a change with a lesser number may be committed after one with a
    greater. What was committed up to there, the next statement sees. None if a standby is asked, which cannot tell.
    connection: on which each statement is a transaction."""
    if connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar():
        return None
    taken = int(connection.exec_driver_sql(_TAKEN).scalar_one())  # before: who takes one later takes a greater one
    running = connection.exec_driver_sql(_RUNNING).scalar()
    return taken if running is None else min(taken, int(running))


class NotAlone(Exception):
    """Only a change that is alone can keep what this one has read as it is."""


class RowLocks(InTransaction):
    """Reads and changes in the transaction of a change that is not alone."""

    def __init__(self, connection: Connection, statements: Statements) -> None:
        super().__init__(connection, statements)
        # Ids, by table: those that are locked, and those that were looked for and neither found nor added since.
        self._held: defaultdict[str, set[str]] = defaultdict(set)
        self._absent: defaultdict[str, set[str]] = defaultdict(set)
        self._last = "", ""  # the table and the id of the last one that is locked, in the order of both

    def check(self, *, is_kept: bool) -> None:
        """Raises NotAlone if something that the change has missed may exist when it ends.

        If nothing of it is kept, one look tells: what it has missed is still missing, and all else that it has read is
        locked, so all of it was true at the moment of this look.
        """
        if any(self._absent.values()) and (is_kept or self._is_there_now()):
            raise NotAlone

    def _is_there_now(self) -> bool:
        query = " OR ".join(f"EXISTS (SELECT FROM {table} WHERE id = ANY(%s))" for table in self._absent)
        [(is_there,)] = self._statements.do(self._raw, f"SELECT {query}", [list(ids) for ids in self._absent.values()])
        return bool(is_there)

    def hold(self, table: Table, ids: Iterable[str]) -> Collection[str]:
        wanted = list(dict.fromkeys(ids))
        held = self._held[table.name]
        new = sorted({*wanted} - held)
        query = f"SELECT id FROM {table.name} WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
        if new and not self._may_wait(table, new[0]):
            query += " NOWAIT"
        for start in range(0, len(new), CHUNK):
            chunk = new[start : start + CHUNK]
            self._note(table, chunk, [row[0] for row in self._statements.do(self._raw, query, (chunk,))])
        return [id for id in wanted if id in held]

    def rows_of_one(self, table: Table, query: Select[Any], id: str) -> Sequence[Any]:
        if id in self._held[table.name]:
            return self.rows(query, {"id": id})
        found = self.rows(_locking(query, table, not self._may_wait(table, id)), {"id": id})
        self._note(table, [id], [id] if found else [])
        if not found:
            return ()
        [(*row, is_whole)] = found
        return [row] if is_whole else self.rows(query, {"id": id})

    def hold_found(self, table: Table, query: Select[Any]) -> None:
        self.hold(table, self._connection.scalars(query))

    def hold_all(self) -> None:
        raise NotAlone

    def made(self, table: Table, ids: Iterable[str]) -> None:
        added = {*ids}
        self._absent[table.name] -= added
        self._lock(table, added)

    def _note(self, table: Table, wanted: Collection[str], found: Collection[str]) -> None:
        """Remember what was looked for and found. Raises NotAlone if it was missed before: another has added it."""
        absent = self._absent[table.name]
        if not absent.isdisjoint(found):
            raise NotAlone
        self._lock(table, found)
        absent.update({*wanted}.difference(found))

    def _lock(self, table: Table, ids: Collection[str]) -> None:
        self._held[table.name].update(ids)
        self._last = max([self._last, *((table.name, id) for id in ids)])

    def _may_wait(self, table: Table, id: str) -> bool:
        """Whether to wait if another change has this item. Changes wait only in the order of tables and ids: so no two
        wait for each other. Out of order, the change fails at once, and runs again, alone."""
        return (table.name, id) > self._last


@lru_cache
def _locking(query: Select[Any], table: Table, nowait: bool) -> Select[Any]:
    """The query, which locks the row of the table, or fails if another change has it and `nowait` says so. If it has
    waited for another change, that row is as the other left it, but all rows of other tables are as they were before:
    the last column says whether it has not waited."""
    before = table.alias("before")
    version: ColumnElement[str] = literal_column(f"{table.name}.xmin")
    seen = select(literal_column("before.xmin")).where(before.c.id == table.c.id).scalar_subquery()
    return query.add_columns((version == seen).label("is_whole")).with_for_update(of=table, nowait=nowait)
