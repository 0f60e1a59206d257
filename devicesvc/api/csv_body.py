"""Devices as CSV, in the body of a request or of an answer: the file format of the store."""

import io
from collections.abc import Iterator
from typing import Any

from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from devicesvc.api import examples
from devicesvc.api.answers import store
from devicesvc.api.reading import read_body
from devicesvc.dao.base import Window
from devicesvc.dao.csv_format import DEVICES as FORMAT
from devicesvc.errors import Invalid
from devicesvc.model import Device, DeviceFilter

MAX_BODY = 64 * 1024 * 1024  # bytes
MAX_FAULTS = 1000  # so many are named in a refusal
MEDIA_TYPE = "text/csv"

# How the documentation shows such a body.
DOCUMENTED: dict[str, Any] = {
    "schema": {"type": "string", "format": "csv"},
    "content_type": MEDIA_TYPE,
    "example": examples.CSV,
}

_CHUNK = 500  # lines


def is_wanted() -> bool:
    """Whether the client would rather have CSV than JSON."""
    accepted = request.accept_mimetypes
    return accepted.quality(MEDIA_TYPE) > accepted.quality("application/json")


def answer(where: DeviceFilter, window: Window) -> Response:
    """Answer with the devices that fit as a CSV file, line after line."""
    devices = store().devices.page(where, window).items
    headers = {"Content-Disposition": "attachment; filename=device.csv"}
    return Response(_file(devices), headers=headers, mimetype=MEDIA_TYPE)


def _file(devices: list[Device]) -> Iterator[bytes]:
    yield FORMAT.header
    for start in range(0, len(devices), _CHUNK):
        yield b"".join(map(FORMAT.encode, devices[start : start + _CHUNK]))


def read() -> list[Device]:
    """Return the devices in the body of the request. Raises 415 where it is not declared as CSV in UTF-8, and Invalid,
    which names the bad rows by line and column."""
    charset = request.mimetype_params.get("charset", "utf-8")
    if request.mimetype != MEDIA_TYPE or charset.lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("Send the file in UTF-8, with the header Content-Type: text/csv.")
    table = FORMAT.read(io.BytesIO(read_body(request, MAX_BODY)), {}, MAX_FAULTS)
    if table.faults:
        raise Invalid({fault.place: fault.rule for fault in table.faults})
    return [row.item for row in table.rows.values()]
