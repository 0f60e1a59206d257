"""Databases to read from, each in one transaction or in a copy, each row checked by the rules of model.py."""

import csv
import io
import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from datetime import datetime
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from devicesvc.columns import DEVICE, GROUP, MEMBERSHIP, NIC, NIC_COLUMNS, device_of_rows
from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.dao.history import Row
from devicesvc.dao.sql.row_locks import COUNTED, NOBODY_CHANGES
from devicesvc.dao.sql.store import reason_of
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import Invalid, StoreUnavailable
from devicesvc.transfer.history import HISTORY, faults_of, numbered, rising
from devicesvc.transfer.plain_rows import plain
from devicesvc.transfer.postgresql import connected
from devicesvc.transfer.source import BadRow, Chunk, DeviceRows, Source

ROWS = 2_000  # of a database that are read together

KEYS = {
    DEVICE.table: ("id",),
    NIC.table: ("device_id", "position"),
    GROUP.table: ("id",),
    MEMBERSHIP.table: ("device_id", "group_id"),
    HISTORY.table: ("number", "position"),
}

_NIC_CELLS = range(len(NIC.names) - len(NIC.columns), len(NIC.names))  # in a row, after the keys
_in_file_order = itemgetter(*[(*DEVICE.names, *NIC_COLUMNS).index(column) for column in DEVICE_CSV.columns])


class SqlSource(Source):
    """A database, read in one transaction."""

    _COUNTED = "SELECT changes FROM registry"  # the count of changes

    def __init__(self, url: StoreUrl) -> None:
        super().__init__()
        self.label = url.redacted
        self._url = url
        url.schema().must_be_current(url.text)
        with ExitStack() as opening:
            opening.callback(self._open.close)
            self._connection: Any = self._connect()
            self.taken = datetime.now()
            self.last_change = self._one(self._COUNTED)
            counted = DEVICE, GROUP, MEMBERSHIP, HISTORY
            self.total = sum(self._one(f'SELECT count(*) FROM "{each.table}"') for each in counted)
            opening.pop_all()  # it stays open, because nothing has failed

    @abstractmethod
    def _connect(self) -> Any:
        """Open a connection, in a transaction that sees one snapshot until it is closed with `_open`."""

    @abstractmethod
    def _rows(self, entity: Any) -> Iterable[tuple[Any, ...]]:
        """The rows of a table by its key, as they come."""

    @abstractmethod
    def _changes_now(self) -> int:
        """The count of changes in the database now."""

    def _one(self, query: str) -> Any:
        with self._errors():
            cursor = self._connection.cursor()
            cursor.execute(query)
            return cursor.fetchone()[0]

    def _query(self, entity: Any) -> Iterator[Any]:
        """The named rows of a table by its key, as they come."""
        with self._errors():
            rows = self._rows(entity)
            # Through chain, not from the cursor: this generator would close the cursor, perhaps after its connection.
            yield from map(entity.named, chain(rows))

    def _errors(self) -> AbstractContextManager[None]:
        return self._refused(self._connection.Error)

    @contextmanager
    def _refused(self, kind: type[Exception]) -> Iterator[None]:
        """Say what a database refuses, by errors of this kind, in the words of the mover."""
        try:
            yield
        except kind as error:
            raise StoreUnavailable(f"{self.label} cannot be read: {reason_of(error)}. Nothing was changed.") from error

    def has_changed(self) -> bool:
        try:
            return bool(self._changes_now() != self.last_change)
        except (StoreUnavailable, self._connection.Error, SQLAlchemyError):
            return True

    def _devices(self) -> Iterator[Chunk]:
        nics = self._query(NIC)
        nic = next(nics, None)
        rows = self._query(DEVICE)
        while chunk := list(islice(rows, ROWS)):
            devices: list[tuple[Any, list[Any]]] = []  # each with its network interfaces
            for row in chunk:
                own = []
                while nic and nic.device_id <= row.id:
                    if nic.device_id == row.id:
                        own.append(nic)
                    else:
                        self._reject_nic(nic)
                    nic = next(nics, None)
                devices.append((row, own))
            yield from self._checked(devices).chunks()
            self.done += len(chunk)
        for each in chain([nic] if nic else [], nics):
            self._reject_nic(each)

    def _checked(self, devices: list[tuple[Any, list[Any]]]) -> DeviceRows:
        rows = None
        with suppress(TypeError, UnicodeEncodeError):  # a value is not text, or not Unicode: the slow way names it
            lines = [
                ",".join(_in_file_order((*row, *(";".join([nic[at] for nic in nics]) for at in _NIC_CELLS))))
                for row, nics in devices
            ]
            rows = plain(("\n".join(lines) + "\n").encode())
        # A cell that holds a comma, a semicolon or a line break changes one of these counts.
        if rows and (len(rows.devices), len(rows.nics)) == (len(devices), sum(len(nics) for _, nics in devices)):
            self.known.devices.update((row.id, 0) for row in rows.devices)
            return rows
        good = []
        for row, nics in devices:
            try:
                device = device_of_rows(row, nics)
            except Invalid as error:
                cells = [getattr(row, column.name) for column in DEVICE.in_database if column.in_file]
                nic_cells = [cell for nic in nics for cell in nic[_NIC_CELLS.start :]]
                self._reject(DEVICE.table, row.id, error, [*cells, *nic_cells])
                continue
            self.known.devices[device.id] = 0
            good.append(device)
        return DeviceRows.of(good)

    def _groups(self) -> Iterator[Chunk]:
        rows = self._query(GROUP)
        while chunk := list(islice(rows, ROWS)):
            good = []
            for row in chunk:
                try:
                    good.append(GROUP.to_row(GROUP.from_row(row)))
                except Invalid as error:
                    self._reject(GROUP.table, row.id, error, row)
                else:
                    self.known.groups[row.id] = 0
            yield Chunk(GROUP.table, good)
            self.done += len(chunk)

    def _memberships(self) -> Iterator[Chunk]:
        rows = self._query(MEMBERSHIP)
        while chunk := list(islice(rows, ROWS)):
            good = []
            for row in chunk:
                try:
                    if faults := self.known.orphaned(MEMBERSHIP.from_row(row)):
                        raise Invalid(faults)
                except Invalid as error:
                    self._reject(MEMBERSHIP.table, row.device_id, error, row)
                else:
                    good.append(row)
            yield Chunk(MEMBERSHIP.table, good)
            self.done += len(chunk)

    def history(self, *, for_files: bool) -> Iterator[Chunk]:
        rows = numbered(self._good_history())
        if for_files:
            rows = rising(rows)
        while chunk := list(islice(rows, ROWS)):
            self.last_time = chunk[-1].time
            yield Chunk(HISTORY.table, chunk)

    def _good_history(self) -> Iterator[Row]:
        for found in self._query(HISTORY):
            self.done += 1
            row = HISTORY.from_row(found)
            if faults := faults_of(row):
                self._reject(HISTORY.table, row.change, Invalid(faults), row, self.skipped)
            else:
                yield row

    def _reject(
        self,
        table: str,
        id: object,
        error: Invalid,
        row: Sequence[Any],
        take: Callable[[BadRow], None] | None = None,
    ) -> None:
        places = "; ".join(f"column {column}: {rule}" for column, rule in error.errors.items())
        raw = io.StringIO()
        csv.writer(raw, lineterminator="").writerow(row)
        text = raw.getvalue().encode(errors="backslashreplace").decode()
        (take or self.rejected)(BadRow(self.label, 0, f"table {table}, row {id!r}, {places}", text))

    def _reject_nic(self, row: Any) -> None:
        rule = f"must be the id of a device, and {row.device_id!r} is not"
        self._reject(NIC.table, row.device_id, Invalid({"device_id": rule}), row)


