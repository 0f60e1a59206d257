"""What a transfer reads from: a store in one state, each row checked by the rules of model.py."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from devicesvc.dao import tables
from devicesvc.dao.sql_tables import device_row, group_row, nic_rows
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device, Group, Membership

from .plain_lines import Batch

Rows = list[tuple[Any, ...]]

COLUMNS = {
    table.name: [column.name for column in table.columns]
    for table in (tables.devices, tables.nics, tables.groups, tables.memberships)
}


class BadRow(NamedTuple):
    """A row that breaks rules. line: 0 in a database. reason: where in the row, and the rule; raw: the row itself."""

    source: str
    line: int
    reason: str
    raw: str

    def __str__(self) -> str:
        return f"{self.source}, {self.reason}"


class Unreadable(StoreUnavailable):
    """Rows of the source cannot even be told apart, so none of it can be left out."""


@dataclass
class Known:
    """What was good so far, each with the line it is on: what comes twice is bad, and so is what refers to another."""

    devices: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    group_names: dict[str, int] = field(default_factory=dict)
    memberships: dict[str, int] = field(default_factory=dict)


class Source(ABC):
    """A store in one state. Of it are read first the devices, then the groups, then the memberships.

    shown: what to call it. taken: when its state was taken. total, done: how much there is to read, and was read, in
    bytes or rows.
    """

    shown: str
    total: int
    done: int = 0

    def __init__(self) -> None:
        self.taken = datetime.now()
        self.known = Known()
        self.rejected: Callable[[BadRow], None] = lambda bad: None
        self._open = ExitStack()

    @abstractmethod
    def devices(self) -> Iterator[Batch]:
        """The good devices. Each bad one is given to `rejected`."""

    @abstractmethod
    def groups(self) -> Iterator[Rows]:
        """The good groups, as rows."""

    @abstractmethod
    def memberships(self) -> Iterator[Rows]:
        """The good memberships, as rows."""

    @abstractmethod
    def has_changed(self) -> bool:
        """Whether the store has changed since its state was taken."""

    @abstractmethod
    def paths(self) -> list[Path]:
        """The files that it is in."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def batch_of(devices: Iterable[Device]) -> Batch:
    batch = Batch([], [])
    for device in devices:
        row = device_row(device)
        batch.devices.append(tuple(row[name] for name in COLUMNS["devices"]))
        batch.nics.extend(tuple(nic[name] for name in COLUMNS["nics"]) for nic in nic_rows(device))
    return batch


def row_of(group: Group) -> tuple[str, ...]:
    row = group_row(group)
    return tuple(row[name] for name in COLUMNS["groups"])


def loose(known: Known, each: Membership) -> dict[str, str]:
    """What a membership refers to that is not there, by column."""
    faults = {}
    if each.device_id not in known.devices:
        faults["device_id"] = f"must be the id of a device that is taken over, and {each.device_id!r} is not"
    if each.group_id not in known.groups:
        faults["group_id"] = f"must be the id of a group that is taken over, and {each.group_id!r} is not"
    return faults
