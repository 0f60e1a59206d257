"""The registry in a SQL database: what is the same on every one.

A read is on what is durable then. How changes are kept apart, the module of each database says.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pkgutil import resolve_name
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, TextClause, func, inspect, select
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InvalidRequestError,
    NotSupportedError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from devicesvc.dao.base import Size, Store
from devicesvc.dao.history import IMPORT, Author, ChangeSet, History, now
from devicesvc.dao.sql import history, schema
from devicesvc.dao.sql.history import SqlHistory
from devicesvc.dao.sql.items import SqlDevices, SqlGroups
from devicesvc.dao.sql.reads import InTransaction, Reads
from devicesvc.dao.sql.statements import Statements
from devicesvc.dao.sql.tables import SqlDeviceWriter, SqlGroupWriter, SqlMemberships, SqlMembershipWriter
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable
from devicesvc.model import MAX_NICS, Device

PATIENCE = 5  # seconds that a change waits for others, and a call for a connection
CHANGE_SECONDS = 6  # that one statement of a change may take on a server; to wait for others is part of it
READ_SECONDS = 15  # that one statement which reads may take on a server
# Connections of a worker: PostgreSQL takes 100 of all, if it is not told otherwise.
READERS = 16  # for reads of one statement
SNAPSHOTS = 8  # for reads of several

# A device as long as they come, which takes pages of a database on a server.
PROBE = {
    "name": "n" * 64,
    "type": "t" * 32,
    "hardware": {"model": "m" * 64, "sn": "s" * 64},
    "software": {"version": "v" * 32, "last_update": "2000-01-01 00:00:00"},
    "nic": [{"type": "t" * 32, "mac": "00:00:00:00:00:00", "ipv4": "0.0.0.0"}] * MAX_NICS,
    "status": "s" * 32,
}

COUNT_A_CHANGE = "UPDATE registry SET changes = changes + 1"

DEFECTS = (DataError, IntegrityError, NotSupportedError)  # of this program: a statement was wrong, all else is well

log = logging.getLogger(__name__)


class TryAgain(StoreUnavailable):
    """Nothing was changed, and the next try may be better."""


class SqlTransaction:
    """What a change gets: the tables, in one transaction."""

    def __init__(self, source: InTransaction) -> None:
        self.is_proof = False  # whether it is committed although it changes nothing
        self.change_set = ChangeSet()
        self.devices = SqlDeviceWriter(source, self.change_set)
        self.groups = SqlGroupWriter(source, self.change_set)
        self.memberships = SqlMembershipWriter(source, self.devices, self.groups, self.change_set)
        self._source = source

    def keep_history(self, number: int) -> None:
        """Add what was done to the history, as the change of this number."""
        rows = enumerate(self.change_set.rows(number, now()))
        self._source.change(history.ADD, [history.values(*each) for each in rows])


class SqlStore(Store):
    """A registry in a database that has the tables.

    first: the devices of a registry that nobody has used yet; None: it stays unused. Raises StoreUnavailable if the
    database cannot be reached or does not have the tables.
    """

    WRITERS: ClassVar[int]  # connections of a worker for changes
    _IS_TRIED: ClassVar[bool] = True  # whether each is tried before a change, which may have to fail else
    _BYTES: ClassVar[TextClause]  # how many the database has
    _HISTORY_BYTES: ClassVar[TextClause]  # how many of them the history has, about
    _READING: ClassVar[Mapping[str, Any]]  # options of SQLAlchemy for a transaction that reads one snapshot

    def __init__(self, url: StoreUrl, first: Sequence[Device] | None = ()) -> None:
        self._url = url
        self._redacted = url.redacted
        try:
            self._prepare()
            pool: dict[str, Any] = {"max_overflow": 0, "pool_timeout": PATIENCE, "pool_pre_ping": True}
            self._snapshots = self._make_engine(READ_SECONDS, pool_size=SNAPSHOTS, **pool)
            pool["pool_pre_ping"] = self._IS_TRIED
            self._engine = self._make_engine(CHANGE_SECONDS, pool_size=self.WRITERS, **pool)
            single = self._make_engine(READ_SECONDS, poolclass=NullPool, pool_reset_on_return=None)
        except ArgumentError as error:
            raise StoreUnavailable(f"{self._redacted} cannot be used: {error}.") from error
        self._statements = Statements(single.dialect)
        self._reads = self._make_reads(single, self._snapshots)
        try:
            with self._reading() as connection:
                if not inspect(connection).has_table(schema.registry.name):
                    words = f"{self._redacted} has no registry"
                    raise StoreUnavailable(f"{words}: devicesvc db upgrade {self._redacted} makes it.")
                is_new = not connection.scalar(select(schema.registry.c.changes))
            if is_new and first is not None:
                self._fill(first)
        except UnicodeError as error:  # a host that cannot be one
            self.close()
            raise StoreUnavailable(f"{self._redacted} cannot be used: {error}.") from error
        except StoreUnavailable:
            self.close()
            raise

    def _prepare(self) -> None:
        """What is done before any connection is made."""

    @property
    def devices(self) -> SqlDevices:
        return SqlDevices(self._reads)

    @property
    def groups(self) -> SqlGroups:
        return SqlGroups(self._reads)

    @property
    def memberships(self) -> SqlMemberships:
        return SqlMemberships(self._reads)

    @property
    def history(self) -> SqlHistory:
        return SqlHistory(self._reads, self._settled, self._pruning, self._HISTORY_BYTES)

    @contextmanager
    def _settled(self) -> Iterator[tuple[Connection, int]]:
        """What sees all changes that have been answered, and the number up to which none is still to come."""
        with self._reading() as connection:
            yield connection, history.LAST

    @contextmanager
    def _pruning(self) -> Iterator[Connection]:
        with self._changing(self._begin()) as (connection, _):
            yield connection

    @property
    def stale_since(self) -> float | None:
        return self._reads.stale_since

    def size(self) -> Size:
        counted = schema.devices, schema.groups, schema.memberships
        counts = [select(func.count()).select_from(each).scalar_subquery() for each in counted]
        with self._reading() as connection:
            return Size._make(connection.execute(select(*counts, self._BYTES)).one())

    def ping(self) -> None:
        self._write(self._prove)

    def _prove(self, tx: Any) -> None:
        """A change that leaves all as it is, but is committed: the log of the database is written and synced."""
        tx.is_proof = True
        tx.devices.remove([tx.devices.create(PROBE).id])
        tx.change_set.clear()

    def close(self) -> None:
        self._reads.close()
        self._snapshots.dispose()
        self._engine.dispose()

    def _fill(self, first: Sequence[Device]) -> None:
        with self._changing(self._begin()) as (connection, begun):
            number = self._number(connection, begun)
            if connection.execute(select(schema.registry.c.changes)).scalar_one() > 1:
                return  # somebody else was first
            tx = SqlTransaction(InTransaction(connection, self._statements))
            tx.devices.put_many(first)
            tx.change_set.author = Author(IMPORT)
            tx.keep_history(number)
        log.info("Made %s with %d sample devices: %s", self._redacted, len(first), ", ".join(each.id for each in first))

    @abstractmethod
    def _begin(self, changes: int = 1) -> str:
        """How a transaction of so many changes begins that is alone and is counted in the table `registry`."""

    @abstractmethod
    def _number(self, connection: Connection, begun: Sequence[Any]) -> int:
        """The number that a transaction has taken for its change; of several changes, that of the last. begun: the rows
        of its first statements."""

    @abstractmethod
    def _make_engine(self, answer: float, **pool: Any) -> Engine:
        """Connections to the database, on which a statement commits by itself unless a transaction was begun. answer:
        seconds that a statement may take. pool: options of create_engine."""

    def _make_reads(self, engine: Engine, snapshots: Engine, kind: Callable[..., Reads] = Reads) -> Reads:
        """Reads on the connections of one engine, and of another for those of several statements."""
        nothing_read = partial(self._understood, "Nothing was read.")
        snapshot = partial(self._reading, snapshots)
        return kind(engine, READERS, PATIENCE, self._is_current, nothing_read, snapshot, self._statements)

    def _is_current(self, _info: dict[Any, Any]) -> bool:
        """Whether a connection, by its info, still leads to the right database."""
        return True

    @contextmanager
    def _reading(self, snapshots: Engine | None = None) -> Iterator[Connection]:
        """A transaction to read in."""
        with self._understood("Nothing was read."):
            engine = (snapshots or self._snapshots).execution_options(**self._READING)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _may_pass(self, _error: DBAPIError) -> bool:
        """Whether the next try may be better: another change was in the way, or the connection was lost."""
        return False

    @contextmanager
    def _changing(self, begin: str) -> Iterator[tuple[Connection, Sequence[Any]]]:
        """A transaction to write in: it is committed unless it has ended. begin: its first statements, whose rows come
        with it."""
        with (
            self._understood("Nothing was changed.", TryAgain),
            self._engine.connect() as connection,
            connection.begin() as transaction,
        ):
            try:
                yield connection, self._statements.do(connection.connection, begin)
            except DBAPIError as error:
                if error.connection_invalidated:
                    connection.invalidate(error)  # it has nothing to take back
                raise
            if transaction.is_active:
                with self._understood("The outcome is unknown."):
                    try:
                        transaction.commit()
                    except Exception:
                        connection.invalidate()  # the next change must not find this one in its transaction
                        raise

    @contextmanager
    def _understood(self, consequence: str, passing: type[StoreUnavailable] = StoreUnavailable) -> Iterator[None]:
        """Say what a database refuses to do in the words of the registry. passing: the error for what may pass."""
        try:
            yield
        except PoolTimeout as error:
            raise StoreUnavailable(f"{self._redacted} is busy: no connection is free. {consequence}") from error
        except InvalidRequestError as error:  # the file was replaced again and again while a connection was taken
            raise StoreUnavailable(f"{self._redacted} cannot be used: {error}. {consequence}") from error
        except DBAPIError as error:
            may_pass = self._may_pass(error)
            if isinstance(error, DEFECTS) and not may_pass:
                raise
            kind = passing if may_pass else StoreUnavailable
            raise kind(f"{self._redacted} cannot be used: {reason_of(error.orig)}. {consequence}") from error


def reason_of(error: object) -> str:
    """What a driver's error says, on one line. error: PyMySQL gives it a number before the words."""
    words = str((getattr(error, "args", None) or (error,))[-1]).strip()
    return words.splitlines()[0].rstrip(".") if words else type(error).__name__


@contextmanager
def opened_history(url: StoreUrl, kind: Callable[[StoreUrl, None], SqlStore] | None = None) -> Iterator[History]:
    """The history in a database, to read. kind: what opens it, if not what opens the store. Raises StoreUnavailable."""
    url.schema().must_be_current(url.text)
    with (kind or resolve_name(url.kind.opened_by))(url, None) as store:
        yield store.history


def check(url: StoreUrl) -> list[str]:
    """The faults of a database: none, it refuses them itself. Raises StoreUnavailable if it cannot be opened."""
    url.open().close()
    return []
