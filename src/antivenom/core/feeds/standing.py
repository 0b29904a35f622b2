"""Whether an entry stands: rejections and disputes, as descriptions, tags and states of records tell them.

Source: CVE Record Format 5.1 ("state", "tags"), the CVE program's wording of rejected and disputed records; how the CVE
list's records with the tag "disputed" say so in words (../shared/data/advisories, 25 of 2,104).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_REJECTED = re.compile(
    r"[\W_]*(?:reject(?:ed)?\s*\*\*|reject(?:ed)?\s*:|rejected reason|do not use this (?:candidate|cve|record)"
    r"|this (?:cve|candidate|id\b|record)[^.]{0,40}? (?:has been|was|is) (?:rejected|withdrawn))",
    re.IGNORECASE,
)
_MARKED = re.compile(r"\*\*\s*DISPUTED\s*\*\*")
_BEGINNINGS = ("DISPUTED", "Disputed:", "DISPUTE NOTE")
# How surely or how bad something is may be disputed without anybody saying that it is nothing.
_OF_DEGREE = r"(?![^.]{0,60}?\b(?:severity|cvss|scor(?:e|ing)|rating)\b(?! and\b))"
_WHO = (
    r"(?:vendor|supplier|maintainers?|developers?|third[- ]part(?:y|ies)|part(?:y|ies)|team|project|foundation|owner"
    r"|author|upstream|manufacturer|researchers?|discoverer)"
)
_DISPUTED = re.compile(
    rf"\bNOTE:(?![^.]{{0,40}}?\bseverity\b[^.]{{0,60}}?\bdisputed)[^.]{{0,100}}?\bdisput(?:e|es|ed|ing)\b{_OF_DEGREE}"
    r"|(?<!of this )(?<!of the )\b(?:this|it|which|issue|vulnerability|report|cve) (?:is|was|has been) disputed\b"
    rf"|\b{_WHO} (?:\w{{1,20}} ){{0,2}}?disputes?\b{_OF_DEGREE}",
    re.IGNORECASE,
)
_OPINION = re.compile(
    rf"\bNOTE: [^.:]{{0,200}}?\b{_WHO}(?:'s|’s|s')? (?:position|perspective|opinion|view) is\b", re.IGNORECASE
)
_SAYS = re.compile(
    rf"\bNOTE: [^.:]{{0,80}}?\b{_WHO} (?:\w{{1,20}} ){{0,3}}?(?:stat(?:es?|ed)|claim(?:s|ed)?|argu(?:es?|ed)|believes?"
    r"|thinks?|indicat(?:es?|ed)|reports?|reported|considers?|contends?|asserts?|asserted|responded|says?|agree)\b",
    re.IGNORECASE,
)
_DENIES = re.compile(
    r"[^.]{0,60}?(?:\b(?:not|never|neither|nor)\b[^.]{0,60}?\b(?:vuln\w*|security|issue|bug|flaw|valid|problem|possible|dos"
    r"|exploitable|reproduc\w*|exist|attack)\b"
    r"|\binvalid\b|\bintend(?:ed|s)\b|\bintentional(?:ly)?\b|\bby design\b|\ba feature\b|\bexpected behaviou?r\b"
    r"|\bno (?:\w{1,20} )?(?:security|privilege|vulnerab|impact)|\bfalse positive\b|\bextremely unlikely\b"
    r"|\bunreachable\b|\bunable to reproduce\b|\bcannot (?:be )?reproduce|\bworks as\b)",
    re.IGNORECASE,
)


def is_rejected(description: str) -> bool:
    """Whether the text states that the record was rejected, whatever its state is."""
    return _REJECTED.match(description) is not None


def is_disputed(*descriptions: str) -> bool:
    """Whether a description carries the CVE program's marker, or its note that somebody disputes the vulnerability.

    Who states in such a note that there is no vulnerability disputes it, too. Who disputes its severity does not.
    """
    return any(_is_disputed(description) for description in descriptions)


def _is_disputed(text: str) -> bool:
    lowered = text.lower()  # nearly none has the words, and looking for them is cheap
    if "disput" in lowered and (
        _MARKED.search(text) is not None or text.lstrip().startswith(_BEGINNINGS) or _DISPUTED.search(text) is not None
    ):
        return True
    return "note: " in lowered and (
        _OPINION.search(text) is not None
        or any(_DENIES.match(text, said.end()) is not None for said in _SAYS.finditer(text))
    )


def is_tagged_disputed(tags: Iterable[str]) -> bool:
    """Whether one of a record's tags says so; "x_" marks tags outside of the format's list."""
    return any(tag.lower().removeprefix("x_") == "disputed" for tag in tags)
