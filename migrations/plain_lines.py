"""Devices from plain lines, many at once.

A plain line has the columns in the order of writing, no quote, no carriage return and no fault: almost every line of a
large file. One regular expression, made of the rules in model.py, checks many such lines and finds their cells in the
same pass. A line that it does not match may be right or wrong: dao/csv_lines decides that, and names the faults.
"""

import re
from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

from devicesvc.dao.csv_format import DEVICES
from devicesvc.model import MAX_NICS, Device, Hardware, Nic, Rule, Software, fold, plain_mac

Cells = tuple[str, ...]  # of a line, in the order of DEVICES.columns
DeviceRow = tuple[str, ...]  # in the order of the columns of tables.devices
NicRow = tuple[str, int, str, str, str]  # and of tables.nics


class Batch(NamedTuple):
    """Devices as rows of the tables; the network interfaces come in the order of their devices."""

    devices: list[DeviceRow]
    nics: list[NicRow]


_COMMAS = len(DEVICES.columns) - 1
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


def _cell(rule: Rule) -> str:
    return f"({_pattern(rule, _ENDS)})"


def _cell_of_nics(rule: Rule) -> str:
    item = _pattern(rule, f";{_ENDS}")
    return f"((?:{item}(?:;{item}){{0,{MAX_NICS - 1}}}+)?)"


_CELLS = {
    **{name: _cell(rule) for name, rule in Device.RULES.items()},
    **{f"hardware_{name}": _cell(rule) for name, rule in Hardware.RULES.items()},
    **{f"software_{name}": _cell(rule) for name, rule in Software.RULES.items()},
    **{f"nic_{name}": _cell_of_nics(rule) for name, rule in Nic.RULES.items()},
}
_LINE = re.compile("^" + ",".join(map(_CELLS.__getitem__, DEVICES.columns)) + r"\n", re.MULTILINE)


def plain(data: bytes) -> Batch | None:
    """The devices of whole lines; None where one of them is not plain."""
    lines = data.count(b"\n")
    # As many commas as separate the cells: so there is none in a cell, whatever its pattern may match.
    if not data.endswith(b"\n") or data.count(b",") != lines * _COMMAS:
        return None
    try:
        cells = _LINE.findall(data.decode())
    except UnicodeDecodeError:
        return None
    return _rows(cells) if len(cells) == lines else None


def _rows(lines: Sequence[Cells]) -> Batch | None:
    """The rows of lines whose cells keep the rules; None where the cells of one hold no equal number of NICs."""
    ids, names, types, models, sns, versions, updates, nic_types, macs, addresses, states = zip(*lines, strict=True)
    folded = {model: fold(model) for model in set(models)}
    devices: list[DeviceRow] = list(
        zip(ids, names, types, models, map(folded.__getitem__, models), sns, versions, updates, states, strict=True)
    )
    nics: list[NicRow] = []
    settled = plain_mac("\n".join(macs)).split("\n")  # character by character: so of all at once
    for id, some_types, some_macs, some_addresses in zip(ids, nic_types, settled, addresses, strict=True):
        if some_types and some_macs and some_addresses:
            each_type, each_mac, each_address = some_types.split(";"), some_macs.split(";"), some_addresses.split(";")
            count = len(each_mac)
            if len(each_type) != count or len(each_address) != count:
                return None
            if count == 1:
                nics.append((id, 0, some_types, some_macs, some_addresses))
            else:
                nics += zip(repeat(id), range(count), each_type, each_mac, each_address)
        elif some_types or some_macs or some_addresses:
            return None
    return Batch(devices, nics)
