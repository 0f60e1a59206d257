"""In a database, an index leads to the history of an item, and to the newest changes: nothing else is read."""

from typing import Any

import pytest
from sqlalchemy import event

from devicesvc.dao.history import HistoryFilter, Row
from devicesvc.dao.sql import history
from devicesvc.dao.urls import open_store

pytestmark = pytest.mark.parametrize("new_store_url", ["sqlite", "postgresql", "mariadb"], indirect=True)

AUTHOR = "2026-03-01T01:30:00.123Z", "teacher", "1", "127.0.0.1"
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN", "mysql": "EXPLAIN"}
ANALYZE = {"sqlite": "ANALYZE", "postgresql": "ANALYZE history", "mysql": "ANALYZE TABLE history"}


@pytest.fixture
def store(store_url):
    """A store with many changes, of many devices and groups."""
    rows = []
    for number in range(2, 4002):
        device, group = f"d{number % 400}", f"g{number % 40}"
        item = ("changed", "device", device, "name") if number % 4 else ("added", "membership", f"{device}/{group}", "")
        rows.append(history.values(0, Row(number, *AUTHOR, *item, "", "")))
    store: Any = open_store(store_url)
    with store:
        with store._changing(store._begin()) as (connection, _):
            store._statements.change(connection.connection, history.ADD, rows)
        with store._engine.connect() as connection:
            connection.exec_driver_sql(ANALYZE[store._engine.dialect.name])
            connection.rollback()
        yield store


@pytest.fixture
def plan(store):
    """Gives how the database goes about the first query that a call sends."""

    def plan(call):
        sent = []
        listener = (store._snapshots, "before_cursor_execute", lambda *given: sent.append(given[2:4]))
        event.listen(*listener)
        call(store.history)
        event.remove(*listener)
        statement, values = next(each for each in sent if each[0].startswith("SELECT"))
        with store._reading() as connection:
            rows = connection.exec_driver_sql(f"{EXPLAIN[connection.dialect.name]} {statement}", values)
            return "\n".join(str(row) for row in rows)

    return plan


@pytest.mark.parametrize("name", ["device_id", "group_id"])
def test_the_changes_of_a_device_or_group_with_its_memberships(store, plan, name):  # noqa: ARG001
    where = HistoryFilter(**{name: f"{name[0]}8"})
    assert f"ix_history_{name}" in plan(lambda history: history.page(where, None, 100))


def test_the_rows_of_an_item(store, sent):
    statements = sent(store)
    assert len(list(store.history.rows_of("membership", "d8/g8"))) == 10
    [(statement, values)] = statements
    values = values if isinstance(values, dict) else tuple(values)
    with store._reading() as connection:
        explained = connection.exec_driver_sql(f"{EXPLAIN[connection.dialect.name]} {statement}", values)
        assert "ix_history_" in str(explained.all())


@pytest.mark.parametrize("before", [None, 2000])
def test_the_newest_changes(store, plan, before):  # noqa: ARG001
    found = plan(lambda history: history.page(HistoryFilter(), before, 100)).lower()
    assert "pk_history" in found or "primary" in found or "sqlite_autoindex_history" in found
    assert "temp b-tree" not in found
    assert "filesort" not in found
    assert "sort" not in found
