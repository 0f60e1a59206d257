"""A change of the CSV file: durable or not made, shared with other writers, seen by readers when it is done."""

import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devicesvc.csv_codec.format import Format
from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.dao import durable_file, lock_file
from devicesvc.dao.csv import store as csv_store_module
from devicesvc.dao.csv.store import CsvStore
from devicesvc.dao.history import HistoryFilter
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.sample import DEVICES
from tests.dao.conftest import add
from tests.hard_data import content, device

FIRST = DEVICES[0]
encode = DEVICE_CSV.encode


@pytest.fixture
def store(csv_store):
    return csv_store


class TestFailure:
    """The disk fails in the middle of a write: all is as before, and the next write works."""

    @pytest.fixture
    def failing(self, monkeypatch):
        def fail(name, times=1):
            real, still_to_fail = getattr(os, name), [times]

            def call(*arguments, **options):
                if still_to_fail[0]:
                    still_to_fail[0] -= 1
                    raise OSError(errno.EIO, "Input/output error")
                return real(*arguments, **options)

            monkeypatch.setattr(os, name, call)

        return fail

    @pytest.mark.parametrize("name", ["fsync", "replace"])
    def test_before_the_rename_nothing_is_changed(self, store, path, failing, name):
        before = path.read_bytes()
        failing(name)
        with pytest.raises(StoreUnavailable, match=r"Input/output error\. Nothing was changed"):
            store.write(add(device("1")))
        assert path.read_bytes() == before
        assert len(store.devices.list()) == 5
        assert [each.name for each in path.parent.iterdir() if each.suffix == ".tmp"] == []
        store.write(add(device("1")))
        assert len(store.devices.list()) == 6

    def test_after_the_rename_the_outcome_is_said_to_be_unknown_and_memory_follows_the_file(
        self, store, path, monkeypatch
    ):
        def fail(_folder):
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(durable_file, "sync_folder", fail)
            with pytest.raises(StoreUnavailable, match="The outcome is unknown"):
                store.write(add(device("1")))
        assert b"\n1,n,t" in path.read_bytes()
        assert store.devices.get("1") == device("1")

    def test_after_an_unknown_outcome_the_same_change_sent_again_is_written_again(self, store, path, monkeypatch):
        """It finds itself made already, but nobody knows whether it is durable."""

        def fail(_folder):
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(durable_file, "sync_folder", fail)
            with pytest.raises(StoreUnavailable):
                store.write(lambda tx: tx.devices.remove([FIRST.id]))
        inode = path.stat().st_ino
        assert store.write(lambda tx: tx.devices.remove([FIRST.id])) == []
        assert path.stat().st_ino != inode
        inode = path.stat().st_ino
        store.write(lambda tx: tx.devices.remove([FIRST.id]))
        assert path.stat().st_ino == inode

    def test_an_edit_that_could_not_be_synced_is_made_durable_by_the_next_change_even_an_empty_one(
        self, store, path, failing
    ):
        """Readers see the edit, so a power cut must not take it back after a change was answered."""
        edit = content([device("theirs")])
        path.write_bytes(edit)
        failing("fsync")
        assert store.devices.list() == [device("theirs")]
        inode = path.stat().st_ino
        store.write(lambda tx: tx.devices.remove(["none"]))
        assert path.stat().st_ino != inode
        assert path.read_bytes() == edit

    def test_a_ping_notices_that_nothing_can_be_written(self, store, failing):
        failing("fsync")
        with pytest.raises(StoreUnavailable, match="cannot be written: Input/output error"):
            store.ping()
        store.ping()

    def test_a_lock_that_another_process_keeps_is_waited_for_only_so_long(self, store, path, monkeypatch):
        monkeypatch.setattr(csv_store_module, "WRITER_PATIENCE", 0.05)
        with (
            lock_file.locked(path, 0),
            pytest.raises(StoreUnavailable, match=r"busy: another process has held .* for 0\.05 seconds"),
        ):
            store.write(add(device("1")))
        store.write(add(device("1")))


