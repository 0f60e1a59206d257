"""The registry in memory, as snapshots, so that a change costs the same in a small registry and in a large one.

A snapshot never changes: a reader that has one keeps it. A commit makes the next one by copy-on-write: it shares all
pieces but the few that the commit touches. The pieces are shards of the maps, blocks of the indexes, and blocks of the
file, each some hundred lines long. Until then, what the changes of the commit do is in overlays, one over each table.
"""

import io
import threading
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from devicesvc import garbage_collection
from devicesvc.csv_codec.format import Format, Record
from devicesvc.dao.csv.index import Index, Pair
from devicesvc.model import Device, Group, Membership, fold

SHARDS = 1024
BLOCK = 512  # lines

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_making = threading.Lock()  # held to make an index: who waits for it would only make it too

Changes = Mapping[str, Record[T] | None]  # by key; None removes


class ShardedMap(Generic[T]):
    """Values by text. It never changes: `apply` makes the next one, which shares the shards that stay as they are."""

    def __init__(self, shards: list[dict[str, T]]) -> None:
        self._shards = shards

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

    def items(self) -> Iterator[tuple[str, T]]:
        return chain.from_iterable(shard.items() for shard in self._shards)

    def __len__(self) -> int:
        return sum(map(len, self._shards))


class Slot(NamedTuple, Generic[T]):
    """An item, and the number of the block that holds its line."""

    item: T
    block: int


class Block(NamedTuple):
    """Some lines of a file, one after another, and their keys. Most are never needed one by one."""

    keys: list[str]
    content: bytes

    def lines(self) -> list[bytes]:
        """The lines, in the order of the keys."""
        return io.BytesIO(self.content).readlines()


class Table(Generic[T]):
    """All items of one entity in a snapshot.

    wanted: the names of the indexes that somebody has asked for,
    shared with the tables that come after this one: so a commit goes on with these indexes and with no others.
    """

    def __init__(
        self,
        format: Format[T],
        slots: ShardedMap[Slot[T]],
        blocks: list[Block],
        wanted: set[str],
    ) -> None:
        self.format = format
        self._slots = slots
        self._blocks = blocks
        self._wanted = wanted
        self._indexes: dict[str, Index] = {}

    @classmethod
    def from_records(cls, format: Format[T], records: Iterable[tuple[str, Record[T]]]) -> "Table[T]":
        """The table of a file that has these records, each with its key, in this order."""
        shards: list[dict[str, Slot[T]]] = [{} for _ in range(SHARDS)]
        blocks: list[Block] = []
        rest = iter(records)
        while some := list(islice(rest, BLOCK)):
            for key, record in some:
                shards[hash(key) % SHARDS][key] = Slot(record.item, len(blocks))
            blocks.append(Block([key for key, _ in some], b"".join(record.line for _, record in some)))
        return cls(format, ShardedMap(shards), blocks, set())

    @property
    def content(self) -> list[bytes]:
        """The file without its header, in pieces."""
        return [block.content for block in self._blocks]

    def get(self, key: str) -> T | None:
        slot = self._slots.get(key)
        return slot.item if slot else None

    def index(self, name: str) -> Index:
        """The index of this name, made when somebody asks for it."""
        if name not in self._indexes:
            with _making:
                if name not in self._indexes:
                    self._wanted.add(name)
                    self._indexes[name] = self._make_index(name)
        return self._indexes[name]

    def _make_index(self, name: str) -> Index:
        with garbage_collection.paused():
            items = ((key, slot.item) for key, slot in self._slots.items())
            return Index.of(_pairs(self.format.indexes[name], items))

    def search(self, text: str) -> Iterator[str]:
        """The keys of the lines in which this text is, which is folded, in whatever cell."""
        quoted = text.replace('"', '""')
        for block in self._blocks:
            if quoted in fold(block.content.decode()):  # most blocks are done with at once
                lines = zip(block.keys, block.lines(), strict=True)
                yield from (key for key, line in lines if quoted in fold(line.decode()))

    def items(self) -> Iterator[tuple[str, T]]:
        """Each key with its item, in the order of the file."""
        return ((key, item) for key in self.lines() if (item := self.get(key)))

    def items_by_line(self) -> dict[bytes, T]:
        return {line: item for key, line in self.lines().items() if (item := self.get(key))}

    def lines(self, but: Container[bytes] = ()) -> dict[str, bytes]:
        """The line of each item by key, in the order of the file, without the blocks of this content."""
        blocks = (block for block in self._blocks if block.content not in but)
        return {key: line for block in blocks for key, line in zip(block.keys, block.lines(), strict=True)}

    def differences(self, after: "Table[T]") -> dict[str, T | None]:
        """The keys whose lines differ in another table, each with its item in this one; None if it has none."""
        if self is after:
            return {}
        shared = {block.content for block in self._blocks} & {block.content for block in after._blocks}
        old, new = self.lines(shared), after.lines(shared)
        return {key: self.get(key) for key in old.keys() | new.keys() if old.get(key) != new.get(key)}

    def __len__(self) -> int:
        return len(self._slots)

    def apply(self, changes: Changes[T]) -> "Table[T]":
        """The table after the changes, or this one if there are none; new items come last in the file."""
        if not changes:
            return self
        slots: dict[str, Slot[T] | None] = {}
        changed: dict[int, tuple[list[str], list[bytes]]] = {}  # keys and lines of the blocks that change

        def block(number: int) -> tuple[list[str], list[bytes]]:
            if number not in changed:
                old = self._blocks[number] if number < len(self._blocks) else Block([], b"")
                changed[number] = list(old.keys), old.lines()
            return changed[number]

        last = max(len(self._blocks) - 1, 0)
        for key, record in changes.items():
            old = self._slots.get(key)
            if record:
                if not old and len(block(last)[0]) >= BLOCK:
                    last += 1
                number = old.block if old else last
                slots[key] = Slot(record.item, number)
                keys, lines = block(number)
                place = keys.index(key) if old else len(keys)
                keys[place : place + 1], lines[place : place + 1] = [key], [record.line]
            elif old:
                slots[key] = None
                keys, lines = block(old.block)
                place = keys.index(key)
                del keys[place], lines[place]
        blocks = list(self._blocks)
        for number, (keys, lines) in sorted(changed.items()):  # each in the place of the old one, or after the last
            blocks[number : number + 1] = [Block(keys, b"".join(lines))]
        after = Table(self.format, self._slots.apply(slots), blocks, self._wanted)
        items = [(key, self.get(key), record.item if record else None) for key, record in changes.items()]
        after._indexes = {
            name: _index_after(self.index(name), self.format.indexes[name], items) for name in list(self._wanted)
        }
        return after


