"""Laws of the dependencies of a selection."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.conda.records import RecordFacts
from antivenom.core.conda.specs import parse_record_spec
from antivenom.core.source.dependency_closure import close_specs, list_unmet

NAMES = ("a", "b", "c", "d", "e")
VERSIONS = ("1.0", "1.5", "2.0")
NEEDS = st.builds(
    lambda name, rest: f"{name}{rest}",
    st.sampled_from((*NAMES, "absent", "__glibc")),
    st.sampled_from(("", " >=1.5", " <2", " 1.0.*", " ==2.0", " 1.5 h_1", "[version='>=1']", " >=9")),
)


@st.composite
def channels(draw: st.DrawFn) -> dict[str, list[RecordFacts]]:
    """Records by name, in up to two platforms and noarch."""
    records: dict[str, list[RecordFacts]] = defaultdict(list)
    for name, version, build, subdir in draw(
        st.sets(
            st.tuples(
                st.sampled_from(NAMES),
                st.sampled_from(VERSIONS),
                st.sampled_from(("h_0", "h_1")),
                st.sampled_from(("noarch", "linux-64", "win-64")),
            ),
            max_size=16,
        )
    ):
        depends = tuple(draw(st.lists(NEEDS, max_size=3)))
        fn = f"{name}-{version}-{build}.conda"
        records[name].append(RecordFacts(fn, subdir, name, version, build, int(build[-1]), depends=depends))
    return records


SPECS = st.lists(st.sampled_from(("a", "b >=1.5", "c 1.0.*", "d*", "absent")), min_size=1, max_size=3)


def selected(records: dict[str, list[RecordFacts]], specs: list[str]) -> dict[str, list[RecordFacts]]:
    parsed = [parse_record_spec(spec) for spec in specs]
    return {name: [r for r in rows if any(spec.matches(r) for spec in parsed)] for name, rows in records.items()}


def closed(records: dict[str, list[RecordFacts]], specs: list[str]) -> list[str]:
    return close_specs(specs, records, lambda name: records.get(name, []))


@given(channels(), SPECS)
def test_what_a_selection_needs_is_in_it_if_the_upstream_has_it(
    records: dict[str, list[RecordFacts]], specs: list[str]
) -> None:
    taken = selected(records, closed(records, specs))
    for need in list_unmet(taken):
        spec = parse_record_spec(need.text)
        in_reach = [
            r
            for r in records.get(spec.exact_name, [])
            if "noarch" in (r.subdir, need.subdir) or r.subdir == need.subdir
        ]
        assert not any(spec.matches(record) for record in in_reach)


@given(channels(), SPECS)
def test_nothing_is_taken_that_nothing_asks_for(records: dict[str, list[RecordFacts]], specs: list[str]) -> None:
    specs_closed = closed(records, specs)
    assert specs_closed[: len(specs)] == specs
    taken = selected(records, specs_closed)
    needs = {text for rows in taken.values() for record in rows for text in record.depends}
    assert set(specs_closed[len(specs) :]) <= needs


@given(channels(), SPECS)
def test_closing_what_is_closed_adds_no_record(records: dict[str, list[RecordFacts]], specs: list[str]) -> None:
    once = closed(records, specs)
    assert selected(records, closed(records, once)) == selected(records, once)


def test_a_chain_a_ring_and_a_missing_link() -> None:
    def record(name: str, *depends: str, version: str = "1.0", subdir: str = "linux-64") -> RecordFacts:
        return RecordFacts(f"{name}-{version}-h_0.conda", subdir, name, version, "h_0", depends=depends)

    rows = [
        record("a", "b >=2"),
        record("b", "c", version="2.0"),
        record("b"),
        record("c", "a", "absent >=1", subdir="noarch"),
    ]
    records = {name: [row for row in rows if row.name == name] for name in "abc"}
    assert closed(records, ["a"]) == ["a", "b >=2", "c"]
    taken = selected(records, closed(records, ["a"]))
    assert [row.fn for row in taken["b"]] == ["b-2.0-h_0.conda"]
    assert [(need.text, need.fn) for need in list_unmet(taken)] == [("absent >=1", "c-1.0-h_0.conda")]
    assert [need.text for need in list_unmet({"a": records["a"]})] == ["b >=2"]
