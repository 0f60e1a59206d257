"""What the commands share that call a running service: devicesvc device, group, history."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from devicesvc.cli.common import one_sentence
from devicesvc.model import DeviceFilter, GroupFilter
from devicesvc.terminal import json_block, json_line, plain, table

if TYPE_CHECKING:
    from devicesvc.client import Client, Item, Items

Command = Callable[..., Any]

# What the API calls a field of a filter, if it has another name there: one id fits a set of ids.
API_NAMES = {"group_ids": "group_id", "device_ids": "device_id"}
HELP = {
    "q": "Only those that have this text, in upper or lower case, in a field that people know them by.",
    "model": "Only those whose model contains this text, in upper or lower case.",
    "hardware_model": "Only those with exactly this model.",
    "group_id": "Only those in the group with this id; given more than once: in all these groups.",
    "device_id": "Only those that the device with this id is in; given more than once: all these devices.",
}

URL: dict[str, Any] = {"envvar": "DEVICESVC_URL", "default": "http://localhost:8000"}
url_argument: Command = click.argument("url", **URL)
url_option: Command = click.option("--url", **URL, show_default=True, help="The service. Or DEVICESVC_URL says it.")
token_option: Command = click.option(
    "--token",
    envvar="DEVICESVC_TOKEN",
    help="A token, if the service needs one. Default: DEVICESVC_TOKEN in the environment.",
)
ids_argument: Command = click.argument("ids", metavar="ID...", nargs=-1, required=True)
from_option: Command = click.option(
    "--from",
    "file",
    type=click.File("rb"),
    help="A JSON object with more fields, as get prints it; - is the standard input.",
)
json_option: Command = click.option(
    "--json/--table", "as_json", default=None, help="How to print. Default: a table on a terminal, JSON elsewhere."
)
yes_option: Command = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@contextmanager
def called(url: str, token: str | None, advice: str = "") -> "Iterator[Client]":
    """A client of a service. An ApiError ends the command with its sentence. advice: what to do if nobody answers."""
    from devicesvc.client import (
        Client,
        NobodyAnswersError,
    )  # not at the top: --help and the completion of a shell do without

    with one_sentence(), Client(url, token) as client:
        try:
            yield client
            if client.stale_since:
                words = f"Warning: the service has read nothing new since {client.stale_since}; its /readyz says why."
                click.echo(plain(words), err=True)
        except NobodyAnswersError as error:
            raise click.ClickException(f"{plain(str(error))}{advice}") from error
        except (LookupError, TypeError) as error:
            words = f"What answers at {client.url} does not answer as devicesvc does: {error!r}."
            raise click.ClickException(plain(words)) from error


def calls_service(command: Command) -> Command:
    """Give a command the options --url and --token, and a client in their place. An ApiError ends it with its
    sentence."""

    @url_option
    @token_option
    @wraps(command)
    def run(url: str, token: str | None, **arguments: Any) -> None:
        with called(url, token, " Another address: --url or DEVICESVC_URL.") as client:
            command(client, **arguments)

    added: Command = run
    return added


def values_argument(*, required: bool = False) -> Callable[[Command], Command]:
    """Give a command the argument FIELD=VALUE..., for `read_values`."""
    return click.argument("values", metavar="FIELD=VALUE...", nargs=-1, required=required)


def filters(of: type[DeviceFilter | GroupFilter]) -> Callable[[Command], Command]:
    """Give a command an option for each field of a filter, --sort and --limit. They come as keyword arguments, as the
    lists of a client take them."""

    def add(command: Command) -> Command:
        sorts = [sign + name for name in of.SORTS for sign in ("", "-")]
        command = click.option("--limit", type=click.IntRange(1), help="At most so many.")(command)
        command = click.option(
            "--sort",
            type=click.Choice(sorts),
            metavar="FIELD",
            help="The field to sort by; -FIELD: in descending order.",
        )(command)
        for field in reversed(fields(of)):
            name = API_NAMES.get(field.name, field.name)
            words = HELP.get(name, f"Only those with this {name.replace('_', ' ')}.")
            option = click.option(
                f"--{name.replace('_', '-')}", name, metavar="TEXT", help=words, multiple=field.default == frozenset()
            )
            command = option(command)
        return command

    return add


def print_items(items: Iterable["Item"], columns: Mapping[str, Callable[["Item"], str]], as_json: bool | None) -> None:
    """Print items while they come: as a JSON array with one item a line, or as a table. columns: the title of each
    column, and how to read its cell from an item."""
    if wants_json(as_json):
        show(_json_lines(items), "utf-8")
    else:
        show(table([*columns], ([plain(read(item)) for read in columns.values()] for item in items)))


def print_item(item: "Item", as_json: bool | None) -> None:
    """Print one item: as JSON, or as a table of its fields, named as `set` takes them."""
    if wants_json(as_json):
        show([json_block(item)], "utf-8")
    else:
        show(table(["FIELD", "VALUE"], ([plain(name), plain(value)] for name, value in _flat(item))))


def show(lines: Iterable[str], encoding: str | None = None) -> None:
    """Write lines to stdout. encoding: if it is not that of the terminal; characters that it lacks are escaped."""
    for line in lines:
        sys.stdout.buffer.write(f"{line}\n".encode(encoding or sys.stdout.encoding, "backslashreplace"))
    sys.stdout.flush()  # here, so that a reader who has gone is no traceback at the end


def wants_json(as_json: bool | None) -> bool:
    """Whether to print JSON. as_json: what was asked for, if anything was."""
    return not sys.stdout.isatty() if as_json is None else as_json


def with_values(item: dict[str, Any], values: Iterable[str]) -> dict[str, Any]:
    """The item with the fields that FIELD=VALUE... give, such as hardware.model=x86. `nic` is a list, so its value is
    JSON."""
    for text in values:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise click.UsageError(f"{text!r} should be FIELD=VALUE, such as status=offline.")
        *outer, name = path.split(".")
        if outer[:1] == ["nic"]:
            raise click.UsageError(
                'nic is given as a whole, as JSON: nic=\'[{"type": "eth", "mac": ..., "ipv4": ...}]\''
            )
        inner = item
        for each in outer:
            inner = inner.setdefault(each, {})
            if not isinstance(inner, dict):
                raise click.UsageError(f"{each} has no fields, so there is no {path}.")
        inner[name] = read_json(value, "nic") if path == "nic" else value
    return item


def read_json(text: str | bytes, what: str) -> Any:
    """Parse JSON. what: its name in the refusal."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{what} is not proper JSON: {error}.") from error


