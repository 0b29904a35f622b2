"""The rows of the catalog's lists. A channel may have 150,000 findings and 100,000 withheld records."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from antivenom.core.matching.advisories import Finding, Severity
from antivenom.core.policy.compile import Reason
from antivenom.server.publications.reasons import ReasonView
from antivenom.server.web.rows import Row
from antivenom_client.assessing import rank


class FindingEvidence(Row, frozen=True):
    """Why an advisory was tied to a component: which source, by which identity, by which range."""

    source: str
    via: str
    range: str


def evidence_of(finding: Finding) -> list[FindingEvidence]:
    """The evidence of a finding."""
    return [FindingEvidence(item.source, item.via, item.range) for item in finding.evidence]


class FindingFacts(Row, frozen=True):
    """One vulnerability, or malware, of one component.

    `cvss` and `epss` are None when unknown, `published` "" likewise. `risk_estimated`: no EPSS is known, so
    that the mean of the same severity counts.
    """

    ids: tuple[str, ...]
    severity: str
    cvss: float | None
    kev: bool
    kev_ransomware: bool
    epss: float | None
    risk: float
    fixed_versions: tuple[str, ...]
    status: str
    confidence: str
    evidence: list[FindingEvidence]
    published: str
    summary: str
    kind: str = "vulnerability"
    risk_estimated: bool = False

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """The facts of a finding."""
        return cls(
            ids=finding.ids,
            severity=finding.severity,
            cvss=finding.cvss,
            kev=finding.kev,
            kev_ransomware=finding.kev_ransomware,
            epss=finding.epss,
            risk=finding.risk,
            fixed_versions=finding.fixed_versions,
            status=finding.status,
            confidence=finding.confidence,
            evidence=evidence_of(finding),
            published=finding.published,
            summary=finding.summary,
            kind=finding.kind,
            risk_estimated=finding.risk_estimated,
        )


class BuildSays(Row, frozen=True):
    """What the builder of one artifact states about one vulnerability in its info/security.json.

    `counts`: whether the finding has that status for this artifact; `why_not` says why not.
    """

    status: str
    note: str
    author: str
    counts: bool
    why_not: str


class RecordFinding(FindingFacts, frozen=True):
    """One vulnerability of one record."""

    build_says: BuildSays | None = None


class KnowledgeRule(Row, frozen=True):
    """The row of knowledge that sets a finding aside ("build statement" for an artifact's own), and why."""

    rule: str
    reason: str


class ChannelFinding(FindingFacts, frozen=True, kw_only=True):
    """A vulnerability of one version of a package in a channel, with how many of its records are withheld.

    `fix_in_channel`: whether the channel serves a fixed version; None when no fix is known. `ignored_by`: None for a
    finding that counts.
    """

    name: str
    version: str
    subdirs: list[str]
    records: int
    withheld: int
    fix_in_channel: bool | None
    ignored_by: KnowledgeRule | None = None


def rank_of(finding: FindingFacts) -> tuple[bool, float, int, str]:
    """What orders findings by risk: the worst is the highest (antivenom_client.assessing.rank)."""
    return rank(Severity[finding.severity], finding.risk, finding.published, kev=finding.kev)


class EvidenceRanges(Row, frozen=True):
    """Every range of one source and identity."""

    source: str
    via: str
    ranges: list[str]


class MergedFinding(Row, frozen=True):
    """A vulnerability of a package, with all versions that it affects.

    `worst` is the finding of the riskiest version; the other fields cover every version. `versions`: newest first.
    """

    channel: str
    worst: ChannelFinding
    versions: list[str]
    records: int
    withheld: int
    subdirs: list[str]
    fixed_versions: list[str]
    evidence: list[EvidenceRanges]


class PackageOverview(Row, frozen=True):
    """One package name of a publication, over all its subdirs."""

    name: str
    latest: str
    versions: int
    records: int
    withheld: int
    warned: int
    subdirs: list[str]
    licenses: list[str]
    severity: str
    vulnerabilities: int
    exploited: bool
    risk: float
    assessed: bool
    not_assessed_reason: str


class WithheldRecord(Row, frozen=True):
    """A withheld (or warned) record with its reasons, the worst first."""

    subdir: str
    fn: str
    name: str
    version: str
    build: str
    severity: str
    reasons: list[ReasonView]


class ExceptedReason(ReasonView, frozen=True):
    """A reason that an item of the policy's allowlist sets aside."""

    allowlist_id: str

    @classmethod
    def of_item(cls, allowlist_id: str, reason: Reason) -> ExceptedReason:
        """The reason with the id of the item that sets it aside."""
        return ExceptedReason(
            reason.rule_id,
            reason.gate,
            reason.trigger,
            reason.trigger_id,
            reason.action.name,
            reason.message,
            reason.recommendation,
            allowlist_id,
        )


class ArtifactDifference(Row, frozen=True):
    """A field of which the channel's index and the artifact have something that the other has not."""

    field: str
    index: list[str]
    artifact: list[str]


class ArtifactSays(Row, frozen=True):
    """What a fetched artifact's own info/index.json says otherwise than the channel's index, which counts.

    `refused`: why the artifact is not served, for it calls itself another package; "" when it is served.
    """

    refused: str
    differences: list[ArtifactDifference]


class RecordDecision(Row, frozen=True):
    """What was decided about one record, and why. `decision` is withheld, warned or admitted.

    `listed_at`: since when the channel lists the artifact. `replaced_at`: when another file stood under its name last.
    `artifact`: what its artifact says otherwise; None when it says the same, or was not fetched here yet.
    """

    subdir: str
    fn: str
    name: str
    version: str
    build: str
    size: int
    sha256: str
    decision: str
    reasons: list[ReasonView]
    excepted: list[ExceptedReason]
    assessment: str
    findings: list[RecordFinding]
    listed_at: datetime | None
    replaced_at: datetime | None
    artifact: ArtifactSays | None = None


class PackageDetails(Row, frozen=True):
    """One package of a channel: every record with its decision, its findings by version, and the ignored ones.

    `allowed_version`: the newest version that any subdir serves; None when every record is withheld.
    `mapping_channel`: the channel whose rows of the name maps count for it, "" for none.
    """

    package: PackageOverview
    records: list[RecordDecision]
    findings: list[ChannelFinding]
    ignored: list[ChannelFinding]
    allowed_version: str | None
    mapping_channel: str = ""
