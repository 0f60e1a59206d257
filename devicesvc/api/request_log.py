"""Each request: its id, which the log and the answer have too, and what the metrics learn of it."""

import re
import secrets
from functools import cache
from time import perf_counter
from typing import cast

from flask import Flask, Response, current_app, g, request

from devicesvc.logs import request_id
from devicesvc.metrics import Metrics

HEADER = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")  # no space, bracket or quote: it goes into lines of the log
_CONVERTED = re.compile(r"<(?:\w+:)?(\w+)>")  # a variable in a rule of Flask: {id} in the documentation
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def init_app(app: Flask) -> None:
    """Observe every request to the app, also those that are refused."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def metrics() -> Metrics:
    """The metrics of the running service."""
    return cast(Metrics, current_app.extensions["devicesvc.metrics"])


def _begin() -> None:
    """Take the id that the client gave the request, or make one."""
    g.begin = perf_counter()
    given = request.headers.get(HEADER, "")
    request_id.set(given if _SANE.fullmatch(given) else secrets.token_hex(8))


def _end(response: Response) -> Response:
    response.headers[HEADER] = request_id.get()
    # Each route and method is a time series of its own: so none that a client makes up.
    route = _documented(request.url_rule.rule) if request.url_rule else "none"
    method = request.method if request.method in _METHODS else "other"
    metrics().answered(route, method, response.status_code, perf_counter() - g.begin)
    return response


@cache
def _documented(rule: str) -> str:
    """The path that a rule of Flask has in the documentation."""
    return _CONVERTED.sub(r"{\1}", rule)


def _forget(_error: BaseException | None) -> None:
    request_id.set("")
