"""Backups: all of a registry in CSV files, in a new folder that is there as a whole or not at all.

One process at a time works in a folder of backups: it holds a lock there, so whatever has the name of a temporary
folder was left by one that was killed.
"""

import hashlib
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from devicesvc import backups
from devicesvc.dao import durable_file, lock_file
from devicesvc.dao.urls import parse
from devicesvc.errors import StoreUnavailable
from devicesvc.transfer.mover import TABLES, Result, Watcher, migrate
from devicesvc.transfer.rejects import MAX_SHOWN
from devicesvc.transfer.source import BadRow

DEVICES = "device.csv"  # in each backup; group.csv and device_group.csv are beside it if there are groups
SUMS = "SHA256SUMS"  # as `sha256sum --check` reads it
PATIENCE = 600.0  # seconds to wait for another backup in the same folder

_TEMPORARY = re.compile(r"\.devicesvc\.[0-9a-f]{8}\.tmp")
_SUM = re.compile(r"([0-9a-f]{64})  ([^/]+)")


@dataclass
class Content:
    """What a store holds. label: what to call the store in messages. counts: good rows by table. rejected: how many
    rows are bad, and the first of them."""

    label: str
    counts: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    first_rejected: list[BadRow] = field(default_factory=list)

    def reject(self, bad: BadRow) -> None:
        """Count a bad row."""
        self.rejected += 1
        if len(self.first_rejected) < MAX_SHOWN:
            self.first_rejected.append(bad)

    def __str__(self) -> str:
        bad = f", and bad rows: {self.rejected:,}" if self.rejected else ""
        return ", ".join(f"{self.counts[table]:,} {table}" for table in TABLES) + bad


@dataclass
class Outcome:
    """What came of a backup. content: what was read. backup: where it is; None if rows are bad, so that nothing was
    written. deleted: the older backups that are gone."""

    content: Content
    backup: Path | None = None
    deleted: list[Path] = field(default_factory=list)


def back_up(
    store: str, folder: Path, *, rule: Mapping[str, int] | None = None, suffix: str = "", watcher: Watcher | None = None
) -> Outcome:
    """Make a backup of a store in a folder, which is made if only its parent exists.

    rule: as backups.parse_rule gives it; backups that it does not keep, and that are a day older than the new one, are
    then deleted. None: all are kept. suffix: of the name, if it is not one of the backups that a rule deletes. Raises
    StoreUnavailable: there is no new backup and nothing was deleted, unless the text says otherwise.
    """
    with _working_in(folder), _new_folder(folder) as temporary:
        now = datetime.now(UTC).replace(microsecond=0)
        result = migrate(Result(store, str(temporary / DEVICES)), watcher=watcher, who=None)
        done = Outcome(Content(result.source, result.written, result.rejected, result.first_rejected))
        if result.done:
            done.backup, made = _publish(temporary, now, suffix)
            if rule:
                done.deleted = _prune(folder, rule, made)
        return done


def save_files(store: str, folder: Path) -> Path | None:
    """Copy the files of a store that cannot be read to a new folder beside the backups. It is called by the time too,
    but is not a backup. Returns it; None if the store has no files. Raises StoreUnavailable."""
    files = [path for path in parse(store).target(replace=True).paths() if path.exists()]
    if not files:
        return None
    with _working_in(folder), _new_folder(folder) as temporary:
        for path in files:
            shutil.copy2(path, temporary / path.name)
        return _publish(temporary, datetime.now(UTC).replace(microsecond=0), suffix=".unreadable")[0]


def exists(store: str) -> bool:
    """Whether there is something in the place of a store; a server has always something. Raises StoreUnavailable."""
    paths = parse(store).target(replace=True).paths()
    return not paths or any(path.exists() for path in paths)


def content(store: str) -> Content:
    """Read all of a store, and count it. Raises StoreUnavailable."""
    with parse(store).source() as source:
        found = Content(source.label)
        source.rejected = found.reject
        for chunk in source.read():
            found.counts[chunk.table] += len(chunk.rows)
    return found


