"""The registry that is measured: as CSV files, and in a database of each kind."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from devicesvc.migrations import upgrade
from sqlalchemy import make_url

from benchmarks.migrate import generate, run_program
from benchmarks.peers import BIN
from benchmarks.results import Results
from benchmarks.run import Progress
from benchmarks.services import Service
from devicesvc.csv_codec.formats import GROUP_CSV, MEMBERSHIP_CSV
from tests.postgres import running_server

MIGRATION = "Migration"
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
FIRST_ID, IDS = 10**9, 9 * 10**9
GROUPS = 1_000  # each device is in one of them
LARGE_GROUP = "third"  # that has every third device


@dataclass(frozen=True)
class Registry:
    """A registry in a database. devices: how many. source: they as CSV. ids: a file of their ids, in no order."""

    kind: str
    url: str
    devices: int
    source: Path

    @property
    def ids(self) -> Path:
        return self.source.with_name("ids")

    @property
    def id_step(self) -> int:
        """How far apart the ids are: a program can compute one by its number."""
        return IDS // self.devices

    def service(self, workers: int = 1) -> Service:
        """Return a service on it, not yet started."""

        def command(port: int) -> list[str | Path]:
            where = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
            return [BIN / "devicesvc", "serve", self.url, *where]

        return Service(f"devicesvc on {self.kind}", command, "/healthz")


@contextmanager
def registries(results: Results, folder: Path, devices: int, progress: Progress) -> Iterator[list[Registry]]:
    """A registry in each kind of database, as long as the block runs. They are filled by `devicesvc migrate`, which is
    measured."""
    source = folder / "device.csv"
    progress.show(f"making {devices:,} devices")
    make_files(source, devices)
    with running_server(safe=True) as server, server.fresh_database() as postgresql:
        found = []
        for kind, url in ((SQLITE, f"sqlite:///{folder}/device.db"), (POSTGRESQL, postgresql)):
            progress.show(kind)
            found.append(_filled(results, Registry(kind, url, devices, source)))
        yield found


def make_files(source: Path, devices: int) -> None:
    """Make device.csv, group.csv, device_group.csv and ids."""
    generate(source, devices, range(FIRST_ID, FIRST_ID + devices * (IDS // devices), IDS // devices))
    pick = random.Random(0)
    with (
        source.open() as rows,
        source.with_name("group.csv").open("wb") as groups,
        source.with_name("device_group.csv").open("w") as memberships,
        source.with_name("ids").open("w") as ids,
    ):
        names = [LARGE_GROUP, *(str(number) for number in range(GROUPS))]
        groups.write(GROUP_CSV.header + b"".join(f"{name},group {name},\n".encode() for name in names))
        memberships.write(MEMBERSHIP_CSV.header.decode())
        next(rows)
        for number, row in enumerate(rows):
            id = row.partition(",")[0]
            ids.write(f"{id}\n")
            memberships.write(f"{id},{pick.randrange(GROUPS)}\n")
            memberships.write(f"{id},{LARGE_GROUP}\n" if number % 3 == 0 else "")


def _filled(results: Results, registry: Registry) -> Registry:
    if registry.kind == POSTGRESQL:
        upgrade(registry.url)
    begin = time.perf_counter()
    memory = run_program([BIN / "devicesvc", "migrate", registry.source, registry.url])
    results.add(MIGRATION, "time", registry.kind, "s", time.perf_counter() - begin)
    results.add(MIGRATION, "memory", registry.kind, "MB", memory)
    if registry.kind == POSTGRESQL:  # its autovacuum would do so within a minute
        with psycopg.connect(plain_url(registry.url), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            results.about["versions"]["PostgreSQL"] = connection.info.parameter_status("server_version")
    return registry


def plain_url(url: str) -> str:
    """The URL of a PostgreSQL database as its own programs take it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
