"""What several entries about one vulnerability are merged to: a table for each rule, in whatever order they come."""

from __future__ import annotations

from itertools import permutations

import pytest

from antivenom.core.matching.advisories import Advisory, Severity
from antivenom.core.matching.grouping import group_aliases, index_groups
from antivenom.core.matching.malware import MalwareRules
from antivenom.core.matching.merging import MergedEntries, merge_entries
from antivenom.knowledge import built_in

CVSS_2_7_5 = "AV:N/AC:L/Au:N/C:P/I:P/A:P"
CVSS_3_9_8 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
CVSS_3_1_8 = "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"
CVSS_4_6_9 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N"
GONE = {"withdrawn": "2024-01-01T00:00:00Z"}


def entry(name: str, **fields: object) -> Advisory:
    return Advisory(name, **{"source": "osv", **fields})  # type: ignore[arg-type]


def merge(own: list[Advisory], shared: list[Advisory] | None = None) -> MergedEntries:
    """What they come to, which has to be the same in every order but for the order of what is a list."""
    malware = MalwareRules(built_in().malware)
    found = [
        merge_entries(["CVE-1", "A", "B"], turned, other, malware)
        for turned in permutations(own)
        for other in permutations(shared or [])
    ]
    assert all(one == found[0] for one in found)
    return found[0]


@pytest.mark.parametrize(
    ("own", "severity", "cvss", "impact"),
    [
        ([{"cvss_vectors": (CVSS_3_9_8,)}], Severity.critical, 9.8, 9.4),
        ([{"cvss_vectors": (CVSS_3_9_8,)}, {"cvss_vectors": (CVSS_4_6_9,)}], Severity.medium, 6.9, 6.675),
        ([{"cvss_vectors": (CVSS_3_9_8, CVSS_3_1_8)}], Severity.critical, 9.8, 7.4),  # of one version the highest
        ([{"cvss_vectors": (CVSS_2_7_5,)}, {"cvss_vectors": (CVSS_3_1_8,)}], Severity.low, 1.8, 3.825),
        ([{"cvss_vectors": (CVSS_3_1_8,)}, {"cvss": 9.9, "severity": Severity.critical}], Severity.low, 1.8, 4.425),
        ([{"cvss": 5.0, "severity": Severity.medium}, {"cvss": 8.0, "severity": Severity.high}], Severity.high, 8.0, 7.0),
        ([{"cvss": 8.0}, {"severity": Severity.low}], Severity.low, 8.0, 5.5),  # a score without a word: the worst word
        ([{"cvss": 8.0, "cvss_vectors": ("nonsense",)}, {"severity": Severity.low}], Severity.low, None, 3.0),
        ([{"cvss": 0.0}], Severity.unknown, 0.0, 0.0),
        ([{"severity": Severity.low}, {"severity": Severity.high}], Severity.high, None, 7.5),
        ([{}], Severity.unknown, None, 5.0),
        ([{"severity": Severity.critical, **GONE}, {"severity": Severity.low}], Severity.low, None, 3.0),
        ([{"severity": Severity.critical, **GONE}], Severity.critical, None, 9.0),
    ],
)  # fmt: skip
def test_the_newest_score_decides_else_a_bare_one_else_the_worst_word(
    own: list[dict[str, object]], severity: Severity, cvss: float | None, impact: float
) -> None:
    merged = merge([entry("AB"[n], **fields) for n, fields in enumerate(own)])
    assert (merged.severity, merged.cvss) == (severity, cvss)
    assert merged.impact == pytest.approx(impact)


LOW, HIGH = {"severity": Severity.low}, {"severity": Severity.high}


@pytest.mark.parametrize(
    ("own", "shared", "severity"),
    [
        ([LOW], [HIGH], Severity.low),
        ([{}], [HIGH], Severity.high),
        ([{"cvss": 0.0}], [HIGH], Severity.unknown),  # somebody scored this one alone
        ([], [HIGH], Severity.high),
        ([{**LOW, **GONE}], [HIGH], Severity.high),
        ([{**LOW, **GONE}], [{**HIGH, **GONE}], Severity.high),
        ([LOW], [{**HIGH, **GONE}], Severity.low),
        ([{}], [{}], Severity.unknown),
    ],
)
def test_what_is_of_several_vulnerabilities_counts_where_nobody_rates_this_one(
    own: list[dict[str, object]], shared: list[dict[str, object]], severity: Severity
) -> None:
    merged = merge([entry("A", **f) for f in own], [entry("B", **f) for f in shared])
    assert merged.severity is severity


