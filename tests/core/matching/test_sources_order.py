"""Of any two sources that speak of one vulnerability, which decides: each pair, in each way that one of them can speak."""

from __future__ import annotations

from itertools import combinations

import pytest

from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.explain import Outcome, explain
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.knowledge import Affected, Alias, IgnoreRule, Knowledge, Release
from antivenom.core.matching.match import ComponentKey, MatchIndex

ID = "CVE-1-1"
ORDER = (
    "corrected",
    "own",
    "own-cve",
    "project",
    "curated",
    "nvd",
    "osv",
    "cve5",
    "bitnami",
    "julia",
    "oss-fuzz",
    "git",
)
# Source → kind of feed, ecosystem, name.
FEEDS = {
    "own": ("osv", "pypi", "p"),
    "own-cve": ("cve5", "pypi", "p"),
    "project": ("cve5", "cpe", "v:p"),
    "nvd": ("nvd", "cpe", "v:p"),
    "osv": ("osv", "cpe", "v:p"),
    "cve5": ("cve5", "cpe", "v:p"),
    "bitnami": ("osv", "bitnami", "p"),
    "julia": ("osv", "julia-builds", "P_jll"),
    "oss-fuzz": ("osv", "oss-fuzz", "p"),
    "git": ("osv", "git", "github.com/v/q"),
    "nodejs": ("nodejs", "cpe", "v:p"),
}
KNOWN = Knowledge(
    names={
        "pkg": Alias(
            ("v:p",),
            (("pypi", "p"), ("bitnami", "p"), ("julia-builds", "P_jll"), ("oss-fuzz", "p"), ("git", "github.com/v/q")),
        )
    }
)
WITHOUT_ROWS = [source for source in ORDER if source in FEEDS]
PRODUCTS = [source for source in WITHOUT_ROWS if FEEDS[source][1] != "pypi"]
PAIRS = list(combinations(ORDER, 2))


def until(fixed: str | None, introduced: str | None = None) -> AffectedRange:
    return AffectedRange("semver", introduced, fixed=fixed)


UNDECIDED = "undecided"
Said = AffectedRange | str | None  # a range; that it names commits only; that it was taken back


def open_index(knowledge: Knowledge = KNOWN, summary: str = "", **said: Said) -> MatchIndex:
    """The index of what each source says of one vulnerability of the package "pkg"."""
    advisories = [Advisory(ID, "cve5", summary=summary)]  # somebody has to know of it
    for source, what in said.items():
        ranges = (what,) if isinstance(what, AffectedRange) else ()
        source = source.replace("_", "-")
        if source == "corrected":
            row = Affected("pkg", ID, ranges, "looked")
            knowledge = Knowledge(**_fields(knowledge) | {"affected": {"pkg": (row,)}})
        elif source == "curated":
            knowledge = Knowledge(**_fields(knowledge) | {"releases": (Release("v:p", ID, ranges),)})
        else:
            feed, ecosystem, name = FEEDS[source]
            package = AffectedPackage(ecosystem, name, ranges, said_by="p" if source == "project" else "")
            flags = ("git-range",) if what == UNDECIDED else ()
            taken_back = "2024-01-01T00:00:00Z" if what is None else ""
            advisory_id = f"{source.upper()}-1"
            advisories.append(
                Advisory(advisory_id, feed, (ID,), withdrawn=taken_back, flags=flags, affected=(package,))
            )
    other = AffectedPackage("cpe", "other:other", (until("1"),))
    advisories.append(Advisory("CVE-9-9", "nvd", affected=(other,)))  # for curated releases: a feed of products
    return MatchIndex.load(build_index(advisories, None, NameMaps(), knowledge))


def _fields(knowledge: Knowledge) -> dict[str, object]:
    return {name: getattr(knowledge, name) for name in Knowledge.__struct_fields__}


def both_of(*sources: str) -> int:
    """How many pieces of evidence two sources are: rows of knowledge are named after the vulnerability, not by table."""
    return 1 if set(sources) == {"corrected", "curated"} else 2


