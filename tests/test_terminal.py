"""Text for a terminal."""

import io
import json
import unicodedata
from typing import Any

import pytest

from devicesvc import terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 设备　📡e\u0301", "plain, 设备　📡e\u0301"),
        ("👩\u200d🔧", "👩\u200d🔧"),
        ("\x1b[2J\x9b2J", r"\u001b[2J\u009b2J"),
        ("a\r\nb\tc\x7f", r"a\r\nb\tc\u007f"),
        ("\u202eevil\u2066\u200f", r"\u202eevil\u2066\u200f"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\udb40\udc41"),
    ],
)
def test_what_a_terminal_would_obey_is_an_escape(text, shown):
    assert terminal.plain(text) == shown


def test_no_control_character_of_unicode_is_left():
    text = "".join(map(chr, range(0x110000)))
    left = {unicodedata.category(character) for character in terminal.plain(text)} - {"Cn", "Co"}
    assert not {"Cc", "Cs", "Zl", "Zp"} & left
    assert {each for each in terminal.plain(text) if unicodedata.category(each) == "Cf"} == {"\u200c", "\u200d"}


@pytest.mark.parametrize("write", [terminal.json_line, terminal.json_block])
def test_json_has_escapes_and_the_same_value(write):
    value: dict[str, Any] = {
        "名": "\x1b\x7f\x9b\u202e\U000e0041设备",
        "list": [{}, [], "x" * 200, None, 1, True],
        "n": {"a": {"b": "y" * 99}},
    }
    text = write(value)
    assert json.loads(text) == value
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "设备" in text


def test_json_takes_another_line_only_if_it_must():
    value = {"short": {"a": 1, "b": [2]}, "long": [{"text": "x" * 60}, {"text": "y" * 60}], "empty": []}
    assert terminal.json_block(value) == "\n".join(
        [
            "{",
            '  "short": {"a": 1, "b": [2]},',
            '  "long": [',
            f'    {{"text": "{"x" * 60}"}},',
            f'    {{"text": "{"y" * 60}"}}',
            "  ],",
            '  "empty": []',
            "}",
        ]
    )


def test_columns_stand_below_one_another_whatever_is_in_them():
    rows = [["设备", "1"], ["e\u0301", "2"], ["plain", "3"]]
    lines = list(terminal.table(["NAME", "N"], rows))
    assert lines == ["NAME   N", "设备   1", "e\u0301      2", "plain  3"]
    assert {terminal.width(line[: line.rindex(" ")]) for line in lines} == {6}


def test_a_table_reads_no_more_rows_than_it_measures_together():
    rows = iter([["x"]] * 10 * terminal.BLOCK)
    next(terminal.table(["N"], rows))
    assert len(list(rows)) == 9 * terminal.BLOCK + 1  # the header is a row too


def test_a_later_block_may_be_wider():
    rows = [["a", "1"]] * terminal.BLOCK + [["abc", "1"]]
    assert list(terminal.table(["", ""], rows))[-2:] == ["a    1", "abc  1"]


def test_only_a_terminal_gets_colours(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert terminal.coloured("x", "red", Terminal()) == "\x1b[31mx\x1b[0m"
    assert terminal.coloured("x", "red", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.coloured("x", "red", Terminal()) == "x"
