"""schemathesis makes thousands of requests of the OpenAPI document: the service keeps each of its promises."""

import os
import re
import subprocess
from pathlib import Path

from tests.conftest import BIN, ROOT

CONFIG = Path(__file__).with_name("schemathesis.toml")
SEED = "1"


def test_schemathesis_finds_nothing(start, tmp_path):
    service = start("device.csv")
    hypothesis = str(tmp_path / "hypothesis")
    run = subprocess.run(
        [BIN / "schemathesis", "--config-file", CONFIG, "run", f"{service.url}/openapi.json", "--seed", SEED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "HYPOTHESIS_STORAGE_DIRECTORY": hypothesis},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    _, _, failures = run.stdout.partition("= FAILURES =")
    assert run.returncode == 0, failures.partition("= WARNINGS =")[0] or run.stdout + run.stderr
    (cases,) = map(int, re.findall(r"(\d+) generated, \1 passed", run.stdout))
    print(f"schemathesis, seed {SEED}: {cases} cases")
    assert cases > 2000
