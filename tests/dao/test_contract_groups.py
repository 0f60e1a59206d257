"""What devicesvc/dao/base.py promises of groups and memberships, against every store."""

import pytest

from devicesvc.dao.urls import open_store
from devicesvc.errors import Conflict, NotFound
from devicesvc.model import DeviceFilter, Group, GroupFilter, Membership
from devicesvc.sample import DEVICES
from tests.hard_data import HARD, HARD_GROUPS, device

ONE, TWO, THREE = sorted(each.id for each in DEVICES)[:3]
A, B = Group("a", "alpha", "the first"), Group("b", "beta")


@pytest.fixture
def store(store):
    """A store with two groups: one and two are in a, two is in b."""

    def change(tx):
        tx.groups.add(A)
        tx.groups.add(B)
        tx.memberships.add([Membership(ONE, "a"), Membership(TWO, "a"), Membership(TWO, "b")])

    store.write(change)
    return store


def everything(store):
    return store.devices.list(), store.groups.list(), store.memberships.list()


class TestGroups:
    def test_a_new_store_has_none(self, store_url):
        with open_store(store_url, DEVICES) as store:
            assert store.groups.list() == []
            assert store.memberships.list() == []

    def test_get_returns_the_group(self, store):
        assert store.groups.get("a") == A

    def test_get_of_any_other_string_says_that_there_is_none(self, store):
        with pytest.raises(NotFound, match="There is no group with the id 'A'"):
            store.groups.get("A")

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            ({}, [A, B]),
            ({"id": "a"}, [A]),
            ({"name": "beta"}, [B]),
            ({"name": "BETA"}, []),
            ({"id": "a", "name": "beta"}, []),
            ({"device_ids": frozenset([TWO])}, [A, B]),
            ({"device_ids": frozenset([ONE, TWO])}, [A]),
            ({"device_ids": frozenset([TWO]), "name": "beta"}, [B]),
            ({"device_ids": frozenset([THREE])}, []),
            ({"device_ids": frozenset([""])}, []),
        ],
    )
    def test_list_finds_what_fits_every_part_of_the_filter(self, store, wanted, found):
        assert store.groups.list(GroupFilter(**wanted)) == found

    @pytest.mark.parametrize("case", HARD_GROUPS)
    def test_hard_data_comes_back_as_it_was_given_also_after_a_restart(self, store, store_url, case):
        hard = HARD_GROUPS[case]
        store.write(lambda tx: tx.groups.add(hard))
        assert store.groups.get(hard.id) == hard
        with open_store(store_url) as again:
            assert everything(again) == everything(store)

    def test_a_name_that_is_taken_is_refused_with_the_id_of_its_holder(self, store):
        before = everything(store)
        for change in (
            lambda tx: tx.groups.add(Group("c", "alpha")),
            lambda tx: tx.groups.create({"name": "alpha"}),
            lambda tx: tx.groups.replace(Group("b", "alpha")),
            lambda tx: tx.groups.update("b", {"name": "alpha"}),
            lambda tx: tx.groups.put(Group("c", "alpha")),
        ):
            with pytest.raises(Conflict, match="'alpha' is taken by the group with the id 'a'") as refusal:
                store.write(change)
            assert list(refusal.value.errors) == ["name"]
        assert everything(store) == before

    def test_a_group_may_keep_its_name(self, store):
        store.write(lambda tx: tx.groups.replace(Group("a", "alpha", "new")))
        assert store.groups.get("a") == Group("a", "alpha", "new")

    def test_a_name_is_free_again_if_its_holder_is_renamed_or_gone_also_within_one_change(self, store):
        def change(tx):
            tx.groups.update("a", {"name": "gamma"})
            tx.groups.remove(["b"])
            tx.groups.add(Group("c", "alpha"))
            tx.groups.add(Group("d", "beta"))
            with pytest.raises(Conflict, match="'a'"):
                tx.groups.add(Group("e", "gamma"))

        store.write(change)
        assert [each.name for each in store.groups.list()] == ["gamma", "alpha", "beta"]

    def test_an_id_that_is_taken_is_refused(self, store):
        with pytest.raises(Conflict, match="There is a group with the id 'a' already"):
            store.write(lambda tx: tx.groups.add(Group("a", "new")))

    def test_create_makes_an_id(self, store):
        group = store.write(lambda tx: tx.groups.create({"name": "new"}))
        assert len(group.id) == 10
        assert store.groups.get(group.id) == Group(group.id, "new", "")

    def test_a_device_and_a_group_may_have_the_same_id(self, store):
        store.write(lambda tx: (tx.groups.add(Group(ONE, "one")), tx.memberships.add([Membership(ONE, ONE)])))
        assert store.write(lambda tx: tx.groups.remove([ONE])) == [ONE]
        assert store.devices.get(ONE).id == ONE


