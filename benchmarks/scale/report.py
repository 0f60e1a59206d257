"""docs/scaling.md: what a run found, in tables and plots, and how it goes on beyond that (beyond.md)."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.results import Results
from benchmarks.scale import imports, pages, rates
from benchmarks.scale.databases import BY_ITSELF, CHANGE, CLIENTS, READ
from benchmarks.scale.registry import GROUPS, MIGRATION, POSTGRESQL, SQLITE
from benchmarks.tables import spread, table

PAGE = Path(__file__).parent.parent.parent / "docs/scaling.md"
FOLDER = PAGE.with_suffix("")
RESULTS = FOLDER / "results.json"
BEYOND = Path(__file__).with_name("beyond.md")  # the part of the page that is written by hand
KINDS = SQLITE, POSTGRESQL
AIM = 0.5  # of what the database does by itself

INTRODUCTION = """\
# A large registry

What each call costs with {devices:,} devices in a database, how many calls a second several workers and instances
answer, and what would have to change beyond that. `make bench-scale` measured all of this, and wrote this page.

Each device has one or two network interfaces; there are {groups:,} groups, and one more with a third of all devices.
Each figure is the **median** of several turns, with the lowest and the highest in brackets. All programs, also the
clients and the databases, share the cores of one machine; every commit is synced to its disk.

```sh
make bench-scale                        # {minutes:.0f} minutes, and it writes this page
make bench-scale ARGS=--devices=100000  # fewer devices
make bench-scale ARGS=--quick           # 20,000 devices, one turn each, and it only prints the tables
make bench-scale ARGS=--page            # measures nothing: writes this page again from scaling/results.json
```

It needs wrk, nginx and pgbench: Debian's packages wrk, nginx and postgresql-contrib.
"""

ABOUT = {
    MIGRATION: "`devicesvc migrate` from CSV files, every row checked, and all read back and compared.",
    imports.PART: "`POST /v1/devices/import`, as one change. A body may have 64 MB, some 450,000 such devices; "
    "`devicesvc migrate` has no limit.",
    pages.MEMORY: "The most that the one worker of a service has had so far, with its parent process.",
    pages.PAGES: "One client, one worker, pages of 100 devices if the row says nothing else, `total=false`.",
    pages.COUNTED: "The same pages with `total`, as a list has it if nothing is said. Counting costs what fits, on "
    "every page anew: ask for it once, and not on the pages after the first.",
    rates.part_of(READ): f"{CLIENTS} clients ask for one device after another, and keep their connections.",
    rates.part_of(CHANGE): f"{CLIENTS} clients change the name of one device after another.",
}
RATES = f"""\
The row *{BY_ITSELF}* has the same statements and no HTTP: on PostgreSQL by `pgbench` with {CLIENTS} clients, on SQLite
by a bare loop in one process, because SQLite has one writer at a time. We aim at {AIM} of it.
"""
PLANS = """\
Each table or index that a page takes devices from, and each sort. All but a few follow an index to the first device of
the page and end with the last one. The exceptions:

- A **part of a model** is compared with each model, by id, until the page is full. So it is fast if many devices fit,
  and a scan of all if few or none do. PostgreSQL has an index for that (`pg_trgm`), but a user may not be allowed to
  make that extension, so devicesvc does not need it. SQLite has one too (the tokenizer `trigram` of FTS5); its table
  would have to be kept with every change. Neither is done.
- A **descending** list has equal values by ascending id, as every list. An index of ascending values does not have this
  order, so the ids of all devices with the same value are sorted, in the index; the devices are read only for the page.
  Indexes for both directions would nearly double what a change writes on PostgreSQL.
- A filter by one field and a **sort by another** reads all that fit, or all in that order until the page is full.
"""


def write(results: Results) -> None:
    """Write the page, its plots and results.json."""
    from benchmarks.scale import plots  # only here: it needs matplotlib

    FOLDER.mkdir(exist_ok=True)
    results.save(RESULTS)
    plots.draw(results, FOLDER)
    PAGE.write_text(page(results), "utf-8")


def page(results: Results) -> str:
    """Return the page."""
    about = results.about
    return "\n".join(
        [
            INTRODUCTION.format(devices=about["devices"], groups=GROUPS, minutes=about.get("minutes", 0)),
            "## The machine\n",
            *table(["", ""], [[name, value] for name, value in about["machine"].items()]),
            f"Measured on {about['date']}, with these versions: "
            + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
            + ".\n",
            "## At a glance\n",
            "![Time of a page](scaling/pages.svg)\n",
            "![Reads and changes a second](scaling/rates.svg)\n",
            tables(results, "## "),
            "## Plans\n",
            PLANS,
            *_plans(results),
            BEYOND.read_text("utf-8"),
        ]
    )


def tables(results: Results, heading: str = "") -> str:
    """Return a table of each part."""
    lines: list[str] = []
    for part in (MIGRATION, imports.PART, pages.MEMORY, pages.PAGES, pages.COUNTED):
        head = ["", *KINDS]
        lines += [f"{heading}{part}\n", f"{ABOUT[part]}\n", *table(head, _rows(results, part))]
    for what in (READ, CHANGE):
        part = rates.part_of(what)
        lines += [f"{heading}{part}\n", f"{ABOUT[part]}\n{RATES}", *_rates(results, part), *_aim(results, part)]
    return "\n".join(lines)


def ratio(results: Results, part: str, row: str, kind: str) -> float | None:
    """A rate beside that of the database by itself; None if one of them was not measured."""
    ours, alone = results.get(part, row, kind), results.get(part, BY_ITSELF, kind)
    return ours.median / alone.median if ours and alone else None


def _rows(results: Results, part: str) -> Iterator[list[str]]:
    for row in results.rows(part):
        yield [row, *(_figure(results, part, row, kind) for kind in KINDS)]


def _figure(results: Results, part: str, row: str, kind: str) -> str:
    figure = results.get(part, row, kind)
    return f"{spread(figure.values)} {figure.unit}" if figure else ""


def _rates(results: Results, part: str) -> Iterator[str]:
    rows = []
    for row in results.rows(part):
        cells = [row]
        for kind in KINDS:
            share = ratio(results, part, row, kind)
            cells += [_figure(results, part, row, kind), f"{share:.2f}" if share else ""]
        rows.append(cells)
    yield from table(["", *(head for kind in KINDS for head in (kind, "beside the database by itself"))], rows)


def _aim(results: Results, part: str) -> Iterator[str]:
    """Whether the best of all set-ups is what we aim at."""
    for kind in KINDS:
        shares = {row: ratio(results, part, row, kind) or 0 for row in results.rows(part) if row != BY_ITSELF}
        if best := max(shares, key=lambda row: shares[row], default=None):
            verdict = "holds" if shares[best] >= AIM else "**falls short**"
            yield f"- {kind}: the aim {verdict}, with {shares[best]:.2f} by {best}."
    yield ""


def _plans(results: Results) -> Iterator[str]:
    plans = results.about.get("plans", {})
    rows = [[row, *(plans.get(kind, {}).get(row, "") for kind in KINDS)] for row in plans.get(SQLITE, {})]
    yield from table(["", *KINDS], rows)
