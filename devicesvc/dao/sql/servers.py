"""The PostgreSQL servers that a URL names, usually one, and the connections to them."""

from itertools import zip_longest
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from devicesvc.dao.sql.pg_connection import Connection
from devicesvc.dao.urls import StoreUrl

LOST_SECONDS = 20  # after which a server that says nothing at all is given up
MARGIN = 3  # seconds after which a server that should have given up a statement is given up
IDLE_SECONDS = 30  # after which the server takes back a change whose process stands still, and its locks
CLUSTER_CONNECT = 2  # seconds that a connection to one of several servers may take

# With each new primary, a cluster begins a new timeline. Its name begins the names of the files of its log.
_TIMELINE = """
SELECT system_identifier, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) FROM pg_control_system()
WHERE NOT pg_is_in_recovery()
"""


class Servers:
    """The servers of a URL. patience: seconds that a connection to one may take, and that a statement waits for others.

    Raises sqlalchemy.exc.ArgumentError if the URL does not name them as it should.
    """

    def __init__(self, url: StoreUrl, patience: int) -> None:
        self._url = url
        self._patience = patience
        self._timelines: dict[int, str] = {}  # the newest that was seen, by system
        _, options = create_engine(url.sql).dialect.create_connect_args(url.sql)
        names, ports = (str(options.get(option, "")).split(",") for option in ("host", "port"))
        self.hosts = [f"{name}:{port}" for name, port in zip_longest(names, ports[: len(names)], fillvalue=ports[0])]

    def engine(self, answer: float, deadline: float | None = None, host: str = "", **pool: Any) -> Engine:
        """Connections on which a statement commits by itself, unless a transaction was begun.

        answer: seconds that the server may take for a statement. deadline: seconds after which it is given up. host:
        the only server that they may lead to, one of `hosts`. pool: options of create_engine.
        """
        given = self._url.sql.query
        settings = {name: value for name, value in self._settings().items() if name not in given}
        settings |= {
            "client_encoding": "utf8",
            "options": f"-c statement_timeout={answer:g}s -c lock_timeout={self._patience:g}s"
            f" -c idle_in_transaction_session_timeout={IDLE_SECONDS}s",
        }
        engine = create_engine(self._url.sql, isolation_level="AUTOCOMMIT", connect_args=settings, **pool)

        @event.listens_for(engine, "do_connect")
        def connect(_dialect: object, _record: object, words: Any, options: dict[str, Any]) -> Connection:
            connection = self._connect(words, options, host)
            connection.deadline = answer + MARGIN if deadline is None else deadline
            connection.add_notice_handler(connection.note)
            return connection

        @event.listens_for(engine, "connect")
        def note(connection: Any, record: ConnectionPoolEntry) -> None:
            record.info["timeline"] = connection.timeline

        @event.listens_for(engine, "checkout")
        def check(_connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
            if not self.is_current(record.info):
                raise DisconnectionError

        return engine

    def is_current(self, info: dict[Any, Any]) -> bool:
        """Whether a connection, by its info, leads to a server whose place no other has taken, as far as is known."""
        system, timeline = info["timeline"]
        return bool(self._timelines.get(system, timeline) == timeline)

    def _connect(self, words: Any, options: dict[str, Any], host: str) -> Connection:
        if len(self.hosts) == 1:
            return Connection.connect(*words, **options)
        if host:
            return Connection.connect(*words, **options | _only(host) | {"target_session_attrs": "any"})
        for host in self.hosts:
            try:
                connection = Connection.connect(*words, **options | _only(host))
                self._refuse_old_primary(connection)
                return connection
            except psycopg.OperationalError:
                if host is self.hosts[-1]:
                    raise
        raise AssertionError("a URL has a host")

    def _settings(self) -> dict[str, Any]:
        is_one = len(self.hosts) == 1
        return {
            "connect_timeout": self._patience if is_one else CLUSTER_CONNECT,
            "target_session_attrs": "any" if is_one else "read-write",
            # A server that is gone without a word is noticed: in an answer that is awaited, and between two calls.
            "tcp_user_timeout": LOST_SECONDS * 1000,
            "keepalives_idle": 5,
            "keepalives_interval": 5,
            "keepalives_count": LOST_SECONDS // 5 - 1,
        }

    def _refuse_old_primary(self, connection: Connection) -> None:
        """Refuse one that stood still while another server took its place, and does not know it yet."""
        connection.deadline = CLUSTER_CONNECT
        try:
            if found := connection.execute(_TIMELINE).fetchone():
                system, timeline = connection.timeline = found
                if timeline < self._timelines.get(system, timeline):
                    raise psycopg.OperationalError("another server has taken the place of this primary")
                self._timelines[system] = timeline
            connection.rollback()
        except psycopg.Error:
            connection.close()
            raise


def _only(host: str) -> dict[str, str]:
    name, _, port = host.rpartition(":")
    return {"host": name, "port": port}
