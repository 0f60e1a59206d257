"""A disk that fails under a running service: what cannot be kept is refused, reads go on, and once the disk is well
again the next write is kept, without a restart. The history tells what was kept, and nothing else."""

import os
import subprocess
from contextlib import contextmanager, suppress
from time import monotonic

import pytest
import requests

from devicesvc.dao.csv.months import month_path
from devicesvc.dao.history import now
from devicesvc.dao.readiness import REMEMBERED
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device
from devicesvc.sample import DEVICES
from tests.histories import WRONG, judge
from tests.long import files
from tests.long.processes import need

CHANGED, DELETED = DEVICES[0].id, DEVICES[1].id


@pytest.fixture
def disk(tmp_path):
    """A disk of 256 KB."""
    need(os.geteuid() == 0, "root, to mount a disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = _run("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk)
    need(mounted.returncode == 0, f"leave to mount a disk: {mounted.stderr}")
    yield disk
    _run("umount", "--lazy", disk)


def _run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def full(_service, path, left=0):
    """left: bytes that there is still room for."""
    filler = path.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(b"x" * 1024):
                pass
        file.truncate(file.tell() - left)
    yield
    filler.unlink()


@contextmanager
def read_only(_service, path):
    """A view of the disk that cannot be written, laid over it: a disk on which a file is open for writing cannot be
    made read-only itself."""
    folder = path.parent
    for command in (["--bind", folder, folder], ["-o", "remount,bind,ro", folder]):
        assert _run("mount", *command).returncode == 0
    yield
    _run("umount", "--lazy", folder)


def fsync_fails(service, _path):
    return service.tampered("-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO")


def rename_fails(service, _path):
    names = "?rename,renameat,renameat2"
    return service.tampered("-e", f"trace={names}", "-e", f"inject={names}:error=EIO")


def folder_fsync_fails(service, path):
    return service.tampered("-P", path.parent, "-e", "trace=fsync", "-e", "inject=fsync:error=EIO")


def _on_history(call, error):
    """A fault that has this call fail on the file of the history alone."""

    def fault(service, path):
        history = month_path(path, now()[:7])
        return service.tampered("-P", history, "-e", f"trace={call}", "-e", f"inject={call}:error={error}")

    fault.__name__ = f"{call}_of_the_history_fails_with_{error}"
    return fault


history_is_full, history_append_fails = _on_history("write", "ENOSPC"), _on_history("write", "EIO")
history_fsync_fails = _on_history("fsync", "EIO")


def body(name):
    """A device of some 2 KB, so that a few of them take another page of a full disk."""
    nics = [{"type": "设" * 32, "mac": f"00:00:00:00:00:{n:02x}", "ipv4": f"10.0.0.{n}"} for n in range(16)]
    software = {"version": "1", "last_update": "2024-01-01 00:00:00"}
    return {
        **{"name": name, "type": "t", "status": "s", "hardware": {"model": "m", "sn": "s"}, "software": software},
        "nic": nics,
    }