def select(entity: Any) -> str:
    """A query for all rows of a table."""
    return f'SELECT {columns(entity)} FROM "{entity.table}"'


def columns(entity: Any) -> str:
    """The names of the columns of a table; some of them are words of SQL too."""
    return quoted(entity.names)


def quoted(names: Iterable[str]) -> str:
    """The names, for a statement."""
    return ", ".join(f'"{name}"' for name in names)


def _by_key(entity: Any) -> str:
    return f"ORDER BY {quoted(KEYS[entity.table])}"


class SqliteSource(SqlSource):
    """A copy of an SQLite file, made in one go: a service that changes the file waits only for that."""

    def _connect(self) -> sqlite3.Connection:
        copy = sqlite3.connect("", isolation_level=None)  # its file has no name: nothing is left, however this ends
        self._open.callback(copy.close)
        try:
            with closing(_read_only(self._url.path)) as source:
                source.execute("PRAGMA busy_timeout = 5000")
                copy.execute("PRAGMA synchronous = OFF")
                copy.execute("PRAGMA journal_mode = OFF")
                source.backup(copy)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.label} cannot be read: {error}.") from error
        copy.text_factory = _text
        return copy

    def _rows(self, entity: Any) -> Iterable[tuple[Any, ...]]:
        rows: sqlite3.Cursor = self._connection.execute(f"{select(entity)} {_by_key(entity)}")
        return rows

    def _changes_now(self) -> int:
        with closing(_read_only(self._url.path)) as now:
            return int(now.execute(self._COUNTED).fetchone()[0])

    def paths(self) -> list[Path]:
        return [self._url.path.resolve()]


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")  # what is not UTF-8 breaks the rule for text


class PostgresSource(SqlSource):
    """A PostgreSQL database, in a transaction that reads one snapshot."""

    _COUNTED = COUNTED

    def _connect(self) -> Any:
        connection = self._open.enter_context(connected(self._url, read_only=True))
        with connected(self._url, read_only=False) as other, self._refused(other.Error):
            other.execute(NOBODY_CHANGES)
            connection.execute(COUNTED)  # the first statement takes the snapshot
        return connection

    def _rows(self, entity: Any) -> Iterable[tuple[Any, ...]]:
        cursor: Any = self._open.enter_context(self._connection.cursor(name=f"read_{entity.table}"))
        cursor.itersize = ROWS
        return cursor.execute(f"{select(entity)} {_by_key(entity)}")  # type: ignore[no-any-return]

    def _changes_now(self) -> int:
        with connected(self._url, read_only=True) as now:
            return int(now.execute(COUNTED).fetchone()[0])

    def paths(self) -> list[Path]:
        return []
