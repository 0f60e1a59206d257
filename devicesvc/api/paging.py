"""Cursors: where the next page of a list begins, in a form that clients hand back and need not understand."""

import base64
from collections.abc import Container
from contextlib import suppress

import orjson

from devicesvc.dao.base import Place, Window
from devicesvc.errors import Invalid

MAX_LIMIT = 1000  # items in an answer


def cursor(place: Place | None, window: Window) -> str | None:
    """The cursor of a place in a list that is sorted as in the window; None where there is none."""
    if place is None:
        return None
    sort = f"-{window.sort}" if window.descending else window.sort
    return base64.urlsafe_b64encode(orjson.dumps([sort, *place])).decode().rstrip("=")


def window(sorts: Container[str], *, sort: str | None, limit: int | None, cursor: str | None, total: bool) -> Window:
    """The window that the arguments of a call ask for, in a list that may be sorted by `sorts`. Raises Invalid, for a
    cursor that no such list has answered with, or that is of a list sorted otherwise."""
    of, after = _read(cursor, sorts) if cursor is not None else (sort or "id", None)
    if sort not in (None, of):
        raise Invalid({"cursor": f"must be of a list that is sorted alike; this one is of sort={of}"})
    return Window(of.removeprefix("-"), of.startswith("-"), after, limit, total)


def _read(cursor: str, sorts: Container[str]) -> tuple[str, Place]:
    with suppress(ValueError):  # of base64, UTF-8 or JSON
        padded = cursor + "=" * (-len(cursor) % 4)
        match orjson.loads(base64.b64decode(padded, b"-_", validate=True)):
            case [str(sort), str(value), str(id)] if sort.removeprefix("-") in sorts:
                return sort, Place(value, id)
    raise Invalid({"cursor": "must be the `next` of an earlier answer"})
