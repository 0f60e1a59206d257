"""Whether the history of a registry in files is right: its files are read without the store, and played again."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from devicesvc.csv_codec.history import decode
from devicesvc.dao.csv.months import month_paths
from devicesvc.dao.history import FILE, KINDS_BY_NAME, NOT_KEPT, Row
from devicesvc.model import Device

WRONG = ("untold", "untrue", "repeated", "by_hand")  # what `judge` must not count


def judge(
    path: Path, devices: Mapping[str, Device], acknowledged: Collection[str], refused: Collection[str] = ()
) -> Counter:
    """Count what is wrong with the history of a registry that nobody changes now.

    path: of the devices; devices: what that file holds, by id. acknowledged, refused: changes, by the ids of requests.

    untold: acknowledged changes that the history does not have once. untrue: refused ones that it has, and devices that
    are not as it tells. repeated: numbers that do not rise. by_hand: changes of which it says that a person made them
    in the file. not_kept: rows that were taken back.
    """
    rows = rows_of(path)
    gone = {row._replace(done="") for row in rows if row.done == NOT_KEPT}
    kept = [row for row in rows if row._replace(done="") not in gone]
    told = {id: item for (kind, id), item in replayed(kept).items() if kind == "device" and item}
    times_told = Counter(request_id for _, _, _, request_id in _starts(kept))
    return Counter(
        untold=sum(times_told[id] != 1 for id in acknowledged),
        untrue=sum(times_told[id] for id in refused) + sum(told.get(id) != devices.get(id) for id in {*told, *devices}),
        repeated=sum(later <= number for (number, *_), (later, *_) in pairwise(_starts(rows))),
        by_hand=sum(who == FILE for _, _, who, _ in _starts(kept)),
        not_kept=len(gone),
    )


def rows_of(path: Path) -> list[Row]:
    """All rows of the history, also those that were taken back, in the order of the files."""
    lines = (line for month in month_paths(path) for line in month.read_bytes().splitlines(keepends=True))
    return [Row(int(cells[0]), *cells[1:]) for line in lines if (cells := decode(line))]


def replayed(rows: Iterable[Row]) -> dict[tuple[str, str], Any]:
    """What rows make of nothing, one after another: the item by kind and id; None if it was deleted."""
    items: dict[tuple[str, str], Any] = {}
    for (_, kind, id), some in groupby(rows, key=lambda row: (row.change, row.kind, row.id)):
        format, cells = KINDS_BY_NAME[kind].format, {}
        for row in some:
            if row.column:
                cells[row.column] = row.after
            else:
                items[kind, id] = format.from_line(row.after) if row.after else None
                cells.clear()
        if cells:
            items[kind, id] = format.replaced(items[kind, id], cells)
    return items


def _starts(rows: Iterable[Row]) -> list[tuple[int, str, str, str]]:
    """The changes in the order of the rows: number, time, who and request id."""
    return list(dict.fromkeys((row.change, row.time, row.who, row.request_id) for row in rows))
