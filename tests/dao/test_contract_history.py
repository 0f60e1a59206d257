"""What devicesvc/dao/history.py promises, against every store: what is in the history, and how it is read."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, Token, copy_context
from datetime import datetime, timedelta
from itertools import count

import pytest

from devicesvc.csv_codec.formats import DEVICE_CSV, GROUP_CSV, MEMBERSHIP_CSV
from devicesvc.dao.history import IMPORT, MAX_ROWS, HistoryFilter
from devicesvc.dao.urls import open_store
from devicesvc.errors import Conflict, NotFound
from devicesvc.logs import request_client, request_id, request_user
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from tests.dao.conftest import add
from tests.hard_data import HARD, HARD_GROUPS, NIC, device
from tests.worker.conftest import until

FIRST, SECOND = DEVICES[0], DEVICES[1]
A, B = Group("a", "alpha"), Group("b", "beta")
EVER = "2999-01-01T00:00:00.000Z"


def page(store, before=None, limit=1000, **where):
    return store.history.page(HistoryFilter(**where), before, limit)


def newest(store):
    """The last change."""
    [change] = page(store, limit=1)
    return change


def told(change):
    """What the rows of a change tell, without what they have in common."""
    return [row[5:] for row in change.rows]


def numbers(changes):
    return [each.number for each in changes]


def rename(name, id=FIRST.id):
    return lambda tx: tx.devices.update(id, {"name": name})


def join(*pairs):
    return lambda tx: tx.memberships.add([Membership(*pair) for pair in pairs])


@pytest.fixture
def by():
    """Gives the one who makes the changes from now on: a token, a request and an address."""
    tokens: list[tuple[ContextVar, Token]] = []

    def by(who, id="", address=""):
        values = zip((request_user, request_id, request_client), (who, id, address), strict=True)
        tokens.extend((variable, variable.set(value)) for variable, value in values)

    yield by
    for variable, token in reversed(tokens):
        variable.reset(token)


@pytest.fixture
def clock(monkeypatch):
    """Each change comes a second after the one before it."""
    seconds = count()

    class Clock(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime(2030, 1, 1, tzinfo=zone) + timedelta(seconds=next(seconds))

    monkeypatch.setattr("devicesvc.dao.history.datetime", Clock)


class TestRows:
    def test_the_devices_that_a_new_registry_begins_with_are_the_first_change(self, store):
        [change] = page(store)
        assert (change.who, change.request_id, change.address, change.count) == (IMPORT, "", "", 5)
        assert sorted(told(change)) == sorted(
            ("added", "device", each.id, "", "", DEVICE_CSV.line(each)) for each in DEVICES
        )

    def test_a_registry_that_begins_with_nothing_has_no_change(self, store_url):
        with open_store(store_url) as store:
            assert page(store) == store.history.after(0, 10) == []
            assert store.history.last() == 0

    def test_an_item_that_is_added_is_one_row_with_its_whole_line(self, store):
        store.write(add(device("new")))
        assert told(newest(store)) == [("added", "device", "new", "", "", "new,n,t,m,s,v,2024-02-29 23:59:59,,,,s")]
        store.write(lambda tx: tx.groups.add(A))
        assert told(newest(store)) == [("added", "group", "a", "", "", GROUP_CSV.line(A))]
        store.write(join((FIRST.id, "a")))
        line = MEMBERSHIP_CSV.line(Membership(FIRST.id, "a"))
        assert told(newest(store)) == [("added", "membership", f"{FIRST.id}/a", "", "", line)]

    def test_an_item_that_is_changed_has_a_row_for_each_column_that_differs(self, store):
        store.write(lambda tx: tx.devices.update(FIRST.id, {"status": "x", "name": "设备", "type": FIRST.type}))
        assert told(newest(store)) == [
            ("changed", "device", FIRST.id, "name", FIRST.name, "设备"),
            ("changed", "device", FIRST.id, "status", FIRST.status, "x"),
        ]
        store.write(lambda tx: tx.groups.add(A))
        store.write(lambda tx: tx.groups.put(Group("a", "alpha", 'the "first", of two')))
        assert told(newest(store)) == [("changed", "group", "a", "description", "", 'the "first", of two')]

    def test_network_interfaces_are_columns_too_also_if_there_are_none_any_more(self, store):
        store.write(add(device("new", nic=(NIC, NIC))))
        store.write(lambda tx: tx.devices.update("new", {"nic": []}))
        assert told(newest(store)) == [
            ("changed", "device", "new", "nic_type", "eth;eth", ""),
            ("changed", "device", "new", "nic_mac", f"{NIC.mac};{NIC.mac}", ""),
            ("changed", "device", "new", "nic_ipv4", f"{NIC.ipv4};{NIC.ipv4}", ""),
        ]

    @pytest.mark.parametrize("side", ["devices", "groups"])
    def test_what_is_deleted_keeps_its_line_and_so_do_its_memberships(self, store, side):
        store.write(lambda tx: (tx.groups.add(A), join((FIRST.id, "a"))(tx)))
        [doomed] = [FIRST.id] if side == "devices" else ["a"]
        store.write(lambda tx: getattr(tx, side).remove([doomed]))
        line = DEVICE_CSV.line(FIRST) if side == "devices" else GROUP_CSV.line(A)
        assert told(newest(store)) == [
            ("deleted", "membership", f"{FIRST.id}/a", "", MEMBERSHIP_CSV.line(Membership(FIRST.id, "a")), ""),
            ("deleted", side.removesuffix("s"), doomed, "", line, ""),
        ]

    @pytest.mark.parametrize("case", HARD)
    def test_hard_data_comes_back_as_it_was(self, store, store_url, case, clock):  # noqa: ARG002
        hard, other = HARD[case], device(HARD[case].id, name="other")
        store.write(add(hard))
        store.write(lambda tx: tx.devices.replace(other))
        with open_store(store_url) as again:
            changed, added = page(again, limit=2)
            assert again.history.as_of("device", hard.id, other, added.time) == hard
        assert DEVICE_CSV.from_line(added.rows[0].after) == hard
        assert DEVICE_CSV.replaced(other, {row.column: row.before for row in changed.rows}) == hard

    @pytest.mark.parametrize("case", HARD_GROUPS)
    def test_hard_groups_too(self, store, case):
        hard = HARD_GROUPS[case]
        store.write(lambda tx: tx.groups.add(hard))
        [row] = newest(store).rows
        assert GROUP_CSV.from_line(row.after) == hard

    def test_each_has_the_time_in_utc_and_the_author(self, store, by):
        by("教师", "r-1", "192.168.1.20")
        store.write(rename("x"))
        change = newest(store)
        assert (change.who, change.request_id, change.address) == ("教师", "r-1", "192.168.1.20")
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", change.time)
        assert change.rows[0][:5] == (change.number, change.time, "教师", "r-1", "192.168.1.20")

    def test_the_longest_author_that_a_request_may_have_is_kept(self, store, by):
        author = "名" * 64, "r" * 128, "1111:2222:3333:4444:5555:6666:255.255.255.255"
        by(*author)
        store.write(rename("x"))
        assert newest(store).rows[0][2:5] == author

    def test_without_a_token_nobody_is_named(self, store):
        store.write(rename("x"))
        assert (newest(store).who, newest(store).request_id, newest(store).address) == ("-", "", "")

    def test_what_changes_nothing_is_no_change(self, store):
        for change in (
            lambda tx: tx.devices.replace(FIRST),
            lambda tx: tx.devices.remove(["none"]),
            lambda tx: tx.devices.list(),
            lambda tx: tx.memberships.remove([Membership(FIRST.id, "a")]),
        ):
            store.write(change)
        store.ping()
        assert len(page(store)) == 1

    def test_a_change_that_is_refused_leaves_no_row(self, store):
        with pytest.raises(Conflict):
            store.write(lambda tx: (tx.devices.remove([SECOND.id]), tx.devices.add(FIRST)))
        store.write(rename("x"))
        assert [told(each) for each in page(store, limit=1)] == [
            [("changed", "device", FIRST.id, "name", FIRST.name, "x")]
        ]
        assert len(page(store)) == 2

    def test_a_rehearsal_leaves_no_row(self, store):
        store.rehearse(rename("x"))
        assert len(page(store)) == 1

    def test_a_change_that_takes_itself_back_is_told_step_by_step(self, store):
        store.write(lambda tx: (tx.devices.add(device("new")), tx.devices.remove(["new"])))
        assert [row[:3] for row in told(newest(store))] == [("added", "device", "new"), ("deleted", "device", "new")]

    def test_a_batch_is_one_change_with_all_its_rows_in_order(self, store):
        many = [device(f"{number:04}") for number in range(1000)]
        store.write(lambda tx: tx.devices.put_many(many))
        store.write(lambda tx: [tx.devices.update(each.id, {"name": each.id, "status": "x"}) for each in many])
        change = newest(store)
        assert (change.count, len(change.rows)) == (2000, MAX_ROWS)
        whole = store.history.get(change.number)
        assert whole.rows[:MAX_ROWS] == change.rows
        assert [(row.id, row.column) for row in whole.rows] == [
            (each.id, column) for each in many for column in ("name", "status")
        ]

    def test_changes_of_many_threads_have_each_their_number_and_author(self, store):
        def write(number):
            request_user.set(f"u{number}")
            store.write(add(device(f"d{number}")))

        with ThreadPoolExecutor(8) as pool:
            for each in [pool.submit(copy_context().run, write, number) for number in range(40)]:
                each.result()
        changes = page(store, limit=40)
        assert len({*numbers(changes)}) == 40
        assert {(each.who, each.rows[0].id) for each in changes} == {(f"u{n}", f"d{n}") for n in range(40)}


class TestReading:
    @pytest.fixture
    def store(self, store):
        """A store with six changes: five after the first devices."""
        store.write(rename("one"))
        store.write(lambda tx: (tx.groups.add(A), tx.groups.add(B)))
        store.write(join((FIRST.id, "a"), (SECOND.id, "a"), (SECOND.id, "b")))
        store.write(rename("two", SECOND.id))
        store.write(lambda tx: tx.groups.remove(["a"]))
        return store

    def test_numbers_rise(self, store):
        found = numbers(page(store))
        assert found == sorted({*found}, reverse=True)
        assert len(found) == 6
        assert found[-1] > 0

    def test_a_page_is_the_newest_that_come_before_a_number(self, store):
        found = numbers(page(store))
        assert numbers(page(store, limit=2)) == found[:2]
        assert numbers(page(store, before=found[1], limit=2)) == found[2:4]
        assert numbers(page(store, before=found[4])) == found[5:]
        assert page(store, before=found[5]) == []

    def test_after_gives_the_oldest_that_come_after_a_number(self, store):
        found = numbers(page(store))[::-1]
        assert numbers(store.history.after(0, 100)) == found
        assert numbers(store.history.after(found[1], 2)) == found[2:4]
        assert store.history.after(found[5], 100) == []
        assert store.history.after(0, 1)[0] == store.history.get(found[0])

    def test_the_last_is_that_of_the_newest_change(self, store):
        before = store.history.last()
        assert before == newest(store).number
        store.write(rename("three"))
        assert store.history.last() == newest(store).number > before

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            ({"device_id": FIRST.id}, [("membership", 1), ("membership", 1), ("device", 1), ("device", 1)]),
            ({"device_id": SECOND.id}, [("membership", 1), ("device", 1), ("membership", 2), ("device", 1)]),
            ({"group_id": "a"}, [("membership", 3), ("membership", 2), ("group", 1)]),
            ({"group_id": "b"}, [("membership", 1), ("group", 1)]),
            ({"device_id": SECOND.id, "group_id": "b"}, [("membership", 1)]),
            ({"device_id": "a"}, []),
            ({"group_id": FIRST.id}, []),
            ({"device_id": FIRST.id[:-1]}, []),
            ({"device_id": f"{FIRST.id}/a"}, []),
            ({"group_id": ""}, []),
            ({"device_id": ""}, []),
            ({"device_id": "%"}, []),
            ({"device_id": "\0"}, []),
            ({"device_id": "\ud800"}, []),
            ({"device_id": "x" * 100_000}, []),
            ({"who": "nobody"}, []),
            ({"request_id": "\0"}, []),
        ],
    )
    def test_a_filter_finds_the_changes_that_have_such_rows_and_of_these_the_rows_that_fit(self, store, where, found):
        changes = page(store, **where)
        assert [(each.rows[0].kind, len(each.rows)) for each in changes] == found
        fits = HistoryFilter(**where)
        for each in changes:
            whole = store.history.get(each.number)
            assert each.count == whole.count == len(whole.rows)
            assert each.rows == list(filter(fits.matches, whole.rows))

    def test_a_filter_goes_together_with_a_page(self, store):
        every = numbers(page(store, device_id=SECOND.id))
        assert numbers(page(store, limit=2, device_id=SECOND.id)) == every[:2]
        assert numbers(page(store, before=every[1], limit=2, device_id=SECOND.id)) == every[2:4]

    def test_who_and_which_request_is_found(self, store, by):
        by("teacher", "r-1")
        store.write(rename("three"))
        by("student", "r-2")
        store.write(rename("four"))
        assert [each.rows[0].after for each in page(store, who="teacher")] == ["three"]
        assert [each.rows[0].after for each in page(store, request_id="r-2")] == ["four"]
        assert page(store, request_id="r-2", who="teacher") == []
        assert [each.rows[0].after for each in page(store, who="student", device_id=FIRST.id)] == ["four"]

    def test_since_is_from_this_time_on_and_until_before_it(self, store):
        changes = page(store)
        time = changes[2].time
        assert page(store, since=time) == [each for each in changes if each.time >= time]
        assert page(store, until=time) == [each for each in changes if each.time < time]
        assert page(store, since=time, until=time) == []
        assert page(store, since="2000-01-01T00:00:00.000Z", until=EVER) == changes

    def test_of_many_rows_that_fit_a_page_has_the_first(self, store):
        devices = [device(f"{number:04}") for number in range(MAX_ROWS + 5)]
        store.write(lambda tx: tx.devices.put_many(devices))
        store.write(lambda tx: (tx.devices.remove([FIRST.id]), join(*((each.id, "b") for each in devices))(tx)))
        [change] = page(store, limit=1, group_id="b")
        assert (len(change.rows), change.count) == (MAX_ROWS, MAX_ROWS + 6)
        assert {row.kind for row in change.rows} == {"membership"}
        [change] = store.history.after(change.number - 1, 10)
        assert [row.kind for row in change.rows[:2]] == ["device", "membership"]
        assert (len(change.rows), change.count) == (MAX_ROWS, MAX_ROWS + 6)

    def test_get_gives_all_rows_or_those_from_a_place_on(self, store):
        change = page(store)[3]
        whole = store.history.get(page(store, group_id="a")[1].number)
        assert (whole.count, len(whole.rows)) == (3, 3)
        assert store.history.get(whole.number, 1).rows == whole.rows[1:]
        assert store.history.get(whole.number, 1, 1).rows == whole.rows[1:2]
        beyond = store.history.get(whole.number, 7, 1)
        assert (beyond.rows, beyond.count, beyond.time, beyond.who) == ([], 3, whole.time, whole.who)
        assert store.history.find(change.number) == change

    @pytest.mark.parametrize("number", [0, -1, 10**9, 2**63, 10**30])
    def test_a_number_that_no_change_has_is_not_found(self, store, number):
        assert store.history.find(number) is None
        with pytest.raises(NotFound, match=f"There is no change with the number {number}"):
            store.history.get(number)
        assert store.history.after(max(number, 10**9), 10) == []
        assert page(store, before=min(number, 0)) == []

    def test_rows_of_an_item_come_newest_first_without_its_memberships(self, store):
        store.write(lambda tx: tx.devices.update(FIRST.id, {"name": "x", "status": "y"}))
        rows = list(store.history.rows_of("device", FIRST.id))
        assert [(row.done, row.column) for row in rows] == [
            ("changed", "status"),
            ("changed", "name"),
            ("changed", "name"),
            ("added", ""),
        ]
        assert [row.done for row in store.history.rows_of("group", "a")] == ["deleted", "added"]
        assert [row.done for row in store.history.rows_of("membership", f"{SECOND.id}/a")] == ["deleted", "added"]
        for kind, id in (("device", "none"), ("group", FIRST.id), ("membership", "a"), ("device", "\0")):
            assert list(store.history.rows_of(kind, id)) == []

    def test_rows_of_an_item_are_all_of_them(self, store):
        for number in range(30):
            store.write(lambda tx, number=number: [rename(f"{number}-{step}")(tx) for step in range(100)])
        names = [row.after for row in store.history.rows_of("device", FIRST.id) if row.column == "name"]
        assert names == [*(f"{number}-{step}" for number in range(29, -1, -1) for step in range(99, -1, -1)), "one"]

    def test_what_another_store_has_changed_is_seen(self, store, store_url):
        with open_store(store_url) as other:
            assert page(other) == page(store)
            other.write(rename("theirs"))
            assert newest(store) == newest(other)
            store.write(rename("ours"))
            found = other.history.after(numbers(page(store))[2], 9)
            assert [each.rows[0].after for each in found] == ["theirs", "ours"]
            assert other.history.last() == store.history.last()

    def test_it_is_complete_and_takes_room(self, store):
        assert store.history.size() > 0
        store.write(lambda tx: tx.devices.put_many([device(f"{number:04}") for number in range(2000)]))
        until(lambda: store.history.size() > 2000 * 40, "a database has counted them")
        assert store.history.fault is None


class TestAsOf:
    def moments(self, store, id=FIRST.id):
        """The times of the changes of a device, the oldest first."""
        return [each.time for each in page(store, device_id=id)][::-1]

    def look(self, store, time, id=FIRST.id):
        return store.history.as_of("device", id, store.devices.find(id), time)

    def test_an_item_is_as_it_was_at_each_time(self, store, clock):  # noqa: ARG002
        store.write(rename("one"))
        store.write(lambda tx: tx.devices.update(FIRST.id, {"name": "two", "nic": []}))
        store.write(lambda tx: tx.devices.remove([FIRST.id]))
        store.write(add(device(FIRST.id)))
        times = self.moments(store)
        one = FIRST.merge({"name": "one"})
        states = [FIRST, one, one.merge({"name": "two", "nic": []}), None, device(FIRST.id)]
        assert [self.look(store, time) for time in times[-5:]] == states
        assert self.look(store, "2000-01-01T00:00:00.000Z") is None
        assert self.look(store, EVER) == device(FIRST.id)

    def test_one_change_may_delete_an_item_and_add_another_in_its_place(self, store, clock):  # noqa: ARG002
        store.write(lambda tx: (tx.devices.remove([FIRST.id]), tx.devices.add(device(FIRST.id)), rename("x")(tx)))
        before, after = self.moments(store)
        assert self.look(store, before) == FIRST
        assert self.look(store, after) == device(FIRST.id, name="x")


class TestPrune:
    @pytest.fixture
    def store(self, store, clock):  # noqa: ARG002
        store.write(add(device("d")))
        for name in ("one", "two", "three"):
            store.write(rename(name, "d"))
        store.write(lambda tx: (tx.groups.add(A), join(("d", "a"))(tx)))
        store.write(lambda tx: tx.memberships.remove([Membership("d", "a")]))
        store.write(lambda tx: tx.groups.update("a", {"name": "x", "description": "y"}))
        return store

    def test_it_keeps_what_tells_of_the_creation_and_the_last_change_of_each_item(self, store):
        before = store.devices.list(), store.groups.list(), store.history.last()
        assert store.history.prune(EVER) == 2
        assert [(row.done, row.after) for row in store.history.rows_of("device", "d")] == [
            ("changed", "three"),
            ("added", DEVICE_CSV.line(device("d"))),
        ]
        assert [row.column for row in store.history.rows_of("group", "a")] == ["description", "name", ""]
        assert [row.done for row in store.history.rows_of("membership", "d/a")] == ["deleted", "added"]
        assert (store.devices.list(), store.groups.list(), store.history.last()) == before

    def test_it_leaves_what_is_not_older(self, store):
        third = page(store, device_id="d")[3]
        assert third.rows[0].after == "two"
        assert store.history.prune(third.time) == 1
        assert [row.after for row in store.history.rows_of("device", "d")][:2] == ["three", "two"]
        assert store.history.prune(third.time) == 0

    def test_a_change_whose_rows_are_gone_is_not_found(self, store):
        gone = page(store, device_id="d")[3].number
        store.history.prune(EVER)
        assert store.history.find(gone) is None
        assert gone not in numbers(page(store))
        assert gone not in numbers(store.history.after(0, 100))

    def test_of_a_change_of_several_items_the_rows_that_may_go_go(self, store):
        store.write(lambda tx: (rename("x", "d")(tx), rename("x", SECOND.id)(tx), rename("x", FIRST.id)(tx)))
        both = newest(store).number
        store.write(rename("y", SECOND.id))
        assert store.history.prune(EVER) == 4
        found = store.history.get(both)
        assert ([row.id for row in found.rows], found.count) == (["d", FIRST.id], 2)
        assert [row.id for row in store.history.get(both, 1, 1).rows] == [FIRST.id]

    def test_of_an_item_that_was_deleted_and_added_again_the_last_creation_counts(self, store):
        store.write(lambda tx: tx.devices.remove(["d"]))
        store.write(add(device("d")))
        store.write(rename("last", "d"))
        store.history.prune(EVER)
        assert [row.done for row in store.history.rows_of("device", "d")] == ["changed", "added"]

    def test_many_rows_are_deleted_too(self, store):
        many = [device(f"{number:05}") for number in range(1500)]
        store.write(lambda tx: tx.devices.put_many(many))
        for name in ("x", "y"):
            store.write(lambda tx, name=name: tx.devices.update_many(tx.devices.list(), {"name": name}))
        assert store.history.prune(EVER) == 1500 + 6 + 3
