"""The row of each entity: what its columns read, what is made of it, and which columns are at fault."""

import json
from collections.abc import Iterable
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from devicesvc.columns import (
    DEVICE,
    ENTITIES,
    GROUP,
    MEMBERSHIP,
    NIC,
    device_of_rows,
    nic_rows,
    stored_device,
    stored_devices,
    stored_group,
)
from devicesvc.errors import Invalid
from devicesvc.model import Device, Group, Hardware, Membership, Nic, Software
from tests.hard_data import HARD, HARD_GROUPS

NICS = (Nic("eth", "00:00:00:00:00:01", "1.0.0.1"), Nic("wifi", "00:00:00:00:00:02", "1.0.0.2"))
SOFTWARE = Software("1.0", "2024-01-02 03:04:05")

# An item of each entity, no two fields of which are the same, and its row.
DISTINCT: dict[str, tuple[Any, dict[str, str]]] = {
    "devices": (
        Device("1", "a name", "a type", Hardware("A Model", "a sn"), SOFTWARE, NICS, "up"),
        {
            "id": "1",
            "name": "a name",
            "type": "a type",
            "hardware_model": "A Model",
            "hardware_model_folded": "a model",
            "hardware_sn": "a sn",
            "software_version": "1.0",
            "software_last_update": "2024-01-02 03:04:05",
            "nic_type": "eth;wifi",
            "nic_mac": "00:00:00:00:00:01;00:00:00:00:00:02",
            "nic_ipv4": "1.0.0.1;1.0.0.2",
            "status": "up",
            "search_text": "1\na name\na type\nup\na model\na sn"
            "\n00:00:00:00:00:01\n00:00:00:00:00:02\n1.0.0.1\n1.0.0.2",
        },
    ),
    "nics": (NICS[0], {"type": "eth", "mac": "00:00:00:00:00:01", "ipv4": "1.0.0.1"}),
    "groups": (Group("g", "a name", "a description"), {"id": "g", "name": "a name", "description": "a description"}),
    "memberships": (Membership("d", "g"), {"device_id": "d", "group_id": "g"}),
}

HEADERS = {
    "devices": "id,name,type,hardware_model,hardware_sn,software_version,software_last_update,"
    "nic_type,nic_mac,nic_ipv4,status",
    "nics": "type,mac,ipv4",  # in a file they are columns of the devices
    "groups": "id,name,description",
    "memberships": "device_id,group_id",
}

by_table = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.table)


def field_names(of: type, parts: dict[str, type]) -> Iterable[str]:
    """The fields of a class, with those of its parts in their places."""
    for field in fields(of):
        part = parts.get(field.name)
        yield from (f"{field.name}_{each.name}" for each in fields(part)) if part else (field.name,)


@by_table
def test_each_column_reads_its_own_field(entity):
    item, row = DISTINCT[entity.table]
    assert {column.name: column.read(item) for column in entity.columns} == row


@by_table
def test_a_row_becomes_the_item_that_it_was_made_of(entity):
    item, row = DISTINCT[entity.table]
    nics = (item.nic,) if entity is DEVICE else ()
    assert entity.from_row(SimpleNamespace(**row), *nics) == item


@by_table
def test_a_row_of_a_database_has_the_keys_and_then_the_columns_in_it(entity):
    item, row = DISTINCT[entity.table]
    keys = ["a", 2][: len(entity.names) - len(entity.in_database)]
    made = entity.to_row(item, *keys)
    assert made == (*keys, *(row[column.name] for column in entity.in_database))
    assert made._fields == entity.names


@pytest.mark.parametrize("case", HARD)
def test_hard_devices_come_back_from_their_rows(case):
    item = HARD[case]
    assert device_of_rows(DEVICE.to_row(item), nic_rows(item)) == item


def stored(device):
    """A row as a database gives it, its interfaces in any order."""
    nics = [[row.position, row.type, row.mac, row.ipv4] for row in nic_rows(device)]
    row = DEVICE.to_row(device)
    return (*(getattr(row, name) for name in DEVICE.own_names), json.dumps(nics[::-1]))


