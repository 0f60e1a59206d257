"""Reads and changes a second: of several workers, of several instances behind nginx, and of the database by itself."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.peers import ITEM, LAB_CHANGE
from benchmarks.results import Results
from benchmarks.run import Progress
from benchmarks.scale import databases
from benchmarks.scale.databases import BY_ITSELF, CHANGE, CLIENTS, READ
from benchmarks.scale.nginx import nginx
from benchmarks.scale.registry import Registry
from benchmarks.services import Service
from benchmarks.wrk import load

WORKERS = 1, 2, 4
INSTANCES = 1, 2
UNIT = "/s"
REQUESTS = {READ: ITEM, CHANGE: LAB_CHANGE}


def part_of(what: str) -> str:
    """The name of the part with the reads, or the changes."""
    return f"{what} of one device a second".capitalize()


def measure(results: Results, progress: Progress, registry: Registry, turns: int, seconds: int) -> None:
    """Measure each set-up, and the database by itself in the same turns."""
    for what in (READ, CHANGE):
        for _ in range(turns):
            progress.show(f"{registry.kind}: {what}, {BY_ITSELF}")
            alone = databases.rate(registry, what, seconds)
            results.add(part_of(what), BY_ITSELF, registry.kind, UNIT, alone)
            for words, workers, instances in setups():
                progress.show(f"{registry.kind}: {what}, {words}")
                with _running(registry, workers, instances) as service:
                    found = load(service, REQUESTS[what], registry.ids, CLIENTS, seconds).rate
                results.add(part_of(what), words, registry.kind, UNIT, found)


def setups() -> Iterator[tuple[str, int, int]]:
    """Each set-up: in words, its workers, and its instances behind nginx, 0 for a service without nginx."""
    for workers in WORKERS:
        yield f"{workers} worker{'s' * (workers > 1)}", workers, 0
    for instances in INSTANCES:
        yield f"{instances} instance{'s' * (instances > 1)} of 1 worker behind nginx", 1, instances


@contextmanager
def _running(registry: Registry, workers: int, instances: int) -> Iterator[Service]:
    with ExitStack() as stack:
        services = [stack.enter_context(registry.service(workers)) for _ in range(instances or 1)]
        if instances:
            yield stack.enter_context(nginx(registry.source.with_name("nginx"), services))
        else:
            yield services[0]
