"""The registry in a PostgreSQL database, in which changes run at the same time.

What a change reads by id it locks (SELECT ... FOR UPDATE), so that nobody else changes that before the change has
ended; a membership is locked by its device and its group. This is two-phase locking: all changes are as if they ran one
after another. Two kinds of reading lock no row: a list by a condition, and an id that does not exist. All changes hold
one advisory lock, shared; a change with such a reading is run again, alone: it holds that lock exclusively.

https://www.postgresql.org/docs/current/explicit-locking.html
"""

import random
from collections.abc import Callable, Collection, Iterable
from time import monotonic, perf_counter, sleep
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, create_engine, text
from sqlalchemy.exc import DBAPIError

from devicesvc.dao.base import T, Transaction
from devicesvc.dao.sql import store
from devicesvc.dao.sql.reads import InTransaction
from devicesvc.dao.sql.store import SqlStore, SqlTransaction, TryAgain
from devicesvc.dao.sql.tables import CHUNK

STATEMENT_SECONDS = 15  # that one statement may take
LOST_SECONDS = 20  # after which a server that says nothing at all is given up

# How a change begins: it locks the number that stands for all changes, and counts itself.
_LOCK = 0x646576696365  # "device"; any number that no other program locks in this database
TOGETHER = f"SELECT pg_advisory_xact_lock_shared({_LOCK}), nextval('changes')"
ALONE = f"SELECT pg_advisory_xact_lock({_LOCK}), nextval('changes')"

# Nobody is within a change when these are counted, so each that is not seen then counts later.
NOBODY_CHANGES = f"SELECT pg_advisory_xact_lock({_LOCK})"
COUNTED = "SELECT last_value + is_called::int FROM changes"

# Two changes have got in each other's way: one is taken back, and may be tried again.
_RACES = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "23505",  # unique_violation: another has added this id or name just now
    "23503",  # foreign_key_violation: another has deleted this device or group just now
}
FIRST_PAUSE = 0.01  # seconds before a second try; it doubles with each
LONGEST_PAUSE = 0.5


class _NotAlone(Exception):
    """What a change has read can only be kept as it is by a change that is alone."""


class RowLocks(InTransaction):
    """Reads in the transaction of a change that is not alone."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._held: dict[str, set[str]] = {}  # ids, by table
        self._absent: set[tuple[str, str]] = set()  # tables and ids that were looked for, and not found or added

    @property
    def has_missed(self) -> bool:
        """Whether something that the change has looked for may exist now."""
        return bool(self._absent)

    def hold(self, table: Table, ids: Iterable[str]) -> Collection[str]:
        wanted = list(dict.fromkeys(ids))
        held = self._held.setdefault(table.name, set())
        new = sorted({*wanted} - held)
        for start in range(0, len(new), CHUNK):
            # In the order of ids: two changes that lock the same ones do not wait for each other.
            query = f"SELECT id FROM {table.name} WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
            found = self._connection.exec_driver_sql(query, (new[start : start + CHUNK],))
            held.update(row[0] for row in found)
        self._absent.update((table.name, id) for id in new if id not in held)
        return [id for id in wanted if id in held]

    def hold_found(self, table: Table, query: Select[Any]) -> None:
        self.hold(table, self._connection.scalars(query))

    def hold_all(self) -> None:
        raise _NotAlone

    def made(self, table: Table, ids: Iterable[str]) -> None:
        self._absent.difference_update((table.name, id) for id in ids)


class PostgresqlStore(SqlStore):
    """A registry in a PostgreSQL database."""

    WRITERS = 8
    _BYTES = text("pg_database_size(current_database())")
    _READING = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def _write(self, change: Callable[[Transaction], T]) -> T:
        end, pause, is_alone = monotonic() + store.PATIENCE, FIRST_PAUSE, False
        while True:
            try:
                return self._commit(change, is_alone)
            except _NotAlone:
                is_alone = True
            except TryAgain:
                if monotonic() + pause > end:
                    raise
                sleep(random.uniform(0, pause))
                pause = min(2 * pause, LONGEST_PAUSE)

    def _commit(self, change: Callable[[Transaction], T], is_alone: bool) -> T:
        begin = perf_counter()
        with self._changing() as connection:
            connection.exec_driver_sql(ALONE if is_alone else TOGETHER)
            source = InTransaction(connection) if is_alone else RowLocks(connection)
            tx = SqlTransaction(source)
            result = change(tx)
            if not tx.change_set and not tx.is_proof:
                connection.rollback()
            elif isinstance(source, RowLocks) and source.has_missed:
                raise _NotAlone
        if tx.change_set:
            self.observer.committed(1, perf_counter() - begin)
        return result

    def _is_race(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) in _RACES

    def _make_engine(self, autocommit: bool = False, **pool: Any) -> Engine:
        patience = store.PATIENCE
        settings: dict[str, Any] = {
            "connect_timeout": patience,
            # A server that is gone without a word is noticed: in an answer that is awaited, and between two calls.
            "tcp_user_timeout": LOST_SECONDS * 1000,
            "keepalives_idle": patience,
            "keepalives_interval": patience,
            "keepalives_count": LOST_SECONDS // patience - 1,
        }
        given = self._url.sql.query
        return create_engine(
            self._url.sql,
            isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
            **pool,
            connect_args={
                **{name: value for name, value in settings.items() if name not in given},
                "client_encoding": "utf8",
                "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={patience}s",
            },
        )