def verified(backup: Path) -> str:
    """The registry in a backup, as the URL of a store. Raises StoreUnavailable if it is not a backup, or if its files
    are not those that were written."""
    devices = backup / DEVICES
    if not devices.is_file():
        raise StoreUnavailable(f"{backup} is not a backup: there is no file {devices}.")
    try:
        lines = [_SUM.fullmatch(line) for line in (backup / SUMS).read_text("utf-8").splitlines()]
        sums = {line[2]: line[1] for line in lines if line}
        wrong = [name for name, written in sums.items() if _sum(backup / name) != written]
        if DEVICES not in sums or not all(lines):
            wrong.append(SUMS)
    except FileNotFoundError as error:
        if Path(error.filename) != backup / SUMS:  # without sums, what is there counts
            raise StoreUnavailable(f"{backup} is not complete: there is no file {error.filename}.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreUnavailable(f"{backup} cannot be read: {reason}.") from error
    else:
        if wrong:
            words = f"is not as it was written: take another backup, or delete {backup / SUMS} to take this one"
            raise StoreUnavailable(f"{backup / wrong[0]} {words} all the same.")
    return str(devices)


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Hold a folder of backups, free of what was left by those that were killed."""
    try:
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)  # another process may make it at the same time
            durable_file.sync_folder(folder.parent)
        with lock_file.locked(folder / "devicesvc", PATIENCE):
            for path in list(folder.iterdir()):
                if _TEMPORARY.fullmatch(path.name):
                    shutil.rmtree(path)
            yield
    except OSError as error:
        raise StoreUnavailable(f"{error.filename or folder}: {error.strerror}. There is no new backup.") from error


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder. If it is not published, it is removed."""
    temporary = _temporary(folder)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(folder: Path) -> Path:
    return folder / f".devicesvc.{secrets.token_hex(4)}.tmp"


def _publish(temporary: Path, made: datetime, suffix: str = "") -> tuple[Path, datetime]:
    """Give a temporary folder the name of a backup, durable; if there is one of that second already, of the next."""
    for path in temporary.glob(".*"):  # the lock of the mover
        path.unlink()
    files = sorted(temporary.iterdir())
    for path in files:
        with path.open("rb") as file:
            durable_file.sync_file(file)
    sums = "".join(f"{_sum(path)}  {path.name}\n" for path in files)
    written = durable_file.prepare({temporary / SUMS: [sums.encode()]})
    try:
        durable_file.publish(written)
    finally:
        durable_file.discard(written)
    while (backup := temporary.with_name(f"{made.strftime(backups.NAME)}{suffix}")).exists():
        made += timedelta(seconds=1)
    temporary.rename(backup)
    try:
        durable_file.sync_folder(backup.parent)
    except OSError as error:
        raise StoreUnavailable(f"{backup} is there, but may not outlive a power cut: {error.strerror}.") from error
    return backup, made


def _prune(folder: Path, rule: Mapping[str, int], new: datetime) -> list[Path]:
    """Delete the backups that a rule does not keep, and return them. new: the time of the new one, which stays, as do
    all of the day before it and any later ones, even if the clock was set back."""
    deleted = []
    made = backups.find(folder)
    recent = {time for time in made if new - time < timedelta(days=1)}  # who makes two on a day may want either
    for time in sorted(set(made) - backups.kept(made, rule) - recent):
        path, temporary = folder / time.strftime(backups.NAME), _temporary(folder)
        try:
            path.rename(temporary)  # a kill now leaves nothing that looks like a backup
            shutil.rmtree(temporary)
        except OSError as error:
            words = f"The new backup {folder / new.strftime(backups.NAME)} is there, but {path} cannot be deleted"
            raise StoreUnavailable(f"{words}: {error.strerror}.") from error
        deleted.append(path)
    return deleted


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
