"""The registry in memory, as snapshots, so that a change costs the same in a small registry and in a large one.

A snapshot never changes: a reader that has one keeps it. A commit makes the next one by copy-on-write: it shares all
pieces but the few that the commit touches. The pieces are shards of the maps, and blocks of the file, each some hundred
lines long. Until then, what the changes of the commit do is in overlays, one over each table.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import Generic, NamedTuple, Protocol, TypeVar

from devicesvc.csv_codec.format import Format, Record
from devicesvc.model import Device, Group, Membership

SHARDS = 1024
BLOCK = 512  # lines
FEW = 100  # changes: so many keys are put into their places one by one

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Changes = Mapping[str, Record[T] | None]  # by key; None removes


class ShardedMap(Generic[T]):
    """Values by text. It never changes: `apply` makes the next one, which shares the shards that stay as they are."""

    def __init__(self, shards: list[dict[str, T]]) -> None:
        self._shards = shards

    @classmethod
    def empty(cls) -> "ShardedMap[T]":
        return cls([{} for _ in range(SHARDS)])

    def get(self, key: str) -> T | None:
        return self._shards[hash(key) % SHARDS].get(key)

    def apply(self, changes: Mapping[str, T | None]) -> "ShardedMap[T]":
        """The map after the changes; None removes."""
        shards = list(self._shards)
        for number in {hash(key) % SHARDS for key in changes}:
            shards[number] = dict(shards[number])
        for key, value in changes.items():
            if value is None:
                shards[hash(key) % SHARDS].pop(key, None)
            else:
                shards[hash(key) % SHARDS][key] = value
        return ShardedMap(shards)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._shards)

    def __len__(self) -> int:
        return sum(map(len, self._shards))


class Slot(NamedTuple, Generic[T]):
    """An item, and the number of the block that holds its line."""

    item: T
    block: int


class Table(Generic[T]):
    """All items of one entity in a snapshot.

    content: the file without its header, in pieces.
    """

    def __init__(
        self,
        format: Format[T],
        slots: ShardedMap[Slot[T]],
        indexes: Mapping[str, ShardedMap[tuple[str, ...]]],
        blocks: list[dict[str, bytes]],
        content: list[bytes],
    ) -> None:
        self.format = format
        self._slots = slots
        self._indexes = indexes
        self._blocks = blocks
        self.content = content

    @classmethod
    def from_records(cls, format: Format[T], records: Mapping[str, Record[T]]) -> "Table[T]":
        """The table of a file that has these records, by key, in this order."""
        indexes = {name: ShardedMap[tuple[str, ...]].empty() for name in format.indexes}
        return cls(format, ShardedMap.empty(), indexes, [], []).apply(records)

    def get(self, key: str) -> T | None:
        slot = self._slots.get(key)
        return slot.item if slot else None

    def keys_where(self, index: str, value: str) -> Collection[str]:
        """The keys of the items with this value."""
        return self._indexes[index].get(value) or ()

    @cached_property
    def keys(self) -> list[str]:
        """All keys, in the order of code points."""
        return sorted(self._slots)

    def items(self) -> Iterator[tuple[str, T]]:
        """Each key with its item, in the order of the file."""
        return ((key, item) for key in self.lines() if (item := self.get(key)))

    def items_by_line(self) -> dict[bytes, T]:
        return {line: item for key, line in self.lines().items() if (item := self.get(key))}

    def lines(self) -> dict[str, bytes]:
        """The line of each item by key, in the order of the file."""
        return {key: line for block in self._blocks for key, line in block.items()}

    def __len__(self) -> int:
        return len(self._slots)

    def apply(self, changes: Changes[T]) -> "Table[T]":
        """The table after the changes, or this one if there are none; new items come last in the file."""
        if not changes:
            return self
        slots: dict[str, Slot[T] | None] = {}
        changed: dict[int, dict[str, bytes]] = {}  # copies of the blocks that change, by number

        def block(number: int) -> dict[str, bytes]:
            if number not in changed:
                changed[number] = dict(self._blocks[number]) if number < len(self._blocks) else {}
            return changed[number]

        last = max(len(self._blocks) - 1, 0)
        for key, record in changes.items():
            old = self._slots.get(key)
            if record:
                if not old and len(block(last)) >= BLOCK:
                    last += 1
                number = old.block if old else last
                slots[key] = Slot(record.item, number)
                block(number)[key] = record.line
            elif old:
                slots[key] = None
                del block(old.block)[key]
        blocks, content = list(self._blocks), list(self.content)
        for number, lines in sorted(changed.items()):
            blocks[number : number + 1] = [lines]  # in the place of the old one, or after the last
            content[number : number + 1] = [b"".join(lines.values())]
        indexes = {name: index.apply(self._index_entries(name, changes)) for name, index in self._indexes.items()}
        after = Table(self.format, self._slots.apply(slots), indexes, blocks, content)
        if "keys" in self.__dict__ and len(changes) <= FEW:
            after.keys = self._sorted(slots)
        return after

    def _sorted(self, slots: Mapping[str, Slot[T] | None]) -> list[str]:
        """The keys after changes, from those before: to sort them all anew took longer than the rest of a commit."""
        keys = list(self.keys)
        for key, slot in slots.items():
            if slot is None:
                del keys[bisect_left(keys, key)]
            elif not self.get(key):
                insort(keys, key)
        return keys

    def _index_entries(self, index: str, changes: Changes[T]) -> dict[str, tuple[str, ...] | None]:
        """The keys with each value of an index that the changes touch, after them."""
        value_of = self.format.indexes[index]
        after: dict[str, dict[str, None]] = {}

        def keys(item: T) -> dict[str, None]:
            value = value_of(item)
            if value not in after:
                after[value] = dict.fromkeys(self.keys_where(index, value))
            return after[value]

        for key, record in changes.items():
            if old := self.get(key):
                keys(old).pop(key, None)
            if record:
                keys(record.item)[key] = None
        return {value: tuple(found) or None for value, found in after.items()}


class TableView(Protocol[T_co]):
    """A table to read."""

    def get(self, key: str) -> T_co | None: ...

    def keys_where(self, index: str, value: str) -> Collection[str]: ...

    @property
    def keys(self) -> list[str]: ...


class Snapshot(NamedTuple):
    """A registry at one moment."""

    devices: Table[Device]
    groups: Table[Group]
    memberships: Table[Membership]


class Overlay(Generic[T]):
    """A table as the changes of one commit see it: what is durable, and over it what they did so far."""

    def __init__(self, table: Table[T]) -> None:
        self._changes: dict[str, Record[T] | None] = {}
        self._table = table
        self._before: dict[str, Record[T] | bool | None] = {}  # what this change replaced; False: nothing yet
        self._added: dict[tuple[str, str], dict[str, None]] = {}  # keys that may have a value, by index and value

    def get(self, key: str) -> T | None:
        if key in self._changes:
            record = self._changes[key]
            return record.item if record else None
        return self._table.get(key)

    def keys_where(self, index: str, value: str) -> Collection[str]:
        """The keys of the items with this value."""
        value_of = self._table.format.indexes[index]
        unchanged = [key for key in self._table.keys_where(index, value) if key not in self._changes]
        candidates = self._added.get((index, value), ())
        return unchanged + [key for key in candidates if (item := self.get(key)) and value_of(item) == value]

    @property
    def keys(self) -> list[str]:
        """All keys, in the order of code points."""
        return sorted(key for key in {*self._table.keys, *self._changes} if self.get(key))

    def set(self, item: T) -> None:
        """Put the item in the place of the one with its key, or add it as the last. Raises Invalid."""
        format = self._table.format
        key = format.key(item)
        self._change(key, Record(item, format.encode(item)))
        for index, value_of in format.indexes.items():
            self._added.setdefault((index, value_of(item)), {})[key] = None

    def remove(self, key: str) -> None:
        """Remove the item with this key, if there is one."""
        self._change(key, None)

    def _change(self, key: str, record: Record[T] | None) -> None:
        self._before.setdefault(key, self._changes.get(key, False))
        self._changes[key] = record

    def apply(self) -> Table[T]:
        """The table after the changes."""
        return self._table.apply(self._changes)

    def keep(self) -> None:
        """The change has ended well."""
        self._before = {}

    def undo(self) -> None:
        """The change has failed: all is as it was before it."""
        for key, record in self._before.items():
            if isinstance(record, bool):
                del self._changes[key]
            else:
                self._changes[key] = record
        self._before = {}
