"""The shape of every failure: one JSON object that is the envelope of the lab and a problem of RFC 9457."""

import logging
from collections.abc import Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

import orjson
from flask import Flask, Response, current_app, request
from marshmallow import Schema, fields
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from devicesvc.errors import (
    MAX_FAULTS,
    Conflict,
    Invalid,
    NotFound,
    RegistryError,
    StoreUnavailable,
    in_words,
)

# Each status of a refusal, and when it is answered. The documentation shows these sentences.
REFUSALS = {
    400: "The request cannot be read: its body is malformed, or something is given twice.",
    401: "The service needs a token, and the request does not have a valid one.",
    403: "The token may read, but not write; or, without tokens, the request may come from a page of another site.",
    404: "There is no such item.",
    409: "The change contradicts what is stored: a name or an id is taken.",
    412: "The item does not have the version that If-Match or If-None-Match asks for.",
    413: "The body is too large: over 8 MiB, or 150,000 values, or 64 MiB of CSV.",
    415: "The Content-Type of the body is not the one that this call takes.",
    422: "A value breaks a rule; `errors` names each place and rule.",
    500: "The service failed; its log says why.",
    503: "The store cannot be read or written now; nothing was changed unless the text says so.",
}

log = logging.getLogger(__name__)

_STATUS = ((NotFound, 404), (Conflict, 409), (Invalid, 422), (StoreUnavailable, 503))
_RETRY_SECONDS = "1"
_PRIVATE = (
    "The store cannot be read or written now; the log of the service says why. If you sent a change, look whether it"
    " was made before you send it again."
)
MAX_NAME = 64  # characters of a name that a client gave, as part of a place; all names of fields are shorter


class ProblemSchema(Schema):
    """The body of every failure."""

    status = fields.Integer(required=True, metadata={"description": "The HTTP status code."})
    title = fields.String(required=True, metadata={"description": "The name of the status code."})
    detail = fields.String(
        required=True,
        metadata={"description": "What is wrong, where, and what to do, in one sentence; of many faults, the first."},
    )
    message = fields.String(
        required=True, metadata={"description": "The same sentence, for clients that read `message` everywhere."}
    )
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={
            "description": "Each place with a wrong value, such as `nic.0.mac`, and the rule that it breaks; at most"
            f" {MAX_FAULTS} of them."
        },
    )


class LongRule(str):
    """A rule that says more in `errors` than in the sentence, which an answer has twice. short: without that."""

    short: str

    def __new__(cls, short: str, more: str) -> "LongRule":
        """The rule is `short`, and then `more`."""
        rule = super().__new__(cls, short + more)
        rule.short = short
        return rule


def init_app(app: Flask) -> None:
    """Answer every failure of the app in this shape."""
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(RegistryError, _registry)


def _registry(error: RegistryError) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if status != 503:
        return _problem(status, "" if isinstance(error, Invalid) else str(error), error.errors, {})
    log.warning("%s", error)
    headers = {"Retry-After": _RETRY_SECONDS}
    if current_app.extensions["devicesvc.tokens"] is not None:  # not everybody may know the server's files
        return _problem(status, _PRIVATE, {}, headers)
    return _problem(status, str(error), error.errors, headers)


def _http(error: HTTPException) -> Response:
    """Answer an error that Flask, webargs or this package raised. The answer to an unexpected error has no details,
    because they may be private: they are in the log."""
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    located = getattr(error, "data", {}).get("messages", {})  # of webargs, by the location of the arguments
    errors = {place: rule for messages in located.values() for place, rule in flatten(messages)}
    if errors:
        return _problem(status, "", errors, headers)
    details = {
        404: f"There is nothing at {request.path}; /docs lists what there is.",
        405: f"{request.method} does not work on {request.path}, only {headers.get('Allow')}.",
        500: REFUSALS[500],
    }
    return _problem(status, details.get(status) or error.description or "", {}, headers)


def refuse(status: int, detail: str) -> tuple[str, list[tuple[str, str]], list[bytes]]:
    """The status line, the headers and the body of a refusal, for a request that does not come to Flask."""
    response = _problem(status, detail, {}, {})
    return response.status, response.headers.to_wsgi_list(), [response.get_data()]


def _problem(status: int, detail: str, errors: Mapping[str, str], headers: Mapping[str, str]) -> Response:
    body = orjson.dumps(problem_body(status, detail, errors), option=orjson.OPT_APPEND_NEWLINE)
    return Response(body, status, headers, mimetype="application/problem+json")


def problem_body(status: int, detail: str = "", errors: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """The body of a refusal. detail: its sentence; if it is empty, `errors` make it. errors: rules that are broken, by
    place; the first MAX_FAULTS are named."""
    detail = detail or _sentence(errors)
    named = dict(islice(errors.items(), MAX_FAULTS))
    title = HTTP_STATUS_CODES.get(status, "Error")  # not http.HTTPStatus: its names change with the version of Python
    return {"status": status, "title": title, "detail": detail, "message": detail, "errors": named}


def _sentence(errors: Mapping[str, str]) -> str:
    short = {place: rule.short for place, rule in islice(errors.items(), MAX_FAULTS) if isinstance(rule, LongRule)}
    sentence = in_words({**errors, **short})
    return sentence if sentence.endswith("?") else f"{sentence}."


def flatten(messages: object, *path: str) -> Iterator[tuple[str, str]]:
    """Yield (place, rule) for each of marshmallow's nested messages, such as ("nic.0.mac", "is required").

    path: the keys and indexes that lead to the value that the messages are about.
    """
    if isinstance(messages, Mapping):
        for key, value in messages.items():
            yield from flatten(value, *path, *([] if key == "_schema" else [_short(str(key))]))
    else:
        rules: list[Any] = messages if isinstance(messages, list) else [messages]
        rule: str = rules[0] if len(rules) == 1 else "; ".join(map(str, rules))
        yield ".".join(path) or "the body", rule


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."
