"""The registry in CSV files that a person can read with `cat`: one for the devices and, once there are any, one for the
groups and one for the memberships.

All is in memory, each item with its line of the file. A change goes to the group commit, which joins the lines to the
next version of each file that changes, puts these versions in the place of the old ones, and only then answers. So at
every moment the files are whole, and what was answered is on the disk. A read first looks whether somebody else has
changed a file, unless no service has committed since the last look and that was just now.

There is no journal. After a crash between the renames of one commit, which was not answered, the devices and groups may
be those of after it and the memberships those of before. So memberships whose device or group is gone do not count.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter, sleep, time
from typing import Any, cast

from devicesvc.csv_codec.format import MAX_LINE, Format
from devicesvc.csv_codec.formats import DEVICE_CSV, GROUP_CSV, MEMBERSHIP_CSV
from devicesvc.dao import durable_file, lock_file
from devicesvc.dao.base import Size, Store, T, Transaction
from devicesvc.dao.csv.background import Background
from devicesvc.dao.csv.file import CsvFile, journal_path, locked_registry, registry_paths
from devicesvc.dao.csv.history import CsvHistory
from devicesvc.dao.csv.history import faults_of as history_faults
from devicesvc.dao.csv.months import named_paths
from devicesvc.dao.csv.recording import Batch, Recorder
from devicesvc.dao.csv.snapshot import Snapshot
from devicesvc.dao.csv.tables import CsvDevices, CsvGroups, CsvMemberships, CsvTransaction
from devicesvc.dao.group_commit import GroupCommit, Waiting
from devicesvc.dao.history import IMPORT, Author, ChangeSet
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device
from devicesvc.regular_file import open_regular

WRITER_PATIENCE = 5.0  # seconds that a change waits for the lock of another process
READER_PATIENCE = 1.0  # and a read, before it answers without
RELOAD_PATIENCE = 1.0  # and then while the files are read again, before it answers with what was before
QUIET = 0.5  # seconds for which a file that is changed in place must be left alone before a change replaces it
LOOK_EVERY = 0.01  # seconds after which a read looks at the files although no service has committed

log = logging.getLogger(__name__)


class CsvStore(Store):
    """A registry in CSV files.

    url: names the file of the devices; if it is missing it is made, with the devices of `first`. Raises
    StoreUnavailable if the folder cannot be written or a file breaks a rule.
    """

    def __init__(self, url: StoreUrl, first: Sequence[Device] = ()) -> None:
        path = url.path
        self._path = path.resolve()  # a link stays a link: what it points to is replaced
        self._mutex = threading.Lock()  # held to change what follows; the lock on the file only stops other processes
        # Devices and groups before memberships: they are replaced in this order.
        devices, groups, memberships = registry_paths(self._path)
        self._devices = CsvFile(devices, DEVICE_CSV)
        self._groups = CsvFile(groups, GROUP_CSV)
        self._memberships = CsvFile(memberships, MEMBERSHIP_CSV)
        self._files: tuple[CsvFile[Any], ...] = self._devices, self._groups, self._memberships
        self._snapshot = self._read_snapshot()  # the last good one
        self._group_commit = GroupCommit(self._commit)
        self._commits = lock_file.CommitCounter(self._path)
        self._removed = 0  # what the counter said of files that are removed, when the files were last looked at
        self._recorder = Recorder(self._path)
        self._history = CsvHistory(self._path, self._kept, lambda: self._recorder.fault, self._locked)
        self._folder = lock_file.FolderLock(self._path.parent)
        self._look: tuple[int | None, float] = None, 0.0  # the last one: the number of commits, and when it was
        self._reading = Background(self._read_again)
        if path.is_dir():
            raise StoreUnavailable(f"{path} is a folder: give the path of a CSV file, such as {path / 'device.csv'}.")
        if not self._path.parent.is_dir():
            raise StoreUnavailable(f"There is no folder {self._path.parent}: make it first, or give another path.")
        try:
            self._open(first)
        except StoreUnavailable:
            self.close()
            raise

    def _open(self, first: Sequence[Device]) -> None:
        if self._path.exists():
            self._reload()  # before the lock is had: of many workers, the last would wait too long for it
        with self._locked() as lock:
            files = [file.path for file in self._files]
            durable_file.sweep([journal_path(self._path), *files, *named_paths(self._path)])
            if not self._path.exists():
                self._make(first)
            self._reload()
            try:
                self._reconcile(lock)
            except StoreUnavailable as error:  # such as a full disk: then changes are refused
                log.error("%s", error)
        if fault := self._fault():
            raise StoreUnavailable(fault)
        for file in self._files:
            file.in_use = True

    @property
    def devices(self) -> CsvDevices:
        snapshot = self._current()
        return CsvDevices(snapshot.devices, snapshot.memberships)

    @property
    def groups(self) -> CsvGroups:
        snapshot = self._current()
        return CsvGroups(snapshot.groups, snapshot.memberships)

    @property
    def memberships(self) -> CsvMemberships:
        return CsvMemberships(self._current().memberships)

    @property
    def history(self) -> CsvHistory:
        return self._history

    def _write(self, change: Callable[[Transaction], T]) -> T:
        return cast(T, self._group_commit.run(change))

    def state(self) -> Snapshot:
        return self._current()

    @property
    def stale_since(self) -> float | None:
        return self._snapshot.stale_since

    def size(self) -> Size:
        snapshot = self._current()
        size = sum(file.tracker.size for file in self._files)
        return Size(len(snapshot.devices), len(snapshot.groups), len(snapshot.memberships), size)

    def ping(self) -> None:
        with self._locked() as lock:
            self._reload()
            self._refuse_if_broken()
            self._reconcile(lock)
            # As much as a change of all files takes, and a long row in a file and in the history.
            durable_file.prove_space(self._path, sum(file.tracker.size for file in self._files) + 2 * MAX_LINE)

    def close(self) -> None:
        self._group_commit.close()
        with self._mutex:
            for file in self._files:
                file.tracker.mark_read(None)
                file.tracker.close_old()
            self._commits.close()
            self._recorder.close()

    def _commit(self, group: Sequence[Waiting]) -> None:
        """Commit the changes, once nobody changes a file in place."""
        end = monotonic() + WRITER_PATIENCE
        while (wait := self._try_to_commit(group)) > 0:
            if monotonic() + wait > end:
                words = "is being edited in place. Nothing was changed; try again when that is done"
                raise StoreUnavailable(f"{self._path} or a file that belongs to it {words}.")
            sleep(wait)

    def _try_to_commit(self, group: Sequence[Waiting]) -> float:
        """Run the changes one after another, make what they did durable together, and only then tell each its outcome.

        Return 0; or, before anything is done, the seconds to wait because somebody has just changed a file in place:
        perhaps it is not complete yet, and what is written to a file that was replaced is lost. If the write fails,
        each gets the failure, also one that was refused: the reason may have been another change of the group, which
        is not kept.
        """
        begin = perf_counter()
        outcomes: list[Callable[[], None]] = []
        with self._locked() as lock:
            self._reload()
            self._refuse_if_broken()
            if (wait := max(file.tracker.unquiet(QUIET) for file in self._files)) > 0:
                return wait
            self._reconcile(lock)
            tx, changed, batch = CsvTransaction(self._snapshot), 0, self._recorder.batch()
            for change, outcome in group:
                try:
                    outcomes.append(partial(outcome.set_result, tx.run(change)))
                    changed += bool(tx.change_set)
                    batch.add(tx.change_set)
                except Exception as error:  # whatever it is, it belongs to the caller of this change alone
                    outcomes.append(partial(outcome.set_exception, error))
            if changed or any(file.in_doubt for file in self._files):
                # First the orphaned memberships leave the file, so that an id that comes back revives none of them.
                self._replace(self._snapshot, lock, self._recorder.batch())
                self._replace(tx.snapshot(), lock, batch)
                self.observer.committed(changed, perf_counter() - begin)
            for tell in outcomes:
                tell()
            for file in self._files:
                file.tracker.close_old()
        return 0

    def _replace(self, snapshot: Snapshot, lock: int, batch: Batch) -> None:
        """Put the next snapshot into the files that differ from it, and before that the batch into the history; show it
        to the readers, and count it, so that every process knows of it."""
        tables: dict[CsvFile[Any], Any] = {
            file: table
            for file, table in zip(self._files, snapshot[:3], strict=True)
            if table is not file.table or (file.in_doubt and file.path.exists())
        }
        if not tables:
            return
        contents = {file.path: file.content(table) for file, table in tables.items()}
        beside = partial(self._recorder.begin, batch) if batch.rows else None
        versions = durable_file.prepare(contents, beside, like=self._path)
        with self._folder.held():
            if not self._is_current():
                durable_file.discard(versions)
                self._recorder.take_back(batch)
                raise StoreUnavailable(f"{self._path} was edited at the same moment. Nothing was changed; try again.")
            with ExitStack() as publishing:
                for file in tables:
                    publishing.enter_context(file.tracker.publishing(versions[file.path]))
                    file.in_doubt = True
                durable_file.publish(versions)
                before, self._snapshot = self._snapshot, snapshot
                for file, table in tables.items():
                    file.in_doubt = False
                    file.table = table
                    file.tracker.mark_read(versions[file.path])
                self._recorder.confirm(batch, before, snapshot)
            self._remove_empty(tables, lock)
            self._commits.count(lock, self._recorder.kept)

    def _remove_empty(self, files: Iterable[CsvFile[Any]], lock: int) -> None:
        """Of files that were just replaced, remove those of groups and memberships that hold nothing any more."""
        empty = [each for each in files if not len(each.table) and each is not self._devices]
        with suppress(OSError):  # then an empty file stays
            if empty:
                self._removed = self._commits.removing(lock)
            for file in empty:
                if file.tracker.is_current():
                    file.path.unlink()
                    file.tracker.mark_read(None)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the files against every other thread and process, and give the open lock file."""
        with self._mutex, locked_registry(self._path, WRITER_PATIENCE) as lock:
            yield lock

    def _is_current(self) -> bool:
        return all(file.tracker.is_current() for file in self._files)

    def _current(self) -> Snapshot:
        """What is durable now. The files are looked at if a service has committed since the last look, and every
        LOOK_EVERY seconds, because a person may have edited them."""
        commits, now = self._commits.value(), monotonic()
        known, looked = self._look
        if commits is None or commits != known or now - looked >= LOOK_EVERY:
            self._commits.follow()
            if self._look_at_files():
                self._look = commits, now  # as they were before the look: what came meanwhile is not missed
        return self._snapshot

    def _look_at_files(self) -> bool:
        """If others have changed a file, have it read again. Return False if that takes so long that the reader goes on
        with what was before."""
        for _ in range(2):  # what is being read may be older than this look
            if self._is_current():
                return True
            if not self._reading.wait(2 * READER_PATIENCE, RELOAD_PATIENCE):  # for the mutex, and then for the lock
                return False
        return True

    def _read_again(self, begin: Callable[[], None]) -> None:
        """Read what others have changed: between two of their commits or, if the lock cannot be had, as it is."""
        with self._mutex:
            try:
                with locked_registry(self._path, READER_PATIENCE) as lock:
                    begin()
                    self._reload()
                    self._reconcile(lock)
            except StoreUnavailable:
                begin()
                self._reload()

    def _reload(self) -> None:
        """Read the files that others have changed.

        A version is marked as read only when the readers get what it says: until then they come here and wait.
        """
        if self._is_current():
            return
        removed = self._number(self._commits.removed)
        versions = {
            file: file.read(may_be_gone=file is not self._devices and (removed > self._removed or not len(file.table)))
            for file in self._files
            if not file.tracker.is_current()
        }
        self._removed = removed
        if not self._fault():
            if self._snapshot.stale_since:
                log.info("%s is in order again: changes are taken.", self._path)
            before, self._snapshot = self._snapshot, self._read_snapshot()
            self._recorder.note(before, self._snapshot)
        elif not self._snapshot.stale_since:
            self._snapshot = self._snapshot._replace(stale_since=time())
        for file, version in versions.items():
            file.tracker.mark_read(version)
            file.tracker.close_old()
        self.observer.reloaded()

    def _reconcile(self, lock: int) -> None:
        """Hold the history against the files, unless they are broken. Raises StoreUnavailable."""
        if not self._fault() and self._recorder.reconcile(self._snapshot, self._kept()):
            self._commits.count(lock, self._recorder.kept)

    def _kept(self) -> int:
        """The number of the last change that is known to be kept."""
        return max(self._recorder.kept, self._number(self._commits.kept))

    def _number(self, get: Callable[[], int]) -> int:
        """A number of the lock file that there is now."""
        if self._commits.value() is None:
            self._commits.follow()
        return get()

    def _read_snapshot(self) -> Snapshot:
        """The snapshot of what was read from the files."""
        devices, groups, memberships = self._devices.table, self._groups.table, self._memberships.table
        orphaned = [
            key for key, each in memberships.items() if not (devices.get(each.device_id) and groups.get(each.group_id))
        ]
        if orphaned:
            log.warning(
                "%s: %d memberships, the first of them %s, name a device or group that is not there:"
                " they do not count, and the next change leaves them out.",
                *(self._memberships.path, len(orphaned), orphaned[0]),
            )
        return Snapshot(devices, groups, memberships.apply(dict.fromkeys(orphaned)))

    def _make(self, first: Sequence[Device]) -> None:
        for file in (self._groups, self._memberships):
            if file.path.exists():
                words = f"{self._path} is missing, but {file.path} is there"
                raise StoreUnavailable(f"{words}: put the first one back, or move the other away.")
        content = [DEVICE_CSV.header, *map(DEVICE_CSV.encode, first)]
        self._recorder.reconcile(self._snapshot, self._kept())
        batch, imported = self._recorder.batch(), ChangeSet()
        imported.author = Author(IMPORT)
        imported.added(first)
        batch.add(imported)
        versions = durable_file.prepare({self._path: content}, partial(self._recorder.begin, batch))
        with self._folder.held():
            if not self._path.exists():
                durable_file.publish(versions)
        durable_file.discard(versions)
        ids = ", ".join(device.id for device in first)
        log.info("Made %s with %d sample devices: %s", self._path, len(first), ids)

    def _fault(self) -> str | None:
        """What is wrong with the files now."""
        return " ".join(file.fault for file in self._files if file.fault) or None

    def _refuse_if_broken(self) -> None:
        if fault := self._fault():
            raise StoreUnavailable(f"{fault} No change is taken until that is mended.")


def check(url: StoreUrl) -> list[str]:
    """Every fault of the files, and of those of the history, by file, line and column. Raises StoreUnavailable if one
    cannot be read."""
    _, groups, memberships = registry_paths(url.path.resolve())
    if journal_path(url.path.resolve()).exists():
        return [f"{url.path}: devicesvc migrate was interrupted while it replaced it: serve or migrate completes it"]
    faults = _faults(url.path, DEVICE_CSV)
    for path, format in ((groups, GROUP_CSV), (memberships, MEMBERSHIP_CSV)):
        if path.exists():
            faults += _faults(path, format)
    try:
        return [*faults, *history_faults(url.path.resolve())]
    except OSError as error:
        raise StoreUnavailable(f"{error.filename} cannot be read: {error.strerror}.") from error


def _faults(path: Path, format: Format[Any]) -> list[str]:
    try:
        with open(path, "rb", opener=open_regular) as file:
            return [f"{path}, {fault}" for fault in format.read(file, {}).faults]
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be read: {error.strerror}.") from error
