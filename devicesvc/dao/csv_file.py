"""A file of a registry, and the table that was read from it last."""

import gc
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from devicesvc.dao.csv_lines import Fault, Format
from devicesvc.dao.csv_state import Table
from devicesvc.dao.durable_file import Version, Watch, settle

T = TypeVar("T")

MAX_FAULTS = 20  # so many are named in a refusal; `devicesvc check` names all
MAX_LOGGED = 10  # ids in a line of the log

log = logging.getLogger(__name__)


class CsvFile(Generic[T]):
    """A file that holds a table.

    table: its last good version; empty until the file is seen for the first time, for it may be missing till then.
    fault: what is wrong with it now. in_doubt: what it says may not be durable.
    """

    def __init__(self, path: Path, format: Format[T]) -> None:
        self.path = path
        self.table = Table.of(format, {})
        self.fault: str | None = None
        self.in_doubt = False
        self.watch = Watch(path)

    def read(self) -> Version | None:
        """Read the file, which may be broken or gone, and return its version: it counts as seen when the caller has put
        what it says in front of the readers."""
        version: Version | None = None
        fault: str | None
        try:
            version = Version(self.path.open("rb"))
            self._settle(version)
            with _no_garbage_collection():
                read = self.table.format.read(version.file, self.table.items_by_line())
        except OSError as error:
            fault = f"{self.path} cannot be read: {error.strerror}."
        else:
            fault = _fault(self.path, read.faults)
            if not fault:
                before, self.table = self.table, Table.of(self.table.format, read.rows)
                log.info("Read %s: %d rows%s", self.path, len(self.table), _difference(before, self.table))
        if fault and fault != self.fault:
            log.error("%s", fault)
        self.fault = fault
        return version

    def content(self, table: Table[T]) -> Iterable[bytes]:
        """The file that holds a table, in pieces."""
        return [table.format.header, *table.content]

    def _settle(self, version: Version) -> None:
        """Show readers nothing that a power cut could take back: whoever wrote this version may not have synced it."""
        try:
            settle(self.path, version)
        except OSError as error:
            self.in_doubt = True
            log.error("%s was changed, but cannot be synced: %s.", self.path, error.strerror)


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


def _fault(path: Path, faults: Sequence[Fault]) -> str | None:
    if not faults:
        return None
    more = f"; and {len(faults) - MAX_FAULTS} more, which devicesvc check names" if len(faults) > MAX_FAULTS else ""
    return f"{path} breaks a rule: {'; '.join(map(str, faults[:MAX_FAULTS]))}{more}."


def _difference(before: Table[T], after: Table[T]) -> str:
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
