"""Changes of one device, each answered before the client sends the next."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import peers
from benchmarks.run import FEW, MANY, Run
from benchmarks.wrk import load
from devicesvc.dao.urls import open_store

PART, BARE_WRITE = "Updates", "Update beside a bare write"
CLIENTS = 1, 16, 64
PLAIN = "write, fsync, rename"
BARE_ROW = f"one update, {MANY:,} devices"


def row_of(clients: int) -> str:
    """The name of a row."""
    return f"PUT by {clients} client{'s' * (clients > 1)}, {FEW:,} devices"


def measure(run: Run) -> None:
    """Measure the changes a second that all programs make."""
    folder = run.prepared(FEW)
    with run.fleet(FEW, lambda peer: peer.change) as services:
        for clients in CLIENTS:
            for _ in range(run.turns):
                for peer, service in services.items():
                    assert peer.change
                    run.progress.show(f"{row_of(clients)}, {peer.name}")
                    found = load(service, peer.change, folder / "ids", clients, run.seconds)
                    run.results.add(PART, row_of(clients), peer.name, "requests/s", *found)


def measure_bare_write(run: Run) -> None:
    """Time an update of one device among many in the store, in turns with a bare write of the same bytes."""
    run.progress.show("opening the store")
    path = run.prepared(MANY) / "csv/device.csv"
    ids = path.parent.with_name("ids").read_text().split()
    data = path.read_bytes()
    with open_store(str(path)) as store:
        for turn in range(4 * run.turns + 1):
            run.progress.show(f"update {turn}")
            id, changes = random.choice(ids), {"name": f"corridor-{turn}"}
            ours = milliseconds(lambda: store.write(lambda tx: tx.devices.update(id, changes)))  # noqa: B023
            bare = milliseconds(lambda: replace(path.with_name("bare"), data))
            if turn:  # the first warms up
                run.results.add(BARE_WRITE, BARE_ROW, peers.CSV.name, "ms", ours)
                run.results.add(BARE_WRITE, BARE_ROW, PLAIN, "ms", bare)


def milliseconds(do: Callable[[], object]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    do()
    return (time.perf_counter() - begin) * 1000


def replace(path: Path, data: bytes) -> None:
    """Replace a file durably, with the necessary system calls and nothing else."""
    temporary = path.with_suffix(".tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    os.write(handle, data)
    os.fsync(handle)
    os.close(handle)
    os.rename(temporary, path)
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(handle)
    os.close(handle)
