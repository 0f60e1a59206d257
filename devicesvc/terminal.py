"""Text for a terminal: no character in it moves the cursor or hides others, and columns stand below one another."""

import json
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, TextIO

import click

WIDTH = 100  # columns that JSON takes, if its values are not longer
INDENT = 2  # spaces for each level of JSON
BLOCK = 1000  # rows of a table whose widths are measured together: so many are in memory

# Control characters, marks of direction and other invisible ones, halves of a character, line separators.
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # scripts and emoji need them


def plain(text: str) -> str:
    """The text on one line, with an escape such as \\u001b in the place of each character that a terminal would obey or
    not show."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _ESCAPED or character in _JOINERS:
        return character
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]  # JSON does not escape this one


def json_line(value: Any) -> str:
    """The value as JSON on one line, with the characters of every language, but with escapes as in `plain`."""
    return plain(json.dumps(value, ensure_ascii=False))


def json_block(value: Any, indent: int = 0) -> str:
    """The value as JSON, an object or a list on one line only if it fits. indent: spaces before it."""
    line = json_line(value)
    if not value or not isinstance(value, (dict, list)) or indent + width(line) <= WIDTH:
        return line
    inner = indent + INDENT
    if isinstance(value, dict):
        parts = [f"{json_line(name)}: {json_block(each, inner)}" for name, each in value.items()]
    else:
        parts = [json_block(each, inner) for each in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    lines = f",\n{' ' * inner}".join(parts)
    return f"{first}\n{' ' * inner}{lines}\n{' ' * indent}{last}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table: its columns are as wide as the widest cell so far. The cells are texts of one line,
    as `plain` makes them."""
    rows = chain([header], rows)
    widths = [0] * len(header)
    while block := list(islice(rows, BLOCK)):
        measured = [[width(cell) for cell in row] for row in block]
        widths = [max(column) for column in zip(widths, *measured, strict=True)]
        for row, taken in zip(block, measured, strict=True):
            gaps = [" " * (most - each) for most, each in zip(widths, taken, strict=True)]
            yield "  ".join(cell + gap for cell, gap in zip(row, gaps, strict=True)).rstrip(" ")


def width(text: str) -> int:
    """How many columns of a terminal the text takes: a Chinese character takes two, a combining one none."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth  # not at the top: most texts need no tables of Unicode

    return max(wcswidth(text), 0)


def coloured(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour, if the stream is a terminal that has any, and NO_COLOR is not set (https://no-color.org)."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if is_plain else click.style(text, fg=colour)
