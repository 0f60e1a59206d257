"""CSV files to read from, in one state: taken under the lock of the store, then read without it."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from devicesvc.dao import csv_format, csv_store, durable_file
from devicesvc.dao.csv_lines import MAX_LINE, Fault, Format
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Membership

from .plain_lines import Batch, plain
from .source import BadRow, Rows, Source, Unreadable, batch_of, loose, row_of

T = TypeVar("T")

CHUNK = 1 << 18  # bytes of a file that are checked together
PATIENCE = 5.0  # seconds to wait for the lock of the files

_BOM = b"\xef\xbb\xbf"
_BAD_LINE = 2  # where it is in the file that is made to have one line judged: under the header


class _File(Generic[T]):
    """A CSV file that was opened; there may be none."""

    def __init__(self, path: Path, shown: str, format: Format[T], file: BinaryIO | None) -> None:
        self.path = path
        self.shown = shown
        self.format = format
        self.file = file
        self.header = b""
        self.stamp = durable_file.Version(file).stamp if file else ()
        self.size = os.fstat(file.fileno()).st_size if file else 0

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Whole lines of the file after its header, and the number of the first. Raises Unreadable where the header is
        wrong."""
        if not self.file:
            return
        number, line = 1, self.file.readline(MAX_LINE + 1).removeprefix(_BOM)
        while line and not line.rstrip(b"\r\n"):
            number, line = number + 1, self.file.readline(MAX_LINE + 1)
        for fault in self.format.read(io.BytesIO(line), {}).faults:
            raise Unreadable(f"{self.shown}, {fault._replace(line=number if line else 1)}.")
        self.header = line
        number += 1
        while data := self.file.read(CHUNK):
            if not data.endswith(b"\n"):
                data += self.file.readline(MAX_LINE + 1)
            yield number, data
            number += data.count(b"\n")

    def item(self, number: int, raw: bytes, rejected: Callable[[BadRow], None]) -> T | None:
        """What a line holds; None where it is empty, or bad. Raises Unreadable where it is too long to go on after."""
        if len(raw) > MAX_LINE:
            raw = raw[: MAX_LINE + 1]
        table = self.format.read(io.BytesIO(self.header + raw), {})
        if len(raw) > MAX_LINE:
            raise Unreadable(f"{self.shown}, {table.faults[0]._replace(line=number)}.")
        if table.faults:
            self.reject(number, raw, table.faults, rejected)
        for row in table.rows.values():
            return row.item
        return None

    def reject(self, number: int, raw: bytes, faults: Sequence[Fault], rejected: Callable[[BadRow], None]) -> None:
        text = raw.decode(errors="backslashreplace").removesuffix("\n").removesuffix("\r")
        reason = "; ".join(str(fault._replace(line=number)) for fault in faults)
        rejected(BadRow(self.shown, number, reason, text))


class CsvSource(Source):
    """The CSV files of a registry, as they were at one moment: the service replaces them, and never writes in place.

    check: whether to look for what comes twice or refers to nothing; what was just checked need not be again.
    """

    def __init__(self, path: Path, *, check: bool = True, files: Sequence[BinaryIO | None] | None = None) -> None:
        super().__init__()
        self.shown = str(path)
        self._check = check
        target = path.resolve()
        all_paths = target, csv_store.beside(target, "group"), csv_store.beside(target, "device_group")
        opened = files if files is not None else self._open_files(path, all_paths)
        self._devices = _File(all_paths[0], self.shown, csv_format.DEVICES, opened[0])
        self._groups = _File(all_paths[1], str(path.with_name(all_paths[1].name)), csv_format.GROUPS, opened[1])
        self._memberships = _File(
            all_paths[2], str(path.with_name(all_paths[2].name)), csv_format.MEMBERSHIPS, opened[2]
        )
        self._files: tuple[_File[Any], ...] = self._devices, self._groups, self._memberships
        self.total = sum(each.size for each in self._files)

    def _open_files(self, path: Path, all_paths: Sequence[Path]) -> list[BinaryIO | None]:
        """Open the files between two changes of the service."""
        if not path.is_file():
            raise StoreUnavailable(f"There is no file {path}." if not path.exists() else f"{path} is no file.")
        opened: list[BinaryIO | None] = []
        with ExitStack() as lock:
            if os.access(all_paths[0].parent, os.W_OK):  # else no service can change them either
                lock.enter_context(durable_file.locked(all_paths[0], PATIENCE))
            for each in all_paths:
                try:
                    opened.append(self._open.enter_context(each.open("rb")))
                except FileNotFoundError:
                    opened.append(None)
                except OSError as error:
                    raise StoreUnavailable(f"{each} cannot be read: {error.strerror}.") from error
        self.taken = datetime.now()
        return opened

    def paths(self) -> list[Path]:
        return [each.path for each in self._files]

    def has_changed(self) -> bool:
        for each in self._files:
            try:
                with each.path.open("rb") as file:
                    now = durable_file.Version(file).stamp
            except OSError:
                now = ()
            if now != each.stamp:
                return True
        return False

    def devices(self) -> Iterator[Batch]:
        known = self.known.devices
        for number, data in self._devices.chunks():
            batch = plain(data) if self._devices.header == csv_format.DEVICES.header else None
            if batch and self._check:
                ids = [row[0] for row in batch.devices]
                if len(set(ids)) == len(ids) and known.keys().isdisjoint(ids):
                    known.update(zip(ids, range(number, number + len(ids)), strict=True))
                else:
                    batch = None
            yield batch or self._one_by_one(number, data)
            self.done += len(data)

    def _one_by_one(self, number: int, data: bytes) -> Batch:
        is_plain = self._devices.header == csv_format.DEVICES.header
        found = Batch([], [])
        for at, raw in enumerate(io.BytesIO(data), number):
            one = plain(raw) if is_plain else None
            if not one:
                device = self._devices.item(at, raw, self.rejected)
                if not device:
                    continue
                one = batch_of([device])
            id = one.devices[0][0]
            if self._check and self._is_twice(self._devices, at, raw, "id", id, self.known.devices):
                continue
            found.devices.extend(one.devices)
            found.nics.extend(one.nics)
        return found

    def groups(self) -> Iterator[Rows]:
        for number, data in self._groups.chunks():
            rows: Rows = []
            for at, raw in enumerate(io.BytesIO(data), number):
                group = self._groups.item(at, raw, self.rejected)
                if not group:
                    continue
                known = self.known.groups, self.known.group_names
                if self._check and (
                    self._is_twice(self._groups, at, raw, "id", group.id, known[0], note=False)
                    or self._is_twice(self._groups, at, raw, "name", group.name, known[1])
                ):
                    continue
                known[0][group.id] = at
                rows.append(row_of(group))
            yield rows
            self.done += len(data)

    def memberships(self) -> Iterator[Rows]:
        for number, data in self._memberships.chunks():
            rows: Rows = []
            for at, raw in enumerate(io.BytesIO(data), number):
                each = self._memberships.item(at, raw, self.rejected)
                if each and (not self._check or self._is_good(at, raw, each)):
                    rows.append((each.device_id, each.group_id))
            yield rows
            self.done += len(data)

    def _is_good(self, number: int, raw: bytes, each: Membership) -> bool:
        if faults := loose(self.known, each):
            found = [Fault(number, column, rule) for column, rule in faults.items()]
            self._memberships.reject(number, raw, found, self.rejected)
            return False
        key: str = csv_format.MEMBERSHIPS.key(each)
        known = self.known.memberships
        return not self._is_twice(self._memberships, number, raw, "device_id", key, known)

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
