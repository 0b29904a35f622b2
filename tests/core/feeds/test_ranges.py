"""Events to intervals, as the OSV specification evaluates them, and bounds in words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.feeds.cve5 import parse_versions
from antivenom.core.feeds.ranges import complement, intervals
from antivenom.core.matching.advisories import AffectedRange


def holds(ranges: tuple[AffectedRange, ...], version: int) -> bool:
    """Whether whole-number version N is in any of the intervals."""
    for r in ranges:
        start = -1 if r.introduced is None else int(r.introduced)
        above = version > start if r.introduced_excluded else version >= start
        below = r.fixed is None or version < int(r.fixed)
        within = r.last_affected is None or version <= int(r.last_affected)
        if above and below and within:
            return True
    return False


def evaluate(events: list[tuple[str, int]], version: int) -> bool:
    """The specification's own algorithm over sorted events."""
    vulnerable = False
    for kind, at in sorted(events, key=lambda e: e[1]):
        if kind == "introduced" and version >= at:
            vulnerable = True
        elif kind == "fixed" and version >= at:
            vulnerable = False
    return vulnerable


distinct_events = st.lists(
    st.tuples(st.sampled_from(["introduced", "fixed"]), st.integers(0, 40)), max_size=12, unique_by=lambda e: e[1]
)


@given(distinct_events, st.integers(0, 45), st.randoms())
def test_intervals_say_what_the_specification_evaluates_in_any_order(events, version, random) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    found = intervals("pep440", [(kind, str(at)) for kind, at in shuffled])
    assert holds(found, version) == evaluate(events, version)


def test_zero_is_before_everything() -> None:
    assert intervals("pep440", [("introduced", "0"), ("fixed", "1.2")]) == (AffectedRange("pep440", fixed="1.2"),)


def test_fixed_and_introduced_at_one_version_join() -> None:
    events = [("introduced", "0"), ("fixed", "2.0.0"), ("introduced", "2.0.0"), ("fixed", "2.11.2")]
    assert intervals("pep440", events) == (
        AffectedRange("pep440", fixed="2.0.0"),
        AffectedRange("pep440", "2.0.0", fixed="2.11.2"),
    )


def test_several_last_affected_reach_to_the_highest() -> None:
    events = [
        ("introduced", "0"),
        ("last_affected", "0.10.9"),
        ("last_affected", "0.10.11"),
        ("last_affected", "0.8.5"),
    ]
    assert intervals("pep440", events) == (AffectedRange("pep440", last_affected="0.10.11"),)


def test_repeated_pairs_count_once() -> None:
    events = [("introduced", "1"), ("fixed", "2"), ("introduced", "1"), ("fixed", "2")]
    assert intervals("pep440", events) == (AffectedRange("pep440", "1", fixed="2"),)


def test_introduced_and_fixed_at_one_version_is_empty() -> None:
    assert intervals("pep440", [("introduced", "1"), ("fixed", "1")]) == ()


def test_a_limit_caps_what_reaches_past_it() -> None:
    assert intervals("semver", [("introduced", "1.0.0"), ("limit", "2.0.0")]) == (
        AffectedRange("semver", "1.0.0", fixed="2.0.0"),
    )
    assert intervals("semver", [("introduced", "3.0.0"), ("limit", "2.0.0")]) == ()


def test_a_bound_that_is_not_pep440_is_kept() -> None:
    events = [("introduced", "0"), ("last_affected", "2.6.0-NA")]
    assert intervals("pep440", events) == (AffectedRange("pep440", last_affected="2.6.0-NA"),)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=5), st.integers(0, 30))
def test_the_complement_holds_exactly_what_the_holes_do_not(holes, version) -> None:
    unaffected = tuple(AffectedRange("semver", str(a), fixed=str(a + n)) for a, n in holes)
    outside = complement("semver", unaffected, [])
    assert holds(outside, version) != holds(unaffected, version)


def versions(*entries: dict[str, object], default: str = "unaffected"):
    ranges, single, flags = parse_versions("cpe", {"versions": list(entries), "defaultStatus": default})
    return ranges, single, flags


def test_a_cve_range_with_changes_is_cut_where_they_say() -> None:
    entry = {
        "version": "1.0",
        "status": "affected",
        "lessThan": "3.0",
        "changes": [{"at": "1.5", "status": "unaffected"}, {"at": "2.0", "status": "affected"}],
    }
    ranges, _, _ = versions(entry)
    assert ranges == (AffectedRange("cpe", "1.0", fixed="1.5"), AffectedRange("cpe", "2.0", fixed="3.0"))


def test_bounds_in_words_are_understood() -> None:
    ranges, single, flags = versions(
        {"version": "< 2.3.4", "status": "affected"},
        {"version": ">= 3.0, < 3.1", "status": "affected"},
        {"version": "All versions < V4.1.4", "status": "affected"},
        {"version": "before 5.2", "status": "affected"},
        {"version": "1.2 and earlier", "status": "affected"},
        {"version": "v9.1", "status": "affected"},
        {"version": "n/a", "status": "affected"},
    )
    assert ranges == (
        AffectedRange("cpe", fixed="2.3.4"),
        AffectedRange("cpe", "3.0", fixed="3.1"),
        AffectedRange("cpe", fixed="4.1.4"),
        AffectedRange("cpe", fixed="5.2"),
        AffectedRange("cpe", last_affected="1.2"),
    )
    assert single == ("9.1",)
    assert flags == ()


def test_prose_is_flagged_and_commits_are_no_versions() -> None:
    ranges, single, flags = versions(
        {"version": "FastConnect 6900", "status": "affected"},
        {"version": "1da177e4", "lessThan": "a1b2c3", "versionType": "git", "status": "affected"},
    )
    assert (ranges, single) == ((), ())
    assert flags == ("version-not-understood", "git-range")


def test_affected_by_default_means_all_but_what_is_unaffected() -> None:
    ranges, _, _ = versions({"version": "3.8.0", "lessThan": "*", "status": "unaffected"}, default="affected")
    assert ranges == (AffectedRange("cpe", fixed="3.8.0"),)
