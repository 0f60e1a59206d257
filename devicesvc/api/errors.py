"""One shape for every failure: the envelope of the lab and the problem of RFC 9457 in one JSON object."""

import logging
from collections.abc import Iterator, Mapping

import orjson
from flask import Flask, Response, request
from marshmallow import Schema, fields
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from devicesvc.errors import Conflict, Invalid, NotFound, RegistryError, StoreUnavailable

# Every status that an operation may refuse with, and when: the documentation shows these words.
REFUSALS = {
    400: "The request cannot be read: the body is not what it is declared as, or something is given twice.",
    401: "Tokens are configured, and the request has no valid one.",
    403: "The token may read, but not write.",
    404: "There is no such item.",
    409: "The change contradicts what is stored: a name or an id is taken.",
    412: "The item is not in the version that If-Match or If-None-Match demand.",
    413: "The body is too large: over 8 MiB, or 64 MiB of CSV.",
    415: "The body is not declared as what it must be, by its Content-Type.",
    422: "A value breaks a rule; `errors` names each.",
    500: "The service failed; its log says why.",
    503: "The store cannot be read or written now; nothing was changed unless the text says so.",
}

log = logging.getLogger(__name__)

_STATUS = ((NotFound, 404), (Conflict, 409), (Invalid, 422), (StoreUnavailable, 503))
_RETRY_SECONDS = "1"


class ProblemSchema(Schema):
    """What every failure answers."""

    status = fields.Integer(required=True, metadata={"description": "The HTTP status code."})
    title = fields.String(required=True, metadata={"description": "The name of the status code."})
    detail = fields.String(
        required=True, metadata={"description": "What is wrong, where, and what to do, in one sentence."}
    )
    message = fields.String(
        required=True, metadata={"description": "The same sentence, for clients that read `message` everywhere."}
    )
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "Each place at fault, such as `nic.0.mac`, and the rule it breaks."},
    )


def init_app(app: Flask) -> None:
    """Answer every failure of the app in the one shape."""
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(RegistryError, _registry)


def _registry(error: RegistryError) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    headers = {}
    if status == 503:
        log.warning("%s", error)
        headers["Retry-After"] = _RETRY_SECONDS
    return _problem(status, str(error), error.errors, headers)


def _http(error: HTTPException) -> Response:
    """Answer what Flask, webargs and our own code raise. Of an unexpected error the client learns nothing but that."""
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    located = getattr(error, "data", {}).get("messages", {})  # webargs: by the location that the arguments are in
    errors = {place: rule for messages in located.values() for place, rule in places(messages)}
    if errors:
        return _problem(status, _sentence(errors), errors, headers)
    details = {
        404: f"There is nothing at {request.path}; /docs lists what there is.",
        405: f"{request.method} does not work on {request.path}, only {headers.get('Allow')}.",
        500: REFUSALS[500],
    }
    return _problem(status, details.get(status) or error.description or "", {}, headers)


def example(status: int) -> dict[str, object]:
    """A refusal with this status, for the documentation."""
    errors = {"name": "is required"} if status == 422 else {}
    return _members(status, _sentence(errors) if errors else REFUSALS[status], errors)


def _problem(status: int, detail: str, errors: Mapping[str, str], headers: Mapping[str, str]) -> Response:
    body = orjson.dumps(_members(status, detail, errors), option=orjson.OPT_APPEND_NEWLINE)
    return Response(body, status, headers, mimetype="application/problem+json")


def _members(status: int, detail: str, errors: Mapping[str, str]) -> dict[str, object]:
    title = HTTP_STATUS_CODES.get(status, "Error")  # Python's own names change with its version
    return {"status": status, "title": title, "detail": detail, "message": detail, "errors": errors}


def _sentence(errors: Mapping[str, str]) -> str:
    sentence = "; ".join(f"{place} {rule}" for place, rule in errors.items())
    return sentence if sentence.endswith("?") else f"{sentence}."


def places(messages: object, *path: str) -> Iterator[tuple[str, str]]:
    """Flatten marshmallow's nested messages to (place, rule); path leads to what they are about."""
    if isinstance(messages, Mapping):
        for key, value in messages.items():
            yield from places(value, *path, *([] if key == "_schema" else [str(key)]))
    else:
        rules = messages if isinstance(messages, list) else [messages]
        yield ".".join(path) or "the body", "; ".join(map(str, rules))
