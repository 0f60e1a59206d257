"""The plots of docs/scaling.md."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot

from benchmarks.plots import OTHERS, OURS
from benchmarks.results import Results
from benchmarks.scale import pages, rates
from benchmarks.scale.databases import BY_ITSELF, CHANGE, READ
from benchmarks.scale.registry import POSTGRESQL, SQLITE

COLOURS = {SQLITE: "#7fb069", POSTGRESQL: OURS}


def draw(results: Results, folder: Path) -> None:
    """Write pages.svg and rates.svg into the folder."""
    _pages(results, folder / "pages.svg")
    _rates(results, folder / "rates.svg")


def _pages(results: Results, path: Path) -> None:
    """One pair of bars for each page, by the logarithm of the time."""
    rows = [row for row in results.rows(pages.PAGES) if row != pages.EXPORT]
    figure, axis = pyplot.subplots(figsize=(7, 0.3 * len(rows) + 1))
    for place, (kind, colour) in enumerate(COLOURS.items()):
        values = [_median(results, pages.PAGES, row, kind) for row in rows]
        axis.barh([at + 0.4 * place for at in range(len(rows))], values, 0.4, color=colour, label=kind)
    axis.set_yticks([at + 0.2 for at in range(len(rows))], rows)
    axis.set_xscale("log")
    axis.set_xlabel("time of a page without its total, ms")
    axis.invert_yaxis()
    axis.legend(frameon=False)
    _save(figure, [axis], path)


def _rates(results: Results, path: Path) -> None:
    """One plot for the reads and changes of each database, with a line at what that does by itself."""
    figure, axes = pyplot.subplots(2, 2, figsize=(9, 4), sharey=True)
    for row, what in zip(axes, (READ, CHANGE), strict=True):
        for axis, kind in zip(row, COLOURS, strict=True):
            names = [words for words, *_ in rates.setups()]
            values = [_median(results, rates.part_of(what), name, kind) for name in names]
            bars = axis.barh(names, values, color=COLOURS[kind])
            axis.bar_label(bars, [f"{each:,.0f}" for each in values], padding=3)
            alone = _median(results, rates.part_of(what), BY_ITSELF, kind)
            axis.axvline(alone, color=OTHERS, label=f"{BY_ITSELF}: {alone:,.0f}")
            axis.set_title(f"{kind}: {what} a second", loc="left")
            axis.legend(frameon=False, loc="lower right")
            axis.margins(x=0.15)
    axes[0, 0].invert_yaxis()
    _save(figure, axes.flat, path)


def _median(results: Results, part: str, row: str, kind: str) -> float:
    found = results.get(part, row, kind)
    return found.median if found else 0


def _save(figure: pyplot.Figure, axes: Sequence[pyplot.Axes], path: Path) -> None:
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
