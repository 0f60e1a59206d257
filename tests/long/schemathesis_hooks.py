"""What schemathesis must know besides the OpenAPI document, which cannot say it."""

import re

import schemathesis
from hypothesis import strategies as st

from devicesvc.api.examples import DEVICE
from devicesvc.api.paging import cursor
from devicesvc.csv_codec.formats import DEVICES
from devicesvc.dao.base import Cursor, PageRequest
from devicesvc.model import Device, DeviceFilter, GroupFilter

ID = Device.RULES["id"]
SORTS = sorted({*DeviceFilter.SORTS} & {*GroupFilter.SORTS})

made = set()  # the cursors made here: others are meant to be refused


@st.composite
def cursors(draw):
    place = Cursor(draw(st.text(max_size=20)), draw(st.text("ab1", max_size=5)))
    made.add(text := cursor(place, PageRequest(draw(st.sampled_from(SORTS)), draw(st.booleans()))))
    return text


ids = st.from_regex(re.compile(ID.pattern, re.ASCII), fullmatch=True).filter(lambda id: len(id) <= ID.max_length)
files = st.lists(ids, max_size=5, unique=True).map(
    lambda ids: b"".join([DEVICES.header, *(DEVICES.encode(Device.build({**DEVICE, "id": id})) for id in ids)]).decode()
)
schemathesis.openapi.format("cursor", cursors())
schemathesis.openapi.format("csv", files)


@schemathesis.hook
def before_call(context, case, kwargs):
    """A list is sorted as its cursor says, and not otherwise; an empty list of ids, which an answer may hold, cannot be
    sent in a query; an id in the body is the one in the path."""
    if case.query and case.query.get("ids") == []:
        case.query["ids"] = ["none"]
    if case.query and case.query.get("cursor") in made and "sort" in case.query:
        case.query.pop("sort")
    path, body = case.path_parameters or {}, case.body
    if "id" in path and isinstance(body, dict) and isinstance(body.get("id"), str) and body["id"] != path["id"]:
        body["id"] = path["id"]
