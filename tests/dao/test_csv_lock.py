"""The lock of a registry in CSV files: what others do to it neither loses a change nor stops the next one."""

import fcntl
import os
import stat
import subprocess
import sys
import threading

import pytest

from devicesvc.dao import durable_file, lock_file
from devicesvc.dao.csv import store as store_module
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.sample import DEVICES
from tests.conftest import ROOT
from tests.hard_data import device

WRITERS, DEVICES_OF_EACH = 4, 100


@pytest.fixture
def lock(path):
    return path.with_name(".device.csv.lock")


def add(id):
    return lambda tx: tx.devices.add(device(id))


def mode(file):
    return stat.S_IMODE(file.stat().st_mode)


def test_no_device_is_lost_of_four_hundred_while_the_lock_file_is_deleted_in_bursts(path, lock):
    """Each writer sends again what was refused: so every device was acknowledged."""
    open_store(str(path)).close()
    work = (
        "import sys; from contextlib import suppress; from devicesvc.dao.urls import open_store\n"
        "from devicesvc.errors import Conflict, StoreUnavailable; from tests.hard_data import device\n"
        "store = open_store(sys.argv[1])\n"
        f"for number in range({DEVICES_OF_EACH}):\n"
        "    while True:\n"
        "        try:\n"
        "            store.write(lambda tx: tx.devices.put(device(f'{sys.argv[2]}-{number}')))\n"
        "            break\n"
        "        except StoreUnavailable: pass"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", work, str(path), str(number)], cwd=ROOT) for number in range(WRITERS)
    ]
    while any(process.poll() is None for process in running):
        for _ in range(20):
            lock.unlink(missing_ok=True)
            threading.Event().wait(0.0005)
        threading.Event().wait(0.01)
    assert [process.wait() for process in running] == [0] * WRITERS
    with open_store(str(path)) as store:
        acknowledged = {f"{number}-{each}" for number in range(WRITERS) for each in range(DEVICES_OF_EACH)}
        assert acknowledged - {each.id for each in store.devices.list()} == set()


@pytest.mark.parametrize(("of_folder", "of_lock"), [(0o755, 0o600), (0o775, 0o660), (0o777, 0o666)])
def test_only_those_who_may_write_to_the_folder_can_open_the_lock_file(path, lock, of_folder, of_lock):
    path.parent.chmod(of_folder)
    open_store(str(path), DEVICES).close()
    assert mode(lock) == of_lock


def test_a_lock_file_that_others_may_read_is_closed_to_them(path, lock):
    lock.touch(0o644)
    open_store(str(path), DEVICES).close()
    assert mode(lock) == 0o600


def test_a_link_in_its_place_is_not_followed(path, lock):
    lock.symlink_to(path.with_name("victim"))
    with pytest.raises(StoreUnavailable, match=r"\.device\.csv\.lock: Too many levels of symbolic links"):
        open_store(str(path), DEVICES)
    assert not path.with_name("victim").exists()


def test_who_holds_the_folder_does_not_stop_the_writers_and_the_log_says_so_once(csv_store, path, monkeypatch, caplog):
    monkeypatch.setattr(lock_file, "FOLDER_PATIENCE", 0.05)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        for number in range(3):
            csv_store.write(add(str(number)))
    finally:
        os.close(handle)
    assert len(csv_store.devices.list()) == 8
    assert [each.split(",")[0] for each in caplog.messages] == [
        f"The folder {path.parent} is locked by another program"
    ]


@pytest.mark.usefixtures("csv_store")
def test_two_registries_in_one_folder_do_not_stop_each_other(path):
    with open_store(str(path.with_name("fleet.csv"))) as other, lock_file.locked(path, 0):
        other.write(add("1"))
        assert len(other.devices.list()) == 1


def test_a_commit_during_which_the_lock_file_is_deleted_is_seen_by_the_others_at_once(path, lock, monkeypatch):
    monkeypatch.setattr(store_module, "LOOK_EVERY", 1e9)
    real = durable_file.publish

    def publish(versions):
        lock.unlink()
        with lock_file.locked(path, 1):  # makes another lock file
            pass
        assert len(other.devices.list()) == 5  # and follows it
        real(versions)

    with open_store(str(path), DEVICES) as store, open_store(str(path)) as other:
        assert len(other.devices.list()) == 5
        monkeypatch.setattr(durable_file, "publish", publish)
        store.write(add("1"))
        assert len(other.devices.list()) == 6
