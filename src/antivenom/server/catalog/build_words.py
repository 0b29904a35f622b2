"""Shows what artifacts state about their own vulnerabilities beside the findings of their records."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from antivenom.core.matching.advisories import SET_ASIDE_STATUSES, Finding
from antivenom.core.matching.build_statements import BuildWord, built_before_ms, find_statement, is_knowable
from antivenom.server.catalog.contents import PublicationContents
from antivenom.server.catalog.rows import BuildSays, RecordDecision, RecordFinding
from antivenom.server.channels.models import Channel
from antivenom.server.context import Context
from antivenom.server.publications.build_statements import author_of, decode_statuses
from antivenom.server.publications.queries import find_build_statements

NOT_TRUSTED = "the channel does not trust build statements"
NOT_KNOWABLE = "the vulnerability was not known when the artifact was built"


async def add_build_words(
    ctx: Context, channel: Channel, contents: PublicationContents, rows: list[RecordDecision]
) -> list[RecordDecision]:
    """The rows, with what each one's artifact states; only artifacts that were stored here can be asked."""
    digests = [bytes.fromhex(row.sha256) for row in rows if row.sha256 and row.findings]
    stored = await find_build_statements(ctx.session, digests) if digests else {}
    if not stored:
        return rows
    author, trusted = author_of(channel.name, channel.upstream), channel.trust_build_statements
    return await asyncio.to_thread(_add, contents, rows, stored, author, trusted)


def _add(
    contents: PublicationContents, rows: list[RecordDecision], stored: Mapping[bytes, bytes], author: str, trusted: bool
) -> list[RecordDecision]:
    built: dict[tuple[str, str], dict[str, int]] = {}  # when each file of a name in a subdir was built, read once
    found = []
    for row in rows:
        statuses = stored.get(bytes.fromhex(row.sha256)) if row.sha256 else None
        if statuses is not None:
            key = row.subdir, row.name
            if key not in built:
                built[key] = {
                    facts.fn: built_before_ms(facts.timestamp_ms, facts.indexed_ms)
                    for facts in contents.maps[row.subdir].facts(row.name)
                }
            word = BuildWord(decode_statuses(statuses), author, built[key].get(row.fn, 0))
            row = _with_words(row, contents, word, trusted=trusted)
        found.append(row)
    return found


def _with_words(
    row: RecordDecision, contents: PublicationContents, word: BuildWord, *, trusted: bool
) -> RecordDecision:
    known = contents.findings_of(row.name, row.version)
    pairs = zip(row.findings, known, strict=True)
    findings = [_finding(shown, finding, word, trusted=trusted) for shown, finding in pairs]
    aside = sum(finding.build_says is not None and finding.status in SET_ASIDE_STATUSES for finding in findings)
    text = f"{row.assessment}; its build sets {aside} of them aside" if aside else row.assessment
    return msgspec.structs.replace(row, findings=findings, assessment=text)


def _finding(shown: RecordFinding, finding: Finding, word: BuildWord, *, trusted: bool) -> RecordFinding:
    said = find_statement(word, finding)
    if said is None:
        return shown
    why_not = NOT_TRUSTED if not trusted else "" if is_knowable(finding, word.built_ms) else NOT_KNOWABLE
    says = BuildSays(said.status, said.note, word.author, not why_not, why_not)
    return msgspec.structs.replace(shown, build_says=says, status=shown.status if why_not else said.status)
