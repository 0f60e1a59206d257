"""An index: the keys of a table, sorted by a value of their items.

It counts the keys with a value without looking at them, and goes through all keys in the order of the values from any
place. It never changes: the next one is made by copy-on-write and shares all blocks but those that the change touches.
So one index serves filters, sorted lists and totals.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

BLOCK = 512  # pairs in a block at the start; one of twice as many is split
FEW = 1 / 16  # of the pairs: if more of them change, to sort all anew takes less time

Pair = tuple[str, str]  # a value, and the key of an item that has it
_Place = tuple[int, int]  # the number of a block, and a place in it


class _Block(NamedTuple):
    """Pairs, at least one. In two lists: they take a quarter of the memory, and to go through one of them is fast."""

    values: list[str]
    keys: list[str]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> "_Block":
        return cls([value for value, _ in pairs], [key for _, key in pairs])

    def place(self, value: str, key: str) -> int:
        """The place of the first pair that is not less."""
        start = bisect_left(self.values, value)
        return bisect_left(self.keys, key, start, bisect_right(self.values, value, start))

    def replaced(self, start: int, end: int, *pairs: Pair) -> "_Block":
        """The block with these pairs in the place of those from `start` to `end`."""
        new = _Block.of(pairs)
        return _Block(*([*old[:start], *come, *old[end:]] for old, come in zip(self, new, strict=True)))


def _first(block: _Block) -> Pair:
    return block.values[0], block.keys[0]


def _just_after(text: str) -> str:
    """The least text that is greater."""
    return text + "\0"


class Index:
    """Pairs in ascending order, no two of them the same. An item may have several values, or none."""

    def __init__(self, blocks: list[_Block]) -> None:
        self._blocks = blocks

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> "Index":
        """The index of these pairs, which may come in any order."""
        ordered = sorted(pairs, key=itemgetter(1))
        ordered.sort(key=itemgetter(0))  # by one text and then by the other: to compare pairs takes longer
        return cls([_Block.of(ordered[start : start + BLOCK]) for start in range(0, len(ordered), BLOCK)])

    def __len__(self) -> int:
        return sum(len(block.keys) for block in self._blocks)

    def __iter__(self) -> Iterator[Pair]:
        return chain.from_iterable(zip(*block, strict=True) for block in self._blocks)

    def values(self) -> Iterator[str]:
        """The value of each pair, ascending."""
        return chain.from_iterable(block.values for block in self._blocks)

    def count(self, value: str) -> int:
        """How many keys have this value."""
        (first, start), (last, end) = self._place(value), self._place(_just_after(value))
        return sum(len(block.keys) for block in self._blocks[first:last]) - start + end

    def keys(self, value: str, after: str = "") -> Iterator[str]:
        """The keys with this value that are greater than `after`, in ascending order."""
        return self._between(self._place(value, _just_after(after)), self._place(_just_after(value)))

    def walk(self, after: Pair | None = None, descending: bool = False) -> Iterator[str]:
        """The keys by their values, ascending or descending; those with the same value ascend in both. after: only
        those that come after this pair, whether or not it is there."""
        if descending:
            return self._walk_down(after)
        start = self._place(after[0], _just_after(after[1])) if after else (0, 0)
        return self._between(start, (len(self._blocks), 0))

    def _walk_down(self, after: Pair | None) -> Iterator[str]:
        number, place = len(self._blocks), 0
        if after:
            yield from self.keys(*after)
            number, place = self._place(after[0])
        while number or place:
            value = self._blocks[number].values[place - 1] if place else self._blocks[number - 1].values[-1]
            yield from self.keys(value)
            number, place = self._place(value)

    def apply(self, gone: Set[Pair], new: Set[Pair]) -> "Index":
        """The index without the pairs that are gone, which are in it, and with the new ones, which are not."""
        if len(gone) + len(new) > FEW * len(self):
            return Index.of(({*self} - gone) | new)
        after = Index(list(self._blocks))
        for pair in gone:
            number, place = after._place(*pair)
            block = after._blocks[number].replaced(place, place + 1)
            after._blocks[number : number + 1] = [block] if block.keys else []
        for pair in new:
            number, place = after._place(*pair)
            block = after._blocks[number].replaced(place, place, pair) if after._blocks else _Block.of([pair])
            halves = [block.replaced(BLOCK, 2 * BLOCK), block.replaced(0, BLOCK)]
            after._blocks[number : number + 1] = halves if len(block.keys) == 2 * BLOCK else [block]
        return after

    def _place(self, value: str, key: str = "") -> _Place:
        """The place of the first pair that is not less; if that is the first of a block, perhaps the end of the one
        before."""
        number = max(bisect_right(self._blocks, (value, key), key=_first) - 1, 0)
        return number, self._blocks[number].place(value, key) if self._blocks else 0

    def _between(self, start: _Place, end: _Place) -> Iterator[str]:
        (first, begin), (last, stop) = start, end
        return chain.from_iterable(
            block.keys[begin if number == first else 0 : stop if number == last else None]
            for number, block in enumerate(self._blocks[first : last + 1], first)
        )
