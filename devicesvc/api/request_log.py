"""The id of each request, for the log and the answer, and the count of each request, for the metrics."""

import re
import secrets
from functools import cache
from time import perf_counter
from typing import cast

from flask import Flask, Response, current_app, g, request

from devicesvc.logs import request_id
from devicesvc.metrics import Metrics

HEADER = "X-Request-ID"
_VALID_ID = re.compile(
    r"[A-Za-z0-9._:/+=@-]{1,128}"
)  # without space, bracket or quote, because it is put into lines of the log
_CONVERTED = re.compile(r"<(?:\w+:)?(\w+)>")  # a variable in a rule of Flask: {id} in the documentation
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def init_app(app: Flask) -> None:
    """Give an id to every request to the app, and count it, also if it is refused."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def metrics() -> Metrics:
    """The metrics of the current app."""
    return cast(Metrics, current_app.extensions["devicesvc.metrics"])


def _begin() -> None:
    """Take the id from the header X-Request-ID, or make a new one if there is no valid id."""
    g.begin = perf_counter()
    given = request.headers.get(HEADER, "")
    request_id.set(given if _VALID_ID.fullmatch(given) else secrets.token_hex(8))


def _end(response: Response) -> Response:
    response.headers[HEADER] = request_id.get()
    # Each route and method makes a time series, so a path or a method that a client invents must not make one.
    route = _documented(request.url_rule.rule) if request.url_rule else "none"
    method = request.method if request.method in _METHODS else "other"
    metrics().answered(route, method, response.status_code, perf_counter() - g.begin)
    return response


@cache
def _documented(rule: str) -> str:
    """A rule of Flask as the documentation writes it: /v1/devices/{id}."""
    return _CONVERTED.sub(r"{\1}", rule)


def _forget(_error: BaseException | None) -> None:
    request_id.set("")
