"""A migration on the screen: what it does, how far it is, and what came of it."""

import sys
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import click

from devicesvc.transfer.mover import TABLES, Result, Watcher, migrate
from devicesvc.transfer.rejects import MAX_SHOWN

EVERY = 5.0  # seconds from one plain line to the next


class Screen(Watcher):
    """For each part of a migration a bar on a terminal; else a line from time to time."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._bar: Any = None
        self._begin = self._said = monotonic()
        self._total = self._done = self._rows = 0

    def begin(self, what: str, total: int) -> None:
        self.close()
        click.echo(f"{what}.", err=True)
        self._begin = self._said = monotonic()
        self._total, self._done, self._rows = total, 0, 0
        if sys.stderr.isatty():
            bar: Any = click.progressbar(length=total, file=sys.stderr, item_show_func=lambda _: self._rate())
            self._bar = self._open.enter_context(bar)

    def step(self, done: int, rows: int) -> None:
        step, self._done, self._rows = done - self._done, done, rows
        if self._bar:
            self._bar.update(step, rows)
        elif monotonic() - self._said > EVERY:
            self._said = monotonic()
            left = (self._said - self._begin) * (self._total - done) / max(done, 1)
            click.echo(f"{self._rate()}, {left:.0f} s left", err=True)

    def close(self) -> None:
        """End the line of the bar."""
        self._bar = None
        self._open.close()

    def _rate(self) -> str:
        return f"{self._rows:,} rows{_rate(self._rows, monotonic() - self._begin)}"


def run(source: str, target: str, *, replace: bool, skip_bad: Path | None, dry_run: bool) -> int:
    """Migrate, say what happens, and return the exit code: 0; 1 if rows are bad and nothing was written; 130 after
    Ctrl-C. Raises StoreUnavailable if it cannot be done."""
    screen = Screen()
    result = Result(source, target)
    try:
        migrate(result, replace=replace, skip_bad=skip_bad, dry_run=dry_run, watcher=screen)
        screen.close()
        _tell(result, skip_bad, dry_run)
    except KeyboardInterrupt:
        screen.close()
        click.echo(
            f"Interrupted, but {result.target} is complete."
            if result.done
            else f"Interrupted: {result.target} is as it was before, and so is {result.source}.",
            err=True,
        )
        return 130
    finally:
        screen.close()
    return 1 if result.rejected and not skip_bad else 0


def _tell(result: Result, skip_bad: Path | None, dry_run: bool) -> None:
    for bad in result.first_rejected:
        click.echo(str(bad), err=True)
    if result.rejected > MAX_SHOWN:
        click.echo(f"... and {result.rejected - MAX_SHOWN:,} bad rows more", err=True)
    for bad in result.first_skipped:
        click.echo(f"Left out: {bad}", err=True)
    if result.skipped:
        words = "1 row of the history is" if result.skipped == 1 else f"{result.skipped:,} rows of the history are"
        click.echo(f"{words} broken. All else goes on without that; {result.source} keeps it.", err=True)
    written = result.written
    what = ", ".join(f"{written[table]:,} {table}" for table in TABLES)
    seconds = f"{result.seconds:.1f} s{_rate(result.read, result.seconds)}"
    if result.done:
        click.echo(f"Wrote {result.target}: {what}; read back, and the same.")
        click.echo(f"{result.read:,} read = {result.rows:,} written + {result.rejected:,} rejected; {seconds}.")
        if result.history:
            how_much = ", ".join(f"{count:,} {what}" for what, count in result.history.items())
            click.echo(f"The history moved along: {how_much}.")
        if skip_bad and (result.rejected or result.skipped):
            click.echo(f"The rejected rows are in {skip_bad}, each with the reason.")
    else:
        click.echo(f"{result.read:,} read = {result.rows:,} good + {result.rejected:,} rejected; {seconds}.")
        if dry_run:
            click.echo(f"This was a dry run: {result.target} was not written.")
    if result.changed:
        again = " Migrate again with --replace to have that too." if result.done else ""
        click.echo(f"{result.source} has changed since {result.taken}: what came after is not counted here.{again}")
    if result.rejected and not result.done and not dry_run:
        click.echo(
            f"Error: Nothing was written: {_rows(result.rejected)} a rule. Mend that,"
            " or leave bad rows out with --skip-bad rejected.csv.",
            err=True,
        )


def _rate(rows: int, seconds: float) -> str:
    """How fast it was, to follow another figure; nothing for less than a second, which mostly goes into the start."""
    return f", {rows / seconds:,.0f} rows/s" if seconds >= 1 else ""


def _rows(count: int) -> str:
    return "1 row breaks" if count == 1 else f"{count:,} rows break"
