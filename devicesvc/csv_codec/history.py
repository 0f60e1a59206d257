"""The CSV form of the history: a row as a line, and back.

A row is one line, because no cell has a line break. So the file can be cut into rows anywhere, from its end too, and a
row that a crash has torn spoils no other.
"""

import csv
import io
import re
from collections.abc import Sequence
from typing import NamedTuple

COLUMNS = ("change", "time", "who", "request_id", "address", "done", "kind", "id", "column", "before", "after")
HEADER = f"{','.join(COLUMNS)}\n".encode()

_START = re.compile(rb"([0-9]{1,18}),([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z),")
_TORN = f"{',' * len(COLUMNS)}torn\n".encode()  # more cells than a row has: so what comes before it is not a row


class Start(NamedTuple):
    """How a row starts: what a search in the file needs."""

    change: int
    time: str


def encode(cells: Sequence[object]) -> bytes:
    """The line of a row. cells: as many as there are columns; a line break in one becomes a space."""
    texts = [str(cell) for cell in cells]
    line = ",".join(texts)
    if '"' in line or "\n" in line or "\r" in line or line.count(",") >= len(texts):
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(cell.replace("\r", " ").replace("\n", " ") for cell in texts)
        line = text.getvalue()
    return f"{line}\n".encode(errors="replace")


def encode_cell(text: str) -> bytes:
    """A cell as it stands in a line."""
    return encode([text, ""]).removesuffix(b",\n")


def start_of(line: bytes) -> Start | None:
    """How a row starts; None if the line is not a row. That it says something is no proof that it is one."""
    found = _START.match(line)
    return Start(int(found[1]), found[2].decode()) if found else None


def decode(line: bytes) -> list[str] | None:
    """The cells of a line; None if it is not a row."""
    try:
        text = line.decode()
        if not (_START.match(line) and text.endswith("\n")) or "\0" in text:
            return None
        text = text.removesuffix("\n").removesuffix("\r")
        cells = next(csv.reader([text], strict=True)) if '"' in text else text.split(",")
    except (UnicodeDecodeError, csv.Error):
        return None
    return cells if len(cells) == len(COLUMNS) else None


def closing(rest: bytes) -> bytes:
    """What is to be added to the rest of a line that a crash has torn, so that the next line is one of its own, and
    this one is seen to be torn."""
    return (b'"' if rest.count(b'"') % 2 else b"") + _TORN


def is_torn(line: bytes) -> bool:
    """Whether a line that is not a row is what a crash leaves, and not somebody's edit."""
    return b"\0" in line or line.endswith(_TORN)


def is_header(line: bytes) -> bool:
    """Whether this is the first line of a file of the history."""
    return line.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n") == HEADER
