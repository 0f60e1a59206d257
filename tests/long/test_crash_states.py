"""A crash of the machine in the middle of a change: whatever it leaves is the registry of before or of after, what was
acknowledged is there, and the history tells how what is there has come to be, no more and no less."""

import shutil
import subprocess
import sys
from collections import Counter

import pytest

from devicesvc.dao import durable_file
from devicesvc.dao.csv.recording import Recorder
from devicesvc.dao.history import FILE
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from tests.conftest import ROOT
from tests.long.broken import forget_to_look
from tests.long.crash_states import FOREIGN, MODELLED, Answer, Data, Name, Size, State, Step, Sync, read_trace, states
from tests.long.one_change import CHANGES, Registry, changes
from tests.long.processes import need

NAME = "device.csv"
OF_TWO_FILES = ["a delete of a device in groups", "a delete of a group with devices"]


@pytest.fixture
def crash(tmp_path, caplog):
    """Make a change on a variant of the store, build every state that a crash may leave, and count what they are; of a
    broken store, until one is found that has this harm."""
    caplog.set_level("CRITICAL", logger="devicesvc")  # a broken store would log thousands of faults

    def crash(variant, change, harm=None) -> Counter:
        old, new = CHANGES[change].before, CHANGES[change].after
        folder = tmp_path / "traced"
        folder.mkdir()
        if old:
            with open_store(str(folder / NAME), old.devices) as store:
                store.write(old.fill)
        before = {each.name: each.read_bytes() for each in folder.iterdir()}
        steps = read_trace(_trace(variant, change, folder / NAME), folder, before)
        count = Counter(states=0, corrupt=0, lost=0, leftovers=0, untold=0, not_kept=0)
        for number, state in enumerate(states(before, steps)):
            count.update(_judge(state, tmp_path / str(number), old, new))
            shutil.rmtree(tmp_path / str(number))
            if count[harm]:
                break
        print(f"\n{change}, variant {variant!r}: {dict(count)}")
        return count

    return crash


def _trace(variant, change, path):
    """Return the system calls of one change."""
    need(shutil.which("strace"), "strace")
    output = path.parent.with_name("trace")
    tracer = ["strace", "-f", "-xx", "-s", "10000000", "-e", f"trace={MODELLED},{FOREIGN}", "-o", output]
    command = [*tracer, sys.executable, "-m", "tests.long.broken", variant, "tests.long.one_change", change, path]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return output.read_text()


def _judge(state, folder, old, new):
    """Open the store that a crash has left, and bring back what the change deleted: nothing else may come with it."""
    folder.mkdir()
    for name, data in state.files:
        (folder / name).write_bytes(data)
    path = folder / NAME
    found = None
    try:
        if path.exists():
            with open_store(str(path)) as store:
                found = Registry.of(store)
                untold = is_untold(store)
                leftovers = any(each.suffix == ".tmp" for each in folder.iterdir())
                store.write(lambda tx: _bring_back(tx, old or new))
                again = Registry.of(store)
                untold |= is_untold(store)
    except StoreUnavailable:
        return {"states": 1, "corrupt": 1}
    if found is None:
        with open_store(str(path), new.devices) as store:  # as the next start does
            untold = is_untold(store)
        return {"states": 1, "corrupt": old is not None, "lost": state.answered, "untold": untold, **taken_back(folder)}
    with open_store(str(path)) as store:
        revived = Registry.of(store) != again or again.memberships != found.memberships
        untold |= is_untold(store)
    return {
        "states": 1,
        "corrupt": found not in (old, new) or revived,
        "lost": state.answered and found == old,
        "leftovers": leftovers,
        "untold": untold,
        **taken_back(folder),
    }


def taken_back(folder):
    return {"not_kept": any(b",not kept," in each.read_bytes() for each in folder.glob("history-*.csv"))}


def is_untold(store):
    """Whether the history tells of another registry, is broken, or takes what came to be for an edit by hand."""
    by_hand = any(change.who == FILE for change in changes(store))
    return by_hand or Registry.told_by(store) != Registry.of(store) or store.history.fault is not None


def _bring_back(tx, old):
    for device in old.devices:
        tx.devices.put(device)
    for group in old.groups:
        tx.groups.put(group)


@pytest.mark.parametrize("change", CHANGES)
def test_no_crash_corrupts_the_registry_or_loses_what_was_acknowledged(crash, change):
    count = crash("none", change)
    assert count["states"] > 10
    assert (count["corrupt"], count["lost"], count["leftovers"], count["untold"]) == (0, 0, 0, 0)
    assert count["not_kept"]


