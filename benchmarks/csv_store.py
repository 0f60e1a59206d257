"""Changes in the CSV store, alone and over HTTP, and its start: python benchmarks/csv_store.py [--quick]

Needs wrk (Debian's package of that name), and a folder on a real disk: in /dev/shm a sync costs nothing. Prints medians
and extremes. The things compared take turns, so that a busy moment of the machine hits both. Each ratio is of one turn.
"""

import argparse
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from flask import Flask

from devicesvc.app import create_app
from devicesvc.dao.base import ChangeSet, Page, PageRequest, Writer
from devicesvc.dao.urls import open_store
from devicesvc.model import Device, DeviceFilter, Hardware, Nic, Software

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
FEW, MANY = 1_000, 100_000  # devices
UPDATES = {5: 200, FEW: 200, 10_000: 60, MANY: 25}  # turns with so many devices
RUNS = (("few", 1), ("few", 8), ("few", 64), ("no store", 64), ("many", 1), ("many", 8), ("many", 64))  # by clients
PORTS = {"few": 18_244, "no store": 18_245, "many": 18_246}

# Changes one device after another, each to a new name.
CLIENT = """
local ids, number, run = {}, 0, os.time()
function init(arguments)
  for id in io.lines(arguments[1]) do ids[#ids + 1] = id end
end
function request()
  number = number + 1
  local body = string.format('{"id": "%s", "name": "gateway-%d-%d"}', ids[number % #ids + 1], run, number)
  return wrk.format("PUT", nil, {["Content-Type"] = "application/json"}, body)
end
"""

# In a process of its own: the seconds to open the store, then the memory in use and the most memory used, in kilobytes.
OPEN = """
import re, sys, time
from devicesvc.dao.urls import open_store
begin = time.perf_counter()
with open_store(sys.argv[1]):
    seconds, status = time.perf_counter() - begin, open("/proc/self/status").read()
print(seconds, *(re.search(rf"{field}:\\s+(\\d+)", status)[1] for field in ("VmRSS", "VmHWM")))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the CSV store.")
    parser.add_argument("--quick", action="store_true", help="under a minute, and less sure")
    parser.add_argument("--folder", default="/var/tmp", help="where the files are kept for the time (%(default)s)")
    arguments = parser.parse_args()
    quick = arguments.quick
    refuse_taken_ports()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder, devices = Path(name), make_devices(MANY)
        for number in UPDATES:
            open_store(str(file_of(folder, number)), devices[:number]).close()
        ids = [device.id for device in devices]
        del devices
        measure_updates(folder, ids, share=4 if quick else 1)
        measure_http(folder, ids, turns=2 if quick else 7, seconds=1 if quick else 3)
        measure_start(folder, ids, turns=1 if quick else 5)


def refuse_taken_ports() -> None:
    """Otherwise the figures would be those of another service."""
    for port in PORTS.values():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                sys.exit(f"Port {port} is taken: is this benchmark running already?")


def make_devices(number: int) -> list[Device]:
    """Devices with texts as long as in a real registry: always the same, and fewer are the first of more."""
    dice = random.Random(0)
    return [
        Device(
            id=str(10**9 + place * 5_700_000_011 % (9 * 10**9)),  # scattered, no two the same
            name=f"{dice.choice(['greenhouse', 'workshop', 'rooftop', 'classroom'])}-{place}",
            type=dice.choice(["controller", "gateway", "adapter"]),
            hardware=Hardware(dice.choice(["Raspberry Pi 4", "x86 PC"]), dice.randbytes(4).hex()),
            software=Software(f"1.{dice.randrange(20)}", f"2023-08-{dice.randint(1, 28):02} 20:00:00"),
            nic=tuple(
                Nic(kind, dice.randbytes(6).hex(":"), f"192.168.{dice.randrange(256)}.{dice.randrange(256)}")
                for kind in ("eth", "wifi")[: dice.randint(1, 2)]
            ),
            status=dice.choice(["online", "offline"]),
        )
        for place in range(number)
    ]


def file_of(folder: Path, number: int) -> Path:
    return folder / f"{number}.csv"


def measure_updates(folder: Path, ids: Sequence[str], share: int) -> None:
    """Time an update of one device, in turns with a bare write of the same bytes."""
    rows = []
    for number, turns in UPDATES.items():
        ours, bare = [], []
        path = file_of(folder, number)
        data = path.read_bytes()
        with open_store(str(path)) as store:
            for turn in range(turns // share + 1):
                id, changes = ids[random.randrange(number)], {"name": f"corridor-{turn}"}
                ours.append(milliseconds(lambda: store.write(lambda tx: tx.devices.update(id, changes))))  # noqa: B023
                bare.append(milliseconds(lambda: replace(folder / "bare", data)))  # noqa: B023
        ours, bare = ours[1:], bare[1:]  # the first turn warms up
        rows.append([f"{number:,} devices", spread(ours, 2), spread(bare, 2), spread(ratios(ours, bare), 2)])
    show(["One update, ms", "the store", "a bare write", "ratio (aim: 1.5 from 1,000 on)"], rows)


def milliseconds(do: Callable[[], object]) -> float:
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


def measure_http(folder: Path, ids: Sequence[str], turns: int, seconds: int) -> None:
    """Count the changes a second by 1, 8 and 64 clients at once; by 64 also in the same service without a store."""
    script = folder / "client.lua"
    script.write_text(CLIENT)
    for name, those in {"few": ids[:FEW], "no store": ids[:FEW], "many": random.sample(ids, MANY)}.items():
        (folder / name).write_text("\n".join(those))
    rates: dict[tuple[str, int], list[float]] = {run: [] for run in RUNS}
    no_store = ("gunicorn", "benchmarks.csv_store:without_store()", "--config", ROOT / "gunicorn.conf.py")
    with (
        serving("devicesvc", "serve", file_of(folder, FEW), "--port", str(PORTS["few"])),
        serving("devicesvc", "serve", file_of(folder, MANY), "--port", str(PORTS["many"])),
        serving(*no_store, "--bind", f"0.0.0.0:{PORTS['no store']}"),
    ):
        for port in PORTS.values():
            wait_for(port, ids[0])
        for name, port in PORTS.items():
            changes_a_second(port, 64, 1, script, folder / name)  # warms up
        for _ in range(turns):
            for name, clients in RUNS:
                rates[name, clients].append(changes_a_second(PORTS[name], clients, seconds, script, folder / name))
    rows = [
        [title, *(spread(rates.get((name, clients), ()), 0) for clients in (1, 8, 64))]
        for name, title in (
            ("few", f"{FEW:,} devices"),
            ("no store", f"{FEW:,}, no store"),
            ("many", f"{MANY:,} devices"),
        )
    ]
    show(["Changes a second", "1 client", "8 clients", "64 clients"], rows)
    rows = [
        ["64 clients to 1, at 100,000 (aim: 8)", spread(ratios(rates["many", 64], rates["many", 1]), 2)],
        ["64 clients, store to none (aim: 0.7)", spread(ratios(rates["few", 64], rates["no store", 64]), 2)],
    ]
    show(["Ratio", ""], rows)


@contextmanager
def serving(program: str, *arguments: str | Path) -> Iterator[int]:
    """Run a service as long as the block runs, and give its process id."""
    service = subprocess.Popen([BIN / program, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield service.pid
    finally:
        service.terminate()
        service.wait()


def wait_for(port: int, id: str) -> None:
    """Wait for the first answer of a service."""
    end = time.monotonic() + 60
    while True:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/devices/{id}").close()
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > end:
                raise
            time.sleep(0.01)


def change(port: int, id: str) -> None:
    """Change a device once, and wait for the answer."""
    body = json.dumps({"id": id, "name": f"corridor-{time.time()}"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/devices", body, {"Content-Type": "application/json"}, method="PUT"
    )
    urllib.request.urlopen(request).close()


def changes_a_second(port: int, clients: int, seconds: int, script: Path, ids: Path) -> float:
    """Let wrk change devices. Their ids are in a file. An answer other than 2xx stops the run."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", script]
    command += [f"http://127.0.0.1:{port}/v1/devices", "--", ids]
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    change(port, ids.read_text().split("\n", 1)[0])  # waits behind the changes whose answers wrk no longer took
    if "Non-2xx" in words or "Socket errors" in words:
        sys.exit(words)
    return float(re.search(r"Requests/sec: +([0-9.]+)", words)[1])


