"""Judges files that only superseded publications list, by the current policy and knowledge.

The decision of a superseded publication may be out of date in both directions. Only the stops of its closure are kept:
whether a dependency can be met is a question about a whole channel, and withheld is the safe answer.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.matching.advisories import Assessment
from antivenom.core.matching.build_statements import BuildWord, apply_statements, built_before_ms
from antivenom.core.matching.match import MatchIndex
from antivenom.core.policy.compile import CompiledPolicy, Verdict, compile_policy
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import Decision
from antivenom.core.publishing.channel_findings import ChannelAssessor
from antivenom.core.source.source_map import Component
from antivenom.knowledge import built_in
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.distribution.queries import EvaluationInputs, find_evaluation_inputs
from antivenom.server.findings.service import current_knowledge
from antivenom.server.publications.build_publication import read_policy
from antivenom.server.publications.build_statements import author_of, decode_statuses
from antivenom.server.publications.queries import find_build_statements

JUDGE_MAX_S = 5.0  # of CPU, for one record


@dataclass(frozen=True, slots=True)
class SupersededFile:
    """A file of a superseded publication: the map that lists it, and the decision of that time."""

    index: PublicationIndex
    then: Decision


class SupersededFileJudge:
    """Judges single files. Keeps the match index that it used last."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._lock = threading.Lock()  # a match index is not thread-safe
        self._knowledge: tuple[str | None, MatchIndex | None] = (None, None)

    async def judge(self, channel_id: int, superseded: SupersededFile) -> tuple[Decision, str] | None:
        """The current decision about the file, and the policy's name; None when the channel or the record is gone."""
        async with self._resources.context(SYSTEM) as ctx:
            inputs = await find_evaluation_inputs(ctx.session, channel_id)
            if inputs is None:
                return None
            knowledge_key = (await current_knowledge(ctx)).index_key
            digest = bytes.fromhex(superseded.then.sha256)
            curated = await find_build_statements(ctx.session, [digest]) if inputs.trusts_builds else {}
            now_ms = round(ctx.now.timestamp() * 1000)
        case = await asyncio.to_thread(self._assess, superseded, inputs, knowledge_key, curated.get(digest))
        if case is None:
            return None
        verdict = await self._resources.checks.run(
            judge_record, inputs.policy_text, *case, _channel_facts(inputs), now_ms, cpu_s=JUDGE_MAX_S
        )
        then = superseded.then
        closure = tuple(reason for reason in then.reasons if reason.gate == "closure")
        reasons = (*verdict.reasons, *closure)
        action = max([verdict.action, *(reason.action for reason in closure)])
        decision = msgspec.structs.replace(then, action=action, reasons=reasons, excepted=verdict.excepted)
        return decision, inputs.policy

    def _assess(
        self, superseded: SupersededFile, inputs: EvaluationInputs, knowledge_key: str | None, curated: bytes | None
    ) -> tuple[RecordFacts, Assessment | None] | None:
        """The record, and what is known of it; None when the record is gone."""
        then = superseded.then
        facts = next((facts for facts in superseded.index.facts(then.name) if facts.fn == then.fn), None)
        if facts is None:
            return None
        with self._lock:
            assess = ChannelAssessor(self._index_of(knowledge_key), inputs.mapping_channel)
            (assessment,) = assess([Component(facts.name, facts.version, facts.purls)])
        if curated is not None:
            built_ms = built_before_ms(facts.timestamp_ms, facts.indexed_ms)
            word = BuildWord(decode_statuses(curated), author_of(inputs.name, inputs.upstream), built_ms)
            assessment = apply_statements(assessment, word)
        return facts, assessment

    def _index_of(self, key: str | None) -> MatchIndex | None:
        if self._knowledge[0] != key:
            blob = self._resources.blobs.get_sync(key) if key is not None else None
            self._knowledge = key, MatchIndex.load(blob, built_in()) if blob is not None else None
        return self._knowledge[1]


def judge_record(
    policy_text: str | None, facts: RecordFacts, assessment: Assessment | None, channel: ChannelFacts, now_ms: int
) -> Verdict:
    """The verdict on one record; runs in a child process, which a policy's expressions can end."""
    return _compiled(policy_text).judge(facts, assessment, channel, now_ms)


@lru_cache(maxsize=16)
def _compiled(policy_text: str | None) -> CompiledPolicy:
    return compile_policy(read_policy(policy_text))


def _channel_facts(inputs: EvaluationInputs) -> ChannelFacts:
    return ChannelFacts(inputs.name, is_mirror=bool(inputs.upstream), upstream=inputs.upstream)
