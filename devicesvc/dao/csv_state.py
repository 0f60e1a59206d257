"""The tables of a CSV store in memory, made so that a change costs the same in a small registry and in a large one.

A state is never changed: a reader that has one keeps it. The next state shares with it all but the few pieces that the
change touches: shards of the lookups, and blocks of the file, each some hundred lines long. What the ops of a commit
change is in drafts, one over each table, until the commit makes the next state of it.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import Generic, NamedTuple, Protocol, TypeVar

from devicesvc.dao.csv_lines import Format, Row
from devicesvc.model import Device, Group, Membership

SHARDS = 1024
BLOCK = 512  # lines
FEW = 100  # changes: so many keys are put into their places one by one

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Changes = Mapping[str, Row[T] | None]  # by key; None removes


class Lookup(Generic[T]):
    """Values by text. It is never changed: `apply` makes the next one, which shares what stays as it is."""

    def __init__(self, shards: list[dict[str, T]]) -> None:
        self._shards = shards

    @classmethod
    def empty(cls) -> "Lookup[T]":
        return cls([{} for _ in range(SHARDS)])

    def get(self, key: str) -> T | None:
        return self._shards[hash(key) % SHARDS].get(key)

    def apply(self, changes: Mapping[str, T | None]) -> "Lookup[T]":
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


class Placed(NamedTuple, Generic[T]):
    """An item, and the number of the block that its line is in."""

    item: T
    block: int


class Table(Generic[T]):
    """All items of one kind at one moment.

    content: the file, without its header, in pieces.
    """

    def __init__(
        self,
        format: Format[T],
        placed: Lookup[Placed[T]],
        indexes: Mapping[str, Lookup[tuple[str, ...]]],
        blocks: list[dict[str, bytes]],
        content: list[bytes],
    ) -> None:
        self.format = format
        self._placed = placed
        self._indexes = indexes
        self._blocks = blocks
        self.content = content

    @classmethod
    def of(cls, format: Format[T], rows: Mapping[str, Row[T]]) -> "Table[T]":
        """The table of a file whose rows, by key, are these, in this order."""
        return cls(format, Lookup.empty(), {name: Lookup.empty() for name in format.indexes}, [], []).apply(rows)

    def get(self, key: str) -> T | None:
        placed = self._placed.get(key)
        return placed.item if placed else None

    def having(self, index: str, value: str) -> Collection[str]:
        """The keys of the items with this value."""
        return self._indexes[index].get(value) or ()

    @cached_property
    def keys(self) -> list[str]:
        """All keys, in the order of code points."""
        return sorted(self._placed)

    def items(self) -> Iterator[tuple[str, T]]:
        """Each key with its item, in the order of the file."""
        return ((key, item) for key in self.lines() if (item := self.get(key)))

    def items_by_line(self) -> dict[bytes, T]:
        return {line: item for key, line in self.lines().items() if (item := self.get(key))}

    def lines(self) -> dict[str, bytes]:
        """The line of each item by key, in the order of the file."""
        return {key: line for block in self._blocks for key, line in block.items()}

    def __len__(self) -> int:
        return len(self._placed)

    def apply(self, changes: Changes[T]) -> "Table[T]":
        """The table after the changes, this one where there are none; new items come last in the file."""
        if not changes:
            return self
        placed: dict[str, Placed[T] | None] = {}
        changed: dict[int, dict[str, bytes]] = {}  # copies of the blocks that change, by number

        def block(number: int) -> dict[str, bytes]:
            if number not in changed:
                changed[number] = dict(self._blocks[number]) if number < len(self._blocks) else {}
            return changed[number]

        last = max(len(self._blocks) - 1, 0)
        for key, row in changes.items():
            old = self._placed.get(key)
            if row:
                if not old and len(block(last)) >= BLOCK:
                    last += 1
                number = old.block if old else last
                placed[key] = Placed(row.item, number)
                block(number)[key] = row.line
            elif old:
                placed[key] = None
                del block(old.block)[key]
        blocks, content = list(self._blocks), list(self.content)
        for number, lines in sorted(changed.items()):
            blocks[number : number + 1] = [lines]  # in the place of the old one, or after the last
            content[number : number + 1] = [b"".join(lines.values())]
        indexes = {name: index.apply(self._sharing(name, changes)) for name, index in self._indexes.items()}
        after = Table(self.format, self._placed.apply(placed), indexes, blocks, content)
        if "keys" in self.__dict__ and len(changes) <= FEW:
            after.keys = self._sorted(placed)
        return after

    def _sorted(self, placed: Mapping[str, Placed[T] | None]) -> list[str]:
        """The keys after changes, from those before: to sort them all anew took longer than the rest of a commit."""
        keys = list(self.keys)
        for key, place in placed.items():
            if place is None:
                del keys[bisect_left(keys, key)]
            elif not self.get(key):
                insort(keys, key)
        return keys

    def _sharing(self, index: str, changes: Changes[T]) -> dict[str, tuple[str, ...] | None]:
        """The keys with each value of an index that the changes touch, after them."""
        value_of = self.format.indexes[index]
        after: dict[str, dict[str, None]] = {}

        def keys(item: T) -> dict[str, None]:
            value = value_of(item)
            if value not in after:
                after[value] = dict.fromkeys(self.having(index, value))
            return after[value]

        for key, row in changes.items():
            if old := self.get(key):
                keys(old).pop(key, None)
            if row:
                keys(row.item)[key] = None
        return {value: tuple(found) or None for value, found in after.items()}


class Rows(Protocol[T_co]):
    """A table to read."""

    def get(self, key: str) -> T_co | None: ...

    def having(self, index: str, value: str) -> Collection[str]: ...

    @property
    def keys(self) -> list[str]: ...


class State(NamedTuple):
    """A registry at one moment."""

    devices: Table[Device]
    groups: Table[Group]
    memberships: Table[Membership]


class Draft(Generic[T]):
    """A table as the ops of one commit see it, one after another: what is durable, under the changes so far."""

    def __init__(self, table: Table[T]) -> None:
        self._changes: dict[str, Row[T] | None] = {}
        self._table = table
        self._before: dict[str, Row[T] | bool | None] = {}  # what this op has changed, as it was; False: not yet
        self._added: dict[tuple[str, str], dict[str, None]] = {}  # keys that may have a value, by index and value

    def get(self, key: str) -> T | None:
        if key in self._changes:
            row = self._changes[key]
            return row.item if row else None
        return self._table.get(key)

    def having(self, index: str, value: str) -> Collection[str]:
        """The keys of the items with this value."""
        value_of = self._table.format.indexes[index]
        unchanged = [key for key in self._table.having(index, value) if key not in self._changes]
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
        self._change(key, Row(item, format.encode(item)))
        for index, value_of in format.indexes.items():
            self._added.setdefault((index, value_of(item)), {})[key] = None

    def remove(self, key: str) -> None:
        self._change(key, None)

    def _change(self, key: str, row: Row[T] | None) -> None:
        self._before.setdefault(key, self._changes.get(key, False))
        self._changes[key] = row

    def apply(self) -> Table[T]:
        """The table after the changes."""
        return self._table.apply(self._changes)

    def keep(self) -> None:
        """The op has ended."""
        self._before = {}

    def undo(self) -> None:
        """The op has failed: all is as it was before it."""
        for key, row in self._before.items():
            if isinstance(row, bool):
                del self._changes[key]
            else:
                self._changes[key] = row
        self._before = {}
