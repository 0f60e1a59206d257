"""The files of groups and memberships, beside that of the devices."""

import errno
import os

import pytest

from devicesvc.csv_codec.formats import GROUP_CSV, MEMBERSHIP_CSV
from devicesvc.dao import durable_file
from devicesvc.dao.lock_file import CommitCounter
from devicesvc.dao.urls import open_store, parse
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from tests.dao.conftest import written
from tests.hard_data import content, device

ONE, TWO = DEVICES[0].id, DEVICES[1].id
A, B = Group("a", "Übung, Raum 1"), Group("b", "beta", "the second")


@pytest.fixture
def group_path(tmp_path):
    return tmp_path / "group.csv"


@pytest.fixture
def member_path(tmp_path):
    return tmp_path / "device_group.csv"


@pytest.fixture
def store(csv_store):
    """A store with two groups: the first device is in both, the second in a."""

    def change(tx):
        tx.groups.add(B)
        tx.groups.add(A)
        tx.memberships.add([Membership(ONE, "b"), Membership(ONE, "a"), Membership(TWO, "a")])

    csv_store.write(change)
    return csv_store


def names(folder):
    """The files of the registry, without its history."""
    return sorted(
        each.name for each in folder.iterdir() if not each.name.startswith(".") and "history" not in each.name
    )


class TestFiles:
    def test_each_is_made_when_it_is_first_needed(self, csv_store, tmp_path):
        assert names(tmp_path) == ["device.csv"]
        csv_store.write(lambda tx: tx.groups.add(A))
        assert names(tmp_path) == ["device.csv", "group.csv"]
        csv_store.write(lambda tx: tx.memberships.add([Membership(ONE, "a")]))
        assert names(tmp_path) == ["device.csv", "device_group.csv", "group.csv"]

    def test_each_is_removed_when_it_holds_nothing_any_more(self, store, tmp_path):
        store.write(lambda tx: tx.memberships.remove(store.memberships.list()))
        assert names(tmp_path) == ["device.csv", "group.csv"]
        store.write(lambda tx: tx.groups.remove(["a"]))
        assert names(tmp_path) == ["device.csv", "group.csv"]
        store.write(lambda tx: tx.groups.remove(["b"]))
        assert names(tmp_path) == ["device.csv"]
        store.ping()
        store.write(lambda tx: tx.groups.add(A))
        assert store.groups.list() == [A]

    def test_another_store_knows_that_they_were_removed(self, store, path, caplog):
        with open_store(str(path)) as sibling:
            assert len(sibling.memberships.list()) == 3
            store.write(lambda tx: tx.groups.remove(["a", "b"]))
            assert (sibling.groups.list(), sibling.memberships.list()) == ([], [])
            assert not [each for each in caplog.records if each.levelname == "ERROR"]
            sibling.write(lambda tx: tx.groups.add(A))
            assert store.groups.list() == [A]

    def test_one_that_somebody_deletes_after_that_is_missed_by_both_stores(self, store, path, group_path):
        with open_store(str(path)) as sibling:
            store.write(lambda tx: tx.groups.remove(["a", "b"]))
            store.write(lambda tx: tx.groups.add(A))
            assert sibling.groups.list() == [A]
            group_path.unlink()
            for each in (store, sibling):
                with pytest.raises(StoreUnavailable, match=r"group\.csv cannot be read: No such file"):
                    each.write(lambda tx: tx.groups.remove(["a"]))

    def test_one_that_holds_nothing_may_be_deleted(self, csv_store, group_path):
        group_path.write_text("id,name,description\n")
        assert csv_store.groups.list() == []
        group_path.unlink()
        csv_store.write(lambda tx: tx.groups.add(A))
        assert csv_store.groups.list() == [A]

    def test_one_that_was_edited_at_the_moment_of_its_removal_stays(self, store, group_path, monkeypatch):
        def edit(*_):
            group_path.write_text("id,name,description\nc,gamma,\n")
            return 1

        monkeypatch.setattr(CommitCounter, "removing", edit)
        store.write(lambda tx: tx.groups.remove(["a", "b"]))
        assert store.groups.list() == [Group("c", "gamma")]

    def test_a_new_one_has_the_mode_of_the_devices(self, csv_store, path, group_path):
        path.chmod(0o640)
        csv_store.write(lambda tx: tx.groups.add(A))
        assert group_path.stat().st_mode & 0o777 == 0o640

    def test_the_files_say_at_once_what_the_api_says_with_new_rows_last(self, store, path, group_path, member_path):
        assert group_path.read_text("utf-8") == 'id,name,description\nb,beta,the second\na,"Übung, Raum 1",\n'
        assert member_path.read_text("utf-8") == f"device_id,group_id\n{ONE},b\n{ONE},a\n{TWO},a\n"
        store.write(lambda tx: tx.devices.remove([ONE]))
        assert path.read_bytes() == content(DEVICES[1:])
        assert member_path.read_text("utf-8") == f"device_id,group_id\n{TWO},a\n"
        store.write(lambda tx: tx.groups.remove(["a"]))
        assert group_path.read_text("utf-8") == "id,name,description\nb,beta,the second\n"

    def test_only_files_that_change_are_written(self, store, path, group_path, member_path):
        before = [written(each) for each in (path, group_path)]
        store.write(lambda tx: tx.memberships.remove([Membership(ONE, "a")]))
        assert [written(each) for each in (path, group_path)] == before
        before_of_members = written(member_path)
        store.write(lambda tx: tx.devices.add(device("1")))
        assert written(member_path) == before_of_members

    @pytest.mark.parametrize(
        ("name", "others"),
        [
            ("fleet.csv", ["fleet.device_group.csv", "fleet.group.csv"]),
            ("a.b.csv", ["a.b.device_group.csv", "a.b.group.csv"]),
            ("fleet", ["fleet.device_group", "fleet.group"]),
            ("device.txt", ["device.txt.device_group", "device.txt.group"]),
        ],
    )
    def test_a_registry_of_another_name_has_files_of_its_own(self, tmp_path, name, others):
        with open_store(str(tmp_path / name), DEVICES) as store:
            store.write(lambda tx: tx.groups.add(A))
            store.write(lambda tx: tx.memberships.add([Membership(ONE, "a")]))
        assert names(tmp_path) == sorted([name, *others])

    def test_behind_a_link_they_lie_beside_the_file_itself(self, tmp_path):
        (tmp_path / "real").mkdir()
        link = tmp_path / "device.csv"
        link.symlink_to(tmp_path / "real" / "device.csv")
        with open_store(str(link), DEVICES) as store:
            store.write(lambda tx: tx.groups.add(A))
        assert names(tmp_path / "real") == ["device.csv", "group.csv"]

    def test_the_devices_alone_are_missing_so_no_samples_are_put_in_their_place(self, store, path, group_path):
        store.close()
        path.unlink()
        with pytest.raises(StoreUnavailable, match=r"device\.csv is missing, but .*group\.csv is there: put the first"):
            open_store(str(path), DEVICES)
        assert not path.exists()
        assert group_path.exists()


