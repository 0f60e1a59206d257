"""What only a store in PostgreSQL does."""

import re
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from devicesvc.migrations import upgrade
from sqlalchemy import NullPool, create_engine, event, make_url

from devicesvc.dao.sql import servers
from devicesvc.dao.sql import store as sql_store
from devicesvc.dao.sql.row_locks import TOGETHER
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.model import DeviceFilter
from devicesvc.sample import DEVICES
from tests.dao.conftest import add
from tests.dao.pages import PAGES
from tests.hard_data import device
from tests.worker.conftest import until

FIRST = DEVICES[0]


def run(statement, *parameters):
    """A change that runs this statement."""

    def change(tx):
        with tx.devices._source.connect() as connection:
            connection.exec_driver_sql(statement, *parameters)

    return change


def remove(id):
    return lambda tx: tx.devices.remove([id])


def swap(old, new):
    def change(tx):
        tx.devices.remove([old])
        tx.devices.add(device(new))

    return change


NIC = {"type": "eth", "mac": "00:00:00:00:00:01", "ipv4": "10.0.0.1"}

WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


# Half of them are of the same type and status and in the same group, and have the same addresses.
MANY_DEVICES = (
    "INSERT INTO devices SELECT i, 'n' || i, word, word, word, 's' || i, word, word, word"
    " FROM (SELECT i, CASE WHEN mod(i, 2) = 0 THEN 'x' ELSE 'w' || i END word FROM generate_series(1, 20000) i) each",
    "INSERT INTO nics SELECT id, 0, 'eth', type, type FROM devices",
    "INSERT INTO groups VALUES ('x', 'x', '')",
    "INSERT INTO memberships SELECT id, 'x' FROM devices WHERE type = 'x'",
    "ANALYZE",
)


@pytest.fixture(scope="module")
def large_postgres_store(postgres_server):
    """PostgreSQL chooses by the number of rows: there must be many."""
    with postgres_server.fresh_database() as url:
        upgrade(url)
        with create_engine(url, poolclass=NullPool).begin() as connection:
            for statement in MANY_DEVICES:
                connection.exec_driver_sql(statement)
        with open_store(url) as store:
            yield store


# An address is of few devices: there, all before a cursor may be read.
@pytest.mark.parametrize(("where", "request_"), [page for page in PAGES if not {"mac", "ipv4"} & {*page[0]}])
def test_an_index_of_postgresql_leads_to_what_is_wanted(large_postgres_store, where, request_, statement):
    query, values = statement(large_postgres_store, where, request_)
    with large_postgres_store._reading() as connection:
        explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, TIMING OFF) {query}", values)
        plan = "\n".join(row[0] for row in explained)
    assert "Index" in plan
    assert "Seq Scan" not in plan
    read = re.findall(r"actual rows=(\d+)|Rows Removed by Filter: (\d+)", plan)
    assert max(int(number) for each in read for number in each if number) <= 22, plan  # half of all fit
    assert "Sort" not in plan


@pytest.fixture
def store(postgres_url):
    upgrade(postgres_url)
    with open_store(postgres_url, DEVICES) as store:
        yield store


@pytest.fixture
def other(postgres_url):
    url = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def test_a_device_that_another_keeps_is_waited_for_only_so_long(postgres_url, store, other, monkeypatch):
    monkeypatch.setattr(sql_store, "PATIENCE", 1)
    with open_store(postgres_url) as hasty, other.transaction():
        other.execute("SELECT * FROM devices WHERE id = %s FOR UPDATE", [FIRST.id])
        with pytest.raises(StoreUnavailable, match=r"lock timeout.* Nothing was changed"):
            hasty.write(remove(FIRST.id))
        hasty.write(add(device("1")))
        assert len(hasty.devices.list()) == 6
    store.write(remove(FIRST.id))


@pytest.mark.usefixtures("store")
def test_a_database_that_grants_no_right_to_write_is_read(postgres_url, other):
    role = f"reader_{uuid.uuid4().hex}"
    other.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    other.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    url = make_url(postgres_url).set(username=role, password="secret").render_as_string(hide_password=False)
    try:
        with open_store(url) as reader:
            assert len(reader.devices.list()) == 5
            with pytest.raises(StoreUnavailable, match=r"permission denied .*\. Nothing was changed"):
                reader.write(add(device("1")))
    finally:
        other.execute(f"DROP OWNED BY {role}")
        other.execute(f"DROP ROLE {role}")


