"""Tables and figures in Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import median


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table, and an empty one."""
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"
    yield ""


def spread(values: Sequence[float]) -> str:
    """The median of figures, with the lowest and the highest."""
    if not values:
        return ""
    middle = number(median(values))
    return f"{middle} ({number(min(values))} to {number(max(values))})" if len(values) > 1 else middle


def number(value: float) -> str:
    """A figure with as many digits as mean something."""
    return (
        f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}" if value >= 10 else f"{value:.2f}"
    )
