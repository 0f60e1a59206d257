"""The worker class: which thread does what.

One thread runs the loop (loop.py). It makes the answers to GET itself: to hand each to another thread and back would
cost more than the answer. If one takes longer than PATIENCE, the main thread lets another thread run the loop, and the
first one ends with its answer. All other calls wait for the disk: a pool of threads makes their answers. What follows
the first piece of a long answer is made by one thread for all: so many exports take no more of the processor than one.
A request that waits for something new has no thread meanwhile: it is run again when it is woken (parking.py).

The main thread gets the signals, and tells gunicorn that this worker is alive as long as the loop turns.
"""

import os
import sys
import threading
from queue import SimpleQueue
from time import monotonic, sleep
from typing import Any

from gunicorn.errors import AppImportError

from devicesvc.worker import gunicorn_parts
from devicesvc.worker.loop import Connection, Loop

PATIENCE = 0.005  # seconds that an answer may hold the loop
SWITCH = 0.0002  # seconds after which a thread that computes lets the loop go on; Python's own value is 0.005
TRY_EVERY = 2  # seconds until the app is loaded again if it could not be
QUIET = 20  # looks without a request, after which the main thread looks once a second


class _Replaced(BaseException):
    """Another thread runs the loop now."""


class Worker(gunicorn_parts.Worker):  # type: ignore[misc]  # gunicorn has no types
    """`worker_class` of gunicorn. Its settings worker_connections, threads, keepalive, timeout, graceful_timeout,
    max_requests and limit_request_* mean what they say there; it has no TLS, which nginx does better."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._bell = threading.Event()  # wakes the main thread; a signal may come before `run`

    def load_wsgi(self) -> None:
        """Load the app. Raises AppImportError, with which gunicorn stops, if there is a setting that has no effect, or
        if the first worker of the service cannot load the app. All others wait until they can: so one worker says why
        the service cannot start, and one that takes the place of another lets the rest go on."""
        if self.cfg.is_ssl:
            raise AppImportError("This worker class has no TLS: put nginx in front of it.")
        told = None
        while True:
            try:
                super().load_wsgi()
                return
            except AppImportError as error:
                if self.age == 1:
                    raise
                reason = str(error)
            self.notify()
            sleep(TRY_EVERY)  # meanwhile the first one ends the service, if it cannot start either
            if self.ppid != os.getppid():
                sys.exit(0)
            if reason != told:
                told = reason
                self.log.error("A new worker waits until it can start. %s", told)

    def run(self) -> None:
        """Serve until the worker is told to stop."""
        sys.setswitchinterval(SWITCH)
        self._lock = threading.Lock()  # held to change who runs the loop
        self._leader = 0  # the thread that runs the loop
        self._leaders = 0  # threads that run it, or ran it and are still at their last answer
        self._here: Connection | None = None  # whose answer that thread is making
        self._since = self._turned = monotonic()
        self._end = 0.0  # when a worker that stops ends at the latest
        self._is_asleep = self._has_ended = False
        self._jobs, self._long_jobs = SimpleQueue[Connection](), SimpleQueue[Connection]()
        for sock in self.sockets:
            sock.setblocking(False)
        self._loop = Loop(self.sockets, self.cfg, self.wsgi, self._dispatch, self.PIPE)
        for jobs in (self._long_jobs, *[self._jobs] * self.cfg.threads):
            threading.Thread(target=self._work, args=[jobs], daemon=True).start()
        self._start_leader()
        self._watch()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: answer what has come, and end; at once if the app is not loaded yet."""
        super().handle_exit(sig, frame)
        if not self.booted:
            sys.exit(0)
        self._bell.set()

    def _watch(self) -> None:
        """What the main thread does."""
        seen, quiet, told = self.nr, 0, 0.0
        while not self._has_ended:
            self._is_asleep = quiet > QUIET
            self._bell.wait(1.0 if self._is_asleep else PATIENCE)
            self._bell.clear()
            now = monotonic()
            quiet = quiet + 1 if self.nr == seen and not self._here else 0
            seen = self.nr
            self._replace_leader(now)
            if now - told > 0.5 and now - self._turned < self.timeout:
                told = now
                self.notify()
                if self.ppid != os.getppid():
                    self.alive = False
            if not self.alive:
                self._loop.wake()

    # The loop and its thread.

    def _start_leader(self) -> None:
        self._leaders += 1
        threading.Thread(target=self._lead, daemon=True).start()

    def _lead(self) -> None:
        self._leader = threading.get_ident()
        loop = self._loop
        try:
            while not (loop.is_stopping and (loop.is_empty or monotonic() > self._end)):
                if not self.alive and not loop.is_stopping:
                    self._end = monotonic() + self.cfg.graceful_timeout
                    loop.stop()
                self._turned = monotonic()
                loop.turn(0.1 if loop.is_stopping else 1.0)
        except _Replaced:
            return
        except Exception:
            self.log.exception("The loop failed")
        self._has_ended = True
        self._bell.set()

    def _replace_leader(self, now: float) -> None:
        if not self._here or now - self._since < PATIENCE or self._leaders > self.cfg.threads:
            return
        with self._lock:
            if self._here and now - self._since >= PATIENCE:
                self._loop.release(self._here)
                self._here, self._leader = None, 0
                self._start_leader()

    # Answers.

    def _dispatch(self, conn: Connection) -> bool:
        assert conn.answer
        if conn.answer.is_new:
            self.nr += 1
            if self.nr >= self.max_requests:
                self.alive = False
        if conn.answer.is_quick:
            return self._produce_here(conn, conn.answer)
        self._loop.release(conn)
        (self._jobs if conn.answer.is_new else self._long_jobs).put(conn)
        return False

    def _produce_here(self, conn: Connection, answer: Any) -> bool:
        self._since = monotonic()
        self._here = conn
        if self._is_asleep:
            self._bell.set()
        answer.produce()
        with self._lock:
            if self._leader == threading.get_ident():
                self._here = None
                return True
            self._leaders -= 1
        self._loop.finish(conn)
        raise _Replaced

    def _work(self, jobs: "SimpleQueue[Connection]") -> None:
        while True:
            conn = jobs.get()
            assert conn.answer
            conn.answer.produce()
            self._loop.finish(conn)
