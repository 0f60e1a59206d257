"""The index of a table: it says what a sorted list of its pairs says, and costs little where that costs much."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devicesvc.dao.base import PageRequest
from devicesvc.dao.csv import index as index_module
from devicesvc.dao.csv.index import Index
from devicesvc.model import DeviceFilter
from devicesvc.sample import DEVICES

texts = st.sampled_from(["", "a", "a,", "b", "B", "设", "\U0001f4e1", "\0", "a\0"])
pairs = st.tuples(texts, texts.filter(bool))


@pytest.fixture(autouse=True, scope="module")
def small_blocks():
    """So that a few pairs make several blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "BLOCK", 2)
        yield


def check(index, pairs):
    """The index says in every way that these are the pairs."""
    expected = sorted(pairs)
    assert list(index) == expected
    assert len(index) == len(expected)
    assert list(index.walk()) == [key for _, key in expected]
    falling = sorted(expected, key=lambda pair: pair[0], reverse=True)  # equal values keep their order
    assert list(index.walk(descending=True)) == [key for _, key in falling]
    for value in {"", "b", "not there", *(value for value, _ in expected)}:
        keys = [key for each, key in expected if each == value]
        assert list(index.keys(value)) == keys
        assert index.count(value) == len(keys)
    for after in [("", ""), ("a", "not there"), ("zz", "a"), *expected]:
        assert list(index.walk(after)) == [key for value, key in expected if (value, key) > after]
        rest = [(value, key) for value, key in falling if value < after[0] or (value == after[0] and key > after[1])]
        assert list(index.walk(after, descending=True)) == [key for _, key in rest]


@settings(max_examples=200, deadline=None)
@given(st.sets(pairs, max_size=12), st.lists(st.tuples(st.sets(pairs, max_size=5), st.booleans()), max_size=5))
def test_any_changes_end_where_a_sorted_list_does_and_leave_the_index_before_as_it_was(first, changes):
    index, expected = Index.of(first), first
    for some, few in changes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(index_module, "FEW", 100 if few else 0)
            after = index.apply(some & expected, some - expected)
        check(index, expected)
        index, expected = after, expected ^ some
        check(index, expected)


def test_blocks_stay_small_as_pairs_come(monkeypatch):
    monkeypatch.setattr(index_module, "FEW", 100)
    index = Index.of([])
    for number in random.Random(1).sample(range(300), 300):
        index = index.apply(set(), {("same", f"{number:03}")})
    assert max(len(block.keys) for block in index._blocks) < 2 * index_module.BLOCK
    assert index.count("same") == 300


def test_a_change_copies_only_the_block_that_it_touches():
    before = Index.of([("online", f"{number:04}") for number in range(1000)])
    after = before.apply({("online", "0500")}, {("online", "0700x")})
    shared = {id(block) for block in before._blocks} & {id(block) for block in after._blocks}
    assert len(shared) == len(before._blocks) - 2


class TestMaking:
    @pytest.fixture
    def made(self, monkeypatch):
        """Each index that was made. To make one takes so long that all who want it have asked."""
        made = []
        real = Index.of

        def of(pairs):
            made.append(1)
            others_came.wait(0.2)
            return real(pairs)

        others_came = threading.Event()  # never set: it gives the others time to come
        monkeypatch.setattr(Index, "of", of)
        return made

    def test_an_index_that_many_ask_for_at_once_is_made_once(self, csv_store, made):
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: csv_store.devices.list(DeviceFilter(type="gateway")), range(4)))
        assert [len(each) for each in found] == [2] * 4
        assert len(made) == 1

    def test_to_find_a_device_by_its_id_takes_no_index(self, csv_store, made):
        device = DEVICES[0]
        where = DeviceFilter(id=device.id)
        assert csv_store.devices.page(where, PageRequest(limit=1000, count=True)) == ([device], 1, None)
        assert csv_store.devices.list(DeviceFilter(id="none")) == []
        assert made == []
