"""A registry goes from one store to another as a whole, or not at all."""

import csv
import fcntl
import gc
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import warnings
from contextlib import closing

import psycopg
import pytest
from devicesvc.migrations import upgrade
from sqlalchemy import make_url

from devicesvc.csv_codec.formats import GROUP_CSV, MEMBERSHIP_CSV
from devicesvc.dao.urls import KINDS, open_store, parse
from devicesvc.errors import StoreUnavailable
from devicesvc.model import DeviceFilter, Group, GroupFilter, Membership, Nic
from devicesvc.sample import DEVICES
from devicesvc.transfer import csv_source, csv_target, rejects, sql_source, sql_target
from devicesvc.transfer import mariadb as on_mariadb
from devicesvc.transfer.mariadb import MariadbTarget
from devicesvc.transfer.mover import Result, Watcher, migrate
from devicesvc.transfer.source import Chunk, Unreadable
from tests.csv_codec.test_formats import file, row
from tests.dao.test_postgresql_store import CUT
from tests.hard_data import HARD, HARD_GROUPS, IN_GBK, NIC, content, device

SOME = [
    *DEVICES,
    *(each.merge({"id": f"hard-{number}"}) for number, each in enumerate(HARD.values())),
    device("mac", nic=(NIC, Nic("e", "AA-BB-CC-DD-EE-FF", "1.2.3.4"))),
    device("fold", hardware_model="GROẞ"),
]
GROUPS = [
    each.merge({"id": f"g{number}", "name": f"{number}{each.name}"[:64]})
    for number, each in enumerate(HARD_GROUPS.values())
]
MEMBERS = [Membership(each.id, group.id) for each in SOME[::2] for group in GROUPS[::2]]


def fill(folder, devices=SOME, groups=GROUPS, members=MEMBERS, name="device.csv"):
    """A registry in CSV files, and the path of its devices."""
    folder.mkdir(exist_ok=True)
    stem = "" if name == "device.csv" else f"{name.removesuffix('.csv')}."
    (folder / name).write_bytes(content(devices))
    (folder / f"{stem}group.csv").write_bytes(content(groups, GROUP_CSV))
    (folder / f"{stem}device_group.csv").write_bytes(content(members, MEMBERSHIP_CSV))
    return str(folder / name)


def everything(url):
    """All that a store holds, as it tells itself."""
    with open_store(url) as store:
        members = sorted((each.device_id, each.group_id) for each in store.memberships.list())
        return (
            {each.id: each for each in store.devices.list()},
            {each.id: each for each in store.groups.list()},
            members,
        )


ALL = (
    {each.id: each for each in SOME},
    {each.id: each for each in GROUPS},
    sorted((each.device_id, each.group_id) for each in MEMBERS),
)


def go(source, target, **options):
    return migrate(Result(str(source), str(target)), **options)


def names(folder):
    """What is in a folder, but for locks and histories: test_history looks at these."""
    found = (each.name for each in folder.iterdir())
    return sorted(name for name in found if not name.endswith(".lock") and "history-" not in name)


@pytest.fixture
def source(tmp_path):
    return fill(tmp_path / "from")


@pytest.fixture
def database(tmp_path):
    return tmp_path / "device.db"


@pytest.fixture
def url(database):
    return f"sqlite:///{database}"


@pytest.fixture(params=[kind.name for kind in KINDS])
def target(request, tmp_path):
    """The URL of a target, ready to be filled."""
    if request.param in ("postgresql", "mariadb"):
        if "store_url" in request.fixturenames:  # which may be on the same server
            url: str = request.getfixturevalue({"postgresql": "postgres_url", "mariadb": "mariadb_url"}[request.param])
            upgrade(url)
            return url
        registry = {"postgresql": "upgraded_server", "mariadb": "upgraded_mariadb"}[request.param]
        return request.getfixturevalue(registry).emptied()
    return {"csv": str(tmp_path / "to.csv"), "sqlite": f"sqlite:///{tmp_path}/to.db"}[request.param]


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


