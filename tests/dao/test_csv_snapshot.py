"""A state of the devices in memory, which is never changed."""

import random

import pytest

from devicesvc.csv_codec.format import Record
from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.dao.csv.snapshot import BLOCK, FEW, Overlay, Table
from tests.hard_data import device


def row(id, sn="s"):
    each = device(id, hardware_sn=sn)
    return Record(each, FORMAT.encode(each))


def check(state, rows):
    """The state says in every way that these are the rows, in this order of the file."""
    assert list(state.lines().items()) == [(id, each.line) for id, each in rows.items()]
    assert b"".join(state.content) == b"".join(each.line for each in rows.values())
    assert state.keys == sorted(rows)
    assert all(state.get(id) == each.item for id, each in rows.items())
    assert state.items_by_line() == {each.line: each.item for each in rows.values()}
    for sn in ("s", "t", "nobody's"):
        assert sorted(state.keys_where("sn", sn)) == sorted(
            id for id, each in rows.items() if each.item.hardware.sn == sn
        )


def test_an_empty_state():
    check(Table.from_records(FORMAT, {}), {})
    assert Table.from_records(FORMAT, {}).get("x") is None


def test_new_rows_come_last_changed_ones_stay_where_they_are_and_the_old_state_is_left_alone():
    rows = {str(number): row(str(number)) for number in range(BLOCK * 2 + 3)}
    before = Table.from_records(FORMAT, rows)
    changes = {"0": row("0", "t"), "new": row("new"), str(BLOCK): None, "never": None, "5": None}
    after = before.apply(changes)
    check(before, rows)
    left = {id: each for id, each in rows.items() if id not in ("5", str(BLOCK))}
    check(after, {**left, "0": changes["0"], "new": changes["new"]})


def test_a_row_that_was_removed_comes_back_as_the_last():
    state = Table.from_records(FORMAT, {"a": row("a"), "b": row("b")}).apply({"a": None})
    check(state.apply({"a": row("a", "t")}), {"b": row("b"), "a": row("a", "t")})


def test_blocks_stay_small_as_the_file_grows():
    state = Table.from_records(FORMAT, {})
    for number in range(3 * BLOCK):
        state = state.apply({str(number): row(str(number))})
    assert len(state.content) == 3


def test_a_serial_number_that_all_share_is_no_burden():
    """Where each row copied the ids of those before it, this would take minutes."""
    one = row("x").item
    rows = {str(number): Record(one, b"") for number in range(100_000)}
    assert Table.from_records(FORMAT, rows).keys_where("sn", "s") == tuple(rows)


def test_any_changes_one_after_another_end_where_a_dict_does():
    chance = random.Random(7)
    rows, state = {}, Table.from_records(FORMAT, {})
    for _ in range(300):
        changes = {}
        for id in chance.choices("abcdefgh", k=chance.randrange(4)):
            changes[id] = chance.choice([None, row(id, "s"), row(id, "t")])
        state = state.apply(changes)
        for id, each in changes.items():
            if each:
                rows[id] = each
            else:
                rows.pop(id, None)
        check(state, rows)


class TestDraft:
    """What the ops of one commit change, over a table that stays as it is."""

    @staticmethod
    def draft():
        return Overlay(Table.from_records(FORMAT, {"a": row("a"), "b": row("b", "t")}))

    def test_an_op_that_fails_leaves_what_the_ops_before_it_changed(self):
        draft = self.draft()
        draft.set(row("a", "first").item)
        draft.set(row("new", "first").item)
        draft.remove("b")
        draft.keep()
        draft.set(row("a", "second").item)
        draft.set(row("b", "second").item)
        draft.set(row("c", "second").item)
        draft.remove("new")
        draft.undo()
        assert draft.keys == ["a", "new"]
        assert draft.keys_where("sn", "second") == []
        assert sorted(draft.keys_where("sn", "first")) == ["a", "new"]
        assert list(draft.apply().lines()) == ["a", "new"]
        assert draft.apply().get("a").hardware.sn == "first"

    def test_an_index_finds_what_has_the_value_now_and_not_what_had_it(self):
        draft = self.draft()
        draft.set(row("a", "x").item)
        draft.set(row("a", "y").item)
        draft.set(row("b", "y").item)
        draft.remove("b")
        assert [draft.keys_where("sn", sn) for sn in ("s", "t", "x", "y")] == [[], [], [], ["a"]]

    def test_without_changes_the_table_is_the_same_one(self):
        table = Table.from_records(FORMAT, {"a": row("a")})
        assert Overlay(table).apply() is table


@pytest.mark.parametrize("many", [3, FEW + 1])
def test_the_keys_stay_sorted_however_many_come_and_go(many):
    table = Table.from_records(FORMAT, {f"{number:03}": row(f"{number:03}") for number in range(300)})
    assert table.keys == sorted(table.keys)
    changes = {f"{number * 2:03}": None for number in range(many)} | {
        f"{number}-": row(f"{number}-") for number in range(many)
    }
    after = table.apply(changes)
    assert after.keys == sorted(({*table.keys} | {*changes}) - {key for key, each in changes.items() if not each})
