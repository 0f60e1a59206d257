"""docs/extending.md, followed step by step in a copy of the project."""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module

import pytest

from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.model import Device
from devicesvc.sample import DEVICES
from devicesvc.transfer.mover import Result, migrate
from tests.conftest import ROOT, copy_of_project
from tests.hard_data import HARD

TEXT = (ROOT / "docs/extending.md").read_text("utf-8")
_, CALL, FIELD = re.split(r"^# Add (?=a )", TEXT, flags=re.MULTILINE)
STEP = re.compile(r"^(In|A new file) `([^`]+)`(?:, ([^:]+))?:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


FIRST = DEVICES[0].id

# Upgrades and opens an old store, says what it holds, gives one device the new field, and says what it holds then.
OPEN_OLD = """
import json, sys
from dataclasses import asdict
from devicesvc.dao.urls import open_store, parse
url = sys.argv[1]
if schema := parse(url).schema():
    assert schema.upgrade(url) == ["0006"]
with open_store(url) as store:
    print(json.dumps([asdict(device) for device in store.devices.list()]))
    store.write(lambda tx: tx.devices.update("FIRST", {"location": "教室, 101"}))
    print(json.dumps([asdict(device) for device in store.devices.list()]))
""".replace("FIRST", FIRST)

# Tests of what the field goes through: some of these files write out the fields of a device.
FIELD_TESTS = [
    *("tests/csv_codec", "tests/migrations/test_schema.py", "tests/test_columns.py", "tests/test_lab.py"),
    *("tests/dao/test_contract.py", "tests/dao/test_csv_edits.py"),
    *("tests/dao/test_sqlite_store.py", "tests/dao/test_postgresql_store.py"),
    *("tests/api/test_openapi.py", "tests/api/test_devices.py", "tests/api/test_bulk.py", "tests/test_model.py"),
]


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
    elif where == "after the line with a space before it, put the line with a plus":
        anchor, new = (f"{line[1:]}\n" for line in code.splitlines())
        text = file.read_text("utf-8")
        assert text.count(anchor) == 1, (
            f"{path} has no line {anchor!r}: docs/extending.md must show the one that it has"
        )
        file.write_text(text.replace(anchor, anchor + new), "utf-8")
    else:
        raise AssertionError(f"No reader knows what to do in {path}, {where}.")


@pytest.fixture
def copy(tmp_path):
    """A copy of the project in which nobody has done anything yet."""
    copy = copy_of_project(tmp_path)
    # What is installed has the migrations of this checkout as devicesvc.migrations: the copy has its own.
    (copy / "devicesvc/migrations").symlink_to("../migrations")
    return copy


def do_all(chapter, copy):
    """Do all steps of a chapter, and return the files that they touch, with the number of new lines in each."""
    before = content(copy)
    for step in STEP.findall(chapter):
        follow(copy, *step)
    after = content(copy)
    assert before.keys() <= after.keys()
    return {
        path: len([line for line in after[path].splitlines() if line.strip() and line not in before.get(path, b"")])
        for path in after
        if after[path] != before.get(path)
    }


@pytest.fixture
def with_call(copy):
    """A copy of the project that has the new call."""
    do_all(CALL, copy)
    return copy


@pytest.fixture
def with_field(copy):
    """A copy of the project whose devices have the new field."""
    do_all(FIELD, copy)
    return copy


def run_in(folder, *command):
    """Run Python in the folder, on the code of the folder."""
    return subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, encoding="utf-8")


def pytest_in(folder, *arguments):
    """Run tests of the folder, on the code of the folder."""
    return run_in(folder, "-m", "pytest", "-p", "no:cacheprovider", *arguments)


def test_every_block_of_code_belongs_to_a_step():
    assert len(STEP.findall(TEXT)) == len(re.findall(r"^```(?:python|diff)$", TEXT, re.MULTILINE)) == 11


def test_the_text_names_what_there_is():
    names = re.findall(r"\b(schemas|queries|answers|examples)\.(?!py\b|YourSchema\b)(\w+)", STEP.sub("", TEXT))
    assert len(names) == 2
    for module, name in names:
        assert hasattr(import_module(f"devicesvc.api.{module}"), name), name
    for path in re.findall(r"`(\w+/[\w/.]+\.\w+)`", STEP.sub("", TEXT)):
        assert (ROOT / path).exists() or (ROOT / "devicesvc" / path).exists() or path.endswith("networks.py"), path


