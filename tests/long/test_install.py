"""`make run` in a new checkout, with all that it installs, and what is left if it was interrupted."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Service, copy_of_project
from tests.worker.conftest import until

PYTHON = Path(sys.base_prefix, "bin/python{}.{}".format(*sys.version_info))  # not that of a virtual environment
ENV = {name: os.environ[name] for name in os.environ if name == "HOME" or name.startswith("PIP_")}
ENV |= {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
MAKE = ["make", f"PYTHON={PYTHON}"]


def works(folder):
    """Whether the virtual environment in the folder has a pip that works."""
    python = folder / ".venv/bin/python"
    return python.exists() and not subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode


@pytest.fixture
def empty(tmp_path):
    """A folder with a Makefile, and nothing else."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


def test_make_run_installs_and_serves_and_the_tour_finds_no_fault(tmp_path, free_port):
    checkout = copy_of_project(tmp_path)
    service = Service([*MAKE, "run", f"PORT={free_port}"], free_port, seconds=600, cwd=checkout, env=ENV)
    try:
        (first,) = re.findall(r"^source .*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
        script = f"{first}\ndevicesvc tour {service.url}"
        ended = subprocess.run(["bash", "-c", script], cwd=checkout, env=ENV, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.splitlines()[-1].startswith("ok")
    finally:
        service.stop()


def test_an_environment_that_is_half_made_is_made_again(empty):
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", empty / ".venv"], check=True)
    assert not works(empty)
    subprocess.run([*MAKE, ".venv/made"], cwd=empty, env=ENV, check=True)
    assert works(empty)
    again = subprocess.run([*MAKE, ".venv/made"], cwd=empty, env=ENV, check=True, capture_output=True, text=True)
    assert again.stdout == "make: '.venv/made' is up to date.\n"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_an_environment_whose_making_was_stopped_is_made_again(empty, stop):
    python = empty / ".venv/bin/python"
    stopped = subprocess.Popen([*MAKE, ".venv/made"], cwd=empty, env=ENV, start_new_session=True)
    until(python.exists, "nothing is made")
    os.killpg(stopped.pid, stop)
    stopped.wait(20)
    assert not (empty / ".venv/made").exists()
    subprocess.run([*MAKE, ".venv/made"], cwd=empty, env=ENV, check=True)
    assert works(empty)
