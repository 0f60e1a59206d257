"""docs/extending.md, followed step by step in a copy of the project."""

import re
import shutil
import subprocess
import sys

import pytest

from devicesvc.api import examples, schemas
from tests.conftest import ROOT

TEXT = (ROOT / "docs/extending.md").read_text("utf-8")
STEP = re.compile(r"^(In|A new file) `([^`]+)`(?:, ([^:]+))?:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NO_PART_OF_IT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "data", "device*.csv")


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def follow(folder, verb, path, where, code):
    """Do in the folder what one step says."""
    file = folder / path
    if verb == "A new file":
        assert not file.exists(), path
        file.write_text(code, "utf-8")
    elif where == "at the end, after two empty lines":
        file.write_text(f"{file.read_text('utf-8')}\n\n{code}", "utf-8")
    elif where == "put each line with a plus in the place of the line with a minus":
        lines = file.read_text("utf-8").splitlines()
        changes = re.findall(r"^-(.*)\n\+(.*)\n", code, re.MULTILINE)
        assert 2 * len(changes) == code.count("\n"), code
        for old, new in changes:
            assert lines.count(old) == 1, f"{path} has no line {old!r}: docs/extending.md must show the one that it has"
            lines[lines.index(old)] = new
        file.write_text("\n".join(lines) + "\n", "utf-8")
    else:
        raise AssertionError(f"No reader knows what to do in {path}, {where}.")


@pytest.fixture
def copy(tmp_path):
    """A copy of the project in which nobody has done anything yet."""
    return shutil.copytree(ROOT, tmp_path / "devicesvc", ignore=NO_PART_OF_IT)


@pytest.fixture
def extended(copy):
    """A copy of the project in which all steps are done."""
    for step in STEP.findall(TEXT):
        follow(copy, *step)
    return copy


def pytest_in(folder, *arguments):
    """Run tests of the folder on the code of the folder: of the two packages, only that one has the new module."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")


def test_every_block_of_code_belongs_to_a_step():
    assert len(STEP.findall(TEXT)) == len(re.findall(r"^```(?:python|diff)$", TEXT, re.MULTILINE)) == 4


def test_the_text_names_what_there_is():
    names = re.findall(r"\b(schemas|examples)\.(?!py\b|YourSchema\b)(\w+)", STEP.sub("", TEXT))
    assert len(names) == 2
    for module, name in names:
        assert hasattr({"schemas": schemas, "examples": examples}[module], name), name
    for path in re.findall(r"`(\w+/[\w/.]+\.\w+)`", STEP.sub("", TEXT)):
        assert (ROOT / path).exists() or (ROOT / "devicesvc" / path).exists() or path.endswith("counts.py"), path


def test_the_steps_touch_four_files(copy):
    before = content(copy)
    for step in STEP.findall(TEXT):
        follow(copy, *step)
    after = content(copy)
    assert before.keys() <= after.keys()
    assert {path for path in after if after[path] != before.get(path)} == {
        "devicesvc/api/__init__.py",
        "devicesvc/api/counts.py",
        "devicesvc/api/schemas.py",
        "tests/api/test_counts.py",
    }


def test_the_new_tests_pass_and_fail_where_the_code_is_wrong(extended):
    right = pytest_in(extended, "tests/api/test_counts.py")
    assert right.returncode == 0, right.stdout

    ((path, new, old),) = re.findall(r"in `([^`]+)`, for a moment, write\s`([^`]+)` in place of `([^`]+)`", TEXT)
    code = (extended / path).read_text("utf-8")
    assert code.count(old) == 1
    (extended / path).write_text(code.replace(old, new), "utf-8")
    wrong = pytest_in(extended, "tests/api/test_counts.py")
    assert wrong.returncode == 1, wrong.stdout
    assert "test_each_spelling_is_counted_on_its_own" in wrong.stdout.partition("short test summary")[2]


def test_of_the_other_tests_those_fail_that_the_document_names(extended):
    without_a_service = ("-k", "not command_prints and not example_runs")
    rest = pytest_in(extended, "tests/api/test_openapi.py", "tests/test_documents.py", *without_a_service)
    named = re.findall("`(test_[a-z_]+)`", TEXT.partition("\n## See what else speaks of it\n")[2])
    assert set(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", rest.stdout, re.MULTILINE)) == set(named), rest.stdout