class NoStore(Writer[Device, DeviceFilter]):
    """A store without files: changes to devices in memory, one after another."""

    item, filter = Device, DeviceFilter

    def __init__(self, devices: Iterable[Device]) -> None:
        self.devices = self
        self._lock = threading.Lock()
        self._devices = {device.id: device for device in devices}

    def write(self, change: Callable[["NoStore"], Any]) -> Any:
        with self._lock:
            self.change_set = ChangeSet()
            return change(self)

    def find(self, id: str) -> Device | None:
        return self._devices.get(id)

    def _insert(self, items: Sequence[Device]) -> None:
        self._devices |= {device.id: device for device in items}

    _update = _insert

    def _delete(self, ids: Sequence[str]) -> None:
        for id in ids:
            del self._devices[id]

    def page(self, where: DeviceFilter, _request: PageRequest) -> Page[Device]:
        return Page([device for device in self._devices.values() if where.matches(device)], None, None)


def without_store() -> Flask:
    """The service with its devices only in memory, for gunicorn."""
    return create_app(store=NoStore(make_devices(FEW)))


def measure_start(folder: Path, ids: Sequence[str], turns: int) -> None:
    """Time the opening of the store in a new process, in turns with `devicesvc serve` until its first answer."""
    path, port = file_of(folder, MANY), PORTS["many"]
    opened, served = [], []
    for _ in range(turns):
        words = subprocess.run([sys.executable, "-c", OPEN, path], cwd=ROOT, capture_output=True, text=True, check=True)
        seconds, now, peak = map(float, words.stdout.split())
        opened.append((seconds, now / 1024, peak / 1024))
        begin = time.perf_counter()
        with serving("devicesvc", "serve", path, "--port", str(port)) as pid:
            wait_for(port, ids[0])
            seconds = time.perf_counter() - begin
            [worker] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            served.append((seconds, megabytes(worker, "VmRSS"), megabytes(worker, "VmHWM"), megabytes(pid, "VmRSS")))
    rows = []
    for title, figures in (("open_store", opened), ("devicesvc serve, first answer", served)):
        seconds, memory, peak, *parent = zip(*figures, strict=True)
        rows.append([title, spread(seconds, 2), *(spread(each, 0) for each in (memory, peak, *parent))])
    show([f"Start, {MANY:,} devices", "seconds", "MB", "MB at most", "MB of gunicorn's parent"], rows)


def megabytes(pid: int | str, field: str) -> float:
    """VmRSS, the resident memory of a process, or VmHWM, the most that it has been."""
    return int(re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def ratios(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ones, others, strict=True)]


def spread(figures: Sequence[float], digits: int) -> str:
    """The median, and the least and the most."""
    if not figures:
        return ""
    middle, least, most = (f"{each:,.{digits}f}" for each in (statistics.median(figures), min(figures), max(figures)))
    return f"{middle} ({least} to {most})"


def show(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    widths = [max(map(len, column)) for column in zip_longest(head, *rows, fillvalue="")]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())
    print(flush=True)


if __name__ == "__main__":
    main()