def test_a_change_whose_connection_is_cut_runs_again(store, other, caplog):
    tries: list[str] = []

    def change(tx):
        tx.devices.add(device(str(len(tries))))
        if not tries:
            tries.append("cut")
            other.execute(CUT)
        return tx.devices.missing([FIRST.id])

    with caplog.at_level("INFO", "devicesvc.changes"):
        assert store.write(change) == []
    assert [each.getMessage() for each in caplog.records] == ["devices added: 1"]
    assert {each.id for each in store.devices.list()} == {"1", *(each.id for each in DEVICES)}


def test_a_change_whose_connection_is_cut_again_and_again_is_given_up(store, other, monkeypatch):
    def change(tx):
        tx.devices.add(device("1"))
        other.execute(CUT)
        tx.devices.missing([FIRST.id])

    monkeypatch.setattr(store, "_retry_seconds", 0.2)
    with pytest.raises(StoreUnavailable, match="Nothing was changed"):
        store.write(change)
    assert len(store.devices.list()) == 5
    store.write(add(device("1")))


def test_a_change_that_waited_for_another_sees_all_that_the_other_did(store, other, postgres_url):
    """Interfaces are in a table of their own, whose rows are not locked."""
    is_locked, may_end = threading.Event(), threading.Event()

    def first(tx):
        tx.devices.update(FIRST.id, {"status": "first", "nic": [NIC]})
        is_locked.set()
        assert may_end.wait(60)

    with open_store(postgres_url) as another, ThreadPoolExecutor(2) as pool:
        one = pool.submit(store.write, first)
        assert is_locked.wait(60)
        two = pool.submit(another.write, lambda tx: tx.devices.get(FIRST.id))
        until(lambda: other.execute(WAITING).fetchone()[0], "the second waits for the first")
        may_end.set()
        one.result()
        assert (two.result().status, len(two.result().nic)) == ("first", 1)


def test_what_a_change_finds_missing_is_missing_at_one_moment(store, postgres_url):
    """One of two devices always exists, and another change swaps them between two looks."""
    seen: list[object] = []

    def look(tx):
        second = tx.devices.find("second")
        if not seen:
            another.write(swap(FIRST.id, "second"))
        seen.append(second or tx.devices.find(FIRST.id))
        return seen[-1]

    with open_store(postgres_url) as another:
        assert store.write(look) == device("second")
    assert seen == [None, device("second")]


def test_what_a_change_raises_is_raised_only_if_it_has_read_what_was_there(store, postgres_url):
    def look(tx):
        if not tx.devices.find("second"):
            another.write(swap(FIRST.id, "second"))
            tx.devices.get(FIRST.id)

    with open_store(postgres_url) as another:
        store.write(look)


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ((FIRST.id, "second"), lambda tx: tx.devices.remove([FIRST.id, "second"]), ["second"]),
        ((FIRST.id, FIRST.id), lambda tx: tx.devices.update(FIRST.id, {"status": "x"}).status, "x"),
    ],
)
def test_a_row_that_is_gone_after_waiting_is_looked_for_again(store, other, postgres_url, first, second, outcome):
    is_locked, may_end = threading.Event(), threading.Event()

    def slow(tx):
        swap(*first)(tx)
        is_locked.set()
        assert may_end.wait(60)

    with open_store(postgres_url) as another, ThreadPoolExecutor(2) as pool:
        one = pool.submit(another.write, slow)
        assert is_locked.wait(60)
        two = pool.submit(store.write, second)
        until(lambda: other.execute(WAITING).fetchone()[0], "the second waits for the first")
        may_end.set()
        one.result()
        assert two.result() == outcome


def test_changes_that_lock_the_same_in_another_order_do_not_wait_for_each_other(store, other, postgres_url):
    """The server would notice a deadlock only after a minute here."""
    other.execute(f"ALTER DATABASE {make_url(postgres_url).database} SET deadlock_timeout = '1min'")
    both_hold, begun = threading.Barrier(2), threading.local()

    def update_both(*ids):
        def change(tx):
            for id in ids:
                tx.devices.update(id, {"status": ids[0]})
                if not hasattr(begun, "once"):
                    begun.once = True
                    both_hold.wait(60)

        return change

    ids = DEVICES[0].id, DEVICES[1].id
    with open_store(postgres_url) as set_so, ThreadPoolExecutor(2) as pool:
        both = [pool.submit(set_so.write, update_both(*order)) for order in (ids, ids[::-1])]
        assert [each.result() for each in both] == [None, None]
    assert store.devices.get(ids[0]).status == store.devices.get(ids[1]).status


