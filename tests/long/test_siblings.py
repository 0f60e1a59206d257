"""Several processes change a registry at once while a person edits it: the history tells each change once, and whose it
was."""

import subprocess
import sys
from collections import Counter
from threading import Event

import pytest

from devicesvc.dao.history import FILE
from devicesvc.dao.lock_file import FolderLock
from devicesvc.sample import DEVICES
from tests.conftest import ROOT
from tests.histories import WRONG, judge, rows_of
from tests.long import files

WRITERS, CHANGES = 4, 61  # the last one adds
EDITS = 20


@pytest.fixture
def together(tmp_path):
    """Have all change the registry, on a variant of the store, and judge the history; `edits`: those that it tells, by
    the name that each has given."""

    def together(variant, edits):
        path = tmp_path / "device.csv"
        files.make(path, DEVICES)
        command = [sys.executable, "-m", "tests.long.broken", variant, "tests.long.many_changes", str(path)]
        running = [subprocess.Popen([*command, f"writer-{n}", str(CHANGES)], cwd=ROOT) for n in range(WRITERS)]
        begun = {f"writer-{n}-0" for n in range(WRITERS)}  # an edit before that is told by nobody
        while not begun <= {row.request_id for row in rows_of(path)} and None in [each.poll() for each in running]:
            Event().wait(0.005)
        for number in range(edits):
            old = DEVICES[0].name if not number else f"edit {number - 1}"
            edit(path, old, f"edit {number}")
            while f"edit {number}" not in edits_in(path) and None in [each.poll() for each in running]:
                Event().wait(0.005)
        assert [each.wait() for each in running] == [0] * WRITERS
        acknowledged = [f"writer-{n}-{number}" for n in range(WRITERS) for number in range(CHANGES)]
        found = judge(path, files.read(path), acknowledged)
        print(f"\nvariant {variant!r}, {len(acknowledged)} changes, {edits} edits: {dict(found)}")
        return found, edits_in(path)

    return together


def edit(path, old, new):
    """Change a file as an editor does. No commit comes between reading it and replacing it, which would be lost."""
    with FolderLock(path.parent).held():
        data = path.read_bytes()
        other = path.with_name("new")
        other.write_bytes(data.replace(f",{old},".encode(), f",{new},".encode()))
        other.replace(path)


def edits_in(path):
    return Counter(row.after for row in rows_of(path) if row.who == FILE and row.done == "changed")


def test_no_change_of_a_sibling_is_taken_for_an_edit(together):
    found, _ = together("none", 0)
    assert not any(found[each] for each in WRONG)


def test_each_edit_by_hand_is_told_once(together):
    found, edits = together("none", EDITS)
    assert (found["untold"], found["untrue"], found["repeated"], found["by_hand"]) == (0, 0, 0, EDITS)
    assert edits == {f"edit {number}": 1 for number in range(EDITS)}


@pytest.mark.parametrize(("variant", "harm"), [("deaf to siblings", "by_hand"), ("numbers begin anew", "repeated")])
def test_a_store_that_does_not_know_what_siblings_have_told_is_found_out(together, variant, harm):
    found, _ = together(variant, 0)
    assert found[harm]


def test_a_store_that_does_not_look_for_edits_is_found_out(together):
    found, edits = together("no look at the history", 1)
    assert found["untrue"]
    assert not edits
