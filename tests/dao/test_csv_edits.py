"""Files that people have made or changed, while the service runs and before."""

import os
import resource
import socket
import threading
from pathlib import Path

import pytest

from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.dao.csv import store as store_module
from devicesvc.dao.urls import open_store, parse
from devicesvc.errors import StoreUnavailable
from devicesvc.sample import DEVICES
from tests.dao.conftest import add
from tests.hard_data import IN_GBK, content, device

FIRST = DEVICES[0]
HEADER, encode = FORMAT.header, FORMAT.encode


@pytest.fixture
def store(csv_store):
    return csv_store


class TestEdits:
    def test_a_whole_edit_is_taken_in(self, store, path):
        path.write_bytes(path.read_bytes().replace(b"classroom-controller", "教室控制器".encode()))
        assert store.devices.get(FIRST.id).name == "教室控制器"

    def test_an_edit_by_renaming_is_taken_in(self, store, path):
        new = path.with_name("new")
        new.write_bytes(content([device("only")]))
        new.replace(path)
        assert [each.id for each in store.devices.list()] == ["only"]

    def test_if_two_names_in_the_header_are_swapped_all_lines_are_read_again(self, store, path):
        new = path.with_name("new")
        new.write_bytes(path.read_bytes().replace(b"hardware_model,hardware_sn", b"hardware_sn,hardware_model"))
        new.replace(path)
        swapped = [each.merge({"hardware": {"model": each.hardware.sn, "sn": each.hardware.model}}) for each in DEVICES]
        assert store.devices.list() == sorted(swapped, key=lambda each: each.id)

    def test_the_next_change_keeps_the_edit(self, store, path):
        path.write_bytes(content([device("only")]))
        store.write(add(device("1")))
        assert path.read_bytes() == content([device("only"), device("1")])

    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (lambda data: data.replace(b"online", b"", 1), r"line 2, column status: must be 1 to 32 characters"),
            (lambda _data: b"", "line 1 must be the header .* the file is empty"),
            (lambda data: data[:-4], "must end with a newline"),
            (lambda _data: IN_GBK, "line 2 is not UTF-8: .* in Excel, choose the file type CSV UTF-8"),
            (lambda data: data.replace(b",status", b",", 1), "line 1, column 11: has no name in the header; missing"),
        ],
    )
    def test_a_broken_edit_stops_writes_but_not_reads_and_mending_it_heals(self, store, path, edit, words, caplog):
        good = path.read_bytes()
        broken = edit(good)
        path.write_bytes(broken)
        assert store.devices.list() == sorted(DEVICES, key=lambda each: each.id)
        with pytest.raises(StoreUnavailable, match=words):
            store.write(add(device("1")))
        with pytest.raises(StoreUnavailable, match="No change is taken until that is mended"):
            store.ping()
        assert path.read_bytes() == broken
        assert len(caplog.records) == 1
        caplog.set_level("INFO")
        path.write_bytes(good)
        store.write(add(device("1")))
        assert path.read_bytes() == content([*DEVICES, device("1")])
        mended = f"{path} is in order again: changes are taken."
        assert [each.message for each in caplog.records].count(mended) == 1

    def test_of_two_broken_files_the_log_names_the_registry_as_in_order_when_both_are_mended(self, store, path, caplog):
        caplog.set_level("INFO")
        good, groups = path.read_bytes(), path.with_name("group.csv")
        path.write_bytes(b"broken")
        groups.write_bytes(b"broken")
        for file, mended in ((groups, b"id,name,description\n"), (path, good)):
            assert store.devices.list()
            assert "is in order again" not in caplog.text
            file.write_bytes(mended)
        assert store.devices.list()
        assert caplog.text.count("is in order again") == 1

    def test_a_fault_that_is_there_before_the_store_is_opened_is_raised_and_not_logged_too(self, path, caplog):
        path.write_bytes(b"broken\n")
        with pytest.raises(StoreUnavailable, match="line 1 must be the header"):
            open_store(str(path), DEVICES)
        assert not [each for each in caplog.records if each.levelname == "ERROR"]

    def test_a_file_that_is_gone_stops_writes_but_not_reads_until_it_is_back(self, store, path):
        good = path.read_bytes()
        path.unlink()
        assert len(store.devices.list()) == 5
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="cannot be read: No such file"):
                store.write(add(device("1")))
        assert not path.exists()
        path.write_bytes(good)
        store.write(add(device("1")))
        assert len(store.devices.list()) == 6


