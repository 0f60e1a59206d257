"""kill -9 of the whole service under load: the file is whole, what was acknowledged is in it, and the history tells
that and nothing else."""

import json
import random
import threading
import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPException

import pytest

from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device, Nic
from tests.hard_data import device
from tests.histories import WRONG, judge
from tests.long import files

SEED = random.randrange(10**6)
DEVICES = 1000
WRITERS = 8
SECONDS = 0.03, 0.25  # of load, before each kill
AIM_SECONDS = 0.2  # every second kill waits so long for the moment when the next version is being written
KILLS = 40
HARMS = ("lost", "unparsable", "leftovers", *WRONG)


@dataclass
class Report:
    """What came of some kills. lost: writes, acknowledged and yet not in the file. interrupted: kills that came between
    the first byte of the next version and its being in place. untold and so on: what `judge` finds in the history after
    the last kill. refused: answers that are not those of success."""

    kills: int = 0
    acknowledged: int = 0
    interrupted: int = 0
    lost: int = 0
    unparsable: int = 0
    leftovers: int = 0
    untold: int = 0
    untrue: int = 0
    repeated: int = 0
    by_hand: int = 0
    not_kept: int = 0
    refused: list[str] = field(default_factory=list)

    def has(self, harms):
        return any(vars(self)[harm] for harm in harms)


class Writer:
    """Adds, changes and deletes devices that no other writer touches.

    devices: those of its own, as acknowledged. doubt: the change that has no answer, as (id, device) with no id of a
    device to add, and no device in the place of one to delete.
    """

    def __init__(self, number, devices):
        self.number = number
        self.devices = {device.id: device for device in devices}
        self.doubt: tuple[str | None, Device | None] | None = None
        self.count = 0
        self.acknowledged = []  # the ids of the requests
        self.refused = []
        self.random = random.Random(f"{SEED} {number}")

    def write(self, port):
        """Write until the service is gone, or gives an answer that leaves in doubt what was changed."""
        with suppress(OSError, HTTPException):
            while True:
                if self._change(port):
                    self.acknowledged.append(f"{self.number}-{self.count}")
                elif "Nothing was changed" not in self.refused[-1]:
                    return
                self.doubt = None

    def _change(self, port):
        self.count += 1
        request_id, name = f"{self.number}-{self.count}", f"writer {self.number}, change {self.count}"
        what = self.random.choice(["POST", "PUT", "DELETE"])
        if what == "POST":
            new = example(name)
            self.doubt = None, new
            answer = ask(port, request_id, what, {key: value for key, value in asdict(new).items() if key != "id"})
            if answer["status"] == 201:
                self.devices[answer["data"]] = renamed(new, answer["data"])
                return True
        elif what == "PUT":
            id = self.random.choice(sorted(self.devices))
            new = self.devices[id].merge({"name": name})
            self.doubt = id, new
            answer = ask(port, request_id, what, {"id": id, "name": name})
            if answer["status"] == 200:
                self.devices[id] = new
                return True
        else:
            id = self.random.choice(sorted(self.devices))
            self.doubt = id, None
            answer = ask(port, request_id, what, {"ids": [id]})
            if answer.get("ids") == [id]:
                del self.devices[id]
                return True
        self.refused.append(f"{what}: {answer['status']} {answer.get('detail')}")
        return False

    def resolve(self, found):
        """Take the devices of this writer out of those found in the file, and return how many are not as acknowledged.
        A change without answer may be in the file or not; from now on what the file says is right."""
        id, new = self.doubt or ("", None)
        if id is None:
            assert new is not None
            name = new.name
            id = next((each for each, device in found.items() if device.name == name), "")
            new = renamed(new, id or new.id)
        lost = 0
        for each in {*self.devices, id} - {""}:
            there = found.pop(each, None)
            lost += there != self.devices.get(each) and not (each == id and there == new)
            self.devices[each] = there
        self.devices = {each: device for each, device in self.devices.items() if device}
        self.doubt = None
        return lost


def ask(port, request_id, method, body):
    """Send a request on a connection of its own, so that each worker gets some."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        headers = {"Content-Type": "application/json", "X-Request-ID": request_id}
        connection.request(method, "/v1/devices", json.dumps(body), headers)
        return json.loads(connection.getresponse().read())


def example(name):
    """A device with a line of some 200 bytes."""
    nics = (Nic("eth", "00:00:00:00:00:01", "10.0.0.1"), Nic("wifi", "00:00:00:00:00:02", "10.0.0.2"))
    return device("1", name=name, hardware_model="Raspberry Pi 4, 8 GB, with a camera", nic=nics)


def renamed(device, id):
    return Device.build({**asdict(device), "id": id})


@pytest.fixture
def torture(serve, tmp_path):
    def torture(variant, workers, *harms):
        """Kill the service again and again under load, until one of these is found, and report."""
        path = tmp_path / "device.csv"
        moments = random.Random(SEED)
        report = Report()
        seeds = [renamed(example(f"seed {number}"), str(10**9 + number)) for number in range(DEVICES)]
        writers = [Writer(number, seeds[number::WRITERS]) for number in range(WRITERS)]
        files.make(path, seeds)
        service = serve(variant, path, workers)
        while report.kills < KILLS and not report.has(harms):
            aim = path if report.kills % 2 else None
            load(service, writers, moments.uniform(*SECONDS), aim)
            report.kills += 1
            report.interrupted += is_being_replaced(path)
            try:
                found = files.read(path)
            except StoreUnavailable as error:
                print(error)
                report.unparsable += 1
                break
            left = dict(found)
            report.lost += sum(writer.resolve(left) for writer in writers) + len(left)
            service = serve(variant, path, workers)
            report.leftovers += is_being_replaced(path)
            vars(report).update(judge(path, found, [id for writer in writers for id in writer.acknowledged]))
        report.acknowledged = sum(len(writer.acknowledged) for writer in writers)
        report.refused = [each for writer in writers for each in writer.refused]
        print(f"\nvariant {variant!r}, {workers} workers, seed {SEED}: {report}")
        return report

    return torture


def is_being_replaced(path):
    return any(path.parent.glob(f".{path.name}.*.tmp"))


def load(service, writers, seconds, aim):
    """Let the writers write for so long, and if need be a little longer, until `aim` is being replaced; then kill."""
    threads = [threading.Thread(target=writer.write, args=(service.port,)) for writer in writers]
    for thread in threads:
        thread.start()
    threading.Event().wait(seconds)
    end = time.monotonic() + AIM_SECONDS
    while aim and not is_being_replaced(aim) and time.monotonic() < end:
        threading.Event().wait(0.0002)
    service.kill()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_acknowledged_is_lost_or_untold(torture, workers):
    report = torture("none", workers, *HARMS)
    assert not report.has(HARMS)
    assert report.kills == KILLS
    assert report.refused == []
    assert report.acknowledged > KILLS
    assert report.interrupted >= 3
    assert report.not_kept  # so some kills came between the history and the file


@pytest.mark.parametrize(("variant", "workers"), [("in place", 1), ("no lock", 2)])
def test_a_broken_store_is_found_out(torture, variant, workers):
    assert torture(variant, workers, *(harms := ("lost", "unparsable"))).has(harms)


def test_a_store_that_does_not_tidy_up_is_found_out(torture):
    assert torture("no sweep", 1, "leftovers").leftovers


@pytest.mark.parametrize("variant", ["the history comes after", "no look at the history"])
def test_a_history_that_is_written_badly_is_found_out(torture, variant):
    assert torture(variant, 1, "untrue").untrue