@pytest.mark.parametrize(
    ("own", "shared", "is_malware"),
    [
        ([entry("MAL-1")], [], True),
        ([entry("MAL-1", **GONE)], [], False),
        ([entry("MAL-1", **GONE), entry("A")], [], False),
        ([entry("A", cwes=("CWE-506",), cvss_vectors=(CVSS_3_1_8,))], [], True),
        ([entry("A", cwes=("CWE-79",))], [], False),
        ([entry("A")], [entry("MAL-1")], False),  # that one is of others, too
        ([entry("A", **GONE)], [entry("MAL-1")], True),
        ([], [entry("MAL-1")], True),
        ([entry("A", summary="Malicious code in foo")], [], True),
        ([entry("A", source="nvd", summary="Malicious code in foo")], [], False),
        ([entry("A", aliases=("MAL-1",))], [], False),  # an id of another group
        ([entry("A", aliases=("MAL-2",)), entry("MAL-2", **GONE)], [], False),
    ],
)  # fmt: skip
def test_malware_is_the_worst_whatever_its_score(own: list[Advisory], shared: list[Advisory], is_malware: bool) -> None:
    merged = merge(own, shared)
    assert (merged.severity is Severity.malware) is is_malware
    assert (merged.impact == 10.0) is is_malware


@pytest.mark.parametrize(
    ("summaries", "best"),
    [
        (["A long one", "Short"], "Short"),
        (["A long one", "x in wheels"], "A long one"),
        (["A long one", "x Bundled"], "A long one"),
        (["x vendored", "x bundled"], "x bundled"),
        (["b", "a"], "a"),
        (["", "A long one"], "A long one"),
        (["", ""], ""),
        (["unbundledly", "A long one"], "A long one"),
        (["prebundled", "A very long one"], "prebundled"),
    ],
)
def test_the_summary_is_the_shortest_that_is_not_of_a_copy(summaries: list[str], best: str) -> None:
    entries = [entry(name, summary=text) for name, text in zip("AB", summaries, strict=True)]
    assert merge(entries).summary == best
    assert merge([entry("A")], entries).summary == best
    assert merge([entry("A", summary="own, and much longer")], entries).summary == "own, and much longer"


def test_texts_and_lists_come_from_entries_of_this_one_first() -> None:
    own = [
        entry("A", details="longer", published="2024-02-01T", modified="2024-02-02T", cwes=("CWE-2", "CWE-1"),
              aliases=("CVE-1", "X-1"), related=("R-2", "A"), upstream=("U-1", "CVE-1"), references=("u:2", "u:1"), flags=("f",)),
        entry("B", details="short!", published="2024-01-01T", modified="2024-03-02T", cwes=("CWE-3", "CWE-1"),
              references=("u:1", "u:3"), flags=("e", "f"), disputed=True),
        entry("C", details="much, much longer", published="2023-01-01T", modified="2025-01-01T", cwes=("CWE-9",),
              references=("u:9",), flags=("gone",), related=("R-9",), upstream=("U-9",), cvss_vectors=("v:9",), **GONE),
    ]  # fmt: skip
    wider = [entry("W", details="x" * 99, published="2020-01-01T", modified="2024-04-02T", cwes=("CWE-5",), aliases=("CVE-2",),
                   upstream=("U-0",), references=("u:4",), flags=("w",), cvss_vectors=("v:1",))]  # fmt: skip
    merged = merge(own, wider)
    assert (merged.details, merged.published, merged.modified) == ("short!", "2024-01-01T", "2024-04-02T")
    assert merged.cwes == ("CWE-1", "CWE-2", "CWE-3")
    assert (merged.related, merged.upstream) == (("CVE-2", "R-2", "X-1"), ("U-0", "U-1"))
    assert merged.references == ("u:2", "u:1", "u:3", "u:4")
    assert merged.flags == ("e", "f", "gone", "w")
    assert (merged.disputed, merged.withdrawn, merged.vectors) == (True, "", ())
    bare = merge([entry("A")], wider)
    assert (bare.details, bare.published, bare.cwes, bare.vectors) == ("x" * 99, "2020-01-01T", ("CWE-5",), ())
    assert not merge([entry("A")], [entry("W", disputed=True)]).disputed


