"""What the documentation shows: requests that work when they are sent to the sample devices, and their answers."""

from dataclasses import asdict

from devicesvc.sample import DEVICES

DEVICE = asdict(DEVICES[1])
ID = DEVICE["id"]
IDS = [DEVICES[2].id, DEVICES[3].id]
DEVICE_ID = {"in": "path", "name": "id", "description": "The id of the device.", "example": ID}

ADD = {
    "name": "test-name",
    "type": "controller",
    "hardware": {"model": "test-model", "sn": "test-sn"},
    "software": {"version": "0.1", "last_update": "2023-08-06 20:00:00"},
    "nic": [{"type": "wifi", "mac": "12:34:56:78:9a:bc", "ipv4": "192.168.1.2"}],
    "status": "online",
}
CHANGE = {"id": ID, "name": "new-name", "software": {"version": "0.5"}, "status": "offline"}

FOUND = {"status": 200, "message": "devices found: 1", "data": [DEVICE]}
FOUND_ONE = {"status": 200, "message": "device found", "data": DEVICE}
ADDED = {"status": 201, "message": "device added", "data": "9097363894"}
ADDED_ONE = {"status": 201, "message": "device added", "data": {"id": ID, **ADD}}
REPLACED_ONE = {"status": 200, "message": "device replaced", "data": {"id": ID, **ADD}}
CHANGED = {
    "status": 200,
    "message": "device changed",
    "data": {**DEVICE, **CHANGE, "software": {**DEVICE["software"], **CHANGE["software"]}},
}
DELETED = {"status": 200, "message": "devices deleted: 2", "ids": IDS}
