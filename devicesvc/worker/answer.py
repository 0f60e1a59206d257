"""An answer on its way: runs the app (PEP 3333) and makes the bytes to be sent (RFC 9112)."""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from email.utils import formatdate
from time import time
from typing import Any

from devicesvc.handover import AT_ONCE, READING, REFUSAL, Parked
from devicesvc.worker.request import Refusal, Request

HIGH = 64 * 1024  # bytes of an answer that wait to be sent: then the app rests

# A status line, and header lines: with anything else an app could end the head where it should not (RFC 9110, 5).
_STATUS = re.compile(r"[1-9][0-9]{2} [\t -~\x80-\xff]*")
_HEADERS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~\x80-\xff]*\r\n)*")
_OF_THE_SERVER = {"connection", "keep-alive", "trailer", "transfer-encoding", "upgrade", "server", "date"}

log = logging.getLogger(__name__)


class Answer:
    """Runs the app for one request, in any thread. An answer that the app gives in pieces is made as it is sent.

    parts: what is to be sent. is_complete: whether nothing more will come. closes: whether the connection ends then.
    was_asked_to_close: whether the client knows that it does. parked: if the request is to wait, for what; until
    when at most; and news: how much there was when it was run (parking.py).
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], request: Request, closes: bool) -> None:
        self.parts: list[bytes] = []
        self.is_complete = False
        self.closes = closes or request.closes
        self.was_asked_to_close = request.closes
        self.parked: Parked | None = None
        self.until: float | None = None
        self.news = 0
        self._app = app
        self._request = request
        self._size = 0  # bytes in parts
        self._given: Any = None
        self._pieces: Any = None
        self._status = ""
        self._head = b""
        self._left: int | None = None  # bytes of the body that are still to come, if that is known
        self._is_chunked = False

    @property
    def is_new(self) -> bool:
        """Whether the app was not asked yet; otherwise it is the rest of a long answer that is to be made."""
        return self._pieces is None

    @property
    def is_quick(self) -> bool:
        """Whether it may be made where it is: the call changes nothing, so it does not wait for a disk."""
        return self.is_new and (self._request.method in READING or REFUSAL in self._request.environ)

    def produce(self) -> None:
        """Let the app go on until the answer is complete or HIGH bytes of it wait; at first, only to a first piece."""
        try:
            high = HIGH
            if self._pieces is None:
                high = 0
                self._given = self._app(self._request.environ, self._start)
                self._pieces = iter(self._given)
            for piece in self._pieces:
                self._write(piece)
                if self._size > high and self._left != 0:
                    return
            self._finish()
        except Parked as parked:
            self.parked = parked
            return
        except (Exception, SystemExit):
            log.exception("The app failed at %s %s", self._request.method, self._request.environ["RAW_URI"])
            self.closes = True  # if it has begun, without the end of its body, so that the client knows
            if not self._has_begun:
                self._refuse()
        self.close()

    def run_again(self, at_once: bool) -> None:
        """Make it as new: its request has waited. at_once: it waits no longer."""
        self.parked = None
        self._request.environ["wsgi.input"].seek(0)
        if at_once:
            self._request.environ[AT_ONCE] = True

    def close(self) -> None:
        """Tell the app that nothing more is wanted."""
        self.is_complete = True
        given, self._given = self._given, None
        if hasattr(given, "close"):
            given.close()

    def take(self) -> bytes:
        """Return what is to be sent, once."""
        parts, self.parts, self._size = self.parts, [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def _has_begun(self) -> bool:
        return bool(self._status) and not self._head

    def _start(self, status: str, headers: Sequence[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        """start_response of PEP 3333. Raises ValueError if the head would not be one."""
        if exc_info and self._has_begun:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._status and not exc_info:
            raise AssertionError("start_response was called twice")
        if not _STATUS.fullmatch(status):
            raise ValueError(f"{status!r} is not a status line")
        block, length = _header_lines(headers)
        self._left, self._is_chunked = None, False
        self._status = status
        if self._request.method == "HEAD" or status[0] == "1" or status[:3] in ("204", "304"):
            self._left = 0
        elif length is not None:
            self._left = length
        elif self._request.version >= (1, 1):
            self._is_chunked = True
            block += "Transfer-Encoding: chunked\r\n"
        else:
            self.closes = True
        connection = "close" if self.closes else "keep-alive"
        fixed = f"HTTP/1.1 {status}\r\nServer: devicesvc\r\nDate: {_date()}\r\nConnection: {connection}\r\n"
        self._head = f"{fixed}{block}\r\n".encode("latin-1")
        return self._write

    def _write(self, piece: bytes) -> None:
        """write of PEP 3333. Bytes beyond Content-Length, and those of an answer that has no body, are dropped."""
        if not isinstance(piece, bytes):
            raise TypeError(f"{type(piece)} is not bytes")
        if self._head:
            self._add(self._head)
            self._head = b""
        if self._is_chunked:
            if piece:
                self._add(b"%x\r\n%b\r\n" % (len(piece), piece))
        elif self._left is None:
            self._add(piece)
        else:
            self._add(piece[: self._left])
            self._left -= min(self._left, len(piece))

    def _add(self, data: bytes) -> None:
        if data:
            self.parts.append(data)
            self._size += len(data)

    def _finish(self) -> None:
        if not self._status:
            raise AssertionError("start_response was not called")
        self._write(b"")
        if self._is_chunked:
            self._add(b"0\r\n\r\n")
        if self._left:
            self.closes = True  # the client waits for more than there is

    def _refuse(self) -> None:
        """Answer 500, in the words of the app."""
        self._status, self._head, self._left, self._is_chunked = "", b"", None, False
        refused = self._request.refused(Refusal(500, "The service failed; its log says why."))
        try:
            for piece in self._app(refused.environ, self._start):
                self._write(piece)
        except Exception:
            log.exception("The app failed to answer 500")
            self.parts = [b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]


def _header_lines(headers: Sequence[tuple[str, str]]) -> tuple[str, int | None]:
    """The lines of these headers, and the value of Content-Length. Raises ValueError if they are not headers."""
    lines, length = [], None
    for name, value in headers:
        lower = name.lower()
        if lower == "content-length":
            length = int(value)
        if lower not in _OF_THE_SERVER:
            lines.append(f"{name}: {value}\r\n")
    block = "".join(lines)
    if not _HEADERS.fullmatch(block) or block.count("\n") != len(lines):
        raise ValueError(f"{headers!r} are not headers")
    return block, length


_last_date = 0, ""


def _date() -> str:
    """The value of the header Date, made once a second."""
    global _last_date
    now = int(time())
    if now != _last_date[0]:
        _last_date = now, formatdate(now, usegmt=True)
    return _last_date[1]
