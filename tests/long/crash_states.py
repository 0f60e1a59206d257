"""Every state that a crash may leave of a folder, worked out from the system calls of one change to it.

The idea is ALICE's (Pillai et al., "All File Systems Are Not Created Equal: On the Complexity of Crafting
Crash-Consistent Applications", OSDI 2014): record the calls, and build each state that a file system is free to leave.
POSIX promises little, and so little is assumed here, less than what any one file system keeps:

- A crash comes after any of the calls. What an fsync has covered by then is there.
- Of what was done to a file since its last fsync there may be nothing, all, the first so many calls, or part of a
  call: cut short, or at full length with blocks of 512 bytes that hold zeros or what was there before. What comes
  before the first byte that was written stays.
- Of the names made, changed or removed since the last fsync of the folder there may be any subset. An fsync of a file
  covers its data, not its name. A rename gives the new name in one step, but the old one may stay.
- A disk keeps its word: what it says is synced stays, and blocks do not change by themselves.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

BLOCK = 512
ANSWER = b"answered\n"  # written to standard output once the change is acknowledged

MODELLED = "openat,write,pwrite64,fsync,fdatasync,?rename,renameat,renameat2,?unlink,unlinkat,ftruncate,close"
# Calls that would change the folder too: the model knows none of them, so that to meet one is an error.
FOREIGN = (
    "writev,pwritev,pwritev2,truncate,fallocate,copy_file_range,sendfile,"
    "?creat,?link,linkat,?symlink,symlinkat,dup,?dup2,dup3"
)


@dataclass(frozen=True)
class Data:
    """Bytes written to a file."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Size:
    """A file cut or grown to a size."""

    file: int
    size: int


@dataclass(frozen=True)
class Name:
    """A name given to a file, or taken away (None)."""

    name: str
    file: int | None


@dataclass(frozen=True)
class Sync:
    """An fsync that has returned, of a file or of the folder (None)."""

    file: int | None


@dataclass(frozen=True)
class Answer:
    """The change was acknowledged."""


Step = Data | Size | Name | Sync | Answer


@dataclass(frozen=True)
class State:
    """What a crash leaves: the files by name, and whether the change had been acknowledged before."""

    files: tuple[tuple[str, bytes], ...]
    answered: bool


def states(before: Mapping[str, bytes], steps: Iterable[Step]) -> set[State]:
    """Return each state that a crash in or after the steps may leave of a folder that was durable `before`."""
    disk = _Disk(dict(enumerate(before.values())), {name: file for file, name in enumerate(before)})
    found = set(disk.states())
    for step in steps:
        disk.take(step)
        found.update(disk.states())
    return found


@dataclass
class _Disk:
    """What is durable (of files, by number, and of names), and what was done since."""

    files: dict[int, bytes]
    names: dict[str, int]
    changes: dict[int, list[Data | Size]] = field(default_factory=dict)
    renames: list[Name] = field(default_factory=list)
    answered: bool = False

    def take(self, step: Step) -> None:
        match step:
            case Data() | Size():
                self.changes.setdefault(step.file, []).append(step)
            case Name():
                self.renames.append(step)
            case Sync(None):
                self.names = _renamed(self.names, self.renames)
                self.renames = []
            case Sync(int(file)):
                self.files[file] = _changed(self.files.get(file, b""), self.changes.pop(file, []))
            case Answer():
                self.answered = True

    def states(self) -> Iterator[State]:
        for kept in product((True, False), repeat=len(self.renames)):
            renames = [rename for rename, keep in zip(self.renames, kept, strict=True) if keep]
            names = _renamed(self.names, renames)
            contents = [_contents(self.files.get(file, b""), self.changes.get(file, [])) for file in names.values()]
            for each in product(*contents):
                yield State(tuple(sorted(zip(names, each, strict=True))), self.answered)


def _renamed(names: Mapping[str, int], renames: Iterable[Name]) -> dict[str, int]:
    after = {**names, **{rename.name: rename.file for rename in renames}}
    return {name: file for name, file in after.items() if file is not None}


def _changed(content: bytes, changes: Iterable[Data | Size]) -> bytes:
    for change in changes:
        if isinstance(change, Size):
            content = content[: change.size].ljust(change.size, b"\0")
        else:
            end = change.offset + len(change.data)
            content = content[: change.offset].ljust(change.offset, b"\0") + change.data + content[end:]
    return content


def _contents(durable: bytes, changes: list[Data | Size]) -> set[bytes]:
    """Everything that a file may hold, of which `durable` was synced before the changes."""
    found = {durable}
    for count in range(1, len(changes) + 1):
        content = _changed(durable, changes[:count])
        safe = min(len(durable), *(_start(change) for change in changes[:count]))
        found |= {content, *(durable[:safe] + torn for torn in _torn(content[safe:], durable[safe:]))}
    return found


def _start(change: Data | Size) -> int:
    """Where a change begins: what was synced before that place stays."""
    return change.offset if isinstance(change, Data) else change.size