class Client:
    """Writes and reads, knows what was acknowledged, and notes whatever is not as it should be."""

    def __init__(self, service, path):
        self.root = service.url
        self.devices = f"{service.url}/v1/devices"
        self.path = path
        self.acknowledged = {device.id: device for device in DEVICES}
        self.told, self.untold = [], []  # changes that the history must have, or must not have, by ids of requests
        self.faults = []

    def check(self, right, fault):
        if not right:
            self.faults.append(fault)

    def add(self, when):
        """Add a device, which must be acknowledged."""
        answer = requests.post(self.devices, json=body(when), headers={"X-Request-ID": when}, timeout=60)
        self.check(answer.status_code == 201, f"the add {when} was answered {answer.status_code}")
        if answer.status_code == 201:
            self.told.append(when)
            id = answer.json()["data"]
            self.acknowledged[id] = Device.build({"id": id, **body(when)})

    def delete(self, ids):
        """Delete devices, which must be acknowledged."""
        answer = requests.delete(self.devices, json={"ids": ids}, headers={"X-Request-ID": "delete"}, timeout=60)
        self.check(answer.status_code == 200, f"the delete was answered {answer.status_code}")
        self.told.append("delete")
        for id in ids:
            self.acknowledged.pop(id)

    def refused(self, words, what, method, **options):
        """Write, which must be refused with these words."""
        answer = requests.request(method, self.devices, timeout=60, **options)
        self.untold.append(answer.headers["X-Request-ID"])
        headers = answer.headers["Content-Type"], answer.headers.get("Retry-After")
        self.check(answer.status_code == 503, f"{what} was answered {answer.status_code}")
        self.check(headers == ("application/problem+json", "1"), f"{what} was answered with {headers}")
        detail = answer.json().get("detail", "")
        self.check(words in detail, f"the answer to {what} did not say {words!r} but {detail!r}")

    def reads(self, expected=None):
        """Read, which must show what was acknowledged, or what is expected instead."""
        answer = requests.get(self.devices, timeout=60)
        self.check(answer.status_code == 200, f"the list was answered {answer.status_code}")
        listed = {data["id"]: Device.build(data) for data in answer.json().get("data", [])}
        self.check(listed == (expected or self.acknowledged), "the list showed something else")
        one = requests.get(f"{self.devices}/{CHANGED}", timeout=60)
        self.check(one.status_code == 200, f"one device was answered {one.status_code}")

    def file(self):
        """The file must hold exactly what was acknowledged."""
        try:
            self.check(files.read(self.path) == self.acknowledged, "the file held something else")
        except StoreUnavailable as error:
            self.faults.append(f"the file was broken: {error}")

    def history(self):
        """Who asks for the history must get the changes that were acknowledged, and no other."""
        answer = requests.get(f"{self.root}/v1/changes?limit=1000", timeout=60)
        told = [change["request_id"] for change in answer.json().get("data", [])][::-1]
        self.check(told[1:] == self.told, f"the history that is shown tells of {told}")  # after the import

    def history_files(self):
        """The files of the history must tell how the registry came to be."""
        found = judge(self.path, files.read(self.path), self.told, self.untold)
        self.check(not any(found[each] for each in WRONG), f"the history: {dict(found)}")

    def ready(self, status):
        """/readyz must answer so, within the time for which it remembers its last answer."""
        end, found = monotonic() + 2 * REMEMBERED, 0
        while found != status and monotonic() < end:
            found = requests.get(f"{self.root}/readyz", timeout=60).status_code
        self.check(found == status, f"/readyz answered {found}")

    def healed(self):
        """All must be in order, now that the disk is."""
        self.reads()
        self.file()
        self.history()
        self.history_files()
        self.ready(200)


def ordeal(service, path, fault, ready=503):
    """Write and read before, during and after a fault; return what was not as it should be, in sentences."""
    client = Client(service, path)
    client.add("before")
    with fault(service, path):
        for number in range(3):
            name, words = f"refused {number}", "cannot be written"
            client.refused(words, "an add", "POST", json=body(name))
            client.refused(words, "an update", "PUT", json={"id": CHANGED, "name": name})
            client.refused(words, "a delete", "DELETE", json={"ids": [DELETED]})
        client.reads()
        client.file()
        client.history()
        client.ready(ready)
    client.add("after")
    client.healed()
    names = {path.name, f".{path.name}.lock", month_path(path, now()[:7]).name}
    leftovers = {each.name for each in path.parent.iterdir()} - names
    client.check(not leftovers, f"left in the folder: {leftovers}")
    return client.faults


# Each fault, what /readyz answers meanwhile (it renames nothing), and the broken stores that do not stand it.
SMALL_DISK = [(full, 503, "deaf to errors"), (read_only, 503, "deaf to errors")]
DEAF = "deaf to errors of the history"
FAILING_CALLS = [
    *((fsync_fails, 503, "no fsync"), (rename_fails, 200, "in place"), (rename_fails, 200, "deaf to errors")),
    *((history_is_full, 200, DEAF), (history_append_fails, 200, DEAF), (history_fsync_fails, 503, DEAF)),
]

