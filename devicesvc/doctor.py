"""What may keep a service from starting, or from keeping changes: each check is a sentence. Nothing is ever changed."""

import fcntl
import os
import pwd
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple
from zoneinfo import ZoneInfo

from devicesvc.csv_codec.format import MAX_LINE
from devicesvc.dao.csv.file import journal_path, registry_paths
from devicesvc.dao.lock_file import lock_path
from devicesvc.dao.sql.sqlite import PROBE_BYTES
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable
from devicesvc.regular_file import open_regular
from devicesvc.tokens import Tokens

OLDEST_PYTHON = (3, 11)
HELD_SECONDS = 1.0  # for which a lock must be held to be told: a commit holds it for milliseconds

# TZ without the database of zones, such as CST-8 or <+08>-8 (POSIX.1, 8.3)
_POSIX_ZONE = re.compile(r"(<[A-Za-z0-9+-]{3,}>|[A-Za-z]{3,})[+-]?\d.*|UTC|GMT")

_REMEDIES = {"sqlite": "Put a backup in its place, or name another file."}


class Check(NamedTuple):
    """What was looked at, whether it is as it should be, and a sentence: what was found, or what is wrong and what to
    do."""

    name: str
    is_ok: bool
    sentence: str


def ok(name: str, sentence: str) -> Check:
    """A check that found nothing wrong."""
    return Check(name, True, sentence)


def fail(name: str, sentence: str) -> Check:
    """A check that found something wrong; the sentence also says what to do."""
    return Check(name, False, sentence)


def store_checks(url: StoreUrl) -> Iterator[Check]:
    """The checks of a store, whatever its kind."""
    try:
        yield from _CHECKS.get(url.kind.name, _database_checks)(url)
    except OSError as error:
        words = f"{error.filename} cannot be looked at: {error.strerror}"
        yield fail("folder", f"{words}. Give {_user(os.geteuid())} the right to enter each folder on the way.")


def _database_checks(url: StoreUrl) -> Iterator[Check]:
    yield from _database(url)


def _sqlite_checks(url: StoreUrl) -> Iterator[Check]:
    path = url.path.resolve()
    yield from folder_checks(path, PROBE_BYTES)
    yield _lock(path, _beside(path, "-shm"))
    if not path.exists():
        yield ok("database", f"There is no {url.path} yet: serve makes it.")
    elif left := _left_by_a_kill(path):  # to read the database would complete it
        yield ok("database", f"{left} was left by a service that was killed: the next start completes it.")
    else:
        yield from _database(url)


def _beside(path: Path, suffix: str) -> Path:
    """One of the files that SQLite has beside a database."""
    return path.with_name(path.name + suffix)


def _left_by_a_kill(path: Path) -> Path | None:
    """The journal or the log of a transaction of SQLite, if no process has the database open."""
    for file in (_beside(path, "-journal"), _beside(path, "-wal")):
        is_left = file.exists() and not any(lock_holders(each, "READ") for each in (path, _beside(path, "-shm")))
        if is_left and file.exists():
            return file
    return None


def _csv_checks(url: StoreUrl) -> Iterator[Check]:
    path = url.path.resolve()
    needed = sum(each.stat().st_size for each in registry_paths(path) if each.is_file()) + MAX_LINE
    yield from folder_checks(path, needed)
    yield from _csv_file(url, path)
    yield _lock(lock_path(path))


_CHECKS = {"csv": _csv_checks, "sqlite": _sqlite_checks}  # a database on a server has no file here


def _csv_file(url: StoreUrl, path: Path) -> Iterator[Check]:
    _, *companions = registry_paths(path)
    if not path.exists():
        left = next((each for each in companions if each.exists()), None)
        if left:
            yield fail("file", f"{path} is missing, but {left} is there: put the first one back, or move {left} away.")
        else:
            yield ok("file", f"There is no {url.path} yet: serve makes it, with five sample devices.")
        return
    try:
        faults = url.check()
    except StoreUnavailable as error:
        yield fail("file", f"{error} Give {_user(os.geteuid())} the right to read it, or name another file.")
        return
    remedy = "" if journal_path(path).exists() else " Mend it in an editor."
    for fault in faults:
        yield fail("file", f"{fault}.{remedy}")
    if not faults:
        yield ok("file", f"{url.path} breaks no rule.")
        yield _history(url)


def folder_checks(path: Path, needed: int) -> Iterator[Check]:
    """Whether a store can be written in the folder of a path. needed: bytes that a change may take there."""
    folder = path.parent
    if not folder.is_dir():
        yield fail("folder", f"There is no folder {folder}: make it, or give another path.")
        return
    user = _user(os.geteuid())
    if os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        yield ok("folder", f"{folder} can be written by {user}.")
    else:
        owner = _user(folder.stat().st_uid)
        yield fail("folder", f"{folder} belongs to {owner}, and {user} cannot write there: chown it, or remount it.")
    free = shutil.disk_usage(folder).free
    if free < needed:
        yield fail("disk", f"{_size(free)} are free in {folder}, and a change may take {_size(needed)}: make room.")
    else:
        yield ok("disk", f"{_size(free)} are free; a change may take {_size(needed)}.")


