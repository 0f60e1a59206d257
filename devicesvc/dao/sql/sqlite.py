"""The registry in an SQLite file."""

import os
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from devicesvc.dao import durable_file
from devicesvc.dao.history import History
from devicesvc.dao.sql import store
from devicesvc.dao.sql.serial import SerialStore
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable

# How a commit gets to the disk, and how a file is synced so that the commit outlives a power cut.
JOURNALS = {
    "delete": ("journal_mode = DELETE", "synchronous = EXTRA"),
    "wal": ("journal_mode = WAL", "synchronous = FULL"),
}
# Older libraries may lose commits of a write-ahead log, and break the file: https://sqlite.org/wal.html#walresetbug
SAFE_WAL = (3, 51, 3)

PROBE_BYTES = 1 << 18  # that must be free beside the file: its journal and some pages of each table and index

_ROW_BYTES = 150  # of a row of the history, about, besides its texts


class SqliteStore(SerialStore):
    """A registry in an SQLite file. Raises StoreUnavailable if there is no file: SQLite would make an empty one."""

    _BYTES = text("(SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)")
    _HISTORY_BYTES = text(
        f"(SELECT count(*) * (SELECT {_ROW_BYTES} + coalesce(avg(length(before) + length(after) + length(who)), 0) FROM"
        " (SELECT * FROM history ORDER BY number DESC LIMIT 100)) FROM history)"
    )
    _READING = {"begin": "BEGIN"}
    _MODE = "rw"

    def _prepare(self) -> None:
        mode = self._url.option("journal_mode", "delete")
        if mode not in JOURNALS:
            raise StoreUnavailable(f"{self._redacted}: journal_mode must be {' or '.join(JOURNALS)}, not {mode!r}.")
        if mode == "wal" and sqlite3.sqlite_version_info < SAFE_WAL:
            wanted, given = ".".join(map(str, SAFE_WAL)), sqlite3.sqlite_version
            raise StoreUnavailable(
                f"{self._redacted}: journal_mode=wal needs SQLite {wanted} or newer, and this Python has {given}."
                " Leave journal_mode out."
            )
        self._pragmas: tuple[str, ...] = (*JOURNALS[mode], "foreign_keys = ON")

    def _make_engine(self, answer: float, **pool: Any) -> Engine:  # noqa: ARG002 - no server has to answer
        path, patience = self._url.path, store.PATIENCE
        if not path.is_file():
            raise StoreUnavailable(f"There is no file {path}: devicesvc db upgrade {self._redacted} makes it.")

        def connect() -> sqlite3.Connection:
            """Open the file that there is: a missing one is left missing."""
            name = f"file:{quote(str(path))}?mode={self._MODE}"
            return sqlite3.connect(name, uri=True, timeout=patience, isolation_level=None, check_same_thread=False)

        engine = create_engine(self._url.sql, creator=connect, **pool)

        @event.listens_for(engine, "connect")
        def set_up(connection: Any, record: ConnectionPoolEntry) -> None:
            for pragma in self._pragmas:
                connection.execute(f"PRAGMA {pragma}")
            record.info["file"] = _identity(path)

        @event.listens_for(engine, "checkout")
        def check(_connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
            if not self._is_current(record.info):
                raise DisconnectionError

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN IMMEDIATE"))

        return engine

    def _is_current(self, info: dict[Any, Any]) -> bool:
        """Whether a connection is to the file that has the name now, and not to one that was moved away or deleted."""
        return bool(info["file"] == _identity(self._url.path))

    def _prove(self, tx: Any) -> None:
        """As SqlStore: the count of changes is written and synced."""
        tx.is_proof = True
        durable_file.prove_space(self._url.path.resolve(), PROBE_BYTES)


class _ReadOnly(SqliteStore):
    """To read a file, in whatever journal mode a service has it."""

    _MODE = "ro"

    def _prepare(self) -> None:
        self._pragmas = ()


def opened_history(url: StoreUrl) -> AbstractContextManager[History]:
    """The history in an SQLite file, to read. Raises StoreUnavailable."""
    return store.opened_history(url, _ReadOnly)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
