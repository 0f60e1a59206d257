"""What the history costs: python -m benchmarks.history [changes | calls | reads]

changes: one update in this process, with and without the history, in turns. calls: PUT by many clients, the same.
reads: how long it takes to find something among a million rows, and how much memory.
"""

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

from benchmarks import peers
from benchmarks.devices import as_csv, make_devices, write_ids
from benchmarks.services import Service, most_memory
from benchmarks.updates import milliseconds
from benchmarks.wrk import load
from devicesvc import cli
from devicesvc.csv_codec.history import HEADER, encode
from devicesvc.dao.csv.recording import Recorder
from devicesvc.dao.history import HistoryFilter
from devicesvc.dao.urls import open_store

SIZES = 1_000, 100_000
CLIENTS = 1, 16, 64
TURNS, CHANGES, SECONDS = 15, 20, 4
ROWS = 1_000_000

WITHOUT = "without"


@contextmanager
def no_history() -> Iterator[None]:
    """No row is written, and nothing is held against the files."""
    with ExitStack() as patches:
        for name in ("write", "confirm"):
            patches.enter_context(patch.object(Recorder, name, lambda *_: None))
        patches.enter_context(patch.object(Recorder, "begin", lambda *_: lambda: None))
        patches.enter_context(patch.object(Recorder, "reconcile", lambda *_: False))
        yield


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


def measure_changes(folder: Path) -> None:
    """One update after another in this process."""
    for size in SIZES:
        devices = make_devices(size)
        stores = {}
        with ExitStack() as opened:
            for has_history in (True, False):
                path = folder / f"{size}-{has_history}.csv"
                path.write_bytes(as_csv(devices))
                stores[has_history] = opened.enter_context(open_store(str(path)))

            def measure(has_history: bool) -> float:
                with ExitStack() as patches:
                    if not has_history:
                        patches.enter_context(no_history())
                    return median(
                        milliseconds(lambda: _rename(stores[has_history], random.choice(devices).id))  # noqa: B023
                        for _ in range(CHANGES)
                    )

            compare(f"one update, {size:,} devices", "ms", measure)


def _rename(store: object, id: str) -> None:
    store.write(lambda tx: tx.devices.update(id, {"name": f"corridor-{random.random()}"}))  # type: ignore[attr-defined]


def measure_calls(folder: Path) -> None:
    """PUT by many clients."""
    devices = make_devices(SIZES[0])
    ids = write_ids(folder / "ids", devices)
    with ExitStack() as started:
        services = {}
        for has_history in (True, False):
            path = folder / f"calls-{has_history}.csv"
            path.write_bytes(as_csv(devices))
            command = [sys.executable, "-m", "benchmarks.history", "serve", "" if has_history else WITHOUT, str(path)]
            service = Service("devicesvc", partial(_with_port, command), "/healthz")
            services[has_history] = started.enter_context(service)
        change = peers.CSV.change
        assert change
        for clients in CLIENTS:
            compare(
                f"PUT by {clients} clients, {SIZES[0]:,} devices",
                "requests/s",
                lambda has_history: load(services[has_history], change, ids, clients, SECONDS)[0],  # noqa: B023
            )


def _with_port(command: Sequence[str], port: int) -> list[str]:
    return [*command, "--port", str(port)]


def serve(variant: str, *arguments: str) -> None:
    """The service, perhaps without the history."""
    with ExitStack() as patches:
        if variant == WITHOUT:
            patches.enter_context(no_history())
        cli.main(["serve", *arguments])


def measure_reads(folder: Path) -> None:
    """Look for something among a million rows of a month."""
    ids = [device.id for device in make_devices(100_000)]
    path = folder / "device.csv"
    path.write_bytes(as_csv(make_devices(10)))
    rare, moment = "4242424242", datetime(2026, 10, 1, tzinfo=UTC)
    with (folder / "history-2026-10.csv").open("wb") as file:
        file.write(HEADER)
        for number in range(1, ROWS + 1):
            time_ = f"{moment + timedelta(seconds=2 * number):%Y-%m-%dT%H:%M:%S.000Z}"
            id = rare if number in (5, ROWS // 2) else random.choice(ids)
            cells = (
                number,
                time_,
                "-",
                f"{number:032x}",
                "10.0.0.1",
                "changed",
                "device",
                id,
                "status",
                "online",
                "offline",
            )
            file.write(encode(cells))
        size = file.tell()
    print(f"{ROWS:,} rows, {size / 1e6:.0f} MB")
    with open_store(str(path)) as store:
        history = store.history
        before = most_memory(_SELF)
        looks: dict[str, Callable[[], object]] = {
            "one device": lambda: history.page(HistoryFilter(device_id=rare), None, 100),
            "one device, as_of": lambda: list(history.rows_of("device", rare)),
            "one request": lambda: history.page(HistoryFilter(request_id=f"{7:032x}"), None, 100),
            "nobody": lambda: history.page(HistoryFilter(who="nobody"), None, 100),
            "the last 100": lambda: history.page(HistoryFilter(), None, 100),
            "100 in the middle": lambda: history.page(HistoryFilter(), ROWS // 2, 100),
            "1,000 after the middle": lambda: history.after(ROWS // 2, 1000),
            "one change": lambda: history.find(ROWS // 3),
            "since an hour before the end": lambda: history.page(
                HistoryFilter(since=f"{moment + timedelta(seconds=2 * ROWS - 3600):%Y-%m-%dT%H:%M:%S.000Z}"), None, 100
            ),
        }
        for name, look in looks.items():
            assert look() or name == "nobody"
            print(f"{name}: {median(milliseconds(look) for _ in range(5)):.1f} ms", flush=True)
        print(f"memory: {most_memory(_SELF) - before:.1f} MB more")


_SELF = int(Path("/proc/self").readlink().name)


def main() -> None:
    what, *arguments = sys.argv[1:] or ["all"]
    if what == "serve":
        return serve(*arguments)
    for name, measure in {"reads": measure_reads, "changes": measure_changes, "calls": measure_calls}.items():
        if what in ("all", name):
            begin = time.monotonic()
            with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
                measure(Path(folder))
            print(f"{name} took {time.monotonic() - begin:.0f} s", flush=True)
    return None


if __name__ == "__main__":
    main()
