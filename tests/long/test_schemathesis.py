"""schemathesis makes thousands of requests of the OpenAPI document: the service keeps each of its promises."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import BIN

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_schemathesis_finds_nothing(start, tmp_path, seed):
    service = start("device.csv")
    run = subprocess.run(
        [BIN / "schemathesis", "--config-file", CONFIG, "run", f"{service.url}/openapi.json", "--seed", str(seed)],
        cwd=tmp_path,
        env=os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis"), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    cases = int(re.search(r"(\d+) generated, \1 passed", run.stdout)[1])
    print(f"schemathesis, seed {seed}: {cases} requests")
    assert cases > 2000
