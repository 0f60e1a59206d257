"""devicesvc history, and history prune"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from devicesvc.cli import remote
from devicesvc.cli.common import one_sentence, store_argument
from devicesvc.terminal import plain, table

if TYPE_CHECKING:
    from devicesvc.client import Item

COLUMNS = ["NUMBER", "TIME", "WHO", "WHAT", "ID", "CHANGE"]
LIMIT = 100
KEPT = "Of each device, group and membership two things stay: that it was added, and its last change."
PAGE = 1000  # changes that are read together


class Moment(click.ParamType[str]):
    """A date or a time; without a zone it is that of this machine. It becomes a text as the history has it, in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            moment = datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} should be a date or a time, such as 2026-11-24 or 2026-11-24T20:00.", param, ctx)
        return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


class WithPrune(click.Command):
    """A command with a command in it, which is called if its name is the first word."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == [prune.name]:
            return prune.make_context(f"{info_name} {prune.name}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=WithPrune, context_settings={"show_default": True})
@store_argument
@click.option("--id", "device_id", metavar="ID", help="Only of the device with this id, and of its memberships.")
@click.option("--group", "group_id", metavar="ID", help="Only of the group with this id, and of its memberships.")
@click.option(
    "--who", metavar="NAME", help="Only by this token; or by file, import, migrate, restore, or - for nobody."
)
@click.option("--request-id", metavar="TEXT", help="Only by the request with this id: the log and answers have it.")
@click.option("--since", type=Moment(), help="Only from this time on, such as 2026-11-24 or 2026-11-24T20:00.")
@click.option("--until", type=Moment(), help="Only before this time.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT, help="At most so many changes.")
@remote.json_option
@remote.token_option
def history(store: str, token: str | None, limit: int, as_json: bool | None, **where: str | None) -> None:
    """Say who has changed what, and when: the newest change first.

    STORE is a store of any kind, or the URL of a service, such as http://localhost:8000. Without it: the value of
    DEVICESVC_STORE in the environment, or ./device.csv. Nothing is changed, and the service may run meanwhile.

    A table shows times of this machine, JSON shows them in UTC.

    devicesvc history prune deletes old rows: see devicesvc history prune --help.
    """
    with _changes(store, token, where, limit) as changes:
        if remote.wants_json(as_json):
            remote.print_items(changes, {}, as_json=True)
        else:
            remote.show(table(COLUMNS, _cells(changes, is_of_item=bool(where["device_id"] or where["group_id"]))))


@click.command()
@store_argument
@click.option("--before", type=Moment(), required=True, help="Delete what is older, such as 2026-01-01.")
@remote.yes_option
def prune(store: str, before: str, yes: bool) -> None:
    """Delete old rows of the history of STORE. This cannot be undone.

    Of each device, group and membership these rows stay, however old they are: that it was added, and its last change.

    The service may run meanwhile. Older months of a CSV store can also be moved away, or compressed with gzip.
    """
    from devicesvc.dao.urls import parse

    with one_sentence():
        url = parse(store)
        with url.history():  # it says so if there is none
            pass
        if not yes:
            click.echo(f"{KEPT} The others are lost for ever.")
            click.confirm(f"Delete the history of before {_local(before)} from {url.redacted}?", abort=True)
        with url.open() as opened:
            deleted = opened.history.prune(before)
    rows = f"{deleted:,} row{'' if deleted == 1 else 's'}"
    click.echo(f"Deleted {rows} of before {_local(before)} from the history of {url.redacted}. {KEPT}")


@contextmanager
def _changes(store: str, token: str | None, where: dict[str, str | None], limit: int) -> "Iterator[Iterable[Item]]":
    """The changes of a store or of a service, as the API gives them."""
    if store.startswith(("http://", "https://")):
        with remote.called(store, token) as client:
            yield client.changes.list(
                limit=limit, **{name: value for name, value in where.items() if value is not None}
            )
        return
    from devicesvc.dao.history import HistoryFilter
    from devicesvc.dao.urls import parse

    with one_sentence(), parse(store).history() as found:
        yield islice(_read(found, HistoryFilter(**where), limit), limit)


def _read(history: Any, where: Any, limit: int) -> "Iterator[Item]":
    """The changes of a store that fit, page by page."""
    before = None
    while page := history.page(where, before, min(limit, PAGE)):
        for change in page:
            yield {
                **{name: getattr(change, name) for name in ("number", "time", "who", "request_id", "address", "count")},
                "rows": [
                    {name: getattr(row, name) for name in ("done", "kind", "id", "column", "before", "after")}
                    for row in change.rows
                ],
            }
        before = page[-1].number


def _cells(changes: "Iterable[Item]", *, is_of_item: bool) -> Iterator[list[str]]:
    """The rows of the table: of each change its rows, and how many more it has. is_of_item: only those of one item
    are wanted."""
    for change in changes:
        head = [str(change["number"]), _local(change["time"]), plain(change["who"])]
        for row in change["rows"]:
            what = [f"{row['kind']} {row['done']}", row["id"], _words(row)]
            yield [*head, *map(plain, what)]
            head = ["", "", ""]
        if not is_of_item and (more := change["count"] - len(change["rows"])):
            yield [*head, f"and {more:,} rows more", "", ""]


def _words(row: "Item") -> str:
    if row["column"]:
        return f"{row['column']}: {row['before'] or '(empty)'} -> {row['after'] or '(empty)'}"
    return str(row["before"] or row["after"])


def _local(time: str) -> str:
    """A time of the history in the zone of this machine."""
    try:
        return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):  # somebody has edited the file
        return plain(time)
