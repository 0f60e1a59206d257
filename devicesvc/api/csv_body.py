"""Devices as CSV in the body of a request or of an answer, in the file format of the CSV store."""

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from devicesvc import garbage_collection
from devicesvc.api import examples
from devicesvc.api.request_body import read_body
from devicesvc.api.responses import store
from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.dao.base import PageRequest
from devicesvc.errors import MAX_FAULTS, Invalid
from devicesvc.handover import MAX_CSV
from devicesvc.model import Device, DeviceFilter

MEDIA_TYPE = "text/csv"

# How the documentation shows a body of CSV.
DOCUMENTED: dict[str, Any] = {
    "schema": {"type": "string", "format": "csv"},
    "content_type": MEDIA_TYPE,
    "example": examples.CSV,
}

_CHUNK = 200  # lines
_FORMULA = ("=", "+", "-", "@")


def is_wanted(form: str | None) -> bool:
    """Whether the answer to the current request is CSV. form: csv, excel or json, if the request asks for one; else its
    Accept header says whether it prefers CSV to JSON."""
    accepted = request.accept_mimetypes
    return form in _FORMS or (not form and accepted.quality(MEDIA_TYPE) > accepted.quality("application/json"))


def answer(where: DeviceFilter, page_request: PageRequest, form: str | None) -> Response:
    """Answer with the devices that fit, as a CSV file. form: excel, or else the form of device.csv, which an import
    takes. Raises StoreUnavailable."""
    chunks = store().devices.chunks(where, page_request, _CHUNK)
    first = next(chunks, [])  # what the store cannot read is refused before the answer begins
    headers = {"Content-Disposition": "attachment; filename=device.csv"}
    return Response(_file(chain([first], chunks), _FORMS[form or "csv"]), headers=headers, mimetype=MEDIA_TYPE)


def _for_excel(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines for Excel: what it would take for a formula is text there, by a ' in front."""
    for line in lines:
        [cells] = csv.reader([line.decode()])
        text = io.StringIO()
        csv.writer(text).writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
        yield text.getvalue().encode()


_Lines = Callable[[Iterable[bytes]], Iterable[bytes]]
_FORMS: dict[str, _Lines] = {"csv": lambda lines: lines, "excel": _for_excel}


def _file(chunks: Iterable[Sequence[Device]], form: _Lines) -> Iterator[bytes]:
    # Excel reads UTF-8 only after a byte order mark.
    yield (codecs.BOM_UTF8 if form is _for_excel else b"") + b"".join(form([DEVICE_CSV.header]))
    for devices in chunks:
        yield b"".join(form(map(DEVICE_CSV.encode, devices)))


def read() -> list[Device]:
    """Return the devices in the body of the current request. Raises 415 if its Content-Type is not CSV in UTF-8, 413 if
    it is larger than MAX_CSV, and Invalid, which names at most MAX_FAULTS faults by line and column."""
    charset = request.mimetype_params.get("charset", "utf-8")
    if request.mimetype != MEDIA_TYPE or charset.lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("Send the file in UTF-8, with the header Content-Type: text/csv.")
    with garbage_collection.paused():
        parsed = DEVICE_CSV.read(io.BytesIO(read_body(request, MAX_CSV)), {}, MAX_FAULTS)
    if parsed.faults:
        raise Invalid({fault.place: fault.rule for fault in parsed.faults})
    return [record.item for record in parsed.records.values()]
