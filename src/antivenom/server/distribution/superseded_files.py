"""Judges files that only superseded publications list, by the current policy and knowledge.

The decision of a superseded publication may be out of date in both directions. Only the stops of its closure are kept:
whether a dependency can be met is a question about a whole channel, and withheld is the safe answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.matching.build_statements import BuildWord, apply_statements, built_before_ms
from antivenom.core.matching.match import MatchIndex
from antivenom.core.policy.compile import Action, CompiledPolicy, Verdict, compile_policy
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import Decision
from antivenom.core.publishing.channel_findings import ChannelAssessor
from antivenom.core.publishing.verdicts import RecordCase, judge_apart
from antivenom.core.source.source_map import Component
from antivenom.knowledge import built_in
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.distribution.queries import EvaluationInputs, find_evaluation_inputs
from antivenom.server.findings.service import current_knowledge
from antivenom.server.publications.build_publication import read_policy
from antivenom.server.publications.build_statements import author_of, decode_statuses
from antivenom.server.publications.queries import find_build_statements

JUDGE_MAX_S = 5.0  # of CPU, for the records of one name


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

    async def judge(
        self, channel_id: int, superseded: SupersededFile, listed: PublicationIndex | None
    ) -> tuple[Decision, str] | None:
        """The current decision about the file, and the policy's name; None when the channel or the record is gone.

        What a cooldown stops is judged among the records of its name: those that are `listed` now, and those that were
        listed with it. All else is a question about the file alone, and anybody may ask it.
        """
        then = superseded.then
        facts = await asyncio.to_thread(superseded.index.facts_of, then.fn)
        found = await self._ask(channel_id, then.fn, [(facts, bytes.fromhex(then.sha256))]) if facts else None
        if found is not None and _is_cooling_down(found[0]):
            records = await asyncio.to_thread(_records_of_name, then.name, superseded.index, listed)
            found = await self._ask(channel_id, then.fn, records)
        if found is None:
            return None
        verdict, policy = found
        closure = tuple(reason for reason in then.reasons if reason.gate == "closure")
        reasons = (*verdict.reasons, *closure)
        action = max([verdict.action, *(reason.action for reason in closure)])
        return msgspec.structs.replace(then, action=action, reasons=reasons, excepted=verdict.excepted), policy

    async def _ask(
        self, channel_id: int, fn: str, records: Sequence[tuple[RecordFacts, bytes]]
    ) -> tuple[Verdict, str] | None:
        """The verdict on one of the records (with their sha256), and the policy's name; None when that is gone."""
        async with self._resources.context(SYSTEM) as ctx:
            inputs = await find_evaluation_inputs(ctx.session, channel_id)
            if inputs is None:
                return None
            knowledge_key = (await current_knowledge(ctx)).index_key
            digests = [digest for _, digest in records] if inputs.trusts_builds else []
            statements = await find_build_statements(ctx.session, digests) if digests else {}
            now_ms = round(ctx.now.timestamp() * 1000)
        cases = await asyncio.to_thread(self._assess, records, inputs, knowledge_key, statements)
        verdict = await self._resources.judgements.run(
            judge_file, inputs.policy_text, fn, cases, _channel_facts(inputs), now_ms, cpu_s=JUDGE_MAX_S
        )
        return None if verdict is None else (verdict, inputs.policy)

    def _assess(
        self,
        records: Sequence[tuple[RecordFacts, bytes]],
        inputs: EvaluationInputs,
        knowledge_key: str | None,
        statements: Mapping[bytes, bytes],
    ) -> list[RecordCase]:
        """The records with what is known of them."""
        with self._lock:
            assess = ChannelAssessor(self._index_of(knowledge_key), inputs.mapping_channel)
            known = assess([Component(facts.name, facts.version, facts.purls) for facts, _ in records])
        author = author_of(inputs.name, inputs.upstream)
        cases = []
        for (facts, digest), assessment in zip(records, known, strict=True):
            own = None
            if assessment is not None and (stated := statements.get(digest)) is not None:
                built_ms = built_before_ms(facts.timestamp_ms, facts.indexed_ms)
                own = apply_statements(assessment, BuildWord(decode_statuses(stated), author, built_ms))
            cases.append(RecordCase(facts, assessment, own))
        return cases

    def _index_of(self, key: str | None) -> MatchIndex | None:
        if self._knowledge[0] != key:
            blob = self._resources.blobs.get_sync(key) if key is not None else None
            self._knowledge = key, MatchIndex.load(blob, built_in()) if blob is not None else None
        return self._knowledge[1]


def _records_of_name(
    name: str, then: PublicationIndex, listed: PublicationIndex | None
) -> list[tuple[RecordFacts, bytes]]:
    """The records of a name in two publications, each file name once, with their sha256."""
    found: dict[str, tuple[RecordFacts, bytes]] = {}
    for index in (then, listed):
        if index is not None:
            digests = {decision.fn: bytes.fromhex(decision.sha256) for decision in index.records(name)}
            found.update((facts.fn, (facts, digests[facts.fn])) for facts in index.facts(name))
    return list(found.values())


def _is_cooling_down(verdict: Verdict) -> bool:
    return any(
        (reason.action, reason.gate, reason.trigger) == (Action.stop, "metadata", "age") for reason in verdict.reasons
    )


def judge_file(
    policy_text: str | None, fn: str, cases: Sequence[RecordCase], channel: ChannelFacts, now_ms: int
) -> Verdict | None:
    """The verdict on one file; runs in a child process, which a policy's expressions can end."""
    return judge_apart(_compiled(policy_text), fn, cases, channel, now_ms)


@lru_cache(maxsize=16)
def _compiled(policy_text: str | None) -> CompiledPolicy:
    return compile_policy(read_policy(policy_text))


def _channel_facts(inputs: EvaluationInputs) -> ChannelFacts:
    return ChannelFacts(inputs.name, is_mirror=bool(inputs.upstream), upstream=inputs.upstream)
