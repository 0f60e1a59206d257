"""The registry in a SQL database: SQLite or PostgreSQL.

Changes that wait together are one transaction, which first writes the one row of the table `registry`. So changes run
one after another, also those of other processes and hosts. A read is on what is durable then.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select, text, update
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    InvalidRequestError,
    NotSupportedError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from devicesvc.dao import durable_file
from devicesvc.dao.base import ChangeSet, Size, Store, T, Transaction
from devicesvc.dao.group_commit import GroupCommit, Waiting
from devicesvc.dao.sql import schema
from devicesvc.dao.sql.reads import InTransaction, Reads
from devicesvc.dao.sql.tables import (
    SqlDevices,
    SqlDeviceWriter,
    SqlGroups,
    SqlGroupWriter,
    SqlMemberships,
    SqlMembershipWriter,
)
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable
from devicesvc.model import MAX_NICS, Device

PATIENCE = 5  # seconds that a change waits for others, and a call for a connection
STATEMENT_SECONDS = 15  # that one statement of PostgreSQL may take
LOST_SECONDS = 20  # after which a server that says nothing at all is given up
PROBE_BYTES = 1 << 18  # that must be free beside an SQLite file: its journal and some pages of each table and index
# Connections of a worker: PostgreSQL takes 100 of all, if it is not told otherwise.
READERS = 23  # for reads of one statement
SNAPSHOTS = 8  # for reads of several
WRITERS = 1  # changes come one after another

# A device as long as they come, which takes pages of a database on a server.
PROBE = {
    "name": "n" * 64,
    "type": "t" * 32,
    "hardware": {"model": "m" * 64, "sn": "s" * 64},
    "software": {"version": "v" * 32, "last_update": "2000-01-01 00:00:00"},
    "nic": [{"type": "t" * 32, "mac": "00:00:00:00:00:00", "ipv4": "0.0.0.0"}] * MAX_NICS,
    "status": "s" * 32,
}

_DEFECTS = (DataError, IntegrityError, NotSupportedError)  # of this program: a statement was wrong, all else is well

log = logging.getLogger(__name__)


class SqlTransaction:
    """What a change gets: the tables, in the transaction of the connection."""

    def __init__(self, connection: Connection) -> None:
        source = InTransaction(connection)
        self.is_proof = False  # whether it is committed although it changes nothing
        self.change_set = ChangeSet()
        self.devices = SqlDeviceWriter(source, self.change_set)
        self.groups = SqlGroupWriter(source, self.change_set)
        self.memberships = SqlMembershipWriter(source, self.devices, self.groups, self.change_set)


class SqlStore(Store):
    """A registry in a database that has the tables.

    first: the devices of a registry that nobody has used yet. Raises StoreUnavailable if the database cannot be
    reached or does not have the tables.
    """

    def __init__(self, url: StoreUrl, first: Sequence[Device] = ()) -> None:
        self._redacted = url.redacted
        self._file = url.path if url.sql.get_backend_name() == "sqlite" else None
        self._group_commit = GroupCommit(self._commit, PATIENCE)
        make = _ENGINES[url.sql.get_backend_name()]
        try:
            pool: dict[str, Any] = {"pool_pre_ping": True, "max_overflow": 0, "pool_timeout": PATIENCE}
            self._engine = make(url, pool_size=WRITERS, **pool)
            self._snapshots = make(url, pool_size=SNAPSHOTS, **pool)
            single = make(url, autocommit=True, poolclass=NullPool, pool_reset_on_return=None)
        except ArgumentError as error:
            raise StoreUnavailable(f"{self._redacted} cannot be used: {error}.") from error
        nothing_read = partial(self._understood, "Nothing was read.")
        self._reads = Reads(single, READERS, PATIENCE, self._is_current, nothing_read, self._reading)
        try:
            with self._reading() as connection:
                if not inspect(connection).has_table(schema.registry.name):
                    words = f"{self._redacted} has no registry"
                    raise StoreUnavailable(f"{words}: devicesvc db upgrade {self._redacted} makes it.")
                is_new = not connection.scalar(select(schema.registry.c.changes))
            if is_new:
                self._fill(first)
        except UnicodeError as error:  # a host that cannot be one
            self.close()
            raise StoreUnavailable(f"{self._redacted} cannot be used: {error}.") from error
        except StoreUnavailable:
            self.close()
            raise

    @property
    def devices(self) -> SqlDevices:
        return SqlDevices(self._reads)

    @property
    def groups(self) -> SqlGroups:
        return SqlGroups(self._reads)

    @property
    def memberships(self) -> SqlMemberships:
        return SqlMemberships(self._reads)

    def _write(self, change: Callable[[Transaction], T]) -> T:
        return cast(T, self._group_commit.run(change))

    def _commit(self, group: Sequence[Waiting]) -> None:
        """Run the changes one after another in one transaction, and tell each its outcome when that is committed. What
        a change raises is its own outcome, but if the database refuses to go on, that is the outcome of all."""
        begin = perf_counter()
        outcomes: list[Callable[[], None]] = []
        changed = proofs = 0
        shared = len(group) > 1
        with self._writing() as connection:
            for change, outcome in group:
                if shared:  # in SQL: SQLAlchemy's savepoints take a third of the time of a change
                    connection.exec_driver_sql("SAVEPOINT a_change")
                try:
                    tx = SqlTransaction(connection)
                    outcomes.append(partial(outcome.set_result, change(tx)))
                except Exception as error:
                    if isinstance(error, DBAPIError) and not isinstance(error, _DEFECTS):
                        raise  # the database refuses: perhaps it has taken back the savepoint too
                    if shared:
                        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT a_change")
                    outcomes.append(partial(outcome.set_exception, error))
                else:
                    changed += bool(tx.change_set)
                    proofs += tx.is_proof
                if shared:
                    connection.exec_driver_sql("RELEASE SAVEPOINT a_change")
            if not changed and not proofs:
                connection.rollback()
        if changed:
            self.observer.committed(changed, perf_counter() - begin)
        for tell in outcomes:
            tell()

    def size(self) -> Size:
        counted = schema.devices, schema.groups, schema.memberships
        counts = [select(func.count()).select_from(each).scalar_subquery() for each in counted]
        with self._reading() as connection:
            return Size._make(connection.execute(select(*counts, _BYTES[self._engine.dialect.name])).one())

    def ping(self) -> None:
        self._group_commit.run(self._prove)

    def _prove(self, tx: SqlTransaction) -> None:
        """A change that leaves all as it is. The count of changes is written and synced with it."""
        tx.is_proof = True
        if self._file:
            durable_file.prove_space(self._file.resolve(), PROBE_BYTES)
        else:
            tx.devices.remove([tx.devices.create(PROBE).id])
            tx.change_set.clear()

    def close(self) -> None:
        self._group_commit.close()
        self._reads.close()
        self._snapshots.dispose()
        self._engine.dispose()

    def _fill(self, first: Sequence[Device]) -> None:
        with self._writing() as connection:
            if connection.execute(select(schema.registry.c.changes)).scalar_one() > 1:
                return  # somebody else was first
            SqlTransaction(connection).devices.put_many(first)
        log.info("Made %s with %d sample devices: %s", self._redacted, len(first), ", ".join(each.id for each in first))

    def _is_current(self, info: dict[Any, Any]) -> bool:
        """Whether a connection is to the file that has the name now, and not to one that was moved away or deleted."""
        return not self._file or info["file"] == _identity(self._file)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A transaction to read in."""
        with self._understood("Nothing was read."):
            engine = self._snapshots.execution_options(**_READING[self._engine.dialect.name])
            with engine.connect() as connection, connection.begin():
                yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction to write in, after all others and before the next: it is committed unless it has ended."""
        with (
            self._understood("Nothing was changed."),
            self._engine.connect() as connection,
            connection.begin() as transaction,
        ):
            connection.execute(update(schema.registry).values(changes=schema.registry.c.changes + 1))
            yield connection
            if transaction.is_active:
                with self._understood("The outcome is unknown."):
                    transaction.commit()

    @contextmanager
    def _understood(self, consequence: str) -> Iterator[None]:
        """Say what a database refuses to do in the words of the registry."""
        try:
            yield
        except PoolTimeout as error:
            raise StoreUnavailable(f"{self._redacted} is busy: no connection is free. {consequence}") from error
        except InvalidRequestError as error:  # the file was replaced again and again while a connection was taken
            raise StoreUnavailable(f"{self._redacted} cannot be used: {error}. {consequence}") from error
        except _DEFECTS:
            raise
        except DBAPIError as error:
            reason = str(error.orig).strip().splitlines()[0].rstrip(".")
            raise StoreUnavailable(f"{self._redacted} cannot be used: {reason}. {consequence}") from error


def check(url: StoreUrl) -> list[str]:
    """The faults of a database: none, it refuses them itself. Raises StoreUnavailable if it cannot be opened."""
    SqlStore(url).close()
    return []


_BYTES: dict[str, Any] = {
    "sqlite": text("(SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)"),
    "postgresql": text("pg_database_size(current_database())"),
}

_READING: dict[str, dict[str, Any]] = {
    "sqlite": {"begin": "BEGIN"},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}


def _sqlite(url: StoreUrl, autocommit: bool = False, **pool: Any) -> Engine:
    """Raises StoreUnavailable if there is no file: SQLite would make an empty one."""
    path = url.path
    if not path.is_file():
        raise StoreUnavailable(f"There is no file {path}: devicesvc db upgrade {url.redacted} makes it.")

    def connect() -> sqlite3.Connection:
        """Open the file that there is: no mode but this leaves a missing one missing."""
        name = f"file:{quote(str(path))}?mode=rw"
        return sqlite3.connect(name, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)

    engine = create_engine(url.sql, creator=connect, **pool)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, record: ConnectionPoolEntry) -> None:
        for pragma in ("journal_mode = DELETE", "synchronous = EXTRA", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        record.info["file"] = _identity(path)

    @event.listens_for(engine, "checkout")
    def check(_connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        """Go on with the file that has the name now, not with one that was moved away or deleted."""
        if record.info["file"] != _identity(path):
            raise DisconnectionError

    if not autocommit:

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN IMMEDIATE"))

    return engine


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _postgresql(url: StoreUrl, autocommit: bool = False, **pool: Any) -> Engine:
    settings: dict[str, Any] = {
        "connect_timeout": PATIENCE,
        # A server that is gone without a word is noticed: in an answer that is awaited, and between two calls.
        "tcp_user_timeout": LOST_SECONDS * 1000,
        "keepalives_idle": PATIENCE,
        "keepalives_interval": PATIENCE,
        "keepalives_count": LOST_SECONDS // PATIENCE - 1,
    }
    given = url.sql.query
    return create_engine(
        url.sql,
        isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
        **pool,
        connect_args={
            **{name: value for name, value in settings.items() if name not in given},
            "client_encoding": "utf8",
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={PATIENCE}s",
        },
    )


_ENGINES: dict[str, Callable[..., Engine]] = {"sqlite": _sqlite, "postgresql": _postgresql}
