"""The rows of devices from plain lines, many at once."""

from collections.abc import Sequence
from itertools import repeat

from devicesvc.columns import DEVICE, NIC, NIC_COLUMNS
from devicesvc.csv_codec.plain_lines import COLUMNS, plain_cells
from devicesvc.model import fold, plain_mac, search_text
from devicesvc.transfer.source import DeviceRows


def plain(data: bytes) -> DeviceRows | None:
    """The devices of whole lines; None if one of the lines is not plain."""
    lines = data.count(b"\n")
    # As many commas as separate the cells: so there is none in a cell, whatever its pattern may match.
    if not data.endswith(b"\n") or data.count(b",") != lines * (len(COLUMNS) - 1):
        return None
    try:
        cells = plain_cells(data.decode())
    except UnicodeDecodeError:
        return None
    return _rows(cells) if len(cells) == lines else None


def _rows(lines: Sequence[tuple[str, ...]]) -> DeviceRows:
    """The rows of lines whose cells keep the rules."""
    by_column: dict[str, Sequence[str]] = dict(zip(COLUMNS, zip(*lines, strict=True), strict=True))
    models = by_column["hardware_model"]
    folded = {model: fold(model) for model in set(models)}
    by_column["hardware_model_folded"] = [folded[model] for model in models]
    types, macs, addresses = (by_column[column] for column in NIC_COLUMNS)
    normal = plain_mac("\n".join(macs)).split("\n")  # character by character: so all at once
    own = (by_column[name] for name in ("id", "name", "type", "status", "hardware_model", "hardware_sn"))
    lists = ([cell.replace(";", "\n") for cell in cells] for cells in (normal, addresses))
    by_column["search_text"] = list(map(search_text, zip(*own, *lists, strict=True)))
    devices = list(map(DEVICE.named, zip(*map(by_column.__getitem__, DEVICE.names), strict=True)))
    nics: list[tuple[str, int, str, str, str]] = []
    for id, some_types, some_macs, some_addresses in zip(by_column["id"], types, normal, addresses, strict=True):
        if ";" in some_macs:
            each_type, each_mac, each_address = some_types.split(";"), some_macs.split(";"), some_addresses.split(";")
            nics += zip(repeat(id), range(len(each_mac)), each_type, each_mac, each_address)
        elif some_macs:
            nics.append((id, 0, some_types, some_macs, some_addresses))
    return DeviceRows(devices, list(map(NIC.named, nics)))
