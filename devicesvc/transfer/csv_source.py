"""CSV files to read from, in one snapshot: opened under the lock of the store, then read without it."""

import io
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from devicesvc.columns import GROUP, MEMBERSHIP
from devicesvc.csv_codec.format import MAX_LINE, Fault, Format
from devicesvc.csv_codec.formats import DEVICE_CSV, GROUP_CSV, MEMBERSHIP_CSV
from devicesvc.dao import durable_file
from devicesvc.dao.csv.file import journal_path, locked_registry, registry_paths
from devicesvc.dao.csv.months import last_start, month_paths
from devicesvc.dao.csv.recording import not_kept
from devicesvc.dao.history import KINDS, NOT_KEPT, Row
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Membership
from devicesvc.regular_file import open_regular
from devicesvc.transfer.csv_history import Month, chunks_of_files, chunks_of_rows, in_doubt, rows
from devicesvc.transfer.plain_rows import plain
from devicesvc.transfer.source import BadRow, Chunk, DeviceRows, Source, Unreadable

T = TypeVar("T")

CHUNK = 1 << 18  # bytes of a file that are checked together
PATIENCE = 5.0  # seconds to wait for the lock of the files

_BOM = b"\xef\xbb\xbf"


class _File(Generic[T]):
    """An open CSV file; there may be none. reject: is given each bad row."""

    def __init__(self, path: Path, label: str, format: Format[T], file: BinaryIO | None) -> None:
        self.path = path
        self.label = label
        self.format = format
        self.file = file
        self.header = b""
        self.stamp = durable_file.Version(file).stamp if file else ()
        self.size = os.fstat(file.fileno()).st_size if file else 0

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Whole lines of the file after its header, and the number of the first. Raises Unreadable if the header is
        wrong."""
        if not self.file:
            return
        number, line = 1, self.file.readline(MAX_LINE + 1).removeprefix(_BOM)
        while line and not line.rstrip(b"\r\n"):
            number, line = number + 1, self.file.readline(MAX_LINE + 1)
        for fault in self.format.read(io.BytesIO(line), {}).faults:
            raise Unreadable(f"{self.label}, {fault._replace(line=number if line else 1)}.")
        self.header = line
        number += 1
        while data := self.file.read(CHUNK):
            if not data.endswith(b"\n"):
                data += self.file.readline(MAX_LINE + 1)
            yield number, data
            number += data.count(b"\n")

    def item(self, number: int, raw: bytes, rejected: Callable[[BadRow], None]) -> T | None:
        """What a line holds; None if it is empty, or bad. Raises Unreadable if it is too long to go on after it."""
        if len(raw) > MAX_LINE:
            raw = raw[: MAX_LINE + 1]
        parsed = self.format.read(io.BytesIO(self.header + raw), {})
        if len(raw) > MAX_LINE:
            raise Unreadable(f"{self.label}, {parsed.faults[0]._replace(line=number)}.")
        if parsed.faults:
            self.reject(number, raw, parsed.faults, rejected)
        for record in parsed.records.values():
            return record.item
        return None

    def reject(self, number: int, raw: bytes, faults: Sequence[Fault], rejected: Callable[[BadRow], None]) -> None:
        text = raw.decode(errors="backslashreplace").removesuffix("\n").removesuffix("\r")
        reason = "; ".join(str(fault._replace(line=number)) for fault in faults)
        rejected(BadRow(self.label, number, reason, text))


class CsvSource(Source):
    """The CSV files of a registry, as they were at one moment: the service replaces them, and never writes in place.

    check: whether to look for what comes twice or is orphaned. files: those to read, in the order of registry_paths, if
    not those that the URL names; then there is no history.
    """

    def __init__(self, url: StoreUrl, *, check: bool = True, files: Sequence[BinaryIO | None] | None = None) -> None:
        super().__init__()
        path = url.path
        self.label = str(path)
        self._check = check
        self._months: list[Month] = []
        self._in_doubt: list[Row] = []
        paths = registry_paths(path.resolve())
        opened = files if files is not None else self._open_files(path, paths)
        labels = [self.label, *(str(path.with_name(each.name)) for each in paths[1:])]
        self._device_file = _File(paths[0], labels[0], DEVICE_CSV, opened[0])
        self._group_file = _File(paths[1], labels[1], GROUP_CSV, opened[1])
        self._membership_file = _File(paths[2], labels[2], MEMBERSHIP_CSV, opened[2])
        self._files: tuple[_File[Any], ...] = self._device_file, self._group_file, self._membership_file
        self.total = sum(each.size for each in self._files) + sum(each.size for each in self._months)

    def _open_files(self, path: Path, paths: Sequence[Path]) -> list[BinaryIO | None]:
        """Open the files between two changes of the service."""
        if not path.is_file():
            raise StoreUnavailable(f"There is no file {path}." if not path.exists() else f"{path} is not a file.")
        opened: list[BinaryIO | None] = []
        with ExitStack() as lock:
            if os.access(paths[0].parent, os.W_OK):  # else no service can change them either
                lock.enter_context(locked_registry(paths[0], PATIENCE))
            elif journal_path(paths[0]).exists():
                raise StoreUnavailable(
                    f"{path} is not complete: devicesvc migrate was interrupted while it replaced it."
                )
            for each in paths:
                opened.append(self._open_file(each) if each.exists() else None)
            for each in month_paths(paths[0]):
                self._months.append(Month.of(each, str(path.with_name(each.name)), self._open_file(each)))
            self.last_change, self.last_time = last_start(paths[0])
            self._in_doubt = in_doubt(paths[0])
        self.taken = datetime.now()
        return opened

    def _open_file(self, path: Path) -> BinaryIO:
        try:
            return self._open.enter_context(open(path, "rb", opener=open_regular))
        except OSError as error:
            raise StoreUnavailable(f"{path} cannot be read: {error.strerror}.") from error

    def paths(self) -> list[Path]:
        return [*(each.path for each in self._files), *(Path(each.label).resolve() for each in self._months)]

    def history(self, *, for_files: bool) -> Iterator[Chunk]:
        gone: Collection[Row] = self._not_kept()
        if for_files:
            for chunk in chunks_of_files(self._months):
                self.done += sum(len(piece.data) for piece in chunk.rows)
                yield chunk
            yield from chunks_of_rows(row._replace(done=NOT_KEPT) for row in gone)
        else:
            gone = {*gone}
            yield from chunks_of_rows(row for row in rows(self._months, self.skipped) if row not in gone)

    def _not_kept(self) -> list[Row]:
        """The rows of the last commit that tell of what a crash has kept from the files."""
        wanted = {(row.kind, row.id.replace("/", ",")) for row in self._in_doubt}
        items: dict[tuple[str, str], Any] = {}
        for kind, each in zip(KINDS.values(), self._files, strict=True):
            if each.file and any(name == kind.name for name, _ in wanted):
                each.file.seek(0)
                found = each.format.records(each.file, {}, [])
                items |= {(kind.name, key): record.item for key, record in found if (kind.name, key) in wanted}
        return list(not_kept(self._in_doubt, 0, lambda item: items.get((item[0], item[1].replace("/", ",")))))

    def has_changed(self) -> bool:
        for each in self._files:
            try:
                with open(each.path, "rb", opener=open_regular) as file:
                    now = durable_file.Version(file).stamp
            except OSError:
                now = ()
            if now != each.stamp:
                return True
        return False

    def _devices(self) -> Iterator[Chunk]:
        known = self.known.devices
        for number, data in self._device_file.chunks():
            rows = plain(data) if self._device_file.header == DEVICE_CSV.header else None
            if rows and self._check:
                ids = [row.id for row in rows.devices]
                if len(set(ids)) == len(ids) and known.keys().isdisjoint(ids):
                    known.update(zip(ids, range(number, number + len(ids)), strict=True))
                else:
                    rows = None
            yield from (rows or self._one_by_one(number, data)).chunks()
            self.done += len(data)

    def _one_by_one(self, number: int, data: bytes) -> DeviceRows:
        is_plain = self._device_file.header == DEVICE_CSV.header
        found = DeviceRows([], [])
        for at, raw in enumerate(io.BytesIO(data), number):
            one = plain(raw) if is_plain else None
            if not one:
                device = self._device_file.item(at, raw, self.rejected)
                if not device:
                    continue
                one = DeviceRows.of([device])
            id = one.devices[0].id
            if self._check and self._is_twice(self._device_file, at, raw, "id", id, self.known.devices):
                continue
            found.devices.extend(one.devices)
            found.nics.extend(one.nics)
        return found

    def _groups(self) -> Iterator[Chunk]:
        for number, data in self._group_file.chunks():
            rows = []
            for at, raw in enumerate(io.BytesIO(data), number):
                group = self._group_file.item(at, raw, self.rejected)
                if not group:
                    continue
                known = self.known.groups, self.known.group_names
                if self._check and (
                    self._is_twice(self._group_file, at, raw, "id", group.id, known[0], note=False)
                    or self._is_twice(self._group_file, at, raw, "name", group.name, known[1])
                ):
                    continue
                known[0][group.id] = at
                rows.append(GROUP.to_row(group))
            yield Chunk(GROUP.table, rows)
            self.done += len(data)

    def _memberships(self) -> Iterator[Chunk]:
        for number, data in self._membership_file.chunks():
            rows = []
            for at, raw in enumerate(io.BytesIO(data), number):
                each = self._membership_file.item(at, raw, self.rejected)
                if each and (not self._check or self._is_good(at, raw, each)):
                    rows.append(MEMBERSHIP.to_row(each))
            yield Chunk(MEMBERSHIP.table, rows)
            self.done += len(data)

    def _is_good(self, number: int, raw: bytes, each: Membership) -> bool:
        if faults := self.known.orphaned(each):
            found = [Fault(number, column, rule) for column, rule in faults.items()]
            self._membership_file.reject(number, raw, found, self.rejected)
            return False
        key = MEMBERSHIP_CSV.key(each)
        return not self._is_twice(self._membership_file, number, raw, "device_id", key, self.known.memberships)

    def _is_twice(
        self,
        file: _File[Any],
        number: int,
        raw: bytes,
        column: str,
        value: str,
        known: dict[str, int],
        *,
        note: bool = True,
    ) -> bool:
        first = known.get(value)
        if first is not None:
            rule = f"must be unique; {value!r} is on line {first} too"
            file.reject(number, raw, [Fault(number, column, rule)], self.rejected)
        elif note:
            known[value] = number
        return first is not None
