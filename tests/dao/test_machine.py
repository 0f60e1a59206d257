"""Any devices, any changes in any order by two stores and by hand, restarts in between: the CSV store does what a plain
dict does. `make test-long` takes more and longer walks."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from devicesvc.dao import open_store
from devicesvc.errors import Conflict, NotFound, StoreUnavailable
from devicesvc.model import Device, DeviceFilter, Hardware, Nic, Software
from tests.hard_data import content

LONG = "DEVICESVC_TEST_LONG" in os.environ


def text(limit, without=""):
    return st.text(
        st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=without), min_size=1, max_size=limit
    )


ids = st.sampled_from(["a", "B", "b.1", "1234567890", "x" * 64])
nics = st.builds(
    Nic,
    type=text(32, ";"),
    mac=st.from_regex(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}", fullmatch=True),
    ipv4=st.ip_addresses(v=4).map(str),
)
devices = st.builds(
    Device,
    id=ids,
    name=text(64),
    type=text(32),
    hardware=st.builds(Hardware, model=text(64), sn=st.one_of(st.just("shared"), text(64))),
    software=st.builds(
        Software, version=text(32), last_update=st.datetimes().map(lambda t: f"{t:%Y-%m-%d %H:%M:%S}".zfill(19))
    ),
    nic=st.lists(nics, max_size=3).map(tuple),
    status=text(32),
)
either = st.integers(0, 1)


class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "device.csv"
        self.stores = [open_store(str(self.path)) for _ in range(2)]
        self.model = {}
        self.edits = 0

    def teardown(self):
        for store in self.stores:
            store.close()
        shutil.rmtree(self.folder)

    def content(self):
        return content(self.model.values())

    def edit(self, data, renaming):
        """Change the file as an editor does, in place or by renaming; the time goes on, as it does for a person."""
        target = self.folder / "new" if renaming else self.path
        target.write_bytes(data)
        self.edits += 1
        os.utime(target, ns=(self.edits * 10**9, self.edits * 10**9))
        target.replace(self.path)

    @rule(store=either, device=devices)
    def add(self, store, device):
        if device.id in self.model:
            with pytest.raises(Conflict):
                self.stores[store].write(lambda to: to.devices.add(device))
        else:
            self.stores[store].write(lambda to: to.devices.add(device))
            self.model[device.id] = device

    @rule(store=either, id=ids, name=text(64))
    def update(self, store, id, name):
        if id in self.model:
            self.model[id] = self.model[id].merge({"name": name})
            assert self.stores[store].write(lambda to: to.devices.update(id, {"name": name})) == self.model[id]
        else:
            with pytest.raises(NotFound):
                self.stores[store].write(lambda to: to.devices.update(id, {"name": name}))

    @rule(store=either, device=devices)
    def put(self, store, device):
        assert self.stores[store].write(lambda to: to.devices.put(device)) is (device.id not in self.model)
        self.model[device.id] = device

    @rule(store=either, doomed=st.lists(ids, max_size=4))
    def remove(self, store, doomed):
        expected = [id for id in dict.fromkeys(doomed) if self.model.pop(id, None)]
        assert self.stores[store].write(lambda to: to.devices.remove(doomed)) == expected

    @rule(store=either, device=devices, doomed=ids)
    def change_much_and_then_refuse(self, store, device, doomed):
        def op(to):
            to.devices.put(device)
            to.devices.remove([doomed])
            raise Conflict("no")

        with pytest.raises(Conflict):
            self.stores[store].write(op)

    @rule(store=either)
    def reopen(self, store):
        self.stores[store].close()
        self.stores[store] = open_store(str(self.path))

    @rule(rows=st.lists(devices, unique_by=lambda device: device.id), renaming=st.booleans())
    def edit_by_hand(self, rows, renaming):
        self.model = {device.id: device for device in rows}
        self.edit(self.content(), renaming)

    @rule(junk=st.sampled_from([b"junk\n", b'"\n', b"\xff\n", b"a"]), renaming=st.booleans(), store=either)
    def break_by_hand_and_mend(self, junk, renaming, store):
        broken = self.content() + junk
        self.edit(broken, renaming)
        self.agree()
        with pytest.raises(StoreUnavailable):
            self.stores[store].write(lambda to: to.devices.remove(["a"]))
        assert self.path.read_bytes() == broken
        self.edit(self.content(), renaming)

    @invariant()
    def agree(self):
        expected = sorted(self.model.values(), key=lambda device: device.id)
        for store in self.stores:
            assert store.devices.list() == expected
            for sn in {device.hardware.sn for device in expected}:
                found = [device for device in expected if device.hardware.sn == sn]
                assert store.devices.list(DeviceFilter(sn=sn)) == found

    @invariant()
    def the_file_says_the_same(self):
        assert self.path.read_bytes() == self.content()


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=120 if LONG else 30,
    stateful_step_count=40 if LONG else 20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
