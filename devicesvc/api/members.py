"""Memberships from one end: an owner and its members, such as a group and its devices."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from flask import Response

from devicesvc.api.items import Items
from devicesvc.api.remembered import remember
from devicesvc.api.responses import ok, store
from devicesvc.dao.base import PageRequest, Transaction
from devicesvc.errors import Invalid, NotFound, shown
from devicesvc.model import Membership


class Members:
    """The calls on the members of an owner.

    In the devices of a group, the group is the owner; in the groups of a device, the device is.
    owners, members: the calls on the two kinds of items. owner, member: what these items are called.
    Each method returns an answer. It raises StoreUnavailable, and NotFound if the owner does not exist.
    """

    def __init__(self, owners: Items, members: Items) -> None:
        self._owners = owners
        self._members = members
        self.owner, self.member = owners.noun, members.noun
        self._owner_id = f"{self.owner}_id"
        self._member_id = f"{self.member}_id"

    def find(self, owner: str, where: Any, page_request: PageRequest) -> Response:
        """Answer with a page of the members that fit."""
        self._owners.table(store()).get(owner)
        owners = f"{self._owner_id}s"
        return self._members.find(replace(where, **{owners: getattr(where, owners) | {owner}}), page_request)

    def add(self, owner: str, ids: list[str]) -> Response:
        """Add members, and answer with the ids of the new ones. Raises Invalid if an id does not exist."""
        new = store().write(lambda tx: tx.memberships.add(self._memberships(tx, owner, ids)))
        return ok(f"memberships added: {len(new)}", ids=self._ids(new))

    def replace(self, owner: str, ids: list[str]) -> Response:
        """Make these the only members, and answer with the ids that were added or removed. Raises Invalid if an id does
        not exist."""

        def change(tx: Transaction) -> tuple[Collection[Membership], Collection[Membership]]:
            after = dict.fromkeys(self._memberships(tx, owner, ids))
            before = tx.memberships.list(**{self._owner_id: owner})
            removed = tx.memberships.remove([each for each in before if each not in after])
            return tx.memberships.add(after), removed

        new, removed = store().write(change)
        return ok(f"memberships added: {len(new)}, removed: {len(removed)}", ids=self._ids([*new, *removed]))

    def remove(self, owner: str, ids: list[str]) -> Response:
        """Remove members, and answer with the ids really removed. Raises Invalid if an id does not exist."""
        removed = store().write(lambda tx: tx.memberships.remove(self._memberships(tx, owner, ids)))
        return ok(f"memberships removed: {len(removed)}", ids=self._ids(removed))

    def get_one(self, owner: str, member: str) -> Response:
        """Answer with the member. Raises NotFound if it is not a member."""
        remember()
        item, membership = self._members.table(store()).get(member), self._membership(store(), owner, member)
        if not store().memberships.has(membership):
            raise self._not_a_member(owner, member)
        return ok("membership found", data=item)

    def add_one(self, owner: str, member: str) -> Response:
        """Add a member (201); if it is one already, nothing changes (200). Raises NotFound if it does not exist."""
        new = store().write(lambda tx: tx.memberships.add([self._membership(tx, owner, member)]))
        return ok(f"memberships added: {len(new)}", status=201 if new else 200, ids=self._ids(new))

    def remove_one(self, owner: str, member: str) -> Response:
        """Remove a member. Raises NotFound if it is not a member."""
        removed = store().write(lambda tx: tx.memberships.remove([self._membership(tx, owner, member)]))
        if not removed:
            raise self._not_a_member(owner, member)
        return ok("memberships removed: 1", ids=self._ids(removed))

    def _memberships(self, tx: Any, owner: str, ids: list[str]) -> list[Membership]:
        """Raises NotFound if the owner does not exist, and Invalid with the place of each member that does not."""
        self._owners.table(tx).get(owner)
        places = {id: f"ids.{number}" for number, id in reversed(list(enumerate(ids)))}
        rule = f"must be the id of a {self.member}; there is none with the id"
        if missing := self._members.table(tx).missing(ids):
            raise Invalid({places[id]: f"{rule} {shown(id)}" for id in missing})
        return [Membership(**{self._owner_id: owner, self._member_id: id}) for id in ids]

    def _membership(self, tx: Any, owner: str, member: str) -> Membership:
        """Raises NotFound if one of the two does not exist."""
        ids = {
            self._owner_id: self._owners.table(tx).get(owner).id,
            self._member_id: self._members.table(tx).get(member).id,
        }
        return Membership(**ids)

    def _ids(self, memberships: Collection[Membership]) -> list[str]:
        return [getattr(each, self._member_id) for each in memberships]

    def _not_a_member(self, owner: str, member: str) -> NotFound:
        return NotFound(f"There is no membership of the {self.member} {member!r} and the {self.owner} {owner!r}.")
