"""Reads the arguments of a request: from strict JSON of limited size or, for GET and DELETE, also from the query."""

import json
import re
from collections import Counter
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request
from gunicorn.http.errors import ParseException
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from devicesvc.handover import MAX_BODY

MAX_DEPTH = 32  # levels of objects and lists inside one another
MAX_DIGITS = 400  # of a whole number: Python refuses thousands, and no double needs more


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
    """Parse JSON (RFC 8259) in UTF-8. Raises 400 for anything else.

    Parsers disagree on some bodies, so these raise 400 too: a name given twice, NaN or Infinity, one surrogate without
    the other, whole numbers of more than MAX_DIGITS digits, and more than MAX_DEPTH levels of objects and lists.
    """
    try:
        text = body.decode()
        _check_depth(text)
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_short_int)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise BadRequest("The body is not proper JSON: it has one surrogate without the other.") from None
    except ValueError as error:
        raise BadRequest(f"The body is not proper JSON: {error}.") from error


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def _check_depth(text: str) -> None:
    """Raise ValueError if objects and lists are nested deeper than MAX_DEPTH. This runs before the parser, which would
    make a call inside a call for each level."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
        elif match[0] in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it gives {name!r} twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _short_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)
