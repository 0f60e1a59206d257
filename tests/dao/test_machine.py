"""Any devices, groups and memberships, any changes in any order by two stores and by hand, restarts in between: the CSV
store does what plain dicts do. `make test-long` takes more and longer walks."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from devicesvc.csv_codec.formats import DEVICE_CSV, GROUP_CSV, MEMBERSHIP_CSV
from devicesvc.dao.urls import open_store
from devicesvc.errors import Conflict, NotFound, StoreUnavailable
from devicesvc.model import DeviceFilter, GroupFilter, Membership
from tests.hard_data import content
from tests.strategies import WALKS, devices, groups, ids, names

either = st.integers(0, 1)
pairs = st.lists(st.builds(Membership, ids, ids), max_size=4)


class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "device.csv"
        self.stores = [open_store(str(self.path)) for _ in range(2)]
        self.devices, self.groups = {}, {}
        self.rows = []  # of device_group.csv: those whose device or group an edit took away do not count
        self.there = {"device.csv"}
        self.edits = 0

    def teardown(self):
        for store in self.stores:
            store.close()
        shutil.rmtree(self.folder)

    @property
    def memberships(self):
        return [each for each in self.rows if each.device_id in self.devices and each.group_id in self.groups]

    def everything(self):
        return list(self.devices.items()), list(self.groups.items()), self.memberships

    def contents(self):
        files = {
            "device.csv": content(self.devices.values(), DEVICE_CSV),
            "group.csv": content(self.groups.values(), GROUP_CSV),
            "device_group.csv": content(self.rows, MEMBERSHIP_CSV),
        }
        return {name: data for name, data in files.items() if name in self.there}

    def write(self, store, change, on_dicts):
        """Run the change in the store, and on the dicts what does the same and returns what is expected."""
        before, orphaned = self.everything(), [each for each in self.rows if each not in self.memberships]
        had_groups, had_rows = bool(self.groups), bool(self.rows)
        try:
            expected = on_dicts()
        except (Conflict, NotFound) as error:
            with pytest.raises(type(error)):
                self.stores[store].write(change)
            assert self.everything() == before
            return
        assert self.stores[store].write(change) == expected
        if self.everything() != before:
            self.rows = [each for each in self.rows if each not in orphaned]
        for name, had, has in (("group.csv", had_groups, self.groups), ("device_group.csv", had_rows, self.rows)):
            if has:
                self.there.add(name)
            elif had:
                self.there.discard(name)

    def set(self, items, item, new=False, old=False):
        """Put an item into a dict, which may demand that it is new or that it is not."""
        if new and item.id in items:
            raise Conflict("id")
        if old and item.id not in items:
            raise NotFound("id")
        if items is self.groups and any(each.name == item.name and each.id != item.id for each in items.values()):
            raise Conflict("name")
        was_there = item.id in items
        items[item.id] = item
        return not was_there

    def get(self, items, id):
        if id not in items:
            raise NotFound(id)
        return items[id]

    @rule(store=either, device=devices)
    def add_device(self, store, device):
        self.write(store, lambda tx: tx.devices.add(device), lambda: self.set(self.devices, device, new=True) and None)

    @rule(store=either, group=groups)
    def add_group(self, store, group):
        self.write(store, lambda tx: tx.groups.add(group), lambda: self.set(self.groups, group, new=True) and None)

    @rule(store=either, device=devices)
    def put_device(self, store, device):
        self.write(store, lambda tx: tx.devices.put(device), lambda: self.set(self.devices, device))

    @rule(store=either, group=groups)
    def put_group(self, store, group):
        self.write(store, lambda tx: tx.groups.put(group), lambda: self.set(self.groups, group))

    @rule(store=either, id=ids, name=names, kind=st.sampled_from(["devices", "groups"]))
    def rename(self, store, id, name, kind):
        def on_dicts():
            items = getattr(self, kind)
            self.set(items, item := self.get(items, id).merge({"name": name}))
            return item

        self.write(store, lambda tx: getattr(tx, kind).update(id, {"name": name}), on_dicts)

    @rule(store=either, doomed=st.lists(ids, max_size=4), kind=st.sampled_from(["devices", "groups"]))
    def remove(self, store, doomed, kind):
        def on_dicts():
            removed = [id for id in dict.fromkeys(doomed) if getattr(self, kind).pop(id, None)]
            if removed:
                self.rows = self.memberships
            return removed

        self.write(store, lambda tx: getattr(tx, kind).remove(doomed), on_dicts)

    @rule(store=either, new=pairs)
    def join(self, store, new):
        def on_dicts():
            added = [each for each in dict.fromkeys(new) if each not in self.memberships]
            for each in added:
                self.get(self.devices, each.device_id)
                self.get(self.groups, each.group_id)
            if added:
                self.rows = [*self.memberships, *added]
            return added

        self.write(store, lambda tx: tx.memberships.add(new), on_dicts)

    @rule(store=either, old=pairs)
    def leave(self, store, old):
        def on_dicts():
            gone = [each for each in dict.fromkeys(old) if each in self.memberships]
            if gone:
                self.rows = [each for each in self.memberships if each not in gone]
            return gone

        self.write(store, lambda tx: tx.memberships.remove(old), on_dicts)

    @rule(store=either, device=devices, group=groups, doomed=ids)
    def change_much_and_then_refuse(self, store, device, group, doomed):
        def change(tx):
            tx.devices.put(device)
            tx.groups.remove([group.id, doomed])
            tx.groups.add(group)
            tx.memberships.add([Membership(device.id, group.id)])
            tx.devices.remove([doomed])
            raise Conflict("no")

        with pytest.raises(Conflict):
            self.stores[store].write(change)

    @rule(store=either)
    def reopen(self, store):
        self.stores[store].close()
        self.stores[store] = open_store(str(self.path))

    def edit(self, name, data, renaming):
        """Change a file as an editor does, in place or by renaming; the time goes on, as it does for a person."""
        path = self.folder / name
        target = self.folder / "new" if renaming else path
        target.write_bytes(data)
        self.edits += 1
        os.utime(target, ns=(self.edits * 10**9, self.edits * 10**9))
        target.replace(path)
        self.there.add(name)

    @rule(rows=st.lists(devices, unique_by=lambda device: device.id), renaming=st.booleans())
    def edit_devices_by_hand(self, rows, renaming):
        self.devices = {device.id: device for device in rows}
        self.edit("device.csv", self.contents()["device.csv"], renaming)

    @rule(rows=st.lists(groups, unique_by=(lambda group: group.id, lambda group: group.name)), renaming=st.booleans())
    def edit_groups_by_hand(self, rows, renaming):
        self.groups = {group.id: group for group in rows}
        self.edit("group.csv", content(rows, GROUP_CSV), renaming)

    @rule(rows=st.lists(st.builds(Membership, ids, ids), unique=True), renaming=st.booleans())
    def edit_memberships_by_hand(self, rows, renaming):
        self.rows = rows
        self.edit("device_group.csv", content(rows, MEMBERSHIP_CSV), renaming)

    @rule(
        name=st.sampled_from(["device.csv", "group.csv", "device_group.csv"]),
        junk=st.sampled_from([b"junk\n", b'"\n', b"\xff\n", b"a"]),
        renaming=st.booleans(),
        store=either,
    )
    def break_by_hand_and_mend(self, name, junk, renaming, store):
        assume(name in self.there)
        good = self.contents()[name]
        self.edit(name, good + junk, renaming)
        self.agree()
        with pytest.raises(StoreUnavailable):
            self.stores[store].write(lambda tx: tx.devices.remove(["a"]))
        assert (self.folder / name).read_bytes() == good + junk
        self.edit(name, good, renaming)

    @invariant()
    def agree(self):
        all_devices = sorted(self.devices.values(), key=lambda device: device.id)
        all_groups = sorted(self.groups.values(), key=lambda group: group.id)
        of_group = {
            group.id: [each for each in all_devices if Membership(each.id, group.id) in self.memberships]
            for group in all_groups
        }
        for store in self.stores:
            assert store.devices.list() == all_devices
            assert store.groups.list() == all_groups
            assert store.memberships.list() == sorted(
                self.memberships, key=lambda each: (each.device_id, each.group_id)
            )
            for sn in {device.hardware.sn for device in all_devices}:
                found = [device for device in all_devices if device.hardware.sn == sn]
                assert store.devices.list(DeviceFilter(sn=sn)) == found
            for group in all_groups:
                assert store.groups.list(GroupFilter(name=group.name)) == [group]
                assert store.devices.list(DeviceFilter(group_ids=frozenset([group.id]))) == of_group[group.id]

    @invariant()
    def the_files_say_the_same(self):
        expected = self.contents()
        names = {path.name for path in self.folder.iterdir() if not path.name.startswith((".", "history-"))}
        assert names == set(expected)
        for name, data in expected.items():
            assert (self.folder / name).read_bytes() == data


TestMachine = Machine.TestCase
TestMachine.settings = WALKS