@pytest.mark.parametrize("change", ["an update", "a delete"])
def test_a_change_whose_outcome_was_unknown_is_durable_once_it_is_sent_again_and_acknowledged(crash, change):
    count = crash("the first folder fsync fails", change)
    assert (count["corrupt"], count["lost"], count["untold"]) == (0, 0, 0)


@pytest.mark.parametrize("change", sorted(CHANGES.keys() - OF_TWO_FILES))
@pytest.mark.parametrize(
    ("variant", "harm"), [("in place", "corrupt"), ("no fsync", "corrupt"), ("no folder fsync", "lost")]
)
def test_a_broken_store_is_found_out(crash, variant, harm, change):
    assert crash(variant, change, harm)[harm] > 0


def test_a_store_that_does_not_tidy_up_when_it_is_opened_is_found_out(crash, monkeypatch):
    monkeypatch.setattr(durable_file, "sweep", lambda _files: None)
    assert crash("none", "a membership", "leftovers")["leftovers"] > 0


@pytest.mark.parametrize("change", OF_TWO_FILES)
def test_a_store_that_renames_two_files_in_no_certain_order_is_found_out(crash, change):
    assert crash("no folder fsync", change, "corrupt")["corrupt"] > 0


@pytest.mark.parametrize("change", ["an update", "a delete of a device in groups"])
@pytest.mark.parametrize("variant", ["the history comes after", "no fsync of the history"])
def test_a_history_that_is_written_badly_is_found_out(crash, variant, change):
    assert crash(variant, change, "untold")["untold"] > 0


@pytest.mark.parametrize("change", ["an update", "a delete of a device in groups"])
def test_a_history_that_is_not_held_against_the_files_is_found_out(crash, change, monkeypatch):
    monkeypatch.setattr(Recorder, "reconcile", forget_to_look)
    assert crash("none", change, "untold")["untold"] > 0


class TestModel:
    """The states are those that the model promises, no fewer."""

    def test_data_without_fsync_may_be_missing_torn_or_there(self):
        found = {dict(state.files)["a"] for state in states({"a": b""}, [Data(0, 0, b"x" * 1024)])}
        half, none = b"x" * 512, b"\0" * 512
        assert found >= {b"", b"x", half, half + half, half + none, none + half, none + none}

    def test_an_overwrite_without_fsync_may_mix_old_and_new(self):
        found = {dict(state.files)["a"] for state in states({"a": b"o" * 1024}, [Data(0, 0, b"n" * 1024)])}
        assert found >= {b"o" * 512 + b"n" * 512, b"n" * 512 + b"o" * 512}

    def test_what_was_synced_stays_if_something_is_added_without_fsync(self):
        found = {dict(state.files)["a"] for state in states({"a": b"o" * 1024}, [Data(0, 1024, b"n" * 512)])}
        assert {each[:1024] for each in found} == {b"o" * 1024}
        assert found >= {b"o" * 1024, b"o" * 1024 + b"\0" * 512, b"o" * 1024 + b"n" * 256}

    def test_data_with_fsync_is_there(self):
        steps: list[Step] = [Size(0, 0), Data(0, 0, b"new"), Sync(0), Answer()]
        assert {state.files for state in states({"a": b"old"}, steps) if state.answered} == {(("a", b"new"),)}

    def test_names_without_fsync_of_the_folder_may_be_old_or_new_in_any_mix(self):
        steps: list[Step] = [Name("t", 1), Sync(1), Name("a", 1), Name("t", None)]
        old, new, temporary = ("a", b"old"), ("a", b""), ("t", b"")
        mixes = {(old,), (old, temporary), (new,), (new, temporary)}
        assert {state.files for state in states({"a": b"old"}, steps)} == mixes
        assert State((new,), True) in states({"a": b"old"}, [*steps, Sync(None), Answer()])
        assert State((old,), True) not in states({"a": b"old"}, [*steps, Sync(None), Answer()])

    def test_a_call_that_it_does_not_know_is_an_error(self, tmp_path):
        path = str(tmp_path / "a").encode().hex("\n").replace("\n", "\\x")
        with pytest.raises(ValueError, match="does not know linkat"):
            read_trace(f'1 linkat(AT_FDCWD, "\\x{path}", AT_FDCWD, "\\x{path}", 0) = 0', tmp_path, {"a": b""})