def test_a_file_that_is_written_only_in_part_is_not_acknowledged_and_does_not_replace_the_old_one(path):
    """At its limit the system writes what fits and says how much; only when asked for the rest does it refuse."""
    open_store(str(path), DEVICES).close()
    before = path.read_bytes()
    work = (
        "import resource, signal, sys; from devicesvc.dao.urls import open_store; from tests.hard_data import device\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store, limit = open_store(sys.argv[1]), int(sys.argv[2])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "store.write(lambda tx: tx.devices.add(device('1')))"
    )
    command = [sys.executable, "-c", work, str(path), str(len(before) + 5)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "cannot be written: File too large. Nothing was changed." in done.stderr
    assert path.read_bytes() == before


def test_processes_that_write_at_once_lose_nothing(path):
    """Fails without the lock: each process would write back rows that lack what the others added."""
    open_store(str(path)).close()
    work = (
        "import sys; from devicesvc.dao.urls import open_store; from tests.hard_data import device\n"
        "store = open_store(sys.argv[1])\n"
        "for n in range(25): store.write(lambda tx: tx.devices.add(device(f'{sys.argv[2]}-{n}')))"
    )
    running = [subprocess.Popen([sys.executable, "-c", work, str(path), str(n)]) for n in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    with open_store(str(path)) as store:
        assert {each.id for each in store.devices.list()} == {f"{n}-{step}" for n in range(4) for step in range(25)}


class TestVersions:
    def test_a_new_file_of_the_same_size_and_time_is_noticed_because_the_inode_cannot_be_the_same(self, store, path):
        """A file system gives a free inode to the next file: were the version seen last not kept open, the new file
        could have the inode, the size and the time of the old one."""
        old = path.stat()
        new = path.read_bytes().replace(b"classroom-controller", b"classroom-CONTROLLER")
        path.unlink()
        for number in range(1000):  # until one of them has the inode, if it is to be had
            other = path.with_name(str(number))
            other.write_bytes(new)
            if other.stat().st_ino == old.st_ino:
                break
        os.utime(other, ns=(old.st_atime_ns, old.st_mtime_ns))
        other.replace(path)
        assert store.devices.get(FIRST.id).name == "classroom-CONTROLLER"

    def test_only_one_version_is_kept_open(self, store, path):
        for number in range(20):
            store.write(add(device(str(number))))
        store.ping()  # comes after all that the last change had to do
        targets = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        assert sum(target.startswith(str(path)) for target in targets) == 1

    def test_a_reload_looks_only_at_the_lines_that_changed(self, store, path, monkeypatch):
        looked_at = []
        real = DEVICE_CSV.plain

        def plain(lines):
            looked_at.extend(found := list(lines))
            return real(found)

        monkeypatch.setattr(DEVICE_CSV, "plain", plain)
        path.write_bytes(path.read_bytes().replace(b"meter-adapter", b"METER-adapter"))
        assert store.devices.get("3635138853").name == "METER-adapter"
        assert [line.split(b",")[0] for line in looked_at] == [b"id", b"3635138853"]


def test_a_reader_does_not_wait_for_a_commit_and_sees_nothing_of_it_before_it_is_durable(store, path, monkeypatch):
    in_between, go_on = threading.Event(), threading.Event()
    real = durable_file.sync_folder

    def sync(folder):
        in_between.set()
        assert go_on.wait(60)
        real(folder)

    monkeypatch.setattr(durable_file, "sync_folder", sync)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.write, add(device("1")))
        assert in_between.wait(60)
        assert b"\n1,n,t" in path.read_bytes()
        assert len(store.devices.list()) == 5
        go_on.set()
        writing.result()
    assert len(store.devices.list()) == 6


@pytest.mark.parametrize(
    ("of", "step"),
    [(Format, "records"), (CsvStore, "_read_snapshot")],
    ids=["reads the file", "makes a snapshot of the files"],
)
def test_a_reader_does_not_get_the_old_snapshot_while_another_takes_in_what_has_changed(
    store, path, monkeypatch, of, step
):
    in_between, go_on, waits = threading.Event(), threading.Event(), threading.Event()
    real, real_wait = getattr(of, step), store._reading.wait

    def held(*arguments):
        in_between.set()
        assert go_on.wait(60)
        return real(*arguments)

    def noted(before, patience):
        if in_between.is_set():
            waits.set()
        return real_wait(before, patience)

    monkeypatch.setattr(csv_store_module, "RELOAD_PATIENCE", 20)
    with open_store(str(path)) as other, ThreadPoolExecutor(2) as pool:
        other.write(add(device("1")))
        monkeypatch.setattr(store._reading, "wait", noted)
        monkeypatch.setattr(of, step, held)
        first = pool.submit(lambda: store.devices.get("1"))
        assert in_between.wait(60)
        second = pool.submit(lambda: store.devices.get("1"))
        second.add_done_callback(lambda _: waits.set())  # or it has an answer already
        assert waits.wait(60)
        go_on.set()
        assert first.result() == second.result() == device("1")


def test_a_reader_does_not_get_what_was_read_before_it_came(store, path, monkeypatch):
    in_between, go_on = threading.Event(), threading.Event()
    real = Format.records

    def held(*arguments):
        records = list(real(*arguments))
        in_between.set()
        assert go_on.wait(60)
        return iter(records)

    def edit(devices):
        new = path.with_name("new")
        new.write_bytes(content(devices))
        new.replace(path)

    monkeypatch.setattr(csv_store_module, "RELOAD_PATIENCE", 20)
    with ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(Format, "records", held)
        edit([device("1")])
        first = pool.submit(lambda: store.devices.list())
        assert in_between.wait(60)
        edit([device("2")])
        second = pool.submit(lambda: store.devices.list())
        go_on.set()
        assert second.result() == [device("2")]
        assert first.result()


def test_a_reader_goes_on_with_the_old_snapshot_if_it_takes_long_to_read_the_new_files(store, path, monkeypatch):
    monkeypatch.setattr(csv_store_module, "RELOAD_PATIENCE", 20)
    go_on, real = threading.Event(), Format.records

    def held(*arguments):
        assert go_on.wait(60)
        return real(*arguments)

    with open_store(str(path)) as other:
        other.write(add(device("1")))
        with monkeypatch.context() as slow:
            slow.setattr(csv_store_module, "RELOAD_PATIENCE", 0.05)
            slow.setattr(Format, "records", held)
            for _ in range(3):
                assert store.devices.find("1") is None
                assert len(store.devices.list()) == 5
            go_on.set()
        assert store.devices.find("1") == device("1")


def test_a_fault_while_files_are_read_again_comes_to_each_reader_until_it_is_gone(store, path, monkeypatch):
    with open_store(str(path)) as other:
        other.write(add(device("1")))
        with monkeypatch.context() as broken:
            broken.setattr(CsvStore, "_reload", lambda _: 1 // 0)
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    store.devices.find("1")
        assert store.devices.find("1") == device("1")


def test_an_edit_in_the_moment_of_a_commit_is_not_written_over(store, path, monkeypatch):
    edited = content([device("mine")])
    real = durable_file.prepare

    def prepare(files, beside, like):
        prepared = real(files, beside, like)
        new = path.with_name("new")
        new.write_bytes(edited)
        new.replace(path)
        return prepared

    with monkeypatch.context() as patch:
        patch.setattr(durable_file, "prepare", prepare)
        with pytest.raises(StoreUnavailable, match="edited at the same moment"):
            store.write(add(device("1")))
    assert path.read_bytes() == edited
    assert [each.name for each in path.parent.iterdir() if each.name.endswith(".tmp")] == []
    store.write(add(device("1")))
    assert path.read_bytes() == edited + encode(device("1"))
    assert [(each.who, each.rows[0].done) for each in store.history.page(HistoryFilter(device_id="1"), None, 9)] == [
        ("-", "added")
    ]


def test_if_the_write_fails_every_change_says_so_also_a_refused_one(together, store, monkeypatch):
    def fail(_file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable_file, "sync_file", fail)
        outcomes = together(add(device("1")), add(device("1")), lambda tx: tx.devices.list())
    assert all(isinstance(each, StoreUnavailable) for each in outcomes)
    assert "No space left on device" in str(outcomes[0])
    assert len(store.devices.list()) == 5
