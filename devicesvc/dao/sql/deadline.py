"""A connection to PostgreSQL that gives up a server which does not answer.

statement_timeout is the server's, and of no use if the server itself stands still.
"""

from collections.abc import Generator
from time import monotonic
from typing import Any

import psycopg


class Connection(psycopg.Connection[Any]):
    """Closes itself if an answer takes longer than `deadline` seconds. It raises psycopg.OperationalError then."""

    deadline = float("inf")

    def wait(self, gen: Generator[Any, Any, Any], *timing: Any, **more: Any) -> Any:
        """Wait for an answer."""
        return super().wait(self._until(gen, monotonic() + self.deadline), *timing, **more)

    def _until(self, gen: Generator[Any, Any, Any], end: float) -> Generator[Any, Any, Any]:
        """Go on with the generator of psycopg, which is also told every 0.1 s that nothing has come."""
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and monotonic() > end:
                    self.close()
                    raise psycopg.OperationalError(f"the server has not answered for {self.deadline:g} seconds")
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value
