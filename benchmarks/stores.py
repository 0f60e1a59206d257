"""GET by id, POST and PUT on every kind of store, small and large: python -m benchmarks.stores [--quick]

Needs wrk (Debian's package of that name), and a folder on a real disk. The PostgreSQL server is the one that
DEVICESVC_TEST_POSTGRES_URL names; without that, the tests start one. Prints requests a second: the median of the turns
and their extremes. The stores take turns, so that a busy moment of the machine hits all.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from devicesvc.migrations import upgrade

from benchmarks.devices import make_devices
from devicesvc.dao.urls import open_store
from tests.postgres import running_server

BIN = Path(sys.executable).parent
PORTS = {"CSV": 18_261, "SQLite": 18_262, "PostgreSQL": 18_263}
SIZES = 1_000, 100_000
CLIENTS = 16

# Asks for, adds or changes one device after another.
SCRIPT = """
local ids, number, run, method = {}, 0, os.time(), nil
function init(arguments)
  method = arguments[2]
  for id in io.lines(arguments[1]) do ids[#ids + 1] = id end
  math.randomseed(run)
end
local device = '"type": "t", "status": "s", "nic": [{"type": "eth", "mac": "00:00:00:00:00:01", "ipv4": "10.0.0.1"}], '
  .. '"hardware": {"model": "m", "sn": "s"}, "software": {"version": "1", "last_update": "2024-01-01 00:00:00"}'
local headers = {["Content-Type"] = "application/json"}
function request()
  number = number + 1
  local id = ids[math.random(#ids)]
  if method == "GET" then return wrk.format("GET", "/v1/devices/" .. id) end
  if method == "POST" then return wrk.format("POST", nil, headers, '{"name": "n", ' .. device .. "}") end
  return wrk.format("PUT", nil, headers, string.format('{"id": "%s", "name": "gateway-%d-%d"}', id, run, number))
end
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one short turn each")
    parser.add_argument("--folder", default="/var/tmp", help="where the files are kept for the time (%(default)s)")
    arguments = parser.parse_args()
    turns, seconds = (1, 2) if arguments.quick else (5, 4)
    for size in SIZES:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, services(Path(folder), size) as kinds:
            print(f"{size} devices".ljust(16) + "".join(f"{method:>28}" for method in ("GET", "PUT", "POST")))
            rates: dict[tuple[str, str], list[float]] = {
                (kind, method): [] for kind in kinds for method in ("GET", "PUT", "POST")
            }
            for method in ("GET", "PUT", "POST"):
                for _ in range(turns):
                    for kind in kinds:
                        rates[kind, method].append(rate(PORTS[kind], method, Path(folder), seconds))
            for kind in kinds:
                print(kind.ljust(16) + "".join(f"{shown(rates[kind, each]):>28}" for each in ("GET", "PUT", "POST")))


def shown(figures: list[float]) -> str:
    return f"{statistics.median(figures):,.0f}/s ({min(figures):,.0f} to {max(figures):,.0f})"


@contextmanager
def services(folder: Path, size: int) -> Iterator[list[str]]:
    """Run a service on a store of each kind, with this number of devices."""
    devices = make_devices(size)
    (folder / "ids").write_text("".join(f"{device.id}\n" for device in devices))
    (folder / "script.lua").write_text(SCRIPT)
    with ExitStack() as stack:
        server = stack.enter_context(running_server(safe=True))
        urls = {
            "CSV": str(folder / "device.csv"),
            "SQLite": f"sqlite:///{folder}/device.db",
            "PostgreSQL": stack.enter_context(server.fresh_database()),
        }
        for kind, url in urls.items():
            if kind != "CSV":
                upgrade(url)
            with open_store(url) as store:
                store.write(lambda tx: tx.devices.put_many(devices))
            command: list[str | Path] = [
                BIN / "devicesvc",
                "serve",
                url,
                "--host",
                "127.0.0.1",
                "--port",
                str(PORTS[kind]),
            ]
            service = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(service.wait)
            stack.callback(service.terminate)
        yield list(urls)


def rate(port: int, method: str, folder: Path, seconds: int) -> float:
    """Requests a second. Retries until the service answers; a refused request stops the run."""
    url = f"http://127.0.0.1:{port}/v1/devices"
    wait = ["curl", "-sfo", "/dev/null", "--retry", "60", "--retry-delay", "1", "--retry-connrefused", f"{url}?limit=1"]
    subprocess.run(wait, check=True)
    command: list[str | Path] = [
        "wrk",
        "-t1",
        f"-c{CLIENTS}",
        f"-d{seconds}s",
        "-s",
        folder / "script.lua",
        url,
        "--",
        folder / "ids",
        method,
    ]
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Requests/sec: +([0-9.]+)", words)
    if not found or "Non-2xx" in words or "Socket errors" in words:
        sys.exit(words)
    return float(found[1])


if __name__ == "__main__":
    main()