def cited(index: MatchIndex, version: str) -> set[str] | None:
    """The sources that the finding cites; None without one. An explanation comes to the same."""
    key = ComponentKey("conda", "pkg", version)
    [assessment] = index.assess([key])
    explained = {outcome: [c for c in explain(index, key).considered if c.outcome is outcome] for outcome in Outcome}
    assert [c.ids for c in explained[Outcome.finding]] == [f.ids for f in assessment.findings]
    assert [(c.ids, c.rule) for c in explained[Outcome.set_aside]] == [
        (f.ids, f.ignored_by.rule) for [found] in [index.list_ignored([key])] for f in found
    ]
    if not assessment.findings:
        return None
    [finding] = assessment.findings
    return {evidence.source.split("-1 ")[0].lower().replace("_", "-") for evidence in finding.evidence}


def ignored(index: MatchIndex, version: str) -> list[str]:
    [found] = index.list_ignored([ComponentKey("conda", "pkg", version)])
    return [finding.ignored_by.rule for finding in found]


@pytest.mark.parametrize(("better", "worse"), PAIRS)
def test_the_better_source_decides_and_the_worse_is_cited_where_it_agrees(better: str, worse: str) -> None:
    index = open_index(**{better: until("2"), worse: until("3")})
    assert len(cited(index, "1.0") or ()) == both_of(better, worse)
    assert cited(index, "2.5") is None
    rows = {"corrected": [f"affected/pkg/{ID}"], "curated": [f"releases/v:p/{ID}"]}
    assert ignored(index, "2.5") == rows.get(better, [])
    assert ignored(index, "1.0") == ignored(index, "3.5") == []
    other_way = open_index(**{better: until("3"), worse: until("2")})
    assert len(cited(other_way, "1.0") or ()) == both_of(better, worse)
    assert len(cited(other_way, "2.5") or ()) == 1
    assert ignored(other_way, "2.5") == []


@pytest.mark.parametrize(("better", "worse"), [pair for pair in PAIRS if pair[0] in FEEDS])
def test_a_better_source_that_names_no_version_leaves_it_to_the_worse(better: str, worse: str) -> None:
    index = open_index(**{better: UNDECIDED, worse: until("3")})
    assert len(cited(index, "2.5") or ()) == 1
    assert cited(index, "3.5") is None
    [assessment] = index.assess([ComponentKey("conda", "pkg", "3.5")])
    assert assessment.undecided == ()


@pytest.mark.parametrize("source", WITHOUT_ROWS)
def test_where_nobody_names_a_version_it_is_undecided(source: str) -> None:
    index = open_index(**{source: UNDECIDED})
    [assessment] = index.assess([ComponentKey("conda", "pkg", "1.0")])
    assert (assessment.findings, assessment.undecided) == ((), (ID,))
    assert assessment.reason.endswith("; 1 advisory names commits only: undecided")


# A project as CNA takes back by rejecting its CVE record, which silences all products (test_classes.py).
@pytest.mark.parametrize(("better", "worse"), [pair for pair in PAIRS if pair[0] in FEEDS and pair[0] != "project"])
def test_who_took_it_back_silences_the_worse_but_for_re_packagers_and_copies(better: str, worse: str) -> None:
    index = open_index(**{better: None, worse: until("3")})
    feed, ecosystem, _ = FEEDS[better]
    is_heard = feed != "osv" or ecosystem == "pypi"
    assert (cited(index, "2.5") is None) is is_heard
    assert ignored(index, "2.5") == []


@pytest.mark.parametrize(("better", "worse"), PAIRS)
def test_a_range_without_an_end_ranks_behind_one_with_an_end_but_in_the_own_ecosystem(better: str, worse: str) -> None:
    index = open_index(**{better: until(None, "1"), worse: until("2")})
    assert (cited(index, "2.5") is None) is (better not in ("corrected", "own", "own-cve"))
    assert len(cited(index, "1.5") or ()) == both_of(better, worse)
    both = open_index(**{better: until(None, "2"), worse: until(None, "1")})
    if better != "project":  # which names no fix, and is one CNA among others then
        assert cited(both, "1.5") is None
    assert len(cited(both, "2.5") or ()) == both_of(better, worse)


