"""The service, or a module, on a store that is broken on purpose, to prove that the tests here find what they look for:

python -m tests.long.broken VARIANT serve ARGUMENTS
python -m tests.long.broken VARIANT MODULE ARGUMENTS
"""

import errno
import os
import runpy
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from devicesvc import cli, server
from devicesvc.dao import durable_file, lock_file
from devicesvc.dao.csv.recording import Batch, End, Recorder
from devicesvc.dao.csv.snapshot import Snapshot
from devicesvc.dao.durable_file import Beside, Version
from devicesvc.dao.history import Row, now
from devicesvc.errors import StoreUnavailable

CHUNK = 4096

good_post_worker_init = server.post_worker_init
good_prepare, good_publish, good_locked = durable_file.prepare, durable_file.publish, lock_file.locked


_coming: dict[Path, bytes] = {}


def _remember(files: Mapping[Path, Iterable[bytes]], beside: Beside = None, **_like: object) -> dict[Path, Version]:
    if beside:
        beside()()
    _coming.update({path: b"".join(pieces) for path, pieces in files.items()})
    return {path: Version(open(os.devnull, "rb")) for path in files}  # like no file: the store reads what was written


def _write_in_place(versions: Mapping[Path, Version]) -> None:
    try:
        for path in versions:
            with path.open("wb", buffering=0) as file:
                for start in range(0, len(_coming[path]), CHUNK):
                    file.write(_coming[path][start : start + CHUNK])
                    os.fsync(file.fileno())
    except OSError as error:
        raise StoreUnavailable(f"The store cannot be written: {error.strerror}.") from error


def _do_nothing(*arguments: object) -> None:
    pass


def _lock_nothing(_handle: int) -> bool:
    return True


def _prepare_or_pretend(
    files: Mapping[Path, Iterable[bytes]], beside: Beside = None, like: Path | None = None
) -> dict[Path, Version]:
    try:
        return good_prepare(files, beside, like)
    except StoreUnavailable:
        return {path: Version(path.open("rb", buffering=0)) for path in files}


def _publish_or_pretend(versions: Mapping[Path, Version]) -> None:
    with suppress(StoreUnavailable, AssertionError):  # what was not prepared has no file to be published
        good_publish(versions)


@contextmanager
def _lock_or_pretend(path: Path, patience: float) -> Iterator[int]:
    with ExitStack() as held:
        lock = held.enter_context(open(os.devnull, "r+b")).fileno()
        with suppress(StoreUnavailable):
            lock = held.enter_context(good_locked(path, patience))
        yield lock


def _fail_to_sync_the_folder(folder: Path) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO), str(folder))


def _publish_late(versions: Mapping[Path, Version]) -> None:
    """After the files were compared: so that what a lock keeps apart does come together."""
    time.sleep(0.02)
    good_publish(versions)


def _publish_half_at_first(versions: Mapping[Path, Version]) -> None:
    durable_file.publish = good_publish
    durable_file.sync_folder, real = _fail_to_sync_the_folder, durable_file.sync_folder
    try:
        good_publish(versions)
    finally:
        durable_file.sync_folder = real


def _begin_late(recorder: Recorder, batch: Batch) -> Callable[[], object]:
    """Write nothing yet."""
    late_batches[recorder] = batch
    return lambda: None


def _write_late(recorder: Recorder, batch: Batch, before: Snapshot, after: Snapshot) -> None:
    if late_batches.pop(recorder, None):
        time.sleep(0.02)  # so that a kill comes in between
        recorder.write(batch)
    good_confirm(recorder, batch, before, after)


def forget_to_look(recorder: Recorder, _snapshot: object, kept: int) -> bool:
    """Go on where the history ends, whatever there is."""
    with suppress(StoreUnavailable):
        end, rows = recorder._news(None)
        recorder._number = max([kept, recorder._number, *(row.change for row in rows)])
        recorder._end, recorder._is_open, recorder.kept = end, True, recorder._number
    return False


def _write_or_pretend(recorder: Recorder, batch: Batch) -> None:
    with suppress(StoreUnavailable):
        good_write(recorder, batch)


def _see_no_rows(recorder: Recorder, known: End | None) -> tuple[End | None, list[Row]]:
    return good_news(recorder, known)[0], []


def _begin_anew(recorder: Recorder) -> Batch:
    return Batch(0, now(recorder._time))


late_batches: dict[Recorder, Batch] = {}
good_confirm, good_write, good_news = Recorder.confirm, Recorder.write, Recorder._news


def _sync_all_but_the_history(file: Any) -> None:
    if "history-" not in os.readlink(f"/proc/self/fd/{file.fileno()}"):
        os.fsync(file.fileno())


# What each variant puts in the place of functions of durable_file and lock_file, and of methods of the recorder.
VARIANTS: dict[str, dict[str, Callable]] = {
    "none": {},
    "in place": {"prepare": _remember, "publish": _write_in_place},
    "no fsync": {"sync_file": _do_nothing},
    "no folder fsync": {"sync_folder": _do_nothing},
    "no sweep": {"sweep": _do_nothing},
    "no lock": {"try_lock": _lock_nothing, "publish": _publish_late},
    "the first folder fsync fails": {"publish": _publish_half_at_first},
    "the history comes after": {"begin": _begin_late, "confirm": _write_late},
    "no fsync of the history": {"sync_file": _sync_all_but_the_history},
    "no look at the history": {"reconcile": forget_to_look},
    "deaf to siblings": {"_news": _see_no_rows},
    "numbers begin anew": {"batch": _begin_anew},
    "deaf to errors of the history": {"write": _write_or_pretend},
    "deaf to errors": {"prepare": _prepare_or_pretend, "publish": _publish_or_pretend, "locked": _lock_or_pretend},
}


WORKER_READY = "A worker is ready."


def _say_ready(worker: Any) -> None:
    good_post_worker_init(worker)
    os.write(1, f"{WORKER_READY}\n".encode())  # in one call: workers write to the same pipe


def main() -> None:
    variant, what, *arguments = sys.argv[1:]
    for name, function in VARIANTS[variant].items():
        owner = next(each for each in (Recorder, lock_file, durable_file) if name in vars(each))
        setattr(owner, name, function)
    if what == "serve":
        server.post_worker_init = _say_ready
        cli.main(["serve", *arguments])
    sys.argv[1:] = arguments
    runpy.run_module(what, run_name="__main__")


if __name__ == "__main__":
    main()
