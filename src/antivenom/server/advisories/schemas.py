"""What the API takes and answers about feeds and advisories."""

from __future__ import annotations

from datetime import datetime

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from antivenom.core.feeds.registry import KINDS
from antivenom.core.matching.advisories import Severity, kind_of
from antivenom.server.advisories.advisory_view import AdvisoryView
from antivenom.server.advisories.feed_state import FeedCounts
from antivenom.server.advisories.models import Feed, SetAsideEntry, Vulnerability
from antivenom.server.advisories.service import freshness_of
from antivenom.server.events.schemas import ProgressView, view_progress
from antivenom_client.assessing import is_risk_estimated


class FeedCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: str
    location: str
    every_s: int | None = None


class FeedSyncRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: str | None = None


class FeedCountsView(TypedDict, total=False):
    """What the last sync that ended well changed; empty before the first, without `read` when nothing was new."""

    added: int
    changed: int
    removed: int
    withdrawn: int
    set_aside: int
    read: int
    flagged: dict[str, int]  # oddity → advisories that have it
    unchanged: str  # why there was nothing new
    entries: int  # stored of the feed


class FeedView(BaseModel):
    id: int
    kind: str = Field(json_schema_extra={"enum": list(KINDS)})
    location: str
    every_s: int | None
    state: str
    progress: ProgressView
    counts: FeedCountsView
    entries: int
    set_aside: int
    outcome: str  # of the last sync that ended well: "12 added, 3 changed", "nothing changed: 304 Not Modified"
    last_error: str
    failures: int
    created_at: datetime
    last_sync_at: datetime | None
    last_success_at: datetime | None
    next_sync_at: datetime | None
    changed_at: datetime | None  # when a sync last brought something new
    stale: str  # why no sync succeeded for too long; "" when one did
    frozen: str  # why it is odd that nothing new came; "" when it is not
    demo: bool
    built_in: bool  # it comes with the release: neither synced nor removed
    version: str  # of what is built in: the release; "" for others

    @classmethod
    def of(cls, feed: Feed, now: datetime) -> FeedView:
        freshness = freshness_of(feed, now)
        return cls(
            id=feed.id,
            kind=feed.kind,
            location=feed.location,
            every_s=feed.every_s,
            state=feed.state,
            progress=view_progress(feed.progress),
            counts=msgspec.to_builtins(feed.counts),
            entries=feed.counts.entries or 0,
            set_aside=feed.counts.set_aside or 0,
            outcome=outcome_of(feed),
            last_error=feed.last_error,
            failures=feed.failures,
            created_at=feed.created_at,
            last_sync_at=feed.last_sync_at,
            last_success_at=feed.last_success_at,
            next_sync_at=feed.next_sync_at,
            changed_at=feed.changed_at,
            stale=freshness.stale,
            frozen=freshness.frozen,
            demo=feed.is_demo,
            built_in=feed.is_built_in,
            version=feed.cursor.version or "",
        )


def outcome_of(feed: Feed) -> str:
    """What the last sync changed, in words; "" before the first."""
    if feed.is_built_in:
        return f"comes with release {feed.cursor.version or ''}"
    counts = feed.counts
    if counts == FeedCounts():
        return ""
    named = (
        (counts.added, "added"),
        (counts.changed, "changed"),
        (counts.removed, "removed"),
        (counts.withdrawn, "withdrawn"),
    )
    if news := [f"{count:,} {word}" for count, word in named if count]:
        return ", ".join(news)
    return f"nothing changed: {counts.unchanged}" if counts.unchanged else "nothing changed"


class SetAsideEntryView(BaseModel):
    entry: str
    reason: str
    at: datetime

    @classmethod
    def of(cls, entry: SetAsideEntry) -> SetAsideEntryView:
        return cls(entry=entry.entry, reason=entry.reason, at=entry.at)


class AdvisorySummary(BaseModel):
    id: str
    ids: list[str]
    summary: str
    kind: str  # vulnerability | malware
    severity: str
    cvss: float | None
    epss: float | None
    kev: bool
    ransomware: bool
    risk: float
    risk_estimated: bool  # no EPSS is known: the mean of this severity counts
    packages: list[str]
    sources: list[str]
    published: datetime | None
    modified: datetime | None
    withdrawn: bool
    disputed: bool

    @classmethod
    def of(cls, row: Vulnerability) -> AdvisorySummary:
        severity = Severity(row.severity).name
        return cls(
            id=row.id,
            ids=row.ids,
            summary=row.summary,
            kind=kind_of(severity),
            severity=severity,
            cvss=row.cvss,
            epss=row.epss,
            kev=row.kev,
            ransomware=row.kev_ransomware,
            risk=row.risk,
            risk_estimated=is_risk_estimated(severity, row.epss, kev=row.kev),
            packages=row.packages,
            sources=row.sources,
            published=row.published_at,
            modified=row.modified_at,
            withdrawn=row.is_withdrawn,
            disputed=row.is_disputed,
        )


class AffectedAnswer(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    ecosystem: str
    package: str
    ranges: list[str]
    versions: list[str]
    versions_total: int
    fixed: list[str]
    source: str
    advisory: str


class SourceAnswer(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    kind: str
    feed_id: int
    summary: str
    severity: str
    cvss: float | None
    published: str
    modified: str
    withdrawn: str
    flags: list[str]


class AdvisoryAnswer(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    ids: list[str]
    summary: str
    details: str
    kind: str
    severity: str
    cvss: float | None
    vectors: list[str]
    epss: float | None
    epss_percentile: float | None
    epss_date: str
    kev: bool
    ransomware: bool
    kev_added: str
    kev_due: str
    risk: float
    risk_estimated: bool
    published: datetime | None
    modified: datetime | None
    withdrawn: str
    disputed: bool
    flags: list[str]
    cwes: list[str]
    related: list[str]
    upstream: list[str]
    sources: list[str]
    entries: list[SourceAnswer]
    affected: list[AffectedAnswer]
    references: list[str]

    @classmethod
    def of(cls, view: AdvisoryView) -> AdvisoryAnswer:
        return cls.model_validate(view)
