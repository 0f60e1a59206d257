"""What only a store in a file does: it shows its data, shares it with people, and says what is wrong with it."""

import errno
import os
import subprocess
import sys

import pytest

from devicesvc.dao import csv_store, durable_file, open_store
from devicesvc.dao.csv_format import HEADER, encode
from devicesvc.errors import StoreUnavailable
from devicesvc.sample import DEVICES
from tests.hard_data import device

FIRST = DEVICES[0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "device.csv"


@pytest.fixture
def store(path):
    with open_store(str(path), DEVICES) as store:
        yield store


def content(devices):
    return HEADER + b"".join(map(encode, devices))


def add(device):
    return lambda to: to.devices.add(device)


def test_a_new_file_is_made_with_the_given_devices_and_the_log_names_them(path, caplog):
    caplog.set_level("INFO")
    open_store(str(path), DEVICES).close()
    assert path.read_bytes() == content(DEVICES)
    assert "Made" in caplog.text
    assert all(each.id in caplog.text for each in DEVICES)


def test_a_csv_url_names_the_same_file(path):
    with open_store(f"csv:///{path}", DEVICES) as store:
        assert store.devices.list()
    assert path.exists()


@pytest.mark.parametrize("url", ["redis://x", "sqlite:///x.db", "csv://x", "http://x/y:///z"])
def test_any_other_url_is_refused(url):
    with pytest.raises(StoreUnavailable, match="names no store"):
        open_store(url)


def test_the_file_says_a_change_as_soon_as_it_is_answered_the_new_row_last(store, path):
    store.write(add(device("1")))
    assert path.read_bytes() == content([*DEVICES, device("1")])
    store.write(lambda to: to.devices.update(FIRST.id, {"name": "new"}))
    assert path.read_bytes() == content([FIRST.merge({"name": "new"}), *DEVICES[1:], device("1")])
    store.write(lambda to: to.devices.remove([FIRST.id]))
    assert path.read_bytes() == content([*DEVICES[1:], device("1")])


def test_an_op_that_changes_nothing_leaves_the_file_alone(store, path):
    before = path.stat()
    store.write(lambda to: to.devices.remove(["nothing"]))
    store.write(lambda to: to.devices.update(FIRST.id, {}))
    assert path.stat() == before


def test_a_rewrite_keeps_mode_and_owner(store, path):
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 10001, 10001)
    before = path.stat()
    store.write(add(device("1")))
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_link_stays_a_link(tmp_path, path):
    link = tmp_path / "link.csv"
    link.symlink_to(path)
    with open_store(str(link), DEVICES) as store:
        store.write(add(device("1")))
    assert link.is_symlink()
    assert b"\n1,n,t" in path.read_bytes()


def test_nothing_but_the_file_and_its_lock_is_left_in_the_folder(store, path):
    store.write(add(device("1")))
    store.ping()
    assert {each.name for each in path.parent.iterdir()} == {"device.csv", ".device.csv.lock"}


def test_a_temporary_file_of_a_crash_is_swept_at_the_next_start(path):
    open_store(str(path), DEVICES).close()
    path.with_name(".device.csv.tmp").write_bytes(b"half")
    open_store(str(path)).close()
    assert not path.with_name(".device.csv.tmp").exists()


