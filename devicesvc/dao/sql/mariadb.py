"""The registry in a MariaDB or MySQL database, or in one that speaks their protocol."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from devicesvc.dao.sql import store
from devicesvc.dao.sql.serial import SerialStore
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable

MARGIN = 5  # seconds after which a server that should have given up a statement is given up

DEADLOCK = 1213  # the server took a transaction back, because of another one: of a cluster also while it commits
UNKNOWN = 2000  # the number of an error that has none


class MariadbStore(SerialStore):
    """A registry in a MariaDB or MySQL database."""

    _BYTES = text(
        "(SELECT CAST(coalesce(sum(data_length + index_length), 0) AS signed)"
        " FROM information_schema.tables WHERE table_schema = database())"
    )
    _HISTORY_BYTES = text(
        "(SELECT CAST(coalesce(sum(data_length + index_length), 0) AS signed)"
        " FROM information_schema.tables WHERE table_schema = database() AND table_name = 'history')"
    )
    _READING = {"isolation_level": "REPEATABLE READ"}

    def _make_engine(self, answer: float, **pool: Any) -> Engine:
        engine = make_engine(
            self._url,
            patience=store.PATIENCE,
            statement_seconds=answer,
            lost_seconds=answer + MARGIN,
            isolation_level="AUTOCOMMIT",
            **pool,
        )

        @event.listens_for(engine, "connect")
        def set_up(connection: Any, _record: object) -> None:
            # A change reads after it has waited for the registry: READ COMMITTED sees what the change before it left,
            # on every server of this protocol. TiDB would show what there was before the wait.
            connection.query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("START TRANSACTION")

        return engine

    def _begin(self, changes: int = 1) -> str:
        return f"UPDATE registry SET changes = LAST_INSERT_ID(changes + {changes})"

    def _number(self, connection: Connection, _begun: Sequence[Any]) -> int:
        return int(connection.connection.insert_id())  # the server has said it with the answer to the UPDATE

    def _may_pass(self, error: DBAPIError) -> bool:
        return bool(error.orig and error.orig.args[0] == DEADLOCK)


def make_engine(
    url: StoreUrl, *, patience: int, statement_seconds: float = 0, lost_seconds: float | None = None, **options: Any
) -> Engine:
    """Connections to the database. patience: seconds to wait for a connection, and for what somebody else has locked.
    statement_seconds: what one statement may take; 0 means any time. lost_seconds: after which a server that says
    nothing is given up; None means never. options: of create_engine. Raises StoreUnavailable."""
    if not url.sql.database:
        raise StoreUnavailable(f"{url.redacted} names no database: it must be as in mysql+pymysql://HOST/DATABASE.")
    timeouts: dict[str, Any] = {
        "connect_timeout": patience,
        "read_timeout": lost_seconds,
        "write_timeout": lost_seconds,
    }
    settings = {name: value for name, value in timeouts.items() if name not in url.sql.query}
    settings |= {"charset": "utf8mb4", "init_command": _first_statement(patience, statement_seconds)}
    try:
        engine = create_engine(url.sql, connect_args=settings, **options)
    except ValueError as error:  # an option of the URL that must be a number
        raise StoreUnavailable(f"{url.redacted} cannot be used: {error}.") from error
    event.listen(engine, "do_connect", _connect)
    return engine


def _first_statement(patience: int, statement_seconds: float) -> str:
    settings = [
        # Each kind of server takes the setting of the other for a comment.
        f"/*M!100100 max_statement_time = {statement_seconds}, */",
        f"/*!80000 max_execution_time = {int(statement_seconds * 1000)}, */",
        f"innodb_lock_wait_timeout = {patience},",
        f"lock_wait_timeout = {patience},",
        "group_concat_max_len = 1048576,",  # MariaDB cuts off the end of what json_arrayagg makes, if it is longer
        "sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
    ]
    return f"SET SESSION {' '.join(settings)}"


def _connect(dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
    """Connect. What PyMySQL raises for an option, a file of TLS or a password that it cannot use is none of its own
    errors: make it one."""
    try:
        return dialect.connect(*arguments, **options)
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise dialect.loaded_dbapi.OperationalError(UNKNOWN, str(error)) from error
