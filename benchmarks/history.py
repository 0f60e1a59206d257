"""What the history costs, on each kind of store: python -m benchmarks.history [changes] [calls] [reads]

changes: one update in this process, with and without the history, in turns. calls: PUT by many clients, the same.
reads: how long it takes to find something among a million rows, and how much memory. All of them need an hour. The
databases sync what they commit; `calls` needs wrk.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, TypeVar
from unittest.mock import patch

from devicesvc.migrations import upgrade
from sqlalchemy import create_engine, text

from benchmarks import peers
from benchmarks.devices import make_devices, write_ids
from benchmarks.services import Service, most_memory
from benchmarks.updates import milliseconds
from benchmarks.wrk import load
from devicesvc import cli
from devicesvc.csv_codec.history import HEADER, encode
from devicesvc.dao.base import Store
from devicesvc.dao.csv.recording import Recorder
from devicesvc.dao.history import HistoryFilter, Row
from devicesvc.dao.sql import history as sql_history
from devicesvc.dao.sql import postgresql, row_locks
from devicesvc.dao.sql.store import SqlTransaction
from devicesvc.dao.urls import open_store
from devicesvc.model import Device
from tests import mariadb, postgres

SIZES = 1_000, 100_000
CLIENTS = 1, 16, 64
TURNS, CHANGES, SECONDS = 15, 20, 4
ROWS = 1_000_000

T = TypeVar("T")

CSV, SQLITE, POSTGRESQL, MARIADB = KINDS = ("CSV", "SQLite", "PostgreSQL", "MariaDB")
WITHOUT = "without"

Urls = Callable[[str], str]  # gives the URL of a new store, which has its tables


@contextmanager
def no_history() -> Iterator[None]:
    """No row is written, and nothing is held against the files."""
    together = f"SELECT pg_advisory_xact_lock_shared({row_locks._LOCK}), nextval('changes')"
    with ExitStack() as patches:
        for name in ("write", "confirm"):
            patches.enter_context(patch.object(Recorder, name, lambda *_: None))
        patches.enter_context(patch.object(Recorder, "begin", lambda *_: lambda: None))
        patches.enter_context(patch.object(Recorder, "reconcile", lambda *_: False))
        patches.enter_context(patch.object(SqlTransaction, "keep_history", lambda *_: None))
        patches.enter_context(patch.object(postgresql, "TOGETHER", together))
        yield


@contextmanager
def new_stores(kind: str, folder: Path) -> Iterator[Urls]:
    """Make stores of a kind, as long as the block runs."""
    with ExitStack() as running:
        servers: dict[str, Callable[[], Any]] = {
            POSTGRESQL: lambda: postgres.running_server(safe=True),
            MARIADB: lambda: mariadb.running_server(safe=True),
        }
        server = running.enter_context(servers[kind]()) if kind in servers else None

        def url(name: str) -> str:
            if kind == CSV:
                return str(folder / f"{name}.csv")
            made = running.enter_context(server.fresh_database()) if server else f"sqlite:///{folder}/{name}.db"
            upgrade(made)
            return str(made)

        yield url


def filled(url: str, devices: list[Device]) -> str:
    """The URL of a store, which has the devices now."""
    with open_store(url) as store:
        for some in portions(devices, 1_000):
            store.write(lambda tx, some=some: tx.devices.put_many(some))  # type: ignore[misc]
    return url


def portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items, in lists of at most this size."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def compare(what: str, unit: str, measure: Callable[[bool], float]) -> None:
    """Measure with and without the history in turns, and print the medians."""
    found: dict[bool, list[float]] = {True: [], False: []}
    measure(True), measure(False)  # to warm up
    for turn in range(TURNS):
        for has_history in (True, False) if turn % 2 else (False, True):
            found[has_history].append(measure(has_history))
    ours, bare = median(found[True]), median(found[False])
    ratios = median(a / b for a, b in zip(found[True], found[False], strict=True))
    words = (
        f"with {ours:.2f} {unit}, without {bare:.2f} {unit}: {ours / bare - 1:+.1%}, median of pairs {ratios - 1:+.1%}"
    )
    print(f"{what}: {words}", flush=True)


def measure_changes(kind: str, new: Urls, _folder: Path) -> None:
    """One update after another in this process."""
    for size in SIZES:
        devices = make_devices(size)
        with ExitStack() as opened:
            stores = {
                each: opened.enter_context(open_store(filled(new(f"{size}-{each}"), devices))) for each in (True, False)
            }

            def measure(has_history: bool) -> float:
                with ExitStack() as patches:
                    if not has_history:
                        patches.enter_context(no_history())
                    return median(
                        milliseconds(lambda: _rename(stores[has_history], random.choice(devices).id))  # noqa: B023
                        for _ in range(CHANGES)
                    )

            compare(f"{kind}: one update, {size:,} devices", "ms", measure)


def _rename(store: Store, id: str) -> None:
    store.write(lambda tx: tx.devices.update(id, {"name": f"corridor-{random.random()}"}))


def measure_calls(kind: str, new: Urls, folder: Path) -> None:
    """PUT by many clients."""
    devices = make_devices(SIZES[0])
    ids = write_ids(folder / "ids", devices)
    with ExitStack() as started:
        services = {}
        for has_history in (True, False):
            url = filled(new(f"calls-{has_history}"), devices)
            command = [sys.executable, "-m", "benchmarks.history", "serve", "" if has_history else WITHOUT, url]
            service = Service("devicesvc", lambda port, command=command: [*command, "--port", str(port)], "/healthz")  # type: ignore[misc]
            services[has_history] = started.enter_context(service)
        change = peers.CSV.change
        assert change
        for clients in CLIENTS:
            compare(
                f"{kind}: PUT by {clients} clients, {SIZES[0]:,} devices",
                "requests/s",
                lambda has_history: load(services[has_history], change, ids, clients, SECONDS)[0],  # noqa: B023
            )


def serve(variant: str, *arguments: str) -> None:
    """The service, perhaps without the history."""
    with ExitStack() as patches:
        if variant == WITHOUT:
            patches.enter_context(no_history())
        cli.main(["serve", *arguments])


RARE, MONTH = "4242424242", datetime(2026, 10, 1, tzinfo=UTC)


def _time(number: int) -> str:
    return f"{MONTH + timedelta(seconds=2 * number):%Y-%m-%dT%H:%M:%S.000Z}"


def _rows() -> Iterator[Row]:
    """A million changes in a month, two of them of the device RARE."""
    ids = [device.id for device in make_devices(100_000)]
    for number in range(1, ROWS + 1):
        id = RARE if number in (5, ROWS // 2) else random.choice(ids)
        author = "-", f"{number:032x}", "10.0.0.1"
        yield Row(number, _time(number), *author, "changed", "device", id, "status", "online", "offline")


def _fill_history(kind: str, url: str) -> None:
    """Put the rows into a store that has no others."""
    if kind == CSV:
        with Path(url).with_name("history-2026-10.csv").open("wb") as file:
            file.write(HEADER)
            file.writelines(map(encode, _rows()))
        return
    with closing_engine(url) as engine:
        for some in portions(_rows(), 10_000):
            with engine.begin() as connection:
                connection.execute(sql_history.ADD, [sql_history.values(0, row) for row in some])
        if kind == POSTGRESQL:
            with engine.begin() as connection:
                connection.execute(text(f"SELECT setval('changes', {ROWS})"))
                connection.execute(text("ANALYZE history"))  # as a migration does


@contextmanager
def closing_engine(url: str) -> Iterator[Any]:
    engine = create_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def measure_reads(kind: str, new: Urls, _folder: Path) -> None:
    """Look for something among a million rows of a month."""
    url = new("device")
    _fill_history(kind, url)
    with open_store(url) as store:
        history = store.history
        before = most_memory(_SELF)
        looks: dict[str, Callable[[], object]] = {
            "one device": lambda: history.page(HistoryFilter(device_id=RARE), None, 100),
            "one device, as_of": lambda: list(history.rows_of("device", RARE)),
            "one request": lambda: history.page(HistoryFilter(request_id=f"{7:032x}"), None, 100),
            "nobody": lambda: history.page(HistoryFilter(who="nobody"), None, 100),
            "the last 100": lambda: history.page(HistoryFilter(), None, 100),
            "100 in the middle": lambda: history.page(HistoryFilter(), ROWS // 2, 100),
            "1,000 after the middle": lambda: history.after(ROWS // 2, 1000),
            "one change": lambda: history.find(ROWS // 3),
            "since an hour before the end": lambda: history.page(HistoryFilter(since=_time(ROWS - 1800)), None, 100),
        }
        for name, look in looks.items():
            assert look() or name == "nobody"
            print(f"{kind}: {name}: {median(milliseconds(look) for _ in range(5)):.1f} ms", flush=True)
        print(f"{kind}: {most_memory(_SELF) - before:.1f} MB of memory more to read {history.size() / 1e6:.0f} MB")


_SELF = int(Path("/proc/self").readlink().name)
PARTS = {"changes": measure_changes, "calls": measure_calls, "reads": measure_reads}


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        return serve(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[*PARTS, []], help="all of them, if none is named")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="of stores; all, if none is named")
    arguments = parser.parse_args()
    for name in arguments.parts or PARTS:
        for kind in arguments.kinds:
            begin = time.monotonic()
            with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, new_stores(kind, Path(folder)) as new:
                PARTS[name](kind, new, Path(folder))
            print(f"{kind}: {name} took {time.monotonic() - begin:.0f} s", flush=True)
    return None


if __name__ == "__main__":
    main()
