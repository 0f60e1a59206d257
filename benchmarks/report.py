"""docs/performance.md: what a run found, in tables and plots, what it means, and where another program is ahead."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks import aims, bulk, hard_clients, migrate, peers, reads, start, updates
from benchmarks.reasons import reason, reason_of_aim
from benchmarks.results import Figure, Results
from benchmarks.tables import number, spread, table

PAGE = Path(__file__).parent.parent / "docs/performance.md"
FOLDER = PAGE.with_suffix("")
RESULTS = FOLDER / "results.json"

ABOUT = {
    reads.READS: f"{reads.CLIENTS} clients ask for one device after another, and keep their connections.",
    reads.NEW_CONNECTIONS: f"{reads.CLIENTS} clients make a connection for each request, as `requests.get` does.",
    updates.PART: "Each client changes the name of one device after another. Not every program keeps what it answered: "
    "the column *durable* says whether a change is on the disk before the answer.",
    updates.BARE_WRITE: "In the store, without HTTP, beside the least that any program must do to replace the file.",
    start.PART: "Until the first answer, and the memory of all processes of the program at that moment.",
    bulk.EXPORT: "One client reads all devices as CSV.",
    bulk.ADDING: "Three ways to add devices to our service.",
    bulk.MIGRATION: "Devices with one or two network interfaces, from a CSV file into SQLite.",
    hard_clients.SLOW: f"One client asks for a device, each time on a new connection, and gives up after "
    f"{hard_clients.PATIENCE} s. Others do what the row says, straight at `devicesvc serve`, without nginx.",
    hard_clients.LONG: "One client imports 60 MB, one exports all devices again and again, and one asks for a device.",
    hard_clients.STOP: "16 clients change devices when the service gets SIGTERM.",
}
COMPARED = (reads.READS, reads.NEW_CONNECTIONS, updates.PART, start.PART, bulk.EXPORT, bulk.MIGRATION)

INTRODUCTION = """\
# Performance

How fast this service is, beside programs that do the same work. `make bench` measured all of this, and wrote this page.

- A **rate**, in requests/s, says how much a program can do. It depends on the machine, and on what else it does.
- The **processor time** of a request, in µs, says what a request costs the program. It is steadier than the rate.
- Each figure is the **median** of several turns; the lowest and the highest follow in brackets. The programs take
  turns, so that a busy moment of the machine hits all of them.

Each program runs in one process, at its own best settings, with its log off. Before it measures, `make bench` checks
that each program answers the same device. Compare figures of one page only: on another machine, all of them differ.

To measure again:

```sh
make bench                # 20 minutes, and it writes this page
make bench ARGS=--quick   # 3 minutes, with fewer rows, and it only prints the tables
make bench ARGS=--page    # measures nothing: writes this page again from performance/results.json
```

It needs wrk, Debian's package of that name, and for json-server also node and npm.
"""


def write(results: Results) -> None:
    """Write the page, its plots and results.json."""
    from benchmarks import plots  # only here: it needs matplotlib

    FOLDER.mkdir(exist_ok=True)
    results.save(RESULTS)
    plots.draw(results, FOLDER)
    PAGE.write_text(page(results), "utf-8")


def page(results: Results) -> str:
    """Return the page."""
    return "\n".join(
        [
            INTRODUCTION,
            "## The machine\n",
            *_machine(results),
            "## The programs\n",
            *_programs(results),
            "## What we aim at\n",
            *_aims(results),
            "## Where another program is ahead\n",
            *_ahead(results),
            "## At a glance\n",
            "![Processor time of a read](performance/reads.svg)\n",
            "![Changes a second](performance/updates.svg)\n",
            tables(results, "## "),
        ]
    )


def tables(results: Results, heading: str = "") -> str:
    """Return a table of each part."""
    lines: list[str] = []
    for part in dict.fromkeys(figure.part for figure in results):
        lines += [f"{heading}{part}\n", f"{ABOUT[part]}\n", *_part(results, part)]
    return "\n".join(lines)


def ahead(results: Results) -> Iterator[tuple[Figure, str]]:
    """Yield each figure of another program that is better than ours, on CSV, in its row, and in words by how much."""
    for figure in results:
        ours = results.get(figure.part, figure.row, peers.CSV.name) or results.get(
            figure.part, figure.row, migrate.OURS
        )
        if figure.part not in COMPARED or not ours or "devicesvc" in figure.peer:
            continue
        better = []
        if figure.median > ours.median if figure.more_is_better else figure.median < ours.median:
            better.append(f"{number(figure.median)} {figure.unit}, ours {number(ours.median)}")
        if figure.median_cpu is not None and ours.median_cpu is not None and figure.median_cpu < ours.median_cpu:
            better.append(f"{number(figure.median_cpu)} µs, ours {number(ours.median_cpu)}")
        if better:
            yield figure, "; ".join(better)


def _machine(results: Results) -> Iterator[str]:
    about = results.about
    yield from table(["", ""], [[name, value] for name, value in about["machine"].items()])
    quick = ", a quick run: one turn each" if about.get("quick") else ""
    yield f"Measured on {about.get('date', 'an unknown day')}{quick}, with these versions: " + (
        ", ".join(f"{name} {version}" for name, version in about["versions"].items()) + ".\n"
    )
    for words in about.get("left_out", []):
        yield f"{words}\n"


def _programs(results: Results) -> Iterator[str]:
    measured = {figure.peer for figure in results}
    rows = [[peer.name, peer.about, peer.durable or "-"] for peer in peers.ALL if peer.name in measured]
    yield from table(["program", "how it runs", "is a change durable before it is answered?"], rows)


def _aims(results: Results) -> Iterator[str]:
    yield "They are for a CSV file. The figure is that of this run; of two sizes or of several rows, the worst.\n"
    rows = []
    for aim, figure, holds in aims.judge(results):
        words = {True: "holds", None: "not measured"}.get(holds) or f"**falls short**: {reason_of_aim(aim)}"
        rows.append([aim, figure, words])
    yield from table(["aim", "figure", ""], rows)


def _ahead(results: Results) -> Iterator[str]:
    rows = [
        [figure.row, figure.peer, better, reason(figure.peer, figure.part, figure.row)]
        for figure, better in ahead(results)
    ]
    yield from table(["row", "program", "by how much", "why"], rows) if rows else ["In no row.\n"]


def _part(results: Results, part: str) -> Iterator[str]:
    figures = [figure for figure in results if figure.part == part]
    durable = {peer.name: peer.durable.partition(":")[0] for peer in peers.ALL} if part == updates.PART else {}
    cpu = any(figure.cpu for figure in figures)
    head = ["", "program", "median (lowest to highest)", *["µs of processor"] * cpu, *["durable"] * bool(durable)]
    rows = []
    for row in results.rows(part):
        for figure in (figure for figure in figures if figure.row == row):
            cells = [row, figure.peer, f"{spread(figure.values)} {figure.unit}"]
            cells += [spread(figure.cpu)] * cpu
            cells += [durable.get(figure.peer, "")] * bool(durable)
            rows.append(cells)
    yield from table(head, rows)
