"""Databases to write to: a temporary SQLite file, or one transaction of a server."""

import os
import sqlite3
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self

from sqlalchemy import URL

from devicesvc.columns import ENTITIES
from devicesvc.dao import durable_file, lock_file
from devicesvc.dao.sql.row_locks import ALONE
from devicesvc.dao.sql.store import COUNT_A_CHANGE, reason_of
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable
from devicesvc.transfer.csv_source import PATIENCE
from devicesvc.transfer.history import HISTORY
from devicesvc.transfer.postgresql import connected
from devicesvc.transfer.source import Chunk
from devicesvc.transfer.sql_source import columns, select
from devicesvc.transfer.target import Target, exists, refuse_no_place

ROWS = 5_000  # of a database that are read back together
CACHE = 32  # MB that SQLite may take while a database is filled

_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"  # not of constraints
_TABLES = (*ENTITIES, HISTORY)
_COLUMNS = {entity.table: columns(entity) for entity in _TABLES}
_NAMED = {entity.table: entity.named for entity in _TABLES}
_INSERT = {
    entity.table: f"INSERT INTO {entity.table} ({_COLUMNS[entity.table]}) VALUES ({', '.join('?' * len(entity.names))})"
    for entity in _TABLES
}


class SqliteTarget(Target):
    """An SQLite file. It is made as a temporary database in the same folder."""

    def __init__(self, url: StoreUrl, replace: bool) -> None:
        super().__init__()
        self.label = url.redacted
        self._url = url
        self._path = url.path.resolve()
        self._temporary = self._path.with_name(f".{self._path.name}.tmp")
        self._replace = replace
        self._published = False
        self._end = 1  # the last change in it
        refuse_no_place(self._path)

    def refuse_existing(self) -> None:
        if self._path.exists() and not self._replace:
            raise exists(self._path)

    def paths(self) -> list[Path]:
        return [self._path, *_journals(self._path)]

    def __enter__(self) -> "SqliteTarget":
        with self._errors():
            self._file = self._open.enter_context(self._take_temporary())
        self._open.callback(self._sweep)
        if self._path.exists():
            with suppress(sqlite3.Error), closing(sqlite3.connect(self._path, timeout=PATIENCE)) as old:
                self.last_change = _last_change(old)
        return self

    def _take_temporary(self) -> BinaryIO:
        """Make the temporary database anew, unless another process is at it. A lock tells: it ends with its process."""
        file = os.fdopen(os.open(self._temporary, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        if not self._lock(file.fileno()):
            file.close()
            raise StoreUnavailable(f"{self._path} is being made by another migration: wait until it has ended.")
        for journal in _journals(self._temporary):
            journal.unlink(missing_ok=True)
        file.truncate(0)
        durable_file.copy_mode_and_owner(self._path, file.fileno())
        return file

    def _lock(self, handle: int) -> bool:
        try:
            # Another migration, which has ended just now, may have put what was opened in its place: it stays.
            return lock_file.try_lock(handle) and os.path.samestat(os.fstat(handle), os.stat(self._temporary))
        except FileNotFoundError:
            return False

    def _sweep(self) -> None:
        if not self._published:
            for path in (self._temporary, *_journals(self._temporary)):
                path.unlink(missing_ok=True)

    def fill(self, chunks: Iterable[Chunk]) -> None:
        url = URL.create("sqlite", database=str(self._temporary))  # it escapes what a URL must not hold
        self._url.schema().upgrade(url.render_as_string(hide_password=False))
        with self._errors(), closing(sqlite3.connect(self._temporary, isolation_level=None)) as to:
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "foreign_keys = OFF"):
                to.execute(f"PRAGMA {pragma}")
            to.execute(f"PRAGMA cache_size = -{CACHE * 1024}")
            to.execute("BEGIN")
            indexes = to.execute(_INDEXES).fetchall()
            for name, _ in indexes:
                to.execute(f'DROP INDEX "{name}"')
            for table, rows in chunks:
                to.executemany(_INSERT[table], map(tuple, rows))  # sqlite3 takes longer for named ones
                self._end = rows[-1].number if table == HISTORY.table and rows else self._end
            for _, sql in indexes:
                to.execute(sql)
            to.execute("UPDATE registry SET changes = ?", [self._end])
            to.execute("COMMIT")
        with self._errors():
            durable_file.sync_file(self._file)

    def written(self) -> Iterator[Chunk]:
        with self._errors(), closing(sqlite3.connect(f"{self._temporary.as_uri()}?mode=ro", uri=True)) as made:
            for table, columns in _COLUMNS.items():
                yield from _chunks(table, made.execute(f"SELECT {columns} FROM {table}"))

    def publish(self) -> None:
        self.refuse_existing()
        with self._errors(), self._nobody_writes() as last_change:
            if last_change >= self._end:  # a service has gone on
                self._renumber(last_change + 1)
            self._temporary.replace(self._path)
            self._published = True
            durable_file.sync_folder(self._path.parent)

    def _renumber(self, number: int) -> None:
        """Give the last change this number."""
        with closing(sqlite3.connect(self._temporary, isolation_level=None)) as made:
            made.execute("PRAGMA journal_mode = OFF")
            made.execute("BEGIN")
            made.execute("UPDATE history SET number = ? WHERE number = ?", [number, self._end])
            made.execute("UPDATE registry SET changes = ?", [number])
            made.execute("COMMIT")
        durable_file.sync_file(self._file)

    @contextmanager
    def _nobody_writes(self) -> Iterator[int]:
        """Hold the database that is replaced, and give the number of its last change. That also takes back what a crash
        may have left half done in it: SQLite would play a journal left beside it into the new one."""
        last_change = 0
        with ExitStack() as holding:
            if self._path.exists():
                old = holding.enter_context(
                    closing(sqlite3.connect(self._path, isolation_level=None, timeout=PATIENCE))
                )
                try:
                    old.execute("PRAGMA journal_mode = DELETE")
                    old.execute("BEGIN EXCLUSIVE")
                except sqlite3.OperationalError as error:
                    raise StoreUnavailable(f"{self._path} is in use: {error}. Nothing was changed.") from error
                except sqlite3.DatabaseError:
                    pass  # not a database: nobody is at it
                with suppress(sqlite3.Error):  # or not a registry
                    last_change = _last_change(old)
            for journal in _journals(self._path):
                journal.unlink(missing_ok=True)
            yield last_change

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            after = "It was replaced, but may not outlive a power cut" if self._published else "Nothing was changed"
            raise StoreUnavailable(f"{self._path} cannot be written: {reason}. {after}.") from error


def _last_change(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT changes FROM registry").fetchone()[0])


def _chunks(table: str, cursor: Any) -> Iterator[Chunk]:
    while rows := cursor.fetchmany(ROWS):
        yield Chunk(table, list(map(_NAMED[table], rows)))


def _journals(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}-{what}") for what in ("journal", "wal", "shm")]


class ServerTarget(Target):
    """The tables of a database on a server, filled in one transaction."""

    def __init__(self, url: StoreUrl, replace: bool) -> None:
        super().__init__()
        self.label = url.redacted
        self._url = url
        self._replace = replace
        url.schema().must_be_current(url.text)

    def paths(self) -> list[Path]:
        return []

    _BEGIN: ClassVar[Sequence[str]] = (COUNT_A_CHANGE,)  # others wait
    _LAST_CHANGE: ClassVar[str] = "SELECT changes FROM registry"
    _SET_LAST_CHANGE: ClassVar[str] = "UPDATE registry SET changes = %s"

    @abstractmethod
    def _connect(self) -> AbstractContextManager[Any]:
        """A connection in a transaction. What somebody else has locked is waited for as long as PATIENCE."""

    @abstractmethod
    def _insert(self, table: str, rows: Iterable[Any]) -> None:
        """Add these rows."""

    @abstractmethod
    def _rows(self, entity: Any) -> Iterator[Chunk]:
        """All rows of a table."""

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.callback(self._open.close)
            self._connection = self._open.enter_context(self._connect())
            self._begin()
            opening.pop_all()  # it stays open, because nothing has failed
        return self

    def _begin(self) -> None:
        """Have others wait, and see that the registry is empty."""
        with self._errors(), self._connection.cursor() as cursor:
            for statement in self._BEGIN:
                cursor.execute(statement)
            cursor.execute(self._LAST_CHANGE)
            self.last_change = cursor.fetchone()[0]
            for table in ("devices", "groups", "history"):
                if self._replace:
                    break
                cursor.execute(f'SELECT EXISTS (SELECT 1 FROM "{table}")')
                if cursor.fetchone()[0]:
                    raise StoreUnavailable(
                        f"The registry in {self.label} is not empty: name another target, or add --replace to put"
                        " this in its place."
                    )
            if self._replace:
                # Not TRUNCATE: those who read meanwhile would wait for it, and then find nothing.
                for table in reversed(_COLUMNS):
                    cursor.execute(f'DELETE FROM "{table}"')

    def fill(self, chunks: Iterable[Chunk]) -> None:
        with self._errors():
            end = self.last_change
            for table, rows in chunks:
                if rows:
                    self._insert(table, rows)
                if rows and table == HISTORY.table:
                    end = rows[-1].number
            with self._connection.cursor() as cursor:
                cursor.execute(self._SET_LAST_CHANGE, [end])

    def written(self) -> Iterator[Chunk]:
        with self._errors():
            for entity in _TABLES:
                yield from self._rows(entity)

    def publish(self) -> None:
        with self._errors("The outcome is unknown: run it again with --replace."):
            self._connection.commit()

    @contextmanager
    def _errors(self, consequence: str = "Nothing was changed.") -> Iterator[None]:
        try:
            yield
        except self._connection.Error as error:
            raise StoreUnavailable(f"{self.label} cannot be written: {reason_of(error)}. {consequence}") from error


class PostgresTarget(ServerTarget):
    """The tables of a PostgreSQL database."""

    _BEGIN = (ALONE, COUNT_A_CHANGE)
    _LAST_CHANGE = "SELECT currval('changes')"
    _SET_LAST_CHANGE = "SELECT setval('changes', %s)"

    def _connect(self) -> AbstractContextManager[Any]:
        return connected(self._url, read_only=False)

    def fill(self, chunks: Iterable[Chunk]) -> None:
        super().fill(chunks)
        # Until autovacuum comes, the server would know nothing of the rows, and read a whole table for one page.
        with self._errors(), self._connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {', '.join(_COLUMNS)}")

    def _insert(self, table: str, rows: Iterable[Any]) -> None:
        copying = f"COPY {table} ({_COLUMNS[table]}) FROM STDIN"
        with self._connection.cursor() as cursor, cursor.copy(copying) as copy:
            for row in rows:
                copy.write_row(row)

    def _rows(self, entity: Any) -> Iterator[Chunk]:
        with self._connection.cursor(name=f"verify_{entity.table}") as cursor:
            cursor.execute(select(entity))
            yield from _chunks(entity.table, cursor)
