"""What was measured, and how it is kept: docs/performance/results.json."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass
class Figure:
    """What one program reached in one row: a value of each turn. cpu: processor time for each request, in µs."""

    part: str
    row: str
    peer: str
    unit: str
    values: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def median_cpu(self) -> float | None:
        return median(self.cpu) if self.cpu else None

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")


class Results:
    """All figures of a run. about: the machine, the versions, and how it ran."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about
        self._figures: dict[tuple[str, str, str], Figure] = {}

    def add(self, part: str, row: str, peer: str, unit: str, value: float, cpu: float | None = None) -> None:
        """Keep a value of one turn."""
        figure = self._figures.setdefault((part, row, peer), Figure(part, row, peer, unit))
        figure.values.append(value)
        figure.cpu += [] if cpu is None else [cpu]

    def get(self, part: str, row: str, peer: str) -> Figure | None:
        """Return a figure, or None if it was not measured."""
        return self._figures.get((part, row, peer))

    def __iter__(self) -> Iterator[Figure]:
        return iter(self._figures.values())

    def rows(self, part: str) -> list[str]:
        """The rows of a part, in the order in which they were measured."""
        return list(dict.fromkeys(figure.row for figure in self if figure.part == part))

    def save(self, path: Path) -> None:
        """Write the file, one figure in a line."""
        figures = ",\n".join(f"    {json.dumps(asdict(figure), ensure_ascii=False)}" for figure in self)
        about = json.dumps(self.about, indent=2, ensure_ascii=False).replace("\n", "\n  ")
        path.write_text(f'{{\n  "about": {about},\n  "figures": [\n{figures}\n  ]\n}}\n', "utf-8")


def load(path: Path) -> Results:
    """Read what `save` wrote."""
    read = json.loads(path.read_text("utf-8"))
    results = Results(read["about"])
    for each in read["figures"]:
        figure = Figure(**each)
        results._figures[figure.part, figure.row, figure.peer] = figure
    return results
