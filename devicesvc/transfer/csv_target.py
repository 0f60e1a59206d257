"""CSV files to write to: temporary files in the same folder, made under the lock of the store."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain, groupby
from pathlib import Path
from typing import Any, BinaryIO

from devicesvc.columns import DEVICE, GROUP, MEMBERSHIP, NIC, Entity, device_of_rows
from devicesvc.csv_codec.format import Format
from devicesvc.csv_codec.formats import DEVICE_CSV, GROUP_CSV, MEMBERSHIP_CSV
from devicesvc.dao import durable_file, lock_file
from devicesvc.dao.csv.file import journal_path, locked_registry, registry_paths
from devicesvc.dao.csv.months import last_start, month_paths
from devicesvc.dao.urls import StoreUrl
from devicesvc.errors import StoreUnavailable
from devicesvc.transfer.csv_history import Month, Writer
from devicesvc.transfer.csv_source import PATIENCE, CsvSource
from devicesvc.transfer.source import Chunk
from devicesvc.transfer.target import Target, exists, refuse_no_place

_ByFile = Iterator[tuple[str, Iterator[Chunk]]]  # the name of a file, and its chunks

_FILE_OF = {NIC.table: DEVICE.table}  # other tables have a file of their own


class CsvTarget(Target):
    """The CSV files of a registry."""

    takes_files = True

    def __init__(self, url: StoreUrl, replace: bool) -> None:
        super().__init__()
        path = url.path
        self.label = str(path)
        self._url = url
        self._replace = replace
        if path.suffix in (".db", ".sqlite", ".sqlite3"):
            raise StoreUnavailable(f"{path} would be a CSV file: for an SQLite database write sqlite:///{path}.")
        refuse_no_place(path)
        if path.exists() and not path.is_file():
            raise StoreUnavailable(f"{path} is not a file, but a device or a pipe: name another target.")
        self._devices, self._groups, self._memberships = registry_paths(path.resolve())
        self._files = [self._memberships, self._groups, self._devices]
        self._versions: dict[Path, durable_file.Version] = {}
        self._months: dict[str, Path] = {}  # the files of the new history, by name
        self._old_months: list[Path] = []
        self._writer = Writer()
        self._wanted = {self._devices}

    def refuse_existing(self) -> None:
        for path in self.paths():
            if path.exists() and not self._replace:
                raise exists(path)

    def paths(self) -> list[Path]:
        return [*self._files, *month_paths(self._devices)]

    def __enter__(self) -> "CsvTarget":
        self._lock = self._open.enter_context(locked_registry(self._devices, PATIENCE))
        self._old_months = month_paths(self._devices)
        durable_file.sweep([journal_path(self._devices), *self._files])
        self.refuse_existing()
        self._open.callback(lambda: durable_file.discard(self._versions))
        self.last_change = last_start(self._devices).change
        return self

    def fill(self, chunks: Iterable[Chunk]) -> None:
        by_file: _ByFile = groupby(chunks, key=lambda chunk: _FILE_OF.get(chunk.table) or chunk.table)
        # Each file is written to its end before the next is begun, as the rows come.
        self._versions = durable_file.prepare(
            {
                self._devices: _device_lines(by_file),
                self._groups: self._lines(by_file, self._groups, GROUP_CSV, GROUP),
                self._memberships: self._lines(by_file, self._memberships, MEMBERSHIP_CSV, MEMBERSHIP),
            }
        )
        of_history = chain.from_iterable(chunks for _, chunks in by_file)
        for name, content in self._writer.files(of_history):
            path = self._months[name] = Month.path(self._devices, name)
            # With the mode, the owner and the temporary name of the other file, which every sweep knows.
            self._versions[path] = durable_file.prepare({self._devices: content})[self._devices]

    def _lines(
        self,
        by_file: _ByFile,
        path: Path,
        format: Format[Any],
        entity: Entity[Any],
    ) -> Iterator[bytes]:
        """The file of groups or memberships; it is not wanted if it would be empty and is not there yet."""
        yield format.header
        is_empty = True
        for _, rows in next(by_file)[1]:
            is_empty = is_empty and not rows
            yield b"".join(format.encode(entity.from_row(row)) for row in rows)
        if not is_empty or path.exists():
            self._wanted.add(path)

    def written(self) -> Iterator[Chunk]:
        files: list[BinaryIO] = [self._versions[path].file for path in (self._devices, self._groups, self._memberships)]
        yield from CsvSource(self._url, check=False, files=files).read()
        months = {name: self._versions[path].file for name, path in self._months.items()}
        yield from self._writer.written(months)

    def publish(self) -> None:
        # The history first: who finds new devices finds in it that all was replaced.
        order = [*self._months.values(), *(path for path in self._files if path in self._wanted)]
        wanted = {path: self._versions.pop(path) for path in order}
        with lock_file.FolderLock(self._devices.parent).held():
            try:
                self.refuse_existing()
            except StoreUnavailable:
                durable_file.discard(wanted)
                raise
            gone = [path for path in self._old_months if path not in wanted]
            durable_file.publish_together(journal_path(self._devices), wanted, gone)
            with closing(lock_file.CommitCounter(self._devices)) as commits:
                commits.count(self._lock, self._writer.last_change)
        for version in wanted.values():
            version.file.close()


def _device_lines(by_file: _ByFile) -> Iterator[bytes]:
    """The file of devices, of chunks of devices with their network interfaces after them."""
    yield DEVICE_CSV.header
    devices: list[Any] = []
    for table, rows in next(by_file)[1]:
        if table == DEVICE.table:
            devices = rows
            continue
        nics: dict[str, list[Any]] = {}
        for row in rows:
            nics.setdefault(row.device_id, []).append(row)
        yield b"".join(DEVICE_CSV.encode(device_of_rows(row, nics.get(row.id, ()))) for row in devices)
