"""Texts that tell of platforms: they lower the confidence elsewhere, and leave nothing out."""

from __future__ import annotations

import msgspec
import pytest

from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange, Confidence
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.knowledge import Alias, OnlyOn, assemble
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.core.matching.platforms import MENTIONS, TEXT_MAX_CHARACTERS, ToldPlatforms
from antivenom.knowledge import built_in, entries

LOW, MEDIUM = Confidence.low, Confidence.medium
OWN = {"names/acme": Alias(("acme:acme",))}


def advisory(summary: str, details: str = "", *, id: str = "CVE-2024-1", platforms: tuple[str, ...] = ()) -> Advisory:
    affected = AffectedPackage("cpe", "acme:acme", (AffectedRange("cpe", fixed="2.0"),), platforms=platforms)
    return Advisory(id, "nvd", summary=summary, details=details, affected=(affected,))


def open_index(*advisories: Advisory, more: dict[str, OnlyOn] | None = None) -> MatchIndex:
    known = assemble([[(entry.id, entry.fact) for entry in entries()], [*OWN.items(), *(more or {}).items()]])
    return MatchIndex.load(build_index(advisories, None, NameMaps({}, {}), known))


def confidences(index: MatchIndex) -> dict[str, str]:
    found = {}
    for subdir in ("", "linux-64", "win-64", "osx-64", "linux-32", "linux-aarch64", "noarch"):
        [answer] = index.assess([ComponentKey("conda", "acme", "1.0", subdir=subdir)])
        [finding] = answer.findings
        found[subdir] = finding.confidence
    return found


@pytest.mark.parametrize(
    ("text", "low"),
    [
        ("A path traversal on Windows", {"linux-64", "osx-64", "linux-32", "linux-aarch64"}),
        ("safe_join() allows Windows device names", {"linux-64", "osx-64", "linux-32", "linux-aarch64"}),
        ("A buffer overflow in the 'wincred' helper", {"linux-64", "osx-64", "linux-32", "linux-aarch64"}),
        ("DLL search order hijacking", {"linux-64", "osx-64", "linux-32", "linux-aarch64"}),
        ("It only affects macOS operating systems", {"linux-64", "win-64", "linux-32", "linux-aarch64"}),
        ("A flaw on macOS, and on Windows", {"linux-64", "linux-32", "linux-aarch64"}),
        ("This only affects Unix/Linux/macOS. Windows is not affected", {"win-64"}),
        ("A heap over-read on 64-bit Unix and Unix-like platforms", {"win-64"}),
        ("On Linux, variables are ignored", {"win-64", "osx-64"}),
        ("An overflow on 32-bit platforms", {"linux-64", "win-64", "osx-64", "linux-aarch64"}),
        ("An out-of-bounds read in its ARM/AArch64 code", {"linux-64", "win-64", "osx-64", "linux-32"}),
        ("Firefox for Android shows a dialog", {"linux-64", "win-64", "osx-64", "linux-32", "linux-aarch64"}),
        ("An overflow on 32-bit platforms, and a crash on other platforms", set()),
        ("An overflow on 32-bit and 64-bit systems", set()),
        ("Weak permissions on Linux and Windows", set()),
        ("A sliding window is miscounted", set()),
        ("A flaw in the arms of a switch", set()),
        ("", set()),
    ],
)
def test_a_text_alone_lowers_the_confidence_of_packages_of_other_platforms(text: str, low: set[str]) -> None:
    of_title = confidences(open_index(advisory(text)))
    of_details = confidences(open_index(advisory("A flaw", f"Acme is a tool. {text}.")))
    assert of_title == of_details
    assert {subdir for subdir, confidence in of_title.items() if confidence == LOW} == low
    assert {confidence for subdir, confidence in of_title.items() if subdir not in low} == {MEDIUM}


def test_the_reason_is_among_the_evidence() -> None:
    index = open_index(advisory("A path traversal on Windows"))
    [answer] = index.assess([ComponentKey("conda", "acme", "1.0", subdir="linux-64")])
    [finding] = answer.findings
    assert (finding.told_on, finding.platforms) == (("windows",), ())
    assert [e.via for e in finding.evidence][1].startswith("its words say that it exists on windows alone")
    [unread] = open_index(advisory("A path traversal")).assess([ComponentKey("conda", "acme", "1.0")])
    assert len(unread.findings[0].evidence) == 1


def test_what_a_source_or_a_row_says_goes_before_a_text() -> None:
    text = "A path traversal on Windows"
    of_source = open_index(advisory(text, platforms=("linux",)))
    of_row = open_index(advisory(text), more={"platforms/CVE-2024-1": OnlyOn(("any",))})
    for index in (of_source, of_row):
        [answer] = index.assess([ComponentKey("conda", "acme", "1.0", subdir="linux-64")])
        assert [(f.confidence, f.told_on) for f in answer.findings] == [(MEDIUM, ())]


def test_texts_of_several_entries_are_put_together_and_withdrawn_ones_are_not_read() -> None:
    other = msgspec.structs.replace(advisory("A flaw on macOS", id="GHSA-1"), aliases=("CVE-2024-1",), source="osv")
    both = open_index(advisory("A flaw on Windows"), other)
    [answer] = both.assess([ComponentKey("conda", "acme", "1.0")])
    assert answer.findings[0].told_on == ("macos", "windows")
    taken_back = msgspec.structs.replace(other, withdrawn="2024-01-01T00:00:00Z")
    [answer] = open_index(advisory("A flaw on Windows"), taken_back).assess([ComponentKey("conda", "acme", "1.0")])
    assert answer.findings[0].told_on == ("windows",)


def test_only_the_beginning_of_a_description_is_read() -> None:
    told = ToldPlatforms(built_in().told)
    told.note("CVE-2024-1", "A flaw", f"{'x ' * (TEXT_MAX_CHARACTERS // 2)} on Windows")
    assert told.of(["CVE-2024-1"]) == ()


def test_what_makes_the_server_read_a_description_is_in_the_words() -> None:
    words = " ".join(word for row in built_in().told.values() for word in row.words).lower()
    assert [mention for mention in MENTIONS if mention.lower() not in words] == []