class TestEdits:
    def test_each_is_taken_in(self, store, group_path, member_path):
        group_path.write_bytes(content([B], GROUP_CSV))
        assert store.groups.list() == [B]
        assert store.memberships.list() == [Membership(ONE, "b")]
        group_path.write_bytes(content([Group("c", "gamma"), A, B], GROUP_CSV))
        member_path.write_bytes(content([Membership(TWO, "c")], MEMBERSHIP_CSV))
        assert [each.id for each in store.groups.list()] == ["a", "b", "c"]
        assert store.memberships.list() == [Membership(TWO, "c")]

    def test_files_that_a_person_makes_are_taken_in(self, csv_store, group_path, member_path):
        group_path.write_bytes(content([A], GROUP_CSV))
        member_path.write_bytes(content([Membership(ONE, "a")], MEMBERSHIP_CSV))
        assert csv_store.memberships.list(group_id="a") == [Membership(ONE, "a")]

    @pytest.mark.parametrize(
        ("name", "broken", "words"),
        [
            ("group.csv", "id,name,description\na,x,\na,y,\n", r"group\.csv breaks a rule: line 3, column id: must be"),
            ("group.csv", "id,name,description\na,x,\nb,x,\n", "line 3, column name: must be unique; 'x' is on line 2"),
            ("group.csv", "id,name,description\na,,\n", "line 2, column name: must be 1 to 64 characters"),
            ("group.csv", "", "the file is empty"),
            ("device_group.csv", "device_id,group_id\na b,a\n", "line 2, column device_id: must be 1 to 64 letters"),
            ("device_group.csv", "device_id,group_id\na,b\na,b\n", "must be unique; 'a,b' is on line 2 too"),
            ("device_group.csv", "device_id,group_id\na,b", "must end with a newline"),
        ],
    )
    def test_a_broken_one_stops_writes_but_no_reads_until_it_is_mended(self, store, path, name, broken, words):
        file = path.with_name(name)
        good, before = file.read_bytes(), (store.devices.list(), store.groups.list(), store.memberships.list())
        file.write_text(broken, "utf-8")
        assert (store.devices.list(), store.groups.list(), store.memberships.list()) == before
        with pytest.raises(StoreUnavailable, match=words):
            store.write(lambda tx: tx.devices.add(device("1")))
        assert file.read_text("utf-8") == broken
        with pytest.raises(StoreUnavailable, match=words):
            open_store(str(path))
        assert words.split(": ")[-1].split(";")[0] in parse(str(path)).check()[0]
        file.write_bytes(good)
        store.write(lambda tx: tx.devices.add(device("1")))
        assert store.memberships.list() == before[2]

    def test_what_is_edited_while_another_is_broken_is_seen_when_that_is_mended(self, store, path, group_path):
        good = group_path.read_bytes()
        group_path.write_bytes(b"junk\n")
        store.devices.list()
        path.write_bytes(content(DEVICES[:1]))
        assert len(store.devices.list()) == 5
        group_path.write_bytes(good)
        assert store.devices.list() == [DEVICES[0]]

    @pytest.mark.parametrize("name", ["group.csv", "device_group.csv"])
    def test_one_that_is_gone_stops_writes_until_it_is_back(self, store, path, name):
        file = path.with_name(name)
        good = file.read_bytes()
        file.unlink()
        assert len(store.groups.list()) == 2
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=rf"{name} cannot be read: No such file"):
                store.write(lambda tx: tx.groups.update("a", {"name": "new"}))
            path.touch()  # so that all are looked at again
        assert not file.exists()
        file.write_bytes(good)
        store.write(lambda tx: tx.groups.update("a", {"name": "new"}))
        assert len(store.memberships.list()) == 3

    def test_two_faults_are_both_named(self, store, group_path, member_path):
        group_path.write_bytes(b"junk\n")
        member_path.write_bytes(b"junk\n")
        with pytest.raises(StoreUnavailable, match=r"/group\.csv breaks a rule.*device_group\.csv breaks a rule"):
            store.ping()


