"""What runs in a child process to make a publication: match, judge, select, write blobs. No database, no network."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from antivenom.core.advisories import NO_KNOWLEDGE, Assessment, Severity
from antivenom.core.matching import ComponentKey, MatchIndex
from antivenom.core.packs import IndexBlobs
from antivenom.core.policies import CompiledPolicy, Policy, compile_policy, parse_policy
from antivenom.core.publishing import Plan, Published, plan, publish
from antivenom.core.records import ChannelFacts
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.publications.curating import StoredCuration, curated_assessments

EMPTY_POLICY = Policy(name="none")


class BuildRequest(msgspec.Struct, frozen=True):
    """Everything that decides a publication."""

    sources: dict[str, str]
    channel: ChannelFacts
    policy_text: str | None
    knowledge_key: str | None
    now_ms: int
    closure: bool = True
    previous: dict[str, str] = {}
    mapping_channel: str = ""
    curations: tuple[StoredCuration, ...] = ()


class ComponentFindings(msgspec.Struct, frozen=True, array_like=True):
    """One component of a channel that has findings."""

    name: str
    version: str
    purls: tuple[str, ...]
    assessment: Assessment


class ChannelFindings(msgspec.Struct, frozen=True):
    """What is known about a publication's components. `unassessed`: {reason: names}."""

    components: list[ComponentFindings]
    unassessed: dict[str, list[str]]


class Built(msgspec.Struct, frozen=True):
    published: Published
    findings_key: str
    hits: list[ComponentFindings]
    counts: dict[str, Any]


class StoreBlobs:
    """The engine's three calls over the blob store."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def get(self, key: str) -> bytes:
        return self._store.get_sync(key)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        return self._store.get_range_sync(key, offset, length)

    def put(self, key: str, data: bytes) -> None:
        self._store.put_sync(key, data)


class ChannelAssessor:
    """Assesses components for the engine and remembers what was found."""

    def __init__(self, index: MatchIndex | None, mapping_channel: str) -> None:
        self._index = index
        self._mapping_channel = mapping_channel
        self.hits: dict[tuple[str, str, tuple[str, ...]], Assessment] = {}
        self.unassessed: dict[str, set[str]] = {}

    def __call__(self, components: Sequence[tuple[str, str, tuple[str, ...]]]) -> list[Assessment]:
        if self._index is None:
            self.unassessed.setdefault(NO_KNOWLEDGE.reason, set()).update(c[0] for c in components)
            return [NO_KNOWLEDGE] * len(components)
        keys = [ComponentKey("conda", name, version, purls=purls) for name, version, purls in components]
        answers = self._index.assess(keys, channel=self._mapping_channel)
        for component, assessment in zip(components, answers, strict=True):
            if assessment.findings:
                self.hits[component] = assessment
            elif not assessment.assessed:
                self.unassessed.setdefault(assessment.reason, set()).add(component[0])
        return answers

    def findings(self) -> ChannelFindings:
        components = [ComponentFindings(*component, assessment) for component, assessment in sorted(self.hits.items())]
        return ChannelFindings(components, {reason: sorted(names) for reason, names in sorted(self.unassessed.items())})


def build_publication(
    store_url: str,
    request: BuildRequest,
    *,
    rejudge: frozenset[str] | None = None,
    previous_findings: str | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Built:
    """Make the maps of a publication and write their blobs.

    Args:
        rejudge: Names whose records or assessments changed since `request.previous`; None judges everything.
        previous_findings: Key of the previous publication's findings; read only when `rejudge` is a set.
    """
    blobs = StoreBlobs(BlobStore.open(store_url))
    assessor = _assessor(blobs, request)
    published = publish(
        blobs,
        request.sources,
        channel=request.channel,
        policy=compile_text(request.policy_text),
        assess=assessor,
        now_ms=request.now_ms,
        closure=request.closure,
        previous=request.previous or None,
        rejudge=rejudge,
        curation=curated_assessments(blobs, request.sources, request.curations, assessor),
        on_progress=_by_subdir(on_progress),
    )
    findings = assessor.findings()
    if rejudge is not None and previous_findings is not None:
        earlier = msgspec.msgpack.decode(blobs.get(previous_findings), type=ChannelFindings)
        findings = merge_findings(earlier, findings, rejudge)
    data = msgspec.msgpack.encode(findings)
    key = f"index/{hashlib.sha256(data).hexdigest()}"
    blobs.put(key, data)
    counts = {**msgspec.to_builtins(published.counts), **count_findings(findings)}
    return Built(published, key, findings.components, counts)


def _by_subdir(on_progress: Callable[[str, int, int], None] | None) -> Callable[[str, str, int, int], None] | None:
    """The engine's progress (phase, subdir, done, total) as everything else reports it."""
    if on_progress is None:
        return None
    return lambda phase, subdir, done, total: on_progress(f"{phase} {subdir}".strip(), done, total)


def plan_publication(store_url: str, request: BuildRequest) -> Plan:
    """What the policy of the request would withhold or release; nothing is written."""
    blobs = StoreBlobs(BlobStore.open(store_url))
    assessor = _assessor(blobs, request)
    return plan(
        blobs,
        request.sources,
        channel=request.channel,
        policy=compile_text(request.policy_text),
        assess=assessor,
        now_ms=request.now_ms,
        closure=request.closure,
        previous=request.previous or None,
        curation=curated_assessments(blobs, request.sources, request.curations, assessor),
    )


def _assessor(blobs: IndexBlobs, request: BuildRequest) -> ChannelAssessor:
    index = MatchIndex.load(blobs.get(request.knowledge_key)) if request.knowledge_key else None
    return ChannelAssessor(index, request.mapping_channel)


def compile_text(text: str | None) -> CompiledPolicy:
    """A policy's text ready to judge; None is the policy that lets everything pass."""
    return compile_policy(parse_policy(text) if text is not None else EMPTY_POLICY)


def merge_findings(earlier: ChannelFindings, later: ChannelFindings, judged: frozenset[str]) -> ChannelFindings:
    """Earlier findings with every judged name replaced by what was found now; order by component."""
    kept = [c for c in earlier.components if c.name not in judged]
    components = sorted([*kept, *later.components], key=lambda c: (c.name, c.version, c.purls))
    unassessed = {reason: set(names) - judged for reason, names in earlier.unassessed.items()}
    for reason, names in later.unassessed.items():
        unassessed[reason] = unassessed.get(reason, set()) | set(names)
    return ChannelFindings(components, {r: sorted(names) for r, names in sorted(unassessed.items()) if names})


def count_findings(findings: ChannelFindings) -> dict[str, Any]:
    """Numbers for dashboards: vulnerable components, distinct vulnerabilities by severity, exploited ones."""
    severities: dict[str, str] = {}
    exploited: set[str] = set()
    for component in findings.components:
        for finding in component.assessment.findings:
            severities[finding.ids[0]] = finding.severity
            if finding.kev:
                exploited.add(finding.ids[0])
    by_severity = Counter(severities.values())
    return {
        "vulnerable_components": len(findings.components),
        "vulnerabilities": {s.name: by_severity.get(s.name, 0) for s in Severity},
        "exploited": len(exploited),
        "unassessed_names": sum(len(names) for names in findings.unassessed.values()),
    }
