"""Backups: whole or not there, never in the way of each other, and restored into every kind of store."""

import re
import subprocess
from collections import Counter
from datetime import UTC, datetime

import pytest

from devicesvc.backups import NAME, find, parse_rule
from devicesvc.dao import lock_file
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.transfer import backup as module
from devicesvc.transfer.backup import back_up, content, exists, save_files, verified
from devicesvc.transfer.mover import Watcher
from tests.transfer.moves import ALL, GROUPS, MEMBERS, SOME, everything, fill, go

OLD = "devicesvc-2020-01-01T00-00-00Z"


@pytest.fixture
def registry(tmp_path):
    return fill(tmp_path / "data")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backups"


def saved(store, folder, rule=None):
    """Make a backup that must come about, and return where it is and what was said of it."""
    done = back_up(store, folder, rule=rule)
    assert done.backup
    return done.backup, done


def names(folder):
    """What is in a folder, but for its lock and a history: test_history looks at that."""
    found = (each.name for each in folder.iterdir())
    return sorted(name for name in found if name != ".devicesvc.lock" and not name.startswith("history-"))


def test_a_backup_of_each_kind_of_store_is_three_files_that_give_it_back(store_url, registry, folder):
    go(registry, store_url, replace=True)
    before = datetime.now(UTC).replace(microsecond=0)
    backup, done = saved(store_url, folder)
    assert names(folder) == [backup.name]
    assert before <= find(folder)[0] <= datetime.now(UTC)
    assert names(backup) == ["SHA256SUMS", "device.csv", "device_group.csv", "group.csv"]
    assert done.content.counts == content(store_url).counts
    assert str(done.content) == f"{len(SOME)} devices, {len(GROUPS)} groups, {len(MEMBERS)} memberships"
    assert everything(verified(backup)) == ALL
    with open_store(store_url) as store:
        store.write(lambda change: change.devices.remove([SOME[0].id]))
    go(verified(backup), store_url, replace=True)
    assert everything(store_url) == ALL


def test_sha256sum_checks_a_backup(registry, folder):
    backup = saved(registry, folder)[0]
    ended = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=backup, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.count(": OK")) == (0, 3)


def test_backups_of_the_same_second_are_two(registry, folder, monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 26, 12, tzinfo=tz)

    monkeypatch.setattr(module, "datetime", Clock)
    for _ in range(3):
        back_up(registry, folder)
    assert names(folder) == [f"devicesvc-2026-11-26T12-00-0{second}Z" for second in range(3)]


def test_a_rule_deletes_older_backups_and_nothing_else(registry, folder):
    others = ["devicesvc-2020-01-01", "notes", f"{OLD}.unreadable", "devicesvc-2020-01-02T00-00-00Z.old"]
    for name in (OLD, *others):
        (folder / name).mkdir(parents=True)
        (folder / name / "device.csv").write_text("x")
    (folder / "devicesvc-2020-01-03T00-00-00Z").write_text("a file")
    backup, done = saved(registry, folder, parse_rule("1d"))
    assert done.deleted == [folder / OLD]
    assert names(folder) == sorted([*others, "devicesvc-2020-01-03T00-00-00Z", backup.name])


def test_of_the_last_day_all_stay_with_what_a_restore_has_replaced(registry, folder):
    first, _ = saved(registry, folder, parse_rule("1d"))
    replaced = back_up(registry, folder, suffix=".replaced").backup
    second, done = saved(registry, folder, parse_rule("1d"))
    assert done.deleted == []
    assert replaced
    assert names(folder) == sorted(each.name for each in (first, replaced, second))


def test_without_a_rule_nothing_is_deleted(registry, folder):
    (folder / OLD).mkdir(parents=True)
    assert back_up(registry, folder).deleted == []
    assert OLD in names(folder)


def test_the_new_backup_stays_even_if_the_clock_was_set_back(registry, folder):
    (folder / "devicesvc-2099-01-01T00-00-00Z").mkdir(parents=True)
    backup, _ = saved(registry, folder, parse_rule("1d"))
    assert names(folder) == [backup.name, "devicesvc-2099-01-01T00-00-00Z"]


def test_a_bad_row_means_that_there_is_no_backup_and_nothing_is_deleted(registry, folder, tmp_path):
    for name in (OLD, "devicesvc-2020-01-02T00-00-00Z"):
        (folder / name).mkdir(parents=True)
    with (tmp_path / "data/device.csv").open("a") as file:
        file.write("bad\n")
    done = back_up(registry, folder, rule=parse_rule("1d"))
    assert (done.backup, done.content.rejected, done.deleted) == (None, 1, [])
    assert "must have 11 cells" in str(done.content.first_rejected[0])
    assert names(folder) == [OLD, "devicesvc-2020-01-02T00-00-00Z"]


@pytest.mark.parametrize("store", ["none.csv", "sqlite:///none.db"])
def test_a_store_that_is_not_there_leaves_nothing(store, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreUnavailable):
        back_up(store, folder, rule=parse_rule("1d"))
    assert names(folder) == []


def test_what_goes_wrong_in_the_middle_leaves_nothing(registry, folder):
    class Failing(Watcher):
        def begin(self, what, _total):
            if what == "Reading it back":
                assert len(names(folder)) == 1  # the temporary one
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(registry, folder, watcher=Failing())
    assert names(folder) == []


