"""The image, built from the Dockerfile and run by a real Docker engine."""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import ROOT, find_free_port

DATA = "/var/lib/exp_pyms_api_data"
PROXIES = [f"--build-arg={name}" for name in ("PIP_INDEX_URL",) if name in os.environ]
PATIENCE = 60  # seconds, far more than anything here takes

_figures: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures:
        terminalreporter.section("figures")
        for line in _figures:
            terminalreporter.line(line)


@pytest.fixture
def figure() -> Callable[[str], None]:
    """Have a line among the figures that are printed at the end."""
    return _figures.append


def run(*command: str | Path, **options: Any) -> str:
    """What a command prints; it must succeed."""
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=600, check=False, **options)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout.strip()


def wait_until(is_so: Callable[[], Any]) -> Any:
    """Ask until the answer is yes, and return it."""
    end = time.monotonic() + PATIENCE
    while not (answer := is_so()):
        assert time.monotonic() < end, is_so
        time.sleep(0.02)
    return answer


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=5).status_code == 200
    except (requests.ConnectionError, requests.Timeout):  # it may listen before it can answer
        return False


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """A Docker engine; CI must have one."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        message = "There is no Docker engine here: the image and compose.yaml are not tested."
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


def build(tag: str, *arguments: str) -> str:
    run("docker", "build", "--network=host", *PROXIES, "--tag", tag, *arguments, ROOT)
    return tag


@pytest.fixture(scope="session")
def image(engine: None) -> str:  # noqa: ARG001 - nothing can be built without it
    """The image, built anew if anything in it has changed. It keeps its name after the tests: CI pushes it by that."""
    return build("devicesvc-test")


class Container:
    """A container of the image, with a port and a folder of data on this machine."""

    def __init__(self, image: str, data: Path, *arguments: str, command: tuple[str, ...] = ()) -> None:
        self.data = data
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = f"devicesvc-test-{uuid.uuid4().hex[:12]}"
        where = ["-v", f"{data}:{DATA}", "-p", f"{self.port}:8000", "--name", self.name]
        run("docker", "run", "-d", *where, *arguments, image, *command)

    def wait(self) -> "Container":
        wait_until(lambda: is_up(self.url) or not self.state("Running"))
        assert self.state("Running"), self.log()
        return self

    def state(self, field: str) -> Any:
        return json.loads(run("docker", "inspect", "-f", f"{{{{json .State.{field}}}}}", self.name))

    def log(self) -> str:
        ended = subprocess.run(
            ["docker", "logs", self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        )
        return ended.stdout

    def stop(self) -> int:
        """Stop it, and return its exit code."""
        run("docker", "stop", self.name)
        return int(self.state("ExitCode"))

    def remove(self) -> None:
        subprocess.run(["docker", "rm", "-f", "-v", self.name], capture_output=True, check=False)


@pytest.fixture
def start(image: str, tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Start a container with arguments of `docker run`; its data is in tmp_path/data, which Docker makes."""
    started = []

    def start(*arguments: str, image: str = image, command: tuple[str, ...] = ()) -> Container:
        started.append(Container(image, tmp_path / "data", *arguments, command=command))
        return started[-1]

    yield start
    for container in started:
        container.remove()
