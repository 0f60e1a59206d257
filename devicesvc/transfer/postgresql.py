"""A connection to PostgreSQL for a migration, which reads and writes more rows than SQLAlchemy is made for."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable


@contextmanager
def connected(url: StoreUrl, *, read_only: bool) -> Iterator[Any]:
    """A psycopg connection in a transaction, which is rolled back at the end if it was not committed. read_only: it
    reads one snapshot. Raises StoreUnavailable."""
    import psycopg

    engine = create_engine(url.sql, poolclass=NullPool)
    try:
        raw = engine.raw_connection()
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise StoreUnavailable(f"{url.redacted} cannot be reached: {reason}.") from error
    connection: Any = raw.driver_connection
    try:
        connection.rollback()
        levels = psycopg.IsolationLevel  # one of them, whatever the server is set to
        connection.isolation_level = levels.REPEATABLE_READ if read_only else levels.READ_COMMITTED
        connection.read_only = read_only
        yield connection
    finally:
        with suppress(Exception):
            connection.rollback()
        raw.invalidate()
        engine.dispose()
