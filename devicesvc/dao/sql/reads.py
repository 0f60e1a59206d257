"""How a SQL store reads: one statement for each call, which is a snapshot by itself, or a transaction for several."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, PoolProxiedConnection, Select
from sqlalchemy.exc import DBAPIError

Understood = Callable[[], AbstractContextManager[None]]  # raises StoreUnavailable for what a database refuses


class Source(Protocol):
    """Where a table is read from."""

    def rows(self, query: Select[Any], values: Mapping[str, Any]) -> Sequence[Any]:
        """All rows of a query. values: of its parameters. The same object comes again for the same query."""

    def connect(self) -> AbstractContextManager[Connection]:
        """A connection for several queries, which see one snapshot."""


class InTransaction:
    """Reads in the transaction of a change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, query: Select[Any], values: Mapping[str, Any]) -> Sequence[Any]:
        """As Source says."""
        return self._connection.execute(query, values).all()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """As Source says."""
        yield self._connection


class Reads:
    """Reads what is durable now. Statements go past SQLAlchemy, which takes several times as long as the database.

    engine: its connections commit each statement by themselves. most_resting: how many of them are kept out of its
    pool between two calls. is_current: whether a connection, by its info, still leads to the right database. snapshot:
    a transaction to read in. A statement that meets a dead connection is sent once more on a new one: the database may
    have been started anew.
    """

    def __init__(
        self,
        engine: Engine,
        most_resting: int,
        is_current: Callable[[dict[Any, Any]], bool],
        understood: Understood,
        snapshot: Callable[[], Any],
    ) -> None:
        self._engine = engine
        self._most_resting = most_resting
        self._is_current = is_current
        self._understood = understood
        self.connect = snapshot
        self._resting: deque[PoolProxiedConnection] = deque()  # to give one back to the pool takes longer than a read
        self._compiled = lru_cache(1000)(self._compile)

    def rows(self, query: Select[Any], values: Mapping[str, Any]) -> Sequence[Any]:
        """As Source says."""
        statement, names, constants = self._compiled(query)
        given = {**constants, **values}
        parameters = given if names is None else [given[name] for name in names]
        with self._understood():
            try:
                return self._fetch(statement, parameters, self._take)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return self._fetch(statement, parameters, self._engine.raw_connection)

    def close(self) -> None:
        """Close the connections."""
        self._close_resting()
        self._engine.dispose()

    def _close_resting(self) -> None:
        with suppress(IndexError):
            while True:
                self._resting.pop().invalidate()

    def _compile(self, query: Select[Any]) -> tuple[str, list[str] | None, Mapping[str, Any]]:
        """The statement in the words of the database; the names of its parameters by position, if they have one; and
        the values of those that are always the same."""
        compiled: Any = query.compile(dialect=self._engine.dialect)
        return str(compiled), compiled.positiontup, compiled.params

    def _fetch(self, statement: str, parameters: Any, take: Callable[[], PoolProxiedConnection]) -> Sequence[Any]:
        connection, driver = None, self._engine.dialect.loaded_dbapi
        try:
            connection = take()
            cursor = connection.cursor()
            cursor.execute(statement, parameters)
            found = cursor.fetchall()
            cursor.close()
        except driver.Error as error:
            is_dead = bool(connection) and self._engine.dialect.is_disconnect(error, connection, None)
            if connection:
                connection.invalidate(error)
            if is_dead:
                self._close_resting()  # they are dead too
                self._engine.dispose()
            raise DBAPIError.instance(
                statement, parameters, error, driver.Error, connection_invalidated=is_dead, dialect=self._engine.dialect
            ) from error
        if len(self._resting) < self._most_resting:
            self._resting.append(connection)
        else:
            connection.close()
        return found

    def _take(self) -> PoolProxiedConnection:
        with suppress(IndexError):
            while True:
                connection = self._resting.pop()
                if self._is_current(connection.info):
                    return connection
                connection.invalidate()
        return self._engine.raw_connection()
