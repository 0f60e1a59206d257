"""ETags, and the preconditions of a request: If-Match and If-None-Match (RFC 9110, section 13)."""

import hashlib

import orjson
from flask import request
from werkzeug.exceptions import PreconditionFailed
from werkzeug.http import parse_etags

from devicesvc.model import Device, Group

_LENGTH = 32  # hex digits: with 128 bits, two versions do not get the same ETag by chance


def etag(json: bytes) -> str:
    """The ETag, without quotes, of an item as the JSON of an answer, or of a whole answer with a list: 32 hex digits of
    the SHA-256."""
    return hashlib.sha256(json).hexdigest()[:_LENGTH]


def is_known(version: str) -> bool:
    """Whether the client of the current request has this version of a list: If-None-Match names it."""
    environ = request.environ
    return "HTTP_IF_NONE_MATCH" in environ and parse_etags(environ["HTTP_IF_NONE_MATCH"]).contains_weak(version)


class Preconditions:
    """The preconditions of the current request. They are read when this is made, because a change checks them in
    another thread, which does not have the request."""

    def __init__(self) -> None:
        environ = request.environ
        self._match = parse_etags(environ["HTTP_IF_MATCH"]) if "HTTP_IF_MATCH" in environ else None
        self._none_match = parse_etags(environ["HTTP_IF_NONE_MATCH"]) if "HTTP_IF_NONE_MATCH" in environ else None

    def check(self, item: Device | Group | None) -> None:
        """Check both headers for a change of this item; None means that it does not exist yet. Raises 412."""
        self.check_match(item)
        if self.is_not_modified(item):
            raise PreconditionFailed("If-None-Match: the item exists, in a version that this header names.")

    def check_match(self, item: Device | Group | None) -> None:
        """Check If-Match only. Raises 412."""
        if self._match is None:
            return
        if item is None:
            raise PreconditionFailed("If-Match: there is no such item.")
        if not self._match.contains(_etag_of(item)):
            raise PreconditionFailed(
                "If-Match: the item has another version now. Get it again, and repeat the change on that version."
            )

    def is_not_modified(self, item: Device | Group | None) -> bool:
        """Whether If-None-Match names the version that the item has now."""
        return item is not None and self._none_match is not None and self._none_match.contains_weak(_etag_of(item))


def _etag_of(item: Device | Group) -> str:
    return etag(orjson.dumps(item))
