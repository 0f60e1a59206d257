"""devicesvc group"""

import json

import pytest

from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from tests.terminal import on_terminal

ONE, TWO = (device.id for device in DEVICES[:2])


@pytest.fixture
def room(registry):
    """A group with one device."""
    room = Group("room", "一号教室", "for the lab")
    registry.write(lambda tx: (tx.groups.add(room), tx.memberships.add([Membership(ONE, "room")])))
    return room


@pytest.fixture
def members(registry):
    return lambda: [each.device_id for each in registry.memberships.list(group_id="room")]


def test_groups_are_added_listed_and_shown(done, refused):
    assert done("group", "add", "id=roof", "name=屋顶") == "roof\n"
    made = done("group", "add", "name=Greenhouse", "description=all of it").strip()
    assert {each["id"]: each["name"] for each in json.loads(done("group", "list"))} == {
        "roof": "屋顶",
        made: "Greenhouse",
    }
    assert json.loads(done("group", "get", "roof")) == {"id": "roof", "name": "屋顶", "description": ""}
    assert done("group", "get", "roof", "--table").splitlines()[1:3] == ["id           roof", "name         屋顶"]
    assert refused("group", "add", "name=屋顶") == "The name '屋顶' is taken by the group with the id 'roof'."


@pytest.mark.usefixtures("room")
def test_a_terminal_gets_a_table(service_url):
    shown = on_terminal(["group", "list", "--device-id", ONE], DEVICESVC_URL=service_url)
    assert shown.splitlines() == ["ID    NAME      DESCRIPTION", "room  一号教室  for the lab"]


@pytest.mark.usefixtures("room")
def test_only_what_is_given_changes(done):
    shown = json.loads(done("group", "set", "room", "description="))
    assert shown == {"id": "room", "name": "一号教室", "description": ""}


@pytest.mark.usefixtures("room")
def test_devices_are_added_and_removed(done, members):
    assert done("group", "add-devices", "room", ONE, TWO) == "Added 1 device.\n"
    assert members() == sorted([ONE, TWO])
    assert [each["id"] for each in json.loads(done("device", "list", "--group-id", "room"))] == sorted([ONE, TWO])
    assert done("group", "remove-devices", "room", ONE, TWO) == "Removed 2 devices.\n"
    assert members() == []


@pytest.mark.usefixtures("room")
def test_an_unknown_device_or_group_is_named_and_nothing_changes(refused, members):
    assert "'none'" in refused("group", "add-devices", "room", TWO, "none")
    assert refused("group", "remove-devices", "other", ONE) == "There is no group with the id 'other'."
    assert members() == [ONE]


@pytest.mark.usefixtures("room")
def test_a_group_goes_and_its_devices_stay(done, refused, registry):
    assert done("group", "rm", "room") == "Removed 1 group.\n"
    assert registry.groups.list() == []
    assert len(registry.devices.list()) == 5
    assert refused("group", "get", "room") == "There is no group with the id 'room'."
