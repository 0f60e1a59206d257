"""Runs statements past SQLAlchemy, which only writes each of them once: it takes longer than a database."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from typing import Any

from sqlalchemy import Dialect, PoolProxiedConnection, SelectBase
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import UpdateBase

Query = SelectBase | UpdateBase
Values = Mapping[str, Any]  # of the parameters of a statement, by name


class Statements:
    """Runs statements on the connections of a driver. A statement of SQLAlchemy must be the same object each time.

    All methods raise DBAPIError, as SQLAlchemy does.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._driver = dialect.loaded_dbapi
        self._takes_several = dialect.name == "postgresql"
        self._written = lru_cache(1000)(self._write)

    def rows(self, connection: PoolProxiedConnection, query: Query, values: Values) -> Sequence[Any]:
        """All rows of a query; none if it is a change."""
        statement, names, constants = self._written(query, tuple(values))
        return self.do(connection, statement, _given(names, constants, values))

    def change(self, connection: PoolProxiedConnection, query: UpdateBase, rows: Sequence[Values]) -> None:
        """Run a change for each of these rows, at least one."""
        if len(rows) == 1:
            self.rows(connection, query, rows[0])  # drivers take longer for one of many
            return
        statement, names, constants = self._written(query, tuple(rows[0]))
        try:
            with closing(connection.cursor()) as cursor:
                cursor.executemany(statement, [_given(names, constants, row) for row in rows])
        except self._driver.Error as error:
            raise self.wrapped(error, connection, statement) from error

    def do(self, connection: PoolProxiedConnection, statement: str, parameters: Any = ()) -> Sequence[Any]:
        """All rows of a statement in the words of the database; if it has no parameters, it may be several: then those
        of the last one that has rows."""
        try:
            cursor = connection.cursor()
            if parameters:
                cursor.execute(statement, parameters)
            else:
                cursor.execute(statement)
            rows = cursor.fetchall() if cursor.description else ()
            while not parameters and self._takes_several and cursor.nextset():
                rows = cursor.fetchall() if cursor.description else rows
            cursor.close()
        except self._driver.Error as error:
            raise self.wrapped(error, connection, statement, parameters) from error
        return rows

    def wrapped(
        self, error: Exception, connection: PoolProxiedConnection | None, statement: str = "", parameters: Any = ()
    ) -> DBAPIError:
        """The error of the driver, as SQLAlchemy would raise it."""
        is_lost = bool(connection) and self._dialect.is_disconnect(error, connection, None)  # type: ignore[arg-type]
        wrapped = DBAPIError.instance(
            statement, parameters, error, self._driver.Error, connection_invalidated=is_lost, dialect=self._dialect
        )
        assert isinstance(wrapped, DBAPIError)
        return wrapped

    def _write(self, query: Query, names: tuple[str, ...]) -> tuple[str, list[str] | None, Values]:
        """The statement in the words of the database; the names of its parameters by position, if they have one; and
        the values of those that are always the same. names: of the values that are given."""
        columns = names if isinstance(query, UpdateBase) else None
        compiled: Any = query.compile(dialect=self._dialect, column_keys=columns)
        return str(compiled), compiled.positiontup, compiled.params


def _given(names: list[str] | None, constants: Values, values: Values) -> Any:
    given = {**constants, **values}
    return given if names is None else [given[name] for name in names]
