"""Gate `vulnerabilities`: the findings of a record's component, and components that nothing is known of.

Severities order unknown < low < medium < high < critical < malware.

Source: docs/dev/measurements.md (Gates, triggers and allowlist), for the names of gate, triggers and parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from antivenom.core.conda.records import RecordFacts
from antivenom.core.matching.advisories import (
    COUNTABLE_STATUSES,
    OPEN_STATUSES,
    Confidence,
    Finding,
    FindingStatus,
    Kind,
    Severity,
)
from antivenom.core.policy.rules.base import MS_PER_DAY, NOTHING, Check, Facts, Rule, RuleResult, Trigger, earliest
from antivenom.core.policy.rules.parameters import (
    Parameter,
    ParameterError,
    compare_number,
    list_of,
    read_amount,
    read_boolean,
    read_severity,
    read_text,
    star_pattern,
    word_of,
)

GATE = "vulnerabilities"
# A finding that a person or a build has cleared or mitigated counts only where a rule asks for that status.
COUNTED_STATUSES = frozenset(OPEN_STATUSES)

Condition = Callable[[Finding], bool]
_MET_MAX = 100_000
OF_VULNERABILITIES = frozenset({"package", "malware"})  # triggers that hit because of what is known of a component
MALWARE_WEIGHT = 101.0  # above every risk: it is the reason that people read first
SUMMARY_SHOWN = 200


class FindingCheck(Check):
    """Findings that meet every condition of the rule."""

    reads = ("assessment",)
    result_reads = ("assessment", "name", "version")

    def __init__(self, rule: Rule, params: Mapping[str, Any]) -> None:
        super().__init__(rule)
        self._conditions = tuple(_conditions(params))
        self._met: dict[Finding, bool] = {}  # components share findings
        self._min_days = max((params[p] for p in _DAYS if p in params), default=None)

    def concerns(self, facts: Facts) -> bool:
        return facts.assessment is not None and any(map(self._meets, facts.assessment.findings))

    def evaluate(self, facts: Facts) -> RuleResult:
        if facts.assessment is None:
            return NOTHING
        record, hits, until_ms = facts.record, [], 0
        for finding in facts.assessment.findings:
            if not self._meets(finding):
                continue
            from_ms = self._starts_ms(finding)
            if from_ms > facts.now_ms:
                until_ms = earliest(until_ms, from_ms)
                continue
            trigger_ids = tuple(f"{i}+{record.name}" for i in finding.ids)
            hits.append(self.hit(trigger_ids, describe_finding(finding, record), weight=finding.risk))
        return RuleResult(tuple(hits), until_ms) if hits or until_ms else NOTHING

    def _meets(self, finding: Finding) -> bool:
        known = self._met.get(finding)
        if known is None:
            if len(self._met) >= _MET_MAX:
                self._met.clear()
            known = self._met[finding] = all(condition(finding) for condition in self._conditions)
        return known

    def _starts_ms(self, finding: Finding) -> int:
        """When the finding begins to count under the rule; 0 for at once, or when its date is unknown."""
        if self._min_days is None:
            return 0
        published_ms = instant_ms(finding.published)
        return published_ms + round(self._min_days * MS_PER_DAY) if published_ms else 0


class MalwareCheck(Check):
    """Findings of the kind malware."""

    reads = ("assessment",)
    result_reads = ("assessment", "name", "version")

    def concerns(self, facts: Facts) -> bool:
        return facts.assessment is not None and any(map(_is_malware, facts.assessment.findings))

    def evaluate(self, facts: Facts) -> RuleResult:
        record = facts.record
        found = filter(_is_malware, facts.assessment.findings if facts.assessment is not None else ())
        hits = tuple(
            self.hit(
                tuple(f"{i}+{record.name}" for i in finding.ids),
                describe_malware(finding, record),
                weight=MALWARE_WEIGHT,
            )
            for finding in found
        )
        return RuleResult(hits) if hits else NOTHING


class NotAssessedCheck(Check):
    """Components that no advisory source covers: unknown is not clean."""

    reads = ("assessment",)
    result_reads = ("assessment", "name", "version")

    def concerns(self, facts: Facts) -> bool:
        return facts.assessment is None or not facts.assessment.assessed

    def evaluate(self, facts: Facts) -> RuleResult:
        record = facts.record
        why = facts.assessment.reason if facts.assessment is not None else "it was not matched yet"
        message = f"{record.name} {record.version} is not assessed: {why or 'no source covers it'}"
        return RuleResult((self.hit((f"not_assessed+{record.name}",), message),))


def describe_finding(finding: Finding, record: RecordFacts) -> str:
    """A finding as a sentence: "CVE-2024-1234 (critical, CVSS 9.8, exploited) in openssl 1.1.1k; fixed in 1.1.1w"."""
    marks = [finding.severity]
    if finding.cvss is not None:
        marks.append(f"CVSS {finding.cvss:.1f}")
    if finding.kev:
        marks.append("exploited")
    if finding.status not in (FindingStatus.active, FindingStatus.reported):
        marks.append(finding.status)
    fixed = ", ".join(finding.fixed_versions[:3]) + (" …" if len(finding.fixed_versions) > 3 else "")
    return f"{finding.ids[0]} ({', '.join(marks)}) in {record.name} {record.version}; " + (
        f"fixed in {fixed}" if fixed else "no fix is known"
    )


def describe_malware(finding: Finding, record: RecordFacts) -> str:
    """Malware as a sentence: "litellm 1.82.7 is malware (PYSEC-2026-2): Two litellm versions …".

    Where only a guess ties it to the package, such as an equal name, the guess is said.
    """
    about = finding.summary[:SUMMARY_SHOWN].rstrip(". ")
    told = f"is malware ({finding.ids[0]})"
    if finding.confidence == Confidence.low:
        guess = finding.evidence[0].via if finding.evidence else "with low confidence"
        told = f"may be malware ({finding.ids[0]}; {guess})"
    return f"{record.name} {record.version} {told}{': ' + about if about else ''}"


def _is_malware(finding: Finding) -> bool:
    return finding.kind == Kind.malware and finding.status in COUNTED_STATUSES


@lru_cache(maxsize=200_000)
def instant_ms(published: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 text; 0 when absent or unreadable, 1 for an instant before 1970."""
    try:
        at = datetime.fromisoformat(published)
    except ValueError:
        return 0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(1, round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000))


