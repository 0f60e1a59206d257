"""Group commit: one thread commits together whatever waits, so that many writers share one write to the disk."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from devicesvc.errors import StoreUnavailable


class Waiting(NamedTuple):
    """An op, and where its caller waits for what becomes of it."""

    op: Callable[[Any], Any]
    outcome: "Future[Any]"


class Committer:
    """Runs `commit` with all ops that wait, again and again, in a thread of its own.

    The thread starts with the first op, so after the fork of a worker. commit settles the outcome of each op that it is
    given; what it raises becomes the outcome of those that it has not settled.
    """

    def __init__(self, commit: Callable[[Sequence[Waiting]], None]) -> None:
        self._commit = commit
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._state = threading.Lock()  # held to start and to close
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, op: Callable[[Any], Any]) -> Any:
        """Have op committed, and return its result or raise its error. Raises StoreUnavailable once closed."""
        waiting = Waiting(op, Future())
        with self._state:
            if self._closed:
                raise StoreUnavailable("The store is closed.")
            if not self._thread:
                self._thread = threading.Thread(target=self._work, name="committer", daemon=True)
                self._thread.start()
            self._queue.put(waiting)
        return waiting.outcome.result()

    def close(self) -> None:
        """Commit what waits, and end the thread."""
        with self._state:
            self._closed = True
            self._queue.put(None)
        if self._thread:
            self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            self._settle(batch)

    def _settle(self, batch: Sequence[Waiting]) -> None:
        try:
            self._commit(batch)
        except Exception as error:  # also a defect of ours must reach the callers, and leave the thread alive
            for _, outcome in batch:
                if not outcome.done():
                    outcome.set_exception(error)

    def _next(self) -> list[Waiting]:
        """All ops that wait now, at least one; none when the store is closed."""
        batch: list[Waiting] = []
        waiting = self._queue.get()
        while waiting:
            batch.append(waiting)
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            self._queue.put(None)  # the end, seen again after this batch
        return batch
