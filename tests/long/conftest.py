"""A service on a good or a broken store."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.long.processes import Victim


@pytest.fixture
def serve(free_port: int, clean_env: dict[str, str]) -> Iterator[Callable[..., Victim]]:
    """Start `devicesvc serve` on a variant of the store (broken.VARIANTS); what still runs is killed at the end."""
    victims = []

    def serve(variant: str, path: Path, workers: int = 1) -> Victim:
        command = [sys.executable, "-m", "tests.long.broken", variant, "serve", str(path), "--workers", str(workers)]
        command += ["--host", "127.0.0.1", "--port", str(free_port)]
        victims.append(Victim(command, free_port, cwd=ROOT, env=clean_env, start_new_session=True))
        victims[-1].wait_for_workers(workers)
        return victims[-1]

    yield serve
    for victim in victims:
        victim.kill()
