"""What a migration reads from: one snapshot of a store, each row checked by the rules of model.py."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from devicesvc.columns import DEVICE, GROUP, MEMBERSHIP, NIC, nic_rows
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device, Membership


class Chunk(NamedTuple):
    """Some rows of a table. They are named tuples, as the entity in columns.py names them."""

    table: str
    rows: list[Any]


class DeviceRows(NamedTuple):
    """Devices as rows of two tables; the network interfaces come in the order of their devices."""

    devices: list[Any]
    nics: list[Any]

    @classmethod
    def of(cls, devices: Iterable[Device]) -> "DeviceRows":
        given = list(devices)
        return cls([DEVICE.to_row(each) for each in given], [row for each in given for row in nic_rows(each)])

    def chunks(self) -> Iterator[Chunk]:
        """The devices, and then their network interfaces."""
        yield Chunk(DEVICE.table, self.devices)
        yield Chunk(NIC.table, self.nics)


class BadRow(NamedTuple):
    """A row that breaks rules. line: 0 in a database. reason: the place in the row, and the rule. raw: the row."""

    source: str
    line: int
    reason: str
    raw: str

    def __str__(self) -> str:
        return f"{self.source}, {self.reason}"


class Unreadable(StoreUnavailable):
    """The rows of the source cannot even be told apart, so no bad row can be left out."""


@dataclass
class Known:
    """The good rows so far, each with its line: a row that comes twice is bad, and so is one that refers to none."""

    devices: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    group_names: dict[str, int] = field(default_factory=dict)
    memberships: dict[str, int] = field(default_factory=dict)

    def orphaned(self, membership: Membership) -> dict[str, str]:
        """What a membership refers to that does not exist, by column."""
        faults = {}
        if membership.device_id not in self.devices:
            faults["device_id"] = f"must be the id of a device that is taken over, and {membership.device_id!r} is not"
        if membership.group_id not in self.groups:
            faults["group_id"] = f"must be the id of a group that is taken over, and {membership.group_id!r} is not"
        return faults


class Source(ABC):
    """One snapshot of a store.

    label: what to call the store in messages. taken: when the snapshot was taken. total, done: how much there is to
    read, and how much was read, in bytes or rows. rejected: is given each bad row. skipped: is given each row of the
    history that is broken. last_change: the greatest number that the store has given to a change. last_time: the time
    of the last row of the history, once that was read.
    """

    label: str
    total: int
    done: int = 0
    last_change: int
    last_time = ""

    def __init__(self) -> None:
        self.taken = datetime.now()
        self.known = Known()
        self.rejected: Callable[[BadRow], None] = lambda _bad: None
        self.skipped: Callable[[BadRow], None] = lambda _bad: None
        self._open = ExitStack()

    def read(self) -> Iterator[Chunk]:
        """The good rows: devices, each chunk with one of their network interfaces after it, then groups, then
        memberships. Each of the three begins with a chunk that is empty, so that none is left out.

        Raises Unreadable, StoreUnavailable.
        """
        yield from DeviceRows([], []).chunks()
        yield from self._devices()
        yield Chunk(GROUP.table, [])
        yield from self._groups()
        yield Chunk(MEMBERSHIP.table, [])
        yield from self._memberships()

    @abstractmethod
    def _devices(self) -> Iterator[Chunk]:
        """The good devices, each chunk with one of their network interfaces after it."""

    @abstractmethod
    def _groups(self) -> Iterator[Chunk]:
        """The good groups."""

    @abstractmethod
    def _memberships(self) -> Iterator[Chunk]:
        """The good memberships."""

    @abstractmethod
    def history(self, *, for_files: bool) -> Iterator[Chunk]:
        """The history, after `read` has come to its end: in rows, as transfer/history.py says. for_files: it goes to
        files. Then files are given as they are, in pieces; and rows with times that rise."""

    @abstractmethod
    def has_changed(self) -> bool:
        """Whether the store has changed since its snapshot was taken."""

    @abstractmethod
    def paths(self) -> list[Path]:
        """The files of the store."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