class TestEdits:
    def test_a_whole_edit_is_taken_in(self, store, path):
        path.write_bytes(path.read_bytes().replace(b"classroom-controller", "教室控制器".encode()))
        assert store.devices.get(FIRST.id).name == "教室控制器"

    def test_an_edit_by_renaming_is_taken_in(self, store, path):
        new = path.with_name("new")
        new.write_bytes(content([device("only")]))
        new.replace(path)
        assert [each.id for each in store.devices.list()] == ["only"]

    def test_the_next_change_keeps_the_edit(self, store, path):
        path.write_bytes(content([device("only")]))
        store.write(add(device("1")))
        assert path.read_bytes() == content([device("only"), device("1")])

    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (lambda data: data.replace(b"online", b"", 1), r"line 2, column status: must be 1 to 32 characters"),
            (lambda data: b"", "line 1 must be the header .* the file is empty"),
            (lambda data: data[:-4], "must end with a newline"),
            (lambda data: b"\xff\n", "is not UTF-8"),
        ],
    )
    def test_a_broken_edit_stops_writes_but_not_reads_and_mending_it_heals(self, store, path, edit, words, caplog):
        good = path.read_bytes()
        broken = edit(good)
        path.write_bytes(broken)
        assert store.devices.list() == sorted(DEVICES, key=lambda each: each.id)
        with pytest.raises(StoreUnavailable, match=words):
            store.write(add(device("1")))
        with pytest.raises(StoreUnavailable, match="left as it is"):
            store.ping()
        assert path.read_bytes() == broken
        assert len(caplog.records) == 1
        path.write_bytes(good)
        store.write(add(device("1")))
        assert path.read_bytes() == content([*DEVICES, device("1")])

    def test_a_file_that_is_gone_stops_writes_but_not_reads_until_it_is_back(self, store, path):
        good = path.read_bytes()
        path.unlink()
        assert len(store.devices.list()) == 5
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="cannot be read: No such file"):
                store.write(add(device("1")))
        assert not path.exists()
        path.write_bytes(good)
        store.write(add(device("1")))
        assert len(store.devices.list()) == 6


class TestRefusesToOpen:
    def test_a_folder(self, tmp_path):
        with pytest.raises(StoreUnavailable, match=r"is a folder: give the path of a CSV file, such as .*device\.csv"):
            open_store(str(tmp_path))

    def test_a_file_in_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(StoreUnavailable, match=r"There is no folder .*/nowhere: make it first"):
            open_store(str(tmp_path / "nowhere" / "device.csv"))

    def test_a_folder_that_cannot_be_written(self):
        with pytest.raises(StoreUnavailable, match=r"/sys/device\.csv cannot be written: .*Permission denied"):
            open_store("/sys/device.csv")

    def test_a_broken_file_which_it_leaves_alone(self, path):
        path.write_bytes(b"my notes\n")
        with pytest.raises(StoreUnavailable, match=r"device\.csv breaks a rule: line 1 must be the header id,name"):
            open_store(str(path))
        assert path.read_bytes() == b"my notes\n"


class TestFailure:
    """The disk fails in the middle of a write: all is as before, and the next write works."""

    @pytest.fixture
    def failing(self, monkeypatch):
        def fail(name, times=1):
            real, left = getattr(os, name), [times]

            def call(*arguments, **options):
                if left[0]:
                    left[0] -= 1
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
        assert not path.with_name(".device.csv.tmp").exists()
        store.write(add(device("1")))
        assert len(store.devices.list()) == 6

    def test_after_the_rename_the_outcome_is_said_to_be_unknown_and_memory_follows_the_file(
        self, store, path, monkeypatch
    ):
        def fail(folder):
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(durable_file, "_sync_folder", fail)
            with pytest.raises(StoreUnavailable, match="The outcome is unknown"):
                store.write(add(device("1")))
        assert b"\n1,n,t" in path.read_bytes()
        assert store.devices.get("1") == device("1")

    def test_a_ping_notices_that_nothing_can_be_written(self, store, failing):
        failing("fsync")
        with pytest.raises(StoreUnavailable, match="cannot be written: Input/output error"):
            store.ping()
        store.ping()

    def test_a_lock_that_another_process_keeps_is_waited_for_only_so_long(self, store, path, monkeypatch):
        monkeypatch.setattr(csv_store, "WRITER_PATIENCE", 0.05)
        with (
            durable_file.locked(path, 0),
            pytest.raises(StoreUnavailable, match=r"busy: another process has held .* for 0\.05 seconds"),
        ):
            store.write(add(device("1")))
        store.write(add(device("1")))


def test_processes_that_write_at_once_lose_nothing(path):
    """Fails without the lock: each process would write back rows that lack what the others added."""
    open_store(str(path)).close()
    work = (
        "import sys; from devicesvc.dao import open_store; from tests.hard_data import device\n"
        "store = open_store(sys.argv[1])\n"
        "for n in range(25): store.write(lambda to: to.devices.add(device(f'{sys.argv[2]}-{n}')))"
    )
    running = [subprocess.Popen([sys.executable, "-c", work, str(path), str(n)]) for n in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    with open_store(str(path)) as store:
        assert len(store.devices.list()) == 100
