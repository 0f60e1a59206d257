"""A registry with hard data, and what moves it and looks at it."""

import subprocess
import sys

from devicesvc.csv_codec.formats import GROUP_CSV, MEMBERSHIP_CSV
from devicesvc.dao.urls import open_store
from devicesvc.model import Membership, Nic
from devicesvc.sample import DEVICES
from devicesvc.transfer.mover import Result, Watcher, migrate
from tests.hard_data import HARD, HARD_GROUPS, NIC, content, device

SOME = [
    *DEVICES,
    *(each.merge({"id": f"hard-{number}"}) for number, each in enumerate(HARD.values())),
    device("mac", nic=(NIC, Nic("e", "AA-BB-CC-DD-EE-FF", "1.2.3.4"))),
    device("fold", hardware_model="GROẞ"),
]
GROUPS = [
    each.merge({"id": f"g{number}", "name": f"{number}{each.name}"[:64]})
    for number, each in enumerate(HARD_GROUPS.values())
]
MEMBERS = [Membership(each.id, group.id) for each in SOME[::2] for group in GROUPS[::2]]


def fill(folder, devices=SOME, groups=GROUPS, members=MEMBERS, name="device.csv"):
    """A registry in CSV files, and the path of its devices."""
    folder.mkdir(exist_ok=True)
    stem = "" if name == "device.csv" else f"{name.removesuffix('.csv')}."
    (folder / name).write_bytes(content(devices))
    (folder / f"{stem}group.csv").write_bytes(content(groups, GROUP_CSV))
    (folder / f"{stem}device_group.csv").write_bytes(content(members, MEMBERSHIP_CSV))
    return str(folder / name)


def everything(url):
    """All that a store holds, as it tells itself."""
    with open_store(url) as store:
        members = sorted((each.device_id, each.group_id) for each in store.memberships.list())
        return (
            {each.id: each for each in store.devices.list()},
            {each.id: each for each in store.groups.list()},
            members,
        )


ALL = (
    {each.id: each for each in SOME},
    {each.id: each for each in GROUPS},
    sorted((each.device_id, each.group_id) for each in MEMBERS),
)


def go(source, target, **options):
    return migrate(Result(str(source), str(target)), **options)


def go_until(renames, source, target):
    """Migrate in a process that is killed before it renames once more than so many times, and return its exit code."""
    work = (
        "import os, signal, sys; from devicesvc.transfer.mover import Result, migrate\n"
        "left, real = [int(sys.argv[3])], os.replace\n"
        "def replace(*paths, **options):\n"
        "    if not left[0]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left[0] -= 1; real(*paths, **options)\n"
        "os.replace = replace\n"
        "migrate(Result(*sys.argv[1:3]), replace=True)"
    )
    command = [sys.executable, "-c", work, str(source), str(target), str(renames)]
    return subprocess.run(command, check=False).returncode


def names(folder):
    """What is in a folder, but for locks and histories: test_history looks at these."""
    found = (each.name for each in folder.iterdir())
    return sorted(name for name in found if not name.endswith(".lock") and "history-" not in name)


class Meanwhile(Watcher):
    """Does something once the snapshot of the source is taken."""

    def __init__(self, do):
        self.do = do

    def begin(self, what, _total):
        if what != "Reading it back":
            self.do()


class BeforeTheEnd(Watcher):
    """Does something when all is written, and not yet published."""

    def __init__(self, do):
        self.do = do

    def begin(self, what, _total):
        if what == "Reading it back":
            self.do()
