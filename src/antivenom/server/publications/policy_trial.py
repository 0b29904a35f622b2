"""Tries what a policy's expressions cost on a channel, before the policy is attached. Runs in a child process.

The whole channel where that is quick; else parts of it, chosen evenly, until enough time has passed to tell. The
dearest part counts once and not for others like it: one odd record must not speak for the rest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from antivenom.core.conda.records import RecordFacts
from antivenom.core.errors import SIMPLER_POLICY, LostBlobError, TooExpensiveError
from antivenom.core.matching.advisories import Assessment
from antivenom.core.matching.assessment_plan import on_subdir
from antivenom.core.policy.compile import CompiledPolicy, Policy, compile_policy
from antivenom.core.policy.rules.expression import GATE
from antivenom.core.publishing.channel_findings import ChannelAssessor
from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_map import (
    Bucket,
    Component,
    NameDepends,
    NameFacts,
    iterate_depends,
    iterate_facts,
    load_source,
)
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.cpu_meter import CpuMeter
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.publications.build_publication import BuildRequest, open_assessor, read_policy

TRIAL_S = 5.0
PARTS_MIN = 8  # of the channel, before anything is told from them
MARGIN = 2.0  # how far beyond the limit an estimate is, before it counts


def has_expressions(policy: Policy) -> bool:
    """Whether anything of the policy has to be tried."""
    return any(rule.gate == GATE for rule in policy.rules)


def try_expressions(store_url: str, request: BuildRequest) -> None:
    """Evaluate the expressions of the request's policy on the channel, or on enough of it.

    Raises:
        TooExpensiveError: They cost more than a publication may take, or would by a wide margin.
    """
    rules = tuple(rule for rule in read_policy(request.policy_text).rules if rule.gate == GATE)
    meter = CpuMeter(request.expressions_max_s)
    try:
        costs, parts = _try_parts(StoreBlobs(BlobStore.open(store_url)), request, Policy("", rules), meter)
    except LostBlobError:
        return  # publishing finds it, too, and has it mended
    if len(costs) == parts:
        return
    dearest = max(costs)
    whole_s = dearest + (sum(costs) - dearest) / (len(costs) - 1) * (parts - 1)
    if whole_s > MARGIN * request.expressions_max_s:
        raise TooExpensiveError(
            f"the expressions of the policy would take about {whole_s:.0f} s of CPU on channel"
            f" {request.channel.name}, and may take {request.expressions_max_s:g} s",
            hint=SIMPLER_POLICY,
        )


def _try_parts(blobs: IndexBlobs, request: BuildRequest, policy: Policy, meter: CpuMeter) -> tuple[list[float], int]:
    """What each tried part of the channel cost (s), and how many parts it has."""
    compiled = compile_policy(policy, meter)
    assessor = open_assessor(blobs, request) if compiled.uses_findings else None
    maps = [load_source(blobs, key) for _, key in sorted(request.sources.items())]
    parts = [(source.subdir, bucket) for source in maps for bucket in source.buckets]
    random.Random(len(parts)).shuffle(parts)  # noqa: S311 - the same order each time, and no secret
    costs: list[float] = []
    for subdir, bucket in parts:
        before = meter.spent_s
        for facts, depends in _names_of(blobs, bucket):
            _try_name(compiled, assessor, request, subdir, facts, depends)
        costs.append(meter.spent_s - before)
        if meter.spent_s >= TRIAL_S and len(costs) >= PARTS_MIN:
            break
    return costs, len(parts)


def _names_of(blobs: IndexBlobs, bucket: Bucket) -> Iterator[tuple[NameFacts, NameDepends]]:
    for facts, depends in zip(iterate_facts(blobs, [bucket]), iterate_depends(blobs, [bucket]), strict=True):
        yield from zip(facts, depends, strict=True)


def _try_name(
    compiled: CompiledPolicy,
    assessor: ChannelAssessor | None,
    request: BuildRequest,
    subdir: str,
    facts: NameFacts,
    depends: NameDepends,
) -> None:
    """Judge one name as publishing does."""
    assessments: Sequence[Assessment | None] = [None] * len(facts.components)
    if assessor is not None:
        known = assessor([Component(facts.name, version, purls) for version, purls in facts.components])
        assessments = [one and on_subdir(one, subdir) for one in known]

    def record_at(position: int) -> RecordFacts:
        return facts.record_at(position, subdir, depends)

    for position in compiled.touched_positions(facts, record_at, assessments, request.channel, request.now_ms):
        assessment = assessments[facts.component_of[position]]
        compiled.judge(record_at(position), assessment, request.channel, request.now_ms)
