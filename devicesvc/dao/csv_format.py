"""The CSV form of devices: a device to a line, and a file back to devices.

A device is one line, because no field may hold a line break. So a file is read line by line: a fault is named by the
line that an editor shows, and no line makes the reader take more memory than MAX_LINE.
"""

import csv
import io
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

from devicesvc.errors import Invalid
from devicesvc.model import Device, Hardware, Nic, Software

HEADER = (
    b"id,name,type,hardware_model,hardware_sn,software_version,software_last_update,nic_type,nic_mac,nic_ipv4,status\n"
)
COLUMNS = HEADER.decode().rstrip().split(",")
MAX_LINE = 65_536  # bytes; a device with the longest fields takes some 10,000

_RULES = {
    **Device.RULES,
    **{f"hardware_{name}": rule for name, rule in Hardware.RULES.items()},
    **{f"software_{name}": rule for name, rule in Software.RULES.items()},
}
_NIC_RULES = {f"nic_{name}": rule for name, rule in Nic.RULES.items()}
_LINE = ""  # in the place of a column: the line as a whole


class Fault(NamedTuple):
    """A rule that a line breaks, in a column or (an empty column) as a whole."""

    line: int
    column: str
    rule: str

    def __str__(self) -> str:
        return (
            f"line {self.line}, column {self.column}: {self.rule}" if self.column else f"line {self.line} {self.rule}"
        )


class Row(NamedTuple):
    """A device, and its line as `encode` makes it."""

    device: Device
    line: bytes


class Table(NamedTuple):
    """What a file holds: its rows by id, in its order, and what is wrong with it."""

    rows: dict[str, Row]
    faults: list[Fault]


def encode(device: Device) -> bytes:
    """Write a device as a line. It is read back and compared, so that lines can be joined without a doubt."""
    cells = [
        *(device.id, device.name, device.type),
        *(device.hardware.model, device.hardware.sn, device.software.version, device.software.last_update),
        *(";".join([getattr(nic, name) for nic in device.nic]) for name in Nic.RULES),
        device.status,
    ]
    line = ",".join(cells)
    if '"' in line or line.count(",") >= len(cells):
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(cells)
        line = text.getvalue()
    raw = f"{line}\n".encode()
    if b"\n" in raw[:-1] or _cells(raw, first=False) != cells:
        raise Invalid({device.id: "cannot be written so that it reads back the same"})
    return raw


def read(file: BinaryIO, known: Mapping[bytes, Device]) -> Table:
    """Read a file. The columns may come in any order; a byte order mark, CRLF and empty lines are accepted.

    known: devices by their lines, which are not looked at again. Of two lines with one id the first counts.
    """
    table = Table({}, [])
    header: list[str] = []
    found_on: dict[str, int] = {}
    number = 0
    while raw := file.readline(MAX_LINE + 1):
        number += 1
        try:
            if header == COLUMNS and raw in known:
                row = Row(known[raw], raw)
            elif not (cells := _cells(raw, first=number == 1)):
                continue
            elif not header:
                header = _header(cells)
                continue
            else:
                device = _device(header, cells)
                row = Row(device, encode(device))
            id = row.device.id
            if id in table.rows:
                raise Invalid({"id": f"must be unique; {id!r} is on line {found_on[id]} too"})
        except Invalid as error:
            table.faults.extend(Fault(number, column, rule) for column, rule in error.errors.items())
            if not header or len(raw) > MAX_LINE:
                return table
            continue
        table.rows[id], found_on[id] = row, number
    if not header:
        table.faults.append(Fault(1, _LINE, f"must be the header {','.join(COLUMNS)}; the file is empty"))
    return table


def _cells(raw: bytes, first: bool) -> list[str]:
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
    return _split(text) if text else []


def _split(line: str) -> list[str]:
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        words = "a quote is not closed, and no cell may hold a line break" if "end of data" in str(error) else error
        raise Invalid({_LINE: f"is not CSV: {words}"}) from None


def _header(cells: list[str]) -> list[str]:
    if sorted(cells) != sorted(COLUMNS):
        missing = [column for column in COLUMNS if column not in cells]
        unknown = [cell for cell in cells if cell not in COLUMNS]
        words = f" (missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'})"
        raise Invalid({_LINE: f"must be the header {','.join(COLUMNS)}{words}"})
    return cells


def _device(header: list[str], row: list[str]) -> Device:
    """The device in a row. Raises Invalid, which names every column at fault."""
    if len(row) != len(header):
        raise Invalid({_LINE: f"must have {len(header)} cells, as the header has, not {len(row)}"})
    cells = dict(zip(header, row, strict=True))
    types, macs, addresses = (_items(cells[column]) for column in _NIC_RULES)
    if not len(types) == len(macs) == len(addresses):
        counts = f"{len(types)}, {len(macs)} and {len(addresses)}"
        raise Invalid({"nic_type": f"must hold as many items, joined by ';', as nic_mac and nic_ipv4, not {counts}"})
    try:
        return Device(
            id=cells["id"],
            name=cells["name"],
            type=cells["type"],
            hardware=Hardware(cells["hardware_model"], cells["hardware_sn"]),
            software=Software(cells["software_version"], cells["software_last_update"]),
            nic=tuple(map(Nic, types, macs, addresses)),
            status=cells["status"],
        )
    except Invalid as error:  # it names the fields of one part of the device: look at every cell
        raise Invalid(_errors(cells) or error.errors) from None


def _items(cell: str) -> list[str]:
    return cell.split(";") if cell else []


def _errors(cells: Mapping[str, str]) -> dict[str, str]:
    """Every rule of a single cell that a row breaks, by column."""
    errors = {}
    checks = [(column, rule, cells[column]) for column, rule in _RULES.items()]
    checks += [(column, rule, item) for column, rule in _NIC_RULES.items() for item in _items(cells[column])]
    for column, rule, value in checks:
        try:
            rule(value)
        except ValueError as error:
            errors[column] = str(error)
    return errors
