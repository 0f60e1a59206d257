"""/v1/groups: the groups, in the manner of the devices."""

from operator import attrgetter
from typing import Any

from flask import Response
from flask.views import MethodView

from devicesvc.api import examples, schemas
from devicesvc.api.items import Items
from devicesvc.api.smorest import ETAG, LOCATION, Blueprint
from devicesvc.dao.base import PageRequest
from devicesvc.model import Group, GroupFilter

blp = Blueprint("groups", __name__, url_prefix="/v1/groups", description="Find, add, change and delete groups.")
groups = Items(Group, attrgetter("groups"))


@blp.route("")
class Groups(MethodView):
    @blp.operation("get_groups", 400, 413, 422)
    @blp.arguments(schemas.GroupQuerySchema(), location="query", as_kwargs=True)
    @blp.response(200, schemas.GroupsAnswerSchema(), description="The groups that fit.", example=examples.FOUND_GROUPS)
    def get(self, where: GroupFilter, page_request: PageRequest) -> Response:
        """Find groups

        Without arguments: all groups, at most 1000 in an answer. Each argument narrows the list; where nothing fits it
        is empty. The arguments may also come as a JSON object in the request body.
        """
        return groups.find(where, page_request)

    @blp.operation("add_groups", 400, 409, 413, 415, 422)
    @blp.arguments(schemas.NewGroupSchema(), example=examples.ADD_GROUP)
    @blp.response(
        201, schemas.NewIdAnswerSchema(), description="Its id.", example=examples.ADDED_GROUP_ID, headers=LOCATION
    )
    def post(self, data: dict[str, Any]) -> Response:
        """Add a group

        The service makes the id: ten random digits. A name that another group has is refused with 409, which names that
        group. The header Location is the path of the new group.
        """
        return groups.create(data)

    @blp.operation("update_groups", 400, 404, 409, 413, 415, 422)
    @blp.arguments(schemas.GroupChangeSchema(), example=examples.CHANGE_GROUP)
    @blp.response(200, schemas.GroupAnswerSchema(), description="The whole group.", example=examples.CHANGED_GROUP)
    def put(self, changes: dict[str, Any]) -> Response:
        """Change a group

        Only what is given changes.
        """
        return groups.update(changes.pop("id"), changes)

    @blp.operation("delete_groups", 400, 413, 422)
    @blp.arguments(schemas.GroupIdsQuerySchema(), location="query", as_kwargs=True)
    @blp.response(
        200, schemas.IdsAnswerSchema(), description="The ids really deleted.", example=examples.DELETED_GROUPS
    )
    def delete(self, ids: list[str]) -> Response:
        """Delete groups

        Answers with the ids really deleted; an unknown id is no error. Their memberships go with them, the devices
        stay. The ids may also come as a JSON object in the request body.
        """
        return groups.remove(ids)


@blp.route("/<item:id>", parameters=[schemas.path_id(Group, examples.GROUP["id"])])
class GroupItem(MethodView):
    @blp.operation("get_group", 404, conditional=True)
    @blp.response(200, schemas.GroupAnswerSchema(), description="It.", example=examples.FOUND_GROUP, headers=ETAG)
    @blp.alt_response(304, description="It is still the version that If-None-Match names.")
    def get(self, id: str) -> Response:
        """Get one group

        The header ETag names this version of the group: send it back in If-Match to change this version and no other.
        """
        return groups.get_one(id)

    @blp.operation("put_group", 400, 409, 413, 415, 422, conditional=True)
    @blp.arguments(schemas.GroupItemSchema(), example=examples.PUT_GROUP)
    @blp.response(
        200, schemas.GroupAnswerSchema(), description="Replaced.", example=examples.REPLACED_GROUP, headers=ETAG
    )
    @blp.alt_response(201, schema=schemas.GroupAnswerSchema(), description="Added.", example=examples.ADDED_GROUP)
    def put(self, data: dict[str, Any], id: str) -> Response:
        """Add or replace a group

        The id is yours to choose. Sent twice, the same call leaves one group: a retry is safe. Its members stay.
        """
        return groups.put_one(id, data)

    @blp.operation("patch_group", 400, 404, 409, 413, 415, 422, conditional=True)
    @blp.arguments(schemas.GroupPatchSchema(), example=examples.PATCH_GROUP)
    @blp.response(
        200, schemas.GroupAnswerSchema(), description="It, whole.", example=examples.CHANGED_GROUP, headers=ETAG
    )
    def patch(self, changes: dict[str, Any], id: str) -> Response:
        """Change one group

        A JSON Merge Patch (RFC 7396): only what is given changes; null removes the description.
        """
        return groups.patch_one(id, changes)

    @blp.operation("delete_group", 404, conditional=True)
    @blp.response(200, schemas.IdsAnswerSchema(), description="Deleted.", example=examples.DELETED_GROUP)
    def delete(self, id: str) -> Response:
        """Delete one group

        Its memberships go with it, the devices stay.
        """
        return groups.remove_one(id)
