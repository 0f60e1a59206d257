"""The service as the documentation of FastAPI teaches it: models of pydantic, and a dictionary in memory."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Response
from pydantic import BaseModel


class Hardware(BaseModel):
    model: str
    sn: str


class Software(BaseModel):
    version: str
    last_update: str


class Nic(BaseModel):
    type: str
    mac: str
    ipv4: str


class Device(BaseModel):
    id: str
    name: str
    type: str
    hardware: Hardware
    software: Software
    nic: list[Nic]
    status: str


class DeviceChange(BaseModel):
    name: str | None = None
    type: str | None = None
    status: str | None = None


app = FastAPI()
DEVICES = {item["id"]: Device(**item) for item in json.loads(Path(os.environ["DEVICES"]).read_text())}


@app.get("/v1/devices")
async def get_devices(
    id: str | None = None, offset: int = 0, limit: Annotated[int, Query(le=1000)] = 100
) -> list[Device]:
    if id is not None:
        return [DEVICES[id]] if id in DEVICES else []
    return list(DEVICES.values())[offset : offset + limit]


@app.get("/v1/devices/export")
async def export() -> Response:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "name", "type", "model", "sn", "version", "last_update", "types", "macs", "ipv4s", "status"])
    for one in DEVICES.values():
        nics = [";".join(getattr(nic, key) for nic in one.nic) for key in ("type", "mac", "ipv4")]
        parts = (one.hardware.model, one.hardware.sn, one.software.version, one.software.last_update, *nics)
        writer.writerow([one.id, one.name, one.type, *parts, one.status])
    return Response(text.getvalue(), media_type="text/csv")


@app.get("/v1/devices/{id}")
async def get_device(id: str) -> Device:
    if id not in DEVICES:
        raise HTTPException(404)
    return DEVICES[id]


@app.patch("/v1/devices/{id}")
async def change_device(id: str, change: DeviceChange) -> Device:
    if id not in DEVICES:
        raise HTTPException(404)
    DEVICES[id] = DEVICES[id].model_copy(update=change.model_dump(exclude_unset=True))
    return DEVICES[id]
