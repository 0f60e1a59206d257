"""/v1/groups/{id}/devices and /v1/devices/{id}/groups: what device is in what group, from both ends.

The calls are the same from both ends, so each is written once, about the members of an owner: the devices of a group,
and the groups of a device.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response
from flask.views import MethodView

from devicesvc.api import examples, schemas
from devicesvc.api.devices import devices
from devicesvc.api.groups import groups
from devicesvc.api.members import Members
from devicesvc.api.smorest import Blueprint
from devicesvc.dao.base import PageRequest
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter

View = TypeVar("View", bound=Callable[..., Any])

blp = Blueprint("memberships", __name__, url_prefix="/v1", description="What device is in what group, from both ends.")

PATH_IDS = {
    "device": lambda name: schemas.path_id(Device, examples.ID, name),
    "group": lambda name: schemas.path_id(Group, examples.GROUP["id"], name),
}


def add_views(
    members: Members, found: dict[str, Any], found_one: dict[str, Any], ids: list[str], into: str = "into"
) -> None:
    """Add the calls on the members of an owner to the blueprint.

    found, found_one, ids: examples of a list, of one member, and of the ids of members. into: the word in the name of
    the call that adds one.
    """
    owner, member, schema = members.owner, members.member, schemas.OF[members.member]

    def words(view: View) -> View:
        """Put the two words into the docstring of a view, which is its documentation."""
        view.__doc__ = str(view.__doc__).format(owner=owner, member=member)
        return view

    @blp.route(f"/{owner}s/<id>/{member}s", endpoint=f"{member}s_of_{owner}", parameters=[PATH_IDS[owner]("id")])
    class AllMembers(MethodView):
        @blp.operation(f"get_{member}s_of_{owner}", 400, 404, 413, 422)
        @blp.arguments(schema.query, location="query", as_kwargs=True)
        @blp.response(200, schema.page, description=f"The {member}s that fit.", example=found)
        @words
        def get(self, id: str, where: DeviceFilter | GroupFilter, page_request: PageRequest) -> Response:
            """Find the {member}s of a {owner}

            Takes the same arguments as `GET /v1/{member}s`.
            """
            return members.find(id, where, page_request)

        @blp.operation(f"add_{member}s_to_{owner}", 400, 404, 413, 415, 422)
        @blp.arguments(schema.ids, example={"ids": ids})
        @blp.response(200, schemas.IdsAnswerSchema(), description="The new ones.", example=examples.joined(*ids))
        @words
        def post(self, data: dict[str, list[str]], id: str) -> Response:
            """Add {member}s to a {owner}

            Answers with the ids of those that are new. An unknown {member} is refused, and then nothing is changed.
            """
            return members.add(id, data["ids"])

        @blp.operation(f"set_{member}s_of_{owner}", 400, 404, 413, 415, 422)
        @blp.arguments(schema.ids, example={"ids": ids})
        @blp.response(
            200, schemas.IdsAnswerSchema(), description="Those added or removed.", example=examples.replaced(*ids)
        )
        @words
        def put(self, data: dict[str, list[str]], id: str) -> Response:
            """Set the {member}s of a {owner}

            Then it has these and no others. Answers with the ids of those that were added or removed. An unknown
            {member} is refused, and then nothing is changed.
            """
            return members.replace(id, data["ids"])

        @blp.operation(f"remove_{member}s_from_{owner}", 400, 404, 413, 422)
        @blp.arguments(schema.ids_query, location="query", as_kwargs=True)
        @blp.response(200, schemas.IdsAnswerSchema(), description="Those removed.", example=examples.left(*ids[-2:]))
        @words
        def delete(self, id: str, ids: list[str]) -> Response:
            """Remove {member}s from a {owner}

            Answers with the ids of those that were removed. An unknown {member} is refused, and then nothing is
            changed. The ids may also come as a JSON object in the request body.
            """
            return members.remove(id, ids)

    @blp.route(
        f"/{owner}s/<id>/{member}s/<{member}_id>",
        endpoint=f"{member}_of_{owner}",
        parameters=[PATH_IDS[owner]("id"), PATH_IDS[member](f"{member}_id")],
    )
    class OneMember(MethodView):
        @blp.operation(f"get_{member}_of_{owner}", 404)
        @blp.response(200, schema.answer, description="It is one.", example=found_one)
        @words
        def get(self, **ids: str) -> Response:
            """Get one {member} of a {owner}

            Answers with 404 if the device is not in the group.
            """
            return members.get_one(*ids.values())

        @blp.operation(f"put_{member}_{into}_{owner}", 404)
        @blp.response(200, schemas.IdsAnswerSchema(), description="It was one already.", example=examples.joined())
        @blp.alt_response(
            201, schema=schemas.IdsAnswerSchema(), description="Added.", example=examples.joined(ids[0], status=201)
        )
        @words
        def put(self, **ids: str) -> Response:
            """Add one {member} to a {owner}

            Sent twice, the same call changes nothing the second time.
            """
            return members.add_one(*ids.values())

        @blp.operation(f"remove_{member}_from_{owner}", 404)
        @blp.response(200, schemas.IdsAnswerSchema(), description="Removed.", example=examples.left(ids[0]))
        @words
        def delete(self, **ids: str) -> Response:
            """Remove one {member} from a {owner}"""
            return members.remove_one(*ids.values())


add_views(Members(groups, devices), examples.FOUND, examples.FOUND_MEMBER, [examples.ID, *examples.IDS])
add_views(Members(devices, groups), examples.FOUND_GROUPS, examples.FOUND_OWNER, examples.GROUP_IDS, into="onto")
