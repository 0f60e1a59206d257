"""The history of a CSV registry: in files that a person can read, held against the registry, and never in its way."""

import errno
import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime

import pytest

from devicesvc.csv_codec import history as codec
from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.dao import durable_file
from devicesvc.dao.csv.recording import Recorder
from devicesvc.dao.history import FILE, IMPORT, HistoryFilter, Row, now
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from tests.dao.conftest import add
from tests.hard_data import device

FIRST = DEVICES[0]
EVER = "2999-01-01T00:00:00.000Z"


@pytest.fixture
def store(csv_store):
    return csv_store


@pytest.fixture
def history(path):
    return path.with_name(f"history-{now()[:7]}.csv")


class Killed(Exception):
    """In the place of a crash."""


def killed(*arguments):
    for version in arguments[0].values() if isinstance(arguments[0], dict) else ():
        version.file.close()
    raise Killed


def rename(name, id=FIRST.id):
    return lambda tx: tx.devices.update(id, {"name": name})


def told(store, **where):
    """Who did what to what, the oldest first."""
    changes = store.history.page(HistoryFilter(**where), None, 1000)[::-1]
    return [(row.who, row.done, row.id, row.after) for change in changes for row in change.rows if row.who != IMPORT]


def edit(path, old, new):
    """Change a file as an editor does."""
    data = path.read_text("utf-8")
    assert old in data
    other = path.with_name("new")
    other.write_text(data.replace(old, new), "utf-8")
    other.replace(path)


class TestFile:
    def test_a_row_is_a_line_that_cat_shows(self, store, history):
        store.write(rename('a "name", of mine'))
        assert Row._fields == codec.COLUMNS
        first, *_, last = history.read_text("utf-8").splitlines()
        assert first == "change,time,who,request_id,address,done,kind,id,column,before,after"
        assert last.endswith(f',-,,,changed,device,{FIRST.id},name,{FIRST.name},"a ""name"", of mine"')

    def test_a_registry_of_another_name_has_a_history_of_its_own(self, tmp_path, history):
        with open_store(str(tmp_path / "fleet.csv"), DEVICES), open_store(str(tmp_path / "device.csv"), DEVICES[:2]):
            pass
        assert history.read_text("utf-8").count("\n") == 3
        assert history.with_name(f"fleet.{history.name}").read_text("utf-8").count("\n") == 6

    def test_it_may_be_read_by_those_who_may_read_the_devices(self, path, history):
        open_store(str(path)).close()
        path.chmod(0o640)
        with open_store(str(path)) as store:
            store.write(add(device("1")))
        assert history.stat().st_mode & 0o777 == 0o640

    def test_a_clock_that_is_set_back_sets_no_time_back(self, store, monkeypatch):
        class Past(datetime):
            @classmethod
            def now(cls, zone=None):
                return datetime(2001, 1, 1, tzinfo=zone)

        monkeypatch.setattr("devicesvc.dao.history.datetime", Past)
        for name in "abc":
            store.write(rename(name))
        times = [each.time for each in store.history.page(HistoryFilter(), None, 10)]
        assert times == sorted({*times}, reverse=True)

    def test_older_months_may_be_compressed_or_moved_away(self, store, history):
        store.write(rename("old"))
        older = history.with_name("history-2020-01.csv")
        older.write_bytes(history.read_bytes().replace(now()[:7].encode(), b"2020-01"))
        history.unlink()
        older.with_suffix(".csv.gz").write_bytes(gzip.compress(older.read_bytes()))
        older.unlink()
        store.write(rename("new"))
        assert [each[3] for each in told(store)] == ["old", "new"]
        assert [each.number for each in store.history.after(0, 10)] == [1, 2, 3]
        assert store.history.prune(EVER) == 1
        assert [each[3] for each in told(store)] == ["new"]
        older.with_suffix(".csv.gz").unlink()
        assert [each.number for each in store.history.page(HistoryFilter(), None, 10)] == [3]
        assert store.history.fault is None


