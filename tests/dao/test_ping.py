"""`ping` proves a write of the size that a change takes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devicesvc.dao.urls import open_store
from devicesvc.sample import DEVICES
from tests.conftest import ROOT

PING = (
    "import resource, sys; from devicesvc.dao.urls import open_store\n"
    "store, limit = open_store(sys.argv[1]), int(sys.argv[2])\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
    "store.ping()"
)


@pytest.fixture(params=["csv", "sqlite"])
def file_and_url(request, path, tmp_path):
    """A store in a file, of which there is one more in PostgreSQL: its disk is not this process's."""
    url = str(path)
    if request.param == "sqlite":
        path = Path(shutil.copy(request.getfixturevalue("upgraded_file"), tmp_path / "device.db"))
        url = f"sqlite:///{path}"
    open_store(url, DEVICES).close()
    return path, url


def test_no_file_may_grow_so_no_change_can_be_kept(file_and_url):
    path, url = file_and_url
    command = [sys.executable, "-c", PING, url, str(path.stat().st_size)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert "cannot be written: File too large. Nothing was changed." in ended.stderr


def test_a_ping_leaves_nothing_behind(store, tmp_path):
    before = store.devices.list(), store.size()[:3], sorted(tmp_path.iterdir())
    store.ping()
    assert (store.devices.list(), store.size()[:3], sorted(tmp_path.iterdir())) == before
