"""Where a transfer reads from: CSV files or a database, in one state, each row checked by the rules of model.py."""

import csv
import io
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, NamedTuple, Self, TypeVar

from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from devicesvc.dao import csv_format, csv_path, csv_store, database_url, durable_file, tables
from devicesvc.dao.csv_lines import MAX_LINE, Fault, Format
from devicesvc.dao.sql_tables import device_row, group_row, nic_rows
from devicesvc.errors import Invalid, StoreUnavailable
from devicesvc.model import Device, Group, Hardware, Membership, Nic, Software

from . import must_be_current as _must_be_current
from . import shown as _shown
from .plain_lines import Batch, plain

T = TypeVar("T")

Rows = list[tuple[Any, ...]]

CHUNK = 1 << 18  # bytes of a file that are checked together
ROWS = 2_000  # and rows of a database
PATIENCE = 5.0  # seconds to wait for the lock of the files

_BOM = b"\xef\xbb\xbf"
_BAD_LINE = 2  # where it is in the file that is made to have one line judged: under the header

COLUMNS = {
    table.name: [column.name for column in table.columns]
    for table in (tables.devices, tables.nics, tables.groups, tables.memberships)
}


class BadRow(NamedTuple):
    """A row that breaks rules. line: 0 in a database. reason: where in the row, and the rule; raw: the row itself."""

    source: str
    line: int
    reason: str
    raw: str

    def __str__(self) -> str:
        return f"{self.source}, {self.reason}"


class Unreadable(StoreUnavailable):
    """Rows of the source cannot even be told apart, so none of it can be left out."""


@dataclass
class Known:
    """What was good so far, each with the line it is on: what comes twice is bad, and so is what refers to another."""

    devices: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    group_names: dict[str, int] = field(default_factory=dict)
    memberships: dict[str, int] = field(default_factory=dict)


class Source(ABC):
    """A store in one state. Of it are read first the devices, then the groups, then the memberships.

    shown: what to call it. taken: when its state was taken. total, done: how much there is to read, and was read, in
    bytes or rows.
    """

    shown: str
    total: int
    done: int = 0

    def __init__(self) -> None:
        self.taken = datetime.now()
        self.known = Known()
        self.rejected: Callable[[BadRow], None] = lambda bad: None
        self._open = ExitStack()

    @abstractmethod
    def devices(self) -> Iterator[Batch]:
        """The good devices. Each bad one is given to `rejected`."""

    @abstractmethod
    def groups(self) -> Iterator[Rows]:
        """The good groups, as rows."""

    @abstractmethod
    def memberships(self) -> Iterator[Rows]:
        """The good memberships, as rows."""

    @abstractmethod
    def has_changed(self) -> bool:
        """Whether the store has changed since its state was taken."""

    @abstractmethod
    def paths(self) -> list[Path]:
        """The files that it is in."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def _batch(devices: Iterable[Device]) -> Batch:
    batch = Batch([], [])
    for device in devices:
        row = device_row(device)
        batch.devices.append(tuple(row[name] for name in COLUMNS["devices"]))
        batch.nics.extend(tuple(nic[name] for name in COLUMNS["nics"]) for nic in nic_rows(device))
    return batch


def _group(group: Group) -> tuple[str, ...]:
    row = group_row(group)
    return tuple(row[name] for name in COLUMNS["groups"])


class _File(Generic[T]):
    """A CSV file that was opened; there may be none."""

    def __init__(self, path: Path, shown: str, format: Format[T], file: BinaryIO | None) -> None:
        self.path = path
        self.shown = shown
        self.format = format
        self.file = file
        self.header = b""
        self.stamp = durable_file.Version(file).stamp if file else ()
        self.size = os.fstat(file.fileno()).st_size if file else 0

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Whole lines of the file after its header, and the number of the first. Raises Unreadable where the header is
        wrong."""
        if not self.file:
            return
        number, line = 1, self.file.readline(MAX_LINE + 1).removeprefix(_BOM)
        while line and not line.rstrip(b"\r\n"):
            number, line = number + 1, self.file.readline(MAX_LINE + 1)
        for fault in self.format.read(io.BytesIO(line), {}).faults:
            raise Unreadable(f"{self.shown}, {fault._replace(line=number if line else 1)}.")
        self.header = line
        number += 1
        while data := self.file.read(CHUNK):
            if not data.endswith(b"\n"):
                data += self.file.readline(MAX_LINE + 1)
            yield number, data
            number += data.count(b"\n")

    def item(self, number: int, raw: bytes, rejected: Callable[[BadRow], None]) -> T | None:
        """What a line holds; None where it is empty, or bad. Raises Unreadable where it is too long to go on after."""
        if len(raw) > MAX_LINE:
            raw = raw[: MAX_LINE + 1]
        table = self.format.read(io.BytesIO(self.header + raw), {})
        if len(raw) > MAX_LINE:
            raise Unreadable(f"{self.shown}, {table.faults[0]._replace(line=number)}.")
        if table.faults:
            self.reject(number, raw, table.faults, rejected)
        for row in table.rows.values():
            return row.item
        return None

    def reject(self, number: int, raw: bytes, faults: Sequence[Fault], rejected: Callable[[BadRow], None]) -> None:
        text = raw.decode(errors="backslashreplace").removesuffix("\n").removesuffix("\r")
        reason = "; ".join(str(fault._replace(line=number)) for fault in faults)
        rejected(BadRow(self.shown, number, reason, text))


