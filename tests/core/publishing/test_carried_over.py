"""What is carried over: one thing changes, only what hangs on it is judged, and the result is that of everything anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from antivenom.core.matching.advisories import Assessment, Finding
from antivenom.core.policy.compile import Action, CompiledPolicy, parse_policy
from antivenom.core.policy.rules.base import NameColumns
from antivenom.core.publishing import publication_writer, publish, verdicts
from antivenom.core.publishing.publish import Plan, PlanItem, Published, plan
from antivenom.core.publishing.verdicts import RecordCase, judge_apart
from antivenom.core.source.source_map import Component
from tests.core.index_samples import (
    CHANNEL,
    NOW_MS,
    MemoryBlobs,
    decisions,
    document,
    ingest,
    opened,
    publish_all,
    record,
    request,
    served,
    shards_of,
)

DAY_MS = 86_400_000
NAMES = [f"lib{i:02}" for i in range(16)]
RULES = (
    '{id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["lib01", "lib02 2.0", "old01", "old02 1.0"]}}',
    "{id: bad, gate: vulnerabilities, trigger: package, action: stop, params: {severity: '>= high'}}",
    "{id: agpl, gate: licenses, trigger: license, action: warn, params: {families: [agpl]}}",
    "{id: age, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7}}",
)
PLATFORM = "{id: platform, gate: metadata, trigger: subdir, action: stop, params: {deny: [linux-64]}}"
UNKNOWN = "{id: unknown, gate: vulnerabilities, trigger: not_assessed, action: warn}"
HERE = "channel.name == 'main' && record.subdir == 'noarch' && record.depends.exists(d, d == 'lib12')"
CEL = f'{{id: cel, gate: expression, trigger: cel, action: stop, params: {{expr: "{HERE}"}}}}'
OLD = "{id: old, gate: metadata, trigger: age, action: warn, params: {older_than_days: 2260}}"  # all are by tomorrow
FIXES = "{id: age, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7, unless_fix: true}}"
SPARE_APP04 = "{id: spare, gate: closure, trigger_id: '*', match: app04, owner: o, reason: r, expires_on: 2026-12-01}"
SPARE_LIB09 = "{id: known, gate: vulnerabilities, trigger_id: '*', match: lib09, owner: o, reason: r}"


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several turns of what reads many buckets at once."""
    for module in (verdicts, publication_writer):
        monkeypatch.setattr(module, "_BUCKETS_AT_ONCE", 2)


def base_records() -> dict[str, list[dict[str, Any]]]:
    """Names with two versions each, and for each one that needs it: here in noarch, there in linux-64."""
    found: dict[str, list[dict[str, Any]]] = {"linux-64": [], "noarch": []}
    for at, name in enumerate(NAMES):
        more = {"license": "AGPL-3.0-only"} if at % 3 == 0 else {}
        found["noarch"] += [record(name, version, **more) for version in ("1.0", "2.0")]
        found["linux-64" if at % 2 else "noarch"].append(record(f"app{at:02}", depends=[name], **more))
    for name in ("old01", "old02", "old03"):  # of the older format
        found["noarch"] += [record(name, version) for version in ("1.0", "2.0")]
    found["noarch"].append(record("lib05", "3.0", indexed_timestamp=NOW_MS - DAY_MS))  # seven days old in six
    return found


