"""The statements that a service sends to its database, caught on their way, and their plans."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from devicesvc.dao.base import PageRequest
from devicesvc.dao.sql.store import SqlStore
from devicesvc.model import DeviceFilter

Statement = tuple[str, Any]  # with its parameters


def of_read(store: SqlStore, read: Callable[[], object]) -> Statement:
    """The one statement of a read."""
    with _caught(store) as sent:
        read()
    [statement] = sent
    return statement


def of_change(store: SqlStore, id: str, changes: Mapping[str, Any]) -> list[Statement]:
    """The statements between BEGIN and COMMIT of a change of one device, by a connection that has been used before."""
    store.write(lambda tx: tx.devices.get(id))
    with _caught(store) as sent:
        store.write(lambda tx: tx.devices.update(id, changes))
    return [(statement.removeprefix("BEGIN; "), parameters) for statement, parameters in sent]


def plan(store: SqlStore, where: DeviceFilter, request: PageRequest) -> str:
    """How the database reads a page: each table or index that it takes rows from, and each sort."""
    query, parameters = of_read(store, lambda: store.devices.page(where, request))
    is_sqlite = store._engine.name == "sqlite"
    with store._reading() as connection:
        explain = f"EXPLAIN QUERY PLAN {query}" if is_sqlite else f"EXPLAIN (COSTS OFF) {query}"
        rows = connection.exec_driver_sql(explain, tuple(parameters) if is_sqlite else parameters)
        lines = [str(row[-1]).strip().removeprefix("->").strip() for row in rows]
    steps = [line for line in lines if re.match(r"(SCAN|SEARCH|USE TEMP|.*(Scan|Sort)\b)", line) and "nics" not in line]
    # An index is in quotes for nobody, and SQLite has a name of its own for that of a primary key.
    return "; ".join(dict.fromkeys(step.replace("sqlite_autoindex_devices_1", "pk_devices") for step in steps))


@contextmanager
def _caught(store: SqlStore) -> Iterator[list[Statement]]:
    """Note each statement that runs past SQLAlchemy."""
    sent: list[Statement] = []
    do = store._statements.do

    def noted(connection: Any, statement: str, parameters: Any = ()) -> Any:
        sent.append((statement, parameters))
        return do(connection, statement, parameters)

    store._statements.do = noted  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        store._statements.do = do  # type: ignore[method-assign]
