"""What only a store in a file does: it shows its data, and says what is wrong when it cannot be opened."""

import os
from dataclasses import replace

import pytest

from devicesvc.dao import lock_file
from devicesvc.dao.base import PageRequest
from devicesvc.dao.csv import store as store_module
from devicesvc.dao.csv.snapshot import Table
from devicesvc.dao.history import now
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.model import DeviceFilter
from devicesvc.sample import DEVICES
from tests.dao.conftest import add, written
from tests.hard_data import content, device

FIRST = DEVICES[0]


@pytest.fixture
def store(csv_store):
    return csv_store


def test_a_new_file_is_made_with_the_given_devices_and_the_log_names_them(path, caplog):
    caplog.set_level("INFO")
    open_store(str(path), DEVICES).close()
    assert path.read_bytes() == content(DEVICES)
    assert "Made" in caplog.text
    assert all(each.id in caplog.text for each in DEVICES)


def test_a_file_is_read_before_the_lock_is_asked_for_so_that_many_workers_start_together(path, caplog, monkeypatch):
    caplog.set_level("INFO")
    path.write_bytes(content(DEVICES))
    monkeypatch.setattr(store_module, "WRITER_PATIENCE", 0)
    with lock_file.locked(path, 0), pytest.raises(StoreUnavailable, match="busy"):
        open_store(str(path))
    assert f"Read {path}: 5 rows" in caplog.text


@pytest.mark.parametrize("journal", ["", "[]", '{"../device.csv": "x"}', '{"device.csv": ["x"]}'])
def test_a_journal_that_no_migration_wrote_is_refused_and_moves_nothing(path, journal):
    path.write_bytes(content(DEVICES))
    path.with_name(".device.csv.journal").write_text(journal)
    with pytest.raises(StoreUnavailable, match="it is not as devicesvc migrate wrote it"):
        open_store(str(path))
    assert path.read_bytes() == content(DEVICES)


def test_a_csv_url_names_the_same_file(path):
    with open_store(f"csv:///{path}", DEVICES) as store:
        assert store.devices.list()
    assert path.exists()


@pytest.mark.parametrize("url", ["redis://x", "mysql://x/y", "csv://x", "http://x/y:///z"])
def test_any_other_url_is_refused(url):
    with pytest.raises(StoreUnavailable, match="names no store"):
        open_store(url)


def test_a_change_is_in_the_file_as_soon_as_it_is_answered_with_new_rows_last(store, path):
    store.write(add(device("1")))
    assert path.read_bytes() == content([*DEVICES, device("1")])
    store.write(lambda tx: tx.devices.update(FIRST.id, {"name": "new"}))
    assert path.read_bytes() == content([FIRST.merge({"name": "new"}), *DEVICES[1:], device("1")])
    store.write(lambda tx: tx.devices.remove([FIRST.id]))
    assert path.read_bytes() == content([*DEVICES[1:], device("1")])


def test_a_snapshot_that_was_read_stays_as_it_was(store):
    devices = store.devices
    store.write(lambda tx: tx.devices.remove([FIRST.id]))
    assert devices.get(FIRST.id) == FIRST
    assert len(devices.list()) == 5


def test_a_change_that_changes_nothing_leaves_the_file_alone(store, path):
    before = written(path)
    store.write(lambda tx: tx.devices.remove(["nothing"]))
    store.write(lambda tx: tx.devices.update(FIRST.id, {}))
    assert written(path) == before


@pytest.fixture
def looked_at(monkeypatch):
    """The ids of the devices that are looked at."""
    looked_at = []
    real = Table.get

    def get(table, key):
        looked_at.append(key)
        return real(table, key)

    monkeypatch.setattr(Table, "get", get)
    return looked_at


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """An open store with two thousand devices, of which four have a rare type."""

    def change(tx):
        for number in range(2000):
            names = {"type": "rare" if number % 500 < 1 else "common", "status": "online" if number % 2 else "offline"}
            tx.devices.add(device(f"{number}", name=f"{number * 7 % 2000}", **names))
        tx.devices.update("500", {"status": "online"})
        tx.devices.update("501", {"status": "offline"})
        tx.devices.update("1000", {"status": "online"})
        tx.devices.update("1001", {"status": "offline"})

    with open_store(str(tmp_path_factory.mktemp("many") / "device.csv")) as store:
        store.write(change)
        yield store


@pytest.mark.parametrize("sort", ["id", "name", "type", "status"])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("wanted", "total"),
    [
        ({}, 2000),
        ({"status": "online"}, 1000),
        ({"type": "rare"}, 4),
        ({"status": "online", "type": "rare"}, 2),
        ({"status": "online", "type": "common"}, 998),
    ],
)
def test_a_page_of_many_devices_looks_at_few(many, looked_at, sort, descending, wanted, total):
    where, request = DeviceFilter(**wanted), PageRequest(sort, descending, limit=10, count=True)
    first = many.devices.page(where, request)  # makes the indexes
    looked_at.clear()
    assert many.devices.page(where, request) == first
    after = many.devices.page(where, replace(request, after=first.next))
    assert first.total == after.total == total
    assert len(looked_at) < 200  # for both pages


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


def test_nothing_but_the_file_its_history_and_its_lock_is_left_in_the_folder(store, path):
    store.write(add(device("1")))
    store.ping()
    history = f"history-{now()[:7]}.csv"
    assert {each.name for each in path.parent.iterdir()} == {"device.csv", history, ".device.csv.lock"}


def test_a_temporary_file_of_a_crash_is_swept_at_the_next_start_and_none_of_another_registry(path):
    open_store(str(path), DEVICES).close()
    left, others = path.with_name(".device.csv.0123abcd.tmp"), path.with_name(".device.csv.new.0123abcd.tmp")
    history = path.with_name(".history-2020-01.csv.0123abcd.tmp")
    for each in (left, others, history):
        each.write_bytes(b"half")
    open_store(str(path)).close()
    assert not left.exists()
    assert not history.exists()
    assert others.exists()


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
