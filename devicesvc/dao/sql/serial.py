"""A SQL database in which changes come one after another, also those of other processes and hosts.

Changes that wait together are one transaction, which first writes the one row of the table `registry`: who is second
waits there. Each change is a savepoint, so that it can fail by itself.
"""

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import cast

from sqlalchemy.exc import DBAPIError

from devicesvc.dao.base import T, Transaction
from devicesvc.dao.group_commit import GroupCommit, Waiting
from devicesvc.dao.sql import store
from devicesvc.dao.sql.reads import InTransaction
from devicesvc.dao.sql.store import COUNT_A_CHANGE, DEFECTS, SqlStore, SqlTransaction
from devicesvc.dao.urls import StoreUrl
from devicesvc.model import Device


class SerialStore(SqlStore):
    """As SqlStore, with one connection for changes."""

    WRITERS = 1
    _BEGIN = COUNT_A_CHANGE

    def __init__(self, url: StoreUrl, first: Sequence[Device] = ()) -> None:
        self._group_commit = GroupCommit(self._commit, store.PATIENCE)
        super().__init__(url, first)

    def _write(self, change: Callable[[Transaction], T]) -> T:
        return cast(T, self._group_commit.run(change))

    def _commit(self, group: Sequence[Waiting]) -> None:
        """Run the changes one after another in one transaction, and tell each its outcome when that is committed. What
        a change raises is its own outcome, but if the database refuses to go on, that is the outcome of all."""
        begin = perf_counter()
        outcomes: list[Callable[[], None]] = []
        changed = proofs = 0
        shared = len(group) > 1
        with self._changing(self._BEGIN) as connection:
            for change, outcome in group:
                if shared:  # in SQL: SQLAlchemy's savepoints take a third of the time of a change
                    connection.exec_driver_sql("SAVEPOINT a_change")
                try:
                    tx = SqlTransaction(InTransaction(connection, self._statements))
                    outcomes.append(partial(outcome.set_result, change(tx)))
                except Exception as error:
                    if isinstance(error, DBAPIError) and not isinstance(error, DEFECTS):
                        raise  # the database refuses: perhaps it has taken back the savepoint too
                    if shared:
                        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT a_change")
                    outcomes.append(partial(outcome.set_exception, error))
                else:
                    changed += bool(tx.change_set)
                    proofs += tx.is_proof
                if shared:
                    connection.exec_driver_sql("RELEASE SAVEPOINT a_change")
            if not changed and not proofs:
                connection.rollback()
        if changed:
            self.observer.committed(changed, perf_counter() - begin)
        for tell in outcomes:
            tell()

    def close(self) -> None:
        self._group_commit.close()
        super().close()
