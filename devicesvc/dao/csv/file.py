"""A file of a registry, and the table that was read from it last."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from devicesvc import garbage_collection
from devicesvc.csv_codec.format import Fault, Format
from devicesvc.dao import lock_file
from devicesvc.dao.csv.snapshot import Table
from devicesvc.dao.durable_file import Version, VersionTracker, complete, make_durable
from devicesvc.regular_file import open_regular

T = TypeVar("T")

MAX_FAULTS = 20  # so many are named in a refusal; `devicesvc check` names all
MAX_LOGGED = 10  # ids in a line of the log

log = logging.getLogger(__name__)


class CsvFile(Generic[T]):
    """A file that holds a table.

    table: its last good version; it is empty until the file is read for the first time. fault: what is wrong with the
    file now. in_use: whether a fault is logged; before, who opens the store is told. in_doubt: what it says may not be
    durable.
    """

    def __init__(self, path: Path, format: Format[T]) -> None:
        self.path = path
        self.table = Table.from_records(format, [])
        self.fault: str | None = None
        self.in_use = False
        self.in_doubt = False
        self.tracker = VersionTracker(path)

    def read(self, may_be_gone: bool) -> Version | None:
        """Read the file, which may be broken or gone, and return its version. The caller shows the readers what the
        file says, and then marks the version as read. may_be_gone: then a file that is gone counts as an empty one."""
        version: Version | None = None
        fault: str | None
        faults: list[Fault] = []
        format = self.table.format
        try:
            version = Version(os.fdopen(open_regular(self.path, os.O_RDONLY), "rb"))
            self._make_durable(version)
            with garbage_collection.paused():
                table = Table.from_records(format, format.records(version.file, self.table.items_by_line(), faults))
        except OSError as error:
            if may_be_gone and isinstance(error, FileNotFoundError):
                self.table, fault = Table.from_records(format, []), None
            else:
                fault = f"{self.path} cannot be read: {error.strerror}."
        else:
            fault = _fault(self.path, faults)
            if not fault:
                before, self.table = self.table, table
                log.info("Read %s: %d rows%s", self.path, len(self.table), _difference(before, self.table))
        if fault and fault != self.fault and self.in_use:
            log.error("%s", fault)
        self.fault = fault
        return version

    def content(self, table: Table[T]) -> Iterable[bytes]:
        """The file that holds a table, in pieces."""
        return [table.format.header, *table.content]

    def _make_durable(self, version: Version) -> None:
        """Show readers nothing that a power cut could take back: who wrote this version may not have synced it."""
        try:
            make_durable(self.path, version)
        except OSError as error:
            self.in_doubt = True
            log.error("%s was changed, but cannot be synced: %s.", self.path, error.strerror)


def _fault(path: Path, faults: Sequence[Fault]) -> str | None:
    if not faults:
        return None
    more = f"; and {len(faults) - MAX_FAULTS} more, which devicesvc check names" if len(faults) > MAX_FAULTS else ""
    return f"{path} breaks a rule: {'; '.join(map(str, faults[:MAX_FAULTS]))}{more}."


def _difference(before: Table[T], after: Table[T]) -> str:
    """What was added, removed and changed, for the log; nothing if the table was empty before."""
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


@contextmanager
def locked_registry(devices: Path, patience: float) -> Iterator[int]:
    """As lock_file.locked; what an interrupted migration has begun to put in place is complete then."""
    with lock_file.locked(devices, patience) as lock:
        complete(journal_path(devices))
        yield lock


def journal_path(devices: Path) -> Path:
    """The file that is there while a migration puts the files of a registry in their places."""
    return devices.with_name(f".{devices.name}.journal")


def registry_paths(devices: Path) -> tuple[Path, Path, Path]:
    """The files of a registry: those of the devices, of the groups and of the memberships."""
    return devices, companion_path(devices, "group"), companion_path(devices, "device_group")


def companion_path(devices: Path, what: str) -> Path:
    """The file of groups or memberships that belongs to a file of devices: device.csv has group.csv, fleet.csv has
    fleet.group.csv, so that two registries in one folder never share a file."""
    if devices.name == "device.csv":
        return devices.with_name(f"{what}.csv")
    if devices.suffix == ".csv":
        return devices.with_suffix(f".{what}.csv")
    return devices.with_name(f"{devices.name}.{what}")
