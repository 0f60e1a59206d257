"""What the calls on the history answer: lists of changes, one change, an item as it was, and undo."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Response

from devicesvc.api.feed import feed
from devicesvc.api.remembered import remember
from devicesvc.api.responses import ok, ok_unless_known, store
from devicesvc.dao.base import Transaction, not_found
from devicesvc.dao.history import Change, HistoryFilter, Row
from devicesvc.dao.undo import undo
from devicesvc.errors import NotFound, shown

MAX_LIMIT = 1000  # changes in an answer, rows of one change in an answer
MAX_ROWS = 10_000  # of all changes in an answer: with one more change, it is full
STEP = 100  # changes that are read together
COLUMNS = ("done", "kind", "id", "column", "before", "after")  # of a row in an answer; the others are of its change
RETRY = {"Retry-After": "1"}
NOW = "now"  # as the place where the feed begins


def find(where: HistoryFilter, cursor: int | None, limit: int) -> Response:
    """Answer with the newest changes with a row that fits, or with 304 if If-None-Match names that answer."""
    history = store().history
    changes, is_last = _collected(lambda before, most: history.page(where, before, most), cursor, limit)
    following = None if is_last else changes[-1].number
    return ok_unless_known(f"changes found: {len(changes)}", data=list(map(_as_json, changes)), next=following)


def find_of(kind: str, id: str, where: HistoryFilter, cursor: int | None, limit: int) -> Response:
    """As `find`, of one device or group. Raises NotFound if there is none with this id, and the history knows none."""
    of_item = HistoryFilter(**{f"{kind}_id": id})
    table: Any = getattr(store(), f"{kind}s")
    if not table.find(id) and not store().history.page(of_item, None, 1):
        raise not_found(table.item, id)
    return find(replace(where, **{f"{kind}_id": id}), cursor, limit)


def find_after(place: int | str, limit: int, wait: int) -> Response:
    """Answer with the changes after a place, the oldest first, as soon as there is one, or after `wait` seconds. place:
    the number of a change, or NOW."""
    after = store().history.last() if isinstance(place, str) else place
    changes, headers = _after(after, limit), {}
    if not changes and wait:
        if not feed().wait(after, wait):
            headers = RETRY
        changes = _after(after, limit)
    if changes:
        remember()  # the same for all that have waited
    following = changes[-1].number if changes else after
    words = f"changes found: {len(changes)}"
    return ok(words, headers=headers, data=list(map(_as_json, changes)), next=following)


def _after(number: int, limit: int) -> list[Change]:
    return _collected(store().history.after, number, limit)[0]


def _collected(fetch: Callable[[Any, int], list[Change]], start: int | None, limit: int) -> tuple[list[Change], bool]:
    """At most `limit` changes, read in steps, and fewer if they have MAX_ROWS rows; and whether there are no more."""
    changes: list[Change] = []
    rows = 0
    while len(changes) < limit and rows < MAX_ROWS:
        most = min(STEP, limit - len(changes))
        found = fetch(start, most + 1)
        changes += found[:most]
        if len(found) <= most:
            return changes, True
        start = changes[-1].number
        rows += sum(len(change.rows) for change in found)
    return changes, False


def get(number: int, cursor: int) -> Response:
    """Answer with a change, and its rows from this place on, at most MAX_LIMIT. Raises NotFound."""
    change = store().history.get(number, cursor, MAX_LIMIT)
    end = cursor + len(change.rows)
    return ok("change found", data=_as_json(change), next=end if change.rows and end < change.count else None)


def as_it_was(kind: str, id: str, current: Any, time: str) -> Response:
    """Answer with a device or a group as it was at this time. current: as it is; None if there is none. Raises
    NotFound."""
    item = store().history.as_of(kind, id, current, time)
    if not item:
        raise NotFound(f"There was no {kind} with the id {shown(id)} at {time}.")
    return ok(f"{kind} found, as it was at {time}", data=item)


def take_back(number: int, dry_run: bool) -> Response:
    """Undo a change, and answer with what that does. dry_run: change nothing. Raises NotFound, Conflict."""
    change = store().history.get(number)

    def change_back(tx: Transaction) -> tuple[int, list[Row]]:
        undo(tx, change)
        rows = list(tx.change_set.rows(0, ""))
        return len(rows), rows[:MAX_LIMIT]

    count, rows = (store().rehearse if dry_run else store().write)(change_back)
    words = f"change {number} {'would be ' if dry_run else ''}undone, rows: {count}"
    return ok(words, data={"count": count, "rows": list(map(_row, rows))})


def _as_json(change: Change) -> dict[str, Any]:
    return {
        **{"number": change.number, "time": change.time, "who": change.who, "request_id": change.request_id},
        **{"address": change.address, "count": change.count, "rows": list(map(_row, change.rows))},
    }


def _row(row: Row) -> dict[str, str]:
    return {name: getattr(row, name) for name in COLUMNS}
