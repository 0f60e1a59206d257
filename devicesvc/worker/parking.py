"""The connections whose request waits for something new, without a thread (Parked in handover.py)."""

from collections.abc import Callable, Hashable
from math import inf
from typing import Generic, NamedTuple, TypeVar

TICK = 0.1  # seconds between two looks for waits that have ended

Conn = TypeVar("Conn", bound=Hashable)


class _Wait(NamedTuple):
    """What a connection waits for: a number greater than `after`, and until when at most."""

    after: int
    until: float


class Parking(Generic[Conn]):
    """Those that wait, and those that were woken and have their turn soon. Only the loop calls it, but for `wake`.

    notify: ends the wait of the loop's turn. Any thread may call it.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self.news = 0  # how often there was something new
        self._number = 0  # the last one that was told
        self._notify = notify
        self._waits: dict[Conn, _Wait] = {}  # who waits longest comes first
        self._woken: dict[Conn, bool] = {}  # and whether each is answered now, whatever there is
        self._heard = 0
        self._next_end = inf  # before this, no wait ends

    def __len__(self) -> int:
        return len(self._waits)

    def wake(self, number: int) -> None:
        """Wake who waits for a number after a lesser one than this. Any thread may call this."""
        self._number = number
        self.news += 1
        self._notify()

    def add(self, conn: Conn, after: int, until: float, news: int) -> None:
        """Have a connection wait. news: as it was before its request was run: what came meanwhile wakes it at once."""
        self._waits[conn] = _Wait(after, until)
        self._next_end = min(self._next_end, until)
        if news != self.news and after < self._number:
            self._wake(conn)

    def remove(self, conn: Conn) -> None:
        """Forget a connection, if it is here."""
        self._waits.pop(conn, None)
        self._woken.pop(conn, None)

    def seconds(self, now: float, most: float) -> float:
        """How long the loop may sleep."""
        return 0 if self._woken else max(0, min(most, self._next_end - now))

    def look(self, now: float) -> None:
        """Wake those for whom there is something new, or whose wait has ended."""
        if self._heard != self.news:
            self._heard = self.news
            for conn in [conn for conn, wait in self._waits.items() if wait.after < self._number]:
                self._wake(conn)
        if now >= self._next_end:
            for conn in [conn for conn, wait in self._waits.items() if wait.until <= now]:
                self._wake(conn, at_once=True)
            self._next_end = max(now + TICK, min((wait.until for wait in self._waits.values()), default=inf))

    def end(self, most: int | None = None) -> int:
        """Wake those that wait longest, at most so many, or all, to be answered whatever there is; return how many."""
        ending = list(self._waits)[:most]
        for conn in ending:
            self._wake(conn, at_once=True)
        return len(ending)

    def pop(self) -> tuple[Conn, bool] | None:
        """The next one that was woken, and whether it is answered at once; None if there is none."""
        if not self._woken:
            return None
        conn = next(iter(self._woken))
        return conn, self._woken.pop(conn)

    def _wake(self, conn: Conn, at_once: bool = False) -> None:
        del self._waits[conn]
        self._woken[conn] = at_once
