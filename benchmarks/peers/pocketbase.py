"""PocketBase with a collection of devices that everybody may read and change."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from benchmarks.services import Service

PROGRAM = Path(sys.executable).with_name("pocketbase")
USER = {"identity": "bench@example.com", "password": "only-for-this-run"}
RULES = dict.fromkeys(("listRule", "viewRule", "createRule", "updateRule", "deleteRule"), "")
FIELDS = [
    {
        "name": "id",
        "type": "text",
        "primaryKey": True,
        "required": True,
        "min": 1,
        "max": 64,
        "pattern": "^[A-Za-z0-9._-]+$",
    },
    *({"name": name, "type": "text"} for name in ("name", "type", "status")),
    *({"name": name, "type": "json"} for name in ("hardware", "software", "nic")),
]


def command(folder: Path, port: int) -> list[str | Path]:
    return [PROGRAM, "serve", f"--http=127.0.0.1:{port}", f"--dir={folder}/pocketbase"]


def prepare(folder: Path) -> None:
    """Make the collection as an administrator does, and fill its table."""
    user: list[str | Path] = [PROGRAM, "superuser", "upsert", *USER.values(), f"--dir={folder}/pocketbase"]
    subprocess.run(user, check=True, stdout=subprocess.DEVNULL)
    with Service("PocketBase", lambda port: command(folder, port), ready="/api/health") as service:
        login = requests.post(f"{service.url}/api/collections/_superusers/auth-with-password", json=USER, timeout=10)
        headers = {"Authorization": login.json()["token"]}
        collection: Any = {"name": "devices", "type": "base", "fields": FIELDS, **RULES}
        made = requests.post(f"{service.url}/api/collections", json=collection, headers=headers, timeout=10)
        made.raise_for_status()
    with closing(sqlite3.connect(folder / "pocketbase/data.db")) as database, database:
        names = ("id", "name", "type", "hardware", "software", "nic", "status")
        rows = (
            [each if isinstance(each := device[name], str) else json.dumps(each) for name in names]
            for device in json.loads((folder / "devices.json").read_text())
        )
        database.executemany(f"INSERT INTO devices ({', '.join(names)}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
