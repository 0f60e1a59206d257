"""/v1/groups/{id}/devices and /v1/devices/{id}/groups: what device is in what group, from both ends.

The calls are the same from both ends, so each is written once, for an owner and its members: a group and its devices,
or a device and its groups.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from flask import Response
from flask.views import MethodView

from devicesvc.api import answers, examples, queries, schemas
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


class Shapes(NamedTuple):
    """The schemas of the calls on the members of an owner."""

    query: schemas.Schema
    ids: schemas.Schema
    ids_query: schemas.Schema
    answer: schemas.Schema
    page: schemas.Schema


SHAPES = {  # by the noun of the member
    "device": Shapes(
        queries.DeviceQuerySchema(),
        queries.DeviceIdsSchema(),
        queries.DeviceIdsQuerySchema(),
        answers.DeviceAnswerSchema(),
        answers.DevicesAnswerSchema(),
    ),
    "group": Shapes(
        queries.GroupQuerySchema(),
        queries.GroupIdsSchema(),
        queries.GroupIdsQuerySchema(),
        answers.GroupAnswerSchema(),
        answers.GroupsAnswerSchema(),
    ),
}


def add_views(
    members: Members,
    find: dict[str, str],
    found: dict[str, Any],
    found_one: dict[str, Any],
    ids: list[str],
    into: str = "into",
) -> None:
    """Add the calls on the members of an owner to the blueprint.

    find: an example of filters. found, found_one: examples of the answers with a list and with one member. ids:
    examples of member ids. into: the word in the operationId of the call that adds one member.
    """
    owner, member, schema = members.owner, members.member, SHAPES[members.member]

    def named(view: View) -> View:
        """Put the names of owner and member into the docstring of a view, which is its documentation."""
        view.__doc__ = str(view.__doc__).format(owner=owner, member=member)
        return view

    @blp.route(f"/{owner}s/<id>/{member}s", endpoint=f"{member}s_of_{owner}", parameters=[PATH_IDS[owner]("id")])
    class AllMembers(MethodView):
        @blp.operation(f"get_{member}s_of_{owner}", 400, 404, 413, 422, sample=find)
        @blp.arguments(schema.query, location="query", as_kwargs=True)
        @blp.response(200, schema.page, description=f"The {member}s that fit.", example=found)
        @named
        def get(self, id: str, where: DeviceFilter | GroupFilter, page_request: PageRequest) -> Response:
            """Find the {member}s of a {owner}

            Takes the same arguments as `GET /v1/{member}s`.
            """
            return members.find(id, where, page_request)

        @blp.operation(f"add_{member}s_to_{owner}", 400, 404, 413, 415, 422)
        @blp.arguments(schema.ids, example={"ids": ids})
        @blp.response(
            200,
            answers.IdsAnswerSchema(),
            description="The ids that were added.",
            example=examples.members_added(*ids),
        )
        @named
        def post(self, data: dict[str, list[str]], id: str) -> Response:
            """Add {member}s to a {owner}

            Answers with the ids that were added. If a {member} does not exist, the answer is 422 and nothing is
            changed.
            """
            return members.add(id, data["ids"])

        @blp.operation(f"set_{member}s_of_{owner}", 400, 404, 413, 415, 422)
        @blp.arguments(schema.ids, example={"ids": ids})
        @blp.response(
            200,
            answers.IdsAnswerSchema(),
            description="The ids that were added or removed.",
            example=examples.members_replaced(*ids),
        )
        @named
        def put(self, data: dict[str, list[str]], id: str) -> Response:
            """Set the {member}s of a {owner}

            Afterwards the {owner} has these {member}s and no others. Answers with the ids that were added or removed.
            If a {member} does not exist, the answer is 422 and nothing is changed.
            """
            return members.replace(id, data["ids"])

        @blp.operation(f"remove_{member}s_from_{owner}", 400, 404, 413, 422)
        @blp.arguments(schema.ids_query, location="query", as_kwargs=True)
        @blp.response(
            200,
            answers.IdsAnswerSchema(),
            description="The ids that were removed.",
            example=examples.members_removed(*ids[-2:]),
        )
        @named
        def delete(self, id: str, ids: list[str]) -> Response:
            """Remove {member}s from a {owner}

            Answers with the ids that were removed. If a {member} does not exist, the answer is 422 and nothing is
            changed. The ids may also be a JSON object in the request body.
            """
            return members.remove(id, ids)

    @blp.route(
        f"/{owner}s/<id>/{member}s/<{member}_id>",
        endpoint=f"{member}_of_{owner}",
        parameters=[PATH_IDS[owner]("id"), PATH_IDS[member](f"{member}_id")],
    )
    class OneMember(MethodView):
        @blp.operation(f"get_{member}_of_{owner}", 404)
        @blp.response(200, schema.answer, description=f"The {member}.", example=found_one)
        @named
        def get(self, **ids: str) -> Response:
            """Get one {member} of a {owner}

            Answers with 404 if the device is not in the group.
            """
            return members.get_one(*ids.values())

        @blp.operation(f"put_{member}_{into}_{owner}", 404)
        @blp.response(
            200,
            answers.IdsAnswerSchema(),
            description="It was a member already.",
            example=examples.members_added(),
        )
        @blp.alt_response(
            201,
            schema=answers.IdsAnswerSchema(),
            description="Added.",
            example=examples.members_added(ids[0], status=201),
        )
        @named
        def put(self, **ids: str) -> Response:
            """Add one {member} to a {owner}

            If the same call is sent twice, the second one changes nothing.
            """
            return members.add_one(*ids.values())

        @blp.operation(f"remove_{member}_from_{owner}", 404)
        @blp.response(200, answers.IdsAnswerSchema(), description="Removed.", example=examples.members_removed(ids[0]))
        @named
        def delete(self, **ids: str) -> Response:
            """Remove one {member} from a {owner}"""
            return members.remove_one(*ids.values())


add_views(Members(groups, devices), examples.FIND, examples.FOUND, examples.FOUND_MEMBER, [examples.ID, *examples.IDS])
add_views(
    Members(devices, groups),
    examples.FIND_GROUPS,
    examples.FOUND_GROUPS,
    examples.FOUND_OWNER,
    examples.GROUP_IDS,
    into="onto",
)
