"""Laws of grouping and merging: no two CVE ids in one vulnerability, and no dependence on any order."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.matching.advisories import Advisory, Severity
from antivenom.core.matching.grouping import AliasGroup, group_aliases, index_groups, is_cve
from antivenom.core.matching.merging import merge_entries

Entry = tuple[str, tuple[str, ...]]

CVES = tuple(f"CVE-2026-{n}" for n in range(1, 5))
OTHERS = tuple(f"{prefix}-{n}" for prefix in ("BIT", "GHSA", "PYSEC") for n in range(1, 4))
VECTORS = (
    "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
    "CVSS:3.0/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N",
    "AV:N/AC:L/Au:N/C:P/I:P/A:P",
    "CVSS:3.1/nonsense",
)
DATES = ("", "0001-01-01T00:00:00Z", "2024-02-03T04:05:06Z", "2025-01-01T00:00:00Z", "tomorrow")

entries = st.lists(
    st.tuples(st.sampled_from(CVES + OTHERS), st.lists(st.sampled_from(CVES + OTHERS), max_size=4).map(tuple)),
    max_size=12,
)


@st.composite
def advisories(draw: st.DrawFn, withdrawn: str = "") -> Advisory:
    return Advisory(
        draw(st.sampled_from(CVES + OTHERS)),
        draw(st.sampled_from(["osv", "nvd", "cve5"])),
        tuple(draw(st.lists(st.sampled_from(CVES + OTHERS), max_size=2))),
        summary=draw(st.sampled_from(["", "Short", "Short, bundled", "Somewhat longer"])),
        details=draw(st.sampled_from(["", "details", "more details"])),
        published=draw(st.sampled_from(DATES)),
        modified=draw(st.sampled_from(DATES)),
        withdrawn=withdrawn,
        cvss_vectors=tuple(draw(st.lists(st.sampled_from(VECTORS), max_size=2))),
        cvss=draw(st.sampled_from([None, 0.0, 5.5, 10.0])),
        severity=draw(st.sampled_from(list(Severity))),
        references=tuple(draw(st.lists(st.sampled_from(["https://a.example/", "https://b.example/"]), max_size=2))),
        disputed=draw(st.booleans()),
    )


def sets_of(groups: list[AliasGroup]) -> set[frozenset[str]]:
    return {frozenset(group.ids) for group in groups}


@given(entries)
def test_no_two_cve_ids_share_a_group_and_no_id_is_lost(given_entries: list[Entry]) -> None:
    groups = group_aliases(given_entries)
    assert all(sum(map(is_cve, group.ids)) <= 1 for group in groups)
    described = {one for one, _ in given_entries}
    named = described | {i for one, aliases in given_entries for i in aliases if not (is_cve(one) and is_cve(i))}
    assert set(index_groups(groups)) == named
    assert all(described & set(group.ids) for group in groups)
    assert len(sets_of(groups)) == len(groups)


@given(entries, st.randoms(use_true_random=False))
def test_order_makes_no_difference(given_entries: list[Entry], shuffle: random.Random) -> None:
    turned = [(one, tuple(shuffle.sample(aliases, len(aliases)))) for one, aliases in given_entries]
    shuffle.shuffle(turned)
    assert group_aliases(turned) == group_aliases(given_entries)


@given(entries)
def test_who_names_whom_makes_no_difference(given_entries: list[Entry]) -> None:
    everybody = [(i, ()) for one, aliases in given_entries for i in (one, *aliases)]
    turned = [(other, (one,)) for one, aliases in given_entries for other in aliases]
    assert group_aliases([*everybody, *turned]) == group_aliases([*everybody, *given_entries])


@given(entries)
def test_grouping_groups_changes_nothing(given_entries: list[Entry]) -> None:
    groups = group_aliases(given_entries)
    assert sets_of(group_aliases((group.ids[0], group.ids[1:]) for group in groups)) == sets_of(groups)


@given(entries)
def test_an_advisory_of_one_cve_is_with_it(given_entries: list[Entry]) -> None:
    groups = group_aliases(given_entries)
    for one, aliases in given_entries:
        for cve in filter(is_cve, aliases):
            if not is_cve(one):
                assert any({one, cve} <= set(group.ids) for group in groups)


@given(entries)
def test_without_a_second_cve_aliases_are_transitive(given_entries: list[Entry]) -> None:
    one_cve = [(one, tuple(a for a in aliases if not is_cve(a))) for one, aliases in given_entries if not is_cve(one)]
    groups = group_aliases(one_cve)
    assert all(group.cluster == group.primary_id for group in groups)
    assert all(len(places) == 1 for places in index_groups(groups).values())


@given(entries, st.lists(st.sampled_from(CVES), min_size=2, unique=True))
def test_an_advisory_of_several_cves_connects_nothing(given_entries: list[Entry], cves: list[str]) -> None:
    named = [*given_entries, *((cve, ()) for cve in cves)]
    before = sets_of(group_aliases(named))
    after = sets_of(group_aliases([*named, ("RUSTSEC-1", tuple(cves))]))
    assert {group - {"RUSTSEC-1"} for group in after} == before


@given(entries)
def test_a_cluster_is_grouped_alone_as_among_all(given_entries: list[Entry]) -> None:
    """What the server relies on: only the clusters that a change touches are grouped again."""
    groups = group_aliases(given_entries)
    for cluster in {group.cluster for group in groups}:
        whole = [group for group in groups if group.cluster == cluster]
        ids = {advisory_id for group in whole for advisory_id in group.ids}
        assert group_aliases(entry for entry in given_entries if entry[0] in ids) == whole


@given(st.lists(advisories(), min_size=1, max_size=5), st.lists(advisories(), max_size=3), st.randoms())
def test_merged_entries_do_not_depend_on_order(
    own: list[Advisory], shared: list[Advisory], shuffle: random.Random
) -> None:
    turned = shuffle.sample(own, len(own)), shuffle.sample(shared, len(shared))
    one, other = merge_entries(["CVE-2026-1"], own, shared), merge_entries(["CVE-2026-1"], *turned)
    references = (sorted(one.references), sorted(other.references))  # in the order of entries that are equal otherwise
    assert references[0] == references[1]
    assert msgspec.structs.replace(one, references=()) == msgspec.structs.replace(other, references=())


@given(
    st.lists(advisories(), min_size=1, max_size=3),
    st.lists(advisories("2026-01-01T00:00:00Z"), max_size=3),
    st.booleans(),
)
def test_withdrawn_entries_say_nothing_while_another_stands(
    standing: list[Advisory], withdrawn: list[Advisory], is_standing_shared: bool
) -> None:
    expected = merge_entries(["CVE-2026-1"], standing)
    own, shared = (withdrawn, standing) if is_standing_shared else ([*standing, *withdrawn], [])
    assert merge_entries(["CVE-2026-1"], own, shared) == expected
    assert expected.withdrawn == ""


@given(st.lists(advisories("2026-01-01T00:00:00Z"), min_size=1, max_size=3))
def test_what_every_entry_withdrew_is_withdrawn(withdrawn: list[Advisory]) -> None:
    assert merge_entries(["CVE-2026-1"], withdrawn).withdrawn == "2026-01-01T00:00:00Z"
