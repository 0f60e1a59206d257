"""What the documents show is so."""

import os
import re
import subprocess

import pytest

import devicesvc
from tests.conftest import BIN, ROOT

READMES = ("README.md", "README.zh-CN.md")


def blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def here(start):
    """Put the address of a running service in the place of the one that the documents name."""
    service = start()
    return lambda text: text.replace("http://localhost:8000", service.url)


@pytest.mark.parametrize("document", READMES)
def test_each_command_prints_what_the_document_shows(document, here, tmp_path, clean_env):
    env = clean_env | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    shown = 0
    for block in blocks(document, "console"):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            ended = subprocess.run(["bash", "-c", here(command)], capture_output=True, text=True, cwd=tmp_path, env=env)
            assert ended.stdout == output
            shown += 1
    assert shown == 3


@pytest.mark.parametrize("document", READMES)
def test_each_python_example_runs(document, here):
    (example,) = blocks(document, "python")
    names = {}
    exec(here(example), names)
    assert re.fullmatch("[0-9]{10}", names["id"])


def test_both_readmes_show_the_same_commands():
    def code(document):
        return [re.sub(r"#.*|<.*?>", "", block) for block in blocks(document, r"\w+")]

    english, chinese = map(code, READMES)
    assert english == chinese


@pytest.mark.parametrize("document", [*READMES, "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md"])
def test_each_link_leads_somewhere(document):
    text = (ROOT / document).read_text("utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (ROOT / document).parent.joinpath(target).exists(), target


def test_the_tree_in_the_architecture_names_every_module():
    tree = (ROOT / "docs/architecture.md").read_text("utf-8").split("\n## ")[0]
    for path in (ROOT / "devicesvc").rglob("*.py"):
        assert re.search(rf"^ +{path.stem}(\.py)? ", tree, re.MULTILINE), path


def test_the_changelog_has_this_version():
    assert f"\n## [{devicesvc.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_setting_is_in_the_readmes():
    for document in READMES:
        for name in devicesvc.config.DEFAULTS:
            assert f"`DEVICESVC_{name}`" in (ROOT / document).read_text("utf-8")
