"""CSV files, read and written line by line: an item to a line, and a file back to items (RFC 4180).

An item is one line, because no field may hold a line break. So a fault has the number of the line that an editor shows,
and no line makes the reader take more memory than MAX_LINE.
"""

import csv
import io
import sys
from collections import namedtuple
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar

from devicesvc.columns import Column
from devicesvc.errors import Invalid

T = TypeVar("T")

MAX_LINE = 65_536  # bytes; a device with the longest fields takes some 10,000
CHUNK = 1 << 18  # bytes that are read together, and the rest of the last line

_WHOLE_LINE = ""  # as the column of a fault
_IS_SQLITE = "is that of an SQLite file: put sqlite:/// before its path"
_NOT_UTF_8 = "is not UTF-8: save the file in UTF-8; in Excel, choose the file type CSV UTF-8, not CSV"


class Fault(NamedTuple):
    """A rule that a line breaks, in a column or, if the column is empty, as a whole."""

    line: int
    column: str
    rule: str

    @property
    def place(self) -> str:
        return f"line {self.line}, column {self.column}" if self.column else f"line {self.line}"

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}" if self.column else f"{self.place} {self.rule}"


class Record(NamedTuple, Generic[T]):
    """An item, and its line as `Format.encode` makes it."""

    item: T
    line: bytes


class ParsedFile(NamedTuple, Generic[T]):
    """What a file holds: its records by key, in its order, and its faults."""

    records: dict[str, Record[T]]
    faults: list[Fault]


class _Header(NamedTuple):
    """The header of a file. cells: the names in it. in_order: whether they are those of the format, in its order.
    pick: gets the cells of a row in the order of the format."""

    cells: list[str]
    in_order: bool
    pick: Callable[[list[str]], Iterable[str]]


