"""Many devices at once: a batch compared with single calls, a list, an import: python benchmarks/bulk.py

Prints medians and extremes. The batch and the single calls take turns, so that a busy moment of the machine hits both.
Each ratio is of one turn. All calls go over one connection to a service on a file of its own.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from devicesvc.api.examples import ADD
from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.model import Device

BIN = Path(sys.executable).parent
PORT = 18_251
TURNS, BATCH, ROWS = 7, 1_000, 10_000
JSON, CSV = {"Content-Type": "application/json"}, {"Content-Type": "text/csv"}


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        command = [BIN / "devicesvc", "serve", f"{folder}/device.csv", "--host", "127.0.0.1", "--port", str(PORT)]
        service = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{PORT}/healthz"
        try:
            subprocess.run(["curl", "-sfo", "/dev/null", "--retry", "9", "--retry-connrefused", url], check=True)
            with closing(HTTPConnection("127.0.0.1", PORT)) as connection:
                measure(connection)
        finally:
            service.terminate()
            service.wait()


def measure(connection: HTTPConnection) -> None:
    batches, singles, lists, csvs, imports, checks = [], [], [], [], [], []
    one, many = json.dumps(ADD).encode(), json.dumps({"create": [ADD] * BATCH}).encode()
    file = FORMAT.header + b"".join(FORMAT.encode(Device.build({"id": f"d{n}", **ADD})) for n in range(ROWS))
    for _ in range(TURNS):
        empty(connection)
        batches.append(call(connection, "POST", "/v1/devices/batch", many, JSON)[0])
        lists.append(call(connection, "GET", "/v1/devices"))
        csvs.append(call(connection, "GET", "/v1/devices", headers={"Accept": "text/csv"}))
        empty(connection)
        singles.append(sum(call(connection, "POST", "/v1/devices", one, JSON)[0] for _ in range(BATCH)))
        empty(connection)
        checks.append(call(connection, "POST", "/v1/devices/import?dry_run=true", file, CSV)[0])
        imports.append(call(connection, "POST", "/v1/devices/import", file, CSV)[0])
    show(f"a batch of {BATCH} creates", batches, 1000, "ms")
    show(f"{BATCH} single POSTs", singles, 1000, "ms")
    show("single to batch", [single / batch for single, batch in zip(singles, batches, strict=True)], 1, "times")
    show(f"a list of {BATCH} devices, {lists[0][1]} bytes", [seconds for seconds, _ in lists], 1000, "ms")
    show(f"the same as CSV, {csvs[0][1]} bytes", [seconds for seconds, _ in csvs], 1000, "ms")
    show(f"an import of {ROWS} rows, {len(file)} bytes", imports, 1, "s")
    show("the same with dry_run", checks, 1, "s")


def empty(connection: HTTPConnection) -> None:
    """Delete all devices."""
    while devices := json.loads(fetch(connection, "GET", "/v1/devices"))["data"]:
        fetch(connection, "DELETE", "/v1/devices", json.dumps({"ids": [device["id"] for device in devices]}).encode())


def call(connection: HTTPConnection, *request: object, **headers: object) -> tuple[float, int]:
    """Seconds until the whole answer is there, and its bytes."""
    begin = time.perf_counter()
    size = len(fetch(connection, *request, **headers))
    return time.perf_counter() - begin, size


def fetch(
    connection: HTTPConnection, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> bytes:
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    data = answer.read()
    if answer.status not in (200, 201):
        sys.exit(f"{method} {path}: {answer.status} {data.decode()}")
    return data


def show(what: str, figures: Sequence[float], scale: float, unit: str) -> None:
    low, middle, high = (scale * each for each in (min(figures), statistics.median(figures), max(figures)))
    print(f"{what:45} {middle:8.2f} {unit} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