class TestReconciling:
    def test_an_edit_by_hand_has_rows_of_its_own(self, store, path):
        store.write(lambda tx: (tx.groups.add(Group("a", "alpha")), tx.memberships.add([Membership(FIRST.id, "a")])))
        edit(path, "meter-adapter", "METER")
        store.devices.list()
        edit(
            path,
            "\n".join(line for line in path.read_text("utf-8").splitlines() if line.startswith(FIRST.id)) + "\n",
            "",
        )
        store.devices.list()
        assert told(store)[2:] == [
            (FILE, "changed", "3635138853", "METER"),
            (FILE, "deleted", f"{FIRST.id}/a", ""),
            (FILE, "deleted", FIRST.id, ""),
        ]

    def test_what_a_sibling_has_committed_is_not_taken_for_an_edit(self, store, path):
        with open_store(str(path)) as other:
            for number in range(3):
                other.write(rename(f"theirs {number}"))
                store.devices.list()
                store.write(rename(f"ours {number}"))
            edit(path, "meter-adapter", "METER")
            store.devices.list()
            other.devices.list()
            other.write(add(device("1")))
        assert [each[0] for each in told(store)] == ["-"] * 6 + [FILE, "-"]

    @pytest.mark.parametrize("who", ["itself", "a sibling", "the next start"])
    def test_rows_of_a_change_that_did_not_come_to_be_are_taken_back(self, store, path, history, monkeypatch, who):
        with open_store(str(path)) as other, monkeypatch.context() as patch:
            patch.setattr(durable_file, "publish", killed)
            with pytest.raises(Killed):
                (other if who == "a sibling" else store).write(rename("never"))
        assert b"never" in history.read_bytes()
        assert told(store) == []
        if who == "the next start":
            store.close()
            with open_store(str(path)) as again:
                assert told(again) == []
                again.write(rename("kept"))
                assert [each[3] for each in told(again)] == ["kept"]
        else:
            store.write(rename("kept"))
            assert [each[3] for each in told(store)] == ["kept"]
        assert history.read_text("utf-8").count("not kept") == 1

    def test_a_sibling_killed_after_the_rename_has_made_its_change(self, store, path, monkeypatch):
        with open_store(str(path)) as other, monkeypatch.context() as patch:
            patch.setattr(Recorder, "confirm", killed)
            with pytest.raises(Killed):
                other.write(rename("theirs"))
        assert [each[3] for each in told(store)] == ["theirs"] or store.devices.get(FIRST.id).name == "theirs"
        store.write(rename("ours"))
        assert [each[:2] + each[3:] for each in told(store)] == [("-", "changed", "theirs"), ("-", "changed", "ours")]

    def test_nobody_is_shown_a_change_before_it_is_in_place(self, store, path, monkeypatch):
        shown = []
        real = durable_file.publish

        def publish(versions):
            with suppress(StoreUnavailable):
                shown.extend([store.history.last(), other.history.last(), len(other.history.after(1, 10))])
            real(versions)

        with open_store(str(path)) as other:
            store.write(rename("x"))
            monkeypatch.setattr(durable_file, "publish", publish)
            store.write(rename("y"))
            assert shown == [2, 2, 1]
            assert other.history.last() == 3

    def test_a_torn_last_line_is_said_and_ended_and_nothing_is_cut_off(self, store, path, history, caplog):
        store.close()
        whole = history.read_bytes()
        history.write_bytes(whole + b'2,2026-11-26T00:00:00.000Z,-,,,changed,device,1,name,"a,')
        with open_store(str(path)) as again:
            again.write(rename("x"))
            assert [each[3] for each in told(again)] == ["x"]
            assert again.history.fault is None
        assert history.read_bytes().startswith(whole)
        assert f"{history}: the last line is torn" in caplog.text


class TestFaults:
    @pytest.mark.parametrize("how", ["folder", "header", "line"])
    def test_a_broken_history_is_said_and_stops_nothing(self, store, path, history, caplog, how):
        store.close()
        data = history.read_bytes()
        history.unlink()
        if how == "folder":
            history.mkdir()
        elif how == "header":
            history.write_bytes(b"something,else\n")
        else:
            history.write_bytes(data + b"\xff\xff is not a row\n")
        with open_store(str(path)) as again:
            for name in "abc":
                again.write(rename(name))
            if how == "line":
                assert [each[3] for each in told(again)] == ["a", "b", "c"]
            assert again.devices.get(FIRST.id).name == "c"
            again.ping()
            assert str(history) in (again.history.fault or "")
        assert [record.levelname for record in caplog.records].count("ERROR") == 1

    def test_what_was_changed_meanwhile_is_told_once_it_is_mended(self, store, path, history):
        data = history.read_bytes()
        history.unlink()
        history.mkdir()
        with open_store(str(path)) as other:
            store.write(rename("a"))
            other.write(add(device("new")))
            store.write(rename("b"))
            assert store.history.fault
            history.rmdir()
            history.write_bytes(data)
            store.write(rename("c"))
            assert store.history.fault is None
            for each in (store, other):
                each.ping()
        whole = [(change.who, row.id, row.after) for change in store.history.after(1, 9) for row in change.rows]
        assert whole == [("file", FIRST.id, "b"), ("file", "new", DEVICE_CSV.line(device("new"))), ("-", FIRST.id, "c")]

    @pytest.fixture
    def no_sync(self, history, monkeypatch):
        """Have each fsync of the history fail with this error."""
        real = durable_file.sync_file

        @contextmanager
        def no_sync(error):
            def fail(file):
                if os.path.realpath(f"/proc/self/fd/{file.fileno()}") == str(history):
                    raise OSError(error, os.strerror(error))
                real(file)

            with monkeypatch.context() as patch:
                patch.setattr(durable_file, "sync_file", fail)
                yield

        return no_sync

    @pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
    def test_a_change_whose_rows_cannot_be_written_is_refused(self, store, history, no_sync, error):
        words = rf"{history} cannot be written: .*\. Nothing was changed"
        with no_sync(error), pytest.raises(StoreUnavailable, match=words):
            store.write(rename("never"))
        assert store.devices.get(FIRST.id) == FIRST
        store.write(rename("kept"))
        assert [each[3] for each in told(store)] == ["kept"]

    def test_while_a_torn_last_line_cannot_be_ended_changes_are_refused(self, store, history, no_sync):
        with history.open("ab") as file:
            file.write(b"2,2026-11-26T00:00:00.000Z,-,,,cha")
        with no_sync(errno.EIO):
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match=r"cannot be written: .*\. Nothing was changed"):
                    store.write(rename("never"))
        assert store.devices.get(FIRST.id) == FIRST
        store.write(rename("kept"))
        assert [each[3] for each in told(store)] == ["kept"]
        assert store.history.fault is None


def test_threads_that_write_and_read_at_once_see_each_change_once(store):
    def write(number):
        for step in range(5):
            store.write(add(device(f"{number}-{step}")))

    seen = []
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(write, number) for number in range(4)]
        number = 1
        while not all(each.done() for each in running) or store.history.last() > number:
            for change in store.history.after(number, 10):
                seen.append(change.rows[0].id)
                number = change.number
    assert sorted(seen) == sorted(f"{number}-{step}" for number in range(4) for step in range(5))
