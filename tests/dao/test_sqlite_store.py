"""What only a store in SQLite does."""

import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import cast

import pytest
from devicesvc.migrations import upgrade
from sqlalchemy.exc import OperationalError

from devicesvc.dao.sql import history
from devicesvc.dao.sql import store as sql_store
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.sample import DEVICES
from tests.dao.conftest import add, written
from tests.dao.pages import BY_VALUE, PAGES
from tests.hard_data import device

FIRST = DEVICES[0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "device.db"


@pytest.fixture
def url(path, upgraded_file):
    shutil.copy(upgraded_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
def store(url):
    with open_store(url, DEVICES) as store:
        yield store


def test_it_is_set_up_so_that_nothing_acknowledged_is_lost(store):
    with store._reading() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert settings == {"journal_mode": "delete", "synchronous": 3, "foreign_keys": 1}


def test_a_change_that_changes_nothing_leaves_the_file_alone(store, path):
    before = written(path)
    store.write(lambda tx: tx.devices.remove(["nothing"]))
    store.write(lambda tx: tx.devices.update(FIRST.id, {}))
    store.write(lambda tx: tx.devices.put_many(DEVICES))
    assert written(path) == before


@pytest.mark.parametrize(("where", "request_"), PAGES)
def test_an_index_leads_to_what_is_wanted(store, where, request_, statement):
    steps = plan(store, *statement(store, where, request_))
    assert steps[0].startswith("SEARCH")
    assert not [step for step in steps if step.startswith(("SCAN", "USE TEMP B-TREE"))]


@pytest.mark.parametrize("name", BY_VALUE)
def test_a_descending_list_sorts_ids_and_reads_no_other_device_than_it_shows(store, name, statement):
    steps = plan(store, *statement(store, {}, {"sort": name, "descending": True}))
    page = steps.index("SEARCH devices USING INDEX sqlite_autoindex_devices_1 (id=?)")
    assert next(step for step in steps[:page] if "devices" in step).startswith("SCAN devices USING COVERING INDEX")


def test_a_change_writes_only_the_columns_that_differ(store, sent):
    """SQLite would write the indexes of all that are named."""
    statements = sent(store)
    store.write(lambda tx: tx.devices.update(FIRST.id, {"name": "x", "hardware": {"sn": "y"}}))
    assert [each for each, _ in statements if each.startswith("UPDATE devices")] == [
        "UPDATE devices SET name=?, hardware_sn=?, search_text=? WHERE devices.id = ?"
    ]


def plan(store, query, values):
    with store._reading() as connection:
        return [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", tuple(values))]


def test_a_database_that_another_keeps_is_waited_for_only_so_long(path, store, url, monkeypatch):
    monkeypatch.setattr(sql_store, "PATIENCE", 0.05)
    with open_store(url) as hasty:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match=r"cannot be used: database is locked\. Nothing was changed\."):
            hasty.write(add(device("1")))
        with pytest.raises(StoreUnavailable, match=r"database is locked\. Nothing was read\."):
            hasty.devices.list()
        with pytest.raises(StoreUnavailable, match="locked"):
            hasty.ping()
        other.close()
        hasty.write(add(device("1")))
    assert store.devices.get("1")


def test_a_writer_waits_for_another_that_takes_its_time(path, store):
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    def end():
        other.execute("ROLLBACK")
        other.close()

    threading.Timer(0.2, end).start()
    store.write(add(device("1")))
    assert store.devices.get("1")


def test_a_file_that_is_put_in_the_place_of_the_old_one_is_read(path, store, tmp_path):
    assert store.devices.list()
    assert store.devices.find(FIRST.id)
    other = tmp_path / "other.db"
    upgrade(f"sqlite:///{other}")
    open_store(f"sqlite:///{other}", [device("mine")]).close()
    other.replace(path)
    assert store.devices.find(FIRST.id) is None
    assert store.devices.find("mine")
    assert [each.id for each in store.devices.list()] == ["mine"]


def test_a_link_that_is_switched_leads_to_the_other_file(path, store, tmp_path):
    link, other = tmp_path / "current.db", tmp_path / "other.db"
    upgrade(f"sqlite:///{other}")
    open_store(f"sqlite:///{other}", [device("mine")]).close()
    link.symlink_to(path)
    with open_store(f"sqlite:///{link}") as linked:
        assert linked.devices.find(FIRST.id)
        new = tmp_path / "new"
        new.symlink_to(other)
        new.replace(link)
        assert linked.devices.find("mine")
        assert linked.devices.find(FIRST.id) is None
        linked.write(add(device("1")))
    assert store.devices.find("1") is None


def test_many_reads_of_one_device_leave_connections_for_lists(url, monkeypatch):
    monkeypatch.setattr(sql_store, "READERS", 2)
    monkeypatch.setattr(sql_store, "PATIENCE", 20)
    with open_store(url, DEVICES) as narrow, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(narrow.devices.find, [FIRST.id] * 100))
        assert all(pool.map(lambda _: narrow.devices.list(), range(20)))


def test_a_disk_that_is_full_is_named_although_it_took_the_savepoint(together, store):
    def fill(tx):
        with tx.devices._source.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    outcomes = together(add(device("1")), fill, add(device("2")))
    assert all("database or disk is full. Nothing was changed." in str(each) for each in outcomes)
    assert len(store.devices.list()) == 5


def test_a_file_that_is_gone_is_missed_and_not_made_anew(path, store):
    assert store.devices.find(FIRST.id)
    path.unlink()
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        store.write(add(device("1")))
    with pytest.raises(StoreUnavailable, match=r"unable to open database file\. Nothing was read\."):
        store.devices.find(FIRST.id)
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        store.devices.list()
    assert not path.exists()


def test_a_file_that_is_missing_names_the_command_that_makes_it(path):
    with pytest.raises(StoreUnavailable, match=r"There is no file .*device\.db: devicesvc db upgrade sqlite:///"):
        open_store(f"sqlite:///{path}")
    assert not path.exists()


def test_a_database_without_tables_names_the_command_that_makes_them(path):
    sqlite3.connect(path).execute("CREATE TABLE mine (x)").connection.close()
    with pytest.raises(StoreUnavailable, match="has no registry: devicesvc db upgrade sqlite:///"):
        open_store(f"sqlite:///{path}")


def test_a_file_that_is_not_a_database_is_refused_and_left_alone(path):
    junk = b"id,name\n" * 100
    path.write_bytes(junk)
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        open_store(f"sqlite:///{path}")
    assert path.read_bytes() == junk


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_url_that_names_no_file_is_refused(url):
    with pytest.raises(StoreUnavailable, match="names no file"):
        open_store(url)


def rename(name):
    return lambda tx: tx.devices.update(FIRST.id, {"name": name})


def test_a_prune_that_fails_half_way_says_how_many_rows_are_gone(path, url, monkeypatch):
    monkeypatch.setattr(sql_store, "PATIENCE", 0.05)
    monkeypatch.setattr(history, "TOGETHER", 7)  # rows: five devices added, and the first two changes
    with open_store(url, DEVICES) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        for name in "abcde":
            store.write(rename(name))
        reads = cast(history.SqlHistory, store.history)._reads
        rows = reads.rows

        def rows_until_another_keeps_the_file(query, values):
            found = rows(query, values)
            if values["number"]:
                other.execute("BEGIN IMMEDIATE")
            return found

        monkeypatch.setattr(reads, "rows", rows_until_another_keeps_the_file)
        with pytest.raises(StoreUnavailable, match=r"2 rows were deleted before that; prune again for the rest\.$"):
            store.history.prune("2999-01-01T00:00:00.000Z")