class TestFileOfAnOlderVersion:
    """It lacks a column that has a default."""

    OLD = f'name,id\n"{A.name}",a\nbeta,b\n'

    @pytest.fixture
    def store(self, path, group_path):
        path.write_bytes(content(DEVICES))
        group_path.write_text(self.OLD, "utf-8")
        with open_store(str(path)) as store:
            yield store

    def test_it_is_read_with_the_default_and_stays_as_it_is(self, store, path, group_path):
        assert store.groups.list() == [A, Group("b", "beta")]
        store.ping()
        store.write(lambda tx: tx.devices.add(device("1")))
        store.write(lambda tx: tx.memberships.add([Membership("1", "b")]))
        store.write(lambda tx: tx.groups.replace(A))
        store.write(lambda tx: tx.groups.update("b", {"description": ""}))
        assert group_path.read_text("utf-8") == self.OLD
        assert parse(str(path)).check() == []

    @pytest.mark.parametrize(
        ("change", "lines"),
        [
            (lambda tx: tx.groups.add(Group("c", "gamma", "new")), f'a,"{A.name}",\nb,beta,\nc,gamma,new\n'),
            (lambda tx: tx.groups.update("b", {"description": "x"}), f'a,"{A.name}",\nb,beta,x\n'),
            (lambda tx: tx.groups.remove(["b"]), f'a,"{A.name}",\n'),
        ],
        ids=["add", "update", "remove"],
    )
    def test_it_gets_the_column_at_the_next_change_of_it(self, store, path, group_path, change, lines):
        store.write(change)
        assert group_path.read_text("utf-8") == f"id,name,description\n{lines}"
        before = store.groups.list()
        with open_store(str(path)) as again:
            assert again.groups.list() == before

    def test_an_edit_may_bring_such_a_file_while_the_service_runs(self, store, group_path):
        store.write(lambda tx: tx.groups.update("b", {"description": "the second"}))
        group_path.write_text("id,name\na,alpha\nb,beta\n", "utf-8")
        assert store.groups.list() == [Group("a", "alpha"), Group("b", "beta")]
        store.write(lambda tx: tx.groups.add(Group("c", "gamma")))
        assert group_path.read_text("utf-8") == "id,name,description\na,alpha,\nb,beta,\nc,gamma,\n"

    @pytest.mark.parametrize("header", ["id,description", "id,name,owner", "name"])
    def test_without_any_other_column_or_with_an_unknown_one_it_is_refused(self, path, group_path, header):
        path.write_bytes(content(DEVICES))
        group_path.write_text(f"{header}\n", "utf-8")
        with pytest.raises(StoreUnavailable, match="line 1 must be the header id,name,description"):
            open_store(str(path))
        assert len(parse(str(path)).check()) == 1
        assert group_path.read_text("utf-8") == f"{header}\n"


