"""The migration compared with other ways to load CSV into SQLite: python -m benchmarks.migrate [--rows 1000000]

Each runs in a process of its own, on a file of devices with one or two network interfaces each. The loader that uses
only the standard library checks nothing, and fills the same tables with the same settings. .import and sqlite-utils
make one table.
"""

import argparse
import csv
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from devicesvc.migrations import upgrade

from benchmarks.services import most_memory
from benchmarks.stop import stoppable
from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.transfer.mover import Result, migrate

Load = Callable[[Path, Path], float]  # returns the most memory that it had, in MB
OURS = "devicesvc migrate, checked and verified"
SQLITE_UTILS = Path(sys.executable).with_name("sqlite-utils")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        source = Path(folder, "device.csv")
        generate(source, rows)
        for name, loader in loaders().items():
            seconds, peak = measure(loader, source)
            print(f"{name:50} {seconds:7.1f} s {rows / seconds:10,.0f} rows/s {peak:6.0f} MB", flush=True)


def loaders() -> dict[str, Load]:
    """The ways to load that there are here, by name; our own is the first."""
    found: dict[str, Load] = {OURS: migrated, "csv.reader + executemany, unchecked": loaded}
    if shutil.which("sqlite3"):
        found["sqlite3 .import into one table, unchecked"] = imported
    if SQLITE_UTILS.exists():
        found["sqlite-utils insert --csv, one table"] = inserted
    return found


def generate(path: Path, rows: int, ids: range = range(10**9, 10**10)) -> None:
    """Make a file of devices, in no order. No two are the same. ids: what their ids are picked from."""
    pick = random.Random(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(FORMAT.header.decode())
        for number, id in enumerate(pick.sample(ids, rows)):
            nics = range(pick.randint(1, 2))
            cells = [
                *(str(id), f"device-{number}", pick.choice(["controller", "gateway", "adapter"])),
                *(pick.choice(["Raspberry Pi 4", "x86 PC"]), f"{pick.randrange(10**8):08x}", f"0.{pick.randrange(9)}"),
                f"2023-{pick.randint(1, 12):02}-{pick.randint(1, 28):02} {pick.randrange(24):02}:30:00",
                ";".join(["eth", "wifi"][: len(nics)]),
                ";".join(pick.randbytes(6).hex(":") for _ in nics),
                ";".join(".".join(map(str, pick.randbytes(4))) for _ in nics),
                pick.choice(["online", "offline"]),
            ]
            file.write(",".join(cells) + "\n")


def measure(load: Load, source: Path) -> tuple[float, float]:
    """The seconds of a load in a process of its own, and the most memory that it had, in MB."""
    target = source.with_suffix(".db")
    context = get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(load, source, target, sending))
    process.start()
    sending.close()
    seconds, peak = receiving.recv()
    process.join()
    target.unlink()
    return seconds, peak


def run(load: Load, source: Path, target: Path, result: Connection) -> None:
    begin = time.perf_counter()
    peak = load(source, target)
    result.send((time.perf_counter() - begin, peak))


def migrated(source: Path, target: Path) -> float:
    assert migrate(Result(str(source), f"sqlite:///{target}")).done
    return most_memory(os.getpid())


def loaded(source: Path, target: Path) -> float:
    upgrade(f"sqlite:///{target}")
    with (
        closing(sqlite3.connect(target, isolation_level=None)) as to,
        source.open(newline="", encoding="utf-8") as file,
    ):
        for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "cache_size = -32768"):
            to.execute(f"PRAGMA {setting}")
        to.execute("BEGIN")
        made = to.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
        for name, _ in made:
            to.execute(f"DROP INDEX {name}")
        devices: list[tuple[str, ...]] = []
        nics: list[tuple[str | int, ...]] = []

        def insert() -> None:
            to.executemany("INSERT INTO devices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", devices)
            to.executemany("INSERT INTO nics VALUES (?, ?, ?, ?, ?)", nics)
            devices.clear()
            nics.clear()

        reader = csv.reader(file)
        next(reader)
        for id, name, type, model, sn, version, last_update, types, macs, addresses, status in reader:
            devices.append((id, name, type, model, model.casefold(), sn, version, last_update, status))
            each = zip(types.split(";"), macs.split(";"), addresses.split(";"), strict=True)
            nics.extend((id, position, *nic) for position, nic in enumerate(each))
            if len(devices) == 10_000:
                insert()
        insert()
        for _, sql in made:
            to.execute(sql)
        to.execute("COMMIT")
    with target.open("rb") as file_of_target:
        os.fsync(file_of_target.fileno())
    return most_memory(os.getpid())


def imported(source: Path, target: Path) -> float:
    return run_program(["sqlite3", target, ".mode csv", f".import {source} devices"])


def inserted(source: Path, target: Path) -> float:
    return run_program([SQLITE_UTILS, "insert", target, "devices", source, "--csv"])


def run_program(command: list[str | Path]) -> float:
    """Run a program to its end, and return the most memory that it had, in MB."""
    peak = 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, most_memory(process.pid))
            time.sleep(0.01)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return peak


if __name__ == "__main__":
    with stoppable():
        main()
