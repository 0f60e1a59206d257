"""All of a registry from one store to another: checked, verified, and there as a whole or not at all."""

import csv
import gc
import os
import signal
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TextIO

from devicesvc.dao import csv_path, database_url
from devicesvc.errors import StoreUnavailable

from .csv_source import CsvSource
from .plain_lines import Batch
from .source import BadRow, Rows, Source
from .sql_sources import PostgresSource, SqliteSource
from .targets import Target, open_target

MAX_SHOWN = 20  # bad rows that are named; all are counted

KINDS = ("devices", "groups", "memberships")


@dataclass
class Result:
    """What came of a transfer.

    written: rows by table; what would be, in a dry run. rejected: how many rows were bad, and the first of them. done:
    whether the target is there.
    """

    source: str
    target: str
    written: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    first_rejected: list[BadRow] = field(default_factory=list)
    done: bool = False
    changed: bool = False
    taken: str = ""
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """The devices, groups and memberships that were written."""
        return sum(self.written[kind] for kind in KINDS)

    @property
    def read(self) -> int:
        return self.rows + self.rejected


class Watcher:
    """Is told how a transfer goes on; this one does nothing with it."""

    def begin(self, source: Source) -> None:
        """The state of the source is taken."""

    def step(self, source: Source, rows: int) -> None:
        """So many rows were read."""

    def phase(self, what: str) -> None:
        """Something else begins."""


