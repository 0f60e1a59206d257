"""What schemathesis must know besides the OpenAPI document, which cannot say it."""

import re

import schemathesis
from hypothesis import strategies as st

from devicesvc.api.examples import DEVICE
from devicesvc.api.paging import cursor
from devicesvc.dao.base import Place, Window
from devicesvc.dao.csv_format import DEVICES
from devicesvc.model import Device, DeviceFilter, GroupFilter

ID = Device.RULES["id"]
SORTS = sorted({*DeviceFilter.SORTS} & {*GroupFilter.SORTS})

places = st.builds(Place, st.text(st.characters(exclude_categories=("Cs",)), max_size=20), st.text("ab1", max_size=5))
windows = st.builds(Window, st.sampled_from(SORTS), st.booleans())
schemathesis.openapi.format("cursor", st.builds(cursor, places, windows))

devices = st.from_regex(re.compile(ID.pattern, re.ASCII), fullmatch=True).filter(lambda id: len(id) <= ID.max_length)
rows = st.lists(devices, max_size=5, unique=True).map(
    lambda ids: b"".join([DEVICES.header, *(DEVICES.encode(Device.build({**DEVICE, "id": id})) for id in ids)]).decode()
)
schemathesis.openapi.format("csv", rows)


@schemathesis.hook
def map_case(context, case):
    """A cursor knows its sort, which must not be given otherwise; an id in the body is the one in the path."""
    if isinstance(case.query, dict) and "cursor" in case.query:
        case.query.pop("sort", None)
    if isinstance(case.body, dict) and isinstance(case.body.get("id"), str) and "id" in (case.path_parameters or {}):
        case.body["id"] = case.path_parameters["id"]
    return case
