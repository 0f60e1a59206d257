"""A real MariaDB for the tests: the server of DEVICESVC_TEST_MARIADB_URL, maybe a MySQL, else one of their own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import make_url

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def connect(url: str) -> Any:
    """A connection to the database that the URL names; each statement commits by itself."""
    parts = make_url(url)
    return pymysql.connect(
        host=parts.host,
        port=parts.port or 3306,
        user=parts.username,
        password=parts.password or "",
        database=parts.database,
        autocommit=True,
    )


class Server:
    """A server on which the tests may make databases; url names no database there. process: if the tests started it."""

    def __init__(self, url: str, process: "subprocess.Popen[bytes] | None" = None) -> None:
        self._process = process
        # Without TLS, for which PyMySQL reads all certificates of the machine again at each connection.
        self._url = make_url(url).update_query_dict({"ssl_disabled": "true"})
        self._admin = connect(url)

    def do(self, statement: str) -> tuple[tuple[Any, ...], ...]:
        """Run a statement, and return its rows."""
        with self._admin.cursor() as cursor:
            cursor.execute(statement)
            return tuple(cursor.fetchall())

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The URL of an empty database, which is dropped at the end. It sorts as a language does: code points must not
        be right by chance."""
        name = f"devicesvc_test_{uuid.uuid4().hex}"
        self.do(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
        try:
            yield self._url.set(drivername="mysql+pymysql", database=name).render_as_string(hide_password=False)
        finally:
            self._cut(name)  # a transaction that somebody left open would be waited for
            self.do(f"DROP DATABASE {name}")

    def cut(self, url: str) -> None:
        """End all connections to the database that the URL names."""
        self._cut(str(make_url(url).database))

    def _cut(self, name: str) -> None:
        for (id,) in self.do(f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"):
            with suppress(pymysql.Error):  # it has ended by itself
                self.do(f"KILL {id}")

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It says nothing to anybody."""
        if not self._process:
            pytest.skip("the tests can only stop a server that they have started")
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # its threads answer until the first of them has noticed
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._admin.close()


class Registry:
    """A database that has the tables of a registry."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = connect(url)

    def emptied(self) -> str:
        """The URL, of a registry that is as if nobody had used it."""
        try:
            self._connection.ping()
        except pymysql.Error:  # a test has ended all connections
            self._connection = connect(self._url)
        with self._connection.cursor() as cursor:
            for table in ("devices", "`groups`", "history"):
                cursor.execute(f"DELETE FROM {table}")
            cursor.execute("UPDATE registry SET changes = 0")
        return self._url

    def close(self) -> None:
        self._connection.close()


@contextmanager
def running_server(*, safe: bool = False) -> Iterator[Server]:
    """A server that is stopped and deleted at the end, if the tests started it. Without one on this machine the test is
    skipped; but CI must have one. safe: whether it syncs what it writes, which takes longer."""
    given = os.environ.get("DEVICESVC_TEST_MARIADB_URL")
    if given:
        server = Server(given)
        yield server
        server.close()
        return
    if not shutil.which("mariadbd", path=PATH):
        reason = "not tested on MariaDB: this machine has no mariadbd, which is in Debian's package mariadb-server"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="devicesvc-mariadb-"))  # not in pytest's: that is closed to the server's user
    try:
        with _own_server(folder, safe) as (url, process):
            server = Server(url, process)
            yield server
            server.close()
    finally:
        shutil.rmtree(folder)


@contextmanager
def _own_server(folder: Path, safe: bool) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    (
        folder / "tmp"
    ).mkdir()  # of its own: a server that starts deletes the temporary tables of all others in its folder
    common = ["--no-defaults", f"--datadir={folder}/data", f"--tmpdir={folder}/tmp"]
    if not safe:
        common += ["--innodb-flush-method=nosync", "--sync-frm=0"]
    if os.geteuid() == 0:
        for path in (folder, folder / "tmp"):
            shutil.chown(path, "mysql")
        common.append("--user=mysql")
    environment = os.environ | {"PATH": PATH}
    install = [*common, "--auth-root-authentication-method=normal", "--skip-test-db"]
    made = subprocess.run(
        ["mariadb-install-db", *install], env=environment, check=False, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stdout + made.stderr
    port = _free_port()
    options = [
        *common,
        f"--port={port}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        f"--socket={folder}/socket",
        f"--pid-file={folder}/pid",
        "--innodb-buffer-pool-size=32M",
        "--skip-log-bin",
    ]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(["mariadbd", *options], env=environment, stdout=log, stderr=log)
    try:
        _wait_for(port, process, folder / "log")
        yield f"mysql+pymysql://root@127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    from tests.conftest import find_free_port

    return find_free_port()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)