class CsvSource(Source):
    """The CSV files of a registry, as they were at one moment: the service replaces them, and never writes in place.

    check: whether to look for what comes twice or refers to nothing; what was just checked need not be again.
    """

    def __init__(self, path: Path, *, check: bool = True, files: Sequence[BinaryIO | None] | None = None) -> None:
        super().__init__()
        self.shown = str(path)
        self._check = check
        target = path.resolve()
        all_paths = target, csv_store.beside(target, "group"), csv_store.beside(target, "device_group")
        opened = files if files is not None else self._open_files(path, all_paths)
        self._devices = _File(all_paths[0], self.shown, csv_format.DEVICES, opened[0])
        self._groups = _File(all_paths[1], str(path.with_name(all_paths[1].name)), csv_format.GROUPS, opened[1])
        self._memberships = _File(
            all_paths[2], str(path.with_name(all_paths[2].name)), csv_format.MEMBERSHIPS, opened[2]
        )
        self._files: tuple[_File[Any], ...] = self._devices, self._groups, self._memberships
        self.total = sum(each.size for each in self._files)

    def _open_files(self, path: Path, all_paths: Sequence[Path]) -> list[BinaryIO | None]:
        """Open the files between two changes of the service."""
        if not path.is_file():
            raise StoreUnavailable(f"There is no file {path}." if not path.exists() else f"{path} is no file.")
        opened: list[BinaryIO | None] = []
        with ExitStack() as lock:
            if os.access(all_paths[0].parent, os.W_OK):  # else no service can change them either
                lock.enter_context(durable_file.locked(all_paths[0], PATIENCE))
            for each in all_paths:
                try:
                    opened.append(self._open.enter_context(each.open("rb")))
                except FileNotFoundError:
                    opened.append(None)
                except OSError as error:
                    raise StoreUnavailable(f"{each} cannot be read: {error.strerror}.") from error
        self.taken = datetime.now()
        return opened

    def paths(self) -> list[Path]:
        return [each.path for each in self._files]

    def has_changed(self) -> bool:
        for each in self._files:
            try:
                with each.path.open("rb") as file:
                    now = durable_file.Version(file).stamp
            except OSError:
                now = ()
            if now != each.stamp:
                return True
        return False

    def devices(self) -> Iterator[Batch]:
        known = self.known.devices
        for number, data in self._devices.chunks():
            batch = plain(data) if self._devices.header == csv_format.DEVICES.header else None
            if batch and self._check:
                ids = [row[0] for row in batch.devices]
                if len(set(ids)) == len(ids) and known.keys().isdisjoint(ids):
                    known.update(zip(ids, range(number, number + len(ids)), strict=True))
                else:
                    batch = None
            yield batch or self._one_by_one(number, data)
            self.done += len(data)

    def _one_by_one(self, number: int, data: bytes) -> Batch:
        is_plain = self._devices.header == csv_format.DEVICES.header
        found = Batch([], [])
        for at, raw in enumerate(io.BytesIO(data), number):
            one = plain(raw) if is_plain else None
            if not one:
                device = self._devices.item(at, raw, self.rejected)
                if not device:
                    continue
                one = _batch([device])
            id = one.devices[0][0]
            if self._check and self._is_twice(self._devices, at, raw, "id", id, self.known.devices):
                continue
            found.devices.extend(one.devices)
            found.nics.extend(one.nics)
        return found

    def groups(self) -> Iterator[Rows]:
        for number, data in self._groups.chunks():
            rows: Rows = []
            for at, raw in enumerate(io.BytesIO(data), number):
                group = self._groups.item(at, raw, self.rejected)
                if not group:
                    continue
                known = self.known.groups, self.known.group_names
                if self._check and (
                    self._is_twice(self._groups, at, raw, "id", group.id, known[0], note=False)
                    or self._is_twice(self._groups, at, raw, "name", group.name, known[1])
                ):
                    continue
                known[0][group.id] = at
                rows.append(_group(group))
            yield rows
            self.done += len(data)

    def memberships(self) -> Iterator[Rows]:
        for number, data in self._memberships.chunks():
            rows: Rows = []
            for at, raw in enumerate(io.BytesIO(data), number):
                each = self._memberships.item(at, raw, self.rejected)
                if each and (not self._check or self._is_good(at, raw, each)):
                    rows.append((each.device_id, each.group_id))
            yield rows
            self.done += len(data)

    def _is_good(self, number: int, raw: bytes, each: Membership) -> bool:
        if faults := loose(self.known, each):
            found = [Fault(number, column, rule) for column, rule in faults.items()]
            self._memberships.reject(number, raw, found, self.rejected)
            return False
        key: str = csv_format.MEMBERSHIPS.key(each)
        known = self.known.memberships
        return not self._is_twice(self._memberships, number, raw, "device_id", key, known)

    def _is_twice(
        self,
        file: _File[Any],
        number: int,
        raw: bytes,
        column: str,
        value: str,
        known: dict[str, int],
        *,
        note: bool = True,
    ) -> bool:
        first = known.get(value)
        if first is not None:
            rule = f"must be unique; {value!r} is on line {first} too"
            file.reject(number, raw, [Fault(number, column, rule)], self.rejected)
        elif note:
            known[value] = number
        return first is not None


def loose(known: Known, each: Membership) -> dict[str, str]:
    """What a membership refers to that is not there, by column."""
    faults = {}
    if each.device_id not in known.devices:
        faults["device_id"] = f"must be the id of a device that is taken over, and {each.device_id!r} is not"
    if each.group_id not in known.groups:
        faults["group_id"] = f"must be the id of a group that is taken over, and {each.group_id!r} is not"
    return faults


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
        return _batch(devices)

    def groups(self) -> Iterator[Rows]:
        rows = self.query("id, name, description", "groups", "id")
        while chunk := _take(rows):
            good: Rows = []
            for row in chunk:
                try:
                    good.append(_group(Group(*row)))
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


def open_source(url: str) -> Source:
    """The source that url names, as open_store takes it. Raises StoreUnavailable where it cannot be read."""
    if (database := database_url(url)) is None:
        return CsvSource(csv_path(url))
    return SqliteSource(database) if database.get_backend_name() == "sqlite" else PostgresSource(database)
