"""Channels and publications as lists, charts and the API show them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, field_serializer

from antivenom.server.publications.counts import PublicationCounts
from antivenom.server.web.rows import Row


class NoCounts(BaseModel):
    """An object without fields: nothing was published yet."""


class Behind(BaseModel):
    """A channel has accepted changes that it does not serve yet. `error` is why the last try failed, "" before one."""

    since: datetime
    error: str
    failures: int
    next_try_at: datetime | None


class ChannelSummary(BaseModel):
    """A channel with what it serves now. Without a publication its numbers are 0 and `counts` is empty."""

    name: str
    description: str
    privacy: str
    closure: bool
    trust_build_statements: bool
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
    counts: PublicationCounts | None
    behind: Behind | None = None

    @field_serializer("counts")
    def _answer_counts(self, counts: PublicationCounts | None) -> PublicationCounts | NoCounts:
        return counts or NoCounts()


class PublicationView(BaseModel):
    """One publication of a channel. `served` is false when its blobs were deleted; `cause` is what made it."""

    number: int
    current: bool
    served: bool
    created_at: datetime
    created_by: str
    cause: str
    policy: str | None
    policy_revision: int | None
    records: int
    kept: int
    withheld: int
    warned: int
    counts: PublicationCounts


class TrendPoint(Row, frozen=True):
    """Records of one publication by what became of them; for charts."""

    at: datetime
    number: int
    records: int
    kept: int
    withheld: int
    warned: int
