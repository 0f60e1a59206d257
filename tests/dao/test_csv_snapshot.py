"""The tables of a snapshot, which never change, and the overlays over them in which a commit collects its changes."""

import random
from dataclasses import replace

import pytest

from devicesvc.csv_codec.format import Record
from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.dao.csv.index import Index
from devicesvc.dao.csv.snapshot import BLOCK, Overlay, Table
from tests.hard_data import NIC, device


def row(id, sn="s"):
    each = device(id, hardware_sn=sn)
    return Record(each, FORMAT.encode(each))


def table_of(rows):
    """The table of a file of these rows, by key."""
    return Table.from_records(FORMAT, rows.items())


def check(table, rows):
    """The table says in every way that these are the rows, in this order of the file."""
    assert list(table.lines().items()) == [(id, each.line) for id, each in rows.items()]
    assert b"".join(table.content) == b"".join(each.line for each in rows.values())
    assert list(table.index("id").walk()) == sorted(rows)
    assert all(table.get(id) == each.item for id, each in rows.items())
    assert table.items_by_line() == {each.line: each.item for each in rows.values()}
    for sn in ("s", "t", "nobody's"):
        expected = sorted(id for id, each in rows.items() if each.item.hardware.sn == sn)
        assert list(table.index("sn").keys(sn)) == expected
        assert table.index("sn").count(sn) == len(expected)


def test_an_empty_table():
    check(table_of({}), {})
    assert table_of({}).get("x") is None


def test_new_rows_come_last_changed_ones_stay_where_they_are_and_the_old_snapshot_stays_as_it_was():
    rows = {str(number): row(str(number)) for number in range(BLOCK * 2 + 3)}
    before = table_of(rows)
    changes = {"0": row("0", "t"), "new": row("new"), str(BLOCK): None, "never": None, "5": None}
    after = before.apply(changes)
    check(before, rows)
    unchanged = {id: each for id, each in rows.items() if id not in ("5", str(BLOCK))}
    check(after, {**unchanged, "0": changes["0"], "new": changes["new"]})


def test_a_row_that_was_removed_comes_back_as_the_last():
    table = table_of({"a": row("a"), "b": row("b")}).apply({"a": None})
    check(table.apply({"a": row("a", "t")}), {"b": row("b"), "a": row("a", "t")})


def test_blocks_stay_small_as_the_file_grows():
    table = table_of({})
    for number in range(3 * BLOCK):
        table = table.apply({str(number): row(str(number))})
    assert len(table.content) == 3


def test_any_changes_one_after_another_end_where_a_dict_does():
    chance = random.Random(7)
    rows, table = {}, table_of({})
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
        return Overlay(table_of({"a": row("a"), "b": row("b", "t")}))

    @pytest.mark.parametrize("asked", [(), ("id", "sn")])
    def test_a_change_that_fails_leaves_what_the_changes_before_it_changed(self, asked):
        overlay = self.overlay()
        for name in asked:  # before the changes, which it must follow
            overlay.index(name)
        overlay.set(row("a", "first").item)
        overlay.set(row("new", "first").item)
        overlay.remove("b")
        overlay.keep()
        overlay.set(row("a", "second").item)
        overlay.set(row("b", "second").item)
        overlay.set(row("c", "second").item)
        overlay.remove("new")
        overlay.undo()
        assert list(overlay.index("id").walk()) == ["a", "new"]
        assert list(overlay.index("sn")) == [("first", "a"), ("first", "new")]
        assert list(overlay.apply().lines()) == ["a", "new"]
        assert overlay.apply().get("a").hardware.sn == "first"

    @pytest.mark.parametrize("asked", [(), ("sn",)])
    def test_an_index_finds_what_has_the_value_now_and_not_what_had_it(self, asked):
        overlay = self.overlay()
        for name in asked:
            overlay.index(name)
        overlay.set(row("a", "x").item)
        overlay.set(row("a", "y").item)
        overlay.set(row("b", "y").item)
        overlay.remove("b")
        assert list(overlay.index("sn")) == [("y", "a")]

    def test_without_changes_the_table_is_the_same_one(self):
        table = table_of({"a": row("a")})
        assert Overlay(table).apply() is table


def test_a_commit_goes_on_with_the_indexes_that_somebody_has_asked_for_and_no_others(monkeypatch):
    made = []
    real = Index.of

    def of(pairs):
        made.append(pairs)
        return real(pairs)

    monkeypatch.setattr(Index, "of", of)
    table = table_of({str(number): row(str(number)) for number in range(100)})
    assert not made
    assert table.index("sn").count("s") == 100
    for number in range(3):
        table = table.apply({str(number): row(str(number), "t")})
    assert table.index("sn").count("t") == 3
    assert len(made) == 1


def test_an_index_that_a_reader_makes_of_an_old_snapshot_is_not_made_again_and_again():
    """It takes longer than a commit, so while others write, the next snapshot is always there before it."""
    before = table_of({str(number): row(str(number)) for number in range(100)})
    after = before.apply({"1": row("1", "t")})
    assert before.index("sn").count("s") == 100
    later = after.apply({"2": row("2", "t")})
    assert "sn" in later._indexes
    assert list(later.index("sn").keys("t")) == ["1", "2"]


def test_a_device_is_found_once_by_each_address_that_it_has():
    twice = device("a", nic=(NIC, NIC, replace(NIC, mac="00:00:00:00:00:02")))
    table = table_of({"a": Record(twice, FORMAT.encode(twice)), "b": row("b")})
    assert list(table.index("mac")) == [("00:00:00:00:00:01", "a"), ("00:00:00:00:00:02", "a")]
    assert list(table.apply({"a": row("a")}).index("mac")) == []
