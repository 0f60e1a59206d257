"""What devicesvc/dao/base.py promises of searching, counting and trying out, against every store."""

from collections import Counter

import pytest

from devicesvc.dao.base import Counts, DeviceReader
from devicesvc.errors import Conflict
from devicesvc.model import DeviceFilter, Group, Membership, Nic
from devicesvc.sample import DEVICES
from tests.api.conftest import Contents
from tests.hard_data import HARD, device


@pytest.fixture
def store(shared_store):
    return Contents(list(DEVICES)).given_to(shared_store)


@pytest.fixture
def having(store):
    """Puts these devices in the place of all others, and gives the ids of those that have a text."""

    def having(*devices):
        def change(tx):
            tx.devices.remove([each.id for each in tx.devices.list()])
            tx.devices.put_many(devices)

        store.write(change)
        return lambda q: [each.id for each in store.devices.list(DeviceFilter(q=q))]

    return having


def test_a_text_is_found_in_each_field_that_people_know_a_device_by(having):
    nic = Nic("wlan", "aa:bb:cc:00:11:22", "10.20.30.40")
    found = having(
        device("in-id"),
        device("1", name="in-name"),
        device("2", type="in-type"),
        device("3", status="in-status"),
        device("4", hardware_model="in-model"),
        device("5", hardware_sn="in-sn"),
        device("6", nic=(Nic("eth", "00:00:00:00:00:00", "0.0.0.0"), nic)),
        device("7", software_version="in-version", software_last_update="2023-11-11 11:11:11"),
        device("8", nic=(Nic("in-nic", "00:00:00:00:00:00", "0.0.0.0"),)),
    )
    assert found("IN-") == ["1", "2", "3", "4", "5", "in-id"]
    assert found("Bb:cC:0") == found("20.30") == ["6"]
    assert found("2023-11") == found("wlan") == []


def test_no_text_reaches_from_one_field_into_another(having):
    found = having(device("1", name="left", type="right"), device("2", name="left,right"))
    assert found("left,right") == ["2"]
    for between in ("", " ", "\n", "\0", ";"):
        assert found(f"left{between}right") == []


def test_an_empty_text_is_found_in_every_device(having):
    assert having(device("1"), device("2"))("") == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "q"),
    [
        ("设备管理", "备管"),
        ("STRASSE", "straße"),
        ("straße", "STRASSE"),
        ("\N{KELVIN SIGN}-1", "k-1"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ('say "hi", twice', '"HI", t'),
        ('"', '"'),
        ("100%_\\", "0%_\\"),
        ("📡e\u0301", "📡E"),
        ("ΐ" * 64, "ΐ" * 64),
        ("  ", "  "),
    ],
)
def test_text_is_found_in_any_case_and_as_it_is(having, text, q):
    found = having(device("1", name=text, type=text[:32]), device("2"))
    assert found(q) == ["1"]


def test_the_longest_text_that_folding_makes_is_kept(having):
    nics = tuple(Nic("eth", f"00:00:00:00:00:{n:02x}", f"100.100.100.1{n:02}") for n in range(16))
    longest = dict.fromkeys(("name", "hardware_model", "hardware_sn"), "ΐ" * 64)
    found = having(device("x" * 64, **longest, type="ΐ" * 32, status="ΐ" * 32, nic=nics))
    assert found("100.100.100.115") == ["x" * 64]


@pytest.mark.parametrize("case", HARD)
def test_hard_devices_are_found_by_each_of_their_texts(having, case):
    item = HARD[case]
    found = having(item)
    texts = [item.id, item.name, item.type, item.status, item.hardware.model, item.hardware.sn]
    texts += [text for nic in item.nic for text in (nic.mac, nic.ipv4)]
    for text in texts:
        assert found(text) == found(text.upper()) == [item.id]
    assert found(item.name * 1000 + "x") == []


def test_a_change_finds_what_it_has_done(store):
    nic = {"type": "eth", "mac": "12:34:56:78:9a:bc", "ipv4": "1.2.3.4"}

    def change(tx):
        [greenhouse] = tx.devices.list(DeviceFilter(q="greenhouse"))
        tx.devices.update(greenhouse.id, {"name": "other"})
        tx.devices.add(device("1", nic=(Nic(**nic),)))
        tx.devices.update("1", {"nic": [{**nic, "mac": "12:34:56:78:9a:bd"}]})
        return [[each.id for each in tx.devices.list(DeviceFilter(q=q))] for q in ("greenhouse", "9A:BC", "9A:BD")]

    assert store.write(change) == [[], [], ["1"]]
    assert [each.id for each in store.devices.list(DeviceFilter(q="9a:bd"))] == ["1"]


