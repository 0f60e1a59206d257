"""The loop: it waits for all connections at once, reads their requests, and sends their answers.

One thread runs it. What it calls may take long, so while it runs the app another thread may become the one that runs
the loop (worker.py); the thread before then calls nothing here any more but `finish`.
"""

import errno
import logging
import os
import selectors
import socket
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Any

from devicesvc.handover import PARK, Parked
from devicesvc.worker.answer import Answer
from devicesvc.worker.parking import Parking
from devicesvc.worker.request import CONTINUE, Refusal, Request, RequestReader

GRACE = 10.0  # seconds for a head, or until the first byte of a connection
RATE = 1024  # bytes of a body for which a client gets one more second
STALLED = 30.0  # seconds that a client may take no byte of its answer
LINGER = 2.0  # seconds for a client to read the answer to a request that it has not sent to its end
LAST = 0.5  # seconds that an idle connection stays open when the worker stops: a request may be on its way
MAX_HELD = 128 * 1024 * 1024  # bytes of requests and answers of all connections together
MAX_UNSENT = 32 * 1024  # bytes that the system takes for a client before it has sent them; by itself, megabytes
MAX_READ = 64 * 1024  # bytes read at once
MAX_ACCEPTED = 64  # connections, before others get their turn
WOKEN = 0.005  # seconds for requests that have waited for something new, before others get their turn
IN_TURN = 16  # requests of one connection, sent together, that are answered before others get their turn

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_UNSENT = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # not every system has it
_NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


class Connection:
    """A connection, and what was read from it and is to be written to it."""

    __slots__ = ("answer", "begun", "deadline", "held", "is_lingering", "mask", "out", "reader", "sock")

    def __init__(self, sock: socket.socket, reader: RequestReader, now: float) -> None:
        self.sock = sock
        self.reader = reader
        self.answer: Answer | None = None
        self.out: bytes | memoryview = b""
        self.mask = 0  # what the loop waits for
        self.begun = self.deadline = now
        self.held = 0
        self.is_lingering = False


