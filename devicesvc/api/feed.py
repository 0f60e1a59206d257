"""Who waits for the next change is woken by it.

The stores tell of the commits of this process. Those of others are found by a look each second, while somebody waits.
Where the server can, a request waits without a thread (Parked in handover.py). Elsewhere it keeps its thread; so that
others are answered, at most a quarter of the threads that have asked here wait.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from typing import cast

from flask import current_app, request

from devicesvc.dao.base import Observer, Observers, Store
from devicesvc.errors import StoreUnavailable
from devicesvc.handover import AT_ONCE, PARK, Parked

LOOK = 1.0  # seconds between two looks for commits of others
PAUSE = 0.01  # seconds in which many commits of this process make one look
SHARE = 4  # of so many threads, one may wait
MAX_THREADS = 64  # that are told apart: so at most 16 wait


class Feed(Observer):
    """Those that wait for changes of a store. It is made when the app is, and starts its thread with the first one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.observer = Observers(store.observer, self)
        self._bell = threading.Event()
        self._until = 0.0  # somebody may wait until then
        self._last = 0
        self._changed = threading.Condition()
        self._wake: Callable[[int], None] | None = None  # of the server
        self._looker: threading.Thread | None = None
        self._threads: set[int] = set()  # that have asked here
        self._waiting = 0  # threads

    def committed(self, _changes: int, _seconds: float) -> None:
        """Look at once what this process has committed."""
        self._ring()

    def reloaded(self) -> None:
        """Look at once what somebody else has committed."""
        self._ring()

    def wait(self, after: int, seconds: int) -> bool:
        """Let the current request wait until there is a change after this one, for at most so many seconds. Return
        whether it waited: it may not if too many threads do. Raises Parked if the server lets it wait."""
        if request.environ.get(AT_ONCE):
            return True
        self._expect(seconds)
        if PARK in request.environ:
            self._wake = request.environ[PARK]
            raise Parked(after, seconds)
        with self._changed:
            if len(self._threads) < MAX_THREADS:
                self._threads.add(threading.get_ident())
            if self._waiting >= len(self._threads) // SHARE:
                return False
            self._waiting += 1
            self._changed.wait_for(lambda: self._last > after, seconds)
            self._waiting -= 1
        return True

    def _ring(self) -> None:
        if monotonic() < self._until:
            self._bell.set()

    def _expect(self, seconds: int) -> None:
        """Look from now on, for so many seconds."""
        with self._changed:
            now = monotonic()
            if now >= self._until:
                self._bell.set()  # it sleeps
            self._until = max(self._until, now + seconds + LOOK)
            if not self._looker:  # not before: a thread does not live on in a worker, which is a fork
                self._looker = threading.Thread(target=self._look, daemon=True)
                self._looker.start()

    def _look(self) -> None:
        while True:
            with self._changed:
                is_asked = monotonic() < self._until
            self._bell.wait(LOOK if is_asked else None)
            self._bell.clear()
            with suppress(StoreUnavailable):
                self._tell(self._store.history.last())
            sleep(PAUSE)

    def _tell(self, last: int) -> None:
        with self._changed:
            self._last = last
            self._changed.notify_all()
        if self._wake:
            self._wake(last)


def feed() -> Feed:
    """The feed of the current app."""
    return cast(Feed, current_app.extensions["devicesvc.feed"])
