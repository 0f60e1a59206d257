"""`devicesvc --help`, and that of each command."""

import re

import click
import pytest
from click.testing import CliRunner

from devicesvc.cli import main


def paths(command, path=()):
    """The words that call each command and each group."""
    yield path
    for name, each in command.commands.items() if isinstance(command, click.Group) else ():
        yield from paths(each, (*path, name))


def shown(*words):
    ended = CliRunner().invoke(main, words, terminal_width=80)
    assert ended.exit_code == 0
    return ended.output


ALL = [*paths(main)]


def test_there_are_groups_and_commands_in_them():
    assert {(), ("serve",), ("db",), ("db", "upgrade")} < set(ALL)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_h_is_short_for_help(path):
    assert shown(*path, "-h") == shown(*path, "--help")


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_no_sentence_is_cut_and_no_line_is_too_wide(path):
    usage, *lines = shown(*path, "--help").splitlines()
    assert usage.startswith("Usage: ")
    assert [line for line in lines if re.search(r"(?<!://)\.\.\.$", line) or len(line) > 80] == []
