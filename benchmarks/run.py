"""One run: how long it measures, where it keeps its files, and the line that says how far it is."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import peers
from benchmarks.devices import make_devices
from benchmarks.peers import Peer
from benchmarks.results import Results
from benchmarks.services import Service

FEW, MANY = 1_000, 100_000  # devices


@dataclass
class Progress:
    """What is measured now: one line on a terminal, else a line for each part.

    seconds: how long each part takes, as expected.
    """

    seconds: dict[str, int]
    part: str = ""
    _begin: float = 0

    def begin(self, part: str) -> None:
        """Say which part begins, if stderr is not a terminal, where `show` says more."""
        self.part, self._begin = part, time.monotonic()
        if not sys.stderr.isatty():
            print(f"{self._left()}: {part}", file=sys.stderr, flush=True)

    def show(self, words: str) -> None:
        """Say what is measured now, and how much time is left."""
        if sys.stderr.isatty():
            line = f"{self._left()}: {self.part}: {words}"
            print(f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}", end="", file=sys.stderr, flush=True)

    def _left(self) -> str:
        parts = list(self.seconds)
        later = sum(self.seconds[part] for part in parts[parts.index(self.part) + 1 :])
        left = round(later + max(0, self.seconds[self.part] - (time.monotonic() - self._begin)))
        return f"{left // 60:3} min {left % 60:2} s left"

    def end(self) -> None:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


@dataclass
class Run:
    """turns: how often each figure is measured. seconds: how long one turn takes. sizes: how many devices all programs
    serve; with another number, only ours is measured. rows: how many are migrated. folder: where all files are kept for
    the time."""

    results: Results
    progress: Progress
    peers: Sequence[Peer]
    folder: Path
    turns: int
    seconds: int
    sizes: Sequence[int]
    rows: int
    _prepared: dict[int, Path] = field(default_factory=dict)

    def peers_of(self, size: int) -> Sequence[Peer]:
        """The programs that are measured with so many devices."""
        return self.peers if size in self.sizes else (peers.CSV,)

    def prepared(self, size: int) -> Path:
        """The folder with so many devices, in the form of each program, and their ids in the file `ids`."""
        if size not in self._prepared:
            self.progress.show(f"making {size:,} devices")
            folder = self.folder / str(size)
            folder.mkdir()
            peers.prepare(folder, make_devices(size), self.peers_of(size))
            self._prepared[size] = folder
        return self._prepared[size]

    @contextmanager
    def fleet(self, size: int, can: Callable[[Peer], object]) -> Iterator[dict[Peer, Service]]:
        """All programs that can do this, on so many devices, as long as the block runs."""
        folder = self.prepared(size)
        with ExitStack() as stack:
            services = {}
            for peer in filter(can, self.peers_of(size)):
                self.progress.show(f"starting {peer.name}")
                services[peer] = stack.enter_context(peer.service(folder))
            yield services
