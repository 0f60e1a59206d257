"""The registry in a PostgreSQL database, in which changes run at the same time: row_locks.py says how."""

import random
from collections.abc import Callable
from time import monotonic, perf_counter, sleep
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from devicesvc.dao.base import T, Transaction
from devicesvc.dao.sql import store
from devicesvc.dao.sql.deadline import Connection
from devicesvc.dao.sql.reads import InTransaction
from devicesvc.dao.sql.row_locks import ALONE, TOGETHER, NotAlone, RowLocks
from devicesvc.dao.sql.store import COUNT_A_CHANGE, SqlStore, SqlTransaction, TryAgain

MARGIN = 3  # seconds after which a server that should have given up a statement is given up
LOST_SECONDS = 20  # after which a server that says nothing at all is given up

# Two changes have got in each other's way: one is taken back, and may be tried again.
_RACES = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "23505",  # unique_violation: another has added this id or name just now
    "23503",  # foreign_key_violation: another has deleted this device or group just now
}
# The server is not the one that changes things, or not yet: it is starting, stopping, or a standby now.
_NOT_NOW = {"25006", "57P01", "57P02", "57P03"}

FIRST_PAUSE = 0.01  # seconds before a second try; it doubles with each
LONGEST_PAUSE = 0.5


class PostgresqlStore(SqlStore):
    """A registry in a PostgreSQL database."""

    WRITERS = 8
    _IS_TRIED = False  # a change is tried again
    _BEGIN = f"BEGIN; {ALONE}; {COUNT_A_CHANGE}"
    _BYTES = text("pg_database_size(current_database())")
    _READING = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def _write(self, change: Callable[[Transaction], T]) -> T:
        end, pause, is_alone = monotonic() + store.PATIENCE, FIRST_PAUSE, False
        while True:
            try:
                return self._commit(change, is_alone)
            except NotAlone:
                is_alone = True
            except TryAgain:
                if monotonic() + pause > end:
                    raise
                sleep(random.uniform(0, pause))
                pause = min(2 * pause, LONGEST_PAUSE)

    def _commit(self, change: Callable[[Transaction], T], is_alone: bool) -> T:
        begin = perf_counter()
        with self._changing(f"BEGIN; {ALONE if is_alone else TOGETHER}") as connection:
            source = (InTransaction if is_alone else RowLocks)(connection, self._statements)
            tx = SqlTransaction(source)
            result = change(tx)
            if not tx.change_set and not tx.is_proof:
                connection.rollback()
            elif isinstance(source, RowLocks):
                source.check()
        if tx.change_set:
            self.observer.committed(1, perf_counter() - begin)
        return result

    def _may_pass(self, error: DBAPIError) -> bool:
        state = getattr(error.orig, "sqlstate", None)
        never_connected = state is None and isinstance(error, OperationalError)
        if is_lost := error.connection_invalidated or never_connected or state in _NOT_NOW:
            self._engine.dispose()  # all that rest are lost too
        return is_lost or state in _RACES

    def _make_engine(self, answer: float, **pool: Any) -> Engine:
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
        engine = create_engine(
            self._url.sql,
            isolation_level="AUTOCOMMIT",
            **pool,
            connect_args={
                **{name: value for name, value in settings.items() if name not in given},
                "client_encoding": "utf8",
                "options": f"-c statement_timeout={answer}s -c lock_timeout={patience}s",
            },
        )

        @event.listens_for(engine, "do_connect")
        def connect(_dialect: object, _record: object, words: Any, options: dict[str, Any]) -> Connection:
            connection = Connection.connect(*words, **options)
            connection.deadline = answer + MARGIN
            return connection

        return engine