class TestOrphanedMemberships:
    """Their device or group is gone: an edit by hand, or a crash between the renames of one change."""

    ORPHANED = (Membership("gone", "a"), Membership(ONE, "gone"))

    @pytest.fixture
    def path(self, path, member_path, group_path):
        path.write_bytes(content(DEVICES))
        group_path.write_bytes(content([A], GROUP_CSV))
        member_path.write_bytes(content([self.ORPHANED[0], Membership(ONE, "a"), self.ORPHANED[1]], MEMBERSHIP_CSV))
        return path

    def test_they_are_not_shown_and_the_log_says_so(self, path, member_path, caplog):
        before = member_path.read_bytes()
        with open_store(str(path)) as store:
            assert store.memberships.list() == [Membership(ONE, "a")]
        assert f"{member_path}: 2 memberships, the first of them gone,a, name a device or group" in caplog.text
        assert member_path.read_bytes() == before

    def test_the_next_change_leaves_them_out_whatever_it_is(self, path, member_path):
        with open_store(str(path)) as store:
            store.write(lambda tx: tx.devices.update(ONE, {"name": "new"}))
        assert member_path.read_bytes() == content([Membership(ONE, "a")], MEMBERSHIP_CSV)

    def test_they_count_again_when_an_edit_brings_back_what_they_name(self, path):
        with open_store(str(path)) as store:
            path.write_bytes(content([*DEVICES, device("gone")]))
            assert Membership("gone", "a") in store.memberships.list()

    def test_a_change_that_brings_an_id_back_revives_none_even_if_it_is_interrupted(self, path, monkeypatch):
        real, targets = os.replace, list[str]()

        def replace(source, target, **options):
            if targets and targets[-1].endswith("device.csv"):
                raise OSError(errno.EIO, "Input/output error")
            targets.append(str(target))
            real(source, target, **options)

        def bring_back(tx):
            tx.devices.add(device("gone"))
            tx.memberships.add([Membership(DEVICES[1].id, "a")])

        with open_store(str(path)) as store:
            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", replace)
                with pytest.raises(StoreUnavailable, match="The outcome is unknown"):
                    store.write(bring_back)
            assert store.devices.get("gone")
            assert store.memberships.list() == [Membership(ONE, "a")]
        with open_store(str(path)) as again:
            assert again.memberships.list() == [Membership(ONE, "a")]


def test_a_crash_between_two_renames_leaves_a_registry_in_order(store, path, monkeypatch):
    """The device is gone, its memberships are not: they do not count, and the next change takes them away."""
    real = durable_file.publish
    monkeypatch.setattr(durable_file, "publish", lambda versions: real(dict(list(versions.items())[:1])))
    store.write(lambda tx: tx.devices.remove([ONE]))
    monkeypatch.undo()
    store.close()
    with open_store(str(path)) as again:
        assert again.memberships.list() == [Membership(TWO, "a")]
        again.write(lambda tx: tx.devices.add(device(ONE)))
        assert again.memberships.list() == [Membership(TWO, "a")]
    with open_store(str(path)) as again:
        assert again.memberships.list() == [Membership(TWO, "a")]
