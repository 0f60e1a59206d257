"""The files of a history that is on its way: read byte by byte or row by row, and written."""

import gzip
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing as closing_it
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from devicesvc.csv_codec.format import Fault
from devicesvc.csv_codec.history import HEADER, closing, decode, encode, is_header, is_torn
from devicesvc.dao.csv.months import MAX_ROW, last_commit, month_of, month_path
from devicesvc.dao.history import NOT_KEPT, REGISTRY, Row
from devicesvc.dao.lock_file import CommitCounter
from devicesvc.errors import StoreUnavailable
from devicesvc.transfer.history import FILES, HISTORY, Piece, faults_of, numbered
from devicesvc.transfer.source import BadRow, Chunk

PIECE = 1 << 18  # bytes that are copied together
ROWS = 5_000  # that are given together

_GZ = ".gz"


class Month(NamedTuple):
    """An open file of a history. label: what to call it in messages. name: as in Piece. size: how many of its bytes
    count: a service adds more at its end."""

    label: str
    name: str
    file: BinaryIO
    size: int

    @classmethod
    def of(cls, path: Path, label: str, file: BinaryIO) -> "Month":
        """An open file, as it is now."""
        return cls(label, month_of(path) + (_GZ if path.suffix == _GZ else ""), file, os.fstat(file.fileno()).st_size)

    @staticmethod
    def path(devices: Path, name: str) -> Path:
        """Where the file of this name lies, beside that of the devices."""
        path = month_path(devices, name.removesuffix(_GZ))
        return path.with_name(path.name + _GZ) if name.endswith(_GZ) else path

    def pieces(self) -> Iterator[Piece]:
        """All bytes of the file."""
        start = 0
        self.file.seek(0)
        while data := self.file.read(min(PIECE, self.size - start)):
            yield Piece(self.name, start, data)
            start += len(data)

    def lines(self) -> Iterator[bytes]:
        """The lines of the file; one that is too long for a row comes in parts. Raises OSError, EOFError and zlib.error
        if a file that is compressed is damaged."""
        self.file.seek(0)
        if self.name.endswith(_GZ):
            with gzip.open(self.file) as unpacked:
                while line := unpacked.readline(MAX_ROW):
                    yield line
            return
        left = self.size
        while line := self.file.readline(min(MAX_ROW, left)):
            yield line
            left -= len(line)


def chunks_of_files(months: Iterable[Month]) -> Iterator[Chunk]:
    """The files as they are."""
    return (Chunk(FILES, [piece]) for month in months for piece in month.pieces())


def chunks_of_rows(rows: Iterable[Row]) -> Iterator[Chunk]:
    """The rows, as a database has them."""
    given = numbered(rows)
    while some := list(islice(given, ROWS)):
        yield Chunk(HISTORY.table, some)


def in_doubt(devices: Path) -> list[Row]:
    """The rows of the last commit, if nobody knows that it was kept: perhaps a crash came before it was in the files.
    The caller holds the lock. Raises OSError."""
    with suppress(StoreUnavailable), closing_it(CommitCounter(devices)) as commits:
        commits.follow()
        some = [row for row in map(_row, last_commit(devices)) if row and row.change > commits.kept()]
        gone = {row._replace(done="") for row in some if row.done == NOT_KEPT}
        return [row for row in reversed(some) if row.kind != REGISTRY and row._replace(done="") not in gone]
    return []


def rows(months: Iterable[Month], skipped: Callable[[BadRow], None]) -> Iterator[Row]:
    """The rows of the files, without those that were not kept. skipped: is given each line that is not a row."""
    months = list(months)
    taken_back = {row._replace(done="") for row in _all_rows(months, lambda _bad: None) if row.done == NOT_KEPT}
    for row in _all_rows(months, skipped):
        if not taken_back or row._replace(done="") not in taken_back:
            yield row


def _all_rows(months: Iterable[Month], skipped: Callable[[BadRow], None]) -> Iterator[Row]:
    last = 0
    for month in months:
        number = 0
        try:
            for number, line in enumerate(month.lines(), 1):
                if number == 1 and is_header(line):
                    continue
                row = _row(line)
                if not row and is_torn(line):
                    continue  # what a crash has left tells of nothing that has come to be
                faults = faults_of(row) if row else {"": "is not a row of the history"}
                if row and row.change < last:
                    faults["change"] = f"must not be less than {last}, as in the row before"
                if faults:
                    reason = "; ".join(str(Fault(number, column, rule)) for column, rule in faults.items())
                    raw = line.decode(errors="backslashreplace").rstrip("\r\n")
                    skipped(BadRow(month.label, number, reason, raw))
                elif row:
                    last = row.change
                    yield row
        except (OSError, EOFError, zlib.error) as error:
            why = getattr(error, "strerror", None) or error
            skipped(BadRow(month.label, number, f"what follows line {number} cannot be read: {why}", ""))


def _row(line: bytes) -> Row | None:
    cells = decode(line)
    return Row(int(cells[0]), *cells[1:]) if cells else None


class Writer:
    """Turns chunks into the content of files. raw: by file, how many of its bytes were copied as they are. last_change:
    the number of the last row that was not copied."""

    def __init__(self) -> None:
        self.raw: dict[str, int] = {}
        self.last_change = 0
        self._month = ""  # the rows of a month never come after those of a later one
        self._rest = b""  # of a line that a crash has torn

    def files(self, chunks: Iterable[Chunk]) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The name of each file, as in Piece, and its content, which is to be taken before the next file."""
        for name, pieces in groupby(self._pieces(chunks), key=lambda piece: piece[0]):
            yield name, (data for _, data in pieces)

    def _pieces(self, chunks: Iterable[Chunk]) -> Iterator[tuple[str, bytes]]:
        name = ""
        for table, some in chunks:
            if table == FILES:
                for piece in some:
                    name, self._month = piece.name, piece.name.removesuffix(_GZ)
                    self.raw[name] = piece.start + len(piece.data)
                    begun, newline, rest = piece.data.rpartition(b"\n")
                    self._rest = rest if newline or not piece.start else self._rest + begun + rest
                    yield name, piece.data
                continue
            self.last_change = some[-1].number if some else self.last_change
            for month, of_month in groupby(some, key=self._month_of):
                before, name = name, month
                if name != before:
                    yield name, HEADER
                elif self._rest:
                    yield name, closing(self._rest)
                self._rest = b""
                yield name, b"".join(encode(HISTORY.from_row(row)) for row in of_month)

    def _month_of(self, row: Any) -> str:
        self._month = max(self._month, row.time[: len("2026-11")])
        return self._month

    def written(self, files: Mapping[str, BinaryIO]) -> Iterator[Chunk]:
        """What was written, as it was given. files: by name."""
        copied = [Month("", name, files[name], size) for name, size in self.raw.items()]
        yield from chunks_of_files(copied)
        yield from chunks_of_rows(row for name, file in files.items() for row in self._rows(name, file))

    def _rows(self, name: str, file: BinaryIO) -> Iterator[Row]:
        """The rows that were added to what was copied."""
        if name not in self.raw or self.raw[name] < os.fstat(file.fileno()).st_size:
            file.seek(self.raw.get(name, 0))
            yield from filter(None, map(_row, file))
