"""What only a store in MariaDB does: it refuses in the words of the registry what the server cannot do, and runs again
what the server took back."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pymysql
import pytest
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import OperationalError

from devicesvc.dao.sql import mariadb as mariadb_store
from devicesvc.dao.sql import store as sql_store
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.model import MAX_NICS, DeviceFilter, Nic
from devicesvc.sample import DEVICES
from tests import mariadb
from tests.dao.conftest import add
from tests.hard_data import device

FIRST = DEVICES[0]


@pytest.fixture
def url(upgraded_mariadb):
    return upgraded_mariadb.emptied()


@pytest.fixture
def store(url):
    with open_store(url, DEVICES) as store:
        yield store


@pytest.fixture
def other(url):
    """A cursor of another connection; each of its statements commits by itself."""
    connection = mariadb.connect(url)
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.fixture
def cut(mariadb_server, url):
    """End all connections to the database but that of `other`."""
    return lambda: mariadb_server.cut(url)


@pytest.fixture
def one_waits(mariadb_server):
    """Wait until a transaction waits for a lock."""

    def one_waits():
        end = time.monotonic() + 60
        while mariadb_server.do("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")[0][1] == "0":
            assert time.monotonic() < end

    return one_waits


def test_a_change_that_changes_nothing_does_not_count_as_a_change(store, other):
    def changes():
        other.execute("SELECT changes FROM registry")
        return other.fetchone()[0]

    before = changes()
    store.write(lambda tx: tx.devices.remove(["nothing"]))
    store.write(lambda tx: tx.devices.update(FIRST.id, {}))
    store.write(lambda tx: tx.devices.put_many(DEVICES))
    assert changes() == before


def test_a_change_sees_what_the_change_that_it_waited_for_has_left(store, other, one_waits):
    other.execute("START TRANSACTION")
    other.execute("UPDATE registry SET changes = changes + 1")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.write, lambda tx: [each.id for each in tx.devices.list()])
        one_waits()
        other.execute("DELETE FROM devices WHERE id <> %s", (FIRST.id,))
        other.execute("COMMIT")
        assert waiting.result() == [FIRST.id]


def test_several_statements_read_one_snapshot(store, url):
    with open_store(url) as writer, store._reads.connect() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM devices").scalar()
        writer.write(add(device("1")))
        assert connection.exec_driver_sql("SELECT count(*) FROM devices").scalar() == before


def test_a_registry_that_another_keeps_is_waited_for_only_so_long(url, store, other, monkeypatch):
    monkeypatch.setattr(sql_store, "PATIENCE", 1)
    with open_store(url) as hasty:
        other.execute("START TRANSACTION")
        other.execute("SELECT * FROM registry FOR UPDATE")
        with pytest.raises(StoreUnavailable, match=r"used: Lock wait timeout exceeded.*\. Nothing was changed\."):
            hasty.write(add(device("1")))
        assert len(hasty.devices.list()) == 5
        other.execute("ROLLBACK")
    store.write(add(device("1")))


class TestDeadlock:
    """`other` holds a device and wants the registry; a change holds the registry and wants the device. The server takes
    back the smaller transaction: that of the change."""

    @pytest.fixture
    def meet(self, other, one_waits):
        threads: list[threading.Thread] = []

        def meet(tries):
            """A change that meets `other` the first times that it runs; `tries` is given the number of each."""

            def change(tx):
                tries.append(len(tries))
                tx.devices.add(device(f"added by try {len(tries)}".replace(" ", "-")))
                if len(tries) == 1:
                    other.execute("START TRANSACTION")
                    other.executemany("INSERT INTO `groups` VALUES (%s, %s, '')", [(n, n) for n in range(500)])
                    other.execute("SELECT * FROM devices WHERE id = %s FOR UPDATE", (FIRST.id,))
                    threads.append(threading.Thread(target=self._want_the_registry, args=(other,)))
                    threads[0].start()
                    one_waits()
                tx.devices.update(FIRST.id, {"name": "changed"})

            return change

        yield meet
        for thread in threads:
            thread.join()  # before `other` is closed

    def _want_the_registry(self, other):
        other.execute("UPDATE registry SET changes = changes + 1")
        other.execute("ROLLBACK")

    def test_a_change_that_the_server_took_back_is_run_again(self, store, meet, caplog):
        tries: list[int] = []
        caplog.set_level("INFO")
        store.write(meet(tries))
        assert tries == [0, 1]
        assert store.devices.find("added-by-try-1") is None
        assert store.devices.get("added-by-try-2")
        assert store.devices.get(FIRST.id).name == "changed"
        [line] = [each.getMessage() for each in caplog.records if each.name == "devicesvc.changes"]
        assert line == f"devices added: added-by-try-2; devices changed: {FIRST.id}"

    def test_those_that_share_the_commit_are_run_again_too(self, meet, together):
        tries: list[int] = []
        outcomes = together(add(device("1")), meet(tries), add(device("1")), lambda tx: len(tx.devices.list()))
        assert len(tries) == 2
        assert [type(each).__name__ for each in outcomes] == ["NoneType", "NoneType", "Conflict", "int"]
        assert outcomes[-1] == 5 + 2

    def test_without_patience_it_is_refused(self, store, meet, monkeypatch):
        monkeypatch.setattr(sql_store, "PATIENCE", 0)
        with pytest.raises(StoreUnavailable, match=r"used: Deadlock found .*\. Nothing was changed\."):
            store.write(meet([]))
        assert len(store.devices.list()) == 5


@pytest.mark.usefixtures("store")
def test_a_database_that_grants_no_right_to_write_is_read(url, mariadb_server):
    name = make_url(url).database or ""
    mariadb_server.do(f"CREATE USER {name[:32]} IDENTIFIED BY 'secret'")
    mariadb_server.do(f"GRANT SELECT ON {name}.* TO {name[:32]}")
    its_url = make_url(url).set(username=name[:32], password="secret").render_as_string(hide_password=False)
    try:
        with open_store(its_url) as reader:
            assert len(reader.devices.list()) == 5
            with pytest.raises(StoreUnavailable, match=r"UPDATE command denied .*\. Nothing was changed"):
                reader.write(add(device("1")))
    finally:
        mariadb_server.do(f"DROP USER {name[:32]}")


def test_a_connection_that_is_cut_fails_one_change_and_heals(store, cut):
    def change(tx):
        tx.devices.add(device("1"))
        cut()
        tx.devices.list()

    with pytest.raises(StoreUnavailable, match="Nothing was changed"):
        store.write(change)
    assert len(store.devices.list()) == 5
    store.write(add(device("1")))


def test_connections_that_are_cut_while_they_rest_are_not_noticed(store, cut):
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(store.devices.find, [FIRST.id] * 200))
    store.devices.find_many([FIRST.id])
    cut()
    assert store.devices.find(FIRST.id)
    assert store.devices.find_many([FIRST.id])
    cut()
    assert store.devices.find_many([FIRST.id])
    assert store.devices.find(FIRST.id)
    store.write(add(device("1")))


def test_a_commit_that_is_cut_says_that_the_outcome_is_unknown_and_is_not_run_again(store, cut):
    tries = []

    def change(tx):
        tries.append(1)
        tx.devices.add(device("1"))

    event.listen(store._engine, "commit", lambda _: cut())
    with pytest.raises(StoreUnavailable, match="The outcome is unknown"):
        store.write(change)
    assert tries == [1]


def test_a_commit_that_a_cluster_refuses_is_run_again(store, caplog):
    """Another node has committed what does not go together with it. No other node is needed to see what follows."""
    tries = []

    def change(tx):
        tries.append(1)
        tx.devices.add(device("1"))
        if len(tries) == 1:
            tx.groups.create({"name": "of the first try"})

    def refuse(_connection):
        if len(tries) == 1:
            refusal = pymysql.OperationalError(mariadb_store.DEADLOCK, "Deadlock found")
            raise OperationalError("COMMIT", {}, refusal)

    event.listen(store._engine, "commit", refuse)
    caplog.set_level("INFO")
    store.write(change)
    assert len(tries) == 2
    assert store.devices.get("1")
    assert store.groups.list() == []
    assert "devices added: 1" in [each.getMessage() for each in caplog.records]


def test_a_server_that_says_nothing_any_more_is_given_up(url, mariadb_server, monkeypatch):
    monkeypatch.setattr(mariadb_store, "MARGIN", 0)
    monkeypatch.setattr(sql_store, "CHANGE_SECONDS", 2)
    monkeypatch.setattr(sql_store, "READ_SECONDS", 2)
    with open_store(url) as hasty:
        hasty.write(add(device("1")))
        assert hasty.devices.find("1")
        with mariadb_server.hanging():
            with pytest.raises(StoreUnavailable, match=r"timed out.*\. Nothing was changed\."):
                hasty.write(add(device("2")))
            with pytest.raises(StoreUnavailable, match=r"timed out.*\. Nothing was read\."):
                hasty.devices.find("1")
        assert hasty.devices.find("1")
        hasty.write(add(device("3")))


def test_a_statement_has_only_so_much_time(url, monkeypatch):
    monkeypatch.setattr(sql_store, "READ_SECONDS", 1)
    long = text("SELECT count(*) FROM " + ", ".join(f"information_schema.collations AS c{each}" for each in range(5)))
    with open_store(url) as store, pytest.raises(StoreUnavailable, match=r"interrupted.*\. Nothing was read\."):
        read(store, long)


def read(store, query):
    with store._reading() as connection:
        return connection.execute(query).all()


def test_as_many_network_interfaces_as_there_may_be_with_the_longest_texts_come_back(store, other):
    other.execute("SET GLOBAL group_concat_max_len = 1024")
    nic = Nic('"\\'.ljust(32, "\N{GRINNING FACE}"), "12:34:56:78:9a:bc", "255.255.255.255")
    many = device("1", nic=(nic,) * MAX_NICS)
    try:
        store.write(add(many))
        with open_store(str(store._url.text)) as fresh:
            assert fresh.devices.get("1") == many
            assert fresh.devices.list(DeviceFilter(id="1")) == [many]
    finally:
        other.execute("SET GLOBAL group_concat_max_len = 1048576")


@pytest.mark.parametrize("mode", ["", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"])
def test_text_comes_back_whatever_mode_the_server_is_in(url, other, mode):
    other.execute("SELECT @@GLOBAL.sql_mode")
    [before] = other.fetchone()
    other.execute("SET GLOBAL sql_mode = %s", (mode,))
    try:
        with open_store(url) as store:
            for number, name in enumerate(["\\", "\\' OR 1 = 1 -- ", "%s %% ''", '"\\"']):
                store.write(add(device(f"x{number}", name=name)))
                assert [each.name for each in store.devices.list(DeviceFilter(name=name))] == [name]
    finally:
        other.execute("SET GLOBAL sql_mode = %s", (before,))


def test_no_password_is_shown(url):
    wrong = make_url(url).set(password="secret", database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(StoreUnavailable) as refusal:
        open_store(wrong)
    assert "secret" not in str(refusal.value)
    assert "Access denied" in str(refusal.value)