def _lock(path: Path, *more: Path) -> Check:
    """Who holds the lock to write on one of these files, for longer than a commit takes."""
    end = monotonic() + HELD_SECONDS
    while (holders := [name for each in (path, *more) for name in lock_holders(each)]) or _is_locked(path):
        if monotonic() > end:
            names = ", ".join(holders) or "a process that cannot be seen from here, such as one of another container"
            return fail("lock", f"{path} has been held for {HELD_SECONDS:g} s by {names}: end it, or wait for it.")
        sleep(0.05)
    return ok("lock", f"{path} is held by no one.")


def lock_holders(path: Path, *modes: str) -> list[str]:
    """The processes that hold a lock on a file, as `pid 812 (python3 serve)`. modes: READ, for locks to read too."""
    try:
        inode = path.stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []  # there is no such file, or no such list on this system
    # 1: FLOCK  ADVISORY  WRITE 812 08:01:123456 0 EOF; who waits for a lock has -> after the number. The device is not
    # compared: btrfs and overlayfs show another one here.
    found = (line.split() for line in lines)
    pids = [each[4] for each in found if each[3] in ("WRITE", *modes) and each[5].rpartition(":")[2] == str(inode)]
    return [f"pid {pid} ({_command(pid)})" for pid in dict.fromkeys(pids)]


def _is_locked(path: Path) -> bool:
    """Whether somebody holds the lock (flock) of a file, also one that cannot be seen from here."""
    try:
        handle = open_regular(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(handle)
    return False


def _command(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return "its command cannot be read"
    return " ".join(words).strip()[:80]


def _database(url: StoreUrl) -> Iterator[Check]:
    """Whether a database can be reached, and has the newest tables; then its history."""
    schema, where = url.schema(), url.redacted
    try:
        current, head = schema.current(url.text), schema.head()
    except StoreUnavailable as error:
        remedy = _REMEDIES.get(url.kind.name, "Start the server, or correct the URL.")
        yield fail("database", f"{error} {remedy}" if error.__cause__ else str(error))  # without: it says what to do
        return
    at = f"is at revision {current}, not {head}" if current else "has no tables"
    if current == head:
        yield ok("database", f"{where} is up to date ({head}).")
        yield _history(url)
    elif url.kind.upgraded_at_start:
        yield ok("database", f"{where} {at}: serve upgrades it.")
    else:
        yield fail("database", f"{where} {at}: stop all services, and run  devicesvc db upgrade {where}")


def _history(url: StoreUrl) -> Check:
    """Whether the history is complete, and how big it is."""
    try:
        with url.history() as history:
            fault, size = history.fault, history.size()
    except StoreUnavailable as error:
        return fail("history", str(error))
    if fault:
        return fail("history", f"{fault}. Mend it, or move the file away.")
    return ok("history", f"It is complete, and takes {_size(size)}.")


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    """Whether this Python is new enough."""
    shown = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        return fail("python", f"This is {shown}: install 3.11 or newer, and devicesvc with it.")
    return ok("python", f"{shown}, {sys.executable}")


def tokens(setting: str) -> Check:
    """Whether the tokens file can be used. setting: DEVICESVC_TOKENS_FILE."""
    if not setting:
        return ok("tokens", "None are configured: everybody who reaches the service may read and change everything.")
    path = Path(setting)
    try:
        Tokens(path)
        mode = stat.S_IMODE(path.stat().st_mode)
    except StoreUnavailable as error:
        words = "Mend it, or make one with  devicesvc token create NAME --scope write --file"
        return fail("tokens", f"{error} {words} {path}")
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return fail("tokens", f"{path} has the mode {mode:03o}, so others can add tokens: run  chmod 600 {path}")
    return ok("tokens", f"{path} can be read; its mode is {mode:03o}.")


def time_zone(setting: str | None) -> Check:
    """Whether times are in the zone that was asked for. setting: TZ in the environment."""
    now = datetime.now().astimezone()
    zone = (setting or "").removeprefix(":")
    if zone and not _POSIX_ZONE.fullmatch(zone) and not _is_known(zone):
        words = f"TZ is {zone!r}, which this system does not know, so times are UTC"
        return fail("time zone", f"{words}: correct it, or install the package tzdata.")
    return ok("time zone", f"It is {now.isoformat(' ', 'seconds')} here ({now.tzname()}).")


def _is_known(zone: str) -> bool:
    try:
        return Path(zone).is_file() if zone.startswith("/") else bool(ZoneInfo(zone))
    except (OSError, ValueError, LookupError):
        return False


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"


def _size(size: float) -> str:
    units = ["bytes", "KB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"
