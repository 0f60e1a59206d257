"""The examples in the documentation: requests that work on the sample devices, and their answers."""

from dataclasses import asdict
from typing import Any

from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.sample import DEVICES

# Devices

DEVICE = asdict(DEVICES[1])
ID = DEVICE["id"]
IDS = [DEVICES[2].id, DEVICES[3].id]
NEW_ID = "9097363894"

ADD: dict[str, Any] = {
    "name": "test-name",
    "type": "controller",
    "hardware": {"model": "test-model", "sn": "test-sn"},
    "software": {"version": "0.1", "last_update": "2023-08-06 20:00:00"},
    "nic": [{"type": "wifi", "mac": "12:34:56:78:9a:bc", "ipv4": "192.168.1.2"}],
    "status": "online",
}
PATCH = {"name": "new-name", "software": {"version": "0.5"}, "status": "offline"}
PATCHED = {**DEVICE, **PATCH, "software": {**DEVICE["software"], "version": "0.5"}}
CHANGE = {"id": ID, **PATCH}

FIND = {"sn": DEVICE["hardware"]["sn"], "model": DEVICE["hardware"]["model"]}
FOUND = {"status": 200, "message": "devices found: 1", "data": [DEVICE], "total": 1, "next": None}
FOUND_ONE = {"status": 200, "message": "device found", "data": DEVICE}
ADDED = {"status": 201, "message": "device added", "data": NEW_ID}
ADDED_ONE = {"status": 201, "message": "device added", "data": {"id": ID, **ADD}}
REPLACED = {"status": 200, "message": "device replaced", "data": {"id": ID, **ADD}}
CHANGED = {"status": 200, "message": "device changed", "data": PATCHED}
DELETED = {"status": 200, "message": "devices deleted: 2", "ids": IDS}
DELETED_ONE = {"status": 200, "message": "device deleted", "ids": [ID]}

# Many devices

FIND_ALL = {"type": "gateway"}
PATCH_ALL = {"status": "offline"}
PATCHED_ALL = {
    "status": 200,
    "message": "devices changed: 2 of 2",
    "data": {"found": 2, "changed": 2, "ids": sorted(each.id for each in DEVICES if each.type == "gateway")},
}
COUNT = {"by": ["type", "status"]}
COUNTED = {
    "status": 200,
    "message": "devices counted",
    "data": {
        "type": {
            "values": [
                {"value": "controller", "count": 2},
                {"value": "gateway", "count": 2},
                {"value": "adapter", "count": 1},
            ],
            "others": 0,
        },
        "status": {"values": [{"value": "online", "count": 3}, {"value": "offline", "count": 2}], "others": 0},
    },
}

BATCH = {"create": [ADD], "update": [CHANGE], "delete": IDS}
BATCHED = {
    "status": 200,
    "message": "devices created: 1, updated: 1, deleted: 2",
    "data": {"create": [NEW_ID], "update": [ID], "delete": IDS},
}
CSV = (DEVICE_CSV.header + DEVICE_CSV.encode(DEVICES[1])).decode()
IMPORTED = {
    "status": 200,
    "message": "devices added: 0, changed: 0, unchanged: 1",
    "data": {"added": [], "changed": [], "unchanged": [ID]},
}

# Groups

GROUP = {"id": "classroom", "name": "Classroom 101", "description": "The controllers of room 101."}

ADD_GROUP = {"name": "Greenhouse", "description": "All devices of the greenhouse."}
PUT_GROUP = {"name": GROUP["name"], "description": GROUP["description"]}
PATCH_GROUP = {"description": "All devices in room 101."}
CHANGE_GROUP = {"id": GROUP["id"], **PATCH_GROUP}

FIND_GROUPS = {"name": GROUP["name"]}
FOUND_GROUPS = {"status": 200, "message": "groups found: 1", "data": [GROUP], "total": 1, "next": None}
FOUND_GROUP = {"status": 200, "message": "group found", "data": GROUP}
ADDED_GROUP_ID = {"status": 201, "message": "group added", "data": NEW_ID}
ADDED_GROUP = {"status": 201, "message": "group added", "data": GROUP}
REPLACED_GROUP = {"status": 200, "message": "group replaced", "data": GROUP}
CHANGED_GROUP = {"status": 200, "message": "group changed", "data": {**GROUP, **PATCH_GROUP}}
GROUP_IDS = [GROUP["id"]]
DELETED_GROUPS = {"status": 200, "message": "groups deleted: 1", "ids": GROUP_IDS}
DELETED_GROUP = {"status": 200, "message": "group deleted", "ids": GROUP_IDS}

# Memberships

FOUND_MEMBER = {"status": 200, "message": "membership found", "data": DEVICE}
FOUND_OWNER = {"status": 200, "message": "membership found", "data": GROUP}


def members_added(*ids: str, status: int = 200) -> dict[str, object]:
    """The answer to a call that added these members."""
    return {"status": status, "message": f"memberships added: {len(ids)}", "ids": list(ids)}


def members_replaced(*ids: str) -> dict[str, object]:
    """The answer to a call that replaced all members: these were added, and none was removed."""
    return {"status": 200, "message": f"memberships added: {len(ids)}, removed: 0", "ids": list(ids)}


def members_removed(*ids: str) -> dict[str, object]:
    """The answer to a call that removed these members."""
    return {"status": 200, "message": f"memberships removed: {len(ids)}", "ids": list(ids)}


# The history

NUMBER = 812
FIND_CHANGES = {"device_id": ID, "limit": "1"}
NEWEST = {"limit": "1"}
DRY_RUN = {"dry_run": "true"}


def _row(done: str, kind: str, id: str, column: str = "", before: str = "", after: str = "") -> dict[str, str]:
    return {"done": done, "kind": kind, "id": id, "column": column, "before": before, "after": after}


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, str]]:
    pairs = {
        "name": (before["name"], after["name"]),
        "software_version": (before["software"]["version"], after["software"]["version"]),
        "status": (before["status"], after["status"]),
    }
    return [_row("changed", "device", ID, column, *pair) for column, pair in pairs.items()]


def _change(*rows: dict[str, str]) -> dict[str, Any]:
    return {
        "number": NUMBER,
        "time": "2026-11-24T20:00:00.123Z",
        "who": "gateway-7",
        "request_id": "7f4e2a9b01c35d68",
        "address": "192.168.1.20",
        "count": len(rows),
        "rows": list(rows),
    }


_PATCHED = _change(*_changed(DEVICE, PATCHED))
_JOINED = _change(_row("added", "membership", f"{ID}/{GROUP['id']}", after=f"{ID},{GROUP['id']}"))

FOUND_CHANGES = {"status": 200, "message": "changes found: 1", "data": [_PATCHED], "next": NUMBER}
FOUND_GROUP_CHANGES = {"status": 200, "message": "changes found: 1", "data": [_JOINED], "next": NUMBER}
FOUND_CHANGE = {"status": 200, "message": "change found", "data": _PATCHED, "next": None}
UNDONE = {
    "status": 200,
    "message": f"change {NUMBER} would be undone, rows: 3",
    "data": {"count": 3, "rows": _changed(PATCHED, DEVICE)},
}
