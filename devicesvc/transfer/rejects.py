"""The bad rows of a migration: counted, the first of them kept, and all of them written to a file if one is given."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from devicesvc.errors import StoreUnavailable
from devicesvc.transfer.source import BadRow

MAX_SHOWN = 20  # bad rows that are named; all are counted


class Rejects:
    """path: the file for bad rows; without it, no bad row may be left out. may_write: False in a dry run."""

    def __init__(self, path: Path | None, may_write: bool) -> None:
        self.count = 0
        self.first: list[BadRow] = []
        self.skipped = 0
        self.first_skipped: list[BadRow] = []
        self._path = path
        self._file: TextIO | None = None
        self._may_write = may_write

    @property
    def is_fatal(self) -> bool:
        """Whether a bad row means that nothing is written."""
        return bool(self.count) and not self._path

    def add(self, bad: BadRow) -> None:
        """Take a bad row. Raises StoreUnavailable if it cannot be written."""
        self.count += 1
        if len(self.first) < MAX_SHOWN:
            self.first.append(bad)
        self._write(bad)

    def skip(self, bad: BadRow) -> None:
        """As `add`, but of a row of the history: it is left out, and all else goes on."""
        self.skipped += 1
        if len(self.first_skipped) < MAX_SHOWN:
            self.first_skipped.append(bad)
        self._write(bad)

    def _write(self, bad: BadRow) -> None:
        if self._path and self._may_write:
            with self._errors():
                if not self._file:
                    self._file = self._temporary.open("w", encoding="utf-8", newline="")
                    self._to = csv.writer(self._file, lineterminator="\n")
                    self._to.writerow(["file", "line", "reason", "row"])
                self._to.writerow([bad.source, bad.line or "", bad.reason, bad.raw])

    def publish(self) -> None:
        """Put the file in its place, durable; there is none if no row is bad. Raises StoreUnavailable."""
        if self._file and self._path:
            with self._errors():
                self._file.flush()
                os.fsync(self._file.fileno())
                self._temporary.replace(self._path)
                self._file.close()

    def close(self) -> None:
        """Leave nothing behind that was not published."""
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