@pytest.mark.parametrize("case", HARD)
def test_hard_devices_come_back_from_what_a_store_has_written(case):
    assert stored_device(stored(HARD[case])) == HARD[case]


def test_many_devices_come_back_from_what_a_store_has_written_in_their_order():
    items = list(HARD.values())
    assert stored_devices(list(map(stored, items))) == items
    assert stored_devices([]) == []


@pytest.mark.parametrize("case", HARD_GROUPS)
def test_hard_groups_come_back_from_what_a_store_has_written(case):
    assert stored_group(GROUP.to_row(HARD_GROUPS[case])) == HARD_GROUPS[case]


@pytest.mark.parametrize("case", HARD)
def test_hard_devices_come_back_from_what_their_columns_read(case):
    item = HARD[case]
    row = SimpleNamespace(**{column.name: column.read(item) for column in DEVICE.columns})
    lists = [getattr(row, f"nic_{column.name}").split(";") for column in NIC.columns]
    nics = [Nic(*cells) for cells in zip(*lists, strict=True)] if row.nic_type else []
    assert DEVICE.from_row(row, nics) == item


@pytest.mark.parametrize("case", HARD_GROUPS)
def test_hard_groups_come_back_from_their_rows(case):
    assert GROUP.from_row(GROUP.to_row(HARD_GROUPS[case])) == HARD_GROUPS[case]


def test_the_rows_of_nics_are_in_their_order():
    item = DISTINCT["devices"][0]
    assert nic_rows(item) == [NIC.to_row(nic, "1", position) for position, nic in enumerate(NICS)]
    assert [row.position for row in nic_rows(item)] == [0, 1]


@pytest.mark.parametrize(
    ("entity", "of", "parts"),
    [
        (DEVICE, Device, {"hardware": Hardware, "software": Software, "nic": Nic}),
        (NIC, Nic, {}),
        (GROUP, Group, {}),
        (MEMBERSHIP, Membership, {}),
    ],
    ids=[entity.table for entity in (DEVICE, NIC, GROUP, MEMBERSHIP)],
)
def test_every_field_of_the_model_is_a_column_and_has_the_rule_of_the_model(entity, of, parts):
    rules = {
        name: parts[part].RULES[field] if (part := name.partition("_")[0]) in parts else of.RULES[name]
        for name in field_names(of, parts)
        for field in [name.partition("_")[2]]
    }
    assert {column.name: column.rule for column in entity.in_file} == rules


@by_table
def test_the_columns_of_a_file_are_in_the_order_of_its_header(entity):
    assert ",".join(column.name for column in entity.in_file) == HEADERS[entity.table]


def test_only_the_description_of_a_group_may_be_missing():
    optional = {
        f"{entity.table}.{column.name}": column.default
        for entity in ENTITIES
        for column in entity.columns
        if column.default is not None
    }
    assert optional == {"groups.description": ""}


@by_table
def test_faults_names_every_column_at_fault(entity):
    row = DISTINCT[entity.table][1]
    assert entity.faults(SimpleNamespace(**row)) == {}
    own = [column for column in entity.in_file if column.in_database]
    for column in own:
        bad = "\n" * 300
        assert list(entity.faults(SimpleNamespace(**{**row, column.name: bad}))) == [column.name]
    faults = entity.faults(SimpleNamespace(**dict.fromkeys(row, "\n")))
    assert faults.keys() == {column.name for column in own}
    assert all(rule.startswith("must be ") for rule in faults.values())


def test_every_column_at_fault_is_named_also_those_of_the_nics():
    row = SimpleNamespace(**dict.fromkeys(DISTINCT["devices"][1], "\n"))
    with pytest.raises(Invalid) as refusal:
        device_of_rows(row, [NICS[0], SimpleNamespace(type=";", mac="\n", ipv4="\n")])
    assert refusal.value.errors.keys() == {column.name for column in DEVICE.in_file}


def test_too_many_nics_are_a_fault_of_the_column_that_a_file_has_first_for_them():
    row = SimpleNamespace(**DISTINCT["devices"][1])
    with pytest.raises(Invalid) as refusal:
        device_of_rows(row, [NICS[0]] * 17)
    assert refusal.value.errors == {"nic_type": "must be at most 16 network interfaces, not 17"}
