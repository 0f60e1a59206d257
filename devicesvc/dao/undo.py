"""To take back a change of the history, as a change of its own."""

from collections.abc import Iterator, Sequence
from typing import Any

from devicesvc.dao.base import Transaction
from devicesvc.dao.history import ADDED, CHANGED, DELETED, KINDS_BY_NAME, Change, Row
from devicesvc.errors import Conflict
from devicesvc.model import Device, Membership

MAX_NAMED = 100  # differences that a refusal names


def undo(tx: Transaction, change: Change) -> None:
    """Put all that the change did back as it was before: all of it, or nothing. change: with all its rows.

    Raises Conflict if something is not as the change has left it: it names what, with its value now.
    """
    if any(row.done not in _UNDO for row in change.rows):
        raise Conflict(f"Change {change.number} has replaced the whole registry: devicesvc restore replaces it again.")
    differences: dict[str, str] = {}
    for rows in reversed(list(_steps(change.rows))):
        differences |= _UNDO[rows[0].done](tx, rows)
    if differences:
        named = dict(list(differences.items())[:MAX_NAMED])
        words = f"Change {change.number} cannot be undone, because there were later changes"
        raise Conflict(f"{words}: {'; '.join(f'{what} {how}' for what, how in named.items())}.", named)


def _steps(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows of each step: several columns of one item may have changed in one."""
    step: list[Row] = []
    for row in rows:
        same = step and (row.done, row.kind, row.id) == (step[0].done, step[0].kind, step[0].id)
        if not same or not row.column or row.column in (each.column for each in step):
            if step:
                yield step
            step = []
        step.append(row)
    if step:
        yield step


def _take_away(tx: Transaction, rows: Sequence[Row]) -> dict[str, str]:
    """Undo that an item was added."""
    [row] = rows
    kind, name = KINDS_BY_NAME[row.kind], f"the {row.kind} {row.id}"
    item = kind.format.from_line(row.after)
    if isinstance(item, Membership):
        return {} if tx.memberships.remove([item]) else {name: "is gone"}
    table: Any = tx.devices if isinstance(item, Device) else tx.groups
    found = table.find(row.id)
    if not found:
        return {name: "is gone"}
    if found != item:
        pairs = zip(kind.format.columns, kind.format.cells(found), kind.format.cells(item), strict=True)
        return {f"{name}, {column}": f"is {now!r} now" for column, now, then in pairs if now != then}
    if left := tx.memberships.list(**{f"{row.kind}_id": row.id}):
        return {name: f"has {'a membership' if len(left) == 1 else f'{len(left)} memberships'} now"}
    table.remove([row.id])
    return {}


def _give_back(tx: Transaction, rows: Sequence[Row]) -> dict[str, str]:
    """Undo that an item was deleted."""
    [row] = rows
    item, name = KINDS_BY_NAME[row.kind].format.from_line(row.before), f"the {row.kind} {row.id}"
    if isinstance(item, Membership):
        if tx.devices.missing([item.device_id]) or tx.groups.missing([item.group_id]):
            return {name: "names a device or group that is gone"}
        return {} if tx.memberships.add([item]) else {name: "is there again"}
    table: Any = tx.devices if isinstance(item, Device) else tx.groups
    if table.find(row.id):
        return {name: "is there again"}
    table.add(item)
    return {}


def _set_back(tx: Transaction, rows: Sequence[Row]) -> dict[str, str]:
    """Undo that columns of an item were changed."""
    kind, id = KINDS_BY_NAME[rows[0].kind], rows[0].id
    table: Any = tx.devices if kind.name == "device" else tx.groups
    found, name = table.find(id), f"the {kind.name} {id}"
    if not found:
        return {name: "is gone"}
    cells = dict(zip(kind.format.columns, kind.format.cells(found), strict=True))
    differences = {
        f"{name}, {row.column}": f"is {cells[row.column]!r} now" for row in rows if cells[row.column] != row.after
    }
    if not differences:
        table.replace(kind.format.replaced(found, {row.column: row.before for row in rows}))
    return differences


_UNDO = {ADDED: _take_away, CHANGED: _set_back, DELETED: _give_back}
