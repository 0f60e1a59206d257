"""make bench: measures this service beside other programs, prints tables, and writes docs/performance.md."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import bulk, hard_clients, machine, peers, reads, report, results, start, updates
from benchmarks.run import FEW, MANY, Progress, Run

Measure = Callable[[Run], None]

# Each part: its name, what measures it, and the seconds that it takes, in a whole run and in a quick one. A quick run
# leaves out what takes 0 s.
PARTS: tuple[tuple[str, Measure, int, int], ...] = (
    (reads.READS, reads.measure, 360, 42),
    (reads.NEW_CONNECTIONS, reads.measure_new_connections, 60, 18),
    (updates.PART, updates.measure, 150, 36),
    (updates.BARE_WRITE, updates.measure_bare_write, 15, 5),
    (start.PART, start.measure, 90, 15),
    (bulk.EXPORT, bulk.measure_export, 60, 4),
    (bulk.ADDING, bulk.measure_adding, 20, 0),
    (bulk.MIGRATION, bulk.measure_migration, 45, 5),
    (hard_clients.SLOW, hard_clients.measure_slow, 60, 30),
    (hard_clients.LONG, hard_clients.measure_long_transfers, 30, 0),
    (hard_clients.STOP, hard_clients.measure_stop, 20, 8),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure this service beside other programs.")
    parser.add_argument("--quick", action="store_true", help="3 minutes: one turn each, fewer rows, and no page")
    parser.add_argument("--write", action="store_true", help="write the page after a quick run too")
    parser.add_argument("--page", action="store_true", help="measure nothing: write the page again from results.json")
    parser.add_argument("--folder", default="/var/tmp", help="where the files are kept for the time (%(default)s)")
    arguments = parser.parse_args()
    if arguments.page:
        report.write(results.load(report.RESULTS))
        return
    found = measure(arguments.quick, arguments.folder)
    print(report.tables(found))
    if arguments.write or not arguments.quick:
        report.write(found)


def measure(quick: bool, folder: str) -> results.Results:
    """Measure all parts, and return what was found."""
    begin = time.monotonic()
    found, left_out = peers.available()
    for words in left_out:
        print(words, file=sys.stderr)
    about = {**machine.describe(), "left_out": left_out, "date": time.strftime("%Y-%m-%d"), "quick": quick}
    progress = Progress({name: short if quick else long for name, _, long, short in PARTS})
    with tempfile.TemporaryDirectory(dir=folder) as name:
        run = Run(
            results.Results(about),
            progress,
            found,
            Path(name),
            turns=1 if quick else 5,
            seconds=1,
            sizes=(FEW,) if quick else (FEW, MANY),
            rows=20_000 if quick else 100_000,
        )
        for part, measure_part, *_ in PARTS:
            if progress.seconds[part]:
                progress.begin(part)
                measure_part(run)
    progress.end()
    run.results.about["minutes"] = round((time.monotonic() - begin) / 60, 1)
    return run.results
