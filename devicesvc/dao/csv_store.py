"""The registry in a CSV file that a person can read with `cat`.

All devices are held in memory. A change is made on a copy, which replaces the whole file, so that at every moment the
file is either the old one or the new. Each call looks first whether another process or a person has changed the file.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devicesvc.dao import csv_format, durable_file
from devicesvc.dao.base import DeviceReader, DeviceWriter, Store, T
from devicesvc.errors import Conflict, Invalid, NotFound, StoreUnavailable
from devicesvc.model import Device, DeviceFilter

log = logging.getLogger(__name__)


class CsvDevices(DeviceReader):
    """One state of the devices, by id in the order of the file."""

    def __init__(self, rows: dict[str, Device]) -> None:
        self._rows = rows

    def get(self, id: str) -> Device:
        if id not in self._rows:
            raise NotFound("device", id)
        return self._rows[id]

    def list(self, where: DeviceFilter = DeviceFilter()) -> list[Device]:
        if where.id is None:
            candidates = [self._rows[id] for id in sorted(self._rows)]
        else:
            candidates = [self._rows[where.id]] if where.id in self._rows else []
        return [device for device in candidates if where.matches(device)]


class CsvDeviceWriter(CsvDevices, DeviceWriter):
    """A copy of the devices for one op to change."""

    def __init__(self, rows: dict[str, Device]) -> None:
        super().__init__(dict(rows))

    def add(self, device: Device) -> None:
        if device.id in self._rows:
            raise Conflict(f"There is a device with the id {device.id!r} already.")
        self._rows[device.id] = device

    def replace(self, device: Device) -> None:
        self.get(device.id)
        self._rows[device.id] = device

    def remove(self, ids: Iterable[str]) -> list[str]:
        return [id for id in ids if self._rows.pop(id, None)]

    @property
    def rows(self) -> dict[str, Device]:
        return self._rows


class CsvTransaction:
    """What an op on a CSV store gets."""

    def __init__(self, rows: dict[str, Device]) -> None:
        self.devices = CsvDeviceWriter(rows)


class CsvStore(Store):
    """A registry in one CSV file.

    path: the file; where it is missing it is made, with the devices of `first`. Raises StoreUnavailable where the
    folder cannot be written or the file breaks a rule.
    """

    def __init__(self, path: Path, first: Sequence[Device] = ()) -> None:
        self._path = path.resolve()  # a link stays a link: what it points to is replaced
        self._threads = threading.Lock()  # the lock on the file knows only processes
        self._rows: dict[str, Device] = {}
        self._seen: durable_file.Stamp | None = None  # of the file that was read last
        self._fault: str | None = None  # what is wrong with that file; then _rows are those of the last good one
        if self._path.is_dir():
            raise StoreUnavailable(f"{path} is a folder: give the path of a CSV file, such as {path / 'device.csv'}.")
        if not self._path.parent.is_dir():
            raise StoreUnavailable(f"There is no folder {self._path.parent}: make it first, or give another path.")
        with self._locked():
            durable_file.temporary_of(self._path).unlink(missing_ok=True)
            if not self._path.exists():
                durable_file.replace(self._path, csv_format.encode(first))
                ids = ", ".join(device.id for device in first)
                log.info("Made %s with %d sample devices: %s", self._path, len(first), ids)
            self._look()
            self._refuse_if_broken()

    @property
    def devices(self) -> CsvDevices:
        if durable_file.stamp(self._path) != self._seen:
            with self._threads:
                self._look()
        return CsvDevices(self._rows)

    def write(self, op: Callable[[CsvTransaction], T]) -> T:
        with self._locked():
            self._look()
            self._refuse_if_broken()
            transaction = CsvTransaction(self._rows)
            result = op(transaction)
            rows = transaction.devices.rows
            if rows != self._rows:
                self._seen = durable_file.replace(self._path, csv_format.encode(rows.values()))
                self._rows = rows
            return result

    def ping(self) -> None:
        with self._locked():
            self._look()
            self._refuse_if_broken()
            durable_file.probe(self._path)

    def close(self) -> None:
        """Nothing is held between calls."""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads, durable_file.locked(self._path):
            yield

    def _look(self) -> None:
        """Read the file if it has changed. Where it breaks a rule, keep the rows of before and note the fault."""
        stamp = durable_file.stamp(self._path)
        if stamp and stamp == self._seen:
            return
        self._seen, fault = stamp, None
        try:
            self._rows = csv_format.decode(self._path.read_bytes())
            log.info("Read %d devices from %s", len(self._rows), self._path)
        except OSError as error:
            fault = f"{self._path} cannot be read: {error.strerror}."
        except Invalid as error:
            fault = f"{self._path} breaks a rule: {error}."
        if fault and fault != self._fault:
            log.error("%s", fault)
        self._fault = fault

    def _refuse_if_broken(self) -> None:
        if self._fault:
            raise StoreUnavailable(f"{self._fault} It is left as it is until that is mended.")
