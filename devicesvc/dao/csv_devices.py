"""The devices of a CSV store in memory: a state for all to read, and the changes of ops on top of it."""

from collections.abc import Iterable, Mapping
from functools import cached_property

from devicesvc.dao.base import DeviceReader, DeviceWriter
from devicesvc.dao.csv_format import encode
from devicesvc.errors import Conflict, NotFound
from devicesvc.model import Device, DeviceFilter

Row = tuple[Device, bytes]  # a device and its line
Changes = Mapping[str, Row | None]  # by id; None removes


class State:
    """Devices, and the line of each, by id in the order of the file. A state stays as it is: `apply` makes the next."""

    def __init__(self, devices: dict[str, Device], lines: dict[str, bytes]) -> None:
        self.devices = devices
        self.lines = lines

    def apply(self, changes: Changes) -> "State":
        """The state after the changes. New devices come last."""
        next_ = State(dict(self.devices), dict(self.lines))
        next_.by_sn = dict(self.by_sn)
        for id, row in changes.items():
            if old := next_.devices.pop(id, None) if row is None else next_.devices.get(id):
                sharing = tuple(each for each in next_.by_sn.pop(old.hardware.sn) if each != id)
                if sharing:
                    next_.by_sn[old.hardware.sn] = sharing
            if row is None:
                next_.lines.pop(id, None)
            else:
                device, line = row
                next_.devices[id], next_.lines[id] = device, line
                next_.by_sn[device.hardware.sn] = (*next_.by_sn.get(device.hardware.sn, ()), id)
        if "ids" in vars(self) and all(row and id in self.devices for id, row in changes.items()):
            next_.ids = self.ids
        return next_

    def devices_by_line(self) -> dict[bytes, Device]:
        return dict(zip(self.lines.values(), self.devices.values(), strict=True))

    @cached_property
    def by_sn(self) -> dict[str, tuple[str, ...]]:
        """The ids of the devices with each serial number."""
        found: dict[str, tuple[str, ...]] = {}
        for id, device in self.devices.items():
            found[device.hardware.sn] = (*found.get(device.hardware.sn, ()), id)
        return found

    @cached_property
    def ids(self) -> list[str]:
        """All ids, in the order of code points."""
        return sorted(self.devices)


class CsvDevices(DeviceReader):
    """The devices of one state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, id: str) -> Device:
        device = self._find(id)
        if not device:
            raise NotFound("device", id)
        return device

    def list(self, where: DeviceFilter = DeviceFilter()) -> list[Device]:
        found = map(self._find, self._candidates(where))
        return [device for device in found if device and where.matches(device)]

    def _find(self, id: str) -> Device | None:
        return self._state.devices.get(id)

    def _candidates(self, where: DeviceFilter) -> Iterable[str]:
        """Ids, in order, of all devices that may fit."""
        if where.id is not None:
            return [where.id]
        if where.sn is not None:
            return sorted(self._state.by_sn.get(where.sn, ()))
        return self._state.ids


class CsvDeviceWriter(CsvDevices, DeviceWriter):
    """The devices as one op sees them: a state, which stays as it is, the changes of the ops before, and its own.

    changes: those of the ops before; at the end of the op, its own too.
    """

    def __init__(self, state: State, changes: Changes) -> None:
        super().__init__(state)
        self.changes = dict(changes)

    def add(self, device: Device) -> None:
        if self._find(device.id):
            raise Conflict(f"There is a device with the id {device.id!r} already.")
        self.changes[device.id] = device, encode(device)

    def replace(self, device: Device) -> None:
        if self.get(device.id) != device:
            self.changes[device.id] = device, encode(device)

    def remove(self, ids: Iterable[str]) -> list[str]:
        removed = []
        for id in ids:
            if self._find(id):
                self.changes[id] = None
                removed.append(id)
        return removed

    def _find(self, id: str) -> Device | None:
        if id in self.changes:
            row = self.changes[id]
            return row[0] if row else None
        return super()._find(id)

    def _candidates(self, where: DeviceFilter) -> Iterable[str]:
        return sorted({*super()._candidates(where), *self.changes})
