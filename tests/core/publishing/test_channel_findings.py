"""A channel's findings: stored once, whatever the objects that hold them, read back equal, and carried over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
import zstandard

from antivenom.core.conda.records import ChannelFacts
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import (
    NO_KNOWLEDGE,
    Assessment,
    Evidence,
    Finding,
    IgnoredBy,
    IgnoredFinding,
    Severity,
)
from antivenom.core.publishing.channel_findings import (
    FORMAT,
    ChannelAssessor,
    ChannelFindings,
    ComponentFindings,
    ComponentIgnored,
    IncrementalAssessor,
    PublicationBasis,
    decode_findings,
    differing_names,
    encode_findings,
)
from antivenom.core.source.source_map import Component

CLEAN = Assessment(True, "all releases are compared")
BASIS = PublicationBasis("knowledge/1", "conda-forge", ChannelFacts("main", is_mirror=True), "name: p", b"none")


def finding(id: str = "CVE-1", severity: str = "high", *, kev: bool = False) -> Finding:
    evidence = (Evidence("osv", "purl", "<2"),)
    return Finding((id,), severity, 7.5, kev, 0.1, 50.0, ("2",), "active", "exact", evidence)


def hit(*ids: str) -> Assessment:
    return Assessment(True, "", tuple(finding(id) for id in ids))


def unheard(reason: str = "no source") -> Assessment:
    return Assessment(False, reason)


def ignored(id: str) -> IgnoredFinding:
    return IgnoredFinding(
        (id,), "low", None, False, None, 1.0, (), "ignored", "low", (), ignored_by=IgnoredBy("r1", "another thing")
    )


def component(text: str) -> Component:
    """`a 1.0`, or `a 1.0 pkg:pypi/a` for one whose record states a purl."""
    name, version, *purls = text.split()
    return Component(name, version, tuple(purls))


def channel_of(*assessments: Assessment) -> ChannelFindings:
    components = [ComponentFindings("a", str(number), (), found) for number, found in enumerate(assessments)]
    return ChannelFindings(components, {"no source": ["b"]}, [])


class FakeIndex:
    """A match index that knows some components; the others are clean."""

    def __init__(
        self, known: Mapping[str, Assessment], set_aside: Mapping[str, tuple[IgnoredFinding, ...]] | None = None
    ) -> None:
        self._known = {component(text): assessment for text, assessment in known.items()}
        self._set_aside = {component(text): found for text, found in (set_aside or {}).items()}
        self.names_set_aside = frozenset(c.name for c in self._set_aside)
        self.asked: list[Component] = []

    def assess(self, keys: Iterable[Any], channel: str) -> list[Assessment]:
        assert channel == "conda-forge"
        components = [self._of(key) for key in keys]
        self.asked += components
        return [self._known.get(found, CLEAN) for found in components]

    def list_ignored(self, keys: Iterable[Any], channel: str) -> list[tuple[IgnoredFinding, ...]]:
        assert channel == "conda-forge"
        return [self._set_aside.get(self._of(key), ()) for key in keys]

    @staticmethod
    def _of(key: Any) -> Component:
        assert (key.type, key.build, key.subdir) == ("conda", "", "")
        return Component(key.name, key.version, key.purls)


def assessor_of(index: FakeIndex | None) -> ChannelAssessor:
    return ChannelAssessor(index, "conda-forge")  # type: ignore[arg-type]


def assessed(index: FakeIndex | None, *texts: str) -> ChannelFindings:
    assess = assessor_of(index)
    for text in texts:  # one after another, as the buckets of a channel are
        assess([component(text)])
    return assess.findings(BASIS)


def texts_of(found: Iterable[ComponentFindings | ComponentIgnored]) -> list[str]:
    return [" ".join((c.name, c.version, *c.purls)) for c in found]


# -- the blob ----------------------------------------------------------------------------------------------------------


def test_equal_findings_are_stored_once_whether_or_not_they_are_one_object() -> None:
    apart = channel_of(*(Assessment(True, "", (finding(),)) for _ in range(3)))
    shared = Assessment(True, "", (finding(),))
    assert encode_findings(apart) == encode_findings(channel_of(shared, shared, shared))
    first, second, third = (c.assessment for c in decode_findings(encode_findings(apart)).components)
    assert first is second is third


def test_what_was_stored_reads_back_equal() -> None:
    found = ChannelFindings(
        [
            ComponentFindings("a", "1", (), hit("CVE-1", "CVE-2")),
            ComponentFindings("a", "2", ("pkg:pypi/a",), Assessment(True, "one is undecided", (finding("CVE-2"),))),
            ComponentFindings("c", "1", (), hit("CVE-2")),
        ],
        {"no source": ["b"], "unknown version": ["d", "e"]},
        [(component("a 3"), "unknown version")],
        BASIS,
        [
            ComponentIgnored("a", "1", (), (ignored("CVE-7"), ignored("CVE-8"))),
            ComponentIgnored("c", "1", (), (ignored("CVE-8"),)),
            ComponentIgnored("c", "2", ("pkg:pypi/c",), (ignored("CVE-7"), ignored("CVE-8"))),
        ],
        [ComponentIgnored("c", "1", (), (ignored("CVE-9"),))],
    )
    assert decode_findings(encode_findings(found)) == found
    assert found.reasons() == {"a": "unknown version", "b": "no source", "d": "unknown version", "e": "unknown version"}


def test_each_vulnerability_is_counted_once_and_each_name_that_nobody_looked_at() -> None:
    found = ChannelFindings(
        [
            ComponentFindings("a", "1", (), Assessment(True, "", (finding(), finding("CVE-2", "low", kev=True)))),
            ComponentFindings("a", "2", (), hit("CVE-1")),
            ComponentFindings("c", "1", (), Assessment(True, "", (finding("CVE-3", kev=True), finding("CVE-4", "")))),
        ],
        {"no source": ["b"]},
        [(component("a 3"), "unknown version"), (component("a 4"), "unknown version")],
    )
    counts = found.counts()
    assert (counts.vulnerable_components, counts.exploited, counts.unassessed_names) == (3, 2, 2)
    assert counts.vulnerabilities == dict.fromkeys((s.name for s in Severity), 0) | {"high": 2, "low": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not a frame", "these are not a channel's findings"),
        (zstandard.compress(b"\xc1"), "these are not a channel's findings"),
        (zstandard.compress(msgspec.msgpack.encode([FORMAT, None])), "these are not a channel's findings"),
        (
            zstandard.compress(msgspec.msgpack.encode([FORMAT - 1, None, [], [], [], {}, []])),
            f"findings of format {FORMAT - 1}, not {FORMAT}",
        ),
    ],
)
def test_other_bytes_and_other_formats_are_told_from_findings(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        decode_findings(data)
    assert caught.value.message.startswith(message)
    assert caught.value.hint == ("publish the channel again" if "format" in message else "")


# -- what is found -----------------------------------------------------------------------------------------------------


def test_without_knowledge_no_name_is_assessed() -> None:
    assess = assessor_of(None)
    assert assess([component("a 1"), component("b 1")]) == [NO_KNOWLEDGE, NO_KNOWLEDGE]
    found = assess.findings(BASIS)
    assert found == ChannelFindings([], {NO_KNOWLEDGE.reason: ["a", "b"]}, [], BASIS)


def test_findings_are_listed_by_component_with_those_of_their_own_purls_apart() -> None:
    index = FakeIndex({"b 1": hit("CVE-2"), "a 1 pkg:pypi/z": hit("CVE-3"), "a 1": hit("CVE-1")})
    found = assessed(index, "b 1", "a 2", "a 1 pkg:pypi/z", "a 1")
    assert texts_of(found.components) == ["a 1", "a 1 pkg:pypi/z", "b 1"]
    assert [c.assessment for c in found.components] == [hit("CVE-1"), hit("CVE-3"), hit("CVE-2")]
    assert (found.unassessed, found.partly, found.basis) == ({}, [], BASIS)


@pytest.mark.parametrize(
    ("known", "unassessed", "partly"),
    [
        ({"a 1": unheard(), "a 2": unheard()}, {"no source": ["a"]}, []),
        # A component with findings is listed for itself: the rest of its name is not covered.
        ({"a 1": unheard(), "a 2": hit("CVE-1")}, {"no source": ["a"]}, []),
        # A clean component is listed nowhere, so its name is not in the list of those of which nobody knows.
        ({"a 1": unheard()}, {}, [(component("a 1"), "no source")]),
        (
            {"a 1": unheard("no version"), "a 2": unheard()},
            {},
            [(component("a 1"), "no version"), (component("a 2"), "no source")],
        ),
        (
            {"a 1": unheard(), "a 2": unheard(), "b 1": unheard("other"), "c 1": unheard()},
            {"no source": ["a", "c"], "other": ["b"]},
            [],
        ),
    ],
    ids=["whole name", "beside findings", "beside a clean one", "two reasons", "two names"],
)
def test_a_name_is_not_assessed_as_a_whole_only_where_that_is_true_of_all_of_it(
    known: Mapping[str, Assessment], unassessed: Mapping[str, list[str]], partly: list[Any]
) -> None:
    found = assessed(FakeIndex(known), *sorted({"a 1", "a 2", *known}, reverse=True))
    assert (found.unassessed, found.partly) == (unassessed, partly)


def test_what_rules_set_aside_is_listed_apart_for_components_of_the_channel_only() -> None:
    index = FakeIndex(
        {"a 1": hit("CVE-1")},
        {"b 1 pkg:pypi/b": (ignored("CVE-8"),), "a 1": (ignored("CVE-7"),), "a 9": (ignored("CVE-9"),)},
    )
    found = assessed(index, "b 1 pkg:pypi/b", "b 1", "a 2", "a 1", "c 1")
    assert [(c.name, c.version, c.findings) for c in found.ignored] == [
        ("a", "1", (ignored("CVE-7"),)),
        ("b", "1", (ignored("CVE-8"),)),
    ]


# -- what is carried over ----------------------------------------------------------------------------------------------

BEFORE: dict[str, Assessment] = {
    "clean 1": CLEAN,
    "gone 1": hit("CVE-1"),
    "gone-unheard 1": unheard(),
    "gone-partly 1": unheard(),
    "gone-partly 2": CLEAN,
    "kept 1": hit("CVE-1", "CVE-2"),
    "kept 2": CLEAN,
    "kept-partly 1": unheard("no version"),
    "kept-partly 2": CLEAN,
    "kept-unheard 1": unheard(),
    "moved 1": hit("CVE-3"),
    "moved 2": CLEAN,
    "moved-partly 1": unheard(),
    "moved-partly 2": CLEAN,
    "moved-unheard 1": unheard(),
}
AFTER: dict[str, Assessment] = {
    **{text: found for text, found in BEFORE.items() if text.startswith(("clean ", "kept"))},
    "moved 2": hit("CVE-4"),
    "moved 3": CLEAN,
    "moved-partly 2": unheard("no version"),
    "moved-partly 3": CLEAN,
    "moved-unheard 1": unheard("heard nothing"),
    "a-new 1": hit("CVE-5"),
    "a-new-unheard 1": unheard(),
    "z-new-partly 1": unheard(),
    "z-new-partly 2": CLEAN,
}
FRESH = frozenset(text.split()[0] for text in AFTER if "moved" in text or "new" in text)


def with_ignored(known: Mapping[str, Assessment]) -> FakeIndex:
    names = ("gone", "kept", "moved", "a-new")
    return FakeIndex(
        known, {text: (ignored(f"CVE-{at}"),) for at, text in enumerate(known) if text.split()[0] in names}
    )


def test_findings_that_are_carried_over_are_those_that_everything_anew_would_give() -> None:
    earlier = assessed(with_ignored(BEFORE), *BEFORE)
    index = with_ignored(AFTER)
    assess = IncrementalAssessor(earlier, FRESH, lambda: assessor_of(index))
    components = [component(text) for text in sorted(AFTER)]
    answers = dict(zip(components, assess(components), strict=True))
    for text, expected in AFTER.items():
        answer = answers[component(text)]
        assert (answer.assessed, answer.findings) == (expected.assessed, expected.findings), text
        assert answer.reason == expected.reason or expected == CLEAN, text
    # Which of those that are not listed were clean is not remembered, so names are kept apart as they were.
    anew = assessed(with_ignored(AFTER), *sorted(AFTER))
    carried = assess.findings(BASIS, {c.name for c in components})
    assert (carried.components, carried.unassessed, carried.partly) == (anew.components, anew.unassessed, anew.partly)
    assert texts_of(carried.ignored) == ["a-new 1", "kept 1", "kept 2", "moved 2", "moved 3"]
    assert (carried.basis, list(carried.unassessed)) == (BASIS, sorted(carried.unassessed))
    assert texts_of(assess.new_findings()) == ["a-new 1", "moved 2"]


def test_only_fresh_names_are_matched_and_the_index_is_opened_once_for_them() -> None:
    index, opened = FakeIndex({"b 1": hit("CVE-1")}), []

    def open_assessor() -> ChannelAssessor:
        opened.append(1)
        return assessor_of(index)

    assess = IncrementalAssessor(assessed(FakeIndex({"a 1": hit("CVE-2")}), "a 1"), ["b"], open_assessor)
    assert assess([component("a 1")]) == [hit("CVE-2")]
    assert (opened, assess.new_findings(), assess.findings(None, ["a", "b"]).components) == (
        [],
        [],
        [ComponentFindings("a", "1", (), hit("CVE-2"))],
    )
    mixed = [component(text) for text in ("a 1", "b 1", "a 2", "b 2")]
    assert [len(answer.findings) for answer in assess(mixed)] == [1, 1, 0, 0]
    assess([component("b 3")])
    assert (opened, index.asked) == ([1], [component(text) for text in ("b 1", "b 2", "b 3")])


@pytest.mark.parametrize(
    ("then", "now", "differs"),
    [
        (hit("CVE-1"), hit("CVE-1"), False),
        (hit("CVE-1"), hit("CVE-1", "CVE-2"), True),
        (hit("CVE-1"), CLEAN, True),
        (CLEAN, hit("CVE-1"), True),
        (CLEAN, CLEAN, False),
        (CLEAN, Assessment(True, "in other words"), False),
        (CLEAN, unheard(), True),
        (unheard(), CLEAN, True),
        (unheard(), unheard(), False),
        (unheard(), unheard("another reason"), True),
        (unheard(), hit("CVE-1"), True),
    ],
)
def test_a_name_is_judged_again_when_a_rule_could_see_another_assessment(
    then: Assessment, now: Assessment, differs: bool
) -> None:
    earlier = assessed(FakeIndex({"a 1": then}), "a 1", "b 1")
    components = [component("a 1"), component("b 1")]
    assert differing_names(earlier, components, [now, CLEAN]) == ({"a"} if differs else set())
