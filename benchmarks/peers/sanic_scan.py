"""A service on Sanic as small as the demo of the lab: a list that each call goes through, and a file that is written
anew after each change, without a sync."""

import csv
import json
import os
from pathlib import Path
from typing import Any

from sanic import Request, Sanic
from sanic import json as answer
from sanic.response import HTTPResponse

app = Sanic("devices")
FILE = Path(os.environ["DEVICES"])
DEVICES: list[dict[str, Any]] = json.loads(FILE.read_text())


@app.get("/v1/devices")
async def get_devices(request: Request) -> HTTPResponse:
    id, limit = request.args.get("id"), int(request.args.get("limit", 1000))
    found = [device for device in DEVICES if id in (None, device["id"])]
    return answer({"status": 200, "message": "devices found", "data": found[:limit]})


@app.put("/v1/devices")
async def change_device(request: Request) -> HTTPResponse:
    for device in DEVICES:
        if device["id"] == request.json["id"]:
            device.update(request.json)
            save()
            return answer({"status": 200, "message": "device changed", "data": device})
    return answer({"status": 404, "message": "no such device"}, 404)


def save() -> None:
    with FILE.with_suffix(".sanic.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        for device in DEVICES:
            nics = [";".join(nic[key] for nic in device["nic"]) for key in ("type", "mac", "ipv4")]
            parts = (*device["hardware"].values(), *device["software"].values(), *nics)
            writer.writerow([device["id"], device["name"], device["type"], *parts, device["status"]])
