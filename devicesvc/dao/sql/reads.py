"""How a SQL store reads: one statement for each call, which is a snapshot by itself, or a transaction for several."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, PoolProxiedConnection, Select, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

Understood = Callable[[], AbstractContextManager[None]]  # raises StoreUnavailable for what a database refuses


class Source(ABC):
    """Where a table is read from, and what a change locks, so that others wait which would change what it has read.
    Here nothing is locked: for one statement, and for a change that is alone until it ends."""

    @abstractmethod
    def rows(self, query: Select[Any], values: Mapping[str, Any]) -> Sequence[Any]:
        """All rows of a query. values: of its parameters. The same object comes again for the same query."""

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
    """Reads in the transaction of a change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, query: Select[Any], values: Mapping[str, Any]) -> Sequence[Any]:
        return self._connection.execute(query, values).all()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        yield self._connection


class Reads(Source):
    """Reads what is durable now. Statements go past SQLAlchemy, which takes several times as long as the database.

    engine: its connections commit each statement by themselves; it has no pool, whose part is done here in a fraction
    of the time. most: how many connections there may be. patience: seconds that a call waits for one. is_current:
    whether a connection, by its info, still leads to the right database. snapshot: a transaction to read in. A
    statement that meets a dead connection is sent once more on a new one: the database may have been started anew.
    """

    def __init__(
        self,
        engine: Engine,
        most: int,
        patience: float,
        is_current: Callable[[dict[Any, Any]], bool],
        understood: Understood,
        snapshot: Callable[[], AbstractContextManager[Connection]],
    ) -> None:
        self._engine = engine
        self._free = threading.Semaphore(most)
        self._patience = patience
        self._is_current = is_current
        self._understood = understood
        self._snapshot = snapshot
        self._resting: deque[PoolProxiedConnection] = deque()
        self._compiled = lru_cache(1000)(self._compile)

    def rows(self, query: Select[Any], values: Mapping[str, Any]) -> Sequence[Any]:
        statement, names, constants = self._compiled(query)
        given = {**constants, **values}
        parameters = given if names is None else [given[name] for name in names]
        with self._understood():
            if not self._free.acquire(timeout=self._patience):
                raise PoolTimeout
            try:
                return self._fetch(statement, parameters, self._take())
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                return self._fetch(statement, parameters, None)
            finally:
                self._free.release()

    def connect(self) -> AbstractContextManager[Connection]:
        return self._snapshot()

    def close(self) -> None:
        """Close the connections."""
        with suppress(IndexError):
            while True:
                self._resting.pop().close()

    def _compile(self, query: Select[Any]) -> tuple[str, list[str] | None, Mapping[str, Any]]:
        """The statement in the words of the database; the names of its parameters by position, if they have one; and
        the values of those that are always the same."""
        compiled: Any = query.compile(dialect=self._engine.dialect)
        return str(compiled), compiled.positiontup, compiled.params

    def _fetch(self, statement: str, parameters: Any, connection: PoolProxiedConnection | None) -> Sequence[Any]:
        """Run the statement on this connection, or on a new one, and let it rest afterwards."""
        driver = self._engine.dialect.loaded_dbapi
        try:
            connection = connection or self._engine.raw_connection()
            cursor = connection.cursor()
            cursor.execute(statement, parameters)
            found = cursor.fetchall()
            cursor.close()
        except driver.Error as error:
            is_dead = bool(connection) and self._engine.dialect.is_disconnect(error, connection, None)
            if connection:
                connection.invalidate(error)
            if is_dead:
                self.close()  # those that rest are dead too
            raise DBAPIError.instance(
                statement, parameters, error, driver.Error, connection_invalidated=is_dead, dialect=self._engine.dialect
            ) from error
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
