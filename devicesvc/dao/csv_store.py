"""The registry in CSV files that a person can read with `cat`: the devices in one, and beside it, once there are any,
the groups and the memberships.

All is in memory, each item with its line of the file. A change goes to the committer, which joins the lines to the next
version of each file that changes, puts those in the place of the old ones, and only then answers: at every moment the
files are whole, and what was answered is on the disk. Each read looks first whether somebody else has changed a file.

There is no journal. A crash between the renames of one commit, which nobody was told of, may leave the devices and
groups of after it with the memberships of before: memberships whose device or group is gone do not count.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from devicesvc.dao import csv_format, csv_lines, durable_file
from devicesvc.dao.base import Size, Store, T, Transaction
from devicesvc.dao.committer import Committer, Waiting
from devicesvc.dao.csv_file import CsvFile
from devicesvc.dao.csv_state import State
from devicesvc.dao.csv_tables import CsvDevices, CsvGroups, CsvMemberships, CsvTransaction
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device

WRITER_PATIENCE = 5.0  # seconds that a change waits for the lock of another process
READER_PATIENCE = 1.0  # and a read, before it answers without

log = logging.getLogger(__name__)


class CsvStore(Store):
    """A registry in CSV files.

    path: that of the devices; where it is missing it is made, with the devices of `first`. Raises StoreUnavailable
    where the folder cannot be written or a file breaks a rule.
    """

    def __init__(self, path: Path, first: Sequence[Device] = ()) -> None:
        self._path = path.resolve()  # a link stays a link: what it points to is replaced
        self._mutex = threading.Lock()  # held to change what follows; the lock on the file knows only processes
        # Devices and groups before memberships: they are replaced in this order.
        self._devices = CsvFile(self._path, csv_format.DEVICES)
        self._groups = CsvFile(beside(self._path, "group"), csv_format.GROUPS)
        self._memberships = CsvFile(beside(self._path, "device_group"), csv_format.MEMBERSHIPS)
        self._files: tuple[CsvFile[Any], ...] = self._devices, self._groups, self._memberships
        self._state = self._linked()  # the last good one
        self._committer = Committer(self._commit)
        if path.is_dir():
            raise StoreUnavailable(f"{path} is a folder: give the path of a CSV file, such as {path / 'device.csv'}.")
        if not self._path.parent.is_dir():
            raise StoreUnavailable(f"There is no folder {self._path.parent}: make it first, or give another path.")
        with self._locked():
            durable_file.sweep([file.path for file in self._files])
            if not self._path.exists():
                self._make(first)
            self._look()
        if fault := self._fault():
            self.close()
            raise StoreUnavailable(fault)

    @property
    def devices(self) -> CsvDevices:
        state = self._current()
        return CsvDevices(state.devices, state.memberships)

    @property
    def groups(self) -> CsvGroups:
        state = self._current()
        return CsvGroups(state.groups, state.memberships)

    @property
    def memberships(self) -> CsvMemberships:
        return CsvMemberships(self._current().memberships)

    def _write(self, op: Callable[[Transaction], T]) -> T:
        return cast(T, self._committer.run(op))

    def size(self) -> Size:
        state = self._current()
        bytes = sum(file.watch.size for file in self._files)
        return Size(len(state.devices), len(state.groups), len(state.memberships), bytes)

    def ping(self) -> None:
        with self._locked():
            self._look()
            self._refuse_if_broken()
            durable_file.prepare({self._path: [csv_format.DEVICES.header]})[self._path].file.close()
            durable_file.sweep([self._path])

    def close(self) -> None:
        self._committer.close()
        with self._mutex:
            for file in self._files:
                file.watch.see(None)
                file.watch.let_go()

    def _commit(self, batch: Sequence[Waiting]) -> None:
        """Run the ops one after another, make what they changed durable together, and only then tell each its outcome.

        Where that fails each op gets the failure, also one that raised: what it was judged on may not have come to be.
        """
        begin = perf_counter()
        outcomes: list[Callable[[], None]] = []
        with self._locked():
            self._look()
            self._refuse_if_broken()
            transaction, changed = CsvTransaction(self._state), 0
            for op, outcome in batch:
                try:
                    outcomes.append(partial(outcome.set_result, transaction.run(op)))
                    changed += bool(transaction.record)
                except Exception as error:  # whatever it is, it belongs to the caller of this op alone
                    outcomes.append(partial(outcome.set_exception, error))
            after = transaction.state()
            if after != self._state or any(file.in_doubt for file in self._files):
                # First the memberships that do not count leave the file, lest an id that comes back revive one.
                self._replace(self._state)
                self._replace(after)
                self.observer.committed(changed, perf_counter() - begin)
            for tell in outcomes:
                tell()
            for file in self._files:
                file.watch.let_go()

    def _replace(self, state: State) -> None:
        """Put the next state into the files that differ from it, and then in front of the readers."""
        tables: dict[CsvFile[Any], Any] = {
            file: table
            for file, table in zip(self._files, state, strict=True)
            if table is not file.table or (file.in_doubt and file.path.exists())
        }
        if not tables:
            return
        versions = durable_file.prepare({file.path: file.content(table) for file, table in tables.items()})
        try:
            if not self._is_current():
                durable_file.sweep(versions)
                raise StoreUnavailable(f"{self._path} was edited at the same moment. Nothing was changed; try again.")
            with ExitStack() as coming:
                for file in tables:
                    coming.enter_context(file.watch.expect(versions[file.path]))
                    file.in_doubt = True
                durable_file.publish(versions)
                self._state = state
                for file, table in tables.items():
                    file.in_doubt = False
                    file.table = table
                    file.watch.see(versions[file.path])
        except StoreUnavailable:
            for version in versions.values():
                version.file.close()
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the files against every other thread and process."""
        with self._mutex, durable_file.locked(self._path, WRITER_PATIENCE):
            yield

    def _is_current(self) -> bool:
        return all(file.watch.is_current() for file in self._files)

    def _current(self) -> State:
        """What is durable now: where others have changed a file, as it is between two commits, or, where the lock
        cannot be had, as it stands."""
        if not self._is_current():
            with self._mutex:
                try:
                    with durable_file.locked(self._path, READER_PATIENCE):
                        self._look()
                except StoreUnavailable:
                    self._look()
        return self._state

    def _look(self) -> None:
        """Read the files that are not the versions that were seen last.

        They count as seen only when what they say is in front of the readers: until then these come here and wait.
        """
        if self._is_current():
            return
        versions = {file: file.read() for file in self._files if not file.watch.is_current()}
        if not self._fault():
            self._state = self._linked()
        for file, version in versions.items():
            file.watch.see(version)
            file.watch.let_go()
        self.observer.reloaded()

    def _linked(self) -> State:
        """The state that the files tell of."""
        devices, groups, memberships = self._devices.table, self._groups.table, self._memberships.table
        loose = [
            key for key, each in memberships.items() if not (devices.get(each.device_id) and groups.get(each.group_id))
        ]
        if loose:
            log.warning(
                "%s: %d memberships, the first of them %s, name a device or group that is not there:"
                " they do not count, and the next change leaves them out.",
                *(self._memberships.path, len(loose), loose[0]),
            )
        return State(devices, groups, memberships.apply(dict.fromkeys(loose)))

    def _make(self, first: Sequence[Device]) -> None:
        for file in (self._groups, self._memberships):
            if file.path.exists():
                words = f"{self._path} is missing, but {file.path} is there"
                raise StoreUnavailable(f"{words}: put the first one back, or move the other away.")
        content = [csv_format.DEVICES.header, *map(csv_format.DEVICES.encode, first)]
        durable_file.prepare({self._path: content})[self._path].file.close()
        durable_file.publish([self._path])
        ids = ", ".join(device.id for device in first)
        log.info("Made %s with %d sample devices: %s", self._path, len(first), ids)

    def _fault(self) -> str | None:
        """What is wrong with the files now."""
        return " ".join(file.fault for file in self._files if file.fault) or None

    def _refuse_if_broken(self) -> None:
        if fault := self._fault():
            raise StoreUnavailable(f"{fault} It is left as it is until that is mended.")


def beside(devices: Path, what: str) -> Path:
    """The file of groups or memberships that belongs to a file of devices: device.csv has group.csv, fleet.csv has
    fleet.group.csv, so that two registries in one folder never share one."""
    if devices.name == "device.csv":
        return devices.with_name(f"{what}.csv")
    if devices.suffix == ".csv":
        return devices.with_suffix(f".{what}.csv")
    return devices.with_name(f"{devices.name}.{what}")


def check(path: Path) -> list[str]:
    """Every fault of the files, by file, line and column. Raises StoreUnavailable where one cannot be read."""
    faults = _faults(path, csv_format.DEVICES)
    for what, format in (("group", csv_format.GROUPS), ("device_group", csv_format.MEMBERSHIPS)):
        if (other := beside(path.resolve(), what)).exists():
            faults += _faults(other, format)
    return faults


def _faults(path: Path, format: csv_lines.Format[Any]) -> list[str]:
    try:
        with path.open("rb") as file:
            return [f"{path}, {fault}" for fault in format.read(file, {}).faults]
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be read: {error.strerror}.") from error
