"""What the options of a store's URL do that are this program's own."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import cast

import psycopg
import pytest
from devicesvc.migrations import current, upgrade
from sqlalchemy import make_url

from devicesvc.dao.sql import sqlite
from devicesvc.dao.sql.sqlite import SqliteStore
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.sample import DEVICES
from devicesvc.transfer.mover import Result, migrate
from tests.hard_data import device


def add(device):
    return lambda tx: tx.devices.add(device)


@pytest.fixture
def path(upgraded_file, tmp_path):
    path = tmp_path / "device.db"
    path.write_bytes(upgraded_file.read_bytes())
    return path


@pytest.fixture
def wal_url(path, monkeypatch):
    """The URL of a file with a write-ahead log. Nobody here may meet the fault of older libraries."""
    monkeypatch.setattr(sqlite, "SAFE_WAL", (3, 7))
    return f"sqlite:///{path}?journal_mode=wal"


def journal_mode(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]


def test_a_write_ahead_log_is_kept_beside_the_file_while_the_store_is_open(path, wal_url):
    with open_store(wal_url, DEVICES) as store:
        assert journal_mode(path) == "wal"
        assert path.with_name("device.db-wal").stat().st_size
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda id: store.write(add(device(f"x{id}"))), range(40)))
        with cast(SqliteStore, store)._engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    assert [each.name for each in path.parent.iterdir()] == ["device.db"]
    with open_store(wal_url) as store:
        assert len(store.devices.list()) == 45


def test_without_the_option_a_file_has_a_rollback_journal_again(path, wal_url):
    open_store(wal_url, DEVICES).close()
    with open_store(f"sqlite:///{path}") as store:
        assert journal_mode(path) == "delete"
        assert len(store.devices.list()) == 5


def test_a_library_that_may_break_a_write_ahead_log_is_refused_one(path, monkeypatch):
    monkeypatch.setattr(sqlite, "SAFE_WAL", (99, 1, 2))
    version = sqlite3.sqlite_version
    words = f"journal_mode=wal needs SQLite 99.1.2 or newer, and this Python has {version}. Leave journal_mode out."
    with pytest.raises(StoreUnavailable) as refusal:
        open_store(f"sqlite:///{path}?journal_mode=wal")
    assert str(refusal.value) == f"sqlite:///{path}?journal_mode=wal: {words}"
    assert journal_mode(path) == "delete"


def test_a_file_with_a_write_ahead_log_is_migrated_while_it_is_in_use(wal_url, tmp_path):
    with open_store(wal_url, DEVICES) as store:
        store.write(add(device("1")))
        migrate(Result(wal_url, str(tmp_path / "copy.csv")))
    with open_store(str(tmp_path / "copy.csv")) as copy:
        assert len(copy.devices.list()) == 6


def test_a_file_with_a_write_ahead_log_is_replaced_only_if_nobody_uses_it(path, wal_url, tmp_path):
    """SQLite would play the log of the old file into the new one."""
    other = str(tmp_path / "other.csv")
    open_store(other, DEVICES[:2]).close()
    with open_store(wal_url, DEVICES) as store:
        with pytest.raises(StoreUnavailable, match=r"is in use: database is locked\. Nothing was changed"):
            migrate(Result(other, wal_url), replace=True)
        assert len(store.devices.list()) == 5
    migrate(Result(other, wal_url), replace=True)
    with open_store(wal_url) as store:
        assert len(store.devices.list()) == 2
    assert [each.name for each in path.parent.glob("device.db*")] == ["device.db"]


def test_the_tables_are_upgraded_whatever_the_options_are(wal_url, postgres_url):
    for url in (wal_url, with_retry(postgres_url, 1)):
        upgrade(url)
        assert current(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///{path}?journal_mode=off", "journal_mode must be delete or wal, not 'off'."),
        ("postgresql+psycopg://h/d?retry_seconds=1.5", "retry_seconds must be from 0 to 300, not '1.5'."),
        ("postgresql+psycopg://h/d?retry_seconds=301", "retry_seconds must be from 0 to 300, not '301'."),
    ],
)
def test_a_wrong_value_of_an_option_is_named(url, words, path):
    url = url.format(path=path)
    with pytest.raises(StoreUnavailable) as refusal:
        open_store(url)
    assert str(refusal.value) == f"{url}: {words}"


def with_retry(url, seconds):
    return f"{url}{'&' if '?' in url else '?'}retry_seconds={seconds}"


@pytest.fixture
def cut_once(postgres_url):
    """Gives a change whose first try loses its connection."""
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'to be cut'"
    url = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    tries: list[str] = []

    def change(tx):
        tx.devices.add(device("1"))
        if not tries:
            tries.append("cut")
            with tx.devices._source.connect() as connection:
                connection.exec_driver_sql("SET LOCAL application_name = 'to be cut'")
            with psycopg.connect(url, autocommit=True) as other:
                other.execute(cut)
        tx.devices.missing(["2"])

    return change


@pytest.mark.parametrize(("seconds", "is_kept"), [(0, False), (20, True)])
def test_a_change_is_tried_again_for_as_long_as_the_option_says(seconds, is_kept, postgres_url, cut_once):
    upgrade(postgres_url)
    with open_store(with_retry(postgres_url, seconds)) as store:
        if is_kept:
            store.write(cut_once)
        else:
            with pytest.raises(StoreUnavailable, match="Nothing was changed"):
                store.write(cut_once)
        assert bool(store.devices.find("1")) == is_kept
