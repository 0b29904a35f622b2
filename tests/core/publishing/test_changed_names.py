"""The names that are judged again: those whose records changed, and all that an edit of the policy may concern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from antivenom.core.matching.advisories import Assessment, Finding
from antivenom.core.policy.compile import compile_policy, parse_policy
from antivenom.core.policy.rules.base import Meter
from antivenom.core.publishing.changed_names import all_names, changed_names, edited_names
from antivenom.core.source.source_map import Component
from tests.core.index_samples import CHANNEL, NOW_MS, MemoryBlobs, channel, document, ingest, publish_all, record, stop

DAY_MS = 86_400_000


def published(blobs: MemoryBlobs, sources: Mapping[str, str], policy: Any = None) -> dict[str, str]:
    made = publish_all(blobs, sources, policy or stop())
    return {subdir: of.publication for subdir, of in made.subdirs.items()}


# -- records -----------------------------------------------------------------------------------------------------------

A, B, C = record("a"), record("b"), record("c")
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], set[str]]] = {
    "nothing": ({"noarch": [A, B]}, {"noarch": [A, B]}, set()),
    "a record": ({"noarch": [A, B]}, {"noarch": [A, record("b", depends=["a"])]}, {"b"}),
    "what no rule reads": ({"noarch": [A, B]}, {"noarch": [A, B | {"constrains": ["a"]}]}, {"b"}),
    "one more of a name": ({"noarch": [A, B]}, {"noarch": [A, record("a", "2.0"), B]}, {"a"}),
    "another name": ({"noarch": [A, C]}, {"noarch": [A, B, C]}, {"b"}),
    "a name less": ({"noarch": [A, B, C]}, {"noarch": [A, C]}, set()),
    "a subdir more": ({"noarch": [A]}, {"noarch": [A], "linux_64": [A, B]}, {"a", "b"}),
    "a subdir less": ({"noarch": [A], "linux_64": [A, B]}, {"noarch": [A]}, set()),
    "two subdirs": (
        {"linux_64": [A, B], "noarch": [A, C]},
        {"linux_64": [A | {"license": "MIT"}, B], "noarch": [A, C, B]},
        {"a", "b"},
    ),
    "the same in the last of two": ({"linux_64": [A], "noarch": [B]}, {"linux_64": [C], "noarch": [B]}, {"c"}),
}


@pytest.mark.parametrize(("before", "after", "changed"), CASES.values(), ids=CASES)
def test_names_whose_records_differ_are_judged_again(
    before: dict[str, Any], after: dict[str, Any], changed: set[str]
) -> None:
    blobs = MemoryBlobs()
    earlier = channel(blobs, **before)
    previous = published(blobs, earlier)
    # What an upstream lists unchanged stays where it is stored.
    sources = {
        subdir: ingest(blobs, document(*records), subdir=subdir, previous=earlier.get(subdir))
        for subdir, records in ((name.replace("_", "-"), records) for name, records in after.items())
    }
    assert changed_names(blobs, sources, previous) == changed
    assert changed_names(blobs, sources, {}) == all_names(blobs, sources)


# -- rules -------------------------------------------------------------------------------------------------------------

FINDING = Finding(("CVE-1",), "critical", 9.8, False, None, 90.0, (), "active", "exact", ())
WINDOWS = Finding(("CVE-2",), "critical", 9.8, False, None, 90.0, (), "active", "exact", (), platforms=("windows",))
KNOWN = {
    ("bad", "1.0", ("pkg:pypi/bad",)): Assessment(True, "", (FINDING,)),
    ("windows", "1.0", ()): Assessment(True, "", (WINDOWS,)),
}
RECORDS = [
    record("bad", purls=["pkg:pypi/bad"]),
    record("copyleft", license="AGPL-3.0-only"),
    record("needs-bad", depends=["bad >=1"]),
    record("plain"),
    record("plain", "2.0"),
    record("windows"),
    record("young", timestamp=NOW_MS - DAY_MS),
]
EVERYTHING = {entry["name"] for entry in RECORDS}


def assess(components: Sequence[Component]) -> list[Assessment]:
    return [KNOWN.get(component[:], Assessment(True, "")) for component in components]


def rule(id: str, gate: str, trigger: str, params: str = "", action: str = "stop") -> str:
    return f"{{id: {id}, gate: {gate}, trigger: {trigger}, action: {action}, params: {{{params}}}}}"


def policy_of(*rules: str, items: Sequence[str] = ()) -> Any:
    return parse_policy(f"name: p\nrules: [{', '.join(rules)}]\nallowlist: [{', '.join(items)}]\n")


BAD = rule("bad", "vulnerabilities", "package", "severity: '>= high'")
RULES = [
    (BAD, {"bad"}),
    (rule("agpl", "licenses", "license", "families: [agpl]"), {"copyleft"}),
    (rule("age", "metadata", "age", "less_than_days: 7"), {"young"}),
    (rule("subdir", "metadata", "subdir", "deny: [linux-64]"), EVERYTHING),
    (rule("spec", "packages", "match_spec", "deny: ['plain 2.0']"), {"plain"}),
    (rule("names", "packages", "names", "deny: ['[pw]*']"), {"plain", "windows"}),
    (rule("cel", "expression", "cel", "expr: \"record.depends.exists(d, d == 'bad >=1')\""), {"needs-bad"}),
    (rule("none", "expression", "cel", "expr: 'findings.size() == 0'"), EVERYTHING - {"bad"}),
]


def edited(old: Any, new: Any, *, subdir: str = "linux_64", **more: Any) -> set[str]:
    blobs = MemoryBlobs()
    sources = channel(blobs, **{subdir: RECORDS})
    previous = published(blobs, sources, compile_policy(old))
    return edited_names(blobs, sources, previous, old, new, assess, CHANNEL, NOW_MS, **more)


@pytest.mark.parametrize(("text", "touched"), RULES, ids=lambda value: value[5:10] if isinstance(value, str) else "")
def test_what_a_rule_touches_is_judged_again_when_the_rule_comes_goes_or_changes(text: str, touched: set[str]) -> None:
    base = rule("other", "packages", "match_spec", "deny: [nothing-of-this]")
    without, with_it = policy_of(base), policy_of(text, base)
    assert edited(without, with_it) >= touched
    assert edited(without, with_it) - {"nothing-of-this"} == touched
    assert edited(with_it, without) - {"nothing-of-this"} == touched
    changed = policy_of(text.replace("action: stop", "action: warn"), base)
    assert edited(with_it, changed) - {"nothing-of-this"} == touched
    assert edited(with_it, policy_of(base, text)) == set()  # their order decides nothing


def test_a_finding_of_another_platform_touches_nothing_there_but_all_that_noarch_has() -> None:
    for subdir, touched in (("linux_64", {"bad"}), ("noarch", {"bad", "windows"}), ("win_64", {"bad", "windows"})):
        assert edited(policy_of(), policy_of(BAD), subdir=subdir) == touched


def test_what_an_artifact_states_about_itself_is_judged_again_by_each_edit_that_reads_findings() -> None:
    """The record's own assessment is another than that of its component, which touches nothing here."""
    stated = ["plain-1.0-0.conda", "Plain-9-0.conda", "gone-1.0-0.conda"]
    cleared = rule("cleared", "vulnerabilities", "package", "status: [cleared]")
    assert edited(policy_of(), policy_of(cleared), stated=stated) & EVERYTHING == {"plain"}
    assert edited(policy_of(cleared), policy_of(), stated=stated) & EVERYTHING == {"plain"}
    by_license = rule("agpl", "licenses", "license", "families: [agpl]")
    assert edited(policy_of(), policy_of(by_license), stated=stated) == {"copyleft"}


