"""Upgrades and downgrades of databases."""

import logging
import re
import signal
import subprocess
import sys
import time
from itertools import count

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, event, insert, inspect, make_url, select, text
from sqlalchemy.exc import OperationalError

from devicesvc import migrations
from devicesvc.dao.sql import schema
from devicesvc.dao.urls import parse
from devicesvc.errors import StoreUnavailable
from tests.conftest import BIN, REVISIONS
from tests.strategies import only_long
from tests.worker.conftest import has_open


@pytest.fixture
def names(engine):
    """Gives the names of all tables."""

    def names():
        with engine.connect() as connection:
            return set(inspect(connection).get_table_names())

    return names


@pytest.fixture
def do(engine):
    """Run a statement on the database."""

    def do(statement):
        with engine.begin() as connection:
            connection.execute(text(statement) if isinstance(statement, str) else statement)

    return do


def test_an_upgrade_makes_the_tables_and_a_second_one_changes_nothing(url, engine, do):
    assert migrations.upgrade(url) == REVISIONS
    do(insert(schema.groups).values(id="1", name="a", description=""))
    assert migrations.upgrade(url) == []
    assert migrations.current(url) == migrations.head() == REVISIONS[-1]
    with engine.connect() as connection:
        assert connection.execute(select(schema.groups.c.name)).all() == [("a",)]


def test_a_downgrade_to_base_leaves_no_table_and_an_upgrade_brings_them_back(url, names):
    migrations.upgrade(url)
    before = names()
    assert migrations.downgrade(url, "base") == REVISIONS[::-1]
    assert names() == {"alembic_version"}
    assert migrations.current(url) is None
    assert migrations.downgrade(url, "base") == []
    assert migrations.upgrade(url) == REVISIONS
    assert names() == before == {"alembic_version", *schema.metadata.tables}


all_or_nothing = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)


@all_or_nothing
def test_an_upgrade_that_fails_in_the_middle_leaves_nothing(url, names, monkeypatch):
    def fail(name, *_):
        if name == "ix_nics_mac":
            raise OperationalError("CREATE INDEX", {}, Exception("database or disk is full"))

    with monkeypatch.context() as patched:
        patched.setattr(op, "create_index", fail)
        with pytest.raises(StoreUnavailable, match=r"cannot be changed: database or disk is full\.$"):
            migrations.upgrade(url)
    assert names() == set()
    assert migrations.upgrade(url) == REVISIONS


@all_or_nothing
def test_an_upgrade_that_is_killed_in_the_middle_leaves_nothing(url, names):
    program = (
        "import os, sys; from alembic import op; from devicesvc import migrations;"
        "op.create_index = lambda *_: os.kill(os.getpid(), 9); migrations.upgrade(sys.argv[1])"
    )
    assert subprocess.run([sys.executable, "-c", program, url], check=False).returncode == -signal.SIGKILL
    assert names() == set()
    assert migrations.upgrade(url) == REVISIONS


@all_or_nothing
def test_a_downgrade_that_fails_leaves_everything(url, names, monkeypatch):
    migrations.upgrade(url)
    drop = op.drop_table

    def fail(name):
        if name == "devices":
            raise OperationalError("DROP TABLE", {}, Exception("database or disk is full"))
        drop(name)

    monkeypatch.setattr(op, "drop_table", fail)
    with pytest.raises(StoreUnavailable, match="disk is full"):
        migrations.downgrade(url, "base")
    assert names() == {"alembic_version", *schema.metadata.tables}
    assert migrations.current(url) == REVISIONS[-1]