def _torn(new: bytes, old: bytes) -> Iterator[bytes]:
    size = len(new)
    starts = range(0, size, BLOCK)
    for ground in (bytes(size), old[:size].ljust(size, b"\0")):
        for start in starts:
            block = slice(start, start + BLOCK)
            yield ground[:start] + new[block] + ground[start + BLOCK :]
            yield new[:start] + ground[block] + new[start + BLOCK :]
        for cut in {*starts, 1, size // 2, size - 1}:
            yield new[:cut]
            yield new[:cut] + ground[cut:]


def read_trace(trace: str, folder: Path, before: Mapping[str, bytes]) -> list[Step]:
    """Read the output of `strace -f -xx -e trace=MODELLED,FOREIGN` as the steps that touch the folder, which held
    `before`. Raises ValueError at a call that the model does not know."""
    return list(_Reader(folder, before).steps(trace))


class _Reader:
    """Follows which descriptor is which file, while the calls go by."""

    def __init__(self, folder: Path, before: Mapping[str, bytes]) -> None:
        self._folder = folder
        self._names = {name: file for file, name in enumerate(before)}
        self._sizes = dict(enumerate(map(len, before.values())))
        self._count = len(before)
        self._open: dict[int, int | None] = {}  # descriptor -> file, or None for the folder
        self._at: dict[int, int] = {}  # descriptor -> where the next write goes

    def steps(self, trace: str) -> Iterator[Step]:
        for name, arguments, result in _calls(trace):
            paths = [bytes.fromhex(text.replace("\\x", "")) for text in re.findall(r'"((?:\\x..)*)"', arguments)]
            numbers = [int(text) for text in re.findall(r"(?<![\w\"\\])\d+(?!\w)", arguments)]
            if name in ("write", "pwrite64"):
                yield from self._write(numbers[0], paths[0][:result], numbers[2] if name == "pwrite64" else None)
            elif name == "openat":
                yield from self._openat(self._inside(paths[0]), arguments, result)
            elif name.startswith("rename"):
                old, new = map(self._inside, paths)
                if (old is None) != (new is None):
                    raise ValueError(f"a file moved into or out of the folder: {name}({arguments})")
                if old is not None and new is not None:
                    self._names[new] = self._names.pop(old)
                    yield Name(new, self._names[new])
                    yield Name(old, None)
            elif name.startswith("unlink"):
                if inside := self._inside(paths[0]):
                    del self._names[inside]
                    yield Name(inside, None)
            elif numbers[:1] and numbers[0] in self._open:
                yield from self._on_descriptor(name, numbers)
            elif any(map(self._inside, paths)):
                raise ValueError(f"the model does not know {name}({arguments})")

    def _inside(self, path: bytes) -> str | None:
        """The name in the folder; "" for the folder itself, None for what lies elsewhere."""
        given = Path(path.decode())
        if given == self._folder:
            return ""
        return given.name if given.parent == self._folder else None

    def _openat(self, name: str | None, arguments: str, descriptor: int) -> Iterator[Step]:
        if name is None:
            return
        if any(flag in arguments for flag in ("O_TMPFILE", "SYNC")):
            raise ValueError(f"the model does not know openat({arguments})")
        self._at[descriptor] = 0
        if name == "":
            self._open[descriptor] = None
            return
        if name not in self._names:
            self._names[name], self._count = self._count, self._count + 1
            yield Name(name, self._names[name])
        elif "O_TRUNC" in arguments:
            yield from self._resized(self._names[name], 0)
        self._open[descriptor] = self._names[name]
        if "O_APPEND" in arguments:  # by one process at a time, so all it writes comes after what is there now
            self._at[descriptor] = self._sizes.get(self._names[name], 0)

    def _write(self, descriptor: int, data: bytes, offset: int | None) -> Iterator[Step]:
        if descriptor in self._open:
            start = self._at[descriptor] if offset is None else offset
            if offset is None:
                self._at[descriptor] += len(data)
            file = self._file(descriptor)
            self._sizes[file] = max(self._sizes.get(file, 0), start + len(data))
            yield Data(file, start, data)
        elif data == ANSWER:
            yield Answer()

    def _resized(self, file: int, size: int) -> Iterator[Step]:
        self._sizes[file] = size
        yield Size(file, size)

    def _file(self, descriptor: int) -> int:
        file = self._open[descriptor]
        if file is None:
            raise ValueError("the model does not know how to write to a folder")
        return file

    def _on_descriptor(self, name: str, numbers: list[int]) -> Iterator[Step]:
        descriptor = numbers[0]
        match name:
            case "close":
                del self._open[descriptor]
            case "fsync" | "fdatasync":
                yield Sync(self._open[descriptor])
            case "ftruncate":
                yield from self._resized(self._file(descriptor), numbers[1])
            case _:
                raise ValueError(f"the model does not know {name} on a file of the folder")


def _calls(trace: str) -> Iterator[tuple[str, str, int]]:
    """Yield each call that succeeded, as its name, arguments and result, when it has returned."""
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        thread, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", rest):
            rest = begun.pop(thread) + rest[resumed.end() :]
        if call := re.fullmatch(r"(\w+)\((.*)\) += (\d+)", rest):
            yield call[1], call[2], int(call[3])
