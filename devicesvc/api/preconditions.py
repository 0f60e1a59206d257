"""ETags, and the conditions that a request may set with them (RFC 9110, section 13)."""

import hashlib

import orjson
from flask import request
from werkzeug.exceptions import PreconditionFailed

from devicesvc.model import Device, Group

_LENGTH = 32  # hex digits: 128 bits, so that two versions never share one


def etag(item: Device | Group) -> str:
    """A hash of the canonical JSON of an item."""
    return hashlib.sha256(orjson.dumps(item, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_LENGTH]


class Preconditions:
    """What a request demands of an item as it is now. Made from the request; an op, in another thread, checks it."""

    def __init__(self) -> None:
        self._match = request.if_match if "If-Match" in request.headers else None
        self._none_match = request.if_none_match

    def check(self, item: Device | Group | None) -> None:
        """Judge a change of the item (None: there is none yet). Raises 412."""
        self.check_match(item)
        if self.is_not_modified(item):
            raise PreconditionFailed("If-None-Match: it is there already, in a version that is named.")

    def check_match(self, item: Device | Group | None) -> None:
        """Judge If-Match alone. Raises 412."""
        if self._match is None:
            return
        if item is None:
            raise PreconditionFailed("If-Match: there is no such item.")
        if not self._match.contains(etag(item)):
            raise PreconditionFailed(
                "If-Match: it is another version now. Get it again, and repeat the change on that."
            )

    def is_not_modified(self, item: Device | Group | None) -> bool:
        """Whether the client that reads has the item as it is now, by If-None-Match."""
        return item is not None and self._none_match.contains_weak(etag(item))
