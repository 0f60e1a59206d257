"""The history of a CSV registry, to read and to prune. `recording` writes it.

Changes are in the files in the order of their numbers and times. What was committed together stands together, and has
a time that no other commit has: first all its rows, then those that take some of them back.
"""

import gzip
import io
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from devicesvc.csv_codec.history import HEADER, decode, encode, encode_cell, is_torn
from devicesvc.dao import durable_file
from devicesvc.dao.csv.months import Month, last_start, month_of, month_paths, opened
from devicesvc.dao.history import ADDED, MAX_ROWS, NOT_KEPT, Change, History, HistoryFilter, Row
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable

Rows = Iterator[Row]
Item = tuple[str, str]  # its kind and its id

_time = attrgetter("time")

log = logging.getLogger(__name__)


class _Ends(NamedTuple):
    """The numbers of the changes that are kept of an item: of the one that added it last, and of the last one."""

    added: int
    last: int


@dataclass
class _Found:
    """A change, while its rows are looked at. start: one of them. rows: the first of those that are wanted. count: of
    all that were looked at."""

    start: Row
    rows: deque[Row] = field(default_factory=lambda: deque(maxlen=MAX_ROWS))
    count: int = 0

    def change(self, count: int, rows: Iterable[Row]) -> Change:
        return Change(*self.start[:5], count=count, rows=list(rows))


