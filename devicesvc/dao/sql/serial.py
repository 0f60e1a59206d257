"""A SQL database in which changes come one after another, also those of other processes and hosts.

Changes that wait together are one transaction, which first writes the one row of the table `registry`: who is second
waits there. Each change is a savepoint, so that it can fail by itself.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter, sleep
from typing import Any, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from devicesvc.dao.base import T, Transaction
from devicesvc.dao.group_commit import GroupCommit, Waiting
from devicesvc.dao.sql import store
from devicesvc.dao.sql.reads import InTransaction
from devicesvc.dao.sql.store import DEFECTS, SqlStore, SqlTransaction
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device

LONGEST_PAUSE = 0.05  # seconds before a transaction is run again


class SerialStore(SqlStore):
    """As SqlStore, with one connection for changes."""

    WRITERS = 1

    def __init__(self, url: StoreUrl, first: Sequence[Device] | None = ()) -> None:
        self._group_commit = GroupCommit(self._commit, store.PATIENCE)
        super().__init__(url, first)

    def _write(self, change: Callable[[Transaction], T]) -> T:
        return cast(T, self._group_commit.run(change))

    def _commit(self, group: Sequence[Waiting]) -> None:
        """Run the changes in one transaction, and tell each its outcome when that is committed. If the database took
        the transaction back because of another one, all is run again, for as long as the patience lasts."""
        begin = perf_counter()
        while True:
            try:
                changed, outcomes = self._run(group)
                break
            except StoreUnavailable as refusal:
                error = refusal.__cause__
                is_late = perf_counter() - begin > store.PATIENCE
                if is_late or not isinstance(error, DBAPIError) or not self._may_pass(error):
                    raise
            sleep(random.uniform(0, LONGEST_PAUSE))  # so that two do not meet again and again
        if changed:
            self.observer.committed(changed, perf_counter() - begin)
        for tell in outcomes:
            tell()

    def _run(self, group: Sequence[Waiting]) -> tuple[int, list[Callable[[], None]]]:
        """Run the changes one after another in one transaction. Return how many have changed something, and what tells
        each its outcome. What a change raises is its own outcome, but if the database refuses to go on, that is the
        outcome of all."""
        outcomes: list[Callable[[], None]] = []
        changed = proofs = 0
        shared = len(group) > 1
        with self._changing(self._begin(len(group))) as (connection, begun):
            number = self._number(connection, begun) - len(group) + 1
            for change, outcome in group:
                if shared:  # in SQL: SQLAlchemy's savepoints take a third of the time of a change
                    connection.exec_driver_sql("SAVEPOINT a_change")
                try:
                    tx = SqlTransaction(InTransaction(connection, self._statements))
                    result = change(tx)
                    if tx.change_set:
                        tx.keep_history(number + changed)
                    outcomes.append(partial(outcome.set_result, result))
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
        return changed, outcomes

    def _begin(self, changes: int = 1) -> str:
        return f"UPDATE registry SET changes = changes + {changes}"

    def _number(self, connection: Connection, _begun: Sequence[Any]) -> int:
        [(number,)] = self._statements.do(connection.connection, "SELECT changes FROM registry")
        return int(number)

    def close(self) -> None:
        self._group_commit.close()
        super().close()
