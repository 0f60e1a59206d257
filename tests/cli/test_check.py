"""`devicesvc check`."""

import pytest
from click.testing import CliRunner
from devicesvc.migrations import upgrade
from sqlalchemy import make_url

from devicesvc.cli import main
from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.csv_codec.history import HEADER, closing
from devicesvc.sample import DEVICES
from tests.hard_data import IN_GBK, content


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.delenv("DEVICESVC_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["check", *arguments])


def test_a_file_in_order(check, tmp_path):
    (tmp_path / "device.csv").write_bytes(content(DEVICES))
    ended = check()
    assert (ended.exit_code, ended.stdout) == (0, "./device.csv is in order.\n")


def test_a_file_of_an_older_version_which_lacks_a_column_with_a_default_is_in_order(check, tmp_path):
    (tmp_path / "device.csv").write_bytes(content(DEVICES))
    (tmp_path / "group.csv").write_text("name,id\nalpha,a\n")
    ended = check()
    assert (ended.exit_code, ended.stdout) == (0, "./device.csv is in order.\n")
    assert (tmp_path / "group.csv").read_text() == "name,id\nalpha,a\n"


def test_lines_of_the_history_that_are_not_rows_of_it_are_named(check, tmp_path):
    (tmp_path / "device.csv").write_bytes(content(DEVICES))
    row = b"7,2026-01-02T03:04:05.678Z,-,,,changed,device,1,name,a,b\n"
    (tmp_path / "history-2026-01.csv").write_bytes(HEADER + row + b"7,x\n" + row.replace(b"7,2", b"6,2"))
    (tmp_path / "history-2026-02.csv").write_bytes(row)
    (tmp_path / "history-2026-03.csv.gz").write_bytes(b"not compressed")
    (tmp_path / "history-2026-04.csv").write_bytes(HEADER + row + b"8,2026" + closing(b"8,2026"))  # left by a crash
    ended = check()
    assert ended.exit_code == 1
    assert ended.stdout.splitlines() == [
        f"{tmp_path}/history-2026-01.csv, line 3 is not a row of the history",
        f"{tmp_path}/history-2026-01.csv, line 4, column change: must not be less than 7, as before it",
        f"{tmp_path}/history-2026-02.csv does not begin with the header {HEADER.decode().strip()}",
        f"{tmp_path}/history-2026-03.csv.gz cannot be read: Not a gzipped file (b'no')",
    ]


@pytest.mark.parametrize(
    ("header", "words"),
    [("id", "(missing: name; unknown: none)"), ("id,name,owner", "(missing: none; unknown: owner)")],
)
def test_a_file_that_lacks_any_other_column_or_has_an_unknown_one_is_not(check, tmp_path, header, words):
    (tmp_path / "device.csv").write_bytes(content(DEVICES))
    (tmp_path / "group.csv").write_text(f"{header}\n")
    ended = check()
    assert ended.exit_code == 1
    assert ended.stdout == f"{tmp_path}/group.csv, line 1 must be the header id,name,description {words}\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (IN_GBK, "line 2 is not UTF-8: save the file in UTF-8; in Excel, choose the file type CSV UTF-8, not CSV"),
        (
            content(DEVICES).replace(b",status", b",status,", 1),
            "line 1, column 12: has no name in the header; delete the column if it is empty",
        ),
    ],
)
def test_what_a_spreadsheet_does_to_a_file_is_named_with_the_remedy(check, tmp_path, data, words):
    (tmp_path / "device.csv").write_bytes(data)
    ended = check("device.csv")
    assert (ended.exit_code, ended.stdout) == (1, f"device.csv, {words}\n")


def test_every_fault_is_named_however_many_and_the_file_is_left_alone(check, tmp_path):
    broken = content(DEVICES) + b"bad,row\n" * 30
    (tmp_path / "my.csv").write_bytes(broken)
    ended = check("my.csv")
    assert ended.exit_code == 1
    assert ended.stdout.splitlines() == [
        f"my.csv, line {number} must have {len(FORMAT.columns)} cells, as the header has, not 2"
        for number in range(7, 37)
    ]
    assert ended.stderr == "Error: Faults in my.csv: 30.\n"
    assert (tmp_path / "my.csv").read_bytes() == broken
    assert [path.name for path in tmp_path.iterdir()] == ["my.csv"]


@pytest.mark.parametrize(
    ("store", "words"), [("no.csv", "No such file"), (".", "Is a directory"), ("x://y", "names no store")]
)
def test_what_cannot_be_read_is_said_in_one_sentence(check, store, words):
    ended = check(store)
    assert ended.exit_code == 1
    assert ended.stderr.startswith("Error: ")
    assert words in ended.stderr


def test_a_database_is_named_without_its_password(check, postgres_url):
    upgrade(postgres_url)
    ended = check(
        make_url(postgres_url).update_query_dict({"password": "secret"}).render_as_string(hide_password=False)
    )
    assert ended.exit_code == 0
    assert ended.stdout.endswith(" is in order.\n")
    assert "secret" not in ended.stdout
