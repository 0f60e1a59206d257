"""/v1/counts: how many devices have which type, status, model, version of the software, and group."""

from collections.abc import Sequence
from typing import Any

from flask import Response
from flask.views import MethodView

from devicesvc.api import answers, examples, queries
from devicesvc.api.remembered import remember
from devicesvc.api.responses import ok, store
from devicesvc.api.smorest import Blueprint
from devicesvc.dao.base import Counts
from devicesvc.model import DeviceFilter

blp = Blueprint("counts", __name__, url_prefix="/v1/counts", description="How many devices have which values.")


@blp.route("")
class AllCounts(MethodView):
    @blp.operation("get_counts", 400, 413, 422, sample=examples.COUNT)
    @blp.arguments(queries.CountsQuerySchema(), location="query", as_kwargs=True)
    @blp.response(200, answers.CountsAnswerSchema(), description="The counts.", example=examples.COUNTED)
    def get(self, by: Sequence[str], where: DeviceFilter, limit: int) -> Response:
        """Count devices by their values

        Takes the filters of `GET /v1/devices`: only devices that fit are counted. A device that is in several groups is
        counted in each.
        """
        remember()
        counts = store().devices.counts([queries.COUNTED[name] for name in by], where, limit)
        return ok("devices counted", data={name: _shown(name, counts[queries.COUNTED[name]]) for name in by})


def _shown(name: str, counts: Counts) -> dict[str, Any]:
    values = [{"value": value, "count": count} for value, count in counts.values]
    if name == "group_id":
        groups = store().groups.find_many(value for value, _ in counts.values)
        values = [each | {"name": groups[each["value"]].name} for each in values if each["value"] in groups]
    return {"values": values, "others": counts.others}