# How what tells a broken store may begin:
FOUND = ("an add was answered 201", "the file", "the history", "left in the folder")


def good(faults):
    return sorted({(fault, ready) for fault, ready, _ in faults}, key=str)


@pytest.mark.parametrize(("fault", "ready"), good(SMALL_DISK))
def test_a_disk_that_cannot_be_written_loses_nothing_and_heals(serve, disk, fault, ready):
    path = disk / "device.csv"
    assert ordeal(serve("none", path), path, fault, ready) == []


@pytest.mark.parametrize(("fault", "ready", "variant"), SMALL_DISK)
def test_a_disk_that_cannot_be_written_finds_out_a_broken_store(serve, disk, fault, ready, variant):
    path = disk / "device.csv"
    faults = ordeal(serve(variant, path), path, fault, ready)
    print(*faults, sep="\n")
    assert any(each.startswith(FOUND) for each in faults)


@pytest.mark.parametrize(("fault", "ready"), good(FAILING_CALLS))
def test_an_error_of_the_disk_loses_nothing_and_heals(serve, tmp_path, fault, ready):
    path = tmp_path / "device.csv"
    assert ordeal(serve("none", path), path, fault, ready) == []


@pytest.mark.parametrize(("fault", "ready", "variant"), FAILING_CALLS)
def test_an_error_of_the_disk_finds_out_a_broken_store(serve, tmp_path, fault, ready, variant):
    path = tmp_path / "device.csv"
    faults = ordeal(serve(variant, path), path, fault, ready)
    print(*faults, sep="\n")
    assert any(each.startswith(FOUND) for each in faults)


class TestRowsThatDoNotFit:
    """After a delete of many devices their file is short, but the rows that tell of it are long: the disk has room for
    the file and for some of the rows."""

    def ordeal(self, serve, variant, path):
        many = [Device.build({"id": str(number), **body(f"many {number}")}) for number in range(10)]
        files.make(path, [*DEVICES, *many])
        service = serve(variant, path)
        client = Client(service, path)
        client.acknowledged = files.read(path)
        ids = [device.id for device in many]
        with full(service, path, left=8192):
            for _ in range(2):
                words = f"{month_path(path, now()[:7])} cannot be written: No space left"
                client.refused(words, "a delete", "DELETE", json={"ids": ids})
                client.reads()
                client.file()
                client.history()
        client.delete(ids)
        client.healed()
        return client.faults

    def test_nothing_is_deleted_until_there_is_room(self, serve, disk):
        path = disk / "device.csv"
        assert self.ordeal(serve, "none", path) == []
        history = month_path(path, now()[:7]).read_bytes()
        assert b",torn\n" in history
        assert b",not kept," in history

    def test_a_broken_store_is_found_out(self, serve, disk):
        faults = self.ordeal(serve, DEAF, disk / "device.csv")
        print(*faults, sep="\n")
        assert any(each.startswith("the history: ") for each in faults)


class TestAfterTheRename:
    """The folder cannot be synced: the change is in the file, but whether it stays there is unknown."""

    def ordeal(self, service, path):
        client = Client(service, path)
        client.add("before")
        with folder_fsync_fails(service, path):
            for number in range(3):
                words = "outcome is unknown"
                client.refused(words, "an add", "POST", json=body(f"unknown {number}"))
                client.reads(expected=files.read(path))
                client.refused(words, "an update", "PUT", json={"id": CHANGED, "name": f"unknown {number}"})
                client.reads(expected=files.read(path))
        client.acknowledged = files.read(path)
        client.untold.clear()  # they may have come to be
        client.add("after")
        client.reads()
        client.file()
        client.history_files()
        client.ready(200)
        return client.faults

    def test_the_outcome_is_said_to_be_unknown_and_reads_agree_with_the_file(self, serve, tmp_path):
        path = tmp_path / "device.csv"
        assert self.ordeal(serve("none", path), path) == []

    def test_a_broken_store_is_found_out(self, serve, tmp_path):
        path = tmp_path / "device.csv"
        faults = self.ordeal(serve("no folder fsync", path), path)
        assert "an add was answered 201" in faults
