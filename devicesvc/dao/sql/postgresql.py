"""The registry in a PostgreSQL database."""

from typing import Any

from sqlalchemy import Engine, create_engine, text

from devicesvc.dao.sql import store
from devicesvc.dao.sql.serial import SerialStore

STATEMENT_SECONDS = 15  # that one statement may take
LOST_SECONDS = 20  # after which a server that says nothing at all is given up


class PostgresqlStore(SerialStore):
    """A registry in a PostgreSQL database."""

    _BYTES = text("pg_database_size(current_database())")
    _READING = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def _make_engine(self, autocommit: bool = False, **pool: Any) -> Engine:
        patience = store.PATIENCE
        settings: dict[str, Any] = {
            "connect_timeout": patience,
            # A server that is gone without a word is noticed: in an answer that is awaited, and between two calls.
            "tcp_user_timeout": LOST_SECONDS * 1000,
            "keepalives_idle": patience,
            "keepalives_interval": patience,
            "keepalives_count": LOST_SECONDS // patience - 1,
        }
        given = self._url.sql.query
        return create_engine(
            self._url.sql,
            isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
            **pool,
            connect_args={
                **{name: value for name, value in settings.items() if name not in given},
                "client_encoding": "utf8",
                "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={patience}s",
            },
        )
