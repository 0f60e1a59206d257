"""Writes the history of a CSV registry, and holds it against the files.

The rows of a commit are on the disk before the first of its files is renamed: so no change is acknowledged whose
history could be lost. A crash in between leaves rows of a change that did not come to be. So whoever has the lock first
holds what came to the history against what came to the files. A row of the last commit that is not in the files is
taken back by one that says `not kept`; what is in the files and no row explains is an edit by hand, and gets rows.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from devicesvc.csv_codec.format import Format
from devicesvc.csv_codec.history import HEADER, closing, decode, encode
from devicesvc.dao import durable_file
from devicesvc.dao.csv.months import MAX_ROW, Month, month_path, month_paths, opened
from devicesvc.dao.csv.snapshot import Snapshot
from devicesvc.dao.history import FILE, KINDS, KINDS_BY_NAME, NOT_KEPT, REGISTRY, Author, ChangeSet, Row, Step, now
from devicesvc.errors import Invalid, StoreUnavailable
from devicesvc.regular_file import open_regular

Cells = Mapping[str, str]
Item = tuple[str, str]  # its kind and its id

log = logging.getLogger(__name__)


class NotAdded(StoreUnavailable):
    """Something cannot be added to the history, which is in order otherwise: so no change is taken."""


class End(NamedTuple):
    """Where a file of the history ends. stamp: device, inode and size."""

    path: Path
    stamp: tuple[int, int, int]

    @classmethod
    def of(cls, path: Path, found: os.stat_result) -> "End":
        return cls(path, (found.st_dev, found.st_ino, found.st_size))


class Batch:
    """The rows of the changes that are committed together. number: of the last change. time: of all."""

    def __init__(self, number: int, time: str) -> None:
        self.number = number
        self.time = time
        self.rows: list[Row] = []

    def add(self, change: ChangeSet) -> None:
        """Add the next change."""
        if change:
            self.number += 1
            self.rows += change.rows(self.number, self.time)


class Recorder:
    """Adds to the history of a registry. All but `fault` and `kept` is for who holds the lock.

    devices: the file of the devices. kept: the number of the last change that is known to be kept. fault: why nothing
    can be added: then the registry goes on without.
    """

    def __init__(self, devices: Path) -> None:
        self._devices = devices
        self.kept = 0
        self.fault: str | None = None
        self._is_open = False
        self._number = 0  # of the last change that was read or written
        self._time = ""  # and its time
        self._end: End | None = None  # so far the history was read; None if it must be looked at in any case
        self._written: End | None = None  # by the batch that is not confirmed yet
        # How items were that others have changed, or this process while nothing could be added.
        self._before: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS_BY_NAME}
        self._beside = ThreadPoolExecutor(1, "history")

    def close(self) -> None:
        self._beside.shutdown()

    def note(self, before: Snapshot, after: Snapshot) -> None:
        """Remember how items were that were changed without a row of this process."""
        if self._is_open:
            for kind, old, new in zip(KINDS.values(), _tables(before), _tables(after), strict=True):
                for key, item in old.differences(new).items():
                    self._before[kind.name].setdefault(key, item)

    def batch(self) -> Batch:
        """For the changes that come next."""
        return Batch(self._number, now(self._time))

    def begin(self, batch: Batch) -> Callable[[], object]:
        """Begin to write the batch, and give what waits until it is durable. Raises StoreUnavailable."""
        return self._beside.submit(self.write, batch).result

    def write(self, batch: Batch) -> None:
        """Write the batch, and return when it is durable. Raises StoreUnavailable."""
        self._written = self._append(batch.rows, self._end)

    def confirm(self, batch: Batch, before: Snapshot, after: Snapshot) -> None:
        """What the batch tells is in the files now. before, after: the registry."""
        if self.fault:
            self.note(before, after)  # so it is told when the history is mended
        elif batch.rows:
            self._number = self.kept = batch.number
            self._time, self._end = batch.time, self._written

    def take_back(self, batch: Batch) -> None:
        """What the batch tells did not come to be. If that cannot be written, `reconcile` does it."""
        self._end = None
        with suppress(StoreUnavailable):
            self._append([row._replace(done=NOT_KEPT) for row in batch.rows], None)

    def reconcile(self, snapshot: Snapshot, kept: int) -> bool:
        """Hold the history against the registry. kept: the last change that others know to be kept. Return whether
        there is something new. Raises StoreUnavailable if a row cannot be added."""
        self.kept = max(self.kept, kept)
        if self._is_open and self._is_at_end() and not any(self._before.values()):
            return False
        known, self._end = self._end, None
        try:
            end, rows = self._news(known)
        except NotAdded:
            raise
        except StoreUnavailable as error:
            self._fail(str(error))
            rows, end = [], None
        else:
            self.fault = None
        number, time = max([self._number, *(row.change for row in rows)]), rows[-1].time if rows else self._time
        rows, gone = self._judged(rows, snapshot)
        if gone:
            log.warning("%s: a crash came before change %d was in place: it does not count.", self._devices, number)
            end = self._append([row._replace(done=NOT_KEPT) for row in gone], end)
        edits = self._edits(rows, snapshot) if self._is_open and not self.fault else ChangeSet()
        last = max([self.kept, *(row.change for row in rows)])
        if edits:
            number, time = max(number, self.kept) + 1, now(time)
            end = self._append(list(edits.rows(number, time)), end)
            last = number
        if not self.fault:
            for items in self._before.values():
                items.clear()
        self._is_open = True
        self._number, self._time, self._end = max(number, last), time, end
        is_new, self.kept = last > self.kept, last
        return is_new

    def _is_at_end(self) -> bool:
        """Whether nobody has added anything."""
        newest = month_path(self._devices, max(now(), self._time)[:7])
        try:
            if not self._end or (self._end.path != newest and newest.exists()):
                return not self._end and not self.fault and not month_paths(self._devices)
            return self._end == End.of(self._end.path, self._end.path.stat())
        except OSError:
            return False

    def _news(self, known: End | None) -> tuple[End | None, list[Row]]:
        """Where the history ends now, and what rows have come; when it is opened, those of the last commit. Raises
        StoreUnavailable if it cannot be read, and NotAdded."""
        rows: list[Row] = []  # the newest first
        end: End | None = None
        try:
            for path in reversed(month_paths(self._devices)):
                if not end and path.suffix != ".gz":
                    self._repair(path)
                with opened(path) as month:
                    found = End.of(path, path.stat())
                    begin = month.begin
                    if known and found.path == known.path and found.stamp[:2] == known.stamp[:2]:
                        begin = known.stamp[2]
                    end = end or found
                    if self._read_back(month, begin, rows) or begin > month.begin:
                        break
        except OSError as error:
            where = error.filename or self._devices.parent
            raise StoreUnavailable(f"{where} cannot be read or written: {error.strerror}.") from error
        return end, rows[::-1]

    def _read_back(self, month: Month, begin: int, rows: list[Row]) -> bool:
        """Read rows from the end on; return whether there was one that was known."""
        for line in month.lines_back(begin, month.end):
            if cells := decode(line):
                row = Row(int(cells[0]), *cells[1:])
                if row.change <= self._number if self._is_open else rows and row.time != rows[0].time:
                    return True
                rows.append(row)
        return False

    def _repair(self, path: Path) -> None:
        """End the last line of a file, if a crash has torn it. Raises OSError if the file cannot be opened, and
        NotAdded."""
        with open(path, "rb", opener=open_regular) as file:
            size = file.seek(0, os.SEEK_END)
            rest = os.pread(file.fileno(), MAX_ROW, max(0, size - MAX_ROW)).rpartition(b"\n")[2]
        os.close(open_regular(path, os.O_WRONLY))
        if rest:
            log.warning("%s: the last line is torn, as a crash leaves it: it does not count.", path)
            self._add(path, closing(rest), None)

    def _judged(self, rows: Sequence[Row], snapshot: Snapshot) -> tuple[list[Row], list[Row]]:
        """The rows that count, and those of the last commit that are not in the files and must be taken back."""
        gone_before = {row._replace(done="") for row in rows if row.done == NOT_KEPT}
        rows = [row for row in rows if row._replace(done="") not in gone_before]
        gone = set(not_kept(rows, self.kept, partial(_find, snapshot)))
        return [row for row in rows if row not in gone], [row for row in rows if row in gone]

    def _edits(self, rows: Sequence[Row], snapshot: Snapshot) -> ChangeSet:
        """What is in the files and no row explains."""
        if any(row.kind == REGISTRY for row in rows):
            return ChangeSet()
        told = _by_item(rows)
        changed = {(kind, key.replace(",", "/")) for kind, items in self._before.items() for key in items}
        steps = []
        for item in sorted(changed | told.keys()):
            found, format = _find(snapshot, item), KINDS_BY_NAME[item[0]].format
            before = self._before[item[0]].get(item[1].replace("/", ","), found)
            try:
                expected = _told(format, before, told.get(item, []))
            except Invalid:
                continue  # somebody has edited the history
            if expected != found:
                steps.append(Step(expected, found))
        edits = ChangeSet(sorted(steps, key=_order))
        edits.author = Author(FILE)
        return edits

    def _append(self, rows: Sequence[Row], end: End | None) -> End | None:
        """Add rows, all of them of one month, and return when they are durable. end: where the history must end now.
        Raises StoreUnavailable."""
        if self.fault or not rows:
            return end
        path = month_path(self._devices, rows[0].time[:7])
        if not path.exists():
            self._make(path)
        return self._add(path, b"".join(map(encode, rows)), end if end and end.path == path else None)

    def _add(self, path: Path, data: bytes, end: End | None) -> End | None:
        try:
            handle = open_regular(path, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            self._fail(f"{path} cannot be written: {error.strerror}.")
            return None
        try:
            with open(handle, "wb", buffering=0) as file:
                if end and End.of(path, os.fstat(handle)) != end:
                    raise StoreUnavailable(f"{path} was changed at the same moment. Nothing was changed; try again.")
                left = memoryview(data)
                while left:
                    left = left[file.write(left) :]
                durable_file.sync_file(file)
                return End.of(path, os.fstat(handle))
        except OSError as error:
            raise NotAdded(f"{path} cannot be written: {error.strerror}. Nothing was changed.") from error

    def _make(self, path: Path) -> None:
        """Make a file for a month, which those may read who may read the devices."""
        versions = durable_file.prepare({path: [HEADER]}, like=self._devices)
        try:
            durable_file.publish(versions)
        finally:
            durable_file.discard(versions)

    def _fail(self, words: str) -> None:
        fault = f"{words} Until that is mended, changes are made, but not recorded."
        if fault != self.fault:
            log.error("%s", fault)
        self.fault = fault


def not_kept(rows: Sequence[Row], kept: int, find: Callable[[Item], Any]) -> Iterator[Row]:
    """The rows of the last commit that tell of what is not in the files. rows: without those that were taken back.
    kept: the number of the last change that is known to be kept. find: gives an item of the files, None if there is
    none."""
    last = rows[-1].time if rows else ""
    for item, some in _by_item(row for row in rows if row.time == last and row.change > kept).items():
        found = find(item)
        if found is not _UNKNOWN and not _fits(found, some, "after") and _fits(found, some[::-1], "before"):
            yield from some


_UNKNOWN = object()  # in the place of an item of a kind that a snapshot does not have


def _tables(snapshot: Snapshot) -> tuple[Any, ...]:
    return snapshot[:3]


def _find(snapshot: Snapshot, item: Item) -> Any:
    """The item in a snapshot; None if there is none."""
    kind, id = item
    for each, table in zip(KINDS.values(), _tables(snapshot), strict=True):
        if each.name == kind:
            return table.get(id.replace("/", ","))
    return _UNKNOWN


def _by_item(rows: Iterable[Row]) -> dict[Item, list[Row]]:
    items: dict[Item, list[Row]] = {}
    for row in rows:
        items.setdefault((row.kind, row.id), []).append(row)
    return items


def _cells(format: Format[Any], item: Any) -> Cells | None:
    return dict(zip(format.columns, format.cells(item), strict=True)) if item else None


def _fits(found: Any, rows: Sequence[Row], side: str) -> bool:
    """Whether an item is as rows say that it was after them, or before them if they are given in reverse."""
    format = KINDS_BY_NAME[rows[0].kind].format
    line, cells = format.line(found) if found else "", _cells(format, found) or {}
    wanted: dict[str, str] = {}  # by column; that of the whole line is empty
    for row in rows:
        wanted = {**(wanted if row.column else {}), row.column: getattr(row, side)}
    if set(wanted) == {""}:
        return line == wanted[""]
    return bool(found) and all(cells.get(column) == cell for column, cell in wanted.items() if column)


def _told(format: Format[Any], item: Any, rows: Iterable[Row]) -> Any:
    """What rows have made of an item. Raises Invalid."""
    cells: dict[str, str] = {}  # that have changed: an item may be right only when it has all of them
    for row in rows:
        if row.column:
            cells[row.column] = row.after
        else:
            item, cells = format.from_line(row.after) if row.after else None, {}
    return format.replaced(item, cells) if item and cells else item


def _order(step: Step) -> int:
    """In which order steps can be done, and in reverse undone: memberships go first and come last."""
    is_membership = step.kind.name == "membership"
    if not step.after:
        return 0 if is_membership else 1
    return 3 if is_membership else 2
