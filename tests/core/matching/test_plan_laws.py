"""A laid-out plan says of each version what looking through all intervals one by one says, whatever was asked before."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from antivenom.core.matching.advisories import Assessment, Confidence, Finding, IgnoredBy
from antivenom.core.matching.assessment_plan import AssessmentPlan, SetAsidePlan
from antivenom.core.matching.compile_index import CompiledPackage, CompiledVulnerability, Interval
from antivenom.core.matching.identity import Identity
from antivenom.core.matching.precedence import Hit
from antivenom_client.version_keys import version_key

CLEAN = Assessment(True, "clean", undecided=("CVE-9",))
UNKNOWN = Assessment(False, "nobody knows it")
VERSIONS = ("1", "2", "3", "4", "5", "6", "7", "nightly")
SURENESS = [Confidence.exact, Confidence.high, Confidence.medium, Confidence.low]
VULNERABILITIES = [
    CompiledVulnerability(("CVE-0",), 2, 5.0, False, False, 0.5, 20.0, False, "2024", "2025", "zero"),
    CompiledVulnerability(("CVE-1",), 2, 5.0, False, False, None, 20.0, True, "2024", "2025", "disputed, no EPSS"),
    CompiledVulnerability(("CVE-2",), 1, None, True, True, 0.1, 1.0, False, "2024", "2025", "exploited"),
    CompiledVulnerability(("CVE-3", "A-3"), 0, None, False, False, None, 50.0, False, "", "", "nobody rated it"),
]


def interval(scheme: str, low: str | None, high: str | None) -> Interval:
    start = (version_key(scheme, low) if low else None) or b""
    return Interval(start, version_key(scheme, high) if high else None, f">={low},<{high}")


def hit(
    number: int,
    *bounds: str | None,
    fixed: tuple[str, ...] = (),
    scheme: str = "generic",
    advisory: str = "A",
    source: str = "nvd",
    decides: bool = True,
    row: str = "",
    platforms: tuple[str, ...] = (),
    identity: Identity = Identity("cpe", "v:p", Confidence.medium, "is v:p"),
) -> Hit:
    low, high = bounds
    span = interval(scheme, low, high)
    package = CompiledPackage(number, advisory, source, scheme, (span,), fixed, platforms=platforms)
    return Hit(package, span, identity, decides, row)


@st.composite
def hits(draw: st.DrawFn, version: str = "") -> Hit:
    low = draw(st.sampled_from((None, *VERSIONS[:5])))
    above = [v for v in VERSIONS[:7] if low is None or v > low]
    ecosystem, scheme = draw(st.sampled_from((("cpe", "generic"), ("pypi", "pep440"), ("bitnami", "semver"))))
    name = draw(st.sampled_from("pq"))
    sureness = Confidence.exact if ecosystem == "pypi" else draw(st.sampled_from(SURENESS))
    decides = draw(st.booleans())
    return hit(
        draw(st.integers(0, 3)),
        low,
        draw(st.sampled_from((None, *above))),
        fixed=tuple(draw(st.lists(st.sampled_from(("2", "3.0", "4", "6", "7", "soon")), max_size=2))),
        scheme=scheme,
        advisory=draw(st.sampled_from("AB")),
        decides=decides,
        row="" if decides else draw(st.sampled_from(("", "ignore/a", "ignore/b"))),
        identity=Identity(ecosystem, name, sureness, f"is {name}", version),
    )


LISTS = st.sampled_from(("", "3")).flatmap(lambda version: st.lists(hits(version), max_size=7))


def inside(spans: Sequence[Hit], version: str) -> list[Hit]:
    found = []
    for span in spans:
        key = version_key(span.package.scheme, span.identity.version or version)
        if key is not None and span.interval.low <= key and (span.interval.high is None or key < span.interval.high):
            found.append(span)
    return found


def by_worst(numbers: set[int]) -> list[int]:
    """As `rank` has it: exploited first, then risk, then severity; what is known before what is estimated."""
    known = [(VULNERABILITIES[number], number) for number in numbers]
    return [n for v, n in sorted(known, key=lambda k: (not k[0].kev, -k[0].risk, -k[0].severity, k[0].epss is None))]


def said(number: int, of_all: list[Hit]) -> tuple[object, ...]:
    """What is to be said of one vulnerability of which these hits hold the version."""
    about = VULNERABILITIES[number]
    of = [span for span in of_all if span.package.vulnerability == number]
    sure = [span.confidence for span in of if span.decides] or [span.confidence for span in of]
    confidence = min(map(SURENESS.index, sure))
    first = min(
        of, key=lambda h: (not h.decides, SURENESS.index(h.confidence), h.package.advisory, h.interval.text)
    ).identity
    told = {(f"{span.package.advisory} ({span.package.source})", span.interval.text) for span in of}
    return (
        about.ids,
        SURENESS[min(confidence + 1, 3) if about.disputed else confidence],
        "disputed" if about.disputed else "reported",
        told,
        about.summary,
        first.reason,
    )


def shown(finding: Finding) -> tuple[object, ...]:
    assert len(finding.evidence) == len({(e.source, e.range) for e in finding.evidence})
    told = {(e.source, e.range) for e in finding.evidence}
    first = finding.evidence[0].via
    return finding.ids, finding.confidence, finding.status, told, finding.summary, first


@given(LISTS, st.permutations(VERSIONS), st.sampled_from((CLEAN, UNKNOWN)))
@settings(max_examples=150)
def test_a_plan_says_what_a_look_at_each_interval_says_in_whatever_order_versions_come(
    spans: list[Hit], order: list[str], clean: Assessment
) -> None:
    plan = AssessmentPlan("foo", clean, spans, VULNERABILITIES.__getitem__)
    for version in (*order, *order):
        answer = plan.assess(version)
        if spans and all(version_key(h.package.scheme, h.identity.version or version) is None for h in spans):
            assert (answer.assessed, answer.findings) == (False, ())
            assert answer.reason.startswith("the version of foo has no number")
            continue
        of = inside(spans, version)
        numbers = {span.package.vulnerability for span in of if span.decides}
        expected = [said(number, of) for number in by_worst(numbers)]
        assert [shown(finding) for finding in answer.findings] == expected
        if not numbers:
            assert answer is clean
        else:
            assert answer.assessed
            assert answer.undecided == clean.undecided
            assert (answer.reason == "clean") is clean.assessed


@given(LISTS, st.permutations(VERSIONS))
@settings(max_examples=100)
def test_what_is_set_aside_is_what_rows_name_and_nothing_decides(spans: list[Hit], order: list[str]) -> None:
    laid_out = SetAsidePlan(spans, VULNERABILITIES.__getitem__, lambda row: IgnoredBy(row, "for a reason"))
    for version in (*order, *order):
        of = inside(spans, version)
        decided = {span.package.vulnerability for span in of if span.decides}
        aside = {s.package.vulnerability for s in of if s.ignored_by} - decided
        answer = laid_out.ignored(version)
        assert [f.ids for f in answer] == [VULNERABILITIES[n].ids for n in by_worst(aside)]
        assert {f.status for f in answer} <= {"ignored"}
        assert all(f.ignored_by.rule in {s.ignored_by for s in spans} and f.ignored_by.reason for f in answer)
        assert laid_out.at(version).ignored("nightly") == answer


@given(LISTS, st.permutations(VERSIONS))
@example([hit(0, None, "7", fixed=("4", "7"))], ["1", "5", "2", "3", "4", "6", "7", "nightly"])
@example([hit(0, None, "5", fixed=("3",))], ["4", "1", "2", "3", "5", "6", "7", "nightly"])
@settings(max_examples=100)
def test_fixed_versions_are_all_above_the_version_whatever_was_asked_before(spans: list[Hit], order: list[str]) -> None:
    plan = AssessmentPlan("foo", CLEAN, spans, VULNERABILITIES.__getitem__)
    aside = SetAsidePlan(
        [set_aside(span) for span in spans], VULNERABILITIES.__getitem__, lambda row: IgnoredBy(row, "")
    )
    for version in order:
        alone = AssessmentPlan("foo", CLEAN, spans, VULNERABILITIES.__getitem__).assess(version)
        assert plan.assess(version) == alone
        own = spans[0].identity.version if spans else ""
        for finding in (*alone.findings, *aside.ignored(version)):
            fixed = [int(text.split(".")[0]) for text in finding.fixed_versions]
            assert fixed == sorted(set(fixed))
            assert all(number > int(own or version) for number in fixed)


def set_aside(span: Hit) -> Hit:
    return Hit(span.package, span.interval, span.identity, False, "ignore/a")


@pytest.mark.parametrize(
    ("spans", "fixed"),
    [
        ([hit(0, None, "7", fixed=("4", "7"))], {"1": ("4", "7"), "4": ("7",), "5": ("7",)}),
        ([hit(0, None, "5", fixed=("7", "5"))], {"1": ("5", "7"), "4": ("5", "7")}),
        ([hit(0, None, None)], {"1": ()}),
        ([hit(0, None, "3", fixed=("soon",))], {"1": ()}),
        # the spelling that comes first
        ([hit(0, None, "7", fixed=("7.0",)), hit(0, None, "7", fixed=("7",), advisory="B")], {"1": ("7.0",)}),
        # the surest source that names any, and what agrees with it under the same name
        ([hit(0, None, "7"), hit(0, None, "6", fixed=("6",), decides=False)], {"1": ("6",), "6": ()}),
        ([hit(0, None, "7", fixed=("7",)), hit(0, None, "6", fixed=("6",), decides=False)], {"1": ("7",)}),
        ([hit(0, None, "7", fixed=("7",)), hit(0, "1", "6", fixed=("6",), advisory="B")], {"1": ("6", "7")}),
        (
            [hit(0, None, "7", fixed=("7",)),
             hit(0, None, "6", fixed=("6",), advisory="B", identity=Identity("cpe", "v:q", Confidence.medium, "is v:q"))],
            {"1": ("7",)},
        ),
        ([hit(0, None, "7", fixed=("7",)), hit(0, None, "6", fixed=("6",), scheme="semver", advisory="B")], {"1": ("7",)}),
    ],
)  # fmt: skip
def test_fixed_versions_are_those_of_the_surest_source(spans: list[Hit], fixed: dict[str, tuple[str, ...]]) -> None:
    plan = AssessmentPlan("foo", CLEAN, spans, VULNERABILITIES.__getitem__)
    found = {version: plan.assess(version).findings for version in fixed}
    assert {v: f[0].fixed_versions if f else () for v, f in found.items()} == fixed


def test_versions_between_the_same_fixes_share_one_answer() -> None:
    spans = [hit(0, None, "7", fixed=("4", "7"))]
    plan = AssessmentPlan("foo", CLEAN, spans, VULNERABILITIES.__getitem__)
    aside = SetAsidePlan(
        [set_aside(span) for span in spans], VULNERABILITIES.__getitem__, lambda row: IgnoredBy(row, "")
    )
    for ask in (plan.assess, aside.ignored):
        first, later = ask("1"), ask("5")
        assert ask("2.5") is ask("3") is first
        assert ask("4") is ask("6") is later
        assert first != later


def test_all_that_a_row_sets_aside_of_a_vulnerability_is_listed() -> None:
    spans = [
        hit(n, low, high, decides=False, row="ignore/a")
        for n, low, high in ((0, "1", "2"), (0, "3", "4"), (1, "5", "6"))
    ]
    aside = SetAsidePlan(spans, VULNERABILITIES.__getitem__, lambda row: IgnoredBy(row, ""))
    found = [[finding.ids[0] for finding in aside.ignored(version)] for version in "123456"]
    assert found == [["CVE-0"], [], ["CVE-0"], [], ["CVE-1"], []]