@pytest.mark.parametrize("source", ORDER)
def test_a_list_of_the_lines_of_its_day_counts_beside_databases_and_silences_none(source: str) -> None:
    beside = ORDER.index(source) > ORDER.index("curated")
    index = open_index(**{source: until("2"), "nodejs": until("3", "2")})
    assert cited(index, "1.5") == {source if source in FEEDS else "cve-1"}
    assert (cited(index, "2.5") is not None) is beside
    if source in FEEDS:
        feed, ecosystem, _ = FEEDS[source]
        taken_back = open_index(**{source: None, "nodejs": until("3")})
        assert (cited(taken_back, "2.5") is None) is (feed != "osv" or ecosystem == "pypi")
    alone = open_index(nodejs=until("3"))
    assert cited(alone, "2.5") == {"nodejs"}
    assert cited(open_index(nodejs=None), "2.5") is None


@pytest.mark.parametrize("worse", ["project", "nvd", "bitnami", "git"])
def test_what_a_row_says_is_another_project_leaves_it_to_others_and_is_set_aside_where_nobody_else_speaks(
    worse: str,
) -> None:
    knowledge = Knowledge(**_fields(KNOWN) | {"not_names": {"pkg": {"pypi/p": "another project"}}})
    index = open_index(knowledge, own=until("2"), **{worse: until("3")})
    assert cited(index, "2.5") == {worse}
    assert ignored(index, "2.5") == []
    alone = open_index(knowledge, own=until("2"))
    assert (cited(alone, "1.0"), ignored(alone, "1.0"), ignored(alone, "2.0")) == (None, ["is-not/pkg/pypi/p"], [])


@pytest.mark.parametrize("source", WITHOUT_ROWS)
def test_confidence_is_low_for_no_bound_at_all_and_for_crashes_and_commits(source: str) -> None:
    def confidence(said: AffectedRange) -> str:
        [assessment] = open_index(**{source: said}).assess([ComponentKey("conda", "pkg", "1.5")])
        return assessment.findings[0].confidence

    unsure = "low" if source in ("oss-fuzz", "git") else "medium"
    assert confidence(until("2")) == confidence(until(None, "1")) == unsure
    assert confidence(until(None)) == ("low" if source in PRODUCTS else "medium")


RULES = {
    "ignore/summary": IgnoreRule("part", "summary", ("server",), ("client",), "of the server"),
    "ignore/range": IgnoreRule("part", "range", (), (), "no end"),
}


@pytest.mark.parametrize(
    ("summary", "is_set_aside"), [("the server fails", True), ("server and client", False), ("it fails", False)]
)
def test_a_part_is_judged_by_what_the_summary_says_unless_somebody_is_sure(summary: str, is_set_aside: bool) -> None:
    part = Knowledge(names={"pkg": Alias((), (("bitnami", "p"),), ("v:p",))}, ignore=RULES)
    alone = open_index(part, summary, nvd=until("3"))
    assert (cited(alone, "2.0") is None) is is_set_aside
    assert ignored(alone, "2.0") == (["ignore/summary"] if is_set_aside else [])
    assert ignored(alone, "3.0") == []
    sure = open_index(part, summary, nvd=until("3"), bitnami=until("2"))
    assert cited(sure, "1.0") == {"nvd", "bitnami"}
    assert cited(sure, "2.5") == {"nvd"}
    endless = open_index(part, summary, nvd=until(None, "1"), bitnami=until("2"))
    assert (cited(endless, "1.0"), cited(endless, "2.5"), ignored(endless, "2.5")) == ({"bitnami"}, None, [])
    assert ignored(open_index(part, "", nvd=until(None, "1")), "2.0") == ["ignore/range"]
