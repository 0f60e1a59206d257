"""The registry in a PostgreSQL database, in which changes run at the same time: row_locks.py says how."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import monotonic, perf_counter, sleep
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from devicesvc.dao.base import T, Transaction
from devicesvc.dao.sql import store
from devicesvc.dao.sql.pg_connection import is_lost
from devicesvc.dao.sql.reads import InTransaction, Reads
from devicesvc.dao.sql.row_locks import ALONE, TOGETHER, NotAlone, RowLocks, settled
from devicesvc.dao.sql.servers import Servers
from devicesvc.dao.sql.standby import ClusterReads
from devicesvc.dao.sql.store import COUNT_A_CHANGE, SqlStore, SqlTransaction, TryAgain
from devicesvc.errors import StoreUnavailable

FIRST_ANSWER = 1  # seconds that a read waits for the primary of a cluster before it looks for a standby

# Whatever the server is set to: a statement must see what was committed while the one before it waited for a lock.
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"

# Two changes have got in each other's way: one is taken back, and is tried again, alone.
_RACES = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available: another has a row, or all of them
    "23505",  # unique_violation: another has added this id or name just now
    "23503",  # foreign_key_violation: another has deleted this device or group just now
}
MAX_RETRY = 300  # seconds
FIRST_PAUSE = 0.01  # seconds before a second try; it doubles with each
LONGEST_PAUSE = 0.5


class PostgresqlStore(SqlStore):
    """A registry in a PostgreSQL database."""

    WRITERS = 8
    _IS_TRIED = False  # a change is tried again
    _BYTES = text("pg_database_size(current_database())")
    _HISTORY_BYTES = text("pg_total_relation_size('history')")
    _READING = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def _prepare(self) -> None:
        given = self._url.option("retry_seconds", str(store.PATIENCE))
        if not given.isdecimal() or int(given) > MAX_RETRY:
            raise StoreUnavailable(f"{self._redacted}: retry_seconds must be from 0 to {MAX_RETRY}, not {given!r}.")
        self._retry_seconds = int(given)  # for which a change is tried again
        self._servers = Servers(self._url, store.PATIENCE)

    def _write(self, change: Callable[[Transaction], T]) -> T:
        end, pause, is_alone = monotonic() + self._retry_seconds, FIRST_PAUSE, False
        while True:
            try:
                return self._commit(change, is_alone)
            except NotAlone:
                is_alone = True
            except TryAgain as error:
                if monotonic() + pause > end:
                    raise
                is_alone = is_alone or _state(error.__cause__) in _RACES
                sleep(random.uniform(0, pause))
                pause = min(2 * pause, LONGEST_PAUSE)

    def _commit(self, change: Callable[[Transaction], T], is_alone: bool) -> T:
        begin = perf_counter()
        with self._changing(f"{BEGIN}; {ALONE if is_alone else TOGETHER}") as (connection, begun):
            source = (InTransaction if is_alone else RowLocks)(connection, self._statements)
            tx = SqlTransaction(source)
            try:
                result = change(tx)
            except (NotAlone, SQLAlchemyError):
                raise
            except Exception:  # it is the outcome, if what the change has read was right
                source.check(is_kept=False)
                raise
            is_kept = bool(tx.change_set) or tx.is_proof
            source.check(is_kept=is_kept)
            if tx.change_set:
                tx.keep_history(self._number(connection, begun))
            if not is_kept:
                connection.rollback()
        if tx.change_set:
            self.observer.committed(1, perf_counter() - begin)
        return result

    def _begin(self, changes: int = 1) -> str:  # noqa: ARG002 - each change has a transaction of its own
        return f"{BEGIN}; {ALONE}; {COUNT_A_CHANGE}"

    def _number(self, _connection: Connection, begun: Sequence[Any]) -> int:
        return int(begun[0][-1])

    @contextmanager
    def _settled(self) -> Iterator[tuple[Connection, int]]:
        with self._understood("Nothing was read."), self._snapshots.connect() as connection:
            number = settled(connection)
            if number is None:
                raise StoreUnavailable(f"{self._redacted} is a standby, which has no newest change. Nothing was read.")
            yield connection, number

    def _may_pass(self, error: DBAPIError) -> bool:
        if lost := is_lost(error):
            self._engine.dispose()  # all that rest are lost too
        return lost or _state(error) in _RACES

    def _make_engine(self, answer: float, **pool: Any) -> Engine:
        return self._servers.engine(answer, **pool)

    def _is_current(self, info: dict[Any, Any]) -> bool:
        return self._servers.is_current(info)

    def _make_reads(self, single: Engine, snapshots: Engine, kind: Callable[..., Reads] = Reads) -> Reads:
        if len(self._servers.hosts) == 1:
            return super()._make_reads(single, snapshots, kind)
        kind = partial(ClusterReads, hosts=self._servers.hosts, reads_at=self._reads_at)
        return super()._make_reads(self._one_by_one(FIRST_ANSWER), snapshots, kind)

    def _reads_at(self, host: str) -> Reads:
        """The reads at one of several servers."""
        engine = self._one_by_one(host=host)
        return super()._make_reads(engine, engine)

    def _one_by_one(self, deadline: float | None = None, host: str = "") -> Engine:
        pool = {"poolclass": NullPool, "pool_reset_on_return": None}
        return self._servers.engine(store.READ_SECONDS, deadline, host, **pool)


def _state(error: BaseException | None) -> str | None:
    """The SQLSTATE of an error of SQLAlchemy, if the server has told it."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)
