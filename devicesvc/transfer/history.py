"""A history on its way from one store to another: in rows, or between two CSV stores in the bytes of its files."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from devicesvc.columns import Entity
from devicesvc.dao.history import REGISTRY, REPLACED, Row, now
from devicesvc.terminal import plain
from devicesvc.transfer.source import Chunk

FILES = "files of the history"  # the table of a Chunk whose rows are pieces of files

# The most characters of each column, and the greatest number, that a database takes.
LONGEST = {"who": 64, "request_id": 128, "address": 64, "done": 16, "kind": 16, "id": 129, "column": 64}
GREATEST = 2**63 - 1

_NAMES = ("number", "position", *Row._fields[1:], "device_id", "group_id")
HISTORY: Entity[Row] = Entity("history", (), lambda row: Row(row.number, *row[2:-2]), _NAMES)

OF_HISTORY = HISTORY.table, FILES

_TIME = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_ONE_LINE = re.compile("[^\r\n\0]*")


class Piece(NamedTuple):
    """A piece of a file of a history.

    name: the month of the file, such as 2026-11; with .gz if it is compressed. start: where the piece begins in it.
    """

    name: str
    start: int
    data: bytes


def counted(chunk: Chunk) -> Counter[str]:
    """How much of a history is in a chunk, by what it is counted in."""
    if chunk.table == HISTORY.table:
        return Counter(rows=len(chunk.rows))
    return Counter(files=sum(not piece.start for piece in chunk.rows), bytes=sum(len(each.data) for each in chunk.rows))


def numbered(rows: Iterable[Row]) -> Iterator[Any]:
    """The rows as a database has them, each with its place in its change."""
    number = position = 0
    for row in rows:
        position = position + 1 if row.change == number else 0
        number = row.change
        device_id, group_id = _items(row)
        yield HISTORY.named((number, position, *row[1:], device_id, group_id))


def rising(rows: Iterable[Any]) -> Iterator[Any]:
    """The rows of a database, none with a time before that of a row above it: a file is searched by that. On PostgreSQL
    the change with the lesser number may be some milliseconds later, and a clock may have been set back."""
    time = ""
    for row in rows:
        time = max(time, row.time)
        yield row if row.time == time else row._replace(time=time)


def replaced_by(who: str, source: str, number: int, time: str) -> Any:
    """The row that says that all of a registry was replaced. who: migrate or restore. source: where it comes from,
    without a password. time: it must be later than this one."""
    [row] = numbered([Row(number, now(time), who, "", "", REPLACED, REGISTRY, "", "", plain(source), "")])
    return row


def faults_of(row: Row) -> dict[str, str]:
    """What is wrong in a row, by column: somebody has edited it, and not every store takes that."""
    faults = {}
    for column, value in zip(row._fields[1:], row[1:], strict=True):
        longest = LONGEST.get(column, GREATEST)
        if not (isinstance(value, str) and _ONE_LINE.fullmatch(value) and _is_unicode(value)):
            faults[column] = "must be text on one line"
        elif len(value) > longest:
            faults[column] = f"must be at most {longest} characters, not {len(value)}"
        elif column == "time" and not _TIME.fullmatch(value):
            faults[column] = f"must be a time in UTC such as 2026-11-24T20:00:00.123Z, not {value!r}"
    if not 0 < row.change <= GREATEST:
        faults["change"] = f"must be a number from 1 to {GREATEST}"
    return faults


def _items(row: Row) -> tuple[str | None, str | None]:
    """The ids of the device and of the group that a row is about, if any."""
    if row.kind == "membership":
        device_id, _, group_id = row.id.partition("/")
        return device_id, group_id
    return row.id if row.kind == "device" else None, row.id if row.kind == "group" else None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