def test_a_call_takes_four_files(copy):
    assert do_all(CALL, copy).keys() == {
        "devicesvc/api/__init__.py",
        "devicesvc/api/answers.py",
        "devicesvc/api/networks.py",
        "tests/api/test_networks.py",
    }


def test_the_new_tests_pass_and_fail_if_the_code_is_wrong(with_call):
    right = pytest_in(with_call, "tests/api/test_networks.py")
    assert right.returncode == 0, right.stdout

    ((path, new, old),) = re.findall(r"in `([^`]+)`, for a moment, write\s`([^`]+)` in place of `([^`]+)`", CALL)
    code = (with_call / path).read_text("utf-8")
    assert code.count(old) == 1
    (with_call / path).write_text(code.replace(old, new), "utf-8")
    wrong = pytest_in(with_call, "tests/api/test_networks.py")
    assert wrong.returncode == 1, wrong.stdout
    assert "test_a_device_is_once_in_each_of_its_networks" in wrong.stdout.partition("short test summary")[2]


def test_only_those_other_tests_fail_that_the_document_names(with_call):
    without_a_service = ("-k", "not TestReader")
    rest = pytest_in(with_call, "tests/api/test_openapi.py", "tests/test_documents.py", *without_a_service)
    named = re.findall("`(test_[a-z_]+)`", CALL.partition("\n## See what else speaks of it\n")[2])
    assert set(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", rest.stdout, re.MULTILINE)) == set(named), rest.stdout


class TestField:
    def test_it_takes_six_files_and_few_lines(self, copy):
        touched = do_all(FIELD, copy)
        assert touched.keys() == {
            "devicesvc/model.py",
            "devicesvc/columns.py",
            "devicesvc/api/schemas.py",
            "devicesvc/api/examples.py",
            "devicesvc/tour.py",
            "migrations/versions/0006_location.py",
        }
        assert sum(touched.values()) <= 20

    def test_an_old_file_and_an_old_database_open_and_hold_what_they_held(self, with_field, tmp_path):
        """The old ones are made by the code of this checkout, which does not have the field."""
        hard = [each.merge({"id": f"hard-{number}"}) for number, each in enumerate(HARD.values())]
        old = {each.id: asdict(each) for each in [*DEVICES, *hard]}
        path, database = tmp_path / "device.csv", f"sqlite:///{tmp_path}/device.db"
        path.write_bytes(FORMAT.header + b"".join(FORMAT.encode(Device.build(data)) for data in old.values()))
        migrate(Result(str(path), database))
        for url in (str(path), database):
            ended = run_in(with_field, "-c", OPEN_OLD, url)
            assert ended.returncode == 0, ended.stderr
            devices, after = map(json.loads, ended.stdout.splitlines())
            assert {each.pop("location") for each in devices} == {""}
            assert {each["id"]: each for each in devices} == json.loads(json.dumps(old))
            assert [each["location"] for each in after if each["id"] == FIRST] == ["教室, 101"]
        header, *lines, _ = path.read_text("utf-8").split("\n")
        assert header == FORMAT.header.decode().strip() + ",location"
        assert next(line for line in lines if line.startswith(FIRST)).endswith(',"教室, 101"')
        assert len(lines) == len(old)

    def test_only_tests_of_the_files_that_the_document_names_fail(self, with_field):
        rest = pytest_in(with_field, "-n", "2", "-k", "not postgresql and not mariadb", *FIELD_TESTS)
        named = re.findall("`(tests/[a-z_/]+.py)`", FIELD.partition("\n## 6. ")[2])
        assert set(re.findall(r"^(?:FAILED|ERROR) ([^ :]+)::", rest.stdout, re.MULTILINE)) == set(named), rest.stdout

    def test_without_the_revision_a_test_fails(self, with_field):
        (with_field / "migrations/versions/0006_location.py").unlink()
        ended = pytest_in(with_field, "-k", "sqlite", "tests/migrations/test_schema.py")
        assert ended.returncode == 1, ended.stdout
