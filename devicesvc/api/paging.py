"""Cursors: where the next page of a list begins, in a form that clients hand back and need not understand."""

import base64
import binascii

import orjson

from devicesvc.dao.base import Place, Window
from devicesvc.errors import Invalid

MAX_LIMIT = 1000  # items in an answer


def cursor(place: Place | None, window: Window) -> str | None:
    """The cursor of a place in a list that is sorted as in the window; None where there is none."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(orjson.dumps([_sort(window), *place])).decode().rstrip("=")


def window(*, sort: str | None, limit: int | None, cursor: str | None, total: bool) -> Window:
    """The window that the arguments of a call ask for. Raises Invalid, for a cursor that no list has answered with, or
    that one sorted otherwise has."""
    of, after = _read(cursor) if cursor is not None else (sort, None)
    if sort not in (None, of):
        raise Invalid({"cursor": f"must be of a list that is sorted alike; this one is of sort={of}"})
    of = of or "id"
    return Window(of.removeprefix("-"), of.startswith("-"), after, limit, total)


def _sort(window: Window) -> str:
    return f"-{window.sort}" if window.descending else window.sort


def _read(cursor: str) -> tuple[str, Place]:
    try:
        sort, value, id = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
        if not (isinstance(sort, str) and isinstance(value, str) and isinstance(id, str)):
            raise ValueError
    except (ValueError, binascii.Error):
        raise Invalid({"cursor": "must be the `next` of an earlier answer"}) from None
    return sort, Place(value, id)
