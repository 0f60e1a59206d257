"""`devicesvc db`, and what `devicesvc serve` does with a database before it serves."""

import signal
import subprocess

import pytest
from click.testing import CliRunner

from devicesvc import migrations
from devicesvc.cli import main
from devicesvc.cli import serve as serve_command
from devicesvc.dao.urls import parse
from tests.conftest import BIN, REVISIONS

SQLITE = "sqlite:///device.db"


@pytest.fixture
def db(tmp_path, monkeypatch):
    monkeypatch.delenv("DEVICESVC_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **options: CliRunner().invoke(main, ["db", *arguments], **options)


def test_each_command_says_in_one_line_what_was_done(db):
    assert db("upgrade", SQLITE).output == f"Upgraded sqlite:///device.db: {', '.join(REVISIONS)}.\n"
    assert db("upgrade", SQLITE).output == f"sqlite:///device.db is up to date ({REVISIONS[-1]}).\n"
    assert db("current", SQLITE).output == f"sqlite:///device.db is up to date ({REVISIONS[-1]}).\n"
    back = ("downgrade", SQLITE, "--to", "base", "--yes")
    assert db(*back).output == f"Downgraded sqlite:///device.db: without {', '.join(REVISIONS[::-1])}.\n"
    assert db(*back).output == "sqlite:///device.db is at base already.\n"
    assert (
        db("current", SQLITE).output
        == f"sqlite:///device.db has no tables: devicesvc db upgrade brings it to {REVISIONS[-1]}.\n"
    )


def test_the_url_is_relative_with_three_slashes_and_absolute_with_four(db, tmp_path):
    assert db("upgrade", SQLITE).exit_code == 0
    assert (tmp_path / "device.db").exists()
    assert db("upgrade", f"sqlite:///{tmp_path}/other.db").exit_code == 0
    assert (tmp_path / "other.db").exists()


def test_the_environment_names_the_store_if_the_command_does_not(db, tmp_path):
    assert db("upgrade", env={"DEVICESVC_STORE": SQLITE}).output.startswith("Upgraded ")
    assert (tmp_path / "device.db").exists()


def test_a_downgrade_asks_first(db):
    db("upgrade", SQLITE)
    ended = db("downgrade", SQLITE, "--to", "base", input="n\n")
    assert ended.exit_code == 1
    assert "is lost. Continue?" in ended.output
    assert migrations.current(SQLITE) == REVISIONS[-1]


@pytest.mark.parametrize("store", ["./device.csv", "csv:///device.csv"])
@pytest.mark.parametrize("command", [("upgrade",), ("downgrade", "--to", "base", "--yes"), ("current",)])
def test_a_csv_store_has_no_tables(db, tmp_path, command, store):
    ended = db(*command, store)
    assert (ended.exit_code, ended.output) == (0, f"{store} is a CSV file, which has no tables and needs no upgrade.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("sqlite:///no/device.db", "Error: sqlite:///no/device.db cannot be opened: there is no folder no.\n"),
        (
            "postgresql+psycopg://me:secret@127.0.0.1:1/name",
            "Error: postgresql+psycopg://me:***@127.0.0.1:1/name cannot ",
        ),
        ("x://y", "Error: 'x://y' names no store: give"),
        ("postgresql://h/d", "Error: 'postgresql://h/d' names no store: give"),
    ],
)
def test_what_cannot_be_upgraded_is_said_in_one_sentence(db, store, words):
    ended = db("upgrade", store)
    assert ended.exit_code == 1
    assert ended.stderr.startswith(words)
    assert ended.stderr.count("\n") == 1


class TestServe:
    @pytest.fixture
    def refused(self, tmp_path, clean_env, free_port):
        def refused(store):
            """The last line that `devicesvc serve` refuses with."""
            command = [BIN / "devicesvc", "serve", store, "--port", str(free_port)]
            ended = subprocess.run(command, cwd=tmp_path, env=clean_env, capture_output=True, text=True, timeout=60)
            assert ended.returncode == 1
            assert "Traceback" not in ended.stdout + ended.stderr
            return ended.stderr.splitlines()[-1]

        return refused

    @pytest.mark.usefixtures("db")
    def test_the_tables_of_sqlite_are_upgraded_and_those_of_a_server_are_not(self, postgres_url):
        handler = signal.getsignal(signal.SIGINT)
        try:
            serve_command._prepare_tables(parse(SQLITE))
            with pytest.raises(SystemExit, match="is not up to date"):
                serve_command._prepare_tables(parse(postgres_url))
        finally:
            signal.signal(signal.SIGINT, handler)
        assert migrations.current(SQLITE) == REVISIONS[-1]
        assert migrations.current(postgres_url) is None

    def test_a_postgresql_database_that_nobody_has_upgraded_is_refused(self, refused, postgres_url):
        url = parse(postgres_url).redacted
        assert refused(postgres_url) == f"Error: {url} is not up to date: first run  devicesvc db upgrade {url}"
        assert migrations.current(postgres_url) is None

    def test_a_folder_that_is_missing_is_said(self, refused):
        assert refused("sqlite:///no/device.db") == (
            "Error: sqlite:///no/device.db cannot be opened: there is no folder no."
        )
