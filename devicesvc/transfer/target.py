"""What a migration writes to: a target is filled out of sight, read back, and only then put in its place."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from devicesvc.errors import StoreUnavailable
from devicesvc.transfer.source import Chunk


class Target(ABC):
    """A store to be made.

    label: what to call it in messages. takes_files: whether it takes a history in pieces of files. last_change: the
    greatest number that a store in its place has given to a change, 0 if there is none; it is known within `with`.
    """

    label: str
    takes_files = False
    last_change = 0

    def __init__(self) -> None:
        self._open = ExitStack()

    @abstractmethod
    def fill(self, chunks: Iterable[Chunk]) -> None:
        """Write all rows, which come as Source.read and Source.history give them, so that nobody sees them yet."""

    @abstractmethod
    def written(self) -> Iterator[Chunk]:
        """Read back all rows."""

    @abstractmethod
    def publish(self) -> None:
        """Put it in its place, durable."""

    @abstractmethod
    def paths(self) -> list[Path]:
        """The files that it will be in."""

    def refuse_existing(self) -> None:  # noqa: B027
        """Raises StoreUnavailable if there is something that may not be replaced."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def exists(path: Path) -> StoreUnavailable:
    """The error for a target that may not be replaced."""
    return StoreUnavailable(f"{path} is there already: name another target, or add --replace to put this in its place.")


def refuse_no_place(path: Path) -> None:
    """Raises StoreUnavailable if no file can be made at path, because it is a folder or has none to be in."""
    folder = path.resolve().parent
    if path.is_dir() or not folder.is_dir():
        words = "is a folder" if path.is_dir() else f"cannot be made: there is no folder {folder}"
        raise StoreUnavailable(f"{path} {words}.")
