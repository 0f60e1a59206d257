"""Those who change the tables use Alembic's own command for the file of a revision, in a checkout."""

import runpy
import shutil
import subprocess

from tests.conftest import BIN, REVISIONS, ROOT


def alembic(folder, *arguments):
    command = [BIN / "alembic", "-c", "setup.cfg", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_new_revision_follows_the_newest(tmp_path):
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    ended = alembic(tmp_path, "revision", "--rev-id", "9999", "-m", "a new column")
    assert ended.returncode == 0, ended.stderr
    made = runpy.run_path(str(tmp_path / "migrations/versions/9999_a_new_column.py"))
    assert (made["__doc__"], made["down_revision"]) == ("a new column.", REVISIONS[-1])


def test_upgrades_are_left_to_devicesvc():
    ended = alembic(ROOT, "upgrade", "head")
    assert ended.returncode != 0
    assert "devicesvc db upgrade" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
