"""Channels and publications as lists, charts and the API show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from antivenom.server.web.rows import Row


class ChannelSummary(BaseModel):
    """A channel with what it serves now."""

    name: str
    description: str
    privacy: str
    closure: bool
    upstream: str
    created_at: datetime
    demo: bool
    publication: int | None
    published_at: datetime | None
    cause: str
    policy: str | None
    policy_revision: int | None
    subdirs: list[str]
    records: int
    kept: int
    withheld: int
    warned: int
    counts: dict[str, Any]


class PublicationView(BaseModel):
    number: int
    current: bool
    served: bool  # False: its blobs were thrown away
    created_at: datetime
    created_by: str
    cause: str
    policy: str | None
    policy_revision: int | None
    records: int
    kept: int
    withheld: int
    warned: int
    counts: dict[str, Any]


class TrendPoint(Row, frozen=True):
    """Records of one publication by what became of them; for charts."""

    at: datetime
    number: int
    records: int
    kept: int
    withheld: int
    warned: int
