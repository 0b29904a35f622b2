"""What the API takes and answers about tokens and members."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from antivenom.server.context import NO_ROLE
from antivenom.server.members.models import Token


class TokenCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    role: Annotated[str, Field(description="The name of a role; none for none of its own.")] = "member"
    expires_at: AwareDatetime | None = None


class TokenView(BaseModel):
    name: str
    role: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: Token) -> TokenView:
        return cls(
            name=token.name,
            role=token.role or NO_ROLE,
            created_at=token.created_at,
            created_by=token.created_by,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
            revoked_at=token.revoked_at,
        )


class TokenCreated(TokenView):
    """A new token; `token` is its value, which no other answer has."""

    token: str


class PasswordReset(BaseModel):
    model_config = ConfigDict(extra="forbid")

    password: str | None = None


class PasswordView(BaseModel):
    name: str
    password: str


class ActorView(BaseModel):
    """Who the request comes from, and the server's version."""

    kind: str
    name: str
    role: str
    version: str
