"""When a read of the CSV store looks at the files, and that no read misses what a service has answered."""

import os
import subprocess
import sys

import pytest

from devicesvc.dao import lock_file
from devicesvc.dao.csv import store as store_module
from devicesvc.dao.csv.store import CsvStore
from devicesvc.dao.urls import open_store
from devicesvc.sample import DEVICES
from tests.hard_data import content, device

FIRST = DEVICES[0].id


class Clock:
    """Time that only passes when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(store_module, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(store_module, "monotonic", clock := Clock())
    return clock


@pytest.fixture
def looks(monkeypatch):
    """How often a store has looked at its files."""
    looks = []
    real = CsvStore._is_current

    def is_current(store):
        looks.append(store)
        return real(store)

    monkeypatch.setattr(CsvStore, "_is_current", is_current)
    return looks


@pytest.fixture
def store(csv_store):
    assert len(csv_store.devices.list()) == 5
    assert len(csv_store.devices.list()) == 5  # the first read opens the lock file, the second has looked since then
    return csv_store


def rename(name):
    return lambda tx: tx.devices.update(FIRST, {"name": name})


def name_in(store):
    return store.devices.get(FIRST).name


def edit(path, devices):
    """Change a file as an editor does."""
    new = path.with_name("new")
    new.write_bytes(content(devices))
    new.replace(path)


def test_reads_soon_after_one_another_do_not_look_at_the_files(store, looks, clock):
    for _ in range(10):
        store.devices.list()
    assert not looks
    clock.now += 0.02
    for _ in range(10):
        store.devices.list()
    assert len(looks) == 1


def test_an_edit_is_seen_when_the_time_for_a_look_has_come(store, path, clock):
    edit(path, [device("only", name="教室")])
    assert len(store.devices.list()) == 5
    clock.now += 0.02
    assert [each.id for each in store.devices.list()] == ["only"]


def test_what_one_store_has_answered_the_other_sees_at_once(store, path):
    with open_store(str(path)) as other:
        for number in range(200):
            writer, reader = (store, other) if number % 2 else (other, store)
            writer.write(rename(f"名字 {number}"))
            assert name_in(reader) == name_in(writer) == f"名字 {number}"


def test_what_one_process_has_answered_another_sees_at_once(store, path):
    """The other process looks at its files only if it is told to, and answers each line with the name that it reads."""
    work = (
        "import sys; from devicesvc.dao.csv import store as module; from devicesvc.dao.urls import open_store\n"
        "module.LOOK_EVERY = 1e9\n"
        "with open_store(sys.argv[1]) as store:\n"
        "    for line in sys.stdin:\n"
        "        if verb := line.strip(): store.write(lambda tx: tx.devices.update(sys.argv[2], {'name': verb}))\n"
        "        print(store.devices.get(sys.argv[2]).name, flush=True)"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", work, str(path), FIRST]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8") as process:
        question, answer = process.stdin, process.stdout
        assert question
        assert answer

        def ask(words):
            question.write(f"{words}\n")
            question.flush()
            return answer.readline().strip()

        for number in range(100):
            store.write(rename(f"ours-{number}"))
            assert ask("") == f"ours-{number}"
            assert ask(f"theirs-{number}") == f"theirs-{number}"
            assert name_in(store) == f"theirs-{number}"
        question.close()


def test_a_new_lock_file_in_the_place_of_the_old_one_is_followed(store, path, clock):
    path.with_name(".device.csv.lock").unlink()
    with open_store(str(path)) as other:
        other.write(rename("first"))
        clock.now += 0.02
        assert name_in(store) == "first"
        for number in range(3):
            other.write(rename(f"next {number}"))
            assert name_in(store) == f"next {number}"


def test_without_a_lock_file_each_read_looks(store, path, clock):
    path.with_name(".device.csv.lock").unlink()
    clock.now += 0.02
    store.devices.list()
    edit(path, [device("only")])
    assert [each.id for each in store.devices.list()] == ["only"]


def test_if_the_number_cannot_be_read_each_read_looks(path, monkeypatch):
    with open_store(str(path), DEVICES) as store:
        monkeypatch.setattr(lock_file.CommitCounter, "value", lambda _: None)
        for number in range(3):
            edit(path, [device(str(number))])
            assert [each.id for each in store.devices.list()] == [str(number)]


def test_a_lock_file_that_somebody_has_emptied_is_filled_again(store, path):
    """As `cp` does with a backup that has an empty one."""
    path.with_name(".device.csv.lock").write_bytes(b"")
    with open_store(str(path)) as other:
        for number in range(3):
            other.write(rename(f"name {number}"))
            assert name_in(store) == f"name {number}"


def test_the_empty_lock_file_of_an_older_version_is_used(path, looks):
    lock = path.with_name(".device.csv.lock")
    lock.touch()
    with open_store(str(path), DEVICES) as store:
        store.devices.list()
        store.devices.list()
        looks.clear()
        store.devices.list()
        assert not looks
        store.write(rename("new"))
    assert lock.stat().st_size > 0


def test_a_store_that_is_closed_keeps_no_lock_file_open(store, path):
    store.close()
    opened = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert not [each for each in opened if each.startswith(str(path.parent))]


def test_a_commit_that_cannot_be_counted_is_kept(store, path, monkeypatch, clock):
    def fail(*_arguments):
        raise OSError

    monkeypatch.setattr(os, "ftruncate", fail)
    with open_store(str(path)) as other:
        other.write(rename("kept"))
    clock.now += 0.02
    assert name_in(store) == "kept"
