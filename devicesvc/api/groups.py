"""/v1/groups: the same calls for groups as devices.py has for devices."""

from operator import attrgetter
from typing import Any

from flask import Response
from flask.views import MethodView

from devicesvc.api import answers, examples, history_schemas, queries, schemas
from devicesvc.api.items import Items
from devicesvc.api.smorest import ETAG, LOCATION, Blueprint
from devicesvc.dao.base import PageRequest
from devicesvc.model import Group, GroupFilter

blp = Blueprint("groups", __name__, url_prefix="/v1/groups", description="Find, add, change and delete groups.")
groups = Items(Group, attrgetter("groups"))


@blp.route("")
class Groups(MethodView):
    @blp.operation("get_groups", 400, 413, 422, sample=examples.FIND_GROUPS)
    @blp.arguments(queries.GroupQuerySchema(), location="query", as_kwargs=True)
    @blp.response(200, answers.GroupsAnswerSchema(), description="The groups that fit.", example=examples.FOUND_GROUPS)
    def get(self, where: GroupFilter, page_request: PageRequest) -> Response:
        """Find groups

        Without arguments, all groups fit. A group must fit all arguments that are given; if none fits, the list is
        empty. An answer has at most 1000 groups. The arguments may also be a JSON object in the request body.
        """
        return groups.find(where, page_request)

    @blp.operation("add_groups", 400, 409, 413, 415, 422)
    @blp.arguments(schemas.NewGroupSchema(), example=examples.ADD_GROUP)
    @blp.response(
        201,
        answers.NewIdAnswerSchema(),
        description="The new id.",
        example=examples.ADDED_GROUP_ID,
        headers=LOCATION,
    )
    def post(self, data: dict[str, Any]) -> Response:
        """Add a group

        The service makes the id: ten random digits. If another group has the name, the answer is 409 and names that
        group. The header Location is the path of the new group.
        """
        return groups.create(data)

    @blp.operation("update_groups", 400, 404, 409, 413, 415, 422)
    @blp.arguments(schemas.GroupChangeSchema(), example=examples.CHANGE_GROUP)
    @blp.response(200, answers.GroupAnswerSchema(), description="The whole group.", example=examples.CHANGED_GROUP)
    def put(self, changes: dict[str, Any]) -> Response:
        """Change a group

        Only the fields that are given change.
        """
        return groups.update(changes.pop("id"), changes)

    @blp.operation("delete_groups", 400, 413, 422)
    @blp.arguments(queries.GroupIdsQuerySchema(), location="query", as_kwargs=True)
    @blp.response(
        200, answers.IdsAnswerSchema(), description="The ids really deleted.", example=examples.DELETED_GROUPS
    )
    def delete(self, ids: list[str]) -> Response:
        """Delete groups

        Answers with the ids really deleted; an unknown id is not an error. The memberships of the groups are deleted
        too, but no device is. The ids may also be a JSON object in the request body.
        """
        return groups.remove(ids)


@blp.route("/<item:id>", parameters=[schemas.path_id(Group, examples.GROUP["id"])])
class GroupItem(MethodView):
    @blp.operation("get_group", 400, 404, 422, conditional=True)
    @blp.rare_arguments(history_schemas.AtSchema())
    @blp.response(
        200, answers.GroupAnswerSchema(), description="The group.", example=examples.FOUND_GROUP, headers=ETAG
    )
    @blp.alt_response(304, description="Not modified: If-None-Match names this version.")
    def get(self, id: str, at: str | None = None) -> Response:
        """Get one group

        The header ETag names this version of the group. Send it in If-Match to change only this version. With
        `at=2026-11-24T20:00:00Z` the answer is the group as it was then, and 404 if there was none.
        """
        return groups.get_one(id, at)

    @blp.operation("put_group", 400, 409, 413, 415, 422, conditional=True)
    @blp.arguments(schemas.GroupItemSchema(), example=examples.PUT_GROUP)
    @blp.response(
        200, answers.GroupAnswerSchema(), description="Replaced.", example=examples.REPLACED_GROUP, headers=ETAG
    )
    @blp.alt_response(201, schema=answers.GroupAnswerSchema(), description="Added.", example=examples.ADDED_GROUP)
    def put(self, data: dict[str, Any], id: str) -> Response:
        """Add or replace a group

        You choose the id. If the same call is sent twice, there is one group: it is safe to try again. A group that is
        replaced keeps its devices.
        """
        return groups.put_one(id, data)

    @blp.operation("patch_group", 400, 404, 409, 413, 415, 422, conditional=True)
    @blp.arguments(schemas.GroupPatchSchema(), example=examples.PATCH_GROUP)
    @blp.response(
        200,
        answers.GroupAnswerSchema(),
        description="The whole group.",
        example=examples.CHANGED_GROUP,
        headers=ETAG,
    )
    def patch(self, changes: dict[str, Any], id: str) -> Response:
        """Change one group

        The body is a JSON Merge Patch (RFC 7396): only the fields that are given change. null removes the description.
        """
        return groups.patch_one(id, changes)

    @blp.operation("delete_group", 404, conditional=True)
    @blp.response(200, answers.IdsAnswerSchema(), description="Deleted.", example=examples.DELETED_GROUP)
    def delete(self, id: str) -> Response:
        """Delete one group

        Its memberships are deleted too, but no device is.
        """
        return groups.remove_one(id)
