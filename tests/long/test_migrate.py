"""A migration that is killed, or runs out of disk, leaves the source as it was and no half target."""

import os
import signal
import subprocess
import time

import pytest

from devicesvc.dao.urls import open_store
from tests.conftest import BIN
from tests.hard_data import NIC, content, device
from tests.long.processes import need

COUNT = 30_000
SOURCE = content(device(f"d{number}", nic=(NIC,)) for number in range(COUNT))


def run(source, target, *options):
    return subprocess.Popen(
        [BIN / "devicesvc", "migrate", source, target, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.csv"
    path.write_bytes(SOURCE)
    return path


@pytest.fixture(params=["to.db", "to.csv"])
def target(request, tmp_path):
    """The path of a target in a folder of its own, and its URL."""
    folder = tmp_path / "to"
    folder.mkdir()
    path = folder / request.param
    return path, f"sqlite:///{path}" if path.suffix == ".db" else str(path)


def leftovers(folder):
    return {each.name for each in folder.iterdir() if not each.name.endswith(".lock")}


def remove(path):
    """Remove a target, and its history."""
    for each in path.parent.glob("to.*"):
        each.unlink()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_at_any_moment(source, target, how):
    path, url = target
    began = time.monotonic()
    process = run(source, url)
    process.communicate()
    whole = time.monotonic() - began
    remove(path)
    for part in range(1, 20):
        process = run(source, url)
        try:
            process.wait(whole * part / 20)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
        said, _ = process.communicate(timeout=60)
        assert source.read_bytes() == SOURCE
        if path.exists():
            assert (
                process.returncode == -how
                or "is complete" in said
                or "is there already" in said
                or "read back, and the same" in said
            )
            with open_store(url) as store:
                assert len(store.devices.list()) == COUNT
            remove(path)
        elif how == signal.SIGINT and "Interrupted" in said:
            assert process.returncode == 130
            assert leftovers(path.parent) == set()
    process = run(source, url)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    histories = {each.name for each in path.parent.glob("to.history-*.csv")}
    assert len(histories) == (path.suffix == ".csv")
    assert leftovers(path.parent) == {path.name} | histories


def test_a_full_disk(source, target):
    need(os.geteuid() == 0, "root, to mount a disk")
    path, url = target
    for size in ("64k", "256k", "1m"):
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path.parent], capture_output=True
        )
        need(mounted.returncode == 0, f"leave to mount a disk: {mounted.stderr.decode()}")
        try:
            process = run(source, url)
            said, _ = process.communicate()
            assert process.returncode == 1
            assert "cannot be written: " in said or "cannot be changed: " in said, said
            assert "full" in said or "No space" in said
            assert "Traceback" not in said
            assert leftovers(path.parent) == set()
        finally:
            subprocess.run(["umount", "--lazy", path.parent], check=True)
    process = run(source, url)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert source.read_bytes() == SOURCE
