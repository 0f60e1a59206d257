"""Cursors as clients get them: text that they send back to have the next page, and need not understand."""

import base64
from collections.abc import Container
from contextlib import suppress

import orjson

from devicesvc.dao.base import Cursor, PageRequest
from devicesvc.errors import Invalid

MAX_LIMIT = 1000  # items in an answer


def encode_cursor(cursor: Cursor | None, request: PageRequest) -> str | None:
    """The text of a cursor in a list that is sorted as the request says; None if there is no cursor."""
    if cursor is None:
        return None
    sort = f"-{request.sort}" if request.descending else request.sort
    return base64.urlsafe_b64encode(orjson.dumps([sort, *cursor])).decode().rstrip("=")


def page_request(
    sorts: Container[str], *, sort: str | None, limit: int | None, cursor: str | None, total: bool
) -> PageRequest:
    """The page that the arguments of a call ask for. sorts: what the list may be sorted by. Raises Invalid if the
    cursor is not from an answer of such a list, or its list was sorted in another way."""
    of, after = _decode_cursor(cursor, sorts) if cursor is not None else (sort or "id", None)
    if sort not in (None, of):
        raise Invalid({"cursor": f"must be of a list that is sorted alike; this one is of sort={of}"})
    return PageRequest(of.removeprefix("-"), of.startswith("-"), after, limit, total)


def _decode_cursor(text: str, sorts: Container[str]) -> tuple[str, Cursor]:
    with suppress(ValueError):  # of base64, UTF-8 or JSON
        padded = text + "=" * (-len(text) % 4)
        match orjson.loads(base64.b64decode(padded, b"-_", validate=True)):
            case [str(sort), str(value), str(id)] if sort.removeprefix("-") in sorts:
                return sort, Cursor(value, id)
    raise Invalid({"cursor": "must be the `next` of an earlier answer"})
