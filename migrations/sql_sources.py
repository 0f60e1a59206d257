"""Databases to read from, each in one transaction or in a copy, each row checked by the rules of model.py."""

import csv
import io
import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from devicesvc.errors import Invalid, StoreUnavailable
from devicesvc.model import Device, Group, Hardware, Membership, Nic, Software

from . import must_be_current as _must_be_current
from . import shown as _shown
from .plain_lines import Batch, plain
from .source import COLUMNS, BadRow, Rows, Source, batch_of, loose, row_of

ROWS = 2_000  # of a database that are read together


class SqlSource(Source):
    """A database, read in one transaction."""

    def __init__(self, url: URL) -> None:
        super().__init__()
        self.shown = _shown(url.render_as_string(hide_password=False))
        self._url = url
        must_be_current(url)
        self._connection: Any = self._connect()
        self.taken = datetime.now()
        self._changes = self._one("SELECT changes FROM registry")
        self.total = sum(self._one(f"SELECT count(*) FROM {table}") for table in ("devices", "groups", "memberships"))

    @abstractmethod
    def _connect(self) -> Any:
        """Open a connection, in a transaction that sees one state until it is closed with `_open`."""

    @abstractmethod
    def _rows(self, name: str, query: str) -> Iterable[tuple[Any, ...]]:
        """The rows of a query, as they come. name: what to call it, no other has it."""

    @abstractmethod
    def _changes_now(self) -> int:
        """The count of changes in the database now."""

    def _one(self, query: str) -> Any:
        with self._errors():
            return self._connection.execute(query).fetchone()[0]

    def query(self, columns: str, table: str, order: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a table, as they come."""
        with self._errors():
            rows = self._rows(f"read_{table}", f"SELECT {columns} FROM {table} ORDER BY {order}")
            yield from chain(rows)  # not from a cursor, which this would close: perhaps after its connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._connection.Error as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise StoreUnavailable(f"{self.shown} cannot be read: {reason}. Nothing was changed.") from error

    def has_changed(self) -> bool:
        try:
            return bool(self._changes_now() != self._changes)
        except (StoreUnavailable, self._connection.Error, SQLAlchemyError):
            return True

    def devices(self) -> Iterator[Batch]:
        nics = self.query(", ".join(COLUMNS["nics"]), "nics", "device_id, position")
        nic = next(nics, None)
        rows = self.query(", ".join(_DEVICE_COLUMNS), "devices", "id")
        while chunk := _take(rows):
            given: list[tuple[tuple[Any, ...], list[tuple[Any, ...]]]] = []
            for row in chunk:
                own = []
                while nic and nic[0] <= row[0]:
                    if nic[0] == row[0]:
                        own.append(nic)
                    else:
                        self._reject_nic(nic)
                    nic = next(nics, None)
                given.append((row, own))
            yield self._checked(given)
            self.done += len(chunk)
        for each in chain([nic] if nic else [], nics):
            self._reject_nic(each)

    def _checked(self, given: list[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]) -> Batch:
        batch = None
        with suppress(TypeError, UnicodeEncodeError):  # what is no text, or no Unicode: the slow way names it
            lines = [
                ",".join([*row[:-1], *(";".join([nic[at] for nic in own]) for at in (2, 3, 4)), row[-1]])
                for row, own in given
            ]
            batch = plain(("\n".join(lines) + "\n").encode())
        # A cell that held a comma, a semicolon or a line break has changed one of these counts.
        if batch and (len(batch.devices), len(batch.nics)) == (len(given), sum(len(own) for _, own in given)):
            self.known.devices.update((row[0], 0) for row in batch.devices)
            return batch
        devices = []
        for row, own in given:
            try:
                device = _device(row, own)
            except Invalid as error:
                self._reject("devices", row[0], error, [*row, *(cell for nic in own for cell in nic[2:])])
                continue
            self.known.devices[device.id] = 0
            devices.append(device)
        return batch_of(devices)

    def groups(self) -> Iterator[Rows]:
        rows = self.query("id, name, description", "groups", "id")
        while chunk := _take(rows):
            good: Rows = []
            for row in chunk:
                try:
                    good.append(row_of(Group(*row)))
                except Invalid as error:
                    self._reject("groups", row[0], error, row)
                else:
                    self.known.groups[row[0]] = 0
            yield good
            self.done += len(chunk)

    def memberships(self) -> Iterator[Rows]:
        rows = self.query("device_id, group_id", "memberships", "device_id, group_id")
        while chunk := _take(rows):
            good: Rows = []
            for row in chunk:
                try:
                    if faults := loose(self.known, Membership(*row)):
                        raise Invalid(faults)
                except Invalid as error:
                    self._reject("memberships", row[0], error, row)
                else:
                    good.append(row)
            yield good
            self.done += len(chunk)

    def _reject(self, table: str, id: object, error: Invalid, row: Sequence[Any]) -> None:
        places = "; ".join(f"column {column}: {rule}" for column, rule in error.errors.items())
        raw = io.StringIO()
        csv.writer(raw, lineterminator="").writerow(row)
        text = raw.getvalue().encode(errors="backslashreplace").decode()
        self.rejected(BadRow(self.shown, 0, f"table {table}, row {id!r}, {places}", text))

    def _reject_nic(self, row: tuple[Any, ...]) -> None:
        rule = f"must be the id of a device, and {row[0]!r} is not"
        self._reject("nics", row[0], Invalid({"device_id": rule}), row)


_DEVICE_COLUMNS = [
    *("id", "name", "type", "hardware_model", "hardware_sn", "software_version", "software_last_update", "status")
]


def _device(row: tuple[Any, ...], nics: list[tuple[Any, ...]]) -> Device:
    id, name, type, model, sn, version, last_update, status = row
    parts: list[Callable[[], Any]] = [
        lambda: Hardware(model, sn),
        lambda: Software(version, last_update),
        *(lambda nic=nic: Nic(*nic[2:]) for nic in nics),
    ]
    good: list[Any] = []
    errors: dict[str, str] = {}
    for prefix, part in zip(("hardware_", "software_", *["nic_"] * len(nics)), parts, strict=True):
        try:
            good.append(part())
        except Invalid as error:
            errors |= {f"{prefix}{name}": rule for name, rule in error.errors.items()}
    fine: list[Any] = good if not errors else [Hardware("m", "s"), Software("v", "2024-01-01 00:00:00")]
    try:
        device = Device(id, name, type, fine[0], fine[1], tuple(fine[2:]), status)
    except Invalid as error:
        errors = {**error.errors, **errors}
    if errors:
        raise Invalid(errors)
    return device


def _take(rows: Iterator[tuple[Any, ...]]) -> Rows:
    return list(islice(rows, ROWS))


class SqliteSource(SqlSource):
    """A copy of an SQLite file, made in one go: a service that changes the file waits only for that."""

    def _connect(self) -> sqlite3.Connection:
        copy = sqlite3.connect("", isolation_level=None)  # its file has no name: nothing is left, however this ends
        self._open.callback(copy.close)
        try:
            with closing(_read_only(self.file)) as source:
                source.execute("PRAGMA busy_timeout = 5000")
                copy.execute("PRAGMA synchronous = OFF")
                copy.execute("PRAGMA journal_mode = OFF")
                source.backup(copy)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.shown} cannot be read: {error}.") from error
        copy.text_factory = _text
        return copy

    @property
    def file(self) -> Path:
        return Path(self._url.database or "")

    def _rows(self, name: str, query: str) -> Iterable[tuple[Any, ...]]:
        rows: sqlite3.Cursor = self._connection.execute(query)
        return rows

    def _changes_now(self) -> int:
        with closing(_read_only(self.file)) as now:
            return int(now.execute("SELECT changes FROM registry").fetchone()[0])

    def paths(self) -> list[Path]:
        return [self.file.resolve()]


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")  # what is no UTF-8 breaks the rule for text


class PostgresSource(SqlSource):
    """A PostgreSQL database, in a transaction that reads one state."""

    def _connect(self) -> Any:
        return self._open.enter_context(postgres(self._url, read_only=True))

    def _rows(self, name: str, query: str) -> Iterable[tuple[Any, ...]]:
        cursor: Any = self._open.enter_context(self._connection.cursor(name=name))
        cursor.itersize = ROWS
        return cursor.execute(query)  # type: ignore[no-any-return]

    def _changes_now(self) -> int:
        with postgres(self._url, read_only=True) as now:
            return int(now.execute("SELECT changes FROM registry").fetchone()[0])

    def paths(self) -> list[Path]:
        return []


class postgres:  # used as a function
    """A psycopg connection in a transaction, which is rolled back at the end if it was not committed."""

    def __init__(self, url: URL, *, read_only: bool) -> None:
        self._engine = create_engine(url, poolclass=NullPool)
        self._read_only = read_only
        self._shown = _shown(url.render_as_string(hide_password=False))

    def __enter__(self) -> Any:
        import psycopg

        try:
            self._raw = self._engine.raw_connection()
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
            raise StoreUnavailable(f"{self._shown} cannot be reached: {reason}.") from error
        connection: Any = self._raw.driver_connection
        connection.rollback()
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ if self._read_only else None
        connection.read_only = self._read_only
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):
            self._raw.driver_connection.rollback()  # type: ignore[union-attr]
        self._raw.invalidate()
        self._engine.dispose()


def must_be_current(url: URL) -> None:
    """Raises StoreUnavailable where the database has not the tables of this version."""
    _must_be_current(url.render_as_string(hide_password=False))
