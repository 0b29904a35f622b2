"""Affected versions as descriptions say them: "libexpat before 2.7.4", "curl 7.29.0 through 7.71.1".

Only wordings that leave no doubt are read; anything else gives nothing.

Source: how the CVE program's descriptions are phrased; OpenSSL's "Fixed in OpenSSL X (Affected Y)".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from antivenom.core.matching.advisories import AffectedRange
from antivenom_client.version_keys import version_key

TEXT_MAX_CHARACTERS = 4_000  # bounds stand in the first sentences
SCHEME = "generic"

# Everything is bounded: descriptions are other people's text, and a thousand digits must not cost more than ten.
_N = "[0-9]{1,8}"
_PLAIN = rf"v?({_N}(?:\.{_N}){{1,5}}(?:[a-z]{{1,2}}\b)?)"
_V = rf"v?({_N}(?:\.{_N}){{1,5}}(?:[a-z]{{1,2}}\b|[-_]{_N})?(?![0-9a-z]|\.[0-9]|[-.]x\b))"
_LINE = rf"(?<![\w.-])v?({_N}(?:\.{_N}){{0,5}}(?:[-_]{_N})?)(?:[-.]x)?"  # also a whole line of versions: 3.x
_THE = r"(?:the )?(?:versions? ?|releases? ?|ver\.? ?)?"
_INCLUDING = r"(?:,? and including,?| \((?:and )?(?:including|inclusive)\)|, and including,)"
_EXCLUDING = r"(?:,? but (?:not including|excluding),?| \((?:but )?(?:not including|excluding|exclusive)\))"
_ANNOUNCED = r"(?!-?(?:dev|git|rc|alpha|beta|pre))"  # the last affected one is not the release yet
_FIXED_IN = re.compile(
    rf"fixed in (?:[a-z][a-z0-9+ _-]{{0,30}} )?{_PLAIN}(?:-(?:dev|git|snapshot))? ?\(affected ([^)]{{1,2000}})\)"
)
_FROM_THROUGH = re.compile(
    rf"{_LINE},? ?(?:through|thru|(?:up )?to{_INCLUDING}?|-|–) ?{_THE}{_V}{_ANNOUNCED}"
    rf"|>=? ?{_V},? (?:and )?<= ?{_V}"
)
_BEFORE = re.compile(
    rf"(?:{_LINE}(?: (?:through|to) [0-9.]{{1,20}}x)?,? ?)?(?:up to{_EXCLUDING}|(?:(?:and|but|to|up to) )?"
    rf"(?:before|prior to|(?:earlier|lower|older) than|below)(?: both)?) ?{_THE}{_V}|(?:>=? ?{_V},? (?:and )?)?< ?{_V}"
)
_THROUGH = re.compile(
    rf"(?:through|up to{_INCLUDING}?|(?:before|prior to) and including|<=) ?{_THE}{_V}{_ANNOUNCED}"
    rf"|(?<![\w.-]){_V} (?:and|or) (?:(?:all )?(?:earlier|older|lower|previous)|prior|below|before)\b"
)
_NEXT = re.compile(rf"(?:,| and| or|/)+ ?{_THE}{_V}(?! ?(?:through|to|before|prior))")
_AND_OTHER = re.compile(rf",? and (?:the )?([a-z][a-z0-9+-]{{1,30}}) {_THE}{_V}")
_SENTENCE = re.compile(r"(?<=[^.])[.!?](?:\s+|\Z)(?=[A-Z(]|\Z)|\n{2,}")


def stated_ranges(text: str, project: str = "") -> tuple[AffectedRange, ...]:
    """The affected ranges that a description names in its first sentence that names any; () for none or for doubt.

    Args:
        project: What the project's name has in it ("vpx"). Of fixes that the text gives to several products, each by
            name ("in Chrome prior to 117.0.5 and libvpx 1.13.1"), those of this one are read.
    """
    text = re.sub(r"[`*\"']", "", text[:TEXT_MAX_CHARACTERS])
    if found := _fixed_in(text):
        return found if all(map(_is_sound, found)) else ()
    if project and (named := _named_fixes(re.sub(r"\s+", " ", text.lower()), project)):
        return named
    for sentence in _SENTENCE.split(text):
        if found := tuple(dict.fromkeys(_sentence_ranges(re.sub(r"\s+", " ", sentence.lower())))):
            return found if all(map(_is_sound, found)) else ()
    return ()


def _fixed_in(text: str) -> tuple[AffectedRange, ...]:
    """ "Fixed in OpenSSL 1.0.2zc-dev (Affected 1.0.2-1.0.2zb)": from the lowest of those in brackets."""
    found = []
    for fixed, affected in _FIXED_IN.findall(re.sub(r"\s+", " ", text.lower())):
        listed = re.findall(_PLAIN, affected)
        if listed:
            first = min(listed, key=lambda version: version_key(SCHEME, version) or b"")
            found.append(AffectedRange(SCHEME, first, fixed=fixed))
    return tuple(found)


def _named_fixes(text: str, project: str) -> tuple[AffectedRange, ...]:
    """The fixes of one project among those of several products."""
    fixes: list[tuple[str | None, str]] = []
    for match in _BEFORE.finditer(text):
        other = _AND_OTHER.match(text, match.end())
        if other is not None and project in re.sub(r"[^a-z]", "", other[1]):
            fixes.append((None, other[2]))
    return tuple(dict.fromkeys(_by_line(fixes)))


def _sentence_ranges(sentence: str) -> Iterator[AffectedRange]:
    for match in _FROM_THROUGH.finditer(sentence):
        start, last = (g for g in match.groups() if g is not None)
        yield AffectedRange(SCHEME, start, last_affected=last)
    sentence = _FROM_THROUGH.sub("|", sentence)
    fixes: list[tuple[str | None, str]] = []
    for match in _BEFORE.finditer(sentence):
        start, fixed = match[1] or match[3], match[2] or match[4]
        fixes += [(start, fixed), *((None, f) for f in _listed(sentence, match.end()))]
    yield from _by_line(fixes)
    sentence = _BEFORE.sub("|", sentence)
    for match in _THROUGH.finditer(sentence):
        if _NEXT.match(sentence, match.end()) is None:  # "<= 7.73.0 and 7.78.0" may mean anything
            yield AffectedRange(SCHEME, last_affected=match[1] or match[2])


def _listed(sentence: str, at: int) -> Iterator[str]:
    """The versions that follow with nothing but commas and "and" between them."""
    while (following := _NEXT.match(sentence, at)) is not None:
        yield following[1]
        at = following.end(1)


def _by_line(fixes: list[tuple[str | None, str]]) -> Iterator[AffectedRange]:
    """ "before 1.8.6 and 1.9.5": the lowest begins where the text puts it, others where their own line does (1.9)."""
    keyed = sorted((key, fixed, start) for start, fixed in fixes if (key := version_key(SCHEME, fixed)) is not None)
    starts = [start for _, _, start in keyed if start is not None]
    only = starts[0] if len(starts) == 1 else None  # "from 3.2.0 before 3.4.9 and 3.2.7": whichever is written first
    for place, (key, fixed, start) in enumerate(keyed):
        if place and (start is None or (start == only and not fixed.startswith(start))):
            start = _line_start(keyed[place - 1][1], fixed)
        elif start is None and only is not None and (version_key(SCHEME, only) or b"") < key:
            start = only
        yield AffectedRange(SCHEME, start, fixed=fixed)


def _line_start(lower: str, version: str) -> str:
    """Where the line of a version begins that a lower version is not of: 1.9 for 1.9.5 after 1.8.6."""
    ours, theirs = re.findall(r"[0-9]+", version), re.findall(r"[0-9]+", lower)
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(ours) - 1)
    return ".".join(ours[: same + 1])


def _is_sound(bounds: AffectedRange) -> bool:
    start, end = (version_key(SCHEME, t or "0") for t in (bounds.introduced, bounds.fixed or bounds.last_affected))
    return start is not None and end is not None and start <= end
