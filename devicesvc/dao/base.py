"""The contract of every store: what it answers, in which order, and which error it raises when.

A store is a set of tables. `store.devices` reads what is durable now; every change goes through `store.write(op)`.
tests/dao holds each promise below against each store.
"""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from devicesvc.errors import NotFound
from devicesvc.model import Device, DeviceFilter

T = TypeVar("T")


class DeviceReader(ABC):
    """Devices to read."""

    @abstractmethod
    def find(self, id: str) -> Device | None:
        """Return the device, or None where there is none with this id."""

    @abstractmethod
    def list(self, where: DeviceFilter = DeviceFilter()) -> list[Device]:
        """Return the devices that fit, by id in the order of code points; an empty list where none does."""

    def get(self, id: str) -> Device:
        """Return the device. Raises NotFound."""
        device = self.find(id)
        if not device:
            raise NotFound("device", id)
        return device


class DeviceWriter(DeviceReader):
    """Devices to read and change, inside one op: it reads its own changes, nobody else does before the op has ended."""

    @abstractmethod
    def add(self, device: Device) -> None:
        """Add the device. Raises Conflict where its id is taken."""

    @abstractmethod
    def replace(self, device: Device) -> None:
        """Put the device in the place of the one with its id. Raises NotFound."""

    @abstractmethod
    def remove(self, ids: Iterable[str]) -> list[str]:
        """Remove the devices and return the ids really removed, each once, in the order given. Unknown ids are no
        error."""

    def create(self, data: Mapping[str, Any]) -> Device:
        """Add a device made of `data`, the JSON form without id, under a new id: ten random digits, the first 1-9.
        Raises Invalid."""
        while self.find(id := str(10**9 + secrets.randbelow(9 * 10**9))):
            pass
        device = Device.build({"id": id, **data})
        self.add(device)
        return device

    def put(self, device: Device) -> bool:
        """Put the device in the place of the one with its id, or add it. Return whether it is new."""
        new = not self.find(device.id)
        (self.add if new else self.replace)(device)
        return new

    def update(self, id: str, changes: Mapping[str, Any]) -> Device:
        """Change some fields of a device (Device.merge) and return the whole device. Raises NotFound, Invalid."""
        device = self.get(id).merge(changes)
        self.replace(device)
        return device


class Transaction(Protocol):
    """What an op gets: the tables as they are when it runs."""

    @property
    def devices(self) -> DeviceWriter: ...


class Store(ABC):
    """Where a registry is kept. Safe to share between threads; several stores, also of several processes, may be open
    on the same data. Close it when done; `with` does."""

    @property
    @abstractmethod
    def devices(self) -> DeviceReader:
        """The devices as they are durable now: one state, which later changes leave alone. Raises StoreUnavailable
        where no state can be had."""

    @abstractmethod
    def write(self, op: Callable[[Transaction], T]) -> T:
        """Run op, keep what it changed, and return what it returned once that is durable.

        All of the op's changes are kept, or none. What op raises is raised here, and none of its changes is kept. Ops
        run one after another, each on the state that the one before it left. Raises StoreUnavailable where the change
        cannot be kept.
        """

    @abstractmethod
    def ping(self) -> None:
        """Prove that the store can read and write. Raises StoreUnavailable with the reason."""

    @abstractmethod
    def close(self) -> None:
        """Free what the store holds. Closing twice is no error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