class Format(Generic[T]):
    """The CSV form of an entity.

    columns: in the order of writing. from_cells: makes an item of an object that has the cells of a row as attributes,
    by the names of the columns; raises Invalid, which names every column at fault. unique: what no two rows may share,
    by the column that is at fault if they do; the first of them is the key of a row. indexes: what items are looked up
    and sorted by: the values that an item has, no two of them the same. plain: the items of those lines of which it is
    sure, by line, as `read` makes them of lines that `encode` wrote; the others are read one by one.
    """

    def __init__(
        self,
        columns: Iterable[Column],
        from_cells: Callable[[Any], T],
        unique: Mapping[str, Callable[[T], str]],
        indexes: Mapping[str, Callable[[T], Collection[str]]],
        plain: Callable[[Iterable[bytes]], Mapping[bytes, T]] = lambda _lines: {},
    ) -> None:
        self._defaults = {column.name: column.default for column in columns}
        self.columns = list(self._defaults)
        self.header = f"{','.join(self.columns)}\n".encode()
        self.unique = unique
        self.indexes = indexes
        self.plain = plain
        self.key = next(iter(unique.values()))
        self._reads = [column.read for column in columns]
        self._from_cells = from_cells
        self._cells: Any = namedtuple("Cells", self.columns)  # type: ignore[misc]

    def cells(self, item: T) -> list[str]:
        """The cells of an item, in the order of the columns."""
        return [read(item) for read in self._reads]

    def line(self, item: T) -> str:
        """An item as a line of text, without the line break."""
        return self.encode(item).decode().removesuffix("\n")

    def from_line(self, line: str) -> T:
        """The item of a line that `line` gave, maybe that of an older version, which had fewer columns. Raises
        Invalid."""
        cells = _split(f"{line}\n".encode(), first=False)
        missing = list(self._defaults.values())[len(cells) :]
        if None in missing or len(cells) > len(self.columns):
            raise Invalid({_WHOLE_LINE: f"must have {len(self.columns)} cells, not {len(cells)}"})
        return self._from_cells(self._cells._make([*cells, *missing]))

    def replaced(self, item: T, cells: Mapping[str, str]) -> T:
        """The item with other cells in these columns. Raises Invalid."""
        return self._from_cells(self._cells._make(self.cells(item))._replace(**cells))

    def encode(self, item: T) -> bytes:
        """Write an item as a line. It is read back and compared, so lines can be joined without a doubt. Raises Invalid
        if it does not read back the same."""
        cells = self.cells(item)
        line = ",".join(cells)
        if '"' in line or line.count(",") >= len(cells):
            text = io.StringIO()
            csv.writer(text, lineterminator="").writerow(cells)
            line = text.getvalue()
        raw = f"{line}\n".encode()
        if b"\n" in raw[:-1] or _split(raw, first=False) != cells:
            raise Invalid({self.key(item): "cannot be written so that it reads back the same"})
        return raw

    def read(self, file: BinaryIO, known: Mapping[bytes, T], max_faults: int = sys.maxsize) -> ParsedFile[T]:
        """Read a file. The columns may come in any order, and those with a default may be missing; a byte order mark,
        CRLF and empty lines are accepted.

        known: items by their lines, which need not be parsed again. max_faults: reading stops after so many faults. If
        rows share what must be unique, the first counts.
        """
        faults: list[Fault] = []
        return ParsedFile(dict(self.records(file, known, faults, max_faults)), faults)

    def records(
        self, file: BinaryIO, known: Mapping[bytes, T], faults: list[Fault], max_faults: int = sys.maxsize
    ) -> Iterator[tuple[str, Record[T]]]:
        """As `read`, record by record, each with its key: so nobody needs to keep all lines. Faults are added to
        `faults`."""
        header: _Header | None = None
        found_on: dict[str, dict[str, int]] = {column: {} for column in self.unique}
        for number, raw, item in self._lines(file, known):
            try:
                if item and header and header.in_order:
                    record = Record(item, raw)
                elif not (cells := _split(raw, first=number == 1)):
                    continue
                elif not header:
                    header = self._read_header(cells)
                    continue
                else:
                    item = self._item(header, cells)
                    record = Record(item, self.encode(item))
                for column, lines in found_on.items():
                    value = self.unique[column](record.item)
                    if lines.setdefault(value, number) != number:
                        raise Invalid({column: f"must be unique; {value!r} is on line {lines[value]} too"})
            except Invalid as error:
                faults.extend(Fault(number, column, rule) for column, rule in error.errors.items())
                if not header or len(raw) > MAX_LINE or len(faults) >= max_faults:
                    return
                continue
            yield self.key(record.item), record
        if not header:
            rule = f"must be the header {','.join(self.columns)}; the file is empty"
            faults.append(Fault(1, _WHOLE_LINE, rule))

    def _lines(self, file: BinaryIO, known: Mapping[bytes, T]) -> Iterator[tuple[int, bytes, T | None]]:
        """Each line with its number, and its item if that is known or can be told at once."""
        number = 0
        while data := file.read(CHUNK):
            if not data.endswith(b"\n"):
                data += file.readline(MAX_LINE + 1)
            lines = io.BytesIO(data).readlines()
            plain = self.plain(raw for raw in lines if raw not in known)
            for raw in lines:
                number += 1
                yield number, raw, known.get(raw) or plain.get(raw)

    def _read_header(self, cells: list[str]) -> _Header:
        missing = [name for name, default in self._defaults.items() if default is None and name not in cells]
        unknown = [cell for cell in cells if cell not in self._defaults]
        if nameless := [number for number, cell in enumerate(cells, 1) if not cell]:
            others = f" ({len(nameless) - 1} more columns have none)" if len(nameless) > 1 else ""
            remedy = f"missing: {', '.join(missing)}" if missing else "delete the column if it is empty"
            raise Invalid({str(nameless[0]): f"has no name in the header{others}; {remedy}"})
        if len(cells) == 1 and ";" in cells[0]:
            raise Invalid({_WHOLE_LINE: "has its cells separated by ';': save the file with ',' between them"})
        if missing or unknown or len(set(cells)) < len(cells):
            words = f" (missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'})"
            raise Invalid({_WHOLE_LINE: f"must be the header {','.join(self.columns)}{words}"})
        absent = {name: default for name, default in self._defaults.items() if name not in cells}
        names, defaults = [*cells, *absent], [str(default) for default in absent.values()]
        places = [names.index(column) for column in self.columns]

        def pick(row: list[str]) -> Iterable[str]:
            complete = row + defaults
            return [complete[place] for place in places]

        return _Header(cells, cells == self.columns, pick)

    def _item(self, header: _Header, cells: list[str]) -> T:
        if len(cells) != len(header.cells):
            raise Invalid({_WHOLE_LINE: f"must have {len(header.cells)} cells, as the header has, not {len(cells)}"})
        return self._from_cells(self._cells._make(cells if header.in_order else header.pick(cells)))


def _split(raw: bytes, first: bool) -> list[str]:
    """The cells of a line; none if it is empty. first: whether it is the first line, which may have a byte order mark.
    Raises Invalid."""
    if len(raw) > MAX_LINE:
        raise Invalid({_WHOLE_LINE: f"must be at most {MAX_LINE} bytes long; nothing from there on was read"})
    if not raw.endswith(b"\n"):
        raise Invalid({_WHOLE_LINE: "must end with a newline: it may have been cut short"})
    try:
        text = raw.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError:
        raise Invalid({_WHOLE_LINE: _IS_SQLITE if raw.startswith(b"SQLite format 3") else _NOT_UTF_8}) from None
    text = text.removesuffix("\n").removesuffix("\r")
    if '"' not in text:
        return text.split(",") if text else []
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        words = "a quote is not closed, and no cell may hold a line break" if "end of data" in str(error) else error
        raise Invalid({_WHOLE_LINE: f"is not CSV: {words}"}) from None
