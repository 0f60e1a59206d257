"""How a SQL store reads: one statement for each call, which is a snapshot by itself, or a transaction for several."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, Engine, PoolProxiedConnection, Select, SelectBase, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql.dml import UpdateBase

from devicesvc.dao.sql.statements import Statements, Values

Understood = Callable[[], AbstractContextManager[None]]  # raises StoreUnavailable for what a database refuses


class Source(ABC):
    """Where a table is read from, and what a change locks, so that others wait which would change what it has read.
    Here nothing is locked: for one statement, and for a change that is alone until it ends."""

    @abstractmethod
    def rows(self, query: SelectBase, values: Values) -> Sequence[Any]:
        """All rows of a query. The same object comes again for the same query."""

    def rows_of_one(self, _table: Table, query: Select[Any], id: str) -> Sequence[Any]:
        """The rows of a query for an item of a table, which is locked. id: of the item, the parameter of the query."""
        return self.rows(query, {"id": id})

    @abstractmethod
    def connect(self) -> AbstractContextManager[Connection]:
        """A connection for several queries, which see one snapshot."""

    def hold(self, _table: Table, ids: Iterable[str]) -> Collection[str]:
        """Lock the items with these ids. Return those that may exist: all others do not."""
        return list(ids)

    def hold_found(self, _table: Table, _query: Select[Any]) -> None:  # noqa: B027
        """Lock the items whose ids the query finds."""

    def hold_all(self) -> None:  # noqa: B027
        """Lock everything, because what is read has no id, such as a list by a condition."""

    def made(self, _table: Table, _ids: Iterable[str]) -> None:  # noqa: B027
        """The change adds the items with these ids."""


class InTransaction(Source):
    """Reads and changes in the transaction of a change."""

    def __init__(self, connection: Connection, statements: Statements) -> None:
        self._connection = connection
        self._raw = connection.connection
        self._statements = statements

    def check(self, *, is_kept: bool) -> None:
        """The change ends; is_kept: whether what it did is kept. Raises an error if what it has read may have been
        wrong."""

    def rows(self, query: SelectBase, values: Values) -> Sequence[Any]:
        return self._statements.rows(self._raw, query, values)

    def change(self, query: UpdateBase, rows: Sequence[Values]) -> None:
        """Run a change for each of these rows. The same object comes again for the same change."""
        if rows:
            self._statements.change(self._raw, query, rows)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        yield self._connection


class Reads(Source):
    """Reads what is durable now.

    engine: its connections commit each statement by themselves; it has no pool, whose part is done here in a fraction
    of the time. most: how many connections there may be. patience: seconds that a call waits for one. is_current:
    whether a connection, by its info, still leads to the right database. snapshot: a transaction to read in. A
    statement that meets a dead connection is sent once more on a new one: the database may have been started anew.
    stale_since: as that of a store.
    """

    stale_since: float | None = None

    def __init__(
        self,
        engine: Engine,
        most: int,
        patience: float,
        is_current: Callable[[dict[Any, Any]], bool],
        understood: Understood,
        snapshot: Callable[[], AbstractContextManager[Connection]],
        statements: Statements,
    ) -> None:
        self._engine = engine
        self._free = threading.Semaphore(most)
        self._patience = patience
        self._is_current = is_current
        self._understood = understood
        self._snapshot = snapshot
        self._resting: deque[PoolProxiedConnection] = deque()
        self._statements = statements

    def rows(self, query: SelectBase, values: Values) -> Sequence[Any]:
        with self._understood():
            if not self._free.acquire(timeout=self._patience):
                raise PoolTimeout
            try:
                return self._tried(query, values)
            finally:
                self._free.release()

    def _tried(self, query: SelectBase, values: Values) -> Sequence[Any]:
        try:
            return self._fetch(self._take(), query, values)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return self._fetch(None, query, values)

    def connect(self) -> AbstractContextManager[Connection]:
        return self._snapshot()

    def close(self) -> None:
        """Close the connections, for good."""
        self._close_resting()

    def _close_resting(self) -> None:
        with suppress(IndexError):
            while True:
                self._resting.pop().close()

    def _fetch(self, connection: PoolProxiedConnection | None, query: SelectBase, values: Values) -> Sequence[Any]:
        """Run the query on this connection, or on a new one, and let it rest afterwards."""
        if not connection:
            try:
                connection = self._engine.raw_connection()
            except self._engine.dialect.loaded_dbapi.Error as error:
                raise self._statements.wrapped(error, None) from error
        try:
            found = self._statements.rows(connection, query, values)
        except DBAPIError as error:
            connection.invalidate(error)
            if error.connection_invalidated:
                self._close_resting()  # they are dead too
            raise
        self._resting.append(connection)
        return found

    def _take(self) -> PoolProxiedConnection | None:
        """A connection that rests and can be used; None if there is none."""
        with suppress(IndexError):
            while True:
                connection = self._resting.pop()
                if self._is_current(connection.info):
                    return connection
                connection.close()
        return None
