"""MariaDB to read from, in one snapshot, and to write to, in one transaction."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool
from sqlalchemy.exc import SQLAlchemyError

from devicesvc.columns import ENTITIES
from devicesvc.dao.sql.mariadb import make_engine
from devicesvc.dao.sql.store import reason_of
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable
from devicesvc.transfer.csv_source import PATIENCE
from devicesvc.transfer.history import HISTORY
from devicesvc.transfer.source import Chunk
from devicesvc.transfer.sql_source import KEYS, SqlSource, columns, quoted, select
from devicesvc.transfer.sql_target import ServerTarget

ROWS = 5_000  # that are read together

_INSERT = {
    entity.table: f'INSERT INTO "{entity.table}" ({columns(entity)}) VALUES ({", ".join(["%s"] * len(entity.names))})'
    for entity in (*ENTITIES, HISTORY)
}
_SNAPSHOT = (
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
_CHANGE = ("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION")


@contextmanager
def connected(url: StoreUrl, *, read_only: bool) -> Iterator[Any]:
    """A PyMySQL connection in a transaction, which is rolled back at the end if it was not committed. read_only: it
    reads one snapshot. Raises StoreUnavailable."""
    engine = make_engine(url, patience=int(PATIENCE), poolclass=NullPool)
    try:
        raw = engine.raw_connection()
    except SQLAlchemyError as error:
        reason = reason_of(getattr(error, "orig", error))
        raise StoreUnavailable(f"{url.redacted} cannot be reached: {reason}.") from error
    connection: Any = raw.driver_connection
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')")  # MySQL reserves "groups"
            for statement in _SNAPSHOT if read_only else _CHANGE:
                cursor.execute(statement)
        yield connection
    finally:
        with suppress(Exception):
            connection.rollback()
        raw.invalidate()
        engine.dispose()


def _by_key(connection: Any, entity: Any) -> Iterator[Sequence[tuple[Any, ...]]]:
    """All rows of a table by its key, some together: each time those after the last one. No result stays open, because
    a connection can have only one, which the server closes if it is not taken in time."""
    key = KEYS[entity.table]
    places = [entity.names.index(name) for name in key]
    query = f"{select(entity)} {{}} ORDER BY {quoted(key)} LIMIT {ROWS}"
    with connection.cursor() as cursor:
        cursor.execute(query.format(""))
        while rows := cursor.fetchall():
            yield rows
            after = [rows[-1][place] for place in places]
            cursor.execute(query.format(f"WHERE {_after(key)}"), [*after[:-1], *after])


def _after(key: Sequence[str]) -> str:
    """Whether a row comes after another one, whose key is given; of two columns the first is given twice."""
    *first, last = key
    return "".join(f'"{name}" > %s OR "{name}" = %s AND ' for name in first) + f'"{last}" > %s'


class MariadbSource(SqlSource):
    """A MariaDB database, in a transaction that reads one snapshot."""

    def _connect(self) -> Any:
        return self._open.enter_context(connected(self._url, read_only=True))

    def _rows(self, entity: Any) -> Iterable[tuple[Any, ...]]:
        return chain.from_iterable(_by_key(self._connection, entity))

    def _changes_now(self) -> int:
        with connected(self._url, read_only=True) as now, now.cursor() as cursor:
            cursor.execute("SELECT changes FROM registry")
            return int(cursor.fetchone()[0])

    def paths(self) -> list[Path]:
        return []


class MariadbTarget(ServerTarget):
    """The tables of a MariaDB database."""

    def _connect(self) -> AbstractContextManager[Any]:
        return connected(self._url, read_only=False)

    def _insert(self, table: str, rows: Iterable[Any]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_INSERT[table], list(map(tuple, rows)))  # in statements of many rows

    def _rows(self, entity: Any) -> Iterator[Chunk]:
        for rows in _by_key(self._connection, entity):
            yield Chunk(entity.table, list(map(entity.named, rows)))
