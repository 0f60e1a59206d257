"""A registry goes from one store to another as a whole; what is bad is named."""

import csv
import shutil
import sqlite3
from contextlib import closing

import pytest
from devicesvc.migrations import upgrade

from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.model import DeviceFilter, Group, GroupFilter, Membership
from devicesvc.sample import DEVICES
from devicesvc.transfer import rejects
from devicesvc.transfer.source import Unreadable
from tests.csv_codec.test_formats import file, row
from tests.hard_data import IN_GBK, NIC, content, device
from tests.transfer.moves import ALL, GROUPS, MEMBERS, SOME, everything, fill, go, names


class TestRoundTrip:
    def test_there_and_back(self, source, target, tmp_path):
        there = go(source, target)
        assert (there.done, there.rejected, there.changed) == (True, 0, False)
        assert there.read == there.rows == len(SOME) + len(GROUPS) + len(MEMBERS)
        assert everything(target) == ALL
        back = str(tmp_path / "back.csv")
        assert go(target, back).written == there.written
        assert everything(back) == ALL

    def test_from_one_database_to_another(self, source, url, target):
        go(source, url)
        assert go(url, target, replace=True).done
        assert everything(target) == ALL

    @pytest.mark.parametrize("header", ["id,name", "name,id"])
    def test_a_file_that_lacks_a_column_with_a_default_is_taken(self, target, tmp_path, header):
        source = fill(tmp_path / "from", [device("1")], [], [Membership("1", "a")])
        old = f"{header}\n{'alpha,a' if header == 'name,id' else 'a,alpha'}\n"
        (tmp_path / "from" / "group.csv").write_text(old)
        result = go(source, target)
        assert (result.done, result.rejected) == (True, 0)
        assert everything(target) == ({"1": device("1")}, {"a": Group("a", "alpha", "")}, [("1", "a")])
        assert (tmp_path / "from" / "group.csv").read_text() == old

    @pytest.mark.parametrize("header", ["id,description", "id,name,owner"])
    def test_a_file_with_any_other_header_is_refused(self, url, database, tmp_path, header):
        source = fill(tmp_path / "from", [device("1")], [], [])
        (tmp_path / "from" / "group.csv").write_text(f"{header}\n")
        with pytest.raises(Unreadable, match=r"group\.csv, line 1 must be the header id,name,description"):
            go(source, url)
        assert not database.exists()

    def test_a_target_gets_no_sample_devices_at_its_next_start(self, target, tmp_path):
        go(fill(tmp_path / "empty", [], [], []), target)
        with open_store(target, DEVICES) as store:
            assert store.devices.list() == []

    def test_the_store_finds_what_was_migrated(self, source, target):
        go(source, target)
        with open_store(target) as store:
            assert [each.id for each in store.devices.list(DeviceFilter(model="gross"))] == ["fold"]
            assert [each.id for each in store.devices.list(DeviceFilter(mac="aa:bb:cc:dd:ee:ff"))] == ["mac"]
            assert store.groups.list(GroupFilter(name=GROUPS[0].name)) == [GROUPS[0]]

    def test_a_registry_without_groups_has_no_file_of_them(self, source, tmp_path):
        shutil.rmtree(tmp_path / "from")
        (tmp_path / "from").mkdir()
        (tmp_path / "from/device.csv").write_bytes(content(DEVICES))
        go(source, tmp_path / "to.csv")
        assert names(tmp_path) == ["from", "to.csv"]

    @pytest.mark.parametrize(
        "edit",
        [
            lambda data: b"\xef\xbb\xbf" + data,
            lambda data: data.replace(b"\n", b"\r\n"),
            lambda data: b"\n" + data.replace(b"\n", b"\n\n"),
        ],
    )
    def test_what_editors_do_is_accepted(self, tmp_path, url, edit):
        path = tmp_path / "device.csv"
        path.write_bytes(edit(content(SOME)))
        assert go(path, url).rejected == 0
        assert everything(url)[0] == ALL[0]

    def test_columns_in_another_order(self, tmp_path, url):
        path = tmp_path / "device.csv"
        with path.open("w", newline="", encoding="utf-8") as to:
            lines = content(DEVICES).decode().splitlines()
            csv.writer(to, lineterminator="\n").writerows(line[::-1] for line in csv.reader(lines))
        go(path, url)
        assert everything(url)[0] == {each.id: each for each in DEVICES}

    def test_more_than_one_batch(self, tmp_path, url, target):
        many = [device(f"d{number}", nic=(NIC,) * (number % 3)) for number in range(6_000)]
        path = fill(tmp_path / "many", many, [], [])
        go(path, url)
        go(url, target, replace=True)
        assert everything(target)[0] == {each.id: each for each in many}

    def test_indexes_are_those_of_the_schema(self, source, tmp_path, url, database):
        go(source, url)
        upgrade(f"sqlite:///{tmp_path}/fresh.db")

        def schema(path):
            with closing(sqlite3.connect(path)) as connection:
                return sorted(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))

        assert schema(database) == schema(tmp_path / "fresh.db")
        with closing(sqlite3.connect(database)) as made:
            assert made.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert made.execute("PRAGMA foreign_key_check").fetchall() == []
            assert made.execute("PRAGMA journal_mode").fetchone() == ("delete",)