class TestTargets:
    def test_a_target_that_exists_is_refused_unless_it_may_be_replaced(self, tmp_path, source, target):
        go(fill(tmp_path / "old", [device("old")], [Group("old", "old")], [Membership("old", "old")]), target)
        before = everything(target)
        with pytest.raises(StoreUnavailable, match="--replace"):
            go(source, target)
        assert everything(target) == before
        assert go(source, target, replace=True).done
        assert everything(target) == ALL

    def test_a_target_that_was_refused_is_free_at_once(self, source, target):
        go(source, target)
        with pytest.raises(StoreUnavailable) as refused:
            go(source, target)
        with open_store(target) as store:
            store.write(lambda tx: tx.groups.create({"name": "free"}))
        del refused  # until now it has kept alive all that the migration left open

    def test_a_dry_run_writes_nothing(self, tmp_path, source, url):
        before = names(tmp_path)
        result = go(source, url, dry_run=True, skip_bad=tmp_path / "rejected.csv")
        assert (result.done, result.rows) == (False, len(SOME) + len(GROUPS) + len(MEMBERS))
        assert names(tmp_path) == before

    def test_a_database_is_durable_as_a_whole_before_it_gets_its_name_and_its_name_after(
        self, monkeypatch, source, url, database, tmp_path
    ):
        steps: list[object] = []
        real_fsync, real_replace = os.fsync, os.replace

        def what(file):
            found = os.stat(file)
            return found.st_ino, found.st_mtime_ns  # the time would be another if it were written to later

        def fsync(file):
            steps.append(("synced", what(file)))
            real_fsync(file)

        def replace(*paths):
            steps.append("named")
            real_replace(*paths)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replace)
        go(source, url)
        assert steps == [("synced", what(database)), "named", ("synced", what(tmp_path))]

    @pytest.mark.parametrize("name", ["a%20b", "a%41b", "a?b", "a b", "数据"])
    def test_the_folder_may_have_any_name(self, tmp_path, source, monkeypatch, name):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert go(source, "sqlite:///device.db").done
        assert names(tmp_path) == sorted([name, "from"])
        assert names(tmp_path / name) == ["device.db"]
        assert everything("sqlite:///device.db") == ALL

    def test_what_a_killed_run_left_is_swept(self, tmp_path, source, url):
        for name in (".device.db.tmp", ".device.db.tmp-journal", "device.db-journal"):
            (tmp_path / name).write_bytes(b"left")
        go(source, url)
        assert names(tmp_path) == ["device.db", "from"]
        assert everything(url) == ALL

    @pytest.mark.parametrize("renames", range(6))
    @pytest.mark.parametrize("running", [False, True])
    def test_files_that_a_killed_run_was_replacing_are_the_old_ones_or_the_new_ones(
        self, tmp_path, source, renames, running
    ):
        """Killed before each rename: that of the journal, that of the history, and those of three files."""
        path = fill(tmp_path / "to", [device("old")], [Group("old", "old")], [Membership("old", "old")])
        old = everything(path)
        work = (
            "import os, signal, sys; from devicesvc.transfer.mover import Result, migrate\n"
            "left, real = [int(sys.argv[3])], os.replace\n"
            "def replace(*paths, **options):\n"
            "    if not left[0]: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    left[0] -= 1; real(*paths, **options)\n"
            "os.replace = replace\n"
            "migrate(Result(*sys.argv[1:3]), replace=True)"
        )
        with open_store(path) as store:
            ended = subprocess.run([sys.executable, "-c", work, source, path, str(renames)], check=False)
            assert ended.returncode == (0 if renames == 5 else -signal.SIGKILL)
            faults = parse(path).check()
            assert bool(faults) == (0 < renames < 5)
            assert all("devicesvc migrate was interrupted" in each for each in faults)
            if running:
                store.write(lambda tx: tx.devices.remove(["nothing"]))
        assert everything(path) == (ALL if renames else old)
        assert names(tmp_path / "to") == ["device.csv", "device_group.csv", "group.csv"]
        assert parse(path).check() == []

    def test_groups_of_somebody_else_are_never_written_over(self, tmp_path, source):
        (tmp_path / "to").mkdir()
        (tmp_path / "to/group.csv").write_bytes(b"mine")
        with pytest.raises(StoreUnavailable, match="is there already"):
            go(source, tmp_path / "to/device.csv")
        assert (tmp_path / "to/group.csv").read_bytes() == b"mine"

    def test_two_migrations_at_once(self, source, url):
        with (
            parse(url).target(replace=False),
            pytest.raises(StoreUnavailable, match="by another migration"),
        ):
            go(source, url)

    def test_what_another_migration_has_just_put_in_its_place_is_not_emptied(self, monkeypatch, source, url, database):
        """The other ends between two steps of this one: when its file is open, and not yet locked."""
        lock = fcntl.flock

        def late(handle, how):
            temporary = database.with_name(".device.db.tmp")
            if temporary.exists():
                temporary.write_bytes(b"its work")
                temporary.replace(database)
            lock(handle, how)

        monkeypatch.setattr(fcntl, "flock", late)
        with pytest.raises(StoreUnavailable, match="by another migration"):
            go(source, url)
        assert database.read_bytes() == b"its work"

    def test_a_database_that_is_in_use_is_not_replaced(self, monkeypatch, source, url, database):
        monkeypatch.setattr(sql_target, "PATIENCE", 0.1)
        go(source, url)
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="in use"):
                go(source, url, replace=True)
        assert everything(url) == ALL

    def test_what_is_read_back_must_be_what_was_written(self, monkeypatch, source, target):
        written = sql_target.SqliteTarget.written
        for kind in (sql_target.SqliteTarget, csv_target.CsvTarget, sql_target.PostgresTarget, MariadbTarget):
            read = kind.written

            def damaged(self, read=read):
                for table, rows in read(self):
                    damage = [(*each[:-1], "damaged") for each in rows] if table == "groups" else rows
                    yield Chunk(table, damage)

            monkeypatch.setattr(kind, "written", damaged)
        with pytest.raises(StoreUnavailable, match="rows that differ"):
            go(source, target)
        monkeypatch.undo()
        assert sql_target.SqliteTarget.written is written
        assert go(source, target).done

    def test_a_schema_that_is_not_current(self, source, postgres_url):
        with pytest.raises(StoreUnavailable, match="devicesvc db upgrade"):
            go(source, postgres_url)

    @pytest.mark.parametrize(
        ("from_", "to", "words"),
        [
            ("none.csv", "to.csv", "There is no file"),
            ("from/device.csv", "from/device.csv", "share a file"),
            ("from/device.csv", "from/group.csv", "share a file"),
            ("from/device.csv", "from", "is a folder"),
            ("from/device.csv", "/dev/null", "is not a file"),
            ("from/device.csv", "to.db", "write sqlite:///to.db"),
            ("from/device.csv", "none/to.csv", "there is no folder"),
            ("from/device.csv", "sqlite:///none/to.db", "there is no folder"),
            ("from/device.csv", "sqlite:///from", "is a folder"),
            ("sqlite:///none.db", "to.csv", "there is no file"),
        ],
    )
    @pytest.mark.usefixtures("source")
    def test_what_makes_no_sense_is_refused(self, monkeypatch, tmp_path, from_, to, words):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(StoreUnavailable, match=words):
            go(from_, to)
        assert names(tmp_path) == ["from"]

    @pytest.mark.parametrize("rejected", ["from/device.csv", "from/group.csv", "there", "none/rejected.csv"])
    def test_a_file_for_bad_rows_that_is_something_else(self, tmp_path, source, url, rejected):
        (tmp_path / "there").touch()
        with pytest.raises(StoreUnavailable, match=rejected):
            go(source, url, skip_bad=tmp_path / rejected)


