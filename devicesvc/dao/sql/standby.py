"""Reads of a PostgreSQL cluster, which go on at a standby while no primary answers: the server that takes changes.

What a standby shows is current if each change waited until the synchronous standbys had applied it
(synchronous_commit = remote_apply). No standby knows whether it is one of them. So all servers but one are asked, and
the standby that has applied most is read: one of them has all that was acknowledged.

https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import closing, contextmanager, suppress
from time import monotonic, time
from typing import Any

from sqlalchemy import Connection, PoolProxiedConnection, Select, SelectBase, literal_column, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from devicesvc.dao.sql.pg_connection import is_lost
from devicesvc.dao.sql.reads import Reads
from devicesvc.dao.sql.statements import Values
from devicesvc.errors import StoreUnavailable

ASK_SECONDS = 2.5  # for all servers together to say what they are
LAST_SECONDS = 0.25  # for the last of them, after all others: a primary that has much to do answers late
LOOK_EVERY = 0.5  # seconds between two looks for a primary, and for a standby if there was none

_STATE = """
SELECT pg_is_in_recovery(), current_setting('synchronous_commit') = 'remote_apply',
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0'::pg_lsn END
"""

_ANYTHING: Select[Any] = select(literal_column("1"))

log = logging.getLogger(__name__)


class ClusterReads(Reads):
    """As Reads, of the primary. hosts: all servers. reads_at: those at one of them, whatever it is."""

    def __init__(self, *primary: Any, hosts: Sequence[str], reads_at: Callable[[str], Reads]) -> None:
        super().__init__(*primary)
        self._hosts = hosts
        self._reads_at = reads_at
        self._standby: Reads | None = None
        self._search = threading.Lock()
        self._next_search = 0.0
        self._closed = threading.Event()

    def _tried(self, query: SelectBase, values: Values) -> Sequence[Any]:
        standby = self._standby
        if not standby:
            try:
                return self._fetch(self._take(), query, values)
            except DBAPIError as error:
                if not is_lost(error):
                    raise
            standby = self._find_standby()
            if not standby:  # perhaps the answer takes long, or only this connection was lost
                with self._snapshot() as connection:
                    return self._statements.rows(connection.connection, query, values)
        try:
            return standby._tried(query, values)
        except DBAPIError:
            self._leave(standby)
            raise

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        self.rows(_ANYTHING, {})  # if no primary answers, it finds the standby
        standby = self._standby
        with standby.connect() if standby else super().connect() as connection:
            yield connection
            self._check(connection.connection)

    def _fetch(self, connection: PoolProxiedConnection | None, query: SelectBase, values: Values) -> Sequence[Any]:
        found = super()._fetch(connection, query, values)
        if connection:
            self._check(connection)
        return found

    def _check(self, connection: PoolProxiedConnection) -> None:
        """Refuse what a primary has answered whose place another has taken in the meantime."""
        if not self._is_current(connection.info):
            raise StoreUnavailable("Another server has taken the place of the primary. Nothing was read.")

    def close(self) -> None:
        self._closed.set()
        super().close()
        if standby := self._standby:
            self._leave(standby)

    def _find_standby(self) -> Reads | None:
        with self._search:
            if not self._standby and monotonic() > self._next_search and not self._closed.is_set():
                if host := self._most_current():
                    self.stale_since = time()
                    self._standby = self._reads_at(host)
                    log.warning("No primary answers: reads go on at the standby %s", host)
                    threading.Thread(target=self._return, name="return-to-primary", daemon=True).start()
                self._next_search = monotonic() + LOOK_EVERY
            return self._standby

    def _most_current(self) -> str | None:
        """The standby that has applied most; None if there is a primary, or if more than one server does not answer."""
        applied: dict[str, int] = {}
        asking = ThreadPoolExecutor(len(self._hosts))
        try:
            asked = {asking.submit(self._state, host): host for host in self._hosts}
            for answer in as_completed(asked, ASK_SECONDS):
                if answer.exception():
                    continue
                is_standby, is_synchronous, lsn = answer.result()
                if not is_standby or not is_synchronous:
                    return None
                applied[asked[answer]] = lsn
                if len(applied) == len(self._hosts) - 1 and wait(asked, LAST_SECONDS).not_done:
                    break
        except TimeoutError:
            pass
        finally:
            asking.shutdown(wait=False)
        return max(applied, key=applied.__getitem__) if len(applied) >= len(self._hosts) - 1 else None

    def _state(self, host: str) -> Any:
        with closing(self._reads_at(host)) as reads, reads.connect() as connection:
            return connection.exec_driver_sql(_STATE).one()

    def _return(self) -> None:
        """Read from the primary again as soon as there is one."""
        while self._standby and not self._closed.wait(LOOK_EVERY):
            with suppress(SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error):
                self._resting.append(self._engine.raw_connection())
                log.warning("A primary answers: reads go to it again")
                if standby := self._standby:
                    self._leave(standby)
        if self._closed.is_set():
            self._close_resting()

    def _leave(self, standby: Reads) -> None:
        self._standby = self.stale_since = None
        standby.close()
