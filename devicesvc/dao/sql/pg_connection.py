"""A connection to PostgreSQL that notices more than the driver does."""

from collections.abc import Generator
from time import monotonic
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError, OperationalError

# The server is not the one that changes things, or not yet: it is starting, stopping, or a standby now.
_NOT_NOW = {"25006", "57P01", "57P02", "57P03"}


def is_lost(error: DBAPIError) -> bool:
    """Whether a connection was lost, or leads to a server of no use, or none was made. Another one may do."""
    state = getattr(error.orig, "sqlstate", None)
    never_made = state is None and isinstance(error, OperationalError)
    return error.connection_invalidated or never_made or state in _NOT_NOW


class Connection(psycopg.Connection[Any]):
    """Closes itself if nothing comes for `deadline` seconds while it waits for an answer: statement_timeout is the
    server's, and of no use if the server itself stands still. It raises psycopg.OperationalError then.
    """

    deadline = float("inf")
    warning = ""
    timeline: tuple[int, str] = (0, "")  # of which system, and which one; only that of a primary of several servers

    def wait(self, gen: Generator[Any, Any, Any], *timing: Any, **more: Any) -> Any:
        """Wait for an answer."""
        return super().wait(self._in_time(gen), *timing, **more)

    def _in_time(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Go on with the generator of psycopg, which is also told every 0.1 s that nothing has come."""
        try:
            wanted = next(gen)
            end = monotonic() + self.deadline
            while True:
                ready = yield wanted
                if ready:
                    end = monotonic() + self.deadline
                elif monotonic() > end:
                    self.close()
                    raise psycopg.OperationalError(f"the server has not answered for {self.deadline:g} seconds")
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value

    def note(self, notice: psycopg.errors.Diagnostic) -> None:
        """Keep a warning: it is told to add_notice_handler."""
        if notice.severity_nonlocalized == "WARNING":
            self.warning = str(notice.message_primary)

    def commit(self) -> None:
        """Commit. If someone has ended the wait for the standbys, the server says that all is well, and only warns that
        they may not have the change: then this raises psycopg.OperationalError."""
        self.warning = ""
        super().commit()
        if self.warning:
            raise psycopg.OperationalError(self.warning)
