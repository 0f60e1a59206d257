"""Files that are replaced as a whole or not at all.

To replace files, `prepare` writes and syncs a temporary file for each, `publish` renames them into place and syncs
the folder. After a crash each file is the old one or the new one, and what was published is there.
"""

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from devicesvc.errors import StoreUnavailable
from devicesvc.regular_file import open_regular

Beside = Callable[[], Callable[[], object]] | None
Stamp = tuple[int, ...]  # device, inode, size and time of the last change: they tell one version from every other


class Version:
    """One version of a file. It is kept open: as long as it is open, no other file can get its inode.

    temporary: where it waits to be published.
    """

    def __init__(self, file: BinaryIO, temporary: Path | None = None) -> None:
        self.file = file
        self.temporary = temporary
        self.stamp = _stamp(os.fstat(file.fileno()))


class VersionTracker:
    """Knows whether a file is still the version that was read last."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._read: Version | None = None
        self._old: list[Version] = []
        self._publishing: Stamp | None = None
        self._changed_in_place = False
        self._seen = 0.0

    @property
    def size(self) -> int:
        """Bytes of the version that was read last; 0 if there is none."""
        return self._read.stamp[2] if self._read else 0

    def is_current(self) -> bool:
        """Whether the file is the version that was read last, or the one that is being published."""
        try:
            now = _stamp(os.stat(self._path))
        except OSError:
            return self._read is None
        return (self._read is not None and now == self._read.stamp) or now == self._publishing

    def mark_read(self, version: Version | None) -> None:
        """This version was read last; None: there is no file. The versions before it stay open until `close_old`."""
        self._changed_in_place = bool(version and self._read and version.stamp[:2] == self._read.stamp[:2])
        self._seen = time.monotonic()
        if self._read:
            self._old.append(self._read)
        self._read = version

    def unquiet(self, quiet: float) -> float:
        """Seconds until a file that somebody changes in place has been left alone for `quiet` seconds; 0 or less if it
        has, or if it came by a rename, so as a whole."""
        if not (self._changed_in_place and self._read):
            return 0.0
        # Both clocks: that of the file system may be another one.
        return quiet - max(time.time() - self._read.stamp[3] / 1e9, time.monotonic() - self._seen)

    def close_old(self) -> None:
        """Close the versions before: a file system takes a while to free their blocks, so nobody should wait for it."""
        while self._old:
            self._old.pop().file.close()

    @contextmanager
    def publishing(self, version: Version) -> Iterator[None]:
        """While this version is put in its place, it counts as current, so that readers need not wait."""
        self._publishing = version.stamp
        try:
            yield
        finally:
            self._publishing = None


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def prepare(
    files: Mapping[Path, Iterable[bytes]], beside: Beside = None, like: Path | None = None
) -> dict[Path, Version]:
    """Write and sync the next version of each file, given in pieces, in its mode and owner, where nobody looks yet.

    beside: begins other work for the disk once the first file is written, and gives what waits for its end. So that is
    done beside the sync of the file, and one turn of the disk may do for both. like: the file whose mode and owner new
    files get.

    Raises StoreUnavailable: then nothing is changed and nothing is left behind. What `beside` raises is raised too.
    """
    versions: dict[Path, Version] = {}
    try:
        for path, pieces in files.items():
            versions[path] = _write_temporary(path, pieces, beside, like)
            beside = None
        return versions
    except OSError as error:
        discard(versions)
        raise StoreUnavailable(_refusal(files, error)) from error
    except StoreUnavailable:
        discard(versions)
        raise


def publish(versions: Mapping[Path, Version]) -> None:
    """Put what was prepared in the place of the files, in the order given; all of them lie in one folder.

    Each is durable before the next is touched: of the renames between two syncs of the folder, a crash may keep any.
    Raises StoreUnavailable: nothing is changed and nothing is left behind, unless it says that the outcome is unknown.
    """
    renamed = 0
    try:
        for path, version in versions.items():
            assert version.temporary
            version.temporary.replace(path)
            renamed += 1
            sync_folder(path.parent)
    except OSError as error:
        discard(versions)
        if renamed:
            words = f"The outcome is unknown: {next(iter(versions))} was replaced, but then: {error.strerror}."
            raise StoreUnavailable(words) from error
        raise StoreUnavailable(_refusal(versions, error)) from error


def publish_together(journal: Path, versions: Mapping[Path, Version], gone: Iterable[Path] = ()) -> None:
    """As `publish`, but all of them, and delete the files that are `gone`: what a crash interrupts is completed by the
    next `complete(journal)`.

    Raises StoreUnavailable.
    """
    names = {path.name: version.temporary.name for path, version in versions.items() if version.temporary}
    names |= {path.name: "" for path in gone}
    try:
        written = prepare({journal: [json.dumps(names).encode()]})
        publish(written)
    except StoreUnavailable:
        discard(versions)
        raise
    discard(written)
    complete(journal)


def complete(journal: Path) -> None:
    """Put in place what a process has begun to, and was perhaps killed at; do nothing if there is no such file. The
    caller holds the lock. Raises StoreUnavailable: then the next call goes on."""
    try:
        with open(journal, "rb", opener=open_regular) as file:
            names = json.loads(file.read())
        for name, temporary in names.items():
            with suppress(FileNotFoundError):  # it is in its place already
                if temporary:
                    os.replace(journal.with_name(temporary), journal.with_name(name))
                else:
                    journal.with_name(name).unlink()
        sync_folder(journal.parent)
        journal.unlink()
        sync_folder(journal.parent)
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not as devicesvc migrate wrote it"
        words = f"what {journal} names cannot be put in place: {reason}"
        raise StoreUnavailable(f"The outcome is unknown: {words}; the next start or change goes on.") from error


def discard(versions: Mapping[Path, Version]) -> None:
    """Close what was prepared, and remove what was not published."""
    for version in versions.values():
        version.file.close()
        if version.temporary:
            with suppress(OSError):
                version.temporary.unlink(missing_ok=True)


def make_durable(path: Path, version: Version) -> None:
    """Sync a version that somebody else has put there, perhaps without a sync. Raises OSError."""
    sync_file(version.file)
    sync_folder(path.parent)


def sweep(files: Collection[Path]) -> None:
    """Remove the temporary files that a crash has left. The caller holds the lock."""
    for path in files:
        is_left = re.compile(rf"\.{re.escape(path.name)}\.([0-9a-f]{{8}}\.)?tmp")
        with suppress(OSError):
            for each in path.parent.iterdir():
                if is_left.fullmatch(each.name):
                    each.unlink(missing_ok=True)


def prove_space(path: Path, size: int) -> None:
    """Prove that a file of so many bytes can be written beside path, without writing them all. Raises
    StoreUnavailable."""
    temporary = _temporary(path)
    try:
        with open(temporary, "x+b", buffering=0) as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                sync_file(file)
            finally:
                temporary.unlink()
    except OSError as error:
        raise StoreUnavailable(_refusal([path], error)) from error


def _temporary(path: Path) -> Path:
    # No two processes have the same name: should two ever hold a lock, neither publishes what the other has half done.
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _refusal(files: Collection[Path], error: OSError) -> str:
    return f"{next(iter(files))} cannot be written: {error.strerror}. Nothing was changed."


def _write_temporary(path: Path, pieces: Iterable[bytes], beside: Beside, like: Path | None) -> Version:
    temporary = _temporary(path)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(handle, "wb", buffering=0) as file:
            copy_mode_and_owner(like if like and not path.exists() else path, handle)
            for piece in pieces:
                left = memoryview(piece)
                while left:
                    left = left[file.write(left) :]
            wait = beside() if beside else None
            try:
                sync_file(file)
            finally:
                if wait:
                    wait()
        # A file that is open for writing would keep its disk from becoming read-only.
        return Version(temporary.open("rb"), temporary)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def copy_mode_and_owner(path: Path, handle: int) -> None:
    """Give an open file the mode and owner of the file at path, if there is one. Raises OSError."""
    try:
        old, new = path.stat(), os.fstat(handle)
    except FileNotFoundError:
        return
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):  # only root may give a file away
            os.fchown(handle, old.st_uid, old.st_gid)
    if new.st_mode != old.st_mode:
        os.fchmod(handle, old.st_mode & 0o7777)


def sync_file(file: BinaryIO | FileIO) -> None:
    """Make what was written to a file durable. Raises OSError."""
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
