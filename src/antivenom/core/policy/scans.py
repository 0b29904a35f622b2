"""Judge what was scanned by a policy: the same evaluation as a channel's, on the facts that a target states.

A channel knows every fact of its records. A lock file may state neither licence nor age: a rule that needs such a fact
cannot be evaluated, which is a warning with that reason and never silently a go. An age is that of the build: only a
channel knows since when it lists an artifact, and whether a cooldown lets it through as a fix.

Source: docs/reference/policy.md; docs/adr/0004 (one evaluation), docs/adr/0005 (unknown is not clean).
"""

from __future__ import annotations

import msgspec

from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.matching.advisories import Assessment, Finding, FindingStatus
from antivenom.core.policy.compile import Action, CompiledPolicy, Policy, Reason, Verdict, compile_policy
from antivenom.core.policy.format import AllowlistItem
from antivenom.core.policy.rules.base import UNDECIDED, Hit
from antivenom.core.policy.rules.vulnerabilities import GATE as VULNERABILITIES
from antivenom.core.readers.purls import purl_of
from antivenom.core.readers.snapshot import Component
from antivenom.core.reports.result import AssessedComponent, Judgement, PolicyReason, ScannedSnapshot, Statement
from antivenom_client.names import normalize_python

REMEMBERED_MAX = 20_000
_NO_CHANNEL = ChannelFacts("", is_mirror=False)
_NEVER_STATED = frozenset({"signed", "replaced_ms", "indexed_ms"})
_STATES_ALL = ("prefix", "pixi-lock")
"""Kinds of targets that leave out a licence or needs only where a record has none."""
_FALSE_WHERE_ABSENT = ("license", "license_family", "depends")


class ScanPolicy:
    """A policy for scans, at one instant.

    Args:
        now_ms: Ms since 1970 UTC.
    """

    def __init__(self, policy: Policy, now_ms: int) -> None:
        self.policy, self._now_ms = policy, now_ms
        self._compiled: dict[frozenset[str], CompiledPolicy] = {}
        self._judged = 0
        self._items = [item for item in policy.allowlist if item.gate in (VULNERABILITIES, "*")]

    def judge(self, snapshot: ScannedSnapshot) -> ScannedSnapshot:
        """The snapshot with what the policy decides for each component, and findings set aside that it allows."""
        self._judged += len(snapshot.components)
        if self._judged > REMEMBERED_MAX:  # what a compiled policy remembers grows with what it judges
            self._compiled.clear()
            self._judged = 0
        judged = (self._judge(assessed, snapshot) for assessed in snapshot.components)
        return snapshot._replace(components=tuple(judged))

    def _judge(self, assessed: AssessedComponent, snapshot: ScannedSnapshot) -> AssessedComponent:
        record = record_of(assessed.component, snapshot.platform)
        unknown = _unknown(assessed.component, record, snapshot.kind)
        compiled = self._compiled.get(unknown)
        if compiled is None:
            compiled = self._compiled[unknown] = compile_policy(self.policy, unknown=unknown)
        assessment = Assessment(assessed.assessed, assessed.reason, _findings(assessed), (), assessed.undecided)
        verdict = compiled.judge(record, assessment, _NO_CHANNEL, self._now_ms)
        return self._allow(assessed, record)._replace(judgement=_judgement(verdict, compiled))

    def _allow(self, assessed: AssessedComponent, record: RecordFacts) -> AssessedComponent:
        """Set findings aside that an allowlist item names."""
        if not self._items:
            return assessed
        kept, aside = [], []
        for finding in assessed.findings:
            item = self._item_for(finding, record)
            if item is None:
                kept.append(finding)
            else:
                source = f"allowlist of {self.policy.name}, {item.id}"
                aside.append((finding, Statement("excepted", source, "", f"{item.reason} ({item.owner})")))
        return assessed._replace(findings=tuple(kept), set_aside=(*assessed.set_aside, *aside))

    def _item_for(self, finding: Finding, record: RecordFacts) -> AllowlistItem | None:
        trigger_ids = tuple(f"{i}+{record.name}" for i in finding.ids)
        hit = Hit(Reason("", VULNERABILITIES, "", trigger_ids[0], Action.warn, ""), trigger_ids)
        return next((i for i in self._items if i.excepts(hit, self._now_ms) and i.fits_record(record)), None)


def _findings(assessed: AssessedComponent) -> tuple[Finding, ...]:
    """What the policy judges: findings that a VEX document sets aside are cleared, as those that a build states."""
    cleared = (msgspec.structs.replace(f, status=FindingStatus.cleared) for f, _ in assessed.set_aside)
    return (*assessed.findings, *cleared)


def record_of(component: Component, platform: str) -> RecordFacts:
    """The facts of a component, as far as a target states them, in the form of a channel's record.

    A package of another kind than conda's is judged by its name, too.
    """
    is_conda = component.type == "conda"
    fn = component.url.rpartition("/")[2] or (
        f"{component.name}-{component.version}-{component.build or '?'}" + (".conda" if is_conda else "")
    )
    digits = component.build.rpartition("_")[2]
    return RecordFacts(
        fn=fn,
        subdir=component.subdir or (platform if is_conda else ""),
        name=normalize_python(component.name) if component.type == "pypi" else component.name.lower(),
        version=component.version,
        build=component.build,
        build_number=int(digits) if digits.isdigit() and len(digits) < 10 else 0,
        license=component.license,
        size_bytes=component.size_bytes,
        timestamp_ms=component.timestamp_ms,
        purls=component.purls or (() if is_conda else (purl_of(component),)),
        depends=component.depends,
    )


def _unknown(component: Component, record: RecordFacts, kind: str) -> frozenset[str]:
    """The facts of a record that its target does not state."""
    fields = ("subdir", "build", "license", "license_family", "size_bytes", "timestamp_ms", "purls", "depends")
    absent = {field for field in fields if not getattr(record, field)}
    if component.type == "conda" and kind in _STATES_ALL:
        absent -= set(_FALSE_WHERE_ABSENT)
    if not record.build.rpartition("_")[2].isdigit():
        absent.add("build_number")
    if record.subdir in ("", "noarch"):
        absent.add("noarch")
    return _NEVER_STATED | absent


def _judgement(verdict: Verdict, compiled: CompiledPolicy) -> Judgement:
    reasons = sorted((_reason(reason, compiled) for reason in verdict.reasons), key=lambda r: -Action[r.action])
    excepted = tuple((item, _reason(reason, compiled)) for item, reason in verdict.excepted)
    return Judgement(reasons[0].action if reasons else Action.go.name, tuple(reasons), excepted)


def _reason(reason: Reason, compiled: CompiledPolicy) -> PolicyReason:
    """A reason as scans show it: whether a cooldown lets this through as a fix is for a channel to say."""
    action, message = reason.action, reason.message
    if action is Action.stop and reason.rule_id in compiled.fix_cooldowns:
        action, message = Action.warn, f"{message}; a channel may let it through as a fix"
    return PolicyReason(
        reason.rule_id,
        reason.gate,
        reason.trigger,
        reason.trigger_id,
        action.name,
        message,
        reason.recommendation,
        message.startswith(f"rule {reason.rule_id} {UNDECIDED} "),
    )
