"""`devicesvc token create`."""

import pytest
import requests
from click.testing import CliRunner

from devicesvc.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.delenv("DEVICESVC_TOKENS_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["token", "create", *arguments])


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
