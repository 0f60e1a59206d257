"""The kinds of store: what each names is there, and is loaded only by what needs it."""

import subprocess
import sys
from dataclasses import fields
from pkgutil import resolve_name

import pytest

from devicesvc.dao.urls import KINDS, StoreKind, parse
from devicesvc.errors import StoreUnavailable
from tests.conftest import ROOT

NAMED = [
    pytest.param(getattr(kind, field.name), id=f"{kind.name} {field.name}")
    for kind in KINDS
    for field in fields(StoreKind)
    if field.name.endswith("_by") and getattr(kind, field.name)
]

LIBRARIES = ("alembic", "flask", "flask_smorest", "gunicorn", "marshmallow", "psycopg", "sqlalchemy", "werkzeug")


def loaded(code, *arguments):
    """The libraries that a new Python has loaded after this code."""
    show = f"import sys; {code}; print(*sorted({{*sys.modules}} & {{*{LIBRARIES}}}))"
    command = [sys.executable, "-c", show, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("name", NAMED)
def test_what_a_kind_of_store_names_is_there(name):
    found = resolve_name(name)
    assert callable(found) or callable(found.upgrade)


def test_no_two_kinds_have_the_same_name_or_scheme():
    assert len({kind.name for kind in KINDS}) == len({kind.scheme for kind in KINDS}) == len(KINDS)


def test_the_model_loads_no_framework_and_no_database_driver():
    assert loaded("import devicesvc.model") == []


def test_a_csv_store_is_opened_and_changed_without_sqlalchemy(tmp_path):
    code = (
        "from devicesvc.dao.urls import open_store; from devicesvc.sample import DEVICES;"
        "store = open_store(sys.argv[1], DEVICES); store.write(lambda tx: tx.groups.create({'name': 'a'}));"
        "store.close()"
    )
    assert loaded(code, str(tmp_path / "device.csv")) == []
    assert (tmp_path / "group.csv").exists()


def test_what_is_loaded_would_be_noticed():
    assert "sqlalchemy" in loaded("import devicesvc.dao.sql.store")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://u:secret@",
        "sqlite:///device.db?password=secret",
        "mysql://u:sec?secret@host/name",
        "mysql://host/name?password=secret",
        "postgresql://u:secret@host/name",
    ],
)
def test_no_refusal_shows_a_password(url):
    with pytest.raises(StoreUnavailable) as refusal:
        parse(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["", "sqlite:///"])
@pytest.mark.parametrize(
    ("name", "words"),
    [("loop", "Too many levels of symbolic links"), ("x" * 300, "File name too long"), ("a\0b", "embedded null")],
)
def test_a_name_that_no_file_can_have_is_refused_with_one_sentence(tmp_path, scheme, name, words):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(StoreUnavailable, match=rf"cannot be used: .*{words}"):
        parse(f"{scheme}{tmp_path}/{name}")
