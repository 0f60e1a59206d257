"""What devicesvc/dao/base.py promises, against every store."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devicesvc.dao.urls import open_store
from devicesvc.errors import Conflict, Invalid, NotFound
from devicesvc.model import DeviceFilter, Group, GroupFilter
from devicesvc.sample import DEVICES
from tests.dao.conftest import add
from tests.hard_data import ADD as NEW
from tests.hard_data import HARD, NIC, PLAIN, device

FIRST, SECOND = DEVICES[0], DEVICES[1]
MANY = [device(f"{number:04}", nic=(NIC,)) for number in range(1250)]  # a database takes some hundred ids at once


def ids(devices):
    return [each.id for each in devices]


def by_id(devices):
    return sorted(devices, key=lambda each: each.id)


def test_a_new_store_holds_the_devices_it_is_given(store):
    assert store.devices.list() == by_id(DEVICES)


def test_a_store_that_is_there_already_is_left_alone(store, store_url):
    store.write(lambda tx: tx.devices.remove([FIRST.id]))
    with open_store(store_url, DEVICES) as again:
        assert FIRST.id not in ids(again.devices.list())


def test_get_returns_the_device(store):
    assert store.devices.get(FIRST.id) == FIRST


@pytest.mark.parametrize("id", ["1234567890", "", "4322159209 ", "a/b", "设备", "x" * 1000, "\x00"])
def test_get_of_any_other_string_says_that_there_is_none(store, id):
    with pytest.raises(NotFound, match="There is no device with the id"):
        store.devices.get(id)


def test_list_is_ordered_by_code_point(store):
    store.write(lambda tx: tx.devices.remove(ids(DEVICES)))
    for id in ["b", "a", "B", "Z.1", "Z-1", "9", "10", "a_"]:
        store.write(add(device(id)))
    assert ids(store.devices.list()) == ["10", "9", "B", "Z-1", "Z.1", "a", "a_", "b"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"id": FIRST.id}, [FIRST.id]),
        ({"id": "nothing"}, []),
        ({"sn": "itOYJ", "model": "Raspberry Pi 4"}, ["5661391086"]),
        ({"model": "raspberry"}, ["4322159209", "5661391086", "8170245536"]),
        ({"type": "gateway", "status": "online"}, ["5394030919", "5661391086"]),
        ({"id": FIRST.id, "type": "gateway"}, []),
        ({"mac": "00-1B-21-C8-12-41"}, ["5394030919"]),
        ({"ipv4": "192.168.2.40"}, ["5394030919"]),
        ({"name": "meter-adapter"}, ["3635138853"]),
    ],
)
def test_list_finds_what_fits_every_part_of_the_filter(store, wanted, found):
    assert ids(store.devices.list(DeviceFilter(**wanted))) == found


def test_the_state_is_the_same_object_until_a_write_changes_something_or_the_store_cannot_tell(store, store_url):
    before = store.state()
    store.devices.list()
    store.write(lambda tx: tx.devices.remove(["nothing"]))
    assert store.state() is before
    store.write(lambda tx: tx.devices.update(FIRST.id, {"name": "教室"}))
    after = store.state()
    assert (after is None) == (before is None)
    assert before is None or after is not before
    with open_store(store_url) as other:
        other.write(lambda tx: tx.groups.put(Group("g", "组")))
    assert before is None or store.state() not in (before, after)


@pytest.mark.parametrize("case", HARD)
def test_hard_data_comes_back_as_it_was_given_also_after_a_restart(store, store_url, case):
    hard = HARD[case]
    store.write(add(hard))
    assert store.devices.get(hard.id) == hard
    with open_store(store_url) as again:
        assert again.devices.get(hard.id) == hard
        assert again.devices.list() == store.devices.list()


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("straSSe", {"Straße 1", "STRASSE 2"}),
        ("ß", {"Straße 1", "STRASSE 2"}),
        ("ΣΊΣΥΦΟΣ", {"Σίσυφος"}),
        ("РАСПБЕРИ", {"распбери"}),
        ("树莓", {"树莓派 4"}),
        ("100%", {"100%_x\\y"}),
        ("%", {"100%_x\\y"}),
        ("_", {"100%_x\\y"}),
        ("\\Y", {"100%_x\\y"}),
        ("/", {"a/b"}),
        ("", {"Straße 1", "STRASSE 2", "Σίσυφος", "распбери", "树莓派 4", "100%_x\\y", "a/b"}),
        ("\0", set()),
        ("x" * 100_000, set()),
    ],
)
def test_a_model_is_found_by_part_in_any_case(store, model, found):
    models = ["Straße 1", "STRASSE 2", "Σίσυφος", "распбери", "树莓派 4", "100%_x\\y", "a/b"]

    def change(tx):
        tx.devices.remove(ids(DEVICES))
        for number, each in enumerate(models):
            tx.devices.add(device(str(number), hardware_model=each))

    store.write(change)
    assert {each.hardware.model for each in store.devices.list(DeviceFilter(model=model))} == found


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "x" * 100_000])
def test_text_that_no_store_can_hold_finds_nothing(store, text):
    for name in ("id", "sn", "model", "name", "type", "status", "mac", "ipv4"):
        assert store.devices.list(DeviceFilter(**{name: text})) == []
    assert store.devices.list(DeviceFilter(group_ids=frozenset([text]))) == []
    assert store.groups.list(GroupFilter(name=text, device_ids=frozenset([text]))) == []
    assert store.devices.find(text) is store.groups.find(text) is None
    assert store.devices.missing([text, FIRST.id]) == [text]
    assert store.write(lambda tx: (tx.devices.remove([text]), tx.groups.remove([text]))) == ([], [])


def test_add_refuses_an_id_that_is_taken_and_leaves_the_first(store):
    with pytest.raises(Conflict, match=FIRST.id):
        store.write(add(device(FIRST.id)))
    assert store.devices.get(FIRST.id) == FIRST


def test_create_makes_an_id_of_ten_digits_the_first_not_zero(store, monkeypatch):
    monkeypatch.setattr(secrets, "randbelow", lambda _limit: 0)
    assert store.write(lambda tx: tx.devices.create(NEW)).id == "1000000000"
    monkeypatch.setattr(secrets, "randbelow", lambda limit: limit - 1)
    assert store.write(lambda tx: tx.devices.create(NEW)).id == "9999999999"
    assert store.devices.get("9999999999").name == NEW["name"]


def test_create_never_takes_an_id_that_is_taken(store, monkeypatch):
    drawn = [int(FIRST.id) - 10**9, int(FIRST.id) - 10**9, 5]
    monkeypatch.setattr(secrets, "randbelow", lambda _limit: drawn.pop(0))
    assert store.write(lambda tx: tx.devices.create(NEW)).id == "1000000005"
    assert store.devices.get(FIRST.id) == FIRST


def test_create_of_an_invalid_device_changes_nothing(store):
    bad = {**NEW, "name": ""}
    with pytest.raises(Invalid, match="name must be"):
        store.write(lambda tx: tx.devices.create(bad))
    assert store.devices.list() == by_id(DEVICES)


def test_replace_puts_the_new_device_in_the_place_of_the_old(store):
    store.write(lambda tx: tx.devices.replace(device(FIRST.id)))
    assert store.devices.list() == by_id([device(FIRST.id), *DEVICES[1:]])


def test_replace_of_an_unknown_device_says_so_and_adds_none(store):
    with pytest.raises(NotFound):
        store.write(lambda tx: tx.devices.replace(device("new")))
    assert store.devices.list() == by_id(DEVICES)


def test_put_adds_what_is_new_and_replaces_what_is_there(store):
    assert store.write(lambda tx: tx.devices.put(device("new"))) is True
    assert store.write(lambda tx: tx.devices.put(device("new", name="again"))) is False
    assert store.devices.list() == by_id([*DEVICES, device("new", name="again")])


def test_put_many_adds_what_is_new_replaces_what_differs_and_leaves_the_rest(store):
    many = [device(str(number), nic=HARD["sixteen network interfaces"].nic) for number in range(1200)]
    changed = SECOND.merge({"name": "x", "nic": []})
    store.write(lambda tx: tx.devices.put_many([*many, FIRST, changed]))
    assert store.devices.list() == by_id([*many, FIRST, changed, *DEVICES[2:]])
    store.write(lambda tx: tx.devices.put_many([many[7].merge({"nic": []})]))
    assert store.devices.get("7").nic == ()


def test_update_changes_what_is_given_and_returns_the_whole(store):
    changed = store.write(lambda tx: tx.devices.update(FIRST.id, {"software": {"version": "9"}}))
    assert changed == FIRST.merge({"software": {"version": "9"}})
    assert store.devices.get(FIRST.id) == changed


def test_remove_answers_with_what_it_really_removed_in_the_order_given(store):
    wanted = [SECOND.id, "1234567890 ", FIRST.id, SECOND.id]
    assert store.write(lambda tx: tx.devices.remove(wanted)) == [SECOND.id, FIRST.id]
    assert store.write(lambda tx: tx.devices.remove(wanted)) == []
    assert store.devices.list() == by_id(DEVICES[2:])


class TestMany:
    """None is lost between one statement of a database and the next."""

    @pytest.fixture
    def store(self, store):
        store.write(lambda tx: tx.devices.put_many(MANY))
        return store

    def test_a_list_has_each_with_its_network_interfaces(self, store):
        assert store.devices.list() == by_id([*DEVICES, *MANY])

    def test_find_many_finds_each(self, store):
        wanted = ["nothing", *ids(MANY)]
        assert store.devices.find_many(wanted) == {each.id: each for each in MANY}

    def test_missing_names_none_that_is_there(self, store):
        assert store.devices.missing([*ids(MANY), "nothing"]) == ["nothing"]

    def test_put_many_changes_each(self, store):
        changed = [each.merge({"name": "x", "nic": [{"type": "x", "mac": NIC.mac, "ipv4": NIC.ipv4}]}) for each in MANY]
        store.write(lambda tx: tx.devices.put_many(changed))
        assert store.devices.list() == by_id([*DEVICES, *changed])

    def test_remove_removes_each_and_names_it(self, store):
        assert store.write(lambda tx: tx.devices.remove(ids(MANY))) == ids(MANY)
        assert store.devices.list() == by_id(DEVICES)


def test_a_change_reads_its_own_changes(store):
    def change(tx):
        tx.devices.add(device("new"))
        return ids(tx.devices.list()), tx.devices.get("new").id

    assert store.write(change) == ([*ids(store.devices.list())[:-1], "new"], "new")


def test_nothing_of_a_change_that_raises_is_kept(store, store_url):
    def change(tx):
        tx.devices.remove([FIRST.id])
        tx.devices.add(device("new"))
        tx.devices.replace(device(SECOND.id))
        raise Conflict("no")

    before = store.devices.list()
    with pytest.raises(Conflict, match="no"):
        store.write(change)
    assert store.devices.list() == before
    with open_store(store_url) as again:
        assert again.devices.list() == before


def test_two_open_stores_see_each_others_changes(store, store_url):
    with open_store(store_url) as other:
        other.write(add(device("theirs")))
        assert store.devices.get("theirs").id == "theirs"
        store.write(add(device("ours")))
        assert other.devices.get("ours").id == "ours"
        assert store.devices.list() == other.devices.list()


def test_threads_that_write_at_once_lose_nothing(store, store_url):
    with open_store(store_url) as other:

        def work(number):
            for step in range(5):
                (store if number % 2 else other).write(add(device(f"{number}-{step}")))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    added = [device(f"{number}-{step}") for number in range(8) for step in range(5)]
    assert store.devices.list() == by_id([*DEVICES, *added])


def test_a_counter_that_many_threads_raise_loses_no_step(store):
    """Each change sees what the change before it did."""

    def step(tx):
        tx.devices.update(PLAIN.id, {"name": str(int(tx.devices.get(PLAIN.id).name) + 1)})

    store.write(lambda tx: tx.devices.update(PLAIN.id, {"name": "0"}))
    threads = [threading.Thread(target=lambda: [store.write(step) for _ in range(5)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.devices.get(PLAIN.id).name == "40"


def test_ping_of_a_store_in_order_is_silent(store):
    before = store.devices.list()
    assert store.ping() is None
    assert store.devices.list() == before


def test_closing_twice_is_not_an_error(store_url):
    store = open_store(store_url, DEVICES)
    store.close()
    store.close()


def test_many_readers_and_writers_at_once_all_get_through(store):
    with ThreadPoolExecutor(48) as pool:
        done = [pool.submit(store.write, add(device(str(number)))) for number in range(100)]
        read = [pool.submit(store.devices.list) for _ in range(100)]
    assert all(each.result() is None for each in done)
    assert all(each.result() for each in read)
    assert len(store.devices.list()) == 105
