"""`devicesvc token create`, `list` and `revoke`."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import requests
from click.testing import CliRunner

from devicesvc import tokens
from devicesvc.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.delenv("DEVICESVC_TOKENS_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["token", "create", *arguments])


@pytest.fixture
def token(run):  # noqa: ARG001 - it enters the folder
    """Runs any command on the tokens in tokens.txt."""
    return lambda *arguments: CliRunner().invoke(main, ["token", *arguments, "--file", "tokens.txt"])


def in_days(count):
    """The day so many days from now, in UTC."""
    return (datetime.now(UTC) + timedelta(count)).date()


def test_it_prints_the_token_and_keeps_its_hash(run, tmp_path):
    ended = run("gateway-7", "--scope", "write", "--file", "tokens.txt")
    assert ended.exit_code == 0
    secret = ended.stdout.strip()
    assert len(secret) == 43
    assert "not shown again" in ended.stderr
    line = (tmp_path / "tokens.txt").read_text()
    assert line.endswith(" write gateway-7\n")
    assert secret not in line


def test_each_token_is_a_line_also_after_an_edit_without_a_newline_at_the_end(run, tmp_path):
    (tmp_path / "tokens.txt").write_text("# ours")
    assert run("a", "--scope", "read", "--file", "tokens.txt").exit_code == 0
    assert run("b", "--scope", "read", "--file", "tokens.txt").exit_code == 0
    assert [line.split()[-1] for line in (tmp_path / "tokens.txt").read_text().splitlines()] == ["ours", "a", "b"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a", "--scope", "read", "--file", "tokens.txt"), "has a token called 'a'"),
        (("a b", "--scope", "read", "--file", "tokens.txt"), "without white space"),
        (("a\x1b[2J", "--scope", "read", "--file", "tokens.txt"), "without white space or control characters"),
        (("a", "--scope", "read", "--file", "/dev/null"), "It is not a regular file"),
        (("x" * 65, "--scope", "read", "--file", "tokens.txt"), "1 to 64 characters"),
        (("c", "--scope", "admin", "--file", "tokens.txt"), "'admin' is not one of"),
        (("c", "--scope", "read"), "Missing option '--file'"),
        (("a 2099-01-31", "--scope", "read", "--file", "tokens.txt"), "without white space"),
        (("c", "--scope", "read", "--expires", "soon", "--file", "tokens.txt"), "such as 90d, not 'soon'"),
        (("c", "--scope", "read", "--expires", "2099-02-30", "--file", "tokens.txt"), "such as 90d, not '2099-02-30'"),
        (("c", "--scope", "read", "--expires", "2020-01-31", "--file", "tokens.txt"), "must be today or a later day"),
        (("c", "--scope", "read", "--file", "no/tokens.txt"), "No such file or directory"),
    ],
)
def test_it_refuses_with_one_sentence(run, arguments, words):
    run("a", "--scope", "read", "--file", "tokens.txt")
    ended = run(*arguments)
    assert ended.exit_code != 0
    assert words in ended.stderr


def test_the_service_takes_the_token(run, start):
    run_create = run("gateway-7", "--scope", "read", "--file", "tokens.txt")
    service = start(env={"DEVICESVC_TOKENS_FILE": "tokens.txt"})
    url = f"{service.url}/v1/devices"
    assert requests.get(url).status_code == 401
    assert requests.get(url, headers={"Authorization": f"Bearer {run_create.stdout.strip()}"}).status_code == 200
    service.stop()
    assert "No tokens are configured" not in "".join(service.lines)


@pytest.mark.parametrize(("given", "day"), [("2099-01-31", "2099-01-31"), ("90d", in_days(90)), ("0d", in_days(0))])
def test_a_token_may_have_a_last_day(token, tmp_path, given, day):
    ended = token("create", "a", "--scope", "read", "--expires", given)
    assert ended.exit_code == 0
    assert f"not shown again, and valid until {day}." in ended.stderr
    assert (tmp_path / "tokens.txt").read_text().endswith(f" read a {day}\n")


def test_the_list_shows_all_but_the_hashes(token, tmp_path):
    secrets = [token("create", "gateway-7", "--scope", "write").stdout.strip()]
    secrets += [token("create", "b", "--scope", "read", "--expires", "2099-01-31").stdout.strip()]
    with (tmp_path / "tokens.txt").open("a") as file:
        file.write(f"# an old one\n{'0' * 64} read old 2020-01-31\n")
    ended = token("list")
    assert ended.stdout == (
        "NAME       SCOPE  EXPIRES\n"
        "gateway-7  write  never\n"
        "b          read   2099-01-31\n"
        "old        read   2020-01-31, expired\n"
    )


def test_the_list_of_a_file_that_is_not_there_is_refused(token):
    ended = token("list")
    assert (ended.exit_code, ended.stderr) == (
        1,
        "Error: The tokens file tokens.txt cannot be used: No such file or directory.\n",
    )


def test_a_token_that_is_revoked_is_refused_at_once(token, start):
    secrets = {name: token("create", name, "--scope", "read").stdout.strip() for name in ("a", "b")}
    url = f"{start(env={'DEVICESVC_TOKENS_FILE': 'tokens.txt'}).url}/v1/devices"

    def codes():
        return [requests.get(url, headers={"Authorization": f"Bearer {secrets[name]}"}).status_code for name in "ab"]

    assert codes() == [200, 200]
    ended = token("revoke", "a")
    assert (ended.exit_code, ended.stdout) == (0, "The token 'a' is no longer valid.\n")
    assert codes() == [401, 200]


def test_revoke_keeps_all_other_lines_and_who_may_read_the_file(token, tmp_path):
    path = tmp_path / "tokens.txt"
    a, b, c = (f"{digit * 64} read {name}" for digit, name in ("0a", "1b", "2c"))
    path.write_bytes(f"# ours\r\n{a}\r\n\n# of the roof: a\n{b} 2099-01-31\n{c}".encode())
    path.chmod(0o640)
    os.chown(path, 1234, 1234)
    assert token("revoke", "a").exit_code == 0
    assert path.read_bytes() == f"# ours\r\n\n# of the roof: a\n{b} 2099-01-31\n{c}".encode()
    found = path.stat()
    assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o640, 1234, 1234)
    assert token("revoke", "b").exit_code == token("revoke", "c").exit_code == 0
    assert path.read_bytes() == b"# ours\r\n\n# of the roof: a"


def test_revoke_of_a_name_that_is_not_there_changes_nothing(token, tmp_path):
    token("create", "a", "--scope", "read")
    before = (tmp_path / "tokens.txt").stat().st_ino
    ended = token("revoke", "x")
    assert ended.exit_code == 1
    assert ended.stderr == "Error: tokens.txt has no token called 'x': devicesvc token list names all.\n"
    assert (tmp_path / "tokens.txt").stat().st_ino == before


def test_an_edit_follows_a_link_and_leaves_nothing_else(token, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("# ours\n")
    (tmp_path / "tokens.txt").symlink_to("real/file")
    assert token("create", "a", "--scope", "read").exit_code == 0
    assert (tmp_path / "tokens.txt").is_symlink()
    assert (tmp_path / "real/file").read_text().endswith(" read a\n")
    assert {each.name for each in (tmp_path / "real").iterdir()} == {"file", ".file.lock"}


def test_edits_at_the_same_time_are_all_kept(tmp_path):
    path = tmp_path / "tokens.txt"
    names = {f"gateway-{number}" for number in range(16)}
    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(lambda name: tokens.create(path, name, "read"), names))
    assert {each.name for each in tokens.read_all(path)} == names