def test_what_a_kill_has_left_is_removed_by_the_next(registry, folder):
    left = folder / ".devicesvc.0123abcd.tmp"
    left.mkdir(parents=True)
    (left / "device.csv").write_text("half")
    (folder / ".devicesvc.mine.tmp").mkdir()
    backup, _ = saved(registry, folder)
    assert names(folder) == [".devicesvc.mine.tmp", backup.name]


@pytest.mark.parametrize("error", [SystemExit(), OSError(5, "Input/output error")])
def test_what_stops_the_deletion_of_an_old_backup_leaves_no_half_of_it(registry, folder, monkeypatch, error):
    (folder / OLD).mkdir(parents=True)

    def stopped(_path, ignore_errors=False):
        if not ignore_errors:
            raise error

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", stopped)
        with pytest.raises((SystemExit, StoreUnavailable)) as raised:
            back_up(registry, folder, rule=parse_rule("1d"))
    if isinstance(error, OSError):
        assert re.search(r"The new backup .* is there, but .*01-01.* cannot be deleted: Input/", str(raised.value))
    hidden, new = names(folder)
    assert hidden.endswith(".tmp")
    assert everything(verified(folder / new)) == ALL
    saved(registry, folder)
    assert not [name for name in names(folder) if name.startswith(".")]


def test_a_backup_waits_for_another_one_but_not_for_ever(registry, folder, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    folder.mkdir()
    with (
        lock_file.locked(folder / "devicesvc", 1),
        pytest.raises(
            StoreUnavailable, match=r"is busy: another process has held .*backups/\.devicesvc\.lock for 0\.05"
        ),
    ):
        back_up(registry, folder)
    saved(registry, folder)


def test_the_folder_is_made_but_not_the_one_that_it_is_in(registry, tmp_path):
    with pytest.raises(StoreUnavailable, match=r"not/mounted: No such file or directory\. There is no new backup\."):
        back_up(registry, tmp_path / "not/mounted")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"file: File exists\. There is no new backup\."):
        back_up(registry, tmp_path / "file")


class TestVerified:
    @pytest.fixture
    def backup(self, registry, folder):
        return saved(registry, folder)[0]

    def test_a_byte_that_has_changed_is_noticed(self, backup):
        text = (backup / "device.csv").read_text("utf-8")
        (backup / "device.csv").write_text(text.replace("online", "onlime", 1), "utf-8")
        with pytest.raises(StoreUnavailable, match=r"device\.csv is not as it was written"):
            verified(backup)
        (backup / "SHA256SUMS").unlink()
        assert everything(verified(backup)) != ALL

    def test_a_file_that_is_gone_is_noticed(self, backup):
        (backup / "group.csv").unlink()
        with pytest.raises(StoreUnavailable, match=r"is not complete: there is no file .*group\.csv"):
            verified(backup)

    def test_sums_that_cannot_be_read_are_noticed(self, backup):
        sums = (backup / "SHA256SUMS").read_bytes()
        for wrong in (b"", b"x\n", b"\xff\n", sums + b"x", sums.split(b"\n", 1)[1]):
            (backup / "SHA256SUMS").write_bytes(wrong)
            with pytest.raises(StoreUnavailable, match=r"is not as it was written|cannot be read"):
                verified(backup)

    def test_another_folder_is_not_a_backup(self, tmp_path):
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(StoreUnavailable, match="is not a backup: there is no file"):
                verified(path)


def test_whether_there_is_something_in_the_place_of_a_store(store_url, tmp_path):
    with open_store(store_url):
        assert exists(store_url)
    assert not exists(str(tmp_path / "none.csv"))
    assert not exists(f"sqlite:///{tmp_path}/none.db")


def test_the_files_of_a_broken_store_are_kept_byte_by_byte_and_are_not_a_backup(registry, folder, tmp_path):
    (tmp_path / "data/device.csv").write_bytes(b"\xff broken")
    kept = save_files(registry, folder)
    assert kept
    assert (kept / "device.csv").read_bytes() == b"\xff broken"
    assert (kept / "group.csv").read_bytes() == (tmp_path / "data/group.csv").read_bytes()
    assert datetime.strptime(kept.name, f"{NAME}.unreadable")
    assert find(folder) == []


def test_a_broken_database_is_kept_with_its_journal(folder, tmp_path):
    names_of_files = ["device.db", "device.db-wal"]
    for name in names_of_files:
        (tmp_path / name).write_text(f"broken {name}")
    kept = save_files(f"sqlite:///{tmp_path}/device.db", folder)
    assert kept
    assert names(kept) == ["SHA256SUMS", *names_of_files]


def test_a_store_on_a_server_has_no_files_to_keep(postgres_url, folder):
    from devicesvc.migrations import upgrade

    upgrade(postgres_url)
    assert save_files(postgres_url, folder) is None
    assert not folder.exists()


def test_an_empty_store_has_a_backup_too(folder, tmp_path):
    empty = fill(tmp_path / "data", [], [], [])
    backup, done = saved(empty, folder)
    assert done.content.counts.total() == content(verified(backup)).counts.total() == 0
    assert done.content.counts == Counter()
