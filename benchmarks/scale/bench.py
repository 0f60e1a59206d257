"""make bench-scale: measures a registry of a million devices in databases, and writes docs/scaling.md."""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks import machine, results
from benchmarks.run import Progress
from benchmarks.scale import imports, pages, rates, registry, report

MILLION, QUICK = 1_000_000, 20_000
# Each part, and the seconds that it takes with a million devices on two cores.
PARTS = {registry.MIGRATION: 300, pages.PAGES: 240, rates.UNIT: 600, imports.PART: 120}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-scale", description="Measure a large registry in databases.")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} devices, one turn each, and no page")
    parser.add_argument("--devices", type=int, default=MILLION, help="how many (%(default)s)")
    parser.add_argument("--page", action="store_true", help="measure nothing: write the page again from results.json")
    parser.add_argument("--folder", default="/var/tmp", help="where the files are kept for the time (%(default)s)")
    arguments = parser.parse_args()
    if arguments.page:
        report.write(results.load(report.RESULTS))
        return
    found = measure(arguments.quick, QUICK if arguments.quick else arguments.devices, arguments.folder)
    print(report.tables(found))
    if not arguments.quick:
        report.write(found)


def measure(quick: bool, devices: int, folder: str) -> results.Results:
    """Measure all parts, and return what was found."""
    begin = time.monotonic()
    about = {**machine.describe(), "date": time.strftime("%Y-%m-%d"), "devices": devices}
    found, progress = results.Results(about), Progress({part: s * devices // MILLION for part, s in PARTS.items()})
    turns, seconds = (1, 2) if quick else (3, 4)
    progress.begin(registry.MIGRATION)
    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        registry.registries(found, Path(name), devices, progress) as all_kinds,
    ):
        progress.begin(pages.PAGES)
        for each in all_kinds:
            pages.measure(found, progress, each, turns)
        progress.begin(rates.UNIT)
        for each in all_kinds:
            rates.measure(found, progress, each, turns, seconds)
        progress.begin(imports.PART)
        for each in all_kinds:
            imports.measure(found, progress, each)
    progress.end()
    about["minutes"] = round((time.monotonic() - begin) / 60, 1)
    return found
