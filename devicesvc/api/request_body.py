"""Reads the arguments of a request: from strict JSON of limited size or, for GET and DELETE, also from the query."""

import json
from collections import Counter
from typing import Any

import marshmallow as ma
import orjson
from flask import Request
from gunicorn.http.errors import ParseException
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from devicesvc.errors import shown
from devicesvc.handover import MAX_BODY

MAX_DEPTH = 32  # levels of objects and lists inside one another
MAX_VALUES = 150_000  # in JSON, names too; 1000 devices with 16 network interfaces have some 135,000


class Parser(FlaskParser):
    """Reads the arguments of a view by its schema. An unknown argument is refused, in the query too."""

    DEFAULT_UNKNOWN_BY_LOCATION = {
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": ma.RAISE,
        "querystring": ma.RAISE,
    }
    __location_map__ = {
        **FlaskParser.__location_map__,
        "query": "load_query_or_body",
        "querystring": "load_querystring",
    }

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Return the JSON body. Raises 415 if its Content-Type is not JSON, and as read_body and parse_json do."""
        if not req.is_json:
            raise UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json.")
        return parse_json(read_body(req))

    def load_query_or_body(self, req: Request, schema: ma.Schema) -> Any:
        """Return the JSON body if there is one, with any Content-Type; otherwise the query. Raises 400 if both are
        given, and as read_body and parse_json do."""
        if body := read_body(req):
            if req.args:
                raise BadRequest("Give the arguments in the query or in the body, not in both.")
            return parse_json(body)
        return self.load_querystring(req, schema)

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        """Return the query. Raises 400 if a name is given twice that is not a list in the schema."""
        arguments: dict[str, Any] = {}
        for name, values in req.args.lists():
            if isinstance(schema.fields.get(name), ma.fields.List):
                arguments[name] = values
            elif len(values) > 1:
                raise BadRequest(f"The query gives {name!r} twice.")
            else:
                arguments[name] = values[0]
        return arguments


def read_body(req: Request, limit: int = MAX_BODY) -> bytes:
    """Return the whole body. Raises 413 if it has more than `limit` bytes, and 400 if it is not complete or its chunks
    are malformed."""
    if req.content_length is not None and req.content_length > limit:
        raise RequestEntityTooLarge(f"The body has {req.content_length} bytes, more than the limit of {limit}.")
    if not req.content_length and "HTTP_TRANSFER_ENCODING" not in req.environ:
        return b""
    body = bytearray()
    try:
        # One byte more than the limit, because a chunked body does not say how long it is.
        while len(body) <= limit and (part := req.stream.read(limit + 1 - len(body))):
            body += part
    except (OSError, ParseException) as error:
        raise BadRequest("The body cannot be read: its transfer coding is malformed.") from error
    if len(body) > limit:
        raise RequestEntityTooLarge(f"The body has more bytes than the limit of {limit}.")
    if req.content_length is not None and len(body) < req.content_length:
        raise BadRequest(f"The body broke off after {len(body)} of {req.content_length} bytes.")
    return bytes(body)


def parse_json(body: bytes) -> Any:
    """Parse JSON (RFC 8259) in UTF-8. Raises 400 for anything else, and 413 for more than MAX_VALUES values.

    Parsers disagree on some bodies, so these raise 400 too: a name given twice, NaN or Infinity, numbers beyond those,
    one surrogate without the other, and more than MAX_DEPTH levels of objects and lists.
    """
    structure = _structure(body)  # before the parser, because each value takes up to a hundred times the memory there
    try:
        value = orjson.loads(body)
        if _is_deep(structure):
            raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
        if structure.count(b":") > _count_names(value):  # of two equal names in an object, one is left
            json.loads(body, object_pairs_hook=_unique)
    except ValueError as error:
        raise BadRequest(f"The body is not proper JSON: {error}.") from error
    return value


def _structure(body: bytes) -> bytes:
    """The body without its texts. Raises 413 if it has more than MAX_VALUES values, names too.

    Each step is one call in C, which takes milliseconds: no other thread waits for longer.
    """
    text = body.replace(rb"\\", b"").replace(rb"\"", b"")  # now a quote begins or ends a text
    if text.count(b'"') <= 2 * MAX_VALUES:
        structure = b"".join(text.split(b'"')[::2])
        if len(structure) - len(structure.translate(None, b",:[{")) <= MAX_VALUES:  # each value comes after one
            return structure
    raise RequestEntityTooLarge(f"The body has more values than the limit of {MAX_VALUES}.")


_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _is_deep(structure: bytes) -> bool:
    """Whether objects and lists are nested deeper than MAX_DEPTH."""
    brackets = structure.translate(_SQUARE, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")  # takes away the innermost
    return bool(brackets)


def _count_names(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_count_names, value.values()))
    return sum(map(_count_names, value)) if isinstance(value, list) else 0


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it gives {shown(name)} twice")
