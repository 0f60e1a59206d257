"""How requests are read: strictly, within a limit, and for GET and DELETE from the query or from a JSON body."""

import json
import re
from collections import Counter
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request
from gunicorn.http.errors import ParseException
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

MAX_BODY = 8 * 1024 * 1024  # bytes
MAX_DEPTH = 32  # objects and lists inside one another
MAX_DIGITS = 400  # of a number: Python refuses thousands, and every double has fewer


class Parser(FlaskParser):
    """Reads the arguments of a view into its schema; what the schema does not know is refused, in the query too."""

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
        """Return the JSON body. Raises 415 where it is not declared as JSON."""
        if not req.is_json:
            raise UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json.")
        return parse_json(read_body(req))

    def load_query_or_body(self, req: Request, schema: ma.Schema) -> Any:
        """Return the query, or the JSON body where there is one, whatever its Content-Type."""
        if body := read_body(req):
            if req.args:
                raise BadRequest("Give the arguments in the query or in the body, not in both.")
            return parse_json(body)
        return self.load_querystring(req, schema)

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        """Return the query. Raises 400 where a key is given twice that is no list."""
        for name, values in req.args.lists():
            if len(values) > 1 and not isinstance(schema.fields.get(name), ma.fields.List):
                raise BadRequest(f"The query gives {name!r} twice.")
        return super().load_querystring(req, schema)


def read_body(req: Request, limit: int = MAX_BODY) -> bytes:
    """Return the whole body. Raises 413 over `limit` bytes, 400 where the client broke off or its chunks are malformed.

    One byte more than the limit is asked for, because a chunked body does not say how long it is.
    """
    if req.content_length is not None and req.content_length > limit:
        raise RequestEntityTooLarge(f"The body has {req.content_length} bytes, more than the limit of {limit}.")
    body = bytearray()
    try:
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
    """Parse JSON (RFC 8259) in UTF-8. Raises 400 for anything else, and for what parsers disagree on: a name given
    twice, NaN and Infinity, lone surrogates, endless numbers, and what is nested deeper than MAX_DEPTH."""
    try:
        text = body.decode()
        _check_depth(text)
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_short_int)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise BadRequest("The body is not proper JSON: it has half of a surrogate pair.") from None
    except ValueError as error:
        raise BadRequest(f"The body is not proper JSON: {error}.") from error


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def _check_depth(text: str) -> None:
    """Count how deep objects and lists are nested before the parser, which nests a call for each, sees them."""
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
    raise ValueError(f"{name} is no JSON value")


def _short_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)
