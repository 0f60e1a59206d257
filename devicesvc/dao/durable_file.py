"""A file that is replaced as a whole or not at all, and the lock that keeps several processes apart."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from devicesvc.errors import StoreUnavailable

LOCK_SECONDS = 5.0  # how long a change waits for another process

Stamp = tuple[int, int, int, int]


def stamp(path: Path) -> Stamp | None:
    """Device, inode, size and time of change of a file, which tell whether it has changed; None where there is none."""
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def replace(path: Path, data: bytes) -> Stamp:
    """Put data in the place of the file, with its mode and owner, and return the new stamp once that is durable.

    The data goes to a temporary file beside it, is synced and renamed over it; then the folder is synced. The caller
    holds the lock. Raises StoreUnavailable: the file is as before, unless the text says that the outcome is unknown.
    """
    try:
        with _temporary(path, data) as (temporary, new):
            os.replace(temporary, path)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written: {error.strerror}. Nothing was changed.") from error
    try:
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreUnavailable(
            f"{path} was written, but its folder cannot be synced: {error.strerror}. The outcome is unknown until then."
        ) from error
    return new


def probe(path: Path) -> None:
    """Prove that `replace` would find room and permission, without touching the file. Raises StoreUnavailable."""
    try:
        with _temporary(path, b"\n"):
            pass
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written: {error.strerror}.") from error


def temporary_of(path: Path) -> Path:
    """Where `replace` writes before it renames. One name is enough, for only the holder of the lock writes."""
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[tuple[Path, Stamp]]:
    """A synced temporary file with data, in the mode and owner of path; gone at the end unless it was renamed."""
    temporary = temporary_of(path)
    temporary.unlink(missing_ok=True)
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            with suppress(FileNotFoundError):
                old = path.stat()
                os.fchmod(file.fileno(), old.st_mode & 0o7777)
                with suppress(PermissionError):  # only root may give a file away
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            new = _stamp(os.fstat(file.fileno()))
        yield temporary, new
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file against every other process that asks: flock on a file of its own beside it, for the file itself is
    replaced again and again. Raises StoreUnavailable when it cannot be had within LOCK_SECONDS."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written: {lock}: {error.strerror}.") from error
    try:
        patience = time.monotonic() + LOCK_SECONDS
        while not _try_lock(handle):
            if time.monotonic() > patience:
                raise StoreUnavailable(f"{path} is busy: another process has held {lock} for {LOCK_SECONDS:g} seconds.")
            time.sleep(0.002)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
