"""Many devices at once: CSV exports, ways to add devices, and the migration beside other loaders."""

import json
import time
from collections.abc import Callable, Sequence

import requests

from benchmarks import migrate, peers
from benchmarks.devices import as_csv, make_devices
from benchmarks.run import FEW, MANY, Run
from benchmarks.updates import milliseconds
from devicesvc.api.examples import ADD

EXPORT, ADDING, MIGRATION = "CSV export", "Adding 1,000 devices", "Migration"
JSON, CSV = {"Content-Type": "application/json"}, {"Content-Type": "text/csv"}


def measure_export(run: Run) -> None:
    """Time the export of all devices as CSV, in the programs that can."""
    with run.fleet(MANY, lambda peer: peer.export) as services:
        for _ in range(run.turns):
            for peer, service in services.items():
                run.progress.show(peer.name)
                before, begin = service.cpu(), time.perf_counter()
                answer = requests.get(f"{service.url}{peer.export}", headers={"Accept": "text/csv"}, timeout=60)
                seconds, used = time.perf_counter() - begin, service.cpu() - before
                if answer.content.count(b"\n") != MANY + 1:
                    raise RuntimeError(f"{peer.name} did not export {MANY:,} devices.")
                run.results.add(EXPORT, f"{MANY:,} devices", peer.name, "s", seconds, used * 1e6)


def measure_adding(run: Run) -> None:
    """Time 1,000 single POSTs, one batch, and one import, in our service."""
    one, batch = json.dumps(ADD).encode(), json.dumps({"create": [ADD] * FEW}).encode()
    with peers.CSV.service(run.prepared(FEW)) as service, requests.Session() as session:

        def post(path: str, body: bytes, headers: dict[str, str]) -> None:
            session.post(f"{service.url}/v1/devices{path}", body, headers=headers, timeout=60).raise_for_status()

        def post_each(bodies: Sequence[bytes]) -> None:
            for body in bodies:
                post("", body, JSON)

        for turn in range(min(run.turns, 3)):
            file = as_csv(make_devices(FEW * (turn + 2))[-FEW:])  # none of them is there yet
            ways: dict[str, Callable[[], object]] = {
                "single POSTs": lambda: post_each([one] * FEW),
                "one batch": lambda: post("/batch", batch, JSON),
                "one import of CSV": lambda: post("/import", file, CSV),  # noqa: B023
            }
            for row, add in ways.items():
                run.progress.show(row)
                run.results.add(ADDING, row, peers.CSV.name, "s", milliseconds(add) / 1000)


def measure_migration(run: Run) -> None:
    """Time `devicesvc migrate` beside other ways to load CSV into SQLite."""
    source = run.folder / "migrated.csv"
    migrate.generate(source, run.rows)
    for _ in range(min(run.turns, 3)):
        for name, loader in migrate.loaders().items():
            run.progress.show(name)
            seconds, peak = migrate.measure(loader, source)
            run.results.add(MIGRATION, f"{run.rows:,} rows", name, "rows/s", run.rows / seconds)
            run.results.add(MIGRATION, "memory", name, "MB", peak)
