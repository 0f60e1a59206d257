"""The locks that keep several processes apart, and the number by which each knows what the others have committed.

A change holds the lock file, which lies beside the registry. Only those can open it who may write to the folder: so
whoever may only read cannot stop a change. But a lock file can be deleted while somebody holds it, and the next one who
comes makes another. So what must not happen twice at once, to compare the files and to replace them, is done under the
lock of the folder too: nobody deletes that in passing.
"""

import fcntl
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path

from devicesvc.errors import StoreUnavailable
from devicesvc.regular_file import open_regular

FOLDER_PATIENCE = 1.0  # seconds; nobody of ours holds a folder for longer than a few renames take
COMMITS = 1 << 20  # the number of commits starts again here
NUMBER = re.compile(rb"([0-9]{18})\n")  # the lock file begins with two lines that are numbers
NUMBER_SIZE = 19
KEPT, REMOVED = 0, 1  # the lines

log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path, patience: float) -> Iterator[int]:
    """Lock a registry against every other process that asks, and give the open lock file. path: of its devices. Raises
    StoreUnavailable if the lock cannot be had within `patience` seconds."""
    lock = lock_path(path)
    try:
        handle = _acquire(lock, time.monotonic() + patience)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written: {lock}: {error.strerror}.") from error
    if handle is None:
        words = f"another process has held {lock} for {patience:g} seconds: lslocks names it"
        raise StoreUnavailable(f"{path} is busy: {words}.")
    try:
        yield handle
    finally:
        os.close(handle)


