"""What the API takes and answers about members, groups, roles and grants."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from antivenom.core.rights import CATEGORIES
from antivenom.server.context import NO_ROLE
from antivenom.server.members.explaining import MemberRights
from antivenom.server.members.groups import GroupDetails
from antivenom.server.members.models import Member, Role
from antivenom.server.members.queries import GrantRow, GroupRow
from antivenom.server.members.roles import levels_of

OwnRole = Annotated[str, Field(description="The name of a role; none for none of their own.")]
Levels = Annotated[
    dict[str, str], Field(description=f"none, read, write or manage for each of: {', '.join(CATEGORIES)}.")
]
HolderText = Annotated[str, Field(description="member:NAME, group:NAME, token:NAME or everyone.")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MemberCreate(Body):
    name: str
    role: OwnRole = "member"
    password: Annotated[str | None, Field(description="Without one, a random one is made and answered.")] = None


class MemberChange(Body):
    role: OwnRole | None = None
    disabled: bool | None = None


class MemberView(BaseModel):
    name: str
    role: str
    created_at: datetime
    disabled_at: datetime | None

    @classmethod
    def of(cls, member: Member) -> MemberView:
        return cls(
            name=member.name,
            role=member.role or NO_ROLE,
            created_at=member.created_at,
            disabled_at=member.disabled_at,
        )


class MemberCreated(MemberView):
    """A new member; `password` is theirs if it was made here, which no other answer has."""

    password: str | None


class HeldRoleView(BaseModel):
    """A role that gives a level, for the installation or one channel, and how it reaches the member."""

    role: str
    channel: str | None
    via: str


class CategoryRightsView(BaseModel):
    category: str
    level: str
    because: list[HeldRoleView]


class MemberRightsView(BaseModel):
    """What a member may do with a channel (null: the installation). `channels`: those where they may do more."""

    member: str
    channel: str | None
    categories: list[CategoryRightsView]
    channels: list[str]

    @classmethod
    def of(cls, rights: MemberRights) -> MemberRightsView:
        return cls(
            member=rights.member,
            channel=rights.channel,
            categories=[
                CategoryRightsView(
                    category=row.category,
                    level=row.level.name,
                    because=[HeldRoleView(role=why.role, channel=why.channel, via=why.via) for why in row.because],
                )
                for row in rights.categories
            ],
            channels=list(rights.channels),
        )


class GroupCreate(Body):
    name: str
    description: str = ""


class GroupChange(Body):
    description: str


class GroupMemberBody(Body):
    member: Annotated[str, Field(description="member:NAME or group:NAME.")]


class GroupView(BaseModel):
    """A group, with how many members and groups are directly in it."""

    name: str
    description: str
    created_at: datetime
    created_by: str
    members: int
    groups: int

    @classmethod
    def of(cls, row: GroupRow) -> GroupView:
        return cls.model_validate(row, from_attributes=True)


class GroupDetailsView(BaseModel):
    """A group with who is directly in it, and the groups that it is directly in."""

    name: str
    description: str
    created_at: datetime
    created_by: str
    members: list[str]
    inside: list[str]

    @classmethod
    def of(cls, details: GroupDetails) -> GroupDetailsView:
        group = details.group
        return cls(
            name=group.name,
            description=group.description,
            created_at=group.created_at,
            created_by=group.created_by,
            members=details.members,
            inside=details.inside,
        )


class RoleCreate(Body):
    name: str
    levels: Levels = Field(default_factory=dict)
    description: str = ""


class RoleChange(Body):
    levels: Levels | None = None
    description: str | None = None


class RoleView(BaseModel):
    """A role with its level for every category. `is_default`: one of a new installation; it cannot be removed."""

    name: str
    description: str
    is_default: bool
    levels: dict[str, str]

    @classmethod
    def of(cls, role: Role) -> RoleView:
        held = levels_of(role)
        levels = {category: held[category].name if category in held else NO_ROLE for category in CATEGORIES}
        return cls(name=role.name, description=role.description, is_default=role.is_default, levels=levels)


class GrantBody(Body):
    role: str
    holder: HolderText
    channel: Annotated[str | None, Field(description="Without one: for the installation.")] = None


class GrantView(BaseModel):
    role: str
    holder: str
    channel: str | None
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, row: GrantRow) -> GrantView:
        return cls.model_validate(row, from_attributes=True)
