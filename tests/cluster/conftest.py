"""Two services on a cluster, and the figures of each fault."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.load import Load, Report, running_load
from tests.conftest import Service

ROUNDS = int(os.environ.get("ROUNDS", "1"))  # of each fault

signal.signal(signal.SIGTERM, signal.default_int_handler)  # then too the nodes are stopped

_rows: list[str] = []
_figures: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _rows or _figures:
        terminalreporter.section("figures")
        for line in (*(Report.HEAD if _rows else ()), *_rows, *_figures):
            terminalreporter.line(line)


@pytest.fixture(params=range(1, ROUNDS + 1), ids=lambda number: f"round{number}", autouse=True)
def again(request: pytest.FixtureRequest) -> int:
    """Runs each test so often."""
    number: int = request.param
    return number


@pytest.fixture
def load(start: Callable[..., Service], cluster: Any) -> Iterator[Load]:
    """Clients of two services on the cluster of the module, which is whole."""
    cluster.wait_until_whole()
    with running_load([start(cluster.url).url for _ in range(2)]) as load:
        yield load


@pytest.fixture
def figure() -> Callable[[str], None]:
    """Have a line printed at the end."""
    return _figures.append


@pytest.fixture
def judge() -> Callable[..., None]:
    """Have what a fault cost printed at the end; and nothing that was promised may be broken."""

    def judge(fault: str, load: Load, *, writes_back: float, reads_back: float) -> None:
        report = load.report()
        _rows.append(report.row(fault))
        print(report.row(fault), *load.events, *report.details.most_common(20), *report.stale[:20], sep="\n")
        assert report.lost == []
        assert report.resurrected == []
        assert report.stale == []
        assert report.without_writes < writes_back
        assert report.without_reads < reads_back

    return judge
