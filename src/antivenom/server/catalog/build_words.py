"""Shows what artifacts state about their own vulnerabilities beside the findings of their records."""

from __future__ import annotations

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
    return [_with_words(row, channel, contents, stored.get(bytes.fromhex(row.sha256))) for row in rows]


def _with_words(
    row: RecordDecision, channel: Channel, contents: PublicationContents, statuses: bytes | None
) -> RecordDecision:
    if statuses is None:
        return row
    facts = contents.maps[row.subdir].facts_of(row.fn)
    built_ms = built_before_ms(facts.timestamp_ms, facts.indexed_ms) if facts else 0
    word = BuildWord(decode_statuses(statuses), author_of(channel.name, channel.upstream), built_ms)
    known = contents.findings_of(row.name, row.version)
    pairs = zip(row.findings, known, strict=True)
    findings = [_finding(shown, finding, word, trusted=channel.trust_build_statements) for shown, finding in pairs]
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
