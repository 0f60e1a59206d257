"""The registry in a CSV file that a person can read with `cat`.

The devices are in memory, each with its line of the file. A change goes to the committer, which joins the lines to the
next version of the file, puts that in the place of the old one, and only then answers: at every moment the file is
whole, and what was answered is on the disk. Each read looks first whether somebody else has changed the file.
"""

import gc
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

from devicesvc.dao import csv_format, durable_file
from devicesvc.dao.base import Store, T, Transaction
from devicesvc.dao.committer import Committer, Waiting
from devicesvc.dao.csv_devices import CsvDevices, CsvDeviceWriter
from devicesvc.dao.csv_state import Changes, State
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device

MAX_FAULTS = 20  # so many are named in a refusal; `devicesvc check` names all
MAX_LOGGED = 10  # ids in a line of the log
WRITER_PATIENCE = 5.0  # seconds that a change waits for the lock of another process
READER_PATIENCE = 1.0  # and a read, before it answers without

log = logging.getLogger(__name__)


class CsvTransaction:
    """What an op gets."""

    def __init__(self, state: State, changes: Changes) -> None:
        self.devices = CsvDeviceWriter(state, changes)


class CsvStore(Store):
    """A registry in one CSV file.

    path: the file; where it is missing it is made, with the devices of `first`. Raises StoreUnavailable where the
    folder cannot be written or the file breaks a rule.
    """

    def __init__(self, path: Path, first: Sequence[Device] = ()) -> None:
        self._path = path.resolve()  # a link stays a link: what it points to is replaced
        self._mutex = threading.Lock()  # held to change what follows; the lock on the file knows only processes
        self._file = durable_file.Watch(self._path)
        self._state = State.of({})
        self._fault: str | None = f"{self._path} has not been read."  # while there is one, _state is the last good one
        self._in_doubt = False  # what the file says may not be durable: the next op, whatever it is, writes it again
        self._committer = Committer(self._commit)
        if path.is_dir():
            raise StoreUnavailable(f"{path} is a folder: give the path of a CSV file, such as {path / 'device.csv'}.")
        if not self._path.parent.is_dir():
            raise StoreUnavailable(f"There is no folder {self._path.parent}: make it first, or give another path.")
        with self._locked():
            durable_file.sweep([self._path])
            if not self._path.exists():
                self._make(first)
            self._look()
        if self._fault:
            self.close()
            raise StoreUnavailable(self._fault)

    @property
    def devices(self) -> CsvDevices:
        if not self._file.is_current():
            self._catch_up()
        return CsvDevices(self._state)

    def write(self, op: Callable[[Transaction], T]) -> T:
        return cast(T, self._committer.run(op))

    def ping(self) -> None:
        with self._locked():
            self._look()
            self._refuse_if_broken()
            durable_file.prepare({self._path: [csv_format.HEADER]})[self._path].file.close()
            durable_file.sweep([self._path])

    def close(self) -> None:
        self._committer.close()
        with self._mutex:
            self._file.see(None)

    def _commit(self, batch: Sequence[Waiting]) -> None:
        """Run the ops one after another, make what they changed durable together, and only then tell each its outcome.

        Where that fails each op gets the failure, also one that raised: what it was judged on may not have come to be.
        """
        outcomes: list[Callable[[], None]] = []
        with self._locked():
            self._look()
            self._refuse_if_broken()
            changes: Changes = {}
            for op, outcome in batch:
                transaction = CsvTransaction(self._state, changes)
                try:
                    outcomes.append(partial(outcome.set_result, op(transaction)))
                    changes = transaction.devices.changes
                except Exception as error:  # whatever it is, it belongs to the caller of this op alone
                    outcomes.append(partial(outcome.set_exception, error))
            if changes or self._in_doubt:
                self._replace(self._state.apply(changes))
        for tell in outcomes:
            tell()

    def _replace(self, state: State) -> None:
        """Put the next state into the file, and then in front of the readers."""
        version = durable_file.prepare({self._path: [csv_format.HEADER, *state.content]})[self._path]
        try:
            if not self._file.is_current():
                durable_file.sweep([self._path])
                raise StoreUnavailable(f"{self._path} was edited at the same moment. Nothing was changed; try again.")
            with self._file.expect(version):
                self._in_doubt = True
                durable_file.publish([self._path])
                self._in_doubt = False
                self._state = state
                self._file.see(version)
        except StoreUnavailable:
            version.file.close()
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the file against every other thread and process."""
        with self._mutex, durable_file.locked(self._path, WRITER_PATIENCE):
            yield

    def _catch_up(self) -> None:
        """Read what others have changed: between two commits, or as it stands where the lock cannot be had."""
        with self._mutex:
            try:
                with durable_file.locked(self._path, READER_PATIENCE):
                    self._look()
            except StoreUnavailable:
                self._look()

    def _look(self) -> None:
        """Read the file where it is not the version that was seen last; of a broken one keep only the fault.

        The version counts as seen only when its rows are in front of the readers: until then they come here and wait.
        """
        if self._file.is_current():
            return
        version, fault = None, None
        try:
            version = durable_file.Version(self._path.open("rb"))
            self._settle(version)
            with _no_garbage_collection():
                table = csv_format.read(version.file, self._state.devices_by_line())
        except OSError as error:
            fault = f"{self._path} cannot be read: {error.strerror}."
        else:
            fault = _fault(self._path, table.faults)
            if not fault:
                before, self._state = self._state, State.of(table.rows)
                log.info("Read %s: %d devices%s", self._path, len(table.rows), _difference(before, self._state))
        if fault and fault != self._fault:
            log.error("%s", fault)
        self._fault = fault
        self._file.see(version)

    def _settle(self, version: durable_file.Version) -> None:
        """Show readers nothing that a power cut could take back: whoever wrote this version may not have synced it."""
        try:
            durable_file.settle(self._path, version)
        except OSError as error:
            self._in_doubt = True
            log.error("%s was changed, but cannot be synced: %s.", self._path, error.strerror)

    def _make(self, first: Sequence[Device]) -> None:
        content = [csv_format.HEADER, *map(csv_format.encode, first)]
        durable_file.prepare({self._path: content})[self._path].file.close()
        durable_file.publish([self._path])
        ids = ", ".join(device.id for device in first)
        log.info("Made %s with %d sample devices: %s", self._path, len(first), ids)

    def _refuse_if_broken(self) -> None:
        if self._fault:
            raise StoreUnavailable(f"{self._fault} It is left as it is until that is mended.")


def check(path: Path) -> list[str]:
    """Every fault of a file, by line and column. Raises StoreUnavailable where it cannot be read."""
    try:
        with path.open("rb") as file:
            return [str(fault) for fault in csv_format.read(file, {}).faults]
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be read: {error.strerror}.") from error


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A large file makes a million objects and no garbage: to look for some took half the time of reading it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _fault(path: Path, faults: Sequence[csv_format.Fault]) -> str | None:
    if not faults:
        return None
    more = f"; and {len(faults) - MAX_FAULTS} more, which devicesvc check names" if len(faults) > MAX_FAULTS else ""
    return f"{path} breaks a rule: {'; '.join(map(str, faults[:MAX_FAULTS]))}{more}."


def _difference(before: State, after: State) -> str:
    """What has come, gone and changed, for the log; nothing where there was nothing before."""
    old, new = before.lines(), after.lines()
    if not old:
        return ""
    came, went = new.keys() - old.keys(), old.keys() - new.keys()
    changed = {id for id in new.keys() & old.keys() if new[id] != old[id]}
    return "".join(
        f"; {verb} {len(ids)}: {', '.join(sorted(ids)[:MAX_LOGGED])}{', ...' if len(ids) > MAX_LOGGED else ''}"
        for verb, ids in (("came", came), ("went", went), ("changed", changed))
        if ids
    )
