"""How a SQL store reads: one statement for each call, which is a snapshot by itself, or a transaction for several."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, PoolProxiedConnection, Select
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
Understood = Callable[[], AbstractContextManager[None]]  # raises StoreUnavailable for what a database refuses


class Source(Protocol):
    """Where a table is read from."""

    def one(self, query: Select[Any], id: str) -> Any:
        """The row of a query with the parameter `id`; None if there is none. The same query comes again and again."""

    def rows(self, query: Select[Any]) -> list[Any]:
        """All rows of a query."""

    def connect(self) -> AbstractContextManager[Connection]:
        """A connection for several queries, which see one snapshot."""


class InTransaction:
    """Reads in the transaction of a change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def one(self, query: Select[Any], id: str) -> Any:
        """As Source says."""
        return self._connection.execute(query, {"id": id}).first()

    def rows(self, query: Select[Any]) -> list[Any]:
        """As Source says."""
        return list(self._connection.execute(query))

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """As Source says."""
        yield self._connection


class Reads:
    """Reads what is durable now.

    engine: its connections commit each statement by themselves. most_resting: how many of them are kept out of its
    pool between two calls of `one`. is_current: whether a connection, by its info, still
    leads to the right database. snapshot: a transaction to read in. A statement that meets a dead connection is sent
    once more on a new one: the database may have been started anew.
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
        self._statements: dict[Select[Any], tuple[str, bool]] = {}  # in the words of the database; by position?

    def one(self, query: Select[Any], id: str) -> Any:
        """As Source says. Past SQLAlchemy, which takes several times as long as the database."""
        statement, by_position = self._statements.get(query) or self._compile(query)
        with self._understood():
            return self._twice(partial(self._fetch, statement, (id,) if by_position else {"id": id}))

    def rows(self, query: Select[Any]) -> list[Any]:
        """As Source says."""

        def fetch(again: bool) -> list[Any]:  # noqa: ARG001 - the pool has forgotten all connections that were there
            with self._engine.connect() as connection:
                return list(connection.execute(query))

        with self._understood():
            return self._twice(fetch)

    def close(self) -> None:
        """Close the connections."""
        self._close_resting()
        self._engine.dispose()

    def _close_resting(self) -> None:
        with suppress(IndexError):
            while True:
                self._resting.pop().invalidate()

    def _twice(self, fetch: Callable[[bool], T]) -> T:
        try:
            return fetch(False)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return fetch(True)

    def _compile(self, query: Select[Any]) -> tuple[str, bool]:
        compiled = query.compile(dialect=self._engine.dialect)
        self._statements[query] = str(compiled), bool(compiled.positional)
        return self._statements[query]

    def _fetch(self, statement: str, parameters: Any, again: bool) -> Any:
        connection, driver = None, self._engine.dialect.loaded_dbapi
        try:
            connection = self._engine.raw_connection() if again else self._take()
            cursor = connection.cursor()
            cursor.execute(statement, parameters)
            found = cursor.fetchone()
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
