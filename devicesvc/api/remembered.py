"""Remembered answers: an answer that depends on the request and the registry alone is made once for each state."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import request

from devicesvc.dao.base import Store
from devicesvc.errors import StoreUnavailable
from devicesvc.logs import NOBODY
from devicesvc.tokens import Tokens

MAX_BYTES = 4 * 1024 * 1024  # of all answers together
MAX_ANSWER = 1024 * 1024  # bytes
HEADERS = ("HTTP_ACCEPT", "HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_AUTHORIZATION")  # that an answer may depend on

_MARK = "devicesvc.remember"


@dataclass(slots=True)
class Answer:
    """An answer of Flask. body: in pieces. route: the rule of Flask. user: who has asked. is_whole: whether all pieces
    are there."""

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes]
    route: str | None = None
    user: str = NOBODY
    is_whole: bool = True


def remember() -> None:
    """Say, in a view, that the answer depends on nothing but the path, the query, HEADERS and the registry."""
    request.environ[_MARK] = True


class Remembered:
    """The answers to GET in one state of the registry and of the tokens. bytes: how many they take."""

    def __init__(self, *state: object) -> None:
        self.state = state
        self.answers: dict[tuple[str | None, ...], Answer] = {}
        self.bytes = 0

    def add(self, key: tuple[str | None, ...], answer: Answer, environ: dict[str, Any]) -> None:
        """Remember an answer, if its view has said so."""
        if _MARK in environ and answer.is_whole and answer.status.startswith(("200", "304")):
            size = sum(map(len, answer.body)) + sum(len(part or "") for part in key) + 1024
            if size > MAX_ANSWER:
                return
            if self.bytes + size > MAX_BYTES:
                self.answers, self.bytes = {}, 0
            self.answers[key] = answer
            self.bytes += size


class RememberedAnswers:
    """Those in the state that was seen last."""

    def __init__(self) -> None:
        self._last = Remembered()

    def now(self, store: Store, tokens: Tokens | None) -> Remembered | None:
        """Those in the present state; None if it cannot be told."""
        try:
            registry, allowed = store.state(), tokens and tokens.state()
        except StoreUnavailable:
            return None
        if registry is None:
            return None
        last = self._last
        if not last.state or registry is not last.state[0] or allowed is not last.state[1]:
            self._last = last = Remembered(registry, allowed)
        return last


def is_read(environ: dict[str, Any]) -> bool:
    """Whether this request reads the registry."""
    path: str = environ["PATH_INFO"]
    return environ["REQUEST_METHOD"] in ("GET", "HEAD") and path.startswith("/v1/")


def key(environ: dict[str, Any]) -> tuple[str | None, ...] | None:
    """What the answer to a read is remembered by; None if it is not."""
    if environ["REQUEST_METHOD"] == "HEAD" or environ.get("CONTENT_LENGTH") or "HTTP_TRANSFER_ENCODING" in environ:
        return None
    return environ["PATH_INFO"], environ["QUERY_STRING"], *map(environ.get, HEADERS)