class TestMariadb:
    """Each table and each index is committed by itself. So an upgrade that failed is run again, and goes on."""

    @pytest.fixture
    def url(self, mariadb_url):
        return mariadb_url

    @pytest.fixture
    def failing(self):
        """Have a database fail at the statement of this number of those that change something."""

        def failing(number):
            left = [number]

            def fail(_connection, _cursor, statement, *_):
                if statement.strip().startswith(("CREATE", "DROP", "INSERT", "UPDATE", "DELETE")):
                    left[0] -= 1
                    if left[0] < 0:
                        raise OperationalError(statement, {}, Exception("the disk is full"))

            event.listen(Engine, "before_cursor_execute", fail)
            return lambda: event.remove(Engine, "before_cursor_execute", fail)

        return failing

    def go(self, failing, number, run):
        """Run with the statement of this number failing; return whether there was one."""
        end, said = failing(number), None
        try:
            run()
        except StoreUnavailable as error:
            said = str(error)
        finally:
            end()
        words = r"cannot be changed: the disk is full\. MariaDB keeps .*each step that was done: run the command again"
        assert said is None or re.search(words, said)
        return said is not None

    @only_long
    def test_an_upgrade_that_fails_anywhere_says_what_is_done_and_goes_on_when_it_is_run_again(
        self, url, engine, names, failing, mariadb_server
    ):
        for number in count():
            failed = self.go(failing, number, lambda: migrations.upgrade(url))
            assert bool(migrations.upgrade(url)) is failed
            with engine.connect() as connection:
                assert connection.execute(select(schema.registry)).all() == [(1, 0)]
                assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
            if not failed:
                break
            migrations.downgrade(url, "base")
            mariadb_server.do(f"DROP TABLE {make_url(url).database}.alembic_version")
            assert names() == set()
        assert number > len(schema.metadata.tables)

    @only_long
    def test_a_downgrade_too(self, url, names, failing):
        migrations.upgrade(url)
        for number in count():
            failed = self.go(failing, number, lambda: migrations.downgrade(url, "base"))
            assert bool(migrations.downgrade(url, "base")) is failed
            assert names() == {"alembic_version"}
            if not failed:
                break
            assert migrations.upgrade(url) == REVISIONS
        assert number > len(schema.metadata.tables)

    def test_an_upgrade_that_is_killed_goes_on_when_it_is_run_again(self, url):
        program = (
            "import os, sys; from alembic import op; from devicesvc import migrations;"
            "op.create_index = lambda *_: os.kill(os.getpid(), 9); migrations.upgrade(sys.argv[1])"
        )
        assert subprocess.run([sys.executable, "-c", program, url], check=False).returncode == -signal.SIGKILL
        assert migrations.current(url) is None
        assert migrations.upgrade(url) == REVISIONS

    def test_tables_of_another_program_that_have_the_same_names_are_left_alone(self, url, do):
        do("CREATE TABLE devices (id INTEGER)")
        with pytest.raises(StoreUnavailable, match="holds tables of another program, such as devices"):
            migrations.upgrade(url)

    def test_who_waits_too_long_for_another_upgrade_is_told(self, url, engine, monkeypatch):
        monkeypatch.setattr(migrations, "WAIT", 1)
        with engine.connect() as connection:
            connection.exec_driver_sql(LOCK["mysql"])
            with pytest.raises(StoreUnavailable, match="is being changed by another process: wait until it has ended"):
                migrations.upgrade(url)


LOCK = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SELECT pg_advisory_xact_lock(hashtext('devicesvc.migrations'))",
    "mysql": "SELECT GET_LOCK(CONCAT('devicesvc.', SHA1(DATABASE())), 30)",
}
WAITING = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE state = 'User lock' AND db = database()",
}