def test_the_vectors_are_those_of_who_rates_it_the_newest_first() -> None:
    rated = [
        entry("A", severity=Severity.low, cvss_vectors=(CVSS_3_9_8, CVSS_4_6_9)),
        entry("B", cvss_vectors=(CVSS_4_6_9,)),
    ]
    assert merge(rated, [entry("W", cvss=1.0, cvss_vectors=(CVSS_2_7_5,))]).vectors == (CVSS_4_6_9, CVSS_3_9_8)
    assert merge([entry("A")], [entry("W", cvss=1.0, cvss_vectors=(CVSS_2_7_5,))]).vectors == (CVSS_2_7_5,)


@pytest.mark.parametrize(
    ("dates", "published", "modified"),
    [
        (["2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"], "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"),
        (["1970-12-31T23:59:59Z", "2024-01-01T00:00:00Z"], "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        (["1971-01-01T00:00:00Z", "2024-01-01T00:00:00Z"], "1971-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        (["2024-01-01", "yesterday T"], "", ""),
    ],
)
def test_the_first_and_the_last_date_count(dates: list[str], published: str, modified: str) -> None:
    merged = merge([entry(name, published=date, modified=date) for name, date in zip("AB", dates, strict=True)])
    assert (merged.published, merged.modified) == (published, modified)


def test_it_was_withdrawn_when_the_last_entry_was() -> None:
    earlier, later = ({"withdrawn": f"2024-0{month}-01T00:00:00Z"} for month in (1, 2))
    assert merge([entry("A", **earlier), entry("B", **later)]).withdrawn == "2024-02-01T00:00:00Z"
    assert merge([entry("A", **later)], [entry("B", **earlier)]).withdrawn == "2024-02-01T00:00:00Z"
    assert merge([entry("A", **earlier)], [entry("B")]).withdrawn == ""
    assert merge([entry("A")], [entry("B", **later)]).withdrawn == ""


@pytest.mark.parametrize(
    ("entries", "groups"),
    [
        # an id belongs to the CVE id that is the fewest aliases away
        ([("CVE-1", "A"), ("A", "B"), ("B", "C"), ("C", "CVE-2")], [("CVE-1", "A", "B"), ("CVE-2", "B", "C")]),
        ([("CVE-1", "A"), ("A", "B"), ("B", "CVE-2")], [("CVE-1", "A"), ("CVE-2", "B")]),
        # what several reach is passed on last: D hangs on B, which is of both
        ([("CVE-1", "B"), ("B", "CVE-2"), ("B", "D"), ("D", "E")], [("CVE-1", "B", "D", "E"), ("CVE-2", "B", "D", "E")]),
        # and not at all where somebody nearer reaches it
        ([("CVE-1", "B"), ("B", "CVE-2"), ("B", "D"), ("CVE-2", "F"), ("F", "D")], [("CVE-1", "B"), ("CVE-2", "B", "D", "F")]),
        # CVE ids connect nothing
        ([("CVE-1", "CVE-2"), ("CVE-2", "A")], [("CVE-1",), ("CVE-2", "A")]),
        ([("CVE-1", "CVE-1"), ("CVE-1", "A")], [("CVE-1", "A")]),
        ([("A", "CVE-1"), ("A", "CVE-2"), ("A", "CVE-3"), ("B", "CVE-3")], [("CVE-1", "A"), ("CVE-2", "A"), ("CVE-3", "A", "B")]),
        ([("A", "B"), ("C", "D")], [("A", "B"), ("C", "D")]),
    ],
)  # fmt: skip
def test_ids_are_of_the_nearest_cve_id(entries: list[tuple[str, str]], groups: list[tuple[str, ...]]) -> None:
    for turned in permutations(entries):
        found = group_aliases((one, (other,)) for one, other in turned)
        assert [group.ids for group in found] == groups
    places = index_groups(found)
    assert {i: [n for n, ids in enumerate(groups) if i in ids] for i in places} == {i: [*p] for i, p in places.items()}
    for one in found:
        assert (one.primary_id, one.cluster) == (one.ids[0], min(g.ids[0] for g in found if g.cluster == one.cluster))
