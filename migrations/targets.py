"""Where a transfer writes to: each target is filled out of sight, read back, and only then put in its place."""

import fcntl
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

from sqlalchemy import URL

from devicesvc.dao import csv_format, csv_path, csv_store, database_url, durable_file
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device, Group, Hardware, Membership, Nic, Software

from . import shown as _shown
from . import upgrade as _upgrade
from .csv_source import PATIENCE, CsvSource
from .plain_lines import Batch
from .source import COLUMNS, Rows
from .sql_sources import must_be_current, postgres

ROWS = 5_000  # of a database that are read back together
CACHE = 32  # MB that SQLite may take while a database is filled


class Content(Protocol):
    """What a target is filled with, to be read in this order."""

    def devices(self) -> Iterator[Batch]: ...

    def groups(self) -> Iterator[Rows]: ...

    def memberships(self) -> Iterator[Rows]: ...


class Target(ABC):
    """A store to be made. shown: what to call it. published: whether it is in its place."""

    shown: str
    published = False

    def __init__(self) -> None:
        self._open = ExitStack()

    @abstractmethod
    def fill(self, content: Content) -> None:
        """Write all the content, where nobody sees it."""

    @abstractmethod
    def written(self) -> Iterator[tuple[str, Rows]]:
        """Read back what is there now: table after table, some rows at a time."""

    @abstractmethod
    def publish(self) -> None:
        """Put it in its place, durable."""

    @abstractmethod
    def paths(self) -> list[Path]:
        """The files that it will be in."""

    def refuse_existing(self) -> None:  # noqa: B027
        """Raises StoreUnavailable where there is something that may not be replaced."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def _exists(path: Path) -> StoreUnavailable:
    return StoreUnavailable(f"{path} is there already: name another target, or add --replace to put this in its place.")


class SqliteTarget(Target):
    """An SQLite file, made as a temporary database beside it."""

    def __init__(self, url: URL, replace: bool) -> None:
        super().__init__()
        self.shown = _shown(url.render_as_string(hide_password=False))
        self._path = Path(url.database or "").resolve()
        self._temporary = self._path.with_name(f".{self._path.name}.tmp")
        self._replace = replace
        if self._path.is_dir() or not self._path.parent.is_dir():
            words = "is a folder" if self._path.is_dir() else f"cannot be made: there is no folder {self._path.parent}"
            raise StoreUnavailable(f"{self._path} {words}.")

    def refuse_existing(self) -> None:
        if self._path.exists() and not self._replace:
            raise _exists(self._path)

    def paths(self) -> list[Path]:
        return [self._path]

    def __enter__(self) -> Self:
        with self._errors():
            self._file = self._take_temporary()
        self._open.callback(os.close, self._file)
        self._open.callback(self._sweep)
        return self

    def _take_temporary(self) -> int:
        """Make the temporary database anew, unless another process is at it. A lock tells: it ends with its process."""
        handle = os.open(self._temporary, os.O_RDWR | os.O_CREAT, 0o666)
        if not self._lock(handle):
            os.close(handle)
            raise StoreUnavailable(f"{self._path} is being made by another migration: wait until it has ended.")
        for journal in _journals(self._temporary):
            journal.unlink(missing_ok=True)
        os.ftruncate(handle, 0)
        if self._path.exists():
            old = self._path.stat()
            os.fchmod(handle, old.st_mode & 0o7777)
            with suppress(PermissionError):
                os.fchown(handle, old.st_uid, old.st_gid)
        return handle

    def _lock(self, handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another, which has ended just now, may have put in its place what was opened: it is not to be emptied.
            return os.path.samestat(os.fstat(handle), os.stat(self._temporary))
        except (BlockingIOError, FileNotFoundError):
            return False

    def _sweep(self) -> None:
        if not self.published:
            for path in (self._temporary, *_journals(self._temporary)):
                path.unlink(missing_ok=True)

    def fill(self, content: Content) -> None:
        url = URL.create("sqlite", database=str(self._temporary))
        _upgrade(url.render_as_string(hide_password=False))
        with self._errors(), closing(sqlite3.connect(self._temporary, isolation_level=None)) as to:
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "foreign_keys = OFF"):
                to.execute(f"PRAGMA {pragma}")
            to.execute(f"PRAGMA cache_size = -{CACHE * 1024}")
            to.execute("BEGIN")
            indexes = to.execute(_INDEXES).fetchall()
            for name, _ in indexes:
                to.execute(f'DROP INDEX "{name}"')
            insert = {
                table: f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
                for table, columns in COLUMNS.items()
            }
            for batch in content.devices():
                to.executemany(insert["devices"], batch.devices)
                to.executemany(insert["nics"], batch.nics)
            for rows in content.groups():
                to.executemany(insert["groups"], rows)
            for rows in content.memberships():
                to.executemany(insert["memberships"], rows)
            for _, sql in indexes:
                to.execute(sql)
            to.execute("UPDATE registry SET changes = changes + 1")
            to.execute("COMMIT")
        with self._errors():
            os.fsync(self._file)

    def written(self) -> Iterator[tuple[str, Rows]]:
        with self._errors(), closing(sqlite3.connect(f"{self._temporary.as_uri()}?mode=ro", uri=True)) as made:
            for table, columns in COLUMNS.items():
                cursor = made.execute(f"SELECT {', '.join(columns)} FROM {table}")
                while rows := cursor.fetchmany(ROWS):
                    yield table, rows

    def publish(self) -> None:
        self.refuse_existing()
        with self._errors(), self._nobody_writes():
            self._temporary.replace(self._path)
            self.published = True
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    @contextmanager
    def _nobody_writes(self) -> Iterator[None]:
        """Hold the database that is replaced, which also takes back what a crash may have left half done in it: SQLite
        would play a journal left beside it into the new one."""
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
                    pass  # no database: nobody is at it
            for journal in _journals(self._path):
                journal.unlink(missing_ok=True)
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            after = "It was replaced, but may not outlive a power cut" if self.published else "Nothing was changed"
            raise StoreUnavailable(f"{self._path} cannot be written: {reason}. {after}.") from error


_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"  # not of constraints


def _journals(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}-{what}") for what in ("journal", "wal", "shm")]


class CsvTarget(Target):
    """The CSV files of a registry, made as temporary files beside them, under the lock of the store."""

    def __init__(self, path: Path, replace: bool) -> None:
        super().__init__()
        self.shown = str(path)
        self._path = path.resolve()
        if path.suffix in (".db", ".sqlite", ".sqlite3"):
            raise StoreUnavailable(f"{path} would be a CSV file: for an SQLite database write sqlite:///{path}.")
        if path.is_dir() or not self._path.parent.is_dir():
            words = "is a folder" if path.is_dir() else f"cannot be made: there is no folder {self._path.parent}"
            raise StoreUnavailable(f"{path} {words}.")
        if path.exists() and not path.is_file():
            raise StoreUnavailable(f"{path} is no file, but a device or a pipe: name another target.")
        self._replace = replace
        # The devices last: a registry without them does not count as one, so it is there as a whole or not at all.
        self._files = [
            csv_store.beside(self._path, "device_group"),
            csv_store.beside(self._path, "group"),
            self._path,
        ]
        self._versions: dict[Path, durable_file.Version] = {}
        self._wanted: list[Path] = []

    def refuse_existing(self) -> None:
        # What an interrupted migration has put there already: its temporary file of the devices is there still.
        is_left = not self._path.exists() and self._path.with_name(f".{self._path.name}.tmp").exists()
        for path in self._files:
            if path.exists() and not self._replace and not is_left:
                raise _exists(path)

    def paths(self) -> list[Path]:
        return self._files

    def __enter__(self) -> Self:
        self._open.enter_context(durable_file.locked(self._path, PATIENCE))
        self.refuse_existing()
        self._open.callback(self._close)
        return self

    def _close(self) -> None:
        for version in self._versions.values():
            version.file.close()
        durable_file.sweep(self._files)

    def fill(self, content: Content) -> None:
        memberships, groups, devices = self._files
        self._versions = durable_file.prepare(
            {
                devices: _device_lines(content.devices()),
                groups: self._lines(groups, csv_format.GROUPS, Group, content.groups()),
                memberships: self._lines(memberships, csv_format.MEMBERSHIPS, Membership, content.memberships()),
            }
        )

    def _lines(self, path: Path, format: Any, kind: Any, content: Iterable[Rows]) -> Iterator[bytes]:
        """The file of groups or memberships; there need be none where it would be empty."""
        yield format.header
        is_empty = True
        for rows in content:
            is_empty = is_empty and not rows
            yield b"".join(format.encode(kind(*row)) for row in rows)
        if not is_empty or path.exists():
            self._wanted.append(path)

    def written(self) -> Iterator[tuple[str, Rows]]:
        memberships, groups, devices = self._files
        files: list[BinaryIO | None] = [self._versions[path].file for path in (devices, groups, memberships)]
        made = CsvSource(self._path, check=False, files=files)
        made.rejected = lambda bad: None
        for batch in made.devices():
            yield "devices", list(batch.devices)
            yield "nics", list(batch.nics)
        for rows in made.groups():
            yield "groups", rows
        for rows in made.memberships():
            yield "memberships", rows

    def publish(self) -> None:
        self.refuse_existing()
        durable_file.publish([path for path in self._files if path in (*self._wanted, self._path)])
        self.published = True


def _device_lines(content: Iterable[Batch]) -> Iterator[bytes]:
    format = csv_format.DEVICES
    yield format.header
    for batch in content:
        nics: dict[str, list[Nic]] = {}
        for id, _, *nic in batch.nics:
            nics.setdefault(id, []).append(Nic(*nic))
        lines = []
        for id, name, type, model, _, sn, version, last_update, status in batch.devices:
            hardware, software = Hardware(model, sn), Software(version, last_update)
            device = Device(id, name, type, hardware, software, tuple(nics.get(id, ())), status)
            lines.append(format.encode(device))
        yield b"".join(lines)


class PostgresTarget(Target):
    """The tables of a PostgreSQL database, filled in one transaction."""

    def __init__(self, url: URL, replace: bool) -> None:
        super().__init__()
        self.shown = _shown(url.render_as_string(hide_password=False))
        self._url = url
        self._replace = replace
        must_be_current(url)

    def paths(self) -> list[Path]:
        return []

    def __enter__(self) -> Self:
        self._connection = self._open.enter_context(postgres(self._url, read_only=False))
        with self._errors():
            self._connection.execute(f"SET lock_timeout = '{PATIENCE:g}s'")
            self._connection.execute("UPDATE registry SET changes = changes + 1")  # others wait
            for table in ("devices", "groups"):
                if self._replace:
                    break
                if self._connection.execute(f"SELECT EXISTS (SELECT FROM {table})").fetchone()[0]:
                    raise StoreUnavailable(
                        f"The registry in {self.shown} is not empty: name another target, or add --replace to put"
                        " this in its place."
                    )
            if self._replace:
                # Not TRUNCATE: those who read meanwhile would wait for it, and then find nothing.
                for table in ("memberships", "nics", "devices", "groups"):
                    self._connection.execute(f"DELETE FROM {table}")
        return self

    def fill(self, content: Content) -> None:
        with self._errors():
            for batch in content.devices():
                self._copy("devices", batch.devices)
                self._copy("nics", batch.nics)
            for rows in content.groups():
                self._copy("groups", rows)
            for rows in content.memberships():
                self._copy("memberships", rows)

    def _copy(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        if not rows:
            return
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {table} ({', '.join(COLUMNS[table])}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def written(self) -> Iterator[tuple[str, Rows]]:
        with self._errors():
            for table, columns in COLUMNS.items():
                with self._connection.cursor(name=f"verify_{table}") as cursor:
                    cursor.execute(f"SELECT {', '.join(columns)} FROM {table}")
                    while rows := cursor.fetchmany(ROWS):
                        yield table, rows

    def publish(self) -> None:
        with self._errors():
            self._connection.commit()
        self.published = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise StoreUnavailable(f"{self.shown} cannot be written: {reason}. Nothing was changed.") from error


def open_target(url: str, replace: bool) -> Target:
    """The target that url names, as open_store takes it. Raises StoreUnavailable where it is taken or cannot be."""
    if (database := database_url(url)) is None:
        return CsvTarget(csv_path(url), replace)
    if database.get_backend_name() == "sqlite":
        return SqliteTarget(database, replace)
    return PostgresTarget(database, replace)