class Loop:
    """All connections of a worker.

    sockets: that listen. cfg: gunicorn's settings. app: WSGI. dispatch: called with a connection that has an answer to
    be produced; it returns True if that was done, and else `finish` is called later. wake: the two ends of a pipe.
    """

    def __init__(
        self,
        sockets: Iterable[socket.socket],
        cfg: Any,
        app: Callable[..., Iterable[bytes]],
        dispatch: Callable[[Connection], bool],
        wake: tuple[int, int],
    ) -> None:
        self.is_stopping = False
        self._finished: deque[Connection] = deque()  # with an answer that was produced in another thread
        self._is_woken = False
        self._sockets = list(sockets)
        self._cfg = cfg
        self._app = app
        self._dispatch = dispatch
        self._connections: set[Connection] = set()
        # Those that wait for their client; who waits longest comes first.
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._unfair: deque[Connection] = deque()  # with more requests that were sent together
        self._parking = Parking[Connection](self.wake)
        self._held = self._closed = 0
        self._now = self._swept = monotonic()
        self._listens = False
        self._selector = selectors.DefaultSelector()
        self._wake = wake
        self._selector.register(wake[0], _READ)
        self._base = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": cfg.workers > 1,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "SCRIPT_NAME": "",
            PARK: self._parking.wake,
        }
        self._listen(True)

    @property
    def is_empty(self) -> bool:
        """Whether there is no connection left."""
        return not self._connections

    def turn(self, seconds: float) -> None:
        """Wait at most so many seconds for something to do, and do it."""
        events = self._selector.select(0 if self._unfair else self._parking.seconds(monotonic(), seconds))
        self._now = monotonic()
        for key, mask in events:
            if isinstance(key.data, Connection):
                if key.data in self._connections:  # not closed in this turn
                    self._try(self._on_writable if mask & _WRITE else self._read, key.data)
            elif key.fileobj == self._wake[0]:
                os.read(self._wake[0], MAX_READ)
            else:
                self._accept(key.data)
        self._is_woken = False
        while self._finished:
            self._try(self._on_produced, self._finished.popleft())
        for _ in range(len(self._unfair)):
            self._try(self._go_on, self._unfair.popleft())
        self._run_woken()
        if self._now - self._swept > min(seconds, 1.0):
            self._sweep()

    def finish(self, conn: Connection) -> None:
        """Send what of its answer was produced, in the next turn. Any thread may call this."""
        self._finished.append(conn)
        if not self._is_woken:
            self._is_woken = True
            self.wake()

    def wake(self) -> None:
        """End the wait of this turn."""
        with suppress(BlockingIOError):  # the pipe is full: it is awake
            os.write(self._wake[1], b".")

    def _try(self, step: Callable[..., object], conn: Connection, *arguments: object) -> None:
        """A fault that nobody foresaw costs one connection, and not all of them."""
        try:
            step(conn, *arguments)
        except Exception:
            log.exception("A connection is closed, because the server failed")
            self._close(conn)

    def stop(self) -> None:
        """Take what has connected, then listen no more. Answers end their connections from now on, and idle connections
        end soon."""
        self.is_stopping = True
        self._listen(False)
        last = []
        for sock in self._sockets:
            with suppress(OSError):  # there are no more
                while True:
                    last.append(sock.accept())
            sock.close()  # at once: who connects between the two is reset
        self._sockets = []
        for client, address in last:
            self._add(client, address)
        self._parking.end()
        for conn in self._waiting:
            if not conn.answer and not conn.reader.has_begun:
                conn.deadline = min(conn.deadline, self._now + LAST)

    def release(self, conn: Connection) -> None:
        """Wait for nothing from this connection: its answer is being produced."""
        self._watch(conn, 0)

    # Connections come and go.

    def _listen(self, on: bool) -> None:
        if on != self._listens:
            for sock in self._sockets:
                self._selector.register(sock, _READ, sock) if on else self._selector.unregister(sock)
            self._listens = on

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(MAX_ACCEPTED):
            if len(self._connections) >= self._cfg.worker_connections and not self._evict():
                self._parking.end(MAX_ACCEPTED)  # who comes again is not worse off
                self._listen(False)  # until one of those that are at work has ended
                return
            try:
                client, address = sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_FILES and not self._evict():
                    self._parking.end(MAX_ACCEPTED)
                    return
                continue
            self._add(client, address)

    def _add(self, client: socket.socket, address: Any) -> None:
        client.setblocking(False)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if _UNSENT is not None:
                with suppress(OSError):  # the system may not know it after all
                    client.setsockopt(socket.IPPROTO_TCP, _UNSENT, MAX_UNSENT)
        host, port = address[:2] if isinstance(address, tuple) else ("", "")
        server = client.getsockname()
        name, number = server[:2] if isinstance(server, tuple) else (str(server), "")
        base = self._base | {"REMOTE_ADDR": host, "REMOTE_PORT": str(port)}
        base |= {"SERVER_NAME": name, "SERVER_PORT": str(number)}
        conn = Connection(client, RequestReader(self._cfg, base), self._now)
        self._connections.add(conn)
        self._wait(conn, _READ, LAST if self.is_stopping else GRACE)
        self._try(self._read, conn)  # its first bytes are mostly there

    def _evict(self, holding: bool = False) -> bool:
        """Close the connection that has waited longest for its client. holding: of those that hold bytes."""
        for conn in self._waiting:
            if conn.held or not holding:
                self._closed += 1
                self._close(conn)
                return True
        return False

    def _close(self, conn: Connection) -> None:
        if conn not in self._connections:
            return  # already
        self._watch(conn, 0)
        self._waiting.pop(conn, None)
        self._parking.remove(conn)
        self._connections.discard(conn)
        self._hold(conn, 0)
        conn.sock.close()
        conn.reader.close()
        if conn.answer and not conn.answer.is_complete:
            conn.answer.close()
        if not self.is_stopping:
            self._listen(True)

    def _sweep(self) -> None:
        """Close what has waited too long for its client."""
        self._swept = self._now
        for conn in [conn for conn in self._waiting if conn.deadline <= self._now]:
            if conn.answer or conn.is_lingering or not conn.reader.has_begun:
                self._closed += bool(conn.answer)
                self._close(conn)
            else:
                self._closed += 1
                self._try(self._refuse, conn, Refusal(408, "The request took too long to arrive."))
        if self._closed:
            log.warning("Closed %d connections that were too slow, or the oldest of too many.", self._closed)
            self._closed = 0

    # A request waits for something new.

    def _park(self, conn: Connection, answer: Answer, parked: Parked) -> None:
        answer.until = answer.until or self._now + parked.seconds
        self._parking.add(conn, parked.after, answer.until, answer.news)
        if self.is_stopping:
            self._parking.end()
        self._watch(conn, _READ)  # its client may leave

    def _run_woken(self) -> None:
        """Run those that were woken again, as many as there is time for in this turn."""
        self._parking.look(self._now)
        end = monotonic() + WOKEN
        while monotonic() < end and (woken := self._parking.pop()):
            self._try(self._run_again, *woken)

    def _run_again(self, conn: Connection, at_once: bool) -> None:
        assert conn.answer
        self.release(conn)
        conn.answer.closes |= self.is_stopping
        conn.answer.run_again(at_once)
        conn.answer.news = self._parking.news
        if self._dispatch(conn) and self._send(conn):
            self._go_on(conn)

    def _notice(self, conn: Connection) -> None:
        """The client of a request that waits has left, or it has sent more, which has time."""
        try:
            if conn.sock.recv(1, socket.MSG_PEEK):
                return self._watch(conn, 0)
        except BlockingIOError:
            return None
        except OSError:
            pass
        return self._close(conn)

    # A connection waits for its client.

    def _watch(self, conn: Connection, mask: int) -> None:
        if mask != conn.mask:
            if not mask:
                self._selector.unregister(conn.sock)
            elif conn.mask:
                self._selector.modify(conn.sock, mask, conn)
            else:
                self._selector.register(conn.sock, mask, conn)
            conn.mask = mask

    def _wait(self, conn: Connection, mask: int, seconds: float) -> None:
        conn.deadline = self._now + seconds
        self._watch(conn, mask)
        self._waiting.setdefault(conn)
        if not self.is_stopping:
            self._listen(True)  # this one can go, if there are too many

    def _hold(self, conn: Connection, size: int) -> None:
        self._held += size - conn.held
        conn.held = size
        while self._held > MAX_HELD and self._evict(holding=True):
            pass

    # Reading.

    def _read(self, conn: Connection) -> None:
        if conn.answer:
            return self._notice(conn)
        try:
            data = conn.sock.recv(MAX_READ)
        except BlockingIOError:
            return None
        except OSError:
            return self._close(conn)
        reader = conn.reader
        if conn.is_lingering:
            return None if data else self._close(conn)
        if not data:
            reader.end()
            return self._go_on(conn) if reader.is_whole else self._close(conn)
        if not reader.has_begun:
            conn.begun = self._now
        try:
            reader.feed(data)
        except Refusal as refusal:
            return self._refuse(conn, refusal)
        return self._go_on(conn)

    def _go_on(self, conn: Connection) -> None:
        """Answer the requests that were read, or wait for more of one."""
        for _ in range(IN_TURN):
            if not conn.reader.is_whole:
                return self._wait_for_more(conn)
            if not self._answer(conn, conn.reader.take()):
                return None
        self._unfair.append(conn)
        return self.release(conn)

    def _wait_for_more(self, conn: Connection) -> None:
        reader = conn.reader
        if not reader.has_begun:
            return self._wait(conn, _READ, LAST if self.is_stopping else self._cfg.keepalive)
        if reader.expects_continue:
            reader.expects_continue = False
            if not reader.size:
                conn.sock.send(CONTINUE)  # a few bytes always fit where nothing else waits
        self._wait(conn, _READ, conn.begun + GRACE + reader.size / RATE - self._now)
        return self._hold(conn, reader.size)

    def _refuse(self, conn: Connection, refusal: Refusal) -> None:
        self._answer(conn, conn.reader.refuse(refusal))

    # Answering.

    def _answer(self, conn: Connection, request: Request) -> bool:
        """Begin to answer. Return whether the next request may be looked at."""
        self._waiting.pop(conn, None)
        conn.answer = Answer(self._app, request, self.is_stopping or not self._cfg.keepalive)
        conn.answer.news = self._parking.news
        return self._dispatch(conn) and self._send(conn)

    def _send(self, conn: Connection) -> bool:
        """Send what of the answer is there. Return whether that was all, and the next request may be looked at."""
        self._now = monotonic()
        assert conn.answer
        if parked := conn.answer.parked:
            self._park(conn, conn.answer, parked)
            return False
        conn.out = conn.answer.take()
        return self._write(conn)

    def _on_produced(self, conn: Connection) -> None:
        if self._send(conn):
            self._go_on(conn)

    def _on_writable(self, conn: Connection) -> None:
        if self._write(conn):
            self._go_on(conn)

    def _write(self, conn: Connection) -> bool:
        try:
            while conn.out:
                sent = conn.sock.send(conn.out)
                conn.out = memoryview(conn.out)[sent:] if sent < len(conn.out) else b""
        except BlockingIOError:
            self._wait(conn, _WRITE, STALLED)
            self._hold(conn, len(conn.out))
            return False
        except OSError:
            self._close(conn)
            return False
        answer = conn.answer
        assert answer
        if not answer.is_complete:
            self._waiting.pop(conn, None)
            self._dispatch(conn)
            return False
        return self._end(conn, answer)

    def _end(self, conn: Connection, answer: Answer) -> bool:
        """The answer is sent. Return whether the next request may be looked at."""
        conn.answer = None
        self._hold(conn, 0)
        if answer.closes:
            if conn.reader.has_rest or not answer.was_asked_to_close:
                self._linger(conn)
            else:
                self._close(conn)
            return False
        conn.begun = self._now
        try:
            conn.reader.resume()
        except Refusal as refusal:
            self._refuse(conn, refusal)
            return False
        return True

    def _linger(self, conn: Connection) -> None:
        """Send no more, and take in what the client sends: to close at once would destroy the answer on its way."""
        conn.is_lingering = True
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._wait(conn, _READ, LINGER)
