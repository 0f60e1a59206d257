"""The devices of a CSV store in memory, made so that a change costs the same in a small registry and in a large one.

A state is never changed: a reader that has one keeps it. The next state shares with it all but the few pieces that the
change touches: shards of the lookups, and blocks of the file, each some hundred lines long.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import Generic, NamedTuple, TypeVar

from devicesvc.dao.csv_format import Row
from devicesvc.model import Device

SHARDS = 1024
BLOCK = 512  # lines

V = TypeVar("V")


Changes = Mapping[str, Row | None]  # by id; None removes


class Lookup(Generic[V]):
    """Values by text. It is never changed: `apply` makes the next one, which shares what stays as it is."""

    def __init__(self, shards: list[dict[str, V]]) -> None:
        self._shards = shards

    @classmethod
    def of(cls, items: Iterable[tuple[str, V]]) -> "Lookup[V]":
        shards: list[dict[str, V]] = [{} for _ in range(SHARDS)]
        for key, value in items:
            shards[hash(key) % SHARDS][key] = value
        return cls(shards)

    def get(self, key: str) -> V | None:
        return self._shards[hash(key) % SHARDS].get(key)

    def apply(self, changes: Mapping[str, V | None]) -> "Lookup[V]":
        """The lookup after the changes; None removes."""
        shards = list(self._shards)
        for number in {hash(key) % SHARDS for key in changes}:
            shards[number] = dict(shards[number])
        for key, value in changes.items():
            if value is None:
                shards[hash(key) % SHARDS].pop(key, None)
            else:
                shards[hash(key) % SHARDS][key] = value
        return Lookup(shards)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._shards)

    def __len__(self) -> int:
        return sum(map(len, self._shards))


class Placed(NamedTuple):
    """A device, and the number of the block that its line is in."""

    device: Device
    block: int


class State:
    """All devices at one moment.

    content: the file, without its header, in pieces.
    """

    def __init__(
        self,
        placed: Lookup[Placed],
        by_sn: Lookup[tuple[str, ...]],
        blocks: list[dict[str, bytes]],
        content: list[bytes],
    ) -> None:
        self._placed = placed
        self._by_sn = by_sn
        self._blocks = blocks
        self.content = content

    @classmethod
    def of(cls, rows: Mapping[str, Row]) -> "State":
        """The state of a file whose rows, by id, are these, in this order."""
        return cls(Lookup.of([]), Lookup.of([]), [], []).apply(rows)

    def get(self, id: str) -> Device | None:
        placed = self._placed.get(id)
        return placed.device if placed else None

    def with_sn(self, sn: str) -> tuple[str, ...]:
        """The ids of the devices with this serial number."""
        return self._by_sn.get(sn) or ()

    def devices_by_line(self) -> dict[bytes, Device]:
        return {line: device for id, line in self.lines().items() if (device := self.get(id))}

    @cached_property
    def ids(self) -> list[str]:
        """All ids, in the order of code points."""
        return sorted(self._placed)

    def lines(self) -> dict[str, bytes]:
        """The line of each device by id, in the order of the file."""
        return {id: line for block in self._blocks for id, line in block.items()}

    def apply(self, changes: Changes) -> "State":
        """The state after the changes; new devices come last in the file."""
        placed: dict[str, Placed | None] = {}
        changed: dict[int, dict[str, bytes]] = {}  # copies of the blocks that change, by number

        def block(number: int) -> dict[str, bytes]:
            if number not in changed:
                changed[number] = dict(self._blocks[number]) if number < len(self._blocks) else {}
            return changed[number]

        last = max(len(self._blocks) - 1, 0)
        for id, row in changes.items():
            old = self._placed.get(id)
            if row:
                if not old and len(block(last)) >= BLOCK:
                    last += 1
                number = old.block if old else last
                placed[id] = Placed(row.device, number)
                block(number)[id] = row.line
            elif old:
                placed[id] = None
                del block(old.block)[id]
        blocks, content = list(self._blocks), list(self.content)
        for number, lines in sorted(changed.items()):
            blocks[number : number + 1] = [lines]  # in the place of the old one, or after the last
            content[number : number + 1] = [b"".join(lines.values())]
        return State(self._placed.apply(placed), self._by_sn.apply(self._sharing(changes)), blocks, content)

    def _sharing(self, changes: Changes) -> dict[str, tuple[str, ...] | None]:
        """The ids with each serial number that the changes touch, after them."""
        after: dict[str, dict[str, None]] = {}

        def ids(device: Device) -> dict[str, None]:
            sn = device.hardware.sn
            if sn not in after:
                after[sn] = dict.fromkeys(self.with_sn(sn))
            return after[sn]

        for id, row in changes.items():
            if old := self.get(id):
                ids(old).pop(id, None)
            if row:
                ids(row.device)[id] = None
        return {sn: tuple(found) or None for sn, found in after.items()}
