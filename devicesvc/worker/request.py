"""Requests, read from the bytes of a connection as they come."""

import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from devicesvc.handover import REFUSAL, body_limit
from devicesvc.worker.gunicorn_parts import STATUS, ParseError, PythonProtocol

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MAX_SMALL = 10_000  # chunks of a body that may be as small as they like; each costs as much as a large one
SMALL = 64  # bytes that the chunks beyond these must have, on average


class Refusal(Exception):
    """A request that no app gets to see. status: of the answer."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def _refusal(error: ParseError) -> Refusal:
    """The refusal of a malformed head."""
    status = STATUS.get(type(error), 400)
    if status == 414:
        return Refusal(status, f"The address is too long: {error}. Send the ids in the body, as JSON.")
    return Refusal(status, f"The request cannot be read: {error}.")


class BrokenBody(io.BytesIO):
    """A body whose transfer coding is malformed: to read it raises OSError."""

    def read(self, *_: Any) -> bytes:
        raise OSError("the transfer coding is malformed")


class RequestReader:
    """Reads the requests of one connection, one after another.

    cfg: gunicorn's settings, for its limits. base: what the environ (PEP 3333) of each request has. is_whole: whether
    a request can be taken. A request is whole, too, if the rest of its body does not matter: it is over the limit, or
    malformed, or the client ended it. Then the app refuses it in its own words, and the connection ends.
    """

    def __init__(self, cfg: Any, base: Mapping[str, Any]) -> None:
        self._base = base
        self._parser = PythonProtocol(
            on_headers_complete=self._read_head,
            on_body=self._read_body,
            limit_request_line=cfg.limit_request_line,
            limit_request_fields=cfg.limit_request_fields,
            limit_request_field_size=cfg.limit_request_field_size,
        )
        self._rest = b""
        self._start()

    def _start(self) -> None:
        self._environ: dict[str, Any] = {}
        self._limit = 0
        self._body = bytearray()
        self._parts = 0  # calls of _read_body: chunks, and pieces of large ones
        self._broken = False
        self.has_begun = False
        self.is_whole = False
        self.must_close = False
        self.expects_continue = False

    @property
    def size(self) -> int:
        """Bytes of the body so far."""
        return len(self._body)

    def feed(self, data: bytes) -> None:
        """Take bytes in. Raises Refusal if the head is malformed."""
        self.has_begun = True
        try:
            self._parser.feed(data)
        except ParseError as error:
            if not self._environ:
                raise _refusal(error) from error
            self._broken = True
        if self._broken or self.size > self._limit:
            self.must_close = True
        self.is_whole = self.must_close or self._parser.is_complete

    def refuse(self, refusal: Refusal) -> "Request":
        """Return a request in the place of one that is refused, which tells the app so."""
        self.must_close = True
        unknown = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "RAW_URI": "-", "SERVER_PROTOCOL": "HTTP/1.1"}
        return Request({**self._base, **unknown, **self._environ}, (1, 1), True).refused(refusal)

    def end(self) -> None:
        """The client will send no more. What of a body is there counts as whole: the app says what is missing."""
        if self._environ and not self.is_whole:
            self._broken = self._parser.is_chunked
            self.is_whole = self.must_close = True

    def close(self) -> None:
        """Let go of the bytes at once: the parser calls back, so this would wait for the garbage collector."""
        del self._parser
        self._body = bytearray()

    def take(self) -> "Request":
        """Return the whole request. `resume` begins to read the next one."""
        parser, environ = self._parser, self._environ
        environ["wsgi.input"] = BrokenBody() if self._broken else io.BytesIO(self._body)
        closes = self.must_close or not parser.should_keep_alive or parser.method == b"CONNECT"
        request = Request(environ, parser.http_version, closes)
        self._rest = b"" if self.must_close else parser.remaining()
        return request

    @property
    def has_rest(self) -> bool:
        """Whether the client sent more than the request that was taken, or will."""
        return self.must_close or bool(self._rest)

    def resume(self) -> None:
        """Begin to read the next request, of which there may be bytes. Raises Refusal, as `feed`."""
        rest, self._rest = self._rest, b""
        self._parser.reset()
        self._start()
        if rest:
            self.feed(rest)

    def _read_head(self) -> bool:
        """Make the environ. Return whether the body is to be skipped."""
        parser = self._parser
        self._environ = environ = make_environ(self._base, parser)
        self._limit = body_limit(environ.get("CONTENT_TYPE", ""))
        if (parser.content_length or 0) > self._limit:
            self.must_close = True
            return True
        expected = environ.get("HTTP_EXPECT")
        if expected is not None and parser.http_version >= (1, 1):
            if expected.lower() != "100-continue":
                self._environ = {}
                raise Refusal(417, f"The server cannot do what Expect asks for: {expected!r}.")
            self.expects_continue = True
        return False

    def _read_body(self, part: bytes) -> None:
        self._body += part
        self._parts += 1
        if len(self._body) < (self._parts - MAX_SMALL) * SMALL:
            raise Refusal(400, f"The body comes in too many small chunks: send at least {SMALL} bytes in each.")


class Request:
    """A whole request. closes: whether the connection ends with its answer."""

    def __init__(self, environ: dict[str, Any], version: tuple[int, int], closes: bool) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.version = version
        self.closes = closes

    def refused(self, refusal: Refusal) -> "Request":
        """The request that tells the app of a refusal (api/edge.py)."""
        environ = {**self.environ, "wsgi.input": io.BytesIO(), REFUSAL: (refusal.status, str(refusal))}
        return Request(environ, self.version, True)


def make_environ(base: Mapping[str, Any], parser: Any) -> dict[str, Any]:
    """The environ of the request that a parser has read the head of (PEP 3333)."""
    target = parser.path.decode("latin-1")
    path, _, query = target.partition("?")
    if not target.startswith("/"):  # the absolute form, as sent to a proxy (RFC 9112, 3.2.2)
        parts = urlsplit(target)
        path, query = parts.path, parts.query
    environ = {
        **base,
        "REQUEST_METHOD": parser.method.decode("latin-1"),
        "RAW_URI": target,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1") if "%" in path else path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1" if parser.http_version == (1, 1) else "HTTP/1.0",
    }
    for raw, value in parser.headers:
        if b"_" in raw:  # it would look like the header with a - in its place
            continue
        name = "HTTP_" + raw.decode("latin-1").upper().replace("-", "_")
        if name in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
            name = name[5:]
        text = value.decode("latin-1")
        environ[name] = f"{environ[name]},{text}" if name in environ else text
    return environ
