"""What an artifact says of its own vulnerabilities: `info/security.json`, and how it changes an assessment.

The builder of a conda artifact may state which vulnerabilities are active in this very build, cleared (the code is
not in it), disputed, or mitigated by a patch. The file is somebody else's text: anything of a wrong type counts as
absent, and a file that says more than an honest build can is not read at all.

Statements count only where an administrator trusts those who built the channel's artifacts; elsewhere they are shown.
They cover the findings of their own artifact alone, and no vulnerability that the builder could not know: an id of a
later year than the build, or one that was published long after it, was guessed.

Source: docs/dev/measurements.md (What builders write about their own builds); no CEP describes the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import (
    SET_ASIDE_STATUSES,
    Assessment,
    Evidence,
    Finding,
    FindingStatus,
    IgnoredBy,
    IgnoredFinding,
    as_ignored,
)

BUILD_STATEMENT = "build statement"  # stands where a finding or a reason names what sets it aside
DOCUMENT_MAX_BYTES = 256 << 10
ENTRIES_MAX = 1_000
KNOWN_AHEAD = timedelta(days=90)  # builders patch under embargo, and feeds date an advisory when they take it in
NOTE_MAX_CHARACTERS = 500
NAMES = {
    "active": FindingStatus.active,
    "cleared": FindingStatus.cleared,
    "disputed": FindingStatus.disputed,
    "mitigated": FindingStatus.mitigated,
}
# Worst first: an id that stands in two lists is what the worse one says.
SEVEREST_FIRST = tuple(NAMES)
_ID = re.compile(r"[A-Za-z][A-Za-z0-9]*-[A-Za-z0-9._-]{1,60}")
_CVE_YEAR = re.compile(r"CVE-(\d{4})-")
_ID_FIELDS = ("id", "cve", "cve_id", "vuln", "name")
_NOTE_FIELDS = ("patch", "patch_file", "patches", "reason", "note", "justification", "comment")


class Curated(msgspec.Struct, frozen=True, array_like=True):
    """A build's word on one vulnerability; `note` is the patch file or the reason, "" when none is given."""

    status: FindingStatus
    note: str = ""


Curation = Mapping[str, Curated]


def parse_security(document: bytes) -> dict[str, Curated]:
    """The statements of an `info/security.json`, by vulnerability id in upper case.

    Raises:
        InvalidInputError: Not a JSON object, or larger than any honest one.
    """
    if len(document) > DOCUMENT_MAX_BYTES:
        raise InvalidInputError(f"info/security.json has more than {DOCUMENT_MAX_BYTES} bytes")
    try:
        value = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"info/security.json is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInputError("info/security.json is not a JSON object")
    found: dict[str, Curated] = {}
    for name in SEVEREST_FIRST:
        for key in (f"vulns_{name}", name):
            for vulnerability, note in _entries(value.get(key)):
                found.setdefault(vulnerability.upper(), Curated(NAMES[name], note))
    if len(found) > ENTRIES_MAX:
        raise InvalidInputError(f"info/security.json speaks of more than {ENTRIES_MAX} vulnerabilities")
    return found


def _entries(value: Any) -> list[tuple[str, str]]:
    """(id, note) pairs of a list of ids, a list of objects, or an object by id."""
    if isinstance(value, dict):
        pairs = [(key, _note(item)) for key, item in value.items()]
    elif isinstance(value, list):
        pairs = [_entry(item) for item in value]
    else:
        return []
    return [(key, note) for key, note in pairs if _ID.fullmatch(key)]


def _entry(item: Any) -> tuple[str, str]:
    if isinstance(item, str):
        return item.strip(), ""
    if not isinstance(item, dict):
        return "", ""
    return next((item[f].strip() for f in _ID_FIELDS if isinstance(item.get(f), str)), ""), _note(item)


def _note(item: Any) -> str:
    if isinstance(item, dict):
        item = next((item[f] for f in _NOTE_FIELDS if item.get(f)), "")
    if isinstance(item, list):
        item = ", ".join(part for part in item if isinstance(part, str))
    return item[:NOTE_MAX_CHARACTERS] if isinstance(item, str) else ""


class BuildWord(NamedTuple):
    """What an artifact states, who built it, and when at the latest (ms since 1970)."""

    statuses: Curation
    author: str
    built_ms: int


def find_statement(word: BuildWord, finding: Finding) -> Curated | None:
    """What the build states about a finding's vulnerability, by any of its ids."""
    return next((found for i in finding.ids if (found := word.statuses.get(i.upper())) is not None), None)


def is_knowable(finding: Finding, built_ms: int) -> bool:
    """Whether somebody who built an artifact then could know the vulnerability."""
    built_at = datetime.fromtimestamp(built_ms / 1000, UTC)
    years = [int(found[1]) for i in finding.ids if (found := _CVE_YEAR.match(i))]
    if years and min(years) > built_at.year:
        return False
    try:
        published = datetime.fromisoformat(finding.published.replace("Z", "+00:00"))
    except ValueError:
        return True
    if published.tzinfo is None:
        published = published.replace(tzinfo=UTC)
    return published <= built_at + KNOWN_AHEAD


def built_before_ms(timestamp_ms: int, indexed_ms: int) -> int:
    """When an artifact was built at the latest: by its builder's clock, and by ours when it was first listed."""
    return min([moment for moment in (timestamp_ms, indexed_ms) if moment > 0], default=0)


def apply_statements(assessment: Assessment, word: BuildWord) -> Assessment:
    """The assessment of one build: findings that its statements cover take their status and cite them as evidence.

    Findings are never removed. A vulnerability that the build calls active and no feed ties to it is not invented here.
    """
    if not word.statuses or not assessment.findings:
        return assessment
    return msgspec.structs.replace(assessment, findings=tuple(_apply(f, word) for f in assessment.findings))


def _apply(finding: Finding, word: BuildWord) -> Finding:
    said = find_statement(word, finding)
    if said is None or not is_knowable(finding, word.built_ms):
        return finding
    evidence = Evidence(BUILD_STATEMENT, f"{word.author} says {said.status} in info/security.json", said.note)
    return msgspec.structs.replace(finding, status=said.status, evidence=(*finding.evidence, evidence))


def list_set_aside(assessment: Assessment, word: BuildWord, fn: str) -> tuple[IgnoredFinding, ...]:
    """The findings that an artifact's statements clear or mitigate, as ignored ones."""
    found = []
    for finding, applied in zip(assessment.findings, apply_statements(assessment, word).findings, strict=True):
        if applied is not finding and applied.status in SET_ASIDE_STATUSES:
            note = applied.evidence[-1].range
            reason = f"{word.author} says {applied.status} in {fn}" + (f": {note}" if note else "")
            found.append(as_ignored(applied, IgnoredBy(BUILD_STATEMENT, reason)))
    return tuple(found)
