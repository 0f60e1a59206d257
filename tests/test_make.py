"""The Makefile: the virtual environment that it makes, and what it says."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import BIN, ROOT

MAKE = shutil.which("make")
OUTER = {"LOCKED", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTHON"}  # of the make that runs these tests


@pytest.fixture
def make(tmp_path, clean_env):
    """Runs make with the Makefile of this project, in an empty folder."""

    own_env = {name: value for name, value in clean_env.items() if name not in OUTER}

    def make(*arguments, **env):
        command = [MAKE, "--no-print-directory", "-f", ROOT / "Makefile", f"PYTHON={sys.executable}", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=own_env | env, capture_output=True, text=True, check=False, timeout=120
        )

    return make


def test_without_the_package_that_makes_environments_it_names_the_package_and_makes_nothing(make, tmp_path):
    (tmp_path / "ensurepip.py").write_text("raise ModuleNotFoundError")  # as on Debian without python3-venv
    ended = make(".venv/made", PYTHONPATH=str(tmp_path))
    name = "python{}.{}-venv".format(*sys.version_info)
    sentence = f"devicesvc needs the package {name}, which makes virtual environments: sudo apt install {name}\n"
    assert ended.returncode == 2
    assert ended.stderr.startswith(sentence)
    assert not (tmp_path / ".venv").exists()


def test_help_names_each_target(make):
    shown = make("-C", str(ROOT), "help").stdout
    (targets,) = re.findall(r"^\.PHONY: ((?:[^\\\n]|\\\n)*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in targets.replace("\\\n", "").split():
        assert re.search(rf"make {target}\b", shown) or target.startswith("needs-"), target


@pytest.mark.parametrize(
    ("arguments", "served"),
    [([], "serve  --port 8000"), (["STORE=my devices.csv"], "serve 'my devices.csv' --port 8000")],
)
def test_run_leaves_the_store_to_devicesvc_unless_it_is_given(make, arguments, served):
    assert f"bin/devicesvc {served}\n" in make("-C", str(ROOT), "--dry-run", "run", *arguments).stdout


@pytest.mark.parametrize("target", ["bench", "bench-scale"])
def test_a_benchmark_names_the_package_that_it_lacks_before_it_installs_anything(make, tmp_path, target):
    ended = make(target, PATH=str(BIN))
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"make {target} needs wrk: install the Debian package wrk.\n")
    assert not (tmp_path / ".venv").exists()
