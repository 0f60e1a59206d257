"""The tables of a snapshot, which never change, and the overlays over them in which a commit collects its changes."""

import random

import pytest

from devicesvc.csv_codec.format import Record
from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.dao.csv.snapshot import BLOCK, FEW, Overlay, Table
from tests.hard_data import device


def row(id, sn="s"):
    each = device(id, hardware_sn=sn)
    return Record(each, FORMAT.encode(each))


def check(table, rows):
    """The table says in every way that these are the rows, in this order of the file."""
    assert list(table.lines().items()) == [(id, each.line) for id, each in rows.items()]
    assert b"".join(table.content) == b"".join(each.line for each in rows.values())
    assert table.keys == sorted(rows)
    assert all(table.get(id) == each.item for id, each in rows.items())
    assert table.items_by_line() == {each.line: each.item for each in rows.values()}
    for sn in ("s", "t", "nobody's"):
        assert sorted(table.keys_where("sn", sn)) == sorted(
            id for id, each in rows.items() if each.item.hardware.sn == sn
        )


def test_an_empty_table():
    check(Table.from_records(FORMAT, {}), {})
    assert Table.from_records(FORMAT, {}).get("x") is None


def test_new_rows_come_last_changed_ones_stay_where_they_are_and_the_old_snapshot_stays_as_it_was():
    rows = {str(number): row(str(number)) for number in range(BLOCK * 2 + 3)}
    before = Table.from_records(FORMAT, rows)
    changes = {"0": row("0", "t"), "new": row("new"), str(BLOCK): None, "never": None, "5": None}
    after = before.apply(changes)
    check(before, rows)
    unchanged = {id: each for id, each in rows.items() if id not in ("5", str(BLOCK))}
    check(after, {**unchanged, "0": changes["0"], "new": changes["new"]})


def test_a_row_that_was_removed_comes_back_as_the_last():
    table = Table.from_records(FORMAT, {"a": row("a"), "b": row("b")}).apply({"a": None})
    check(table.apply({"a": row("a", "t")}), {"b": row("b"), "a": row("a", "t")})


def test_blocks_stay_small_as_the_file_grows():
    table = Table.from_records(FORMAT, {})
    for number in range(3 * BLOCK):
        table = table.apply({str(number): row(str(number))})
    assert len(table.content) == 3


def test_a_serial_number_that_all_share_is_not_a_burden():
    """Where each row copied the ids of those before it, this would take minutes."""
    one = row("x").item
    rows = {str(number): Record(one, b"") for number in range(100_000)}
    assert Table.from_records(FORMAT, rows).keys_where("sn", "s") == tuple(rows)


def test_any_changes_one_after_another_end_where_a_dict_does():
    chance = random.Random(7)
    rows, table = {}, Table.from_records(FORMAT, {})
    for _ in range(300):
        changes = {}
        for id in chance.choices("abcdefgh", k=chance.randrange(4)):
            changes[id] = chance.choice([None, row(id, "s"), row(id, "t")])
        table = table.apply(changes)
        for id, each in changes.items():
            if each:
                rows[id] = each
            else:
                rows.pop(id, None)
        check(table, rows)


class TestOverlay:
    """What the changes of one commit do, over a table that stays as it is."""

    @staticmethod
    def overlay():
        return Overlay(Table.from_records(FORMAT, {"a": row("a"), "b": row("b", "t")}))

    def test_a_change_that_fails_leaves_what_the_changes_before_it_changed(self):
        overlay = self.overlay()
        overlay.set(row("a", "first").item)
        overlay.set(row("new", "first").item)
        overlay.remove("b")
        overlay.keep()
        overlay.set(row("a", "second").item)
        overlay.set(row("b", "second").item)
        overlay.set(row("c", "second").item)
        overlay.remove("new")
        overlay.undo()
        assert overlay.keys == ["a", "new"]
        assert overlay.keys_where("sn", "second") == []
        assert sorted(overlay.keys_where("sn", "first")) == ["a", "new"]
        assert list(overlay.apply().lines()) == ["a", "new"]
        assert overlay.apply().get("a").hardware.sn == "first"

    def test_an_index_finds_what_has_the_value_now_and_not_what_had_it(self):
        overlay = self.overlay()
        overlay.set(row("a", "x").item)
        overlay.set(row("a", "y").item)
        overlay.set(row("b", "y").item)
        overlay.remove("b")
        assert [overlay.keys_where("sn", sn) for sn in ("s", "t", "x", "y")] == [[], [], [], ["a"]]

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