class TestMemberships:
    def test_they_are_listed_by_device_then_group(self, store):
        assert store.memberships.list() == [Membership(ONE, "a"), Membership(TWO, "a"), Membership(TWO, "b")]
        assert store.memberships.list(device_id=TWO) == [Membership(TWO, "a"), Membership(TWO, "b")]
        assert store.memberships.list(group_id="a") == [Membership(ONE, "a"), Membership(TWO, "a")]
        assert store.memberships.list(device_id=ONE, group_id="b") == []

    def test_has_tells_whether_the_device_is_in_the_group(self, store):
        assert store.memberships.has(Membership(ONE, "a"))
        assert not store.memberships.has(Membership(ONE, "b"))

    def test_add_returns_what_is_new_once_in_the_order_given(self, store):
        wanted = [Membership(TWO, "b"), Membership(THREE, "b"), Membership(ONE, "b"), Membership(THREE, "b")]
        assert store.write(lambda tx: tx.memberships.add(wanted)) == [Membership(THREE, "b"), Membership(ONE, "b")]
        assert store.memberships.list(group_id="b") == [Membership(each, "b") for each in (ONE, TWO, THREE)]

    @pytest.mark.parametrize(
        ("unknown", "words"),
        [(Membership("none", "a"), "no device with the id 'none'"), (Membership(ONE, "none"), "no group with the id")],
    )
    def test_add_of_an_unknown_device_or_group_says_so_and_changes_nothing(self, store, unknown, words):
        before = everything(store)
        with pytest.raises(NotFound, match=words):
            store.write(lambda tx: tx.memberships.add([Membership(THREE, "a"), unknown]))
        assert everything(store) == before

    def test_remove_returns_what_was_there(self, store):
        doomed = [Membership(TWO, "b"), Membership(ONE, "b"), Membership("x", "y"), Membership(TWO, "b")]
        assert store.write(lambda tx: tx.memberships.remove(doomed)) == [Membership(TWO, "b")]
        assert store.memberships.list(group_id="b") == []

    @pytest.fixture
    def many(self, store):
        """More memberships in b than a database takes in one statement: their devices are there, they are not."""
        devices = [device(f"{number:04}") for number in range(1250)]
        store.write(lambda tx: tx.devices.put_many(devices))
        return [Membership(each.id, "b") for each in devices]

    def test_add_of_many_adds_each_that_was_not_there_and_returns_it(self, store, many):
        assert store.write(lambda tx: tx.memberships.add(many[::2])) == many[::2]
        assert store.write(lambda tx: tx.memberships.add(many)) == many[1::2]
        assert store.memberships.list(group_id="b") == [*many, Membership(TWO, "b")]

    def test_add_of_many_that_are_there_already_adds_none(self, store, many):
        store.write(lambda tx: tx.memberships.add(many))
        assert store.write(lambda tx: tx.memberships.add(many)) == []

    def test_remove_of_many_removes_each_and_returns_it(self, store, many):
        store.write(lambda tx: tx.memberships.add(many))
        assert store.write(lambda tx: tx.memberships.remove(many)) == many
        assert store.memberships.list(group_id="b") == [Membership(TWO, "b")]

    def test_a_device_takes_its_memberships_along_and_no_group(self, store, store_url):
        store.write(lambda tx: tx.devices.remove([TWO]))
        for each in (store, open_store(store_url)):
            with each:
                assert each.memberships.list() == [Membership(ONE, "a")]
                assert each.groups.list() == [A, B]

    def test_a_group_takes_its_memberships_along_and_no_device(self, store, store_url):
        store.write(lambda tx: tx.groups.remove(["a"]))
        for each in (store, open_store(store_url)):
            with each:
                assert each.memberships.list() == [Membership(TWO, "b")]
                assert each.devices.list() == sorted(DEVICES, key=lambda each: each.id)

    def test_a_device_or_group_that_comes_back_is_in_no_group(self, store, store_url):
        store.write(lambda tx: (tx.devices.remove([TWO]), tx.groups.remove(["a"])))
        store.write(lambda tx: (tx.devices.add(device(TWO)), tx.groups.add(A)))
        for each in (store, open_store(store_url)):
            with each:
                assert each.memberships.list() == []

    def test_both_hold_within_one_change_too(self, store):
        def change(tx):
            tx.memberships.add([Membership(THREE, "b")])
            tx.devices.remove([TWO, THREE])
            tx.devices.add(device(TWO))
            return tx.memberships.list()

        assert store.write(change) == store.memberships.list() == [Membership(ONE, "a")]

    def test_replace_of_a_device_or_group_keeps_its_memberships(self, store):
        before = store.memberships.list()
        store.write(lambda tx: (tx.devices.replace(device(TWO)), tx.groups.put(Group("a", "new"))))
        assert store.memberships.list() == before

    def test_devices_are_found_by_their_groups(self, store):
        def found(**wanted):
            return [each.id for each in store.devices.list(DeviceFilter(**wanted))]

        assert found(group_ids=frozenset("a")) == [ONE, TWO]
        assert found(group_ids=frozenset("ab")) == [TWO]
        assert found(group_ids=frozenset("a"), id=ONE) == [ONE]
        assert found(group_ids=frozenset("b"), id=ONE) == []
        assert found(group_ids=frozenset(["none"])) == []

    def test_a_change_finds_devices_by_groups_that_it_has_just_filled(self, store):
        def change(tx):
            tx.devices.add(device("new"))
            tx.groups.add(Group("c", "gamma"))
            tx.memberships.add([Membership("new", "c"), Membership(TWO, "c")])
            tx.memberships.remove([Membership(TWO, "c")])
            return [each.id for each in tx.devices.list(DeviceFilter(group_ids=frozenset("c")))]

        assert store.write(change) == ["new"]

    def test_nothing_of_a_change_that_raises_is_kept(self, store, store_url):
        def change(tx):
            tx.groups.remove(["a"])
            tx.groups.add(Group("c", "gamma"))
            tx.memberships.add([Membership(THREE, "c")])
            raise Conflict("no")

        before = everything(store)
        with pytest.raises(Conflict):
            store.write(change)
        assert everything(store) == before
        with open_store(store_url) as again:
            assert everything(again) == before

    def test_two_open_stores_see_each_others_changes(self, store, store_url):
        with open_store(store_url) as other:
            other.write(lambda tx: tx.memberships.add([Membership(THREE, "b")]))
            assert store.memberships.has(Membership(THREE, "b"))
            store.write(lambda tx: tx.groups.remove(["b"]))
            assert everything(other) == everything(store)
            assert other.memberships.list(group_id="b") == []

    def test_the_longest_ids_can_be_members(self, store, store_url):
        long = HARD["the longest fields"], HARD_GROUPS["the longest fields"]
        pair = Membership(long[0].id, long[1].id)
        store.write(lambda tx: (tx.devices.add(long[0]), tx.groups.add(long[1]), tx.memberships.add([pair])))
        with open_store(store_url) as again:
            assert again.memberships.has(pair)


class TestMissing:
    def test_it_names_each_unknown_id_once_in_the_order_given(self, store):
        assert store.devices.missing([ONE, "y", "x", TWO, "y"]) == ["y", "x"]
        assert store.groups.missing(["a", "b"]) == []


def test_put_many_lets_a_group_take_the_name_that_one_before_it_gives_up(store):
    store.write(lambda tx: (tx.groups.add(Group("one", "x")), tx.groups.add(Group("two", "z"))))
    new = store.write(lambda tx: tx.groups.put_many([Group("one", "y"), Group("three", "x"), Group("two", "z")]))
    assert new == ["three"]
    assert [store.groups.get(id).name for id in ("one", "two", "three")] == ["y", "z", "x"]


def test_a_change_that_goes_on_after_a_refusal_logs_what_it_did_before_it(store, caplog):
    def change(tx):
        with pytest.raises(Conflict):
            tx.groups.put_many([Group("one", "x"), Group("two", "x")])

    caplog.set_level("INFO", "devicesvc.changes")
    store.write(change)
    assert store.groups.missing(["one", "two"]) == ["two"]
    assert [each.getMessage() for each in caplog.records if each.name == "devicesvc.changes"] == ["groups added: one"]
