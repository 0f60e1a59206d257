"""On PostgreSQL, a change may be committed after one with a greater number. A reader of the feed misses none."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devicesvc.dao.history import HistoryFilter
from devicesvc.dao.sql import postgresql
from devicesvc.dao.sql.history import LAST
from devicesvc.dao.urls import open_store
from devicesvc.sample import DEVICES
from tests.dao.conftest import add
from tests.hard_data import device

pytestmark = pytest.mark.parametrize("new_store_url", ["postgresql"], indirect=True)

FIRST = DEVICES[0]


class Reader:
    """Follows the feed. numbers: of the changes that it has seen."""

    def __init__(self, store):
        self._history = store.history
        self.last = store.history.last()
        self.numbers: list[int] = []

    def look(self):
        found = [each.number for each in self._history.after(self.last, 10)]
        self.numbers += found
        self.last = max([self.last, *found])


@pytest.fixture
def overtaken(store, store_url):
    """A reader that looks three times: while a change runs, after another one has overtaken it, and at the end. Gives
    the numbers that it has seen, and those that there are."""
    is_numbered, may_end = threading.Event(), threading.Event()

    def slow(tx):
        tx.devices.update(FIRST.id, {"name": "slow"})
        is_numbered.set()
        assert may_end.wait(60)

    def overtaken():
        reader, before = Reader(store), store.history.last()
        with open_store(store_url) as other, ThreadPoolExecutor(1) as pool:
            late = pool.submit(other.write, slow)
            assert is_numbered.wait(60)
            reader.look()
            store.write(add(device("quick")))
            reader.look()
            last = store.history.last()
            may_end.set()
            late.result()
            reader.look()
        there = [each.number for each in store.history.page(HistoryFilter(), None, 10) if each.number > before]
        return reader.numbers, sorted(there), last - before

    return overtaken


def test_a_change_that_is_committed_late_is_read_before_the_one_that_has_overtaken_it(overtaken):
    seen, there, last = overtaken()
    assert seen == there
    assert len(there) == 2
    assert last == 0


def test_a_reader_that_does_not_ask_which_changes_run_misses_one(overtaken, monkeypatch):
    monkeypatch.setattr(postgresql, "settled", lambda _connection: LAST)
    seen, there, last = overtaken()
    assert seen == there[1:]
    assert last > 0


def test_a_reader_that_looks_while_many_write_sees_each_change_once_in_order(store, store_url):
    reader = Reader(store)
    with open_store(store_url) as other, ThreadPoolExecutor(8) as pool:
        changes = [pool.submit((store, other)[n % 2].write, add(device(f"d{n}"))) for n in range(160)]
        while not all(change.done() for change in changes):
            reader.look()
    while len(reader.numbers) < len(changes):
        before = len(reader.numbers)
        reader.look()
        assert len(reader.numbers) > before
    there = [each.number for each in store.history.page(HistoryFilter(), None, 160)]
    assert reader.numbers == there[::-1]
