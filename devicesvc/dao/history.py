"""The history of a registry: who changed what, when. What a change does is steps, and each step is rows of the history.

A row is text in each column, the same in a file, in a database and in an answer. It is made of the CSV form of an item:
so a new field is in it by itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from devicesvc.csv_codec.format import Format
from devicesvc.csv_codec.formats import DEVICE_CSV, GROUP_CSV, MEMBERSHIP_CSV
from devicesvc.errors import NotFound
from devicesvc.logs import NOBODY, request_client, request_id, request_user
from devicesvc.model import Device, Group, Membership

Kept = Device | Group | Membership

MAX_LOGGED = 1000  # ids in the log line of a change: as many as a batch may have
MAX_ROWS = 100  # of one change in a list of changes; `History.change` gives all

ADDED, CHANGED, DELETED = "added", "changed", "deleted"
NOT_KEPT = "not kept"  # takes back the row before it that is the same in all else: a crash came before what that tells

REGISTRY, REPLACED = "registry", "replaced"  # what is told of a migration or a restore: it has put all in place

# Who has changed something, if it was no request:
FILE = "file"  # a person, in an editor
IMPORT = "import"  # the devices that a new registry begins with
MIGRATE = "migrate"
RESTORE = "restore"


class Author(NamedTuple):
    """Who changes something. who: the name of the token, or a word as above. request_id, address: of the request and
    of its client; empty if there is none."""

    who: str = NOBODY
    request_id: str = ""
    address: str = ""

    @classmethod
    def of_request(cls) -> "Author":
        """The author of what this thread does now."""
        return cls(request_user.get(), request_id.get(), request_client.get())


class Kind(NamedTuple):
    """A kind of what is kept. name: what it is called in the history and in messages. id: gets the id; that of a
    membership is DEVICE_ID/GROUP_ID."""

    name: str
    format: Format[Any]
    id: Callable[[Any], str]


KINDS = {
    Device: Kind("device", DEVICE_CSV, lambda device: device.id),
    Group: Kind("group", GROUP_CSV, lambda group: group.id),
    Membership: Kind("membership", MEMBERSHIP_CSV, lambda each: f"{each.device_id}/{each.group_id}"),
}
KINDS_BY_NAME = {kind.name: kind for kind in KINDS.values()}


class Row(NamedTuple):
    """A row of the history: all that it says is text, but the number of the change.

    time: UTC, as `now` gives it. done: added, changed, deleted or not kept. kind: device, group or membership. column:
    of the file, for what was changed; it is empty if the item was added or deleted: then `after` or `before` is its
    line of the file.
    """

    change: int
    time: str
    who: str
    request_id: str
    address: str
    done: str
    kind: str
    id: str
    column: str
    before: str
    after: str


class Step(NamedTuple):
    """What was done to one item. before, after: the item; None if there was none."""

    before: Kept | None
    after: Kept | None

    @property
    def kind(self) -> Kind:
        return KINDS[type(self.after or self.before)]

    @property
    def id(self) -> str:
        return self.kind.id(self.after or self.before)

    @property
    def done(self) -> str:
        return DELETED if not self.after else CHANGED if self.before else ADDED

    def cells(self) -> Iterator[tuple[str, str, str]]:
        """Each column that differs, with its cell before and after; of an item that comes or goes, the whole line."""
        format = self.kind.format
        if self.before and self.after:
            pairs = zip(format.cells(self.before), format.cells(self.after), strict=True)
            yield from (
                (column, *pair) for column, pair in zip(format.columns, pairs, strict=True) if pair[0] != pair[1]
            )
        else:
            before, after = (format.line(item) if item else "" for item in self)
            yield "", before, after


class ChangeSet(list[Step]):
    """What a change really did, step by step. It is empty if nothing was done: then there is nothing to commit.

    author: who does it.
    """

    author = Author()

    def added(self, items: Iterable[Kept]) -> None:
        """Add that these items were added."""
        self.extend(Step(None, item) for item in items)

    def changed(self, pairs: Iterable[tuple[Kept, Kept]]) -> None:
        """Add that the second of each pair is in the place of the first."""
        self.extend(Step(*pair) for pair in pairs)

    def deleted(self, items: Iterable[Kept]) -> None:
        """Add that these items were deleted."""
        self.extend(Step(item, None) for item in items)

    def rows(self, number: int, time: str) -> Iterator[Row]:
        """The rows of the history, for the change of this number at this time."""
        for step in self:
            for cells in step.cells():
                yield Row(number, time, *self.author, step.done, step.kind.name, step.id, *cells)

    def by_done(self) -> dict[str, list[str]]:
        """The ids by what was done to them, such as `devices added`."""
        ids: dict[str, list[str]] = {}
        for step in self:
            ids.setdefault(f"{step.kind.name}s {step.done}", []).append(step.id)
        return ids

    def __str__(self) -> str:
        return "; ".join(f"{done}: {_at_most(ids, MAX_LOGGED)}" for done, ids in self.by_done().items())


def _at_most(ids: Sequence[str], most: int) -> str:
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(ids[:most]) + more


def time_text(moment: datetime) -> str:
    """A moment in UTC, as 2026-03-01T01:30:00.123Z: two such texts compare as the moments do."""
    return moment.isoformat("T", "milliseconds").replace("+00:00", "Z")


def now(after: str = "") -> str:
    """This moment, as `time_text` gives it. after: a time that it must be later than: the clock may have been set
    back."""
    time = time_text(datetime.now(UTC))
    return time if time > after else time_text(datetime.fromisoformat(after) + timedelta(milliseconds=1))


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What rows to look for. None leaves a field out; the others must all fit.

    device_id, group_id: rows of this item, and of its memberships. since, until: from this time on, and before that
    one, as `now` gives it.
    """

    device_id: str | None = None
    group_id: str | None = None
    who: str | None = None
    request_id: str | None = None
    since: str | None = None
    until: str | None = None

    def matches(self, row: Row) -> bool:
        """Whether the row fits."""
        device_id, _, group_id = row.id.partition("/") if row.kind == "membership" else (row.id, "", row.id)
        return (
            (self.device_id is None or (row.kind != "group" and device_id == self.device_id))
            and (self.group_id is None or (row.kind != "device" and group_id == self.group_id))
            and self.who in (None, row.who)
            and self.request_id in (None, row.request_id)
            and (self.since is None or row.time >= self.since)
            and (self.until is None or row.time < self.until)
        )


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the history. rows: those that are wanted, in the order in which they were done. count: how many it
    has in all. Rows that were not kept are in neither."""

    number: int
    time: str
    who: str
    request_id: str
    address: str
    count: int
    rows: list[Row]


class History(ABC):
    """The history of a store, to read and to prune. Numbers of changes rise, and leave gaps. What was pruned, or moved
    away by hand, is not found. Each method raises StoreUnavailable if the history cannot be read."""

    @abstractmethod
    def page(self, where: HistoryFilter, before: int | None, limit: int) -> list[Change]:
        """The newest changes with a row that fits, the newest first: at most `limit`, and of each the first MAX_ROWS
        rows that fit. before: only changes with a lesser number."""

    @abstractmethod
    def after(self, number: int, limit: int) -> list[Change]:
        """The changes with a greater number, the oldest first: at most `limit`, and of each the first MAX_ROWS rows. No
        change with a lesser number than one of these comes later: who asks for those after the last one misses none."""

    @abstractmethod
    def last(self) -> int:
        """The number of the last change that `after` can give; 0 if there is none. It costs little."""

    @abstractmethod
    def find(self, number: int, first: int = 0, limit: int | None = None) -> Change | None:
        """The change with this number, and its rows from this place on, at most `limit`; None if there is none."""

    @abstractmethod
    def rows_of(self, kind: str, id: str) -> Iterator[Row]:
        """The rows of one item, without its memberships, the newest first."""

    @abstractmethod
    def prune(self, before: str) -> int:
        """Delete the rows of before this time, but not those that tell of an item's creation, nor those of its last
        change. Return how many were deleted."""

    @abstractmethod
    def size(self) -> int:
        """How many bytes it takes on the disk; in a database, about."""

    @property
    def fault(self) -> str | None:
        """What is wrong with the history, so that it is not complete, in one sentence; None if nothing is."""
        return None

    def get(self, number: int, first: int = 0, limit: int | None = None) -> Change:
        """As `find`. Raises NotFound."""
        change = self.find(number, first, limit)
        if not change:
            raise NotFound(f"There is no change with the number {number}.")
        return change

    def as_of(self, kind: str, id: str, current: Any, time: str) -> Any:
        """An item as it was at this time; None if there was none. kind: its name. current: the item as it is; None if
        there is none."""
        format = KINDS_BY_NAME[kind].format
        item = current
        cells: dict[str, str] = {}  # put back together: one alone may not go with the others
        for row in self.rows_of(kind, id):
            if row.time <= time:
                break
            if row.column:
                cells[row.column] = row.before
            else:
                item = format.from_line(row.before) if row.before else None
                cells.clear()
        return format.replaced(item, cells) if item and cells else item
