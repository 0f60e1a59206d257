"""What the tests of the stores ask for."""

from concurrent.futures import Future
from pathlib import Path

import pytest

from devicesvc.dao.base import PageRequest
from devicesvc.dao.group_commit import Waiting
from devicesvc.dao.urls import open_store
from devicesvc.model import DeviceFilter
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


@pytest.fixture(scope="session")
def shared_store(new_store_url, tmp_path_factory):
    """An open store for many tests, which each say what it holds: to open one takes longer than most of them."""
    with open_store(new_store_url(tmp_path_factory.mktemp("shared"))) as store:
        yield store


@pytest.fixture
def together(store):
    """Commits changes that wait together, and returns the outcome of each."""

    def together(*changes):
        group = [Waiting(change, Future()) for change in changes]
        store._group_commit.run_group(group)
        return [outcome.exception() or outcome.result() for _, outcome in group]

    return together


def add(device):
    """A change that adds this device."""
    return lambda tx: tx.devices.add(device)


def written(path: Path) -> tuple[int, ...]:
    """What tells whether a file was written or replaced. Reading changes only the time of access."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode


@pytest.fixture
def sent(monkeypatch):
    """Gives the list of all statements that a store sends from now on, with their parameters."""

    def sent(store):
        statements = []
        do = store._statements.do

        def noted(connection, statement, parameters=()):
            statements.append((statement, parameters))
            return do(connection, statement, parameters)

        monkeypatch.setattr(store._statements, "do", noted)
        return statements

    return sent


@pytest.fixture
def statement(sent):
    """Gives the statement that a page is read with, and its parameters."""

    def statement(store, where, request):
        statements = sent(store)
        store.devices.page(DeviceFilter(**where), PageRequest(limit=10, **request))
        [found] = statements
        return found

    return statement
