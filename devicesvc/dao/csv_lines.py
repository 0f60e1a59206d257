"""CSV files, read and written a line at a time: an item to a line, and a file back to items.

An item is one line, because no field may hold a line break. So a fault is named by the line that an editor shows, and
no line makes the reader take more memory than MAX_LINE.
"""

import csv
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, Generic, NamedTuple, TypeVar

from devicesvc.errors import Invalid

T = TypeVar("T")

MAX_LINE = 65_536  # bytes; a device with the longest fields takes some 10,000

_LINE = ""  # in the place of a column: the line as a whole


class Fault(NamedTuple):
    """A rule that a line breaks, in a column or (an empty column) as a whole."""

    line: int
    column: str
    rule: str

    @property
    def place(self) -> str:
        return f"line {self.line}, column {self.column}" if self.column else f"line {self.line}"

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}" if self.column else f"{self.place} {self.rule}"


class Row(NamedTuple, Generic[T]):
    """An item, and its line as `Format.encode` makes it."""

    item: T
    line: bytes


class Table(NamedTuple, Generic[T]):
    """What a file holds: its rows by key, in its order, and what is wrong with it."""

    rows: dict[str, Row[T]]
    faults: list[Fault]


class Format(Generic[T]):
    """The CSV form of one kind of item.

    columns: their names, in the order of writing. cells: an item to its cells. item: the cells of a row, by column, to
    an item; raises Invalid, with every column at fault. unique: what no two rows may share, named by the column that is
    at fault where they do; the first of them is the key of a row. indexes: by what else items are looked up.
    """

    def __init__(
        self,
        columns: Sequence[str],
        cells: Callable[[T], list[str]],
        item: Callable[[Mapping[str, str]], T],
        unique: Mapping[str, Callable[[T], str]],
        indexes: Mapping[str, Callable[[T], str]],
    ) -> None:
        self.columns = list(columns)
        self.header = f"{','.join(columns)}\n".encode()
        self.unique = unique
        self.indexes = indexes
        self.key = next(iter(unique.values()))
        self._cells = cells
        self._item = item

    def encode(self, item: T) -> bytes:
        """Write an item as a line. It is read back and compared, so that lines can be joined without a doubt."""
        cells = self._cells(item)
        line = ",".join(cells)
        if '"' in line or line.count(",") >= len(cells):
            text = io.StringIO()
            csv.writer(text, lineterminator="").writerow(cells)
            line = text.getvalue()
        raw = f"{line}\n".encode()
        if b"\n" in raw[:-1] or _split(raw, first=False) != cells:
            raise Invalid({self.key(item): "cannot be written so that it reads back the same"})
        return raw

    def read(self, file: BinaryIO, known: Mapping[bytes, T], max_faults: int = sys.maxsize) -> Table[T]:
        """Read a file. The columns may come in any order; a byte order mark, CRLF and empty lines are accepted.

        known: items by their lines, which are not looked at again. max_faults: after so many no more is read. Of rows
        that share what must be unique the first counts.
        """
        table = Table[T]({}, [])
        header: list[str] = []
        found_on: dict[str, dict[str, int]] = {column: {} for column in self.unique}
        number = 0
        while raw := file.readline(MAX_LINE + 1):
            number += 1
            try:
                if header == self.columns and raw in known:
                    row = Row(known[raw], raw)
                elif not (cells := _split(raw, first=number == 1)):
                    continue
                elif not header:
                    header = self._header(cells)
                    continue
                else:
                    item = self._item(_by_column(header, cells))
                    row = Row(item, self.encode(item))
                for column, lines in found_on.items():
                    value = self.unique[column](row.item)
                    if lines.setdefault(value, number) != number:
                        raise Invalid({column: f"must be unique; {value!r} is on line {lines[value]} too"})
            except Invalid as error:
                table.faults.extend(Fault(number, column, rule) for column, rule in error.errors.items())
                if not header or len(raw) > MAX_LINE or len(table.faults) >= max_faults:
                    return table
                continue
            table.rows[self.key(row.item)] = row
        if not header:
            rule = f"must be the header {','.join(self.columns)}; the file is empty"
            table.faults.append(Fault(1, _LINE, rule))
        return table

    def _header(self, cells: list[str]) -> list[str]:
        if sorted(cells) != sorted(self.columns):
            missing = [column for column in self.columns if column not in cells]
            unknown = [cell for cell in cells if cell not in self.columns]
            words = f" (missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'})"
            raise Invalid({_LINE: f"must be the header {','.join(self.columns)}{words}"})
        return cells


def _split(raw: bytes, first: bool) -> list[str]:
    """The cells of a line; none where it is empty."""
    if len(raw) > MAX_LINE:
        raise Invalid({_LINE: f"must be at most {MAX_LINE} bytes long; nothing from there on was read"})
    if not raw.endswith(b"\n"):
        raise Invalid({_LINE: "must end with a newline: it may have been cut short"})
    try:
        text = raw.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError:
        raise Invalid({_LINE: "is not UTF-8: save the file in UTF-8"}) from None
    text = text.removesuffix("\n").removesuffix("\r")
    if '"' not in text:
        return text.split(",") if text else []
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        words = "a quote is not closed, and no cell may hold a line break" if "end of data" in str(error) else error
        raise Invalid({_LINE: f"is not CSV: {words}"}) from None


def _by_column(header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise Invalid({_LINE: f"must have {len(header)} cells, as the header has, not {len(cells)}"})
    return dict(zip(header, cells, strict=True))