@pytest.fixture
def counted(store):
    """A store with four devices, and three groups, one of them empty."""
    devices = [
        device("1", type="a", status="on", hardware_model="M", software_version="1"),
        device("2", type="b", status="on", hardware_model="m", software_version="1"),
        device("3", type="a", status="on", hardware_model="M", software_version="2"),
        device("4", type="设", status="off", hardware_model="M", software_version="10"),
    ]

    def change(tx):
        tx.devices.remove([each.id for each in DEVICES])
        tx.devices.put_many(devices)
        tx.groups.put_many(Group(id, id) for id in ("g", "h", "empty"))
        tx.memberships.add(Membership(*each) for each in [("1", "g"), ("2", "g"), ("2", "h"), ("3", "g"), ("4", "h")])

    store.write(change)
    return store


def test_devices_are_counted_by_each_field_the_most_frequent_value_first(counted):
    assert counted.devices.counts(DeviceReader.COUNTED, DeviceFilter(), 10) == {
        "type": Counts([("a", 2), ("b", 1), ("设", 1)], 0),
        "status": Counts([("on", 3), ("off", 1)], 0),
        "model": Counts([("M", 3), ("m", 1)], 0),
        "software_version": Counts([("1", 2), ("10", 1), ("2", 1)], 0),
        "group_ids": Counts([("g", 3), ("h", 2)], 0),
    }


def test_only_so_many_values_are_counted_apart(counted):
    counts = counted.devices.counts(["type", "group_ids"], DeviceFilter(), 1)
    assert counts == {"type": Counts([("a", 2)], 2), "group_ids": Counts([("g", 3)], 2)}


WHERES = [
    {"status": "on"},
    {"status": "on", "type": "a"},
    {"model": "M", "software_version": "1"},
    {"hardware_model": "M", "software_version": "1"},
    {"q": "设"},
    {"group_ids": {"g"}},
    {"group_ids": {"g", "h"}},
    {"group_ids": {"h"}, "status": "off"},
    {"id": "3"},
]


@pytest.mark.parametrize("wanted", WHERES)
def test_only_devices_that_fit_are_counted_also_inside_a_change(counted, wanted):
    where = DeviceFilter(**{**wanted, "group_ids": frozenset(wanted.get("group_ids", ()))})

    def check(tables):
        fitting = tables.devices.list(where)
        ids = {each.id for each in fitting}
        expected = {
            "type": Counter(each.type for each in fitting),
            "status": Counter(each.status for each in fitting),
            "model": Counter(each.hardware.model for each in fitting),
            "software_version": Counter(each.software.version for each in fitting),
            "group_ids": Counter(each.group_id for each in tables.memberships.list() if each.device_id in ids),
        }
        counts = tables.devices.counts(DeviceReader.COUNTED, where, 10)
        assert {field: dict(values) for field, (values, _) in counts.items()} == expected
        return len(fitting)

    def change(tx):
        tx.devices.update("4", {"type": "a", "status": "on", "software": {"version": "1"}})
        tx.memberships.add([Membership("4", "g")])
        return check(tx)

    assert check(counted)
    assert counted.write(change) == check(counted)


def test_of_nothing_there_is_nothing_to_count(counted):
    for nothing in (DeviceFilter(id="none"), DeviceFilter(q="\0"), DeviceFilter(status="\ud800")):
        none = dict.fromkeys(["type", "group_ids"], Counts([], 0))
        assert counted.devices.counts(["type", "group_ids"], nothing, 5) == none
    assert counted.devices.counts([], DeviceFilter(), 5) == {}


def test_of_a_change_that_is_rehearsed_nothing_is_kept(store, caplog):
    caplog.set_level("INFO", "devicesvc.changes")

    def change(tx):
        tx.devices.remove([DEVICES[0].id])
        tx.groups.add(Group("g", "g"))
        tx.memberships.add([Membership(DEVICES[1].id, "g")])
        return len(tx.devices.list())

    assert store.rehearse(change) == 4
    assert len(store.devices.list()) == 5
    assert store.groups.list() == store.memberships.list() == []
    assert [each for each in caplog.records if each.name == "devicesvc.changes"] == []
    assert store.write(change) == 4


def test_what_a_rehearsed_change_raises_is_raised(store):
    with pytest.raises(Conflict):
        store.rehearse(lambda tx: tx.devices.add(DEVICES[0]))


def test_many_devices_are_changed_and_those_named_that_then_differ(store):
    def change(tx):
        return tx.devices.update_many(tx.devices.list(), {"status": "offline", "hardware": {"sn": "s"}})

    assert store.write(change) == sorted(each.id for each in DEVICES)
    assert {(each.status, each.hardware.sn) for each in store.devices.list()} == {("offline", "s")}
    assert store.write(change) == []
