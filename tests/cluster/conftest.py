"""A cluster, two services on it, and the figures of each fault."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from devicesvc.migrations import upgrade

from tests.cluster.load import Report
from tests.cluster.patroni import PatroniCluster, running_cluster

ROUNDS = int(os.environ.get("ROUNDS", "1"))  # of each fault

signal.signal(signal.SIGTERM, signal.default_int_handler)  # the nodes are stopped then too

_rows: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _rows:
        terminalreporter.section("figures")
        for line in (Report.HEADS, "|---" * Report.HEADS.count(" | ") + "|---|", *_rows):
            terminalreporter.line(line)


@pytest.fixture(params=range(1, ROUNDS + 1), ids=lambda number: f"round{number}")
def round(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def figure() -> Callable[[str, Report], None]:
    """Have the figures of a fault printed at the end."""
    return lambda fault, report: _rows.append(report.row(fault))


@pytest.fixture(scope="module")
def patroni() -> Iterator[PatroniCluster]:
    """A PostgreSQL cluster with the tables of a registry."""
    with running_cluster() as cluster:
        upgrade(cluster.url)
        yield cluster