class _Sums:
    """Counts and checksums of rows by table. The order of the rows does not matter."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._sums: Counter[str] = Counter()

    def add(self, table: str, rows: Rows) -> None:
        if rows:
            self.counts[table] += len(rows)
            self._sums[table] += sum(map(hash, rows))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sums) and (self.counts, self._sums) == (other.counts, other._sums)

    __hash__ = None  # type: ignore[assignment]


class _Content:
    """The good rows of a source, counted. After the first bad row that may not be left out no more are given, though
    all are read, so that every fault is named."""

    def __init__(self, source: Source, rejects: "_Rejects", watcher: Watcher) -> None:
        self.sums = _Sums()
        self._source = source
        self._rejects = rejects
        self._watcher = watcher

    def devices(self) -> Iterator[Batch]:
        for batch in self._source.devices():
            self.sums.add("devices", batch.devices)
            self.sums.add("nics", batch.nics)
            self._step()
            if not self._rejects.is_fatal:
                yield batch

    def groups(self) -> Iterator[Rows]:
        return self._counted("groups", self._source.groups())

    def memberships(self) -> Iterator[Rows]:
        return self._counted("memberships", self._source.memberships())

    def _counted(self, table: str, content: Iterator[Rows]) -> Iterator[Rows]:
        for rows in content:
            self.sums.add(table, rows)
            self._step()
            if not self._rejects.is_fatal:
                yield rows

    def _step(self) -> None:
        self._watcher.step(self._source, sum(self.sums.counts[kind] for kind in KINDS) + self._rejects.count)


class _Rejects:
    """The bad rows: counted, the first of them kept, and all written to a file, where one is given."""

    def __init__(self, path: Path | None, may_write: bool) -> None:
        self.count = 0
        self.first: list[BadRow] = []
        self._path = path
        self._file: TextIO | None = None
        self._may_write = may_write

    @property
    def is_fatal(self) -> bool:
        return bool(self.count) and not self._path

    def add(self, bad: BadRow) -> None:
        self.count += 1
        if len(self.first) < MAX_SHOWN:
            self.first.append(bad)
        if self._path and self._may_write:
            with self._errors():
                if not self._file:
                    self._file = self._temporary.open("w", encoding="utf-8", newline="")
                    self._to = csv.writer(self._file, lineterminator="\n")
                    self._to.writerow(["file", "line", "reason", "row"])
                self._to.writerow([bad.source, bad.line or "", bad.reason, bad.raw])

    def publish(self) -> None:
        """Put the file in its place, durable; there is none where no row is bad."""
        if self._file and self._path:
            with self._errors():
                self._file.flush()
                os.fsync(self._file.fileno())
                self._temporary.replace(self._path)
                self._file.close()

    def close(self) -> None:
        if self._file:
            with suppress(OSError):
                self._file.close()
            self._temporary.unlink(missing_ok=True)

    @property
    def _temporary(self) -> Path:
        assert self._path
        return self._path.with_name(f".{self._path.name}.tmp")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be written: {error.strerror}. Nothing was changed.") from error


def migrate(
    result: Result,
    *,
    replace: bool = False,
    skip_bad: Path | None = None,
    dry_run: bool = False,
    watcher: Watcher | None = None,
) -> Result:
    """Write all of result.source to result.target, and say in the result what came of it.

    replace: put it in the place of a target that is there. skip_bad: leave bad rows out, and write them to this file;
    without it, a bad row means that nothing is written. dry_run: only look. Raises StoreUnavailable where it cannot be
    done: then the target is as it was, unless the text says otherwise.
    """
    begin = perf_counter()
    watcher = watcher or Watcher()
    with open_source(result.source) as source, _no_garbage_collection():
        to = open_target(result.target, replace or dry_run)
        _refuse_same(result, source, to, skip_bad, replace or dry_run)
        to.refuse_existing()
        result.source, result.target = source.shown, to.shown
        result.taken = f"{source.taken:%Y-%m-%d %H:%M:%S}"
        rejects = _Rejects(skip_bad, not dry_run)
        source.rejected = rejects.add
        content = _Content(source, rejects, watcher)
        watcher.begin(source)
        try:
            if dry_run:
                deque(content.devices(), maxlen=0)
                deque(content.groups(), maxlen=0)
                deque(content.memberships(), maxlen=0)
            else:
                with to:
                    to.fill(content)
                    if not rejects.is_fatal:
                        _verify(content, to, watcher)
                        with _uninterrupted():
                            rejects.publish()
                            to.publish()
                            result.done = True
        finally:
            rejects.close()
        result.written = content.sums.counts
        result.rejected, result.first_rejected = rejects.count, rejects.first
        result.changed = source.has_changed()
    result.seconds = perf_counter() - begin
    return result


def open_source(url: str) -> Source:
    """The source that url names, as open_store takes it. Raises StoreUnavailable where it cannot be read."""
    if (database := database_url(url)) is None:
        return CsvSource(csv_path(url))
    return SqliteSource(database) if database.get_backend_name() == "sqlite" else PostgresSource(database)


def _verify(content: _Content, target: Target, watcher: Watcher) -> None:
    watcher.phase("Reading it back")
    sums = _Sums()
    for table, rows in target.written():
        sums.add(table, rows)
    if sums != content.sums:
        there, given = ({name: each.counts[name] for name in content.sums.counts} for each in (sums, content.sums))
        words = f"{there} rows in place of {given}" if there != given else "rows that differ from those written"
        raise StoreUnavailable(f"{target.shown} has {words}. Nothing was changed.")


def _refuse_same(result: Result, source: Source, target: Target, skip_bad: Path | None, replace: bool) -> None:
    """No file may be two things in one transfer."""
    if result.source == result.target or set(source.paths()) & set(target.paths()):
        raise StoreUnavailable(f"{result.source} and {result.target} share a file: name another target.")
    if skip_bad:
        if skip_bad.resolve() in (*source.paths(), *target.paths()):
            raise StoreUnavailable(f"{skip_bad} is a file of the source or the target: name another for the bad rows.")
        if skip_bad.exists() and not replace:
            raise StoreUnavailable(f"{skip_bad} is there already: name another file, or add --replace.")
        if not skip_bad.resolve().parent.is_dir():
            raise StoreUnavailable(f"{skip_bad} cannot be made: there is no folder {skip_bad.resolve().parent}.")


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Rows come and go by the thousand and make no cycles: to look for some takes longer than to check them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait: what it says next must be so."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