def test_expressions_of_an_edit_are_metered() -> None:
    asked: list[str] = []

    def meter(rule_id: str, evaluate: Any) -> Any:
        asked.append(rule_id)
        return evaluate()

    metered: Meter = meter
    cel = rule("cel", "expression", "cel", "expr: 'record.size_bytes > 0'")
    assert edited(policy_of(), policy_of(cel), meter=metered) == EVERYTHING
    assert set(asked) == {"cel"}


# -- the allowlist -----------------------------------------------------------------------------------------------------


def item(gate: str, **more: str) -> str:
    fields = {"id": f"{gate.replace('*', 'any')}-{more['match']}", "gate": f"'{gate}'", "trigger_id": "'*'"}
    return f"{{{', '.join(f'{k}: {v}' for k, v in (fields | {'owner': 'o', 'reason': 'r'} | more).items())}}}"


@pytest.mark.parametrize(
    ("gate", "concerned"),
    [
        ("licenses", {"copyleft"}), ("metadata", {"young"}), ("closure", {"needs-young"}), ("packages", set()),
        ("*", {"copyleft", "young", "needs-young"}),
    ],
)  # fmt: skip
def test_an_item_concerns_what_a_rule_of_its_gate_decided_before_whether_or_not_it_was_put_aside(
    gate: str, concerned: set[str]
) -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, linux_64=[*RECORDS, record("needs-young", depends=["young"])])
    rules = [text for text, _ in RULES[1:3]]
    spared = item("licenses", match="copyleft")
    for items in ([], [spared]):
        old = policy_of(*rules, items=items)
        previous = published(blobs, sources, compile_policy(old))
        more = policy_of(*rules, items=[*items, item(gate, match="x")])
        for before, after in ((old, more), (more, old)):
            arguments: Any = (blobs, sources, previous, before, after, assess, CHANNEL, NOW_MS)
            assert edited_names(*arguments) == concerned
    assert edited_names(blobs, sources, previous, old, old, assess, CHANNEL, NOW_MS) == set()