def test_changes_are_kept_apart_although_the_server_is_set_to_another_isolation(store, other, postgres_url):
    """Both add a device if there is none of a type. Both have to be alone, and wait for a third."""
    other.execute(
        f"ALTER DATABASE {make_url(postgres_url).database} SET default_transaction_isolation = 'repeatable read'"
    )
    barrier, begun = threading.Barrier(3), threading.local()

    def add_the_only(id):
        def change(tx):
            if not hasattr(begun, "once"):
                begun.once = True
                barrier.wait(60)
            if not tx.devices.list(DeviceFilter(type="only")):
                tx.devices.add(device(id, type="only"))

        return change

    with open_store(postgres_url) as set_so, ThreadPoolExecutor(2) as pool:
        both = [pool.submit(set_so.write, add_the_only(id)) for id in "ab"]
        with other.transaction():
            other.execute(TOGETHER)
            barrier.wait(60)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            until(lambda: other.execute(waiting).fetchone()[0] == 2, "both wait to be alone")
        assert [each.result() for each in both] == [None, None]
    assert len(store.devices.list(DeviceFilter(type="only"))) == 1


def test_a_change_whose_process_stands_still_loses_its_locks(store, postgres_url, monkeypatch):
    monkeypatch.setattr(servers, "IDLE_SECONDS", 1)
    tries, is_locked, may_go_on = [1], threading.Event(), threading.Event()

    def stand_still(tx):
        tx.devices.get(FIRST.id)
        if tries:
            tries.clear()
            is_locked.set()
            assert may_go_on.wait(60)
        tx.devices.update(FIRST.id, {"name": "late"})

    with open_store(postgres_url) as other, ThreadPoolExecutor(1) as pool:
        late = pool.submit(other.write, stand_still)
        assert is_locked.wait(60)
        store.write(lambda tx: tx.devices.update(FIRST.id, {"name": "early", "status": "early"}))
        may_go_on.set()
        late.result()
    assert (store.devices.get(FIRST.id).name, store.devices.get(FIRST.id).status) == ("late", "early")


def test_a_change_of_many_rows_may_take_long(postgres_url, monkeypatch):
    """pg_sleep stands in for the rows, which the driver sends and waits for together. The server keeps its answers
    until they are some thousand bytes."""
    monkeypatch.setattr(servers, "MARGIN", 1.5)
    monkeypatch.setattr(sql_store, "CHANGE_SECONDS", 0)
    upgrade(postgres_url)
    with open_store(postgres_url) as hasty:
        hasty.write(run("SELECT pg_sleep(%s), repeat('x', 10000)", [(0.3,)] * 6))


def test_a_server_that_does_not_answer_is_given_up(postgres_url, monkeypatch):
    """pg_sleep stands in for it, without the server's own limit."""
    monkeypatch.setattr(servers, "MARGIN", 2)
    monkeypatch.setattr(sql_store, "CHANGE_SECONDS", 0)
    monkeypatch.setattr(sql_store, "PATIENCE", 1)
    upgrade(postgres_url)
    with open_store(postgres_url) as hasty:
        with pytest.raises(StoreUnavailable, match=r"has not answered for 2 seconds\. Nothing was changed"):
            hasty.write(run("SELECT pg_sleep(60)"))
        hasty.write(add(device("1")))


def test_connections_that_are_cut_while_they_rest_are_not_noticed(store, other):
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(store.devices.find, [FIRST.id] * 200))
    store.devices.list()
    other.execute(CUT)
    assert store.devices.find(FIRST.id)
    assert len(store.devices.list()) == 5
    other.execute(CUT)
    assert len(store.devices.list()) == 5
    assert store.devices.find(FIRST.id)
    store.write(add(device("1")))


def test_a_commit_that_is_cut_says_that_the_outcome_is_unknown(store, other):
    event.listen(store._engine, "commit", lambda _: other.execute(CUT))
    with pytest.raises(StoreUnavailable, match="The outcome is unknown"):
        store.write(add(device("1")))


def test_no_password_is_shown(postgres_url):
    url = make_url(postgres_url).set(password="secret", database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(StoreUnavailable) as refusal:
        open_store(url)
    assert "secret" not in str(refusal.value)
    assert "nowhere" in str(refusal.value)
