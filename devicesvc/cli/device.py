"""devicesvc device"""

import codecs
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from devicesvc.cli import remote
from devicesvc.model import DeviceFilter
from devicesvc.terminal import json_line, plain

if TYPE_CHECKING:
    from devicesvc.client import Client, Item

MAX_SHOWN = 10  # ids that a line of an import names

COLUMNS: dict[str, Callable[["Item"], str]] = {
    "ID": lambda device: device["id"],
    "NAME": lambda device: device["name"],
    "TYPE": lambda device: device["type"],
    "MODEL": lambda device: device["hardware"]["model"],
    "SN": lambda device: device["hardware"]["sn"],
    "VERSION": lambda device: device["software"]["version"],
    "IPV4": lambda device: " ".join(nic["ipv4"] for nic in device["nic"]),
    "STATUS": lambda device: device["status"],
}


@click.group()
def device() -> None:
    """Find, add, change and remove the devices of a service.

    The exit code is 1 if the service refuses a call or does not answer.
    """


@device.command("list")
@remote.filters(DeviceFilter)
@remote.json_option
@remote.calls_service
def list_devices(client: "Client", as_json: bool | None, **where: Any) -> None:
    """List the devices that fit all options, by id."""
    remote.print_items(client.devices.list(**where), COLUMNS, as_json)


@device.command("get")
@click.argument("id")
@remote.json_option
@remote.calls_service
def get_device(client: "Client", id: str, as_json: bool | None) -> None:
    """Show the device with this ID."""
    remote.print_item(client.devices.get(id), as_json)


@device.command("add")
@remote.values_argument()
@remote.from_option
@remote.calls_service
def add_device(client: "Client", values: tuple[str, ...], file: BinaryIO | None) -> None:
    """Add a device, and print its id.

    \b
    devicesvc device add name=door type=controller status=online \\
        hardware.model='Raspberry Pi 4' hardware.sn=Hk3Pq \\
        software.version=0.1 'software.last_update=2023-08-06 20:00:00' \\
        nic='[{"type": "eth", "mac": "12:34:56:78:9a:bc", "ipv4": "192.168.1.2"}]'

    With id=ID the device gets this id; otherwise the service makes one.
    """
    remote.add_item(client.devices, values, file)


@device.command("set")
@click.argument("id")
@remote.values_argument(required=True)
@remote.json_option
@remote.calls_service
def set_device(client: "Client", id: str, values: tuple[str, ...], as_json: bool | None) -> None:
    """Change some fields of the device with this ID, and show it.

    Such as status=offline software.version=0.5. All other fields stay. nic replaces the whole list: nic=[] empties it.
    """
    remote.print_item(client.devices.set(id, remote.with_values({}, values)), as_json)


@device.command("rm")
@remote.ids_argument
@remote.yes_option
@remote.calls_service
def remove_devices(client: "Client", ids: tuple[str, ...], yes: bool) -> None:
    """Remove the devices with these IDs, also from their groups."""
    remote.remove_items(client.devices, "device", ids, yes)


@device.command("export")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace FILE if it exists.")
@remote.filters(DeviceFilter)
@remote.calls_service
def export_devices(client: "Client", file: Path | None, replace: bool, **where: Any) -> None:
    """Write the devices that fit all options as CSV.

    To FILE, which is complete or not there at the end; without FILE, to the standard output.
    """
    pieces = client.devices.export_csv(**where)
    if file is None or str(file) == "-":
        _print_csv(pieces)
        return
    from devicesvc.dao import durable_file

    if file.exists() and not replace:
        raise click.ClickException(plain(f"{file} exists: give another name, or --replace."))
    versions = durable_file.prepare({file: pieces})
    durable_file.publish(versions)
    durable_file.discard(versions)
    remote.show([plain(f"Wrote {file}.")])


@device.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@remote.json_option
@remote.calls_service
def import_devices(client: "Client", file: BinaryIO, dry_run: bool, as_json: bool | None) -> None:
    """Add and change devices from a CSV file.

    FILE has the form of device.csv; - is the standard input. Each row adds a device, or replaces the device with its
    id; all other devices stay as they are. If a row is wrong, nothing is changed.
    """
    done = client.devices.import_csv(file, dry_run=dry_run)
    if remote.wants_json(as_json):
        remote.show([json_line(done)], "utf-8")
        return
    for verb, ids in done.items():
        named = ", ".join(ids[:MAX_SHOWN]) + (", ..." if len(ids) > MAX_SHOWN else "")
        remote.show([plain(f"{verb}: {len(ids)}" + (f" ({named})" if ids else ""))])
    if dry_run:
        remote.show(["Nothing was changed: this was a dry run."])


def _print_csv(pieces: Iterable[bytes]) -> None:
    if sys.stdout.isatty():
        texts = codecs.iterdecode(pieces, "utf-8", "replace")
        pieces = ("\n".join(map(plain, text.split("\n"))).encode() for text in texts)
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.flush()