def _conditions(params: Mapping[str, Any]) -> Iterator[Condition]:
    statuses = frozenset(params.get("status", COUNTED_STATUSES))
    yield lambda finding: finding.status in statuses
    if "severity" in params:
        severe = params["severity"]
        yield lambda finding: severe(_SEVERITIES.get(finding.severity, Severity.unknown))
    if "cvss" in params:
        cvss = params["cvss"]
        yield lambda finding: cvss.holds(finding.cvss)
    if "epss" in params:
        epss = params["epss"]
        yield lambda finding: epss.holds(finding.epss)
    if "kev" in params:
        kev = params["kev"]
        yield lambda finding: finding.kev is kev
    if "fix_available" in params:
        fixable = params["fix_available"]
        yield lambda finding: bool(finding.fixed_versions) is fixable
    if "max_days_since_fix" in params:
        yield lambda finding: bool(finding.fixed_versions)
    if "ids" in params:
        ids = frozenset(i for i in params["ids"] if "*" not in i)
        patterns = [star_pattern(i) for i in params["ids"] if "*" in i]
        yield (
            lambda finding: (
                not ids.isdisjoint(own := [i.upper() for i in finding.ids])
                or any(pattern.match(i) for pattern in patterns for i in own)
            )
        )


_SEVERITIES = {s.name: s for s in Severity}
_DAYS = ("max_days_since_fix", "max_days_since_creation")


def _read_id(value: Any) -> str:
    text = read_text(value).upper()
    if not all(c.isalnum() or c in "-:._*" for c in text) or "-" not in text:
        hint = "such as CVE-2024-0001, GHSA-xxxx-xxxx-xxxx, or MAL-* for all that begin so"
        raise ParameterError(f"{text!r} is not the id of an advisory", hint)
    return text


TRIGGERS = (
    Trigger(
        gate=GATE,
        name="package",
        summary=(
            "Hits each vulnerability of the record's component that meets **all** of the rule's params. "
            "A vulnerability that is cleared or mitigated counts only when `status` names that."
        ),
        trigger_id="`ID+name`, such as `CVE-2024-0001+libfoo`; any alias of the vulnerability will do",
        parameters={
            "severity": Parameter(read_severity, "severity comparison, word or list", "severity of the vulnerability"),
            "cvss": Parameter(
                compare_number(0, 10), "number comparison", "CVSS score 0-10; an unknown score never meets it"
            ),
            "epss": Parameter(
                compare_number(0, 1), "number comparison", "EPSS probability 0-1 of being exploited within 30 days"
            ),
            "kev": Parameter(read_boolean, "true or false", "known to be exploited (CISA KEV)"),
            "fix_available": Parameter(read_boolean, "true or false", "a fixed version is known"),
            "max_days_since_fix": Parameter(
                read_amount, "days", "a fix is known and the advisory has been public for this many days or more"
            ),
            "max_days_since_creation": Parameter(
                read_amount, "days", "the advisory has been public for this many days or more; an unknown date counts"
            ),
            "status": Parameter(
                list_of(word_of([s.value for s in COUNTABLE_STATUSES], "status")),
                "words",
                "status of the finding; when absent: active, reported or disputed",
            ),
            "ids": Parameter(
                list_of(_read_id),
                "advisory ids",
                "only these vulnerabilities, by any alias; `*` stands for any text, as in `MAL-*`",
            ),
        },
        compile=lambda rule, params: iter((FindingCheck(rule, params),)),
        needs_parameter=False,
    ),
    Trigger(
        gate=GATE,
        name="malware",
        summary=(
            "Hits each finding of the kind *malware*: a release that was published, or changed by somebody, to do "
            "harm. It needs neither a severity nor a score nor a fix. Where only an equal name ties it to the package, "
            "the reason says *may be malware*, and by which name."
        ),
        trigger_id="`ID+name`, such as `MAL-2026-0001+libfoo`; any alias will do",
        parameters={},
        compile=lambda rule, _params: iter((MalwareCheck(rule),)),
        needs_parameter=False,
    ),
    Trigger(
        gate=GATE,
        name="not_assessed",
        summary="Hits records whose component no advisory source covers: unknown is not clean.",
        trigger_id="`not_assessed+name`",
        parameters={},
        compile=lambda rule, _params: iter((NotAssessedCheck(rule),)),
        needs_parameter=False,
    ),
)
