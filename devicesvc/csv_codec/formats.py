"""The CSV form of devices, of groups and of memberships."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from devicesvc.columns import DEVICE, GROUP, MEMBERSHIP, NIC, NIC_COLUMNS, broken_rules
from devicesvc.csv_codec.format import Format
from devicesvc.csv_codec.plain_lines import plain_devices
from devicesvc.errors import Invalid
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership, Nic


def _device(cells: Any) -> Device:
    lists = [_items(getattr(cells, column)) for column in NIC_COLUMNS]
    if len({len(items) for items in lists}) > 1:
        first, *others = NIC_COLUMNS
        counts = _in_words([str(len(items)) for items in lists])
        raise Invalid({first: f"must hold as many items, joined by ';', as {_in_words(others)}, not {counts}"})
    try:
        return DEVICE.from_row(cells, map(Nic, *lists))
    except Invalid as error:  # it names the fields of one part of the device: look at every cell
        faults = DEVICE.faults(cells)
        for column, name, items in zip(NIC.columns, NIC_COLUMNS, lists, strict=True):
            for item in items:
                faults |= broken_rules({name: (column.rule, item)})
        raise Invalid(faults or {"nic_type": "; ".join(error.errors.values())}) from None


def _in_words(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _items(cell: str) -> list[str]:
    return cell.split(";") if cell else []


def _one_value(fields: Mapping[str, Callable[[Any], str]]) -> dict[str, Callable[[Any], tuple[str]]]:
    """Indexes of fields, of which an item has one value each."""

    def values(value_of: Callable[[Any], str]) -> Callable[[Any], tuple[str]]:
        return lambda item: (value_of(item),)

    return {name: values(value_of) for name, value_of in fields.items()}


DEVICE_CSV = Format[Device](
    DEVICE.in_file,
    from_cells=_device,
    unique={"id": attrgetter("id")},
    indexes={
        **_one_value(DeviceFilter.SORTS),
        "mac": lambda device: {nic.mac for nic in device.nic},
        "ipv4": lambda device: {nic.ipv4 for nic in device.nic},
    },
    plain=plain_devices,
)

GROUP_CSV = Format[Group](
    GROUP.in_file,
    from_cells=GROUP.from_row,
    unique={"id": attrgetter("id"), "name": attrgetter("name")},
    indexes=_one_value(GroupFilter.SORTS),
)


def membership_key(device_id: str, group_id: str) -> str:
    """What no two memberships share. No id has a comma."""
    return f"{device_id},{group_id}"


MEMBERSHIP_CSV = Format[Membership](
    MEMBERSHIP.in_file,
    from_cells=MEMBERSHIP.from_row,
    unique={"device_id": lambda membership: membership_key(membership.device_id, membership.group_id)},
    indexes=_one_value({"device_id": attrgetter("device_id"), "group_id": attrgetter("group_id")}),
)