def try_lock(handle: int) -> bool:
    """Lock an open file or folder (flock), and return whether it could be had. The lock ends when the file is closed,
    so also when the process dies. Raises OSError if the file system has no such locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class FolderLock:
    """The lock of a folder, for a short time: it is shared by all registries in the folder.

    Everybody who may read the folder can hold it, and so stop changes. So if it cannot be had within FOLDER_PATIENCE,
    things go on without it, and nobody waits for it again before it was free once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._was_free = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it, if it can be had."""
        with ExitStack() as opened:
            with suppress(OSError):  # over a network, folders have no locks
                handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
                opened.callback(os.close, handle)
                self._acquire(handle)
            yield

    def _acquire(self, handle: int) -> None:
        is_free = _wait_for(handle, time.monotonic() + (FOLDER_PATIENCE if self._was_free else 0))
        if self._was_free and not is_free:
            log.warning(
                "The folder %s is locked by another program, which lslocks names: changes go on without that lock.",
                self._folder,
            )
        self._was_free = is_free


class CommitCounter:
    """Tells by one short system call that a process has committed: by the size of the lock file, which every process
    keeps open. So the same call also tells whether the file was deleted. Whoever commits raises it by `count`.

    The file begins with two numbers: that of the last change in the history that was kept, and one that tells when a
    process last removed a file that was empty. They are not synced: after a crash of the machine they may be older
    ones, or gone.

    path: of the devices.
    """

    def __init__(self, path: Path) -> None:
        self._lock = lock_path(path)
        self._file: FileIO | None = None
        self._following = threading.Lock()

    def value(self) -> int | None:
        """The number; None if it cannot be had, so that the files themselves must be looked at."""
        try:
            found = os.fstat(self._file.fileno()) if self._file else None
        except (OSError, ValueError):  # it was closed meanwhile
            return None
        return found.st_size if found and found.st_nlink else None

    def kept(self) -> int:
        """The number of the last change that was kept; 0 if it cannot be had."""
        return self._number(KEPT)

    def removed(self) -> int:
        """A number that rises when a process removes a file because it is empty; 0 if it cannot be had."""
        return self._number(REMOVED)

    def _number(self, line: int) -> int:
        try:
            text = os.pread(self._file.fileno(), NUMBER_SIZE, line * NUMBER_SIZE) if self._file else b""
        except (OSError, ValueError):  # it was closed meanwhile
            return 0
        found = NUMBER.match(text)
        return int(found[1]) if found else 0

    def follow(self) -> None:
        """Open the lock file that there is now, if it is another one than before: somebody may have removed it."""
        with self._following:
            try:
                if self._file and _is_at(self._lock, self._file.fileno()):
                    return
                old, self._file = self._file, FileIO(self._lock, opener=_open_no_link)
                if old:
                    old.close()
            except OSError:
                self.close()

    def removing(self, lock: int) -> int:
        """Raise `removed`, before a file is removed, and return it. lock: as for `count`. Raises OSError if the others
        would not learn of it."""
        if not _is_at(self._lock, lock):
            raise FileNotFoundError(self._lock)
        removed = max(self.removed() + 1, time.time_ns() // 1000)  # so it rises also after the lock file was deleted
        os.pwrite(lock, b"%018d\n" % removed, REMOVED * NUMBER_SIZE)
        return removed

    def count(self, lock: int, kept: int) -> None:
        """Raise the number of commits, and note the last change that was kept. lock: the open lock file. The caller
        holds it, and the folder."""
        with suppress(OSError):  # what was committed stays so; the others see it a little later
            _note(lock, kept)
            is_known = _is_at(self._lock, lock)
            while not is_known:  # it was deleted: those who have opened the next one must know too
                with open(self._lock, "r+b", buffering=0, opener=_open_no_link) as file:
                    _note(file.fileno(), kept)
                    is_known = _is_at(self._lock, file.fileno())

    def close(self) -> None:
        """Close the lock file."""
        old, self._file = self._file, None
        if old:
            old.close()


def lock_path(path: Path) -> Path:
    """The lock file of a registry. path: of its devices."""
    return path.with_name(f".{path.name}.lock")


def _wait_for(handle: int, end: float) -> bool:
    """Try until `end` to lock an open file or folder, and return whether it is: flock has no time limit."""
    while not (is_locked := try_lock(handle)) and time.monotonic() < end:
        time.sleep(0.001)
    return is_locked


def _acquire(lock: Path, end: float) -> int | None:
    """The lock file, open and locked; None if that cannot be had until `end`. Raises OSError."""
    while True:
        with ExitStack() as opened:
            handle = _open(lock)
            opened.callback(os.close, handle)
            if _wait_for(handle, end) and _is_at(
                lock, handle
            ):  # else it was deleted while we waited: take the one there is now
                opened.pop_all()
                return handle
        if time.monotonic() >= end:
            return None


def _open(lock: Path) -> int:
    """Open the lock file, or make it, for all those who may write to its folder, and nobody else. Raises OSError."""
    try:
        handle = _open_no_link(lock, os.O_RDWR)
    except FileNotFoundError:
        handle = _open_no_link(lock, os.O_RDWR | os.O_CREAT)
    found, folder = os.fstat(handle), os.stat(lock.parent)
    mode = 0o600
    for may_write, may_lock in ((stat.S_IWGRP, 0o060), (stat.S_IWOTH, 0o006)):
        mode |= may_lock if folder.st_mode & may_write else 0
    owner = folder.st_uid if os.geteuid() == 0 else -1  # only root may give a file away
    with suppress(OSError):
        if found.st_gid != folder.st_gid or owner not in (-1, found.st_uid):
            os.fchown(handle, owner, folder.st_gid)
    with suppress(OSError):
        if stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(handle, mode)
    return handle


def _open_no_link(lock: str | Path, flags: int) -> int:
    return open_regular(lock, flags | os.O_NOFOLLOW)


def _is_at(path: Path, handle: int) -> bool:
    """Whether an open file is the one that has this name."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(handle))
    except OSError:
        return False


def _note(handle: int, kept: int) -> None:
    """First the change, then the size, which tells of it."""
    os.pwrite(handle, b"%018d\n" % kept, KEPT * NUMBER_SIZE)
    size = os.fstat(handle).st_size + 1
    os.ftruncate(handle, size if size < COMMITS else 2 * NUMBER_SIZE)
