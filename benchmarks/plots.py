"""The plots of docs/performance.md."""

from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "devicesvc", "font.size": 8})  # the same figures make the same file
from matplotlib import pyplot  # noqa: E402

from benchmarks import reads, updates  # noqa: E402
from benchmarks.results import Figure, Results  # noqa: E402

OURS, OTHERS = "#1f6f8b", "#b8bec4"


def draw(results: Results, folder: Path) -> None:
    """Write reads.svg and updates.svg into the folder."""
    _bars(
        results, reads.READS, lambda figure: figure.median_cpu, "processor time of a request, µs", folder / "reads.svg"
    )
    _bars(results, updates.PART, lambda figure: figure.median, "changes a second", folder / "updates.svg")


def _bars(results: Results, part: str, value: Callable[[Figure], float | None], label: str, path: Path) -> None:
    """Draw one group of bars for each row."""
    rows = results.rows(part)
    if not rows:
        return
    figure, axes = pyplot.subplots(len(rows), 1, figsize=(7, 1.8 * len(rows)), squeeze=False)
    for row, axis in zip(rows, axes[:, 0], strict=True):
        found = [each for each in results if (each.part, each.row) == (part, row)]
        values = [value(each) or 0 for each in found]
        colours = [OURS if "devicesvc" in each.peer else OTHERS for each in found]
        bars = axis.barh([each.peer for each in found], values, color=colours)
        axis.bar_label(bars, [f"{each:,.0f}" for each in values], padding=3)
        axis.set_title(row, loc="left")
        axis.margins(x=0.15)
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel(label)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