class CsvHistory(History):
    """The history beside the file of the devices.

    kept: gives the number of the last change that is known to be kept; what is after it is shown to nobody. fault: says
    what is wrong with the file to which rows are added. locked: holds the registry against all who change it.
    """

    def __init__(
        self,
        devices: Path,
        kept: Callable[[], int],
        fault: Callable[[], str | None],
        locked: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._devices = devices
        self._kept = kept
        self._fault = fault
        self._locked = locked
        self._broken: dict[Path, str] = {}  # the lines that were met and are not rows, by file

    @property
    def fault(self) -> str | None:
        return " ".join(filter(None, [self._fault(), *self._broken.values()])) or None

    def last(self) -> int:
        return self._kept()

    def size(self) -> int:
        return sum(path.stat().st_size for path in self._paths() if path.is_file())

    def page(self, where: HistoryFilter, before: int | None, limit: int) -> list[Change]:
        top = self.last() + 1
        if before is not None:
            top = min(top, before)
        paths = [path for path in reversed(self._paths()) if _may_have(month_of(path), where)]
        return list(islice(chain.from_iterable(self._changes_back(path, where, top) for path in paths), limit))

    def _changes_back(self, path: Path, where: HistoryFilter, top: int) -> Iterator[Change]:
        """The changes of a file with a row that fits and a number below `top`, the newest first."""
        with opened(path) as month:
            for rows in self._commits_back(month, where, top):
                changes: dict[int, _Found] = {}
                for row in rows:
                    found = changes.setdefault(row.change, _Found(row))
                    found.rows.append(row)
                    found.count += 1
                for found in changes.values():
                    count = found.count
                    if _needles(where):  # else all rows were looked at
                        count = sum(1 for _ in self._rows_of_change(month, *found.start[:2]))
                    yield found.change(count, reversed(found.rows))

    def _commits_back(self, month: Month, where: HistoryFilter, top: int) -> Iterator[Rows]:
        """The rows that fit and were kept, with a number below `top`, by commit, the newest first."""
        since, until = where.since, where.until
        begin = month.begin if since is None else month.place(lambda start: start.time < since)
        end = month.end if until is None else month.place(lambda start: start.time < until)
        if first := next(self._rows(month, month.place(lambda start: start.change < top)), None):
            end = min(end, month.place(lambda start: start.time <= first.time))
        rows = self._parsed(month, month.lines_back(begin, end, *_needles(where)))
        for _, commit in groupby(rows, key=_time):
            gone: set[Row] = set()
            yield (row for row in commit if not _takes_back(row, gone) and row.change < top and where.matches(row))

    def after(self, number: int, limit: int) -> list[Change]:
        last = self.last()
        paths = self._paths_with(number + 1) if number < last else []
        return list(islice(chain.from_iterable(self._changes(path, number, last) for path in paths), limit))

    def _changes(self, path: Path, number: int, last: int) -> Iterator[Change]:
        """The changes of a file with a number above this one and up to `last`, the oldest first."""
        with opened(path) as month:
            begin, _ = self._commit(month, number + 1)
            for _, rows in groupby(self._rows(month, begin), key=_time):
                changes: dict[int, _Found] = {}
                touched = set()  # by a row that takes back another
                for row in rows:
                    found = changes.setdefault(row.change, _Found(row))
                    found.count += 1
                    if row.done == NOT_KEPT:
                        touched.add(row.change)
                    elif len(found.rows) < MAX_ROWS:
                        found.rows.append(row)
                for each, found in changes.items():
                    if each > last:
                        return
                    if each in touched and each > number:
                        yield from filter(None, [self._change(month, each, 0, MAX_ROWS)])
                    elif each > number:
                        yield found.change(found.count, found.rows)

    def find(self, number: int, first: int = 0, limit: int | None = None) -> Change | None:
        for path in self._paths_with(number)[:2] if number <= self.last() else ():
            with opened(path) as month:
                if change := self._change(month, number, first, limit):
                    return change
        return None

    def _change(self, month: Month, number: int, first: int, limit: int | None) -> Change | None:
        found: _Found | None = None
        rows: list[Row] = []
        for count, row in enumerate(self._rows_of_change(month, number)):
            found = found or _Found(row)
            found.count += 1
            if first <= count and (limit is None or count < first + limit):
                rows.append(row)
        return found.change(found.count, rows) if found else None

    def _rows_of_change(self, month: Month, number: int, time: str | None = None) -> Rows:
        """All rows of a change that were kept, in their order."""
        begin, end = self._commit(month, number, time)
        gone: set[Row] = set()
        for row in self._parsed(month, month.lines_back(begin, end, f",{NOT_KEPT},".encode())):
            _takes_back(row, gone)
        return (row for row in self._rows(month, begin, end) if row.change == number and not _takes_back(row, gone))

    def _commit(self, month: Month, number: int, time: str | None = None) -> tuple[int, int]:
        """Where the commit begins and ends that has this change, or if there is none, the next one."""
        if time is None:
            rows = self._rows(month, month.place(lambda start: start.change < number))
            first = next((row for row in rows if row.change >= number), None)  # a torn row may stand before others
            if not first:
                return month.end, month.end
            time = first.time
        moment = time
        return month.place(lambda start: start.time < moment), month.place(lambda start: start.time <= moment)

    def rows_of(self, kind: str, id: str) -> Rows:
        device_id, _, group_id = id.partition("/") if kind == "membership" else (id, "", id)
        where = HistoryFilter(
            device_id=device_id if kind != "group" else None, group_id=group_id if kind != "device" else None
        )
        top = self.last() + 1
        for path in reversed(self._paths()):
            with opened(path) as month:
                for rows in self._commits_back(month, where, top):
                    yield from (row for row in rows if (row.kind, row.id) == (kind, id))

    def prune(self, before: str) -> int:
        with self._locked():
            paths = [path for path in self._paths() if month_of(path) <= before[:7]]
            ends = self._ends(before)
            return sum(self._prune(path, before, ends) for path in paths)

    def _ends(self, before: str) -> dict[Item, _Ends]:
        """What is to be kept of each item that has rows before this time."""
        found: dict[Item, _Ends] = {}
        for path in self._paths():
            with opened(path) as month:
                for row in self._kept_rows(month):
                    ends = found.get((row.kind, row.id))
                    if row.time < before or ends:
                        added = row.change if row.done == ADDED else ends.added if ends else 0
                        found[row.kind, row.id] = _Ends(added, row.change)
        return found

    def _prune(self, path: Path, before: str, ends: Mapping[Item, _Ends]) -> int:
        """Write a file anew without what is not to be kept; return how many rows are gone."""
        gone = 0

        def keeps(row: Row) -> bool:
            nonlocal gone
            is_kept = row.time >= before or _is_end(row, ends[row.kind, row.id])
            gone += not is_kept
            return is_kept

        with opened(path) as month:
            pieces = chain([HEADER], _joined(encode(row) for row in self._kept_rows(month) if keeps(row)))
            versions = durable_file.prepare({path: _packed(pieces) if path.suffix == ".gz" else pieces})
        if gone:
            durable_file.publish(versions)
        durable_file.discard(versions)
        return gone

    def _kept_rows(self, month: Month) -> Rows:
        """All rows of a file that were kept, in their order."""
        gone: set[Row] = set()
        for row in self._parsed(month, month.lines_back(month.begin, month.end, f",{NOT_KEPT},".encode())):
            _takes_back(row, gone)
        return (row for row in self._rows(month, month.begin) if not _takes_back(row, gone))

    def _paths(self) -> list[Path]:
        try:
            return month_paths(self._devices)
        except OSError as error:
            raise StoreUnavailable(f"{self._devices.parent} cannot be read: {error.strerror}.") from error

    def _paths_with(self, number: int) -> list[Path]:
        """The files in which the change with this number and those after it may be, the oldest first."""
        found: list[Path] = []
        for path in reversed(self._paths()):
            found.insert(0, path)
            with opened(path) as month:
                first = month.first()
            if first and first.change <= number:
                break
        return found

    def _rows(self, month: Month, begin: int, end: int | None = None) -> Rows:
        """The rows from one place to another."""
        return self._parsed(month, (line for _, line in month.lines(begin, month.end if end is None else end)))

    def _parsed(self, month: Month, lines: Iterable[bytes]) -> Rows:
        for line in lines:
            if cells := decode(line):
                yield Row(int(cells[0]), *cells[1:])
            elif line.endswith(b"\n") and not is_torn(line) and month.path not in self._broken:
                words = f"{month.path} has a line that is not a row of the history, and is passed over: {line[:80]!r}."
                self._broken[month.path] = words
                log.error("%s", words)


def _takes_back(row: Row, gone: set[Row]) -> bool:
    """Whether a row is not to be shown: it takes another one back, or is one of those that are gone. Those are the same
    in all but in what they say was done."""
    if row.done == NOT_KEPT:
        gone.add(row._replace(done=""))
        return True
    return bool(gone) and row._replace(done="") in gone


def _is_end(row: Row, ends: _Ends) -> bool:
    return row.change == ends.last or (row.done == ADDED and row.change == ends.added)


def _may_have(month: str, where: HistoryFilter) -> bool:
    return (where.since or "") <= f"{month}~" and (where.until is None or month <= where.until)


def _needles(where: HistoryFilter) -> list[bytes]:
    """Of these one is in each line of which a row fits. A long text is found sooner than a short one."""
    if where.request_id is not None:
        return [b"," + encode_cell(where.request_id) + b","]
    if where.device_id is not None:
        id = encode_cell(where.device_id)
        return [b",device," + id + b",", b",membership," + id + b"/"]
    if where.group_id is not None:
        id = encode_cell(where.group_id)
        return [b",group," + id + b",", b"/" + id + b","]
    return [] if where.who is None else [b"," + encode_cell(where.who) + b","]


def _joined(lines: Iterator[bytes]) -> Iterator[bytes]:
    while some := b"".join(islice(lines, 1000)):
        yield some


def _packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a file, compressed."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed:
        for piece in pieces:
            packed.write(piece)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


@contextmanager
def opened_history(url: StoreUrl) -> Iterator[CsvHistory]:
    """The history beside a file, to read: the registry itself is not opened. Raises StoreUnavailable."""
    devices = url.path.resolve()
    if not devices.is_file():
        raise StoreUnavailable(f"There is no file {url.path}.")
    try:
        kept = last_start(devices).change
        yield CsvHistory(devices, lambda: kept, lambda: next(faults_of(devices), None), nullcontext)
    except OSError as error:
        raise StoreUnavailable(f"The history beside {url.path} cannot be read: {error.strerror}.") from error


def faults_of(devices: Path) -> Iterator[str]:
    """Every line of the history beside a file that is not a row of it, by file and line. What a crash has torn is not
    a fault. Raises OSError."""
    last = 0
    for path in month_paths(devices):
        try:
            with opened(path) as month:
                for number, (_, line) in enumerate(month.lines(month.begin, month.end), 2):
                    cells = decode(line)
                    if not cells and not is_torn(line):
                        yield f"{path}, line {number} is not a row of the history"
                    elif cells and int(cells[0]) < last:
                        yield f"{path}, line {number}, column change: must not be less than {last}, as before it"
                    last = max(last, int(cells[0])) if cells else last
        except StoreUnavailable as error:
            yield str(error).rstrip(".")