def add_item(items: "Items", values: tuple[str, ...], file: BinaryIO | None) -> None:
    """Add the item that the values give, on top of the JSON in the file, and print its id."""
    start = read_json(file.read(), "what --from gives") if file else {}
    if not isinstance(start, dict):
        raise click.UsageError("What --from gives must be one JSON object.")
    show([plain(items.add(with_values(start, values)))])


def remove_items(items: "Items", noun: str, ids: tuple[str, ...], yes: bool) -> None:
    """Remove the items. Ask first if there are several and a person can answer. Those that do not exist are named, and
    the exit code is 1 then."""
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > 1 and not yes and sys.stdin.isatty():
        click.confirm(f"Remove {len(wanted)} {noun}s?", abort=True)
    removed = set(items.remove(*wanted))
    if removed:
        show([f"Removed {counted(len(removed), noun)}."])
    if missing := [repr(id) for id in wanted if id not in removed]:
        raise click.ClickException(plain(f"There is no {noun} with the id {', '.join(missing)}."))


def counted(number: int, noun: str) -> str:
    """Such as `1 device` or `2 devices`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _json_lines(items: Iterable["Item"]) -> Iterator[str]:
    before = "["  # not printed before the first item has come: perhaps there is an error instead
    for number, item in enumerate(items):
        yield before if number == 0 else f"{before},"
        before = json_line(item)
    yield from (before, "]")


def _flat(item: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, str]]:
    for name, value in item.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{name}.")
        elif isinstance(value, list):
            yield f"{path}{name}", json_line(value)
        else:
            yield f"{path}{name}", str(value)
