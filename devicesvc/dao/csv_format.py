"""The CSV form of devices, groups and memberships: the columns, and how an item fills them."""

from collections.abc import Mapping
from operator import attrgetter

from devicesvc.dao.csv_lines import Format
from devicesvc.errors import Invalid
from devicesvc.model import Device, Group, Hardware, Membership, Nic, Rule, Software

_NIC_RULES = {f"nic_{name}": rule for name, rule in Nic.RULES.items()}
_RULES = {
    **Device.RULES,
    **{f"hardware_{name}": rule for name, rule in Hardware.RULES.items()},
    **{f"software_{name}": rule for name, rule in Software.RULES.items()},
    **_NIC_RULES,
}


def _device_cells(device: Device) -> list[str]:
    return [
        *(device.id, device.name, device.type),
        *(device.hardware.model, device.hardware.sn, device.software.version, device.software.last_update),
        *(";".join([getattr(nic, name) for nic in device.nic]) for name in Nic.RULES),
        device.status,
    ]


def _device(cells: Mapping[str, str]) -> Device:
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
        raise Invalid(_errors(cells) or {"nic_type": "; ".join(error.errors.values())}) from None


def _items(cell: str) -> list[str]:
    return cell.split(";") if cell else []


def _errors(cells: Mapping[str, str]) -> dict[str, str]:
    """Every rule of a single cell that a row breaks, by column."""
    errors = {}
    for column, rule in _RULES.items():
        for value in _items(cells[column]) if column in _NIC_RULES else [cells[column]]:
            if broken := _broken(rule, value):
                errors[column] = broken
    return errors


def _broken(rule: Rule, value: str) -> str | None:
    try:
        rule(value)
    except ValueError as error:
        return str(error)
    return None


DEVICES = Format[Device](
    columns=(
        *("id", "name", "type", "hardware_model", "hardware_sn", "software_version", "software_last_update"),
        *("nic_type", "nic_mac", "nic_ipv4", "status"),
    ),
    cells=_device_cells,
    item=_device,
    unique={"id": attrgetter("id")},
    indexes={"sn": attrgetter("hardware.sn")},
)

GROUPS = Format[Group](
    columns=("id", "name", "description"),
    cells=lambda group: [group.id, group.name, group.description],
    item=lambda cells: Group(**cells),
    unique={"id": attrgetter("id"), "name": attrgetter("name")},
    indexes={"name": attrgetter("name")},
)

MEMBERSHIPS = Format[Membership](
    columns=("device_id", "group_id"),
    cells=lambda membership: [membership.device_id, membership.group_id],
    item=lambda cells: Membership(**cells),
    unique={"device_id": lambda membership: f"{membership.device_id},{membership.group_id}"},
    indexes={"device_id": attrgetter("device_id"), "group_id": attrgetter("group_id")},
)
