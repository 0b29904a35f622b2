"""What POST /api/v1/match takes and answers."""

from __future__ import annotations

from typing import Any, Self

import msgspec
from pydantic import BaseModel, Field

from antivenom.server.findings.explaining import ComponentExplained


class MatchBody(BaseModel):
    """Up to 10,000 of `{"type": "conda", "name", "version", "build"?, "channel"?, "subdir"?}` or `{"purl"}`.

    They are `Any` on purpose: a wrong one is answered in its place and does not refuse the others.
    """

    components: list[Any] = Field(
        examples=[[{"type": "conda", "name": "openssl", "version": "3.0.7"}, {"purl": "pkg:pypi/requests@2.25.0"}]]
    )
    include_ignored: bool = Field(default=False, description="Also list what rows of knowledge set aside.")


class EvidenceView(BaseModel):
    source: str
    via: str
    range: str


class FindingView(BaseModel):
    ids: list[str]
    kind: str = Field(description="vulnerability or malware")
    severity: str
    cvss: float | None
    kev: bool
    epss: float | None
    risk: float
    risk_estimated: bool = Field(description="No EPSS is known: the mean of this severity counts.")
    fixed_versions: list[str]
    status: str
    confidence: str
    evidence: list[EvidenceView]
    summary: str
    published: str
    modified: str
    kev_ransomware: bool
    fix_in_channel: bool | None = None
    platforms: list[str] = Field(default=[], description="Where alone it exists; empty for everywhere.")
    told_on: list[str] = Field(
        default=[], description="Where alone it exists by the words of its text; elsewhere the confidence is low."
    )


class IgnoredByView(BaseModel):
    """The row of knowledge that sets a finding aside: its id, and why."""

    rule: str
    reason: str


class IgnoredFindingView(FindingView):
    """A finding that a row of knowledge sets aside; its status is "ignored"."""

    ignored_by: IgnoredByView


class AssessmentView(BaseModel):
    """`ignored` is empty unless `include_ignored` asked for it; it is no part of the assessment.

    `undecided`: ids of vulnerabilities of which nobody names a version that can be compared.
    """

    assessed: bool
    reason: str
    findings: list[FindingView]
    ignored: list[IgnoredFindingView]
    undecided: list[str] = []


class ExplainBody(BaseModel):
    """One component, as in POST /api/v1/match."""

    component: Any = Field(examples=[{"type": "conda", "name": "openssl", "version": "3.0.7"}])
    advisory: str = Field(default="", max_length=300, description="Only the vulnerability of this id.")


class NameTriedView(BaseModel):
    """A name of the component, where it comes from (`via`), and what became of it.

    `outcome`: heard (advisories name it), silent (its ecosystem is read, and no advisory names it), unread (no feed
    that is read names it), no-evidence (only an equal name or a map suggests it, and no advisory names it), set-aside.
    """

    ecosystem: str
    name: str
    confidence: str
    via: str
    outcome: str
    why: str
    advisories: int
    sources: list[str] = Field(description="The kinds of the feeds whose advisories name it.")


class ComparisonView(BaseModel):
    """What one advisory says of the component's version.

    `ranges`: those that hold the version, else the first six; `ranges_total` counts all. `result`: inside, outside or
    not-compared. `rank`: whose word it is; the best rank decides.
    """

    advisory: str
    source: str
    name: str
    via: str
    rank: str
    ranges: list[str]
    ranges_total: int
    result: str
    decides: bool
    ignored_by: str = Field(description="The row of knowledge that sets it aside, or empty.")
    why: str


class ConsideredView(BaseModel):
    """One vulnerability that is told of one of the names, and why it is a finding or not.

    `outcome`: finding, set-aside, other-platform, undecided, withdrawn or not-affected. `rule`: the row of knowledge
    that sets it aside.
    """

    ids: list[str]
    kind: str
    severity: str
    summary: str
    outcome: str
    rule: str
    why: str
    fixed_versions: list[str]
    comparisons: list[ComparisonView]


class FeedHeardView(BaseModel):
    """What one feed has to do with the component; feed 0 is knowledge that comes with the release."""

    feed_id: int
    kind: str
    location: str
    is_heard: bool
    advisories: int = Field(description="How many of its advisories name the component.")
    why: str


class ExplanationView(BaseModel):
    """The whole way from a component to its findings.

    `depends_on`: the package that has the files of a package without any. `counts`: vulnerabilities by outcome.
    `revision`: the knowledge that this is made from.
    """

    component: str
    version: str
    subdir: str
    assessed: bool
    reason: str
    depends_on: str
    names: list[NameTriedView]
    feeds: list[FeedHeardView]
    considered: list[ConsideredView]
    counts: dict[str, int]
    revision: int

    @classmethod
    def of(cls, found: ComponentExplained) -> Self:
        fields = msgspec.to_builtins(found.explanation)
        return cls(**fields, feeds=msgspec.to_builtins(found.feeds), revision=found.revision)


class KnowledgeView(BaseModel):
    """`revision` is behind `newest_revision` while the match index is being compiled; 0 is none."""

    revision: int
    newest_revision: int


class AffectedView(BaseModel):
    name: str
    version: str
    purls: list[str]
    id: str
    severity: str
    risk: float


class AffectedPage(BaseModel):
    items: list[AffectedView]
    total: int
    page: int
    page_size: int
