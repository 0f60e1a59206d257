"""Cursors as text: clients get it as `next`, and send it back to get the next page. It has no meaning for them."""

import base64
from collections.abc import Container
from contextlib import suppress

import orjson

from devicesvc.dao.base import Cursor, PageRequest
from devicesvc.errors import Invalid

MAX_LIMIT = 1000  # items in an answer
MAX_CURSOR = 4096  # characters; the longest that an answer has is some 1,500


def encode_cursor(cursor: Cursor | None, request: PageRequest) -> str | None:
    """The text of a cursor: it also names the sort order of the request. None if there is no cursor."""
    if cursor is None:
        return None
    sort = f"-{request.sort}" if request.descending else request.sort
    return base64.urlsafe_b64encode(orjson.dumps([sort, *cursor])).decode().rstrip("=")


def page_request(
    sorts: Container[str], *, sort: str | None, limit: int | None, cursor: str | None, total: bool
) -> PageRequest:
    """The page request that the arguments of a call make. sorts: the fields that the list may be sorted by. limit:
    items. Raises Invalid if the cursor is not the `next` of an answer, or was made for another sort order."""
    of, after = _decode_cursor(cursor, sorts) if cursor is not None else (sort or "id", None)
    if sort not in (None, of):
        raise Invalid({"cursor": f"must be from a list with the same sort; this cursor is from a list with sort={of}"})
    return PageRequest(of.removeprefix("-"), of.startswith("-"), after, limit, total)


def _decode_cursor(text: str, sorts: Container[str]) -> tuple[str, Cursor]:
    with suppress(ValueError):  # of base64, UTF-8 or JSON
        if len(text) > MAX_CURSOR:
            raise ValueError
        padded = text + "=" * (-len(text) % 4)
        match orjson.loads(base64.b64decode(padded, b"-_", validate=True)):
            # No item has NUL in a value, and PostgreSQL cannot compare one with it.
            case [str(sort), str(value), str(id)] if sort.removeprefix("-") in sorts and "\0" not in value + id:
                return sort, Cursor(value, id)
    raise Invalid({"cursor": "must be the `next` of an earlier answer"})
