"""Devices from plain lines, many at once.

A plain line has the columns in the order of writing, no quote, no carriage return and no fault: almost every line of a
large file. One regular expression, made of the rules in model.py, checks many such lines and finds their cells in the
same pass. A line that it does not match may be right or wrong: csv_codec/format.py decides that, and names the faults.
"""

import re
from collections.abc import Sequence
from itertools import repeat

from devicesvc.columns import DEVICE, NIC, Column
from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.model import MAX_NICS, Rule, fold, plain_mac
from devicesvc.transfer.source import DeviceRows

_COMMAS = len(DEVICE_CSV.columns) - 1
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


def plain(data: bytes) -> DeviceRows | None:
    """The devices of whole lines; None if one of the lines is not plain."""
    lines = data.count(b"\n")
    # As many commas as separate the cells: so there is none in a cell, whatever its pattern may match.
    if not data.endswith(b"\n") or data.count(b",") != lines * _COMMAS:
        return None
    try:
        cells = _LINE.findall(data.decode())
    except UnicodeDecodeError:
        return None
    return _rows(cells) if len(cells) == lines else None


def _rows(lines: Sequence[tuple[str, ...]]) -> DeviceRows | None:
    """The rows of lines whose cells keep the rules; None if the cells of one line do not hold as many NICs each."""
    by_column: dict[str, Sequence[str]] = dict(zip(DEVICE_CSV.columns, zip(*lines, strict=True), strict=True))
    models = by_column["hardware_model"]
    folded = {model: fold(model) for model in set(models)}
    by_column["hardware_model_folded"] = [folded[model] for model in models]
    devices = list(map(DEVICE.named, zip(*map(by_column.__getitem__, DEVICE.names), strict=True)))

    types, macs, addresses = (by_column[f"nic_{column.name}"] for column in NIC.columns)
    normal = plain_mac("\n".join(macs)).split("\n")  # character by character: so all at once
    nics: list[tuple[str, int, str, str, str]] = []
    for id, some_types, some_macs, some_addresses in zip(by_column["id"], types, normal, addresses, strict=True):
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
    return DeviceRows(devices, list(map(NIC.named, nics)))
