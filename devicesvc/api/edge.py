"""The edge of the service, a middleware (PEP 3333) around Flask: what every request and every answer has in common.

Each request gets an id, is counted, and is a line in the access log. Each answer has the headers X-Request-ID and
X-Content-Type-Options, and STALE if it was read from an older state. A request that the server refused before it could
be a request is answered here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import formatdate
from functools import cache
from random import getrandbits
from time import perf_counter
from typing import Any
from urllib.parse import quote

from flask import Flask

from devicesvc.api import errors, remembered
from devicesvc.api.hosts import Hosts
from devicesvc.api.proxies import Proxies
from devicesvc.api.remembered import Answer, RememberedAnswers
from devicesvc.handover import REFUSAL, STALE, Parked
from devicesvc.logs import NOBODY, output, request_client, request_id, request_user

Environ = dict[str, Any]
Start = Callable[..., Any]

ROUTE = "devicesvc.route"  # in the environ: the rule of Flask that the request came to
BEGUN = "devicesvc.begun"  # in the environ of a request that has waited: when it came

# without space, bracket or quote, because it is put into lines of the log
_VALID_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_CONVERTED = re.compile(r"<(?:\w+:)?(\w+)>")  # a variable in a rule of Flask: {id} in the documentation
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Edge:
    """inner: the app without its edge. hosts: the names by which it may be called; None means any. proxies: those that
    say whom they have a request from."""

    def __init__(
        self, app: Flask, inner: Callable[[Environ, Start], Iterable[bytes]], hosts: Hosts | None, proxies: Proxies
    ) -> None:
        self._app = app
        self._inner = inner
        self._hosts = hosts
        self._proxies = proxies
        self._remembered = RememberedAnswers()
        self._access_log = output()

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """Answer a request."""
        begin = environ.get(BEGUN) or perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        id = given if _VALID_ID.fullmatch(given) else f"{getrandbits(64):016x}"
        token = request_id.set(id)
        try:
            answer = self._answer(environ)
        except Parked:
            environ |= {"HTTP_X_REQUEST_ID": id, BEGUN: begin}  # as if it were run for the first time
            raise
        finally:
            request_id.reset(token)
        fixed = [("X-Request-ID", id), ("X-Content-Type-Options", "nosniff")]
        start_response(answer.status, [*answer.headers, *fixed])
        if answer.is_whole:
            self._note(environ, answer, id, begin, sum(map(len, answer.body)))
            return answer.body
        return self._noted(environ, answer, id, begin)

    def _answer(self, environ: Environ) -> Answer:
        if REFUSAL in environ:
            return Answer(*errors.refuse(*environ[REFUSAL]))
        if self._hosts and (refusal := self._hosts.refusal(environ)):
            return Answer(*errors.refuse(403, refusal))
        if not remembered.is_read(environ):
            request_client.set(self._proxies.client(environ))
            return self._ask(environ)
        store, tokens = self._app.extensions["devicesvc.store"], self._app.extensions["devicesvc.tokens"]
        known = self._remembered.now(store, tokens)
        key = remembered.key(environ) if known else None
        if known and key and (answer := known.answers.get(key)):
            return answer
        before = store.stale_since  # it may be read again while the answer is made
        answer = self._ask(environ)
        since = before or store.stale_since
        if since and not answer.status.startswith(("401", "403")):
            answer.headers.append((STALE, formatdate(since, usegmt=True)))
        if known and key:
            known.add(key, answer, environ)
        return answer

    def _ask(self, environ: Environ) -> Answer:
        """The answer of Flask."""
        started: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
            started[:] = status, headers

        try:
            given = self._inner(environ, start)
            who = request_user.get()
        finally:
            request_user.set(NOBODY)
            request_client.set("")
        status, headers = started
        route = environ.get(ROUTE)
        if any(name == "Content-Length" for name, _ in headers) or status.startswith("304"):
            body = list(given)
            given.close()  # type: ignore[attr-defined]  # what Flask gives has it
            return Answer(status, headers, body, route, who)
        return Answer(status, headers, given, route, who, is_whole=False)

    def _noted(self, environ: Environ, answer: Answer, id: str, begin: float) -> Iterator[bytes]:
        """The pieces of a long answer, which is noted when it has ended."""
        size = 0
        try:
            for piece in answer.body:
                size += len(piece)
                yield piece
        finally:
            answer.body.close()  # type: ignore[attr-defined]
            self._note(environ, answer, id, begin, size)

    def _note(self, environ: Environ, answer: Answer, id: str, begin: float, size: int) -> None:
        seconds = perf_counter() - begin
        method, status = environ["REQUEST_METHOD"], int(answer.status[:3])
        # Each route and method makes a time series, so a path or a method that a client invents must not make one.
        route = _documented(answer.route) if answer.route else "none"
        self._app.extensions["devicesvc.metrics"].answered(
            route, method if method in _METHODS else "other", status, seconds
        )
        if self._access_log:
            self._access_log.add(
                *(id, answer.user, self._proxies.client(environ), method, _target(environ)),
                *(environ.get("SERVER_PROTOCOL", "HTTP"), status, size, seconds),
            )


@cache
def _documented(rule: str) -> str:
    """A rule of Flask as the documentation writes it: /v1/devices/{id}."""
    return _CONVERTED.sub(r"{\1}", rule)


def _target(environ: Mapping[str, Any]) -> str:
    """What the client asked for, as it sent it; servers that do not say it get it made again."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw:
        return str(raw)
    query = environ.get("QUERY_STRING")
    return quote(environ.get("PATH_INFO", "").encode("latin-1")) + (f"?{query}" if query else "")
