"""/v1/changes: the history of the registry, its feed, and undo. /v1/devices/{id}/history: of one device; and groups."""

from typing import Any

from flask import Response
from flask.views import MethodView

from devicesvc.api import examples, history, history_schemas, queries, schemas
from devicesvc.api.smorest import Blueprint
from devicesvc.dao.history import HistoryFilter
from devicesvc.model import Device, Group

blp = Blueprint(
    "changes",
    __name__,
    url_prefix="/v1",
    description="Who changed what, when, and how to take it back. With tokens, everybody who may read sees the names of"
    " tokens and the addresses of clients here.",
)

NUMBER: dict[str, Any] = {
    "in": "path",
    "name": "number",
    "description": "The number of the change.",
    "schema": {"type": "integer", "minimum": 1, "maximum": history_schemas.MAX_NUMBER},
    "example": examples.NUMBER,
}
ONE = f"/changes/<int(min=1, max={history_schemas.MAX_NUMBER}):number>"


@blp.route("/changes")
class Changes(MethodView):
    @blp.operation("get_changes", 400, 413, 422, sample=examples.FIND_CHANGES)
    @blp.arguments(history_schemas.ChangesSchema(), location="query", as_kwargs=True)
    @blp.response(
        200, history_schemas.ChangesAnswerSchema(), description="The changes.", example=examples.FOUND_CHANGES
    )
    def get(self, where: HistoryFilter, limit: int, cursor: int | None, after: int | str | None, wait: int) -> Response:
        """Find changes

        The newest changes come first. A change is found if one of its rows fits all arguments; `rows` has the first 100
        rows that fit, and `count` is the number of all its rows. To get more changes, send `next` as `cursor`.

        With `after`, this is a feed: it answers with all changes after that number, the oldest first. Begin with
        `after=now`, which has none yet. Keep `next`, and send it as the next `after`: so none is missed, and none comes
        twice. With `wait=25` the answer comes as soon as there is a change, or with an empty list after 25 seconds. If
        the answer has the header Retry-After, the service could not let you wait: ask again after so many seconds.
        """
        if after is not None:
            return history.find_after(after, limit, wait)
        return history.find(where, cursor, limit)


@blp.route(ONE, parameters=[NUMBER])
class OneChange(MethodView):
    @blp.operation("get_change", 400, 404, 413, 422)
    @blp.arguments(history_schemas.RowsSchema(), location="query", as_kwargs=True)
    @blp.response(200, history_schemas.ChangeAnswerSchema(), description="The change.", example=examples.FOUND_CHANGE)
    def get(self, number: int, cursor: int = 0) -> Response:
        """Get one change

        The answer has at most 1000 rows. To get more of them, send `next` as `cursor`.
        """
        return history.get(number, cursor)


@blp.route(f"{ONE}/undo", parameters=[NUMBER])
class Undo(MethodView):
    @blp.operation("undo_change", 400, 404, 409, 422, sample=examples.DRY_RUN)
    @blp.arguments(queries.DryRunSchema(), location="querystring", as_kwargs=True)
    @blp.response(
        200, history_schemas.UndoAnswerSchema(), description="What was changed back.", example=examples.UNDONE
    )
    def post(self, number: int, dry_run: bool) -> Response:
        """Undo a change

        Puts all that the change did back as it was before, or nothing: also a batch, an import, or a group with its
        members. That is a change of its own, which can be undone too. If a later change is in the way, the answer is
        409, and `errors` names what differs now. With `dry_run=true` nothing is changed, and the answer says what would
        be changed; `rows` has at most 1000 rows.
        """
        return history.take_back(number, dry_run)


@blp.route("/devices/<item:id>/history", parameters=[schemas.path_id(Device, examples.ID)])
class DeviceHistory(MethodView):
    @blp.operation("get_history_of_device", 400, 404, 413, 422, sample=examples.NEWEST)
    @blp.arguments(history_schemas.DeviceHistorySchema(), location="query", as_kwargs=True)
    @blp.response(
        200, history_schemas.ChangesAnswerSchema(), description="The changes.", example=examples.FOUND_CHANGES
    )
    def get(self, id: str, where: HistoryFilter, limit: int, cursor: int | None) -> Response:
        """Find the changes of a device

        The newest changes of the device and of its memberships come first, also if it is deleted.
        """
        return history.find_of("device", id, where, cursor, limit)


@blp.route("/groups/<item:id>/history", parameters=[schemas.path_id(Group, examples.GROUP["id"])])
class GroupHistory(MethodView):
    @blp.operation("get_history_of_group", 400, 404, 413, 422, sample=examples.NEWEST)
    @blp.arguments(history_schemas.GroupHistorySchema(), location="query", as_kwargs=True)
    @blp.response(
        200, history_schemas.ChangesAnswerSchema(), description="The changes.", example=examples.FOUND_GROUP_CHANGES
    )
    def get(self, id: str, where: HistoryFilter, limit: int, cursor: int | None) -> Response:
        """Find the changes of a group

        The newest changes of the group and of its memberships come first, also if it is deleted.
        """
        return history.find_of("group", id, where, cursor, limit)
