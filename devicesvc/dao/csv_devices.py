"""The devices of a CSV store, to read and, for one op, to change."""

from collections.abc import Iterable

from devicesvc.dao.base import DeviceReader, DeviceWriter
from devicesvc.dao.csv_format import Row, encode
from devicesvc.dao.csv_state import Changes, State
from devicesvc.errors import Conflict
from devicesvc.model import Device, DeviceFilter


class CsvDevices(DeviceReader):
    """The devices of one state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def find(self, id: str) -> Device | None:
        return self._state.get(id)

    def list(self, where: DeviceFilter = DeviceFilter()) -> list[Device]:
        found = map(self.find, self._candidates(where))
        return [device for device in found if device and where.matches(device)]

    def _candidates(self, where: DeviceFilter) -> Iterable[str]:
        """Ids, in order, of all devices that may fit."""
        if where.id is not None:
            return [where.id]
        if where.sn is not None:
            return sorted(self._state.with_sn(where.sn))
        return self._state.ids


class CsvDeviceWriter(CsvDevices, DeviceWriter):
    """The devices as one op sees them: a state, which stays as it is, the changes of the ops before, and its own.

    changes: those of the ops before; at the end of the op, its own too.
    """

    def __init__(self, state: State, changes: Changes) -> None:
        super().__init__(state)
        self.changes = dict(changes)

    def find(self, id: str) -> Device | None:
        if id in self.changes:
            row = self.changes[id]
            return row.device if row else None
        return super().find(id)

    def add(self, device: Device) -> None:
        if self.find(device.id):
            raise Conflict(f"There is a device with the id {device.id!r} already.")
        self.changes[device.id] = Row(device, encode(device))

    def replace(self, device: Device) -> None:
        if self.get(device.id) != device:
            self.changes[device.id] = Row(device, encode(device))

    def remove(self, ids: Iterable[str]) -> list[str]:
        removed = []
        for id in ids:
            if self.find(id):
                self.changes[id] = None
                removed.append(id)
        return removed

    def _candidates(self, where: DeviceFilter) -> Iterable[str]:
        return sorted({*super()._candidates(where), *self.changes})