class TestBadRows:
    BAD = file(row(), row(id="2", name=""), b"3,n\n", row(), row(id="5", nic_mac="x"), b'"6\n', row(id="7"))
    LINES = [3, 4, 5, 6, 7]

    def test_nothing_is_written_and_each_fault_is_named(self, tmp_path, url):
        path = tmp_path / "device.csv"
        path.write_bytes(self.BAD)
        result = go(path, url)
        assert (result.done, result.read, result.rejected) == (False, 7, 5)
        assert [each.line for each in result.first_rejected] == self.LINES
        assert str(result.first_rejected[0]).startswith(f"{path}, line 3, column name: must be 1 to 64 characters")
        assert "must be unique; '1' is on line 2 too" in str(result.first_rejected[2])
        assert names(tmp_path) == ["device.csv"]

    def test_they_may_be_skipped(self, tmp_path, url):
        path, rejected = tmp_path / "device.csv", tmp_path / "rejected.csv"
        path.write_bytes(self.BAD)
        result = go(path, url, skip_bad=rejected)
        assert (result.done, result.read, result.rows, result.rejected) == (True, 7, 2, 5)
        assert set(everything(url)[0]) == {"1", "7"}
        with rejected.open(newline="", encoding="utf-8") as file:
            head, *rows = csv.reader(file)
        lines = self.BAD.decode().split("\n")
        assert head == ["file", "line", "reason", "row"]
        assert [(each[0], int(each[1]), each[3]) for each in rows] == [(str(path), n, lines[n - 1]) for n in self.LINES]

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (content(DEVICES)[:-1], "must end with a newline"),
            (IN_GBK, "line 2 is not UTF-8: save the file in UTF-8; in Excel, choose the file type CSV UTF-8"),
            (file(row(name="a\rb")), "column name"),
            (file(row(nic_type="a;b")), "not 2, 1 and 1"),
        ],
    )
    def test_hostile_lines(self, tmp_path, url, data, words):
        path = tmp_path / "device.csv"
        path.write_bytes(data)
        assert words in str(go(path, url).first_rejected[0])
        assert go(path, url, skip_bad=tmp_path / "rejected.csv").rejected == 1

    @pytest.mark.parametrize("skip", [False, True])
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "the file is empty"),
            (b"id,name\n", "line 1 must be the header"),
            (b",name\n", "line 1, column 1: has no name in the header"),
            (file(row(), b"x" * 70_000 + b"\n", row(id="2")), "line 3 must be at most 65536 bytes"),
            (file(row(), b"x" * 900_000), "line 3 must be at most 65536 bytes"),
        ],
    )
    def test_a_file_that_cannot_be_read_to_its_end_is_never_skipped(self, tmp_path, url, data, words, skip):
        path = tmp_path / "device.csv"
        path.write_bytes(data)
        with pytest.raises(StoreUnavailable, match=words):
            go(path, url, skip_bad=tmp_path / "rejected.csv" if skip else None)
        assert names(tmp_path) == ["device.csv"]

    def test_groups_and_memberships(self, tmp_path, target):
        groups = [Group("g", "one"), Group("h", "two")]
        path = fill(tmp_path / "from", [device("a"), device("b")], groups, [Membership("a", "g")])
        with (tmp_path / "from/device.csv").open("ab") as to:
            to.write(row(id="gone", name=""))
        with (tmp_path / "from/group.csv").open("ab") as to:
            to.write(b"g,three,\ni,two,\n-,four,\nlast,five,\n")
        with (tmp_path / "from/device_group.csv").open("ab") as to:
            to.write(b"a,g\nb,i\nnone,none\ngone,g\na\nb,h\n")
        result = go(path, target, skip_bad=tmp_path / "rejected.csv")
        reasons = [f"{each.source.rpartition('/')[2]} {each.reason}" for each in result.first_rejected]
        for reason, start in zip(
            reasons,
            [
                "device.csv line 4, column name: must be 1 to 64",
                "group.csv line 4, column id: must be unique; 'g' is on line 2 too",
                "group.csv line 5, column name: must be unique; 'two' is on line 3 too",
                "group.csv line 6, column id: must be 1 to 64 letters",
                "device_group.csv line 3, column device_id: must be unique; 'a,g' is on line 2 too",
                "device_group.csv line 4, column group_id: must be the id of a group",
                "device_group.csv line 5, column device_id: must be the id of a device",
                "device_group.csv line 6, column device_id: must be the id of a device",
                "device_group.csv line 7 must have 2 cells",
            ],
            strict=True,
        ):
            assert reason.startswith(start)
        assert everything(target)[1].keys() == {"g", "h", "last"}
        assert everything(target)[2] == [("a", "g"), ("b", "h")]
        assert result.read == result.rows + 9 == 16

    def test_a_line_has_its_number_in_the_file_also_if_lines_before_the_header_are_empty(self, tmp_path, url):
        path = tmp_path / "device.csv"
        path.write_bytes(b"\n\n\n" + content(DEVICES) + b"bad\n")
        (bad,) = go(path, url).first_rejected
        assert bad.line == 3 + 1 + len(DEVICES) + 1

    def test_an_id_that_comes_again_much_later(self, tmp_path, url):
        path = tmp_path / "device.csv"
        path.write_bytes(content(device(f"d{number}") for number in range(9_000)) + row(id="d7"))
        (bad,) = go(path, url).first_rejected
        assert bad.reason == "line 9002, column id: must be unique; 'd7' is on line 9 too"

    def test_only_the_first_are_kept_but_all_are_counted(self, tmp_path, url):
        path = tmp_path / "device.csv"
        path.write_bytes(file(*[b"bad\n"] * 30_000))
        result = go(path, url)
        assert (result.rejected, len(result.first_rejected)) == (30_000, rejects.MAX_SHOWN)

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (
                "UPDATE devices SET name = 'a' || char(10) WHERE id = 'a'",
                "table devices, row 'a', column name: ",
            ),
            ("UPDATE devices SET status = x'ff' WHERE id = 'a'", "row 'a', column status"),
            ("UPDATE devices SET name = CAST(x'ff' AS TEXT) WHERE id = 'a'", "row 'a', column name"),
            ("UPDATE nics SET type = 'a;b'", "row 'a', column nic_type"),
            ("UPDATE nics SET device_id = 'b'", "table nics, row 'b', column device_id: must be the id of a device"),
            ("UPDATE nics SET device_id = '0'", "table nics, row '0', column device_id"),
            ("UPDATE groups SET name = ''", "table groups, row 'g', column name"),
            ("DELETE FROM groups", "table memberships, row 'a', column group_id"),
        ],
    )
    def test_a_database_that_somebody_broke(self, tmp_path, url, database, damage, words):
        members = [Membership("a", "g")]
        go(fill(tmp_path / "from", [device("a", nic=(NIC,))], [Group("g", "name")], members), url)
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(damage)
        result = go(url, tmp_path / "to.csv")
        assert words in str(result.first_rejected[0])
        assert not result.done
        assert go(url, tmp_path / "to.csv", skip_bad=tmp_path / "rejected.csv").done

    @pytest.mark.parametrize(
        ("damage", "column"),
        [
            (
                "UPDATE devices SET name = 'n,t,m,s,v,2024-01-01 00:00:00,,,,s' || char(10) || 'b,n'",
                "name",
            ),
            (
                "UPDATE nics SET type = type || ';e', mac = mac || ';00:00:00:00:00:02', ipv4 = ipv4 || ';1.2.3.4'",
                "nic_type",
            ),
        ],
        ids=["a device", "a network interface"],
    )
    def test_cells_that_would_be_read_as_more_rows_are_refused(self, tmp_path, url, database, damage, column):
        nic = (NIC,) if column == "nic_type" else ()
        go(fill(tmp_path / "from", [device("a", nic=nic)], [], []), url)
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(damage)
        result = go(url, tmp_path / "to.csv")
        assert (result.done, result.rows, result.rejected) == (False, 0, 1)
        assert f"row 'a', column {column}: must be" in str(result.first_rejected[0])
