"""The files of the history, one for each month, to read from any place: no file is ever in memory as a whole."""

import gzip
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import SEEK_END
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from devicesvc.csv_codec.format import MAX_LINE
from devicesvc.csv_codec.history import HEADER, Start, is_header, start_of
from devicesvc.dao.csv.file import companion_path
from devicesvc.errors import StoreUnavailable
from devicesvc.regular_file import open_regular

BLOCK = 1 << 18  # bytes that are read together
PIECE = 1 << 12  # and where only one line is wanted
MAX_ROW = 4 * MAX_LINE  # bytes; what is longer is not a row


def month_path(devices: Path, month: str) -> Path:
    """The file of the history for a month, such as 2026-11. devices: the file that they belong to."""
    return companion_path(devices, f"history-{month}")


def month_paths(devices: Path) -> list[Path]:
    """The files of the history that there are, the oldest first. Raises OSError."""
    before, after = re.escape(month_path(devices, "@").name).split("@")
    name = re.compile(rf"{before}(\d{{4}}-\d\d){after}(\.gz)?")
    found = [(match, path) for path in devices.parent.iterdir() if (match := name.fullmatch(path.name))]
    return [path for *_, path in sorted((match[1], not match[2], path) for match, path in found)]


def named_paths(devices: Path) -> list[Path]:
    """The files of the history for each month that any name in the folder has, such as that of a temporary file."""
    months = {match[1] for path in devices.parent.iterdir() if (match := re.search(r"history-(\d{4}-\d\d)", path.name))}
    paths = [month_path(devices, month) for month in sorted(months)]
    return [*paths, *(path.with_name(f"{path.name}.gz") for path in paths)]


def month_of(path: Path) -> str:
    """The month that a file is for, such as 2026-11."""
    months: list[str] = re.findall(r"\d{4}-\d\d", path.name)
    return months[-1]


class Month:
    """A file of the history, open to read. begin, end: the places, in bytes, of its first row and of its end."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._handle = file.fileno()
        self.end = file.seek(0, SEEK_END)
        header = os.pread(self._handle, 2 * len(HEADER), 0).partition(b"\n")[0] + b"\n"
        if not is_header(header):
            raise StoreUnavailable(f"{path} does not begin with the header {HEADER.decode().strip()}.")
        self.begin = len(header)

    def read(self, start: int, end: int) -> bytes:
        """The bytes between two places."""
        pieces = []
        while start < end and (data := os.pread(self._handle, end - start, start)):
            pieces.append(data)
            start += len(data)
        return b"".join(pieces)

    def lines(self, start: int, end: int, size: int = BLOCK) -> Iterator[tuple[int, bytes]]:
        """Each line from one place, where a line begins, to another, with its place."""
        rest = b""
        while data := self.read(start + len(rest), min(start + len(rest) + size, end)):
            *whole, rest = (rest + data).split(b"\n")
            if len(rest) > MAX_ROW:
                whole, rest = [*whole, rest[:-1]], b""
            for line in whole:
                yield start, line + b"\n"
                start += len(line) + 1
        if rest:
            yield start, rest

    def blocks_back(self, begin: int, end: int) -> Iterator[bytes]:
        """The lines between two places, in blocks of whole lines, the last one first."""
        while end > begin:
            size, block = BLOCK, b""
            while not block:
                start = max(begin, end - size)
                data = self.read(start, end)
                cut = data.find(b"\n") + 1 if start > begin else 0
                if cut or start == begin or size > MAX_ROW:
                    block = data[cut:]
                if size > MAX_ROW:
                    block = block or data
                size *= 2
            yield block
            end -= len(block)

    def lines_back(self, begin: int, end: int, *needles: bytes) -> Iterator[bytes]:
        """The lines between two places in which one of these is, or all if there are none, the last one first."""
        wanted = needles or (b"",)
        for block in self.blocks_back(begin, end):
            if any(needle in block for needle in wanted):
                lines = block.split(b"\n")
                rest = lines.pop()  # of a line without end
                if rest:
                    yield rest
                for line in reversed(lines):
                    if any(needle in line for needle in wanted):
                        yield line + b"\n"

    def place(self, is_before: Callable[[Start], bool]) -> int:
        """The place of the first row that is not before what is looked for; `end` if all are."""
        low, high, found = self.begin, self.end, self.end
        while low < high:
            middle = (low + high) // 2
            lines = ((place, line) for place, line in self._lines_from(middle, high) if start_of(line))
            place, line = next(lines, (high, b""))
            if not (start := start_of(line)):
                high = middle
            elif is_before(start):
                low = place + len(line)
            else:
                found, high = place, middle
        return found

    def _lines_from(self, place: int, end: int) -> Iterator[tuple[int, bytes]]:
        """The lines that begin at this place or after it."""
        if place <= self.begin:
            return self.lines(self.begin, self.end, PIECE)
        found = self.lines(place - 1, self.end, PIECE)
        next(found)  # the end of the line before
        return takewhile(lambda each: each[0] < end, found)

    def first(self) -> Start | None:
        """How the first row starts."""
        return next((start for _, line in self.lines(self.begin, self.end, PIECE) if (start := start_of(line))), None)


@contextmanager
def opened(path: Path) -> Iterator[Month]:
    """Open a file of the history to read; one that is compressed is unpacked for that, into a file without a name.
    Raises StoreUnavailable."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            if path.suffix != ".gz":
                yield Month(path, file)
                return
            with TemporaryFile() as unpacked, gzip.open(file) as packed:
                shutil.copyfileobj(packed, unpacked, BLOCK)
                unpacked.flush()
                yield Month(path, unpacked)
    except (OSError, EOFError, zlib.error) as error:
        raise StoreUnavailable(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def last_commit(devices: Path) -> Iterator[bytes]:
    """The lines of the history beside a file from its end on, up to those with another time than the last one. Raises
    OSError, StoreUnavailable."""
    last = last_start(devices)
    for path in reversed(month_paths(devices)):
        with opened(path) as month:
            for line in month.lines_back(month.begin, month.end):
                start = start_of(line)
                if start and start.time != last.time:
                    return
                yield line


def last_start(devices: Path) -> Start:
    """How the last row of the history beside a file starts; its number is 0 if there is none. Raises OSError."""
    for path in reversed(month_paths(devices)):
        with suppress(StoreUnavailable), opened(path) as month:
            for line in month.lines_back(month.begin, month.end):
                if start := start_of(line):
                    return start
    return Start(0, "")