def test_of_several_processes_that_upgrade_at_once_one_does_it_and_all_end_well(url, engine, tmp_path):
    """They start while the database is locked, and go on together."""
    with engine.connect() as connection:
        connection.exec_driver_sql(LOCK[engine.name])
        command = [BIN / "devicesvc", "db", "upgrade", url]
        processes = [subprocess.Popen(command, stdout=-1, stderr=subprocess.STDOUT, text=True) for _ in range(3)]

        def waiting():
            if engine.name == "sqlite":
                return sum(has_open(process.pid, tmp_path / "device.db") for process in processes)
            return connection.exec_driver_sql(WAITING[engine.name]).scalar_one()

        end = time.monotonic() + 60
        while waiting() < len(processes):
            assert time.monotonic() < end
            assert [process.poll() for process in processes] == [None] * len(processes)
        connection.rollback()
        connection.invalidate()  # with the connection, the lock of MariaDB ends
    said = sorted(process.communicate(timeout=60)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert said[0].startswith("Upgraded ")
    assert [line.endswith(f" is up to date ({REVISIONS[-1]}).\n") for line in said] == [False, True, True]


@pytest.mark.parametrize(
    "use",
    [migrations.upgrade, migrations.current, migrations.must_be_current, lambda url: migrations.downgrade(url, "0001")],
)
class TestRefuses:
    def test_a_revision_of_a_newer_program(self, url, do, use):
        migrations.upgrade(url)
        do("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(StoreUnavailable) as refused:
            use(url)
        sentence = "is at revision 9999, which this devicesvc does not know: use the one that made it."
        assert str(refused.value) == f"{parse(url).redacted} {sentence}"

    def test_tables_of_another_program(self, url, do, names, use):
        do("CREATE TABLE payroll (id INTEGER)")
        with pytest.raises(StoreUnavailable, match="holds tables of another program, such as payroll"):
            use(url)
        assert names() == {"payroll"}

    @pytest.mark.parametrize(
        ("bad", "words"),
        [
            ("sqlite://", "names no file"),
            ("sqlite:///:memory:", "names no file"),
            ("sqlite:///device.db?mode=ro", "only journal_mode can be one"),
            ("sqlite:////", "cannot be "),
            (f"sqlite:///{__file__}", "file is not a database"),
            ("sqlite:////no/such/device.db", "no f"),
            ("mysql://me:secret@host/name", "names no store"),
            ("mysql+pymysql://me:secret@host", "names no database"),
            ("mysql+pymysql://me:secret@127.0.0.1:1/name", "Connection refused"),
            ("mysql+pymysql://127.0.0.1:1/name?user=me&password=secret&ssl_disabled=true", "Connection refused"),
            ("mysql+pymysql://me:secret@127.0.0.1:1/name?connect_timeout=x", "invalid literal"),
            ("mysql+pymysql://me:secret@127.0.0.1:1/name?no=1", "unexpected keyword argument 'no'"),
            ("mysql+pymysql://me:secret@127.0.0.1:1/name?ssl_ca=/no", "No such file"),
            (f"mysql+pymysql://me:secret@{'h' * 64}/name", "cannot be"),
            ("postgresql+psycopg://me:secret@host:port/name", "cannot be read"),
            ("postgresql+psycopg://me:secret@127.0.0.1:1/name", "Connection refused"),
            ("postgresql+psycopg://127.0.0.1:1/name?user=me&password=secret", "Connection refused"),
            ("postgresql+psycopg://me:secret@localhost:1/name?connect_timeout=x", "bad value for connect_timeout"),
            ("postgresql+psycopg://me:secret@127.0.0.1:1/name?no=1", "invalid connection option"),
            ("postgresql+psycopg://me:secret@127.0.0.1:1/name?host=a&host=b:1&port=7", "Can't mix"),
            (f"postgresql+psycopg://me:secret@{'h' * 64}/name", "cannot be"),
            ("postgresql+psycopg2://me:secret@127.0.0.1:1/name", "names no store"),
            (f"sqlite:////tmp/{'d' * 300}/device.db", "File name too long"),
            ("device.csv", "is a CSV file, which has no tables"),
        ],
    )
    def test_what_cannot_be_used_in_one_sentence_without_the_password(self, bad, words, use):
        with pytest.raises(StoreUnavailable) as refused:
            use(bad)
        assert words in str(refused.value)
        assert str(refused.value).endswith(".")
        assert "secret" not in str(refused.value)
        assert "\n" not in str(refused.value)

    @pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
    def test_a_database_that_cannot_hold_all_text(self, postgres_server, encoding, use):
        with postgres_server.fresh_database() as url:
            name = make_url(url).database
            postgres_server.do(f"DROP DATABASE {name}")
            postgres_server.do(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
            with pytest.raises(StoreUnavailable, match=f"keeps text as {encoding}"):
                use(url)

    def test_a_database_of_mariadb_that_is_not_there(self, mariadb_server, use):
        with mariadb_server.fresh_database() as url:
            pass
        with pytest.raises(StoreUnavailable, match=r"cannot be .*: Unknown database 'devicesvc_test_\w+'\.$"):
            use(url)

    def test_a_database_that_is_not_there(self, postgres_server, use):
        with postgres_server.fresh_database() as url:
            pass
        with pytest.raises(StoreUnavailable, match=r'cannot be .*: .*database "devicesvc_test_\w+" does not exist\.$'):
            use(url)


def test_only_an_upgrade_makes_an_sqlite_file(tmp_path):
    url = f"sqlite:///{tmp_path}/device.db"
    for use in (migrations.current, migrations.must_be_current, lambda url: migrations.downgrade(url, "base")):
        with pytest.raises(StoreUnavailable, match="there is no file"):
            use(url)
    assert list(tmp_path.iterdir()) == []


def test_a_downgrade_to_what_there_is_not(url):
    migrations.upgrade(url)
    with pytest.raises(StoreUnavailable, match=r"cannot be changed: Can't locate revision identified by '7'\.$"):
        migrations.downgrade(url, "7")


def test_it_must_be_current(url):
    migrations.upgrade(url)
    migrations.must_be_current(url)
    migrations.downgrade(url, "base")
    with pytest.raises(StoreUnavailable, match="is not up to date: first run  devicesvc db upgrade "):
        migrations.must_be_current(url)


def test_nothing_is_printed_and_logging_stays_as_it_was(url, capfd):
    def settings():
        loggers = [logging.getLogger(), *map(logging.getLogger, ("alembic", "devicesvc", "sqlalchemy"))]
        return [(logger.level, logger.disabled, list(logger.handlers)) for logger in loggers]

    before = settings()
    migrations.upgrade(url)
    migrations.downgrade(url, "base")
    assert settings() == before
    assert capfd.readouterr() == ("", "")
