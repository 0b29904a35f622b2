"""What the API takes and answers about tokens and members."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from antivenom.server.members.models import Token


class TokenCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    role: Literal["reader", "author", "admin"] = "reader"
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
        return cls.model_validate(token, from_attributes=True)


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
