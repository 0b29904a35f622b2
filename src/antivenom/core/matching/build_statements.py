"""What an artifact says of its own vulnerabilities: `info/security.json`, and how it changes an assessment.

The builder of a conda artifact may state which vulnerabilities are active in this very build, cleared (the code is
not in it), disputed, or mitigated by a patch. The file is somebody else's text: anything of a wrong type counts as
absent.

Source: docs/dev/measurements.md (What builders write about their own builds); no CEP describes the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Assessment, Evidence, Finding, FindingStatus

ENTRIES_MAX = 10_000
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
        InvalidInputError: Not a JSON object.
    """
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
                if len(found) < ENTRIES_MAX:
                    found.setdefault(vulnerability.upper(), Curated(NAMES[name], note))
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


def apply_curation(assessment: Assessment, curation: Curation) -> Assessment:
    """The assessment of one build: findings that its curation names take its status and cite it as evidence.

    Findings are never removed. A vulnerability that the build calls active and no feed ties to it is not invented here.
    """
    if not curation or not assessment.findings:
        return assessment
    return msgspec.structs.replace(assessment, findings=tuple(_curate(f, curation) for f in assessment.findings))


def _curate(finding: Finding, curation: Curation) -> Finding:
    said = next((found for i in finding.ids if (found := curation.get(i.upper())) is not None), None)
    if said is None:
        return finding
    evidence = Evidence("info/security.json", f"the build itself says {said.status}", said.note)
    return msgspec.structs.replace(finding, status=said.status, evidence=(*finding.evidence, evidence))
