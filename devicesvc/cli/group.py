"""devicesvc group"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from devicesvc.cli import remote
from devicesvc.model import GroupFilter

if TYPE_CHECKING:
    from devicesvc.client import Client, Item

COLUMNS: dict[str, Callable[["Item"], str]] = {
    "ID": lambda group: group["id"],
    "NAME": lambda group: group["name"],
    "DESCRIPTION": lambda group: group["description"],
}

device_ids_argument: Callable[[Any], Any] = click.argument(
    "device_ids", metavar="DEVICE_ID...", nargs=-1, required=True
)


@click.group()
def group() -> None:
    """The groups of a running service, and which devices are in them.

    `devicesvc device list --group-id ID` lists the devices of a group. The exit code is 1 if the service refuses a call
    or does not answer.
    """


@group.command("list")
@remote.filters(GroupFilter)
@remote.json_option
@remote.calls_service
def list_groups(client: "Client", as_json: bool | None, **where: Any) -> None:
    """List the groups that fit all options, by id."""
    remote.print_items(client.groups.list(**where), COLUMNS, as_json)


@group.command("get")
@click.argument("id")
@remote.json_option
@remote.calls_service
def get_group(client: "Client", id: str, as_json: bool | None) -> None:
    """Show the group with this ID."""
    remote.print_item(client.groups.get(id), as_json)


@group.command("add")
@remote.values_argument()
@remote.from_option
@remote.calls_service
def add_group(client: "Client", values: tuple[str, ...], file: BinaryIO | None) -> None:
    """Add a group, and print its id.

    Such as: devicesvc group add id=roof name='On the roof'. Without id=ID the service makes one.
    """
    remote.add_item(client.groups, values, file)


@group.command("set")
@click.argument("id")
@remote.values_argument(required=True)
@remote.json_option
@remote.calls_service
def set_group(client: "Client", id: str, values: tuple[str, ...], as_json: bool | None) -> None:
    """Change a group, and show it.

    Such as: devicesvc group set roof name=Roof description='All on the roof.'
    """
    remote.print_item(client.groups.set(id, remote.with_values({}, values)), as_json)


@group.command("rm")
@remote.ids_argument
@remote.yes_option
@remote.calls_service
def remove_groups(client: "Client", ids: tuple[str, ...], yes: bool) -> None:
    """Remove the groups with these IDs. Their devices stay."""
    remote.remove_items(client.groups, "group", ids, yes)


@group.command("add-devices")
@click.argument("id")
@device_ids_argument
@remote.calls_service
def add_devices(client: "Client", id: str, device_ids: tuple[str, ...]) -> None:
    """Add devices to the group with this ID. Those that are in it already stay."""
    added = client.groups.add_devices(id, *device_ids)
    remote.show([f"Added {remote.counted(len(added), 'device')}."])


@group.command("remove-devices")
@click.argument("id")
@device_ids_argument
@remote.calls_service
def remove_devices(client: "Client", id: str, device_ids: tuple[str, ...]) -> None:
    """Remove devices from the group with this ID. They stay in the registry."""
    removed = client.groups.remove_devices(id, *device_ids)
    remote.show([f"Removed {remote.counted(len(removed), 'device')}."])
