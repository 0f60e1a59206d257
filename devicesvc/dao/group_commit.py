"""Group commit: one thread commits together all changes that wait, so that many writers share one write to the disk."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from devicesvc.errors import StoreUnavailable


class Waiting(NamedTuple):
    """A change, and the future on which its caller waits for the outcome."""

    change: Callable[[Any], Any]
    outcome: "Future[Any]"


class GroupCommit:
    """Runs `commit` with all changes that wait, again and again, in a thread of its own.

    The thread starts with the first change, so after the fork of a worker. commit sets the outcome of each change that
    it is given; what it raises becomes the outcome of those that have none. patience: seconds after which a change is
    given up if its turn has not come; None means never.
    """

    def __init__(self, commit: Callable[[Sequence[Waiting]], None], patience: float | None = None) -> None:
        self._commit = commit
        self._patience = patience
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._state = threading.Lock()  # held to start and to close
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, change: Callable[[Any], Any]) -> Any:
        """Have the change committed, and return its result or raise its error. Raises StoreUnavailable if its turn does
        not come in time, and once closed."""
        waiting = Waiting(change, Future())
        with self._state:
            if self._closed:
                raise StoreUnavailable("The store is closed.")
            if not self._thread:
                thread = threading.Thread(target=self._work, name="group-commit", daemon=True)
                thread.start()  # may fail: then the next change tries again
                self._thread = thread
            self._queue.put(waiting)
        try:
            return waiting.outcome.result(self._patience)
        except TimeoutError:  # of the wait, or of the change
            if waiting.outcome.cancel():
                raise StoreUnavailable("The store is busy: other changes take long. Nothing was changed.") from None
        return waiting.outcome.result()

    def close(self) -> None:
        """Commit what waits, and end the thread."""
        with self._state:
            self._closed = True
            self._queue.put(None)
        if self._thread:
            self._thread.join()

    def _work(self) -> None:
        while group := self._next_group():
            self.run_group(group)

    def run_group(self, group: Sequence[Waiting]) -> None:
        """Commit these changes together, and see that each has an outcome."""
        try:
            self._commit(group)
        except Exception as error:  # also a defect of ours must reach the callers, and leave the thread alive
            for _, outcome in group:
                if not outcome.done():
                    outcome.set_exception(error)

    def _next_group(self) -> list[Waiting]:
        """All changes that wait now, at least one; none if the store is closed."""
        group: list[Waiting] = []
        waiting = self._queue.get()
        while waiting:
            if waiting.outcome.set_running_or_notify_cancel():
                group.append(waiting)
            try:
                waiting = self._queue.get(block=not group)
            except queue.Empty:
                return group
        if group:
            self._queue.put(None)  # the end, found again after this group
        return group