@dataclass(frozen=True)
class World:
    """What decides a publication. `vulnerable`: (name, version); `builds`: what artifacts state, by subdir/fn."""

    records: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=base_records)
    rules: tuple[str, ...] = RULES
    items: tuple[str, ...] = (SPARE_APP04, SPARE_LIB09)
    vulnerable: frozenset[tuple[str, str]] = frozenset(
        {("lib07", "1.0"), ("lib09", "1.0"), ("lib09", "2.0"), ("lib04", "1.0"), ("lib04", "2.0")}
    )
    builds: Mapping[str, Assessment] = field(default_factory=dict)
    closure: bool = True
    now_ms: int = NOW_MS

    def assess(self, components: Sequence[Component]) -> list[Assessment | None]:
        finding = Finding(("CVE-1",), "critical", 9.8, False, None, 90.0, (), "active", "exact", ())
        return [
            Assessment(True, "", (finding,)) if c[:2] in self.vulnerable else Assessment(c[0] != "lib15", "")
            for c in components
        ]

    def with_record(self, entry: dict[str, Any], subdir: str = "noarch") -> World:
        """The world with one more record, or another one of that file name."""
        same = (entry["name"], entry["version"], entry["build"])
        kept = [r for r in self.records[subdir] if (r["name"], r["version"], r["build"]) != same]
        return replace(self, records={**self.records, subdir: [*kept, entry]})

    def without(self, name: str) -> World:
        return replace(self, records={s: [r for r in rows if r["name"] != name] for s, rows in self.records.items()})


class WatchedPolicy(CompiledPolicy):
    """A policy that remembers the names that it was asked about."""

    def __init__(self, policy: Any) -> None:
        super().__init__(policy)
        self.asked: set[str] = set()

    def touched_positions(self, names: NameColumns, *arguments: Any) -> Iterable[int]:
        self.asked.add(names.name)
        return super().touched_positions(names, *arguments)


def document_of(subdir: str, rows: Sequence[dict[str, Any]]) -> bytes:
    old = [row for row in rows if row["name"].startswith("old")]
    return document(*(row for row in rows if row not in old), legacy=old, info={"subdir": subdir})


def asked_for(
    blobs: MemoryBlobs, world: World, earlier: Mapping[str, str], **more: Any
) -> tuple[dict[str, str], WatchedPolicy, dict[str, Any]]:
    """The source maps of a world, its policy, and the other fields of a request."""
    sources = {
        subdir: ingest(blobs, document_of(subdir, rows), subdir=subdir, previous=earlier.get(subdir))
        for subdir, rows in world.records.items()
    }
    text = f"name: p\nrules: [{', '.join(world.rules)}]\nallowlist: [{', '.join(world.items)}]\n"
    fields = {
        "assess": world.assess,
        "now_ms": world.now_ms,
        "closure": world.closure,
        "build_assessments": world.builds,
    }
    return sources, WatchedPolicy(parse_policy(text)), fields | more


def maps_of(published: Published) -> dict[str, str]:
    return {subdir: made.publication for subdir, made in published.subdirs.items()}


def content(blobs: MemoryBlobs, published: Published) -> dict[str, Any]:
    """Everything that a publication says and serves."""
    found: dict[str, Any] = {"counts": published.counts, "holds": published.holds_until_ms}
    for subdir, made in published.subdirs.items():
        index = opened(blobs, published, subdir)
        found[subdir] = [made.records, made.kept, made.withheld, decisions(index), index.packages()]
        found[f"{subdir} served"] = served(blobs, published, subdir)
        assert shards_of(blobs, published, subdir) == found[f"{subdir} served"]
    return found


def by_name(blobs: MemoryBlobs, published: Published) -> dict[tuple[str, str], Any]:
    """What is served and decided, by subdir and name."""
    found: dict[tuple[str, str], Any] = {}
    for subdir in published.subdirs:
        for entry in served(blobs, published, subdir).values():
            found.setdefault((subdir, entry["name"]), []).append(entry)
        for decision in decisions(opened(blobs, published, subdir)):
            found.setdefault((subdir, decision.name), []).append(decision)
    return found


