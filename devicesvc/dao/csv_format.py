"""The CSV form of devices: devices to the bytes of a file, and back."""

import csv
import io
from collections.abc import Iterable, Iterator

from devicesvc.errors import Invalid
from devicesvc.model import Device, Hardware, Nic, Software

HEADER = (
    "id,name,type,hardware_model,hardware_sn,software_version,software_last_update,nic_type,nic_mac,nic_ipv4,status"
)
COLUMNS = HEADER.split(",")
MAX_FAULTS = 20  # so many are listed, the rest counted

_RULES = {
    **Device.RULES,
    **{f"hardware_{name}": rule for name, rule in Hardware.RULES.items()},
    **{f"software_{name}": rule for name, rule in Software.RULES.items()},
}
_NIC_RULES = {f"nic_{name}": rule for name, rule in Nic.RULES.items()}


def encode(devices: Iterable[Device]) -> bytes:
    """Write devices, in the order given, as the bytes of a CSV file: the header first, UTF-8, newlines."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(_cells, devices))
    return text.getvalue().encode()


def decode(data: bytes) -> dict[str, Device]:
    """Read the bytes of a CSV file as devices by id, in the order of the file.

    The columns may come in any order; a byte order mark, CRLF and empty lines are accepted. Raises Invalid, which names
    up to MAX_FAULTS places by line and column, and counts the rest.
    """
    faults = _Faults()
    devices: dict[str, Device] = {}
    lines: dict[str, int] = {}
    for line, cells in _rows(data, faults):
        try:
            device = _device(cells)
        except Invalid as error:
            faults.add(line, _errors(cells) or error.errors)
            continue
        if device.id in devices:
            faults.add(line, {"id": f"must be unique; {device.id!r} is on line {lines[device.id]} too"})
        devices[device.id], lines[device.id] = device, line
    faults.raise_if_any()
    return devices


def _cells(device: Device) -> tuple[str, ...]:
    return (
        *(device.id, device.name, device.type),
        *(device.hardware.model, device.hardware.sn, device.software.version, device.software.last_update),
        *(";".join(getattr(nic, name) for nic in device.nic) for name in Nic.RULES),
        device.status,
    )


def _device(cells: dict[str, str]) -> Device:
    types, macs, addresses = (_items(cells[column]) for column in _NIC_RULES)
    if not len(types) == len(macs) == len(addresses):
        counts = f"{len(types)}, {len(macs)} and {len(addresses)}"
        raise Invalid({"nic_type": f"must hold as many items, joined by ';', as nic_mac and nic_ipv4, not {counts}"})
    return Device(
        id=cells["id"],
        name=cells["name"],
        type=cells["type"],
        hardware=Hardware(cells["hardware_model"], cells["hardware_sn"]),
        software=Software(cells["software_version"], cells["software_last_update"]),
        nic=tuple(map(Nic, types, macs, addresses)),
        status=cells["status"],
    )


def _items(cell: str) -> list[str]:
    return cell.split(";") if cell else []


def _errors(cells: dict[str, str]) -> dict[str, str]:
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


class _Faults:
    """The faults of one file: the first MAX_FAULTS by place, and how many more."""

    def __init__(self) -> None:
        self._listed: dict[str, str] = {}
        self._more = 0

    def add(self, line: int, errors: str | dict[str, str]) -> None:
        """Add a fault of a whole line, or one for each column."""
        places = (
            {f"line {line}": errors}
            if isinstance(errors, str)
            else {f"line {line}, column {column}:": error for column, error in errors.items()}
        )
        for place, error in places.items():
            if len(self._listed) < MAX_FAULTS:
                self._listed[place] = error
            else:
                self._more += 1

    def raise_if_any(self) -> None:
        if self._more:
            self._listed["and"] = f"{self._more} more"
        if self._listed:
            raise Invalid(self._listed)


def _rows(data: bytes, faults: _Faults) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row that is whole, as its line and its cells by column; report the others."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return faults.add(data.count(b"\n", 0, error.start) + 1, "is not UTF-8: save the file in UTF-8")
    header: list[str] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            faults.add(line, f"is not CSV: {error}")
            continue
        if not row:
            continue
        if not header:
            header = row
            if sorted(header) != sorted(COLUMNS):
                return faults.add(line, f"must be the header {HEADER}")
        elif len(row) != len(header):
            faults.add(line, f"must have {len(header)} cells, as the header has, not {len(row)}")
        else:
            yield line, dict(zip(header, row, strict=True))
    if not header:
        faults.add(1, f"must be the header {HEADER}: the file is empty")
    elif not text.endswith("\n"):
        faults.add(reader.line_num, "must end with a newline: it may have been cut short")
