"""Devices from plain lines, many at once.

A plain line has the columns in the order of writing, no quote, no carriage return and no fault: almost every line of a
large file. One regular expression, made of the rules in model.py, checks many such lines and finds their cells in the
same pass. A line that it does not match may be right or wrong: format.py decides that, and names the faults.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import itemgetter
from types import SimpleNamespace

from devicesvc.columns import DEVICE, NIC_COLUMNS, Column, devices_of_columns
from devicesvc.model import MAX_NICS, Device, Nic, Rule, plain_mac

COLUMNS = [column.name for column in DEVICE.in_file]

_ENDS = r",\n"  # of a cell
_TEXT = re.compile(r"\[\^(.*)\]\*")  # the pattern of a rule for text: any but some characters


def _pattern(rule: Rule, ends: str) -> str:
    """What matches a value of the rule, with one of `ends` after it and none in it."""
    length = f"{{{rule.min_length},{rule.max_length}}}+"
    if text := _TEXT.fullmatch(rule.pattern):
        return f'[^{text[1]},"]{length}'
    groups_not_kept = re.sub(r"(?<!\\)\((?!\?)", "(?:", rule.pattern)
    whole = groups_not_kept.replace("$", f"(?=[{ends}])")
    return f'(?=[^{ends}"]{length}[{ends}])(?:{whole})(?=[{ends}])'


def _cell(column: Column) -> str:
    if column.in_database:
        return f"({_pattern(column.rule, _ENDS)})"
    item = _pattern(column.rule, f";{_ENDS}")  # of a list
    return f"((?:{item}(?:;{item}){{0,{MAX_NICS - 1}}}+)?)"


_LINE = re.compile("^" + ",".join(map(_cell, DEVICE.in_file)) + r"\n", re.MULTILINE)
_NICS = itemgetter(*map(COLUMNS.index, NIC_COLUMNS))
_MACS = COLUMNS.index("nic_mac")
_DISTINCT = {"id", "name", "hardware_sn", *NIC_COLUMNS}  # columns in which few texts are equal, or that are split


def plain_cells(text: str) -> list[tuple[str, ...]]:
    """The cells of those lines that are plain and keep the rules, in their order. A list of MAC addresses may still be
    in any form. If a line has more commas than separate its cells, the caller must not take it."""
    return [cells for cells in _LINE.findall(text) if _as_many(*_NICS(cells))]


def _as_many(types: str, macs: str, addresses: str) -> bool:
    """Whether lists have as many items each."""
    if types and macs and addresses:
        return types.count(";") == macs.count(";") == addresses.count(";")
    return not (types or macs or addresses)


def plain_devices(lines: Iterable[bytes]) -> dict[bytes, Device]:
    """The devices of those lines that are plain and as they are written, by line."""
    try:
        text = b"".join(lines).decode()
    except UnicodeDecodeError:
        return {}
    rows = [cells for cells in plain_cells(text) if plain_mac(cells[_MACS]) == cells[_MACS]]
    written = [f"{','.join(cells)}\n".encode() for cells in rows]
    devices = _devices(rows) if rows else []
    commas = len(COLUMNS) - 1
    return {line: device for line, device in zip(written, devices, strict=True) if line.count(b",") == commas}


def _devices(rows: Sequence[tuple[str, ...]]) -> list[Device]:
    """The devices of cells that keep the rules. Equal texts of the columns in which they are common are kept once."""
    once: dict[str, str] = {}

    def shared(values: Sequence[str]) -> Sequence[str]:
        return list(map(once.setdefault, values, values))

    columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
    lists = {column: ";".join(filter(None, columns[column])).split(";") for column in NIC_COLUMNS}
    nics = iter(Nic.all_of(type=shared(lists["nic_type"]), mac=lists["nic_mac"], ipv4=lists["nic_ipv4"]))
    nic = [tuple(islice(nics, macs.count(";") + 1 if macs else 0)) for macs in columns["nic_mac"]]
    cells = {name: column if name in _DISTINCT else shared(column) for name, column in columns.items()}
    return devices_of_columns(SimpleNamespace(**cells), nic)
