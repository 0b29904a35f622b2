"""What POST /api/v1/match takes and answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


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
