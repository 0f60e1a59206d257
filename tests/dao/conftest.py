"""What the tests of the stores ask for."""

from concurrent.futures import Future
from pathlib import Path

import pytest

from devicesvc.dao.group_commit import Waiting
from devicesvc.dao.urls import open_store
from devicesvc.sample import DEVICES


@pytest.fixture(autouse=True)
def look_at_each_read(monkeypatch):
    """Tests edit files, and read and write at once: each read looks at them, not only one every ten milliseconds, and
    no change waits until the edit is complete."""
    monkeypatch.setattr("devicesvc.dao.csv.store.LOOK_EVERY", 0)
    monkeypatch.setattr("devicesvc.dao.csv.store.QUIET", 0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "device.csv"


@pytest.fixture
def csv_store(path):
    """An open store in `path`, with the five sample devices."""
    with open_store(str(path), DEVICES) as store:
        yield store


@pytest.fixture
def together(store):
    """Commits changes that wait together, and returns the outcome of each."""

    def together(*changes):
        group = [Waiting(change, Future()) for change in changes]
        store._group_commit.run_group(group)
        return [outcome.exception() or outcome.result() for _, outcome in group]

    return together


def written(path: Path) -> tuple[int, ...]:
    """What tells whether a file was written or replaced. Reading changes only the time of access."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode
