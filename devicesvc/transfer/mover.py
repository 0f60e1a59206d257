"""All of a registry from one store to another: checked, verified, and there as a whole or not at all."""

import signal
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

from devicesvc import garbage_collection
from devicesvc.columns import DEVICE, GROUP, MEMBERSHIP
from devicesvc.dao.history import MIGRATE
from devicesvc.dao.urls import parse
from devicesvc.errors import StoreUnavailable
from devicesvc.transfer.history import HISTORY, OF_HISTORY, counted, replaced_by
from devicesvc.transfer.rejects import Rejects
from devicesvc.transfer.source import BadRow, Chunk, Source
from devicesvc.transfer.target import Target

TABLES = (
    DEVICE.table,
    GROUP.table,
    MEMBERSHIP.table,
)  # a network interface is part of a device


@dataclass
class Result:
    """What came of a migration.

    written: rows by table; in a dry run, those that would be written. rejected: how many rows were bad, and the first
    of them. history: how much of it has moved along, by what it is counted in. skipped: how many of its rows were left
    out because they are broken, and the first of them. done: whether the target is there.
    """

    source: str
    target: str
    written: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    first_rejected: list[BadRow] = field(default_factory=list)
    history: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    first_skipped: list[BadRow] = field(default_factory=list)
    done: bool = False
    changed: bool = False
    taken: str = ""
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """The devices, groups and memberships that were written."""
        return _items(self.written)

    @property
    def read(self) -> int:
        return self.rows + self.rejected


class Watcher:
    """Is told how a migration goes on; this one does nothing with it."""

    def begin(self, what: str, total: int) -> None:
        """A part of the migration begins: first the source is read, then the target. total: how much there is to do."""

    def step(self, done: int, rows: int) -> None:
        """So much of the total is done, and so many rows were read. It is told once more at the end of a part."""


class _Sums:
    """Counts and checksums of rows by table. The order of the rows does not matter."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._sums: Counter[str] = Counter()

    def add(self, chunk: Chunk) -> None:
        if chunk.rows:
            self.counts[chunk.table] += len(chunk.rows)
            self._sums[chunk.table] += sum(map(hash, chunk.rows))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sums) and (self.counts, self._sums) == (other.counts, other._sums)

    __hash__ = None  # type: ignore[assignment]


def _items(counts: Counter[str]) -> int:
    """How many of the rows are devices, groups or memberships."""
    return sum(counts[table] for table in TABLES)


def migrate(
    result: Result,
    *,
    replace: bool = False,
    skip_bad: Path | None = None,
    dry_run: bool = False,
    watcher: Watcher | None = None,
    who: str | None = MIGRATE,
) -> Result:
    """Write all of result.source to result.target, and say in the result what came of it.

    replace: put it in the place of a target that is there. skip_bad: leave bad rows out, and write them to this file;
    without it, a bad row means that nothing is written. Broken rows of the history are always left out. dry_run: only
    look. who: the history of the target says at its end that this one has put the registry there; None: it does not.
    Raises StoreUnavailable if it cannot be done: then the target is as it was, unless the text says otherwise.
    """
    begin = perf_counter()
    watcher = watcher or Watcher()
    source_url, target_url = parse(result.source), parse(result.target)
    result.source, result.target = source_url.redacted, target_url.redacted  # Ctrl-C may come at any time
    with source_url.source() as source, garbage_collection.paused():
        target = target_url.target(replace or dry_run)
        _refuse_same(result, source, target, skip_bad, replace or dry_run)
        target.refuse_existing()
        result.source, result.target = source.label, target.label
        result.taken = f"{source.taken:%Y-%m-%d %H:%M:%S}"
        rejects, sums = Rejects(skip_bad, not dry_run), _Sums()
        source.rejected, source.skipped = rejects.add, rejects.skip
        chunks = chain(
            _good_chunks(source, rejects, sums, watcher), _history(source, target, rejects, sums, watcher, result, who)
        )
        watcher.begin(f"Reading {source.label} as it was at {result.taken}", source.total)
        try:
            if dry_run:
                deque(chunks, maxlen=0)
            else:
                with target:
                    target.fill(chunks)
                    if not rejects.is_fatal:
                        _verify(target, sums, watcher)
                        with _uninterrupted():
                            rejects.publish()
                            target.publish()
                            result.done = True
        finally:
            rejects.close()
        result.written = Counter({table: count for table, count in sums.counts.items() if table not in OF_HISTORY})
        result.rejected, result.first_rejected = rejects.count, rejects.first
        result.skipped, result.first_skipped = rejects.skipped, rejects.first_skipped
        result.changed = source.has_changed()
    result.seconds = perf_counter() - begin
    return result


def _good_chunks(source: Source, rejects: Rejects, sums: _Sums, watcher: Watcher) -> Iterator[Chunk]:
    """The good rows of a source, counted. After the first bad row that may not be left out no rows are given, though
    all are read, so that every fault is named."""
    for chunk in source.read():
        sums.add(chunk)
        watcher.step(source.done, _items(sums.counts) + rejects.count)
        yield Chunk(chunk.table, []) if rejects.is_fatal else chunk


def _history(
    source: Source, target: Target, rejects: Rejects, sums: _Sums, watcher: Watcher, result: Result, who: str | None
) -> Iterator[Chunk]:
    """The history of the source, and the row that ends that of the target. Its number is greater than any that the
    source or the target has given to a change: who follows either of them sees it."""
    last = max(source.last_change, target.last_change)
    for chunk in () if rejects.is_fatal else source.history(for_files=target.takes_files):
        if chunk.table == HISTORY.table:
            last = max(last, chunk.rows[-1].number)
        result.history += counted(chunk)
        sums.add(chunk)
        watcher.step(source.done, _items(sums.counts) + rejects.count)
        yield chunk
    watcher.step(source.total, _items(sums.counts) + rejects.count)
    if who and not rejects.is_fatal:
        end = Chunk(HISTORY.table, [replaced_by(who, source.label, last + 1, source.last_time)])
        sums.add(end)
        yield end


def _verify(target: Target, given: _Sums, watcher: Watcher) -> None:
    watcher.begin("Reading it back", given.counts.total())
    found = _Sums()
    for chunk in target.written():
        found.add(chunk)
        watcher.step(found.counts.total(), _items(found.counts))
    if found != given:
        there, wanted = ({name: each.counts[name] for name in given.counts} for each in (found, given))
        words = f"{there} rows in place of {wanted}" if there != wanted else "rows that differ from those written"
        raise StoreUnavailable(f"{target.label} has {words}. Nothing was changed.")


def _refuse_same(result: Result, source: Source, target: Any, skip_bad: Path | None, replace: bool) -> None:
    """No file may be two things in one migration."""
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
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait: what it says next must be so."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