def _pairs(values_of: Callable[[T], Iterable[str]], items: Iterable[tuple[str, T | None]]) -> Iterator[Pair]:
    return ((value, key) for key, item in items if item for value in values_of(item))


def _index_after(
    index: Index, values_of: Callable[[T], Iterable[str]], changes: Collection[tuple[str, T | None, T | None]]
) -> Index:
    """The index after changes. Each is a key, and its item before and after; None if there is none."""
    gone = {*_pairs(values_of, ((key, before) for key, before, _ in changes))}
    new = {*_pairs(values_of, ((key, after) for key, _, after in changes))}
    return index.apply(gone - new, new - gone)


class TableView(Protocol[T_co]):
    """A table to read."""

    @property
    def format(self) -> Format[Any]: ...

    def get(self, key: str) -> T_co | None: ...

    def index(self, name: str) -> Index: ...

    def search(self, text: str) -> Iterator[str]: ...


class Snapshot(NamedTuple):
    """A registry at one moment. stale_since: as that of a store."""

    devices: Table[Device]
    groups: Table[Group]
    memberships: Table[Membership]
    stale_since: float | None = None


class Overlay(Generic[T]):
    """A table as the changes of one commit see it: what is durable, and over it what they did so far."""

    def __init__(self, table: Table[T]) -> None:
        self.format = table.format
        self._changes: dict[str, Record[T] | None] = {}
        self._table = table
        self._before: dict[str, Record[T] | bool | None] = {}  # what this change replaced; False: nothing yet
        self._indexes: dict[str, Index] = {}  # those that a change has asked for, as the changes leave them

    def get(self, key: str) -> T | None:
        if key in self._changes:
            record = self._changes[key]
            return record.item if record else None
        return self._table.get(key)

    def index(self, name: str) -> Index:
        """The index of this name, after the changes."""
        if name not in self._indexes:
            items = [(key, self._table.get(key), self.get(key)) for key in self._changes]
            self._indexes[name] = _index_after(self._table.index(name), self.format.indexes[name], items)
        return self._indexes[name]

    def search(self, text: str) -> Iterator[str]:
        """As in a table; and all keys of the changes."""
        yield from (key for key in self._table.search(text) if key not in self._changes)
        yield from self._changes

    def set(self, item: T) -> None:
        """Put the item in the place of the one with its key, or add it as the last. Raises Invalid."""
        key = self.format.key(item)
        self._change(key, Record(item, self.format.encode(item)))

    def remove(self, key: str) -> None:
        """Remove the item with this key, if there is one."""
        self._change(key, None)

    def _change(self, key: str, record: Record[T] | None) -> None:
        items = [(key, self.get(key), record.item if record else None)]
        for name, index in self._indexes.items():
            self._indexes[name] = _index_after(index, self.format.indexes[name], items)
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
        self._indexes = {}