class TestInPlace:
    """A file that is written line by line is whole and right after each line, and yet not complete."""

    def test_of_twenty_lines_that_are_written_50_ms_apart_a_change_in_between_loses_none(
        self, store, path, monkeypatch
    ):
        monkeypatch.setattr(store_module, "QUIET", 1)
        begun = threading.Event()
        lines = [device(f"line-{number}") for number in range(20)]

        def produce():
            with path.open("wb", buffering=0) as file:
                file.write(HEADER)
                for number, each in enumerate(lines):
                    file.write(encode(each))
                    if number == 2:
                        begun.set()
                    threading.Event().wait(0.05)

        producer = threading.Thread(target=produce)
        producer.start()
        assert begun.wait(60)
        store.write(add(device("mine")))
        producer.join()
        assert path.read_bytes() == content([*lines, device("mine")])

    def test_a_change_is_refused_if_the_edit_takes_too_long_and_reads_go_on(self, store, path, monkeypatch):
        monkeypatch.setattr(store_module, "QUIET", 60)
        monkeypatch.setattr(store_module, "WRITER_PATIENCE", 0.01)
        path.write_bytes(content([device("theirs")]))
        with pytest.raises(StoreUnavailable, match=r"is being edited in place\. Nothing was changed; try again when"):
            store.write(add(device("mine")))
        assert store.devices.list() == [device("theirs")]
        assert path.read_bytes() == content([device("theirs")])

    def test_an_edit_that_came_by_a_rename_is_complete(self, store, path, monkeypatch):
        monkeypatch.setattr(store_module, "QUIET", 60)
        monkeypatch.setattr(store_module, "WRITER_PATIENCE", 0.01)
        new = path.with_name("new")
        new.write_bytes(content([device("theirs")]))
        new.replace(path)
        store.write(add(device("mine")))
        assert path.read_bytes() == content([device("theirs"), device("mine")])


def fifo(path):
    os.mkfifo(path)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def a_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [fifo, a_socket, a_device])
class TestWhatIsNoFile:
    """To open it would wait for ever, or never come to an end."""

    @pytest.mark.parametrize("name", ["device.csv", "group.csv", "device_group.csv"])
    def test_it_is_refused_at_the_start_and_by_check(self, path, make, name, monkeypatch):
        monkeypatch.chdir(path.parent)  # the name of a socket must be short
        path.write_bytes(content(DEVICES))
        path.with_name(name).unlink(missing_ok=True)
        make(Path(name))
        with pytest.raises(StoreUnavailable, match="cannot be read: It is not a regular file"):
            open_store(str(path) if name == "device.csv" else "device.csv")
        with pytest.raises(StoreUnavailable, match=rf"{name} cannot be read: It is not a regular file"):
            parse(name if name == "device.csv" else "device.csv").check()

    def test_while_the_service_runs_it_stops_writes_and_no_reads(self, store, path, make, monkeypatch):
        monkeypatch.chdir(path.parent)
        path.unlink()
        make(Path(path.name))
        assert len(store.devices.list()) == 5
        with pytest.raises(StoreUnavailable, match=r"device\.csv cannot be read: It is not a regular file"):
            store.write(add(device("1")))

    def test_as_the_lock_file_it_is_refused(self, path, make, monkeypatch):
        monkeypatch.chdir(path.parent)
        make(Path(".device.csv.lock"))
        words = "Too many levels of symbolic links" if make is a_device else "It is not a regular file"
        with pytest.raises(StoreUnavailable, match=rf"\.device\.csv\.lock: {words}"):
            open_store(str(path), DEVICES)


def test_a_fault_that_stays_is_logged_once_and_not_at_each_look(store, path, caplog):
    path.unlink()
    path.mkdir()  # what cannot be opened is looked at again by each call
    for _ in range(3):
        assert len(store.devices.list()) == 5
    assert caplog.messages == [f"{path} cannot be read: Is a directory."]


def test_the_log_says_which_rows_came_went_and_changed(store, path, caplog):
    caplog.set_level("INFO")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1].replace(b"online", b"absent"), *lines[3:], encode(device("new"))]))
    store.devices.list()
    assert caplog.messages == [f"Read {path}: 5 rows; came 1: new; went 1: 5661391086; changed 1: 4322159209"]


class TestHostileFiles:
    def test_a_line_of_two_gigabytes_is_refused_without_being_read(self, path):
        with path.open("wb") as file:
            file.write(HEADER + b"1,")
            file.truncate(2 << 30)  # zeros, of which the disk keeps none
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(StoreUnavailable, match="line 2 must be at most 65536 bytes long"):
            open_store(str(path))
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB

    def test_twenty_faults_are_named_and_the_others_counted(self, path):
        path.write_bytes(content(DEVICES) + b"bad,row\n" * 25)
        with pytest.raises(StoreUnavailable) as refusal:
            open_store(str(path))
        assert str(refusal.value).count(f"must have {len(FORMAT.columns)} cells") == 20
        assert str(refusal.value).endswith("; and 5 more, which devicesvc check names.")

    @pytest.mark.parametrize(
        "change",
        [
            lambda data: b"\xef\xbb\xbf" + data,
            lambda data: data.replace(b"\n", b"\r\n"),
            lambda data: b"\n".join(b",".join(reversed(line.split(b","))) for line in data.split(b"\n")),
            lambda data: data.replace(b"online", b'"online"'),
            lambda data: data.replace(b"dc:a6", b"DC-A6"),
        ],
        ids=["byte order mark", "CRLF", "columns in another order", "needless quotes", "MAC in another form"],
    )
    def test_what_is_accepted_is_kept_and_becomes_plain_at_the_next_change(self, path, change):
        path.write_bytes(change(content(DEVICES)))
        with open_store(str(path)) as store:
            assert store.devices.list() == sorted(DEVICES, key=lambda each: each.id)
            store.write(add(device("1")))
        assert path.read_bytes() == content([*DEVICES, device("1")])