BASE = World()
COPYLEFT = {f"{kind}{at:02}" for kind in ("lib", "app") for at in range(0, len(NAMES), 3)}
LIB06_1 = next(r for r in BASE.records["noarch"] if r["name"] == "lib06")
CLEARED = {"noarch/lib07-1.0-0.conda": Assessment(True, "the code is not in it")}
LEFT = Finding(("CVE-2",), "high", 7.0, False, None, 50.0, (), "active", "exact", ())
ON_WINDOWS = Finding(("CVE-3",), "critical", 9.0, False, None, 50.0, (), "active", "exact", (), platforms=("windows",))
# Of builds: one clears a part, one states something where nothing was known, one knows what is none here, one is young.
STATED = {
    "noarch/lib07-1.0-0.conda": Assessment(True, "", (LEFT,)),
    "noarch/lib08-1.0-0.conda": Assessment(True, "", (LEFT,)),
    "noarch/lib03-1.0-0.conda": Assessment(True, ""),
    "linux-64/app03-1.0-0.conda": Assessment(True, "", (ON_WINDOWS,)),
    "noarch/lib05-3.0-0.conda": Assessment(True, ""),
    "noarch/app12-1.0-0.conda": Assessment(True, ""),
    "noarch/app10-1.0-0.conda": Assessment(True, "", (LEFT,)),  # all that there is of its name
}
# What changes, the names that are to be judged again (None: all), and those whose publication differs then.
CHANGES: dict[str, tuple[World, Iterable[str] | None, set[str]]] = {
    "nothing": (BASE, (), set()),
    "nothing, all judged": (BASE, None, set()),
    "a record that is banned": (BASE.with_record(record("lib01", "3.0")), ("lib01",), {"lib01", "app01"}),
    "what app06 needs is there no more": (BASE.without("lib06"), (), {"lib06"}),
    "a withheld record, and what needs it": (BASE.without("lib01"), (), {"lib01", "app01"}),
    "a first version that is admitted": (BASE.with_record(record("lib01", "0.1", license="MIT")), None, {"lib01", "app01"}),
    "a record of the older format": (BASE.with_record(record("old02", "3.0")), ("old02",), {"old02"}),
    "the older format is gone": (BASE.without("old01").without("old02").without("old03"), (), {"old01", "old02", "old03"}),
    "another file of that name": (BASE.with_record(LIB06_1 | {"size": 11}), ("lib06",), {"lib06"}),
    "a vulnerability": (
        replace(BASE, vulnerable=BASE.vulnerable | {("lib10", "1.0"), ("lib10", "2.0")}), ("lib10",), {"lib10", "app10"},
    ),
    "one vulnerability less": (replace(BASE, vulnerable=BASE.vulnerable - {("lib07", "1.0")}), ("lib07",), {"lib07"}),
    "a vulnerability that decides nothing": (
        replace(BASE, rules=(RULES[0], *RULES[2:]), vulnerable=BASE.vulnerable | {("lib11", "1.0")}),
        None,
        {"lib04", "lib07", "lib09", "app04"},
    ),
    "what an artifact states": (replace(BASE, builds=CLEARED), ("lib07",), {"lib07"}),
    "no rule": (
        replace(BASE, rules=()), None, {"lib01", "lib02", "lib04", "lib05", "lib07", "lib09", "app01", "app04", "old01", "old02"} | COPYLEFT,
    ),
    "no item": (replace(BASE, items=()), None, {"lib09", "app09", "app04"}),
    "time, before a verdict ends": (replace(BASE, now_ms=NOW_MS + 6 * DAY_MS - 1), (), set()),
    "time, when a verdict ends": (replace(BASE, now_ms=NOW_MS + 6 * DAY_MS), (), {"lib05"}),
    "time, when an exception ends": (replace(BASE, now_ms=NOW_MS + 12 * DAY_MS), (), {"lib05", "app04"}),
    "a rule on platforms": (
        replace(BASE, rules=(*RULES, PLATFORM)), None, {r["name"] for r in BASE.records["linux-64"]},
    ),
    "a rule on what is not assessed": (replace(BASE, rules=(*RULES, UNKNOWN)), ("lib15",), {"lib15"}),
    "an expression": (replace(BASE, rules=(*RULES, CEL)), ("app12",), {"app12"}),
    "a cooldown that lets fixes through": (
        replace(BASE, rules=(*RULES[:3], FIXES), vulnerable=BASE.vulnerable | {("lib05", "1.0"), ("lib05", "2.0")}),
        None,
        {"lib05"},
    ),
    "what artifacts state, in part": (
        replace(BASE, rules=(*RULES, CEL), builds=STATED), None, {"lib07", "lib08", "app10", "app12"},
    ),
    "no closure": (replace(BASE, closure=False), (), {"app01", "app04"}),
    "a subdir less": (replace(BASE, records={"noarch": BASE.records["noarch"]}), (), {r["name"] for r in BASE.records["linux-64"]}),
    "a subdir more": (
        replace(BASE, records={**BASE.records, "osx-64": [record("app30", depends=["lib01"])]}), (), {"app30"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("world", "rejudge", "differ"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("is_undone", [False, True], ids=["done", "undone"])
def test_one_change_gives_what_everything_anew_would_give(
    world: World, rejudge: Iterable[str] | None, differ: set[str], is_undone: bool
) -> None:
    blobs = MemoryBlobs()
    first, then = (world, BASE) if is_undone else (BASE, world)
    if is_undone and then.now_ms < first.now_ms:
        return  # a clock that jumps back brings no verdict of that day back
    earlier, policy, fields = asked_for(blobs, first, {})
    before = publish_all(blobs, earlier, policy, **fields)
    sources, policy, fields = asked_for(blobs, then, earlier, previous=maps_of(before), rejudge=rejudge)
    carried = publish_all(blobs, sources, policy, **fields)
    anew = publish_all(blobs, sources, policy, **fields | {"previous": {}, "rejudge": None})
    assert content(blobs, carried) == content(blobs, anew)
    old, new = by_name(blobs, before), by_name(blobs, carried)
    differing = {place for place in {*old, *new} if old.get(place) != new.get(place)}
    assert set(carried.changed_names) >= {name for subdir, name in differing if subdir in then.records}
    if not is_undone:  # what comes back is new, and has to wait
        assert {name for _, name in differing} == differ
    assert carried.unchanged == (maps_of(carried) == maps_of(before))


@pytest.mark.parametrize(("world", "rejudge", "_differ"), CHANGES.values(), ids=CHANGES)
def test_a_plan_foretells_what_publishing_then_withholds_and_releases(
    world: World, rejudge: Iterable[str] | None, _differ: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = MemoryBlobs()
    earlier, policy, fields = asked_for(blobs, BASE, {})
    before = publish_all(blobs, earlier, policy, **fields)
    sources, policy, fields = asked_for(blobs, world, earlier, previous=maps_of(before), rejudge=rejudge)
    stored = dict(blobs.data)
    planned = plan(blobs, request(sources, policy, **fields), maps_of(before))
    assert planned == plan(blobs, request(sources, policy, **fields | {"previous": {}}), maps_of(before))
    monkeypatch.setattr(publish, "PLAN_ITEMS_MAX", 2)
    bounded = plan(blobs, request(sources, policy, **fields), maps_of(before))
    assert blobs.data == stored
    after = publish_all(blobs, sources, policy, **fields)
    old, new = stops_of(blobs, before), stops_of(blobs, after)
    withheld = [item for place, item in sorted(new.items()) if place not in old]
    released = [item for place, item in sorted(old.items()) if place not in new and place[1] in sources]
    assert planned == Plan(
        withheld, released, len(withheld), len(released), stops_by_rule(withheld), stops_by_rule(released), after.counts
    )
    assert bounded == msgspec.structs.replace(planned, withheld=withheld[:2], released=released[:2])


def stops_of(blobs: MemoryBlobs, published: Published) -> dict[tuple[str, str, str], PlanItem]:
    """What is withheld, as a plan says it, by (name, subdir, file name)."""
    return {
        (d.name, subdir, d.fn): PlanItem(subdir, d.fn, d.name, d.version, d.build, d.action, d.reasons)
        for subdir in published.subdirs
        for d in decisions(opened(blobs, published, subdir), Action.stop)
    }


def stops_by_rule(items: Sequence[PlanItem]) -> dict[str, int]:
    """The number of items that each rule stops; what only warns does not count."""
    return dict(Counter(id for item in items for id in {r.rule_id for r in item.reasons if r.action is Action.stop}))


@pytest.mark.parametrize(("world", "_rejudge", "_differ"), CHANGES.values(), ids=CHANGES)
def test_a_file_that_is_judged_apart_is_judged_as_when_its_name_is_published(
    world: World, _rejudge: Iterable[str] | None, _differ: set[str]
) -> None:
    blobs = MemoryBlobs()
    sources, policy, fields = asked_for(blobs, replace(world, closure=False), {})
    published = publish_all(blobs, sources, policy, **fields)
    for subdir in sources:
        index = opened(blobs, published, subdir)
        for name in index.map.names:
            facts = list(index.facts(name))
            known = world.assess([Component(of.name, of.version, of.purls) for of in facts])
            cases = [
                RecordCase(of, assessment, world.builds.get(f"{subdir}/{of.fn}"))
                for of, assessment in zip(facts, known, strict=True)
            ]
            for decision in index.records(name):
                verdict = judge_apart(policy, decision.fn, cases, CHANNEL, world.now_ms)
                assert verdict is not None
                assert (verdict.action, verdict.reasons) == (decision.action, decision.reasons)
                if verdict.reasons or verdict.excepted:
                    assert (verdict.excepted, verdict.holds_until_ms) == (decision.excepted, decision.holds_until_ms)
            assert judge_apart(policy, f"not-{name}", cases, CHANNEL, world.now_ms) is None


def test_time_alone_brings_a_verdict_to_what_no_rule_touched_before() -> None:
    """Its records were served without a decision, so the bucket alone knows when to look again: at the first of them."""
    blobs = MemoryBlobs()
    late = record(
        "lib05", "4.0", timestamp=record("a")["timestamp"] + DAY_MS, indexed_timestamp=record("a")["timestamp"] + DAY_MS
    )
    world = replace(BASE.with_record(late), rules=(OLD,), items=())
    sources, policy, fields = asked_for(blobs, world, {})
    first = publish_all(blobs, sources, policy, **fields)
    begins_ms = record("a")["timestamp"] + 2260 * DAY_MS
    assert (first.counts.warned, first.holds_until_ms) == (0, begins_ms)
    for now_ms, warned, holds in (
        (begins_ms - 1, 0, begins_ms),
        (begins_ms, first.counts.records - 2, begins_ms + DAY_MS),
        (begins_ms + DAY_MS, first.counts.records - 1, NOW_MS + 2259 * DAY_MS),
    ):
        sources, policy, fields = asked_for(blobs, replace(world, now_ms=now_ms), sources)
        first = publish_all(blobs, sources, policy, **fields, previous=maps_of(first), rejudge=())
        assert (first.counts.warned, first.holds_until_ms) == (warned, holds)


def test_only_what_lies_in_a_bucket_with_a_name_in_question_is_judged_again() -> None:
    blobs = MemoryBlobs()
    sources, policy, fields = asked_for(blobs, BASE, {})
    before = publish_all(blobs, sources, policy, **fields)
    buckets = {subdir: opened(blobs, before, subdir).map for subdir in sources}
    for names in ({"lib00"}, {"lib03", "app15"}, {"nobody"}):
        policy.asked.clear()
        publish_all(blobs, sources, policy, **fields, previous=maps_of(before), rejudge=names)
        near = {
            name
            for found in buckets.values()
            for bucket in found.buckets
            for name in found.names[bucket.first : bucket.end]
            if not names.isdisjoint(found.names[bucket.first : bucket.end])
        }
        assert names - {"nobody"} <= policy.asked == near < policy.asked | set(NAMES)
