"""Work that many wait for, but not for long."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from time import monotonic


class _Run:
    """One run of the work. started: when its thread was. began: when the work began, if `has_begun` is set."""

    def __init__(self) -> None:
        self.started = monotonic()
        self.has_begun = threading.Event()
        self.began = 0.0
        self.done: Future[None] = Future()

    def begin(self) -> None:
        self.began = monotonic()
        self.has_begun.set()


class Background:
    """Does the work in a thread of its own, once for all who wait for it at the same time.

    work: gets a function, which it calls when it has all that it must wait for itself.
    """

    def __init__(self, work: Callable[[Callable[[], None]], None]) -> None:
        self._work = work
        self._lock = threading.Lock()  # held to start a run
        self._run: _Run | None = None  # the last

    def wait(self, before: float, patience: float) -> bool:
        """Start the work, unless it is being done, and wait for its end. Return whether it has ended. Raises what it
        raised.

        before: seconds from its start in which it must begin. patience: seconds from then in which it must end.
        """
        with self._lock:
            run = self._run
            if not run or run.done.done():
                run = _Run()
                threading.Thread(target=self._do, args=[run], daemon=True).start()
                self._run = run
        if not run.has_begun.wait(max(0.0, run.started + before - monotonic())):
            return False
        if not wait([run.done], max(0.0, run.began + patience - monotonic())).done:
            return False
        run.done.result()
        return True

    def _do(self, run: _Run) -> None:
        try:
            self._work(run.begin)
        except Exception as error:  # it belongs to those who wait
            run.done.set_exception(error)
        else:
            run.done.set_result(None)
        run.has_begun.set()
