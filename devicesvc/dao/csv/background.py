"""Work that many wait for, but not for long."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from time import monotonic


class Background:
    """Does the work in a thread of its own, once for all who wait for it at the same time."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._lock = threading.Lock()  # held to begin
        self._began = 0.0
        self._done: Future[None] = Future()
        self._done.set_result(None)

    def wait(self, patience: float) -> bool:
        """Begin the work, unless it is being done, and wait for its end, at most until so many seconds after its
        beginning. Return whether it has ended. Raises what it raised."""
        with self._lock:
            if self._done.done():
                self._began, self._done = monotonic(), Future()
                threading.Thread(target=self._run, args=[self._done], daemon=True).start()
            end, done = self._began + patience, self._done
        if not wait([done], max(0.0, end - monotonic())).done:
            return False
        done.result()
        return True

    def _run(self, done: "Future[None]") -> None:
        try:
            self._work()
        except Exception as error:  # it belongs to those who wait
            done.set_exception(error)
        else:
            done.set_result(None)