def test_postgresql_knows_at_once_how_many_rows_there_are(source, postgres_url):
    """Else it would read a whole table for one page, until autovacuum comes."""
    upgrade(postgres_url)
    go(source, postgres_url)
    plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        rows = connection.execute("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'")
        known: dict[str, float] = dict(rows.fetchall())
    assert (known["devices"], known["groups"], known["history"]) == (len(ALL[0]), len(ALL[1]), 1)


class Meanwhile(Watcher):
    """Does something once the snapshot of the source is taken."""

    def __init__(self, do):
        self.do = do

    def begin(self, what, _total):
        if what != "Reading it back":
            self.do()


class BeforeTheEnd(Watcher):
    """Does something when all is written, and not yet published."""

    def __init__(self, do):
        self.do = do

    def begin(self, what, _total):
        if what == "Reading it back":
            self.do()


class TestMeanwhile:
    def test_who_reads_a_target_that_is_replaced_finds_what_was_there(self, source, target, tmp_path):
        go(fill(tmp_path / "old", [device("old")], [], []), target)
        seen = []
        with open_store(target) as service:
            read = BeforeTheEnd(lambda: seen.extend(service.devices.list()))
            assert go(source, target, replace=True, watcher=read).done
            assert seen == [device("old")]
            assert {each.id: each for each in service.devices.list()} == ALL[0]

    def test_one_snapshot_of_a_service_that_goes_on_is_taken(self, target, tmp_path):
        """Another store changes the source, as a service does, while it is read."""
        path = str(tmp_path / "device.csv")
        with open_store(path, DEVICES) as service:

            def add(tx):
                tx.devices.add(device("new"))
                tx.groups.add(GROUPS[0])

            result = go(path, target, watcher=Meanwhile(lambda: service.write(add)))
            assert (result.done, result.changed) == (True, True)
            assert everything(target) == ({each.id: each for each in DEVICES}, {}, [])
            service.write(lambda tx: tx.devices.add(device("later")))
            assert len(service.devices.list()) == len(DEVICES) + 2

    def test_a_database_too(self, target, tmp_path, source):
        result = None
        go(source, target)
        with open_store(target) as service:
            add = Meanwhile(lambda: service.write(lambda tx: tx.devices.add(device("new"))))
            result = go(target, f"sqlite:///{tmp_path}/other.db", watcher=add)
        assert (result.done, result.changed) == (True, True)
        assert everything(f"sqlite:///{tmp_path}/other.db") == ALL

    @pytest.mark.parametrize("dry_run", [False, True])
    def test_a_server_that_goes_away(self, source, postgres_url, tmp_path, dry_run):
        def cut():
            plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
            with psycopg.connect(plain) as other:
                other.execute(CUT)

        upgrade(postgres_url)
        go(source, postgres_url)
        with pytest.raises(
            StoreUnavailable, match=r"cannot be read: terminating connection.*\. Nothing was changed\.$"
        ):
            go(postgres_url, tmp_path / "to.csv", watcher=Meanwhile(cut), dry_run=dry_run)
        assert names(tmp_path) == ["from"]

    def test_a_server_that_goes_away_in_the_end(self, source, postgres_url, tmp_path, monkeypatch):
        def gone(_source):
            raise psycopg.OperationalError

        upgrade(postgres_url)
        go(source, postgres_url)
        monkeypatch.setattr(sql_source.PostgresSource, "_changes_now", gone)
        result = go(postgres_url, tmp_path / "to.csv")
        assert (result.done, result.changed) == (True, True)

    def test_the_copy_that_is_read_has_no_name(self, source, url, tmp_path, monkeypatch):
        go(source, url)
        (tmp_path / "tmp").mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
        monkeypatch.setattr(tempfile, "tempdir", None)
        seen = []

        class Copied(sqlite3.Connection):
            def backup(self, *to, **options):
                super().backup(*to, **options)
                seen.append(names(tmp_path / "tmp"))

        monkeypatch.setattr(sql_source, "_read_only", lambda path: sqlite3.connect(path, factory=Copied))
        go(url, tmp_path / "to.csv")
        assert seen == [[]]

    def test_a_source_that_is_damaged(self, tmp_path, url, database, target):
        go(fill(tmp_path / "from", [device(f"d{number}") for number in range(1_000)], [], []), url)
        whole = database.read_bytes()
        rows = len(whole) // 5  # the indexes come after them
        database.write_bytes(whole[:rows] + b"\xff" * 100_000 + whole[rows + 100_000 :])
        with pytest.raises(StoreUnavailable, match=f"^{url} cannot be read: database disk image is malformed"):
            go(url, target)

    def test_a_source_that_nobody_may_write_is_read(self, source, url, tmp_path):
        os.chmod(tmp_path / "from", 0o555)
        try:
            assert go(source, url).done
        finally:
            os.chmod(tmp_path / "from", 0o755)

    def test_ctrl_c_leaves_nothing(self, source, target, tmp_path):
        def interrupt():
            raise KeyboardInterrupt

        before, threads = names(tmp_path), set(threading.enumerate())
        with pytest.raises(KeyboardInterrupt):
            go(source, target, watcher=Meanwhile(interrupt))
        assert names(tmp_path) == before
        assert set(threading.enumerate()) <= threads
        assert go(source, target).done

    def test_ctrl_c_while_it_is_read(self, target, tmp_path, monkeypatch):
        def interrupt(_data):
            raise KeyboardInterrupt

        go(fill(tmp_path / "from", [device(f"d{number}") for number in range(10)], [], []), target)
        for module in (sql_source, on_mariadb):
            monkeypatch.setattr(module, "ROWS", 2)  # so a database is not read to its end yet
        for module in (csv_source, sql_source):
            monkeypatch.setattr(module, "plain", interrupt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()  # what other tests have thrown away
        with pytest.raises(KeyboardInterrupt):
            go(target, tmp_path / "back.csv")
        gc.collect()  # what is thrown away must not complain
        assert "back.csv" not in names(tmp_path)
