"""Publish: what is withheld is absent everywhere, what did not change stays, the closure explains itself."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
import rattler
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Assessment, Finding
from antivenom.core.matching.build_statements import BUILD_STATEMENT
from antivenom.core.policy.compile import Action, CompiledPolicy, Verdict, compile_policy, parse_policy
from antivenom.core.policy.rules.base import NameColumns
from antivenom.core.publication.publication_index import PublicationIndex, referenced_keys
from antivenom.core.publishing.publish import Published, plan, publish
from antivenom.core.source.packs import Location, read_many
from tests.core.index_samples import (
    NOW_MS,
    FakePolicy,
    MemoryBlobs,
    channel,
    decisions,
    document,
    ingest,
    opened,
    publish_all,
    record,
    request,
    served,
    shards_of,
    stop,
    withheld,
)


def published_shard(index: PublicationIndex, name: str) -> Location | None:
    return index.shard_location(index.map.shard_key(index.map.names.index(name)))


class ReadBlobs(MemoryBlobs):
    """Remembers what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: set[tuple[str, int, int]] = set()

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        self.read.add((key, offset, length))
        return super().get_range(key, offset, length)


def test_withheld_record_is_absent_from_repodata_and_shards() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a"), record("a", "2.0"), record("b")])
    published = publish_all(blobs, sources, stop("a-2.0-0.conda"))
    assert sorted(served(blobs, published)) == ["a-1.0-0.conda", "b-1.0-0.conda"]
    assert served(blobs, published) == shards_of(blobs, published)
    assert (published.counts.records, published.counts.kept, published.counts.withheld) == (3, 2, 1)
    [decision] = withheld(opened(blobs, published))
    assert (decision.fn, decision.version, decision.reasons[0].rule_id) == ("a-2.0-0.conda", "2.0", "banned")


def test_a_name_that_is_wholly_withheld_leaves_the_shard_index() -> None:
    blobs = MemoryBlobs()
    published = publish_all(blobs, channel(blobs, noarch=[record("a"), record("b")]), stop("a"))
    index = opened(blobs, published)
    assert published_shard(index, "a") is None
    assert published_shard(index, "b") is not None
    assert index.allowed_version("a") is None


def test_shards_without_withheld_records_are_the_sources_own_bytes() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a"), record("b")])
    plain = opened(blobs, publish_all(blobs, sources, stop()))
    filtered = opened(blobs, publish_all(blobs, sources, stop("a")))
    assert published_shard(filtered, "b") == published_shard(plain, "b")


def test_a_warning_is_served_and_told() -> None:
    blobs = MemoryBlobs()
    published = publish_all(blobs, channel(blobs, noarch=[record("a")]), FakePolicy(warns=lambda facts: True))
    index = opened(blobs, published)
    assert list(served(blobs, published)) == ["a-1.0-0.conda"]
    assert [decision.action for decision in decisions(index)] == [Action.warn]
    assert (index.counts.kept, index.counts.warned) == (1, 1)


def test_publishing_again_unchanged_writes_nothing_and_judges_nothing() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a"), record("b", depends=["a"])])
    first = publish_all(blobs, sources, stop("a"))
    before = dict(blobs.data)
    previous = {subdir: made.publication for subdir, made in first.subdirs.items()}
    policy = stop("a")
    again = publish_all(blobs, sources, policy, previous=previous, rejudge=(), now_ms=NOW_MS + 1)
    assert again.unchanged
    assert again.changed_names == []
    assert policy.judged == []
    assert blobs.data == before
    assert again.counts == first.counts


def test_an_edit_writes_only_the_buckets_it_touches() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record(f"name{i}") for i in range(200)])
    first = publish_all(blobs, sources, stop())
    previous = {subdir: made.publication for subdir, made in first.subdirs.items()}
    second = publish_all(blobs, sources, stop("name5"), previous=previous)
    assert second.changed_names == ["name5"]
    one, two = opened(blobs, first).map, opened(blobs, second).map
    moved = [a for a, b in zip(one.buckets, two.buckets, strict=True) if a.pieces != b.pieces]
    assert len(moved) == 1
    third = publish_all(blobs, sources, stop(), previous={"noarch": second.subdirs["noarch"].publication})
    assert third.subdirs["noarch"].monolith == first.subdirs["noarch"].monolith
    assert third.changed_names == ["name5"]


def test_what_no_rule_looks_at_is_served_as_it_is_now() -> None:
    blobs = MemoryBlobs()
    source: str | None = None
    previous: dict[str, str] = {}
    # Facts and dependencies stay the same to the byte, and so do the packs that hold them.
    for wanted in (["x 1"], ["x 2"], ["x 3"]):
        source = ingest(blobs, document(record("a", constrains=wanted)), previous=source)
        made = publish_all(blobs, {"noarch": source}, stop(), previous=previous, rejudge=["a"])
        assert served(blobs, made)["a-1.0-0.conda"]["constrains"] == wanted
        assert shards_of(blobs, made) == served(blobs, made)
        previous = {"noarch": made.subdirs["noarch"].publication}


def test_a_small_change_reads_no_decisions_but_those_that_hang_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antivenom.core.source.packs._GAP_BYTES", 0)  # or all of so small a pack would be read at once
    blobs = ReadBlobs()
    records = [record(f"lib{i}") for i in range(60)] + [record(f"app{i}", depends=[f"lib{i}"]) for i in range(60)]
    sources = channel(blobs, noarch=records)
    banned = {f"lib{i}" for i in range(0, 60, 2)}
    first = publish_all(blobs, sources, stop(*banned))
    assert first.counts.by_gate == {"packages": 30, "closure": 30}
    previous = {"noarch": first.subdirs["noarch"].publication}
    rows = {row.decisions for row in opened(blobs, first).map.buckets if row.decisions_digest}
    blobs.read.clear()
    second = publish_all(blobs, sources, stop(*banned - {"lib4"}, "lib5"), previous=previous)
    assert second.changed_names == ["app4", "app5", "lib4", "lib5"]
    assert len(rows & blobs.read) <= 4 < len(rows)


def test_frames_that_lie_near_each_other_are_read_at_once_and_in_order() -> None:
    blobs = ReadBlobs()
    blobs.put("pack/a", bytes(range(200)) + bytes(1 << 20) + b"end")
    near = [Location("pack/a", 0, 3), Location("pack/a", 100, 2), Location("pack/a", 150, 0)]
    far = [Location("pack/a", 200 + (1 << 20), 3), Location("pack/a", 7, 1)]
    assert list(read_many(blobs, near + far)) == [b"\0\1\2", b"de", b"", b"end", b"\7"]
    assert blobs.read == {("pack/a", 0, 150), ("pack/a", 200 + (1 << 20), 3), ("pack/a", 7, 1)}


def test_a_name_that_ends_in_a_plus_keeps_its_trigger_ids() -> None:
    blobs = MemoryBlobs()
    policy = compile_policy(
        parse_policy(
            "name: p\nrules:\n  - {id: ban, gate: packages, trigger: names, action: stop, params: {deny: ['g*']}}\n"
        )
    )
    made = publish_all(blobs, channel(blobs, noarch=[record("g++")]), policy)
    [decision] = withheld(opened(blobs, made))
    assert decision.reasons[0].trigger_id == "g*+g++"


def test_time_alone_judges_again_when_a_verdict_ends() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a")])
    first = publish_all(blobs, sources, FakePolicy(lambda facts: True, holds_until_ms=NOW_MS + 10))
    assert first.holds_until_ms == NOW_MS + 10
    previous = {"noarch": first.subdirs["noarch"].publication}
    early = publish_all(blobs, sources, stop(), previous=previous, rejudge=(), now_ms=NOW_MS + 9)
    assert early.unchanged
    late = publish_all(blobs, sources, stop(), previous=previous, rejudge=(), now_ms=NOW_MS + 10)
    assert list(served(blobs, late)) == ["a-1.0-0.conda"]


@settings(deadline=None, max_examples=25)  # every example publishes or compresses several times
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.sampled_from(["1", "2"]),
            st.lists(st.sampled_from(["a", "b 1", "c >=2", "d"])),
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda item: item[:2],
    ),
    st.sets(st.sampled_from("abcd")),
    st.sets(st.sampled_from("abcd")),
    st.randoms(),
)  # fmt: skip
def test_order_never_matters_and_more_stops_never_admit_more(
    rows: list[tuple[str, str, list[str]]], some: set[str], more: set[str], random: Any
) -> None:
    blobs = MemoryBlobs()
    records = [record(name, version, depends=depends) for name, version, depends in rows]
    sources = channel(blobs, noarch=records)
    random.shuffle(records)
    shuffled = channel(blobs, noarch=records)
    fewer = set(served(blobs, publish_all(blobs, sources, stop(*some))))
    assert fewer == set(served(blobs, publish_all(blobs, shuffled, stop(*some))))
    assert set(served(blobs, publish_all(blobs, sources, stop(*some, *more)))) <= fewer
    again = publish_all(blobs, sources, stop(*some, *more))
    first = publish_all(blobs, sources, stop(*some))
    previous = {"noarch": first.subdirs["noarch"].publication}
    step = publish_all(blobs, sources, stop(*some, *more), previous=previous)
    assert served(blobs, step) == served(blobs, again)
    assert step.counts == again.counts


class JudgesEach(CompiledPolicy):
    """A policy that has every record judged."""

    def touched_positions(self, names: NameColumns, *_arguments: object) -> Iterable[int]:
        return range(len(names.fns))


RULES = [
    "{id: agpl, gate: licenses, trigger: license, action: stop, params: {families: [agpl]}}",
    "{id: cooldown, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7}}",
    "{id: fixes, gate: metadata, trigger: age, action: stop, params: {less_than_days: 40, unless_fix: true}}",
    "{id: old, gate: metadata, trigger: age, action: warn, params: {older_than_days: 400}}",
    "{id: large, gate: metadata, trigger: size, action: warn, params: {more_than_mb: 50}}",
    "{id: unsigned, gate: metadata, trigger: signed, action: warn}",
    "{id: platform, gate: metadata, trigger: subdir, action: stop, params: {deny: [linux-64]}}",
    '{id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["a 2.0", "*[build=1_1]"]}}',
    '{id: names, gate: packages, trigger: names, action: warn, params: {deny: ["b*"]}}',
    '{id: bad, gate: vulnerabilities, trigger: package, action: stop, params: {severity: ">= high"}}',
    "{id: unknown, gate: vulnerabilities, trigger: not_assessed, action: warn}",
    "{id: cel, gate: expression, trigger: cel, action: stop, params: {expr: \"record.depends.exists(d, d == 'a')\"}}",
]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from(["a", "b", "bb", "c"]),
                "version": st.sampled_from(["1.0", "2.0"]),
                "build": st.sampled_from(["0_0", "1_1"]),
                "license": st.sampled_from(["MIT", "AGPL-3.0-only", "GPL-3.0-only", ...]),
                "size": st.sampled_from([1, 60_000_000]),
                "timestamp": st.sampled_from([NOW_MS - 86_400_000 * days for days in (1, 30, 600)]),
                "depends": st.sampled_from([[], ["a"], ["c >=1"]]),
            }
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda entry: (entry["name"], entry["version"], entry["build"]),
    ),
    st.sets(st.sampled_from(RULES), min_size=1, max_size=4),
    st.sets(st.sampled_from(["a", "b", "c"])),
)
def test_judging_one_record_for_all_that_agree_says_the_same_as_judging_each(
    rows: list[dict[str, Any]], rules: set[str], vulnerable: set[str]
) -> None:
    finding = Finding(("CVE-1",), "critical", 9.8, False, None, 90.0, (), "active", "exact", ())

    def assess(components: Sequence[Any]) -> list[Assessment | None]:
        found = Assessment(True, "", (finding,))
        return [found if c[0] in vulnerable and c[1] == "1.0" else Assessment(c[0] != "bb", "") for c in components]

    text = "name: p\nrules:\n" + "".join(f"  - {rule}\n" for rule in sorted(rules))
    text += 'allowlist:\n  - {id: a1, gate: "*", trigger_id: "*", owner: o, reason: r, match: "b 2.0"}\n'
    policy = compile_policy(parse_policy(text))
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record(**row) for row in rows])
    each = publish_all(blobs, sources, JudgesEach(policy.policy), assess=assess)
    once = publish_all(blobs, sources, policy, assess=assess)
    assert once.counts == each.counts
    assert once.subdirs["noarch"].publication == each.subdirs["noarch"].publication


def test_a_plan_says_what_publishing_would_change_and_writes_nothing() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a"), record("b"), record("c", depends=["b"])])
    published = publish_all(blobs, sources, stop("a"))
    before = dict(blobs.data)
    served = {"noarch": published.subdirs["noarch"].publication}
    found = plan(blobs, request(sources, stop("b"), previous=served), served)
    assert [item.fn for item in found.withheld] == ["b-1.0-0.conda", "c-1.0-0.conda"]
    assert [item.fn for item in found.released] == ["a-1.0-0.conda"]
    assert found.withheld_by_rule == {"banned": 1, "closure": 1}
    assert found.counts.kept == 1
    assert blobs.data == before


def monolith_of(blobs: MemoryBlobs, published: Published) -> dict[str, Any]:
    return msgspec.json.decode(zstandard.decompress(blobs.get(published.subdirs["noarch"].monolith)))  # type: ignore[no-any-return]


def test_the_whole_index_says_what_the_upstream_says_of_itself_and_which_subdir_it_is() -> None:
    blobs = MemoryBlobs()
    text = document(
        record("a"), record("b"), legacy=[record("c"), record("d")], removed=["x-1.0-0.conda"],
        info={"subdir": "linux-64", "arch": "x86_64", "base_url": "https://elsewhere/"},
    )  # fmt: skip
    published = publish_all(blobs, {"noarch": ingest(blobs, text)}, stop("b", "c"))
    found = monolith_of(blobs, published)
    assert list(found) == ["info", "packages", "packages.conda", "removed", "repodata_version"]
    assert (found["info"]["subdir"], found["info"]["arch"], found["removed"]) == ("noarch", "x86_64", ["x-1.0-0.conda"])
    assert (list(found["packages"]), list(found["packages.conda"])) == (["d-1.0-0.tar.bz2"], ["a-1.0-0.conda"])
    assert found["repodata_version"] == 1
    made = published.subdirs["noarch"]
    data = blobs.get(made.monolith)
    assert (made.monolith_bytes, made.monolith_text_bytes) == (len(data), zstandard.frame_content_size(data))


def test_a_subdir_without_records_is_published_empty() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[])
    published = publish_all(blobs, sources, stop())
    assert (served(blobs, published), opened(blobs, published).packages(), published.counts.records) == ({}, [], 0)
    again = publish_all(blobs, sources, stop(), previous={"noarch": published.subdirs["noarch"].publication})
    assert (again.unchanged, again.subdirs) == (True, published.subdirs)


def test_a_file_that_is_named_otherwise_than_its_record_is_found_by_both_names() -> None:
    blobs = MemoryBlobs()
    odd = record("a") | {"name": "b"}
    text = document(record("c")).replace(
        b'"packages.conda":{', b'"packages.conda":{"a-1.0-0.conda":%b,' % msgspec.json.encode(odd)
    )
    published = publish_all(blobs, {"noarch": ingest(blobs, text)}, stop("b"))
    index = opened(blobs, published)
    decision = index.decision("a-1.0-0.conda")
    assert decision is not None
    assert (decision.name, decision.action) == ("b", Action.stop)
    assert list(served(blobs, published)) == ["c-1.0-0.conda"]


@pytest.mark.parametrize("enabled", [True, False])
def test_publishing_leaves_the_collector_of_garbage_as_it_was(enabled: bool) -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a")])
    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        publish_all(blobs, sources, stop())
        assert gc.isenabled() == enabled
        with pytest.raises(KeyError):
            publish_all(MemoryBlobs(), sources, stop())
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_the_shard_index_is_dated_and_stays_as_long_as_it_lists_the_same() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a"), record("b")])
    first = publish_all(blobs, sources, stop())
    previous = {"noarch": first.subdirs["noarch"].publication}
    index = opened(blobs, first)
    listing = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(blobs.get_range(*index.shards_index)))
    assert listing["info"]["created_at"] == "2026-11-21T00:00:00Z"
    later = {"previous": previous, "now_ms": NOW_MS + 86_400_000}
    warned = publish_all(blobs, sources, FakePolicy(warns=lambda facts: True), **later)
    assert (warned.unchanged, opened(blobs, warned).shards_index) == (False, index.shards_index)
    banned = publish_all(blobs, sources, stop("a"), **later)
    listing = msgspec.msgpack.decode(
        zstandard.ZstdDecompressor().decompress(blobs.get_range(*opened(blobs, banned).shards_index))
    )
    assert (list(listing["shards"]), listing["info"]["created_at"]) == (["b"], "2026-11-22T00:00:00Z")


def test_a_publication_without_a_whole_index_gets_one_when_it_is_asked_for() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a"), record("b")])
    bare = publish_all(blobs, sources, stop("a"), monolith=False)
    previous = {"noarch": bare.subdirs["noarch"].publication}
    again = publish_all(blobs, sources, stop("a"), monolith=False, previous=previous, rejudge=())
    assert again.unchanged
    whole = publish_all(blobs, sources, stop("a"), previous=previous, rejudge=())
    assert (whole.unchanged, whole.changed_names, list(served(blobs, whole))) == (False, [], ["b-1.0-0.conda"])
    kept = publish_all(
        blobs, sources, stop("a"), monolith=False, previous={"noarch": whole.subdirs["noarch"].publication}, rejudge=()
    )
    assert (kept.unchanged, kept.subdirs) == (True, whole.subdirs)


@pytest.mark.parametrize("closure", [True, False])
def test_progress_is_told_by_phase_and_subdir(closure: bool) -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, linux_64=[record("a"), record("b")], noarch=[record("c")])
    told: list[tuple[str, str, int, int]] = []
    made = publish(
        blobs, request(sources, stop(), closure=closure), on_progress=lambda *facts: told.append(tuple(facts))
    )
    buckets = {subdir: len(opened(blobs, made, subdir).map.buckets) for subdir in sources}
    judged = [
        ("judge", "linux-64", 0, 2),
        ("judge", "linux-64", 2, 2),
        ("judge", "noarch", 0, 1),
        ("judge", "noarch", 1, 1),
    ]
    written = [("write", subdir, 0, buckets[subdir]) for subdir in sources]
    assert told == [*judged, *([("closure", "", 0, 1)] if closure else []), *written]
    assert all(of.monolith for of in made.subdirs.values())  # unless somebody says otherwise
    bare = publish_all(blobs, sources, stop(), monolith=False)
    assert [(of.monolith, of.monolith_bytes) for of in bare.subdirs.values()] == [("", 0)] * 2


def test_severities_are_counted_and_shown_by_name() -> None:
    finding = Finding(("CVE-1",), "critical", 9.8, False, None, 90.0, (), "active", "exact", ())
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a"), record("a", "2.0"), record("b")])
    asked: list[Any] = []

    def assess(components: Sequence[Any]) -> list[Assessment | None]:
        asked.extend(components)
        return [Assessment(True, "", (finding,)) if c[:2] == ("a", "1.0") else None for c in components]

    published = publish_all(blobs, sources, stop("a-1.0-0.conda"), assess=assess)
    assert sorted(asked) == [("a", "1.0", ()), ("a", "2.0", ()), ("b", "1.0", ())]
    assert published.counts.by_severity == published.counts.withheld_by_severity == {"critical": 1}
    summary = opened(blobs, published).packages()[0]
    assert (summary.severity.name, summary.kept_severity.name) == ("critical", "unknown")
    assert (summary.versions, summary.records, summary.withheld, summary.latest) == (2, 2, 1, "2.0")
    cleared = {"noarch/a-1.0-0.conda": Assessment(True, "patched")}
    curated = publish_all(blobs, sources, stop(), assess=assess, build_assessments=cleared)
    assert curated.counts.by_severity == {}


def test_what_a_builds_own_statement_spares_is_said_with_the_reason_that_it_would_have() -> None:
    class Strict(FakePolicy):
        def judge(self, record: Any, assessment: Assessment | None, channel: Any, now_ms: int) -> Verdict:
            self.stops = lambda facts: bool(assessment and assessment.findings)
            return super().judge(record, assessment, channel, now_ms)

    finding = Finding(("CVE-1",), "critical", 9.8, False, None, 90.0, (), "active", "exact", ())
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a", build="0"), record("a", build="1")])
    published = publish_all(
        blobs,
        sources,
        Strict(),
        assess=lambda components: [Assessment(True, "", (finding,)) for _ in components],
        build_assessments={"noarch/a-1.0-0.conda": Assessment(True, "")},
    )
    spared, stopped = opened(blobs, published).records("a")
    assert (spared.action, stopped.action) == (Action.go, Action.stop)
    assert [(by, reason.rule_id) for by, reason in spared.excepted] == [(BUILD_STATEMENT, "banned")]
    assert (published.counts.withheld, published.counts.excepted) == (1, 1)


def test_a_finding_of_another_platform_stops_nothing_on_a_subdir() -> None:
    finding = Finding(("CVE-1",), "critical", 9.8, False, None, 90.0, (), "active", "exact", (), platforms=("windows",))

    def assess(components: Sequence[Any]) -> list[Assessment | None]:
        return [Assessment(True, "", (finding,)) for _ in components]

    blobs = MemoryBlobs()
    sources = channel(blobs, **{subdir: [record("a", subdir=subdir)] for subdir in ("linux-64", "noarch", "win-64")})
    text = "name: p\nrules:\n  - {id: bad, gate: vulnerabilities, trigger: package, action: stop, params: {severity: '>=high'}}"
    published = publish_all(blobs, sources, compile_policy(parse_policy(text)), assess=assess)
    kept = {subdir: len(served(blobs, published, subdir)) for subdir in sources}
    assert kept == {"linux-64": 1, "noarch": 0, "win-64": 0}  # noarch may be installed anywhere
    linux = opened(blobs, published, "linux-64").packages()[0]
    assert linux.severity.name == "unknown"


def test_the_reader_explains_files_and_specs() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a"), record("a", "2.0", license="MIT"), record("b")])
    index = opened(blobs, publish_all(blobs, sources, stop("a-2.0-0.conda")))
    decision = index.decision("a-2.0-0.conda")
    assert decision is not None
    assert (decision.action, decision.sha256) == (Action.stop, record("a", "2.0")["sha256"])
    kept = index.decision("b-1.0-0.conda")
    assert kept is not None
    assert (kept.action, kept.reasons, kept.size_bytes) == (Action.go, (), 10)
    assert index.decision("a-3.0-0.conda") is None
    assert index.decision("../../etc/passwd") is None
    assert [d.fn for d in index.explain("a >=2")] == ["a-2.0-0.conda"]
    assert [d.fn for d in index.explain("b-1.0-0.conda")] == ["b-1.0-0.conda"]
    assert [d.action for d in index.records("A")] == [Action.go, Action.stop]
    assert index.allowed_version("a") == "1.0"
    assert index.shard_location("zz") is None
    with pytest.raises(InvalidInputError):
        index.explain("][")


def test_every_pack_a_map_needs_is_referenced() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, noarch=[record("a"), record("b")])
    published = publish_all(blobs, sources, stop("a"))
    made = published.subdirs["noarch"]
    needed = referenced_keys(blobs, made.publication) | {made.publication, made.monolith}
    lean = MemoryBlobs()
    lean.data = {key: blobs.data[key] for key in needed}
    index = opened(lean, published)
    assert len(withheld(index)) == 1
    assert served(lean, published) == shards_of(lean, published)
    assert index.records("a")
    assert referenced_keys(blobs, made.source) <= set(blobs.data)


def test_py_rattler_reads_the_monolith_and_the_shards(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    records = [record(f"name{i}", f"{j}.0", depends=["name0 >=1"] if i else []) for i in range(60) for j in range(1, 4)]
    records = [r | {"subdir": "linux-64"} for r in records]
    published = publish_all(blobs, channel(blobs, linux_64=records, noarch=[]), stop("name7", "name8-3.0-0.conda"))
    root = tmp_path / "chan"
    for subdir, made in published.subdirs.items():
        folder = root / subdir
        (folder / "shards").mkdir(parents=True)
        (folder / "repodata.json.zst").write_bytes(blobs.get(made.monolith))
        index = opened(blobs, published, subdir)
        (folder / "repodata.json").write_bytes(zstandard.decompress(blobs.get(index.monolith)))
        listing = zstandard.ZstdDecompressor().decompress(blobs.get_range(*index.shards_index))
        (folder / "repodata_shards.msgpack.zst").write_bytes(blobs.get_range(*index.shards_index))
        for key in msgspec.msgpack.decode(listing)["shards"].values():
            location = index.shard_location(key)
            assert location is not None
            (folder / "shards" / f"{key.hex()}.msgpack.zst").write_bytes(blobs.get_range(*location))
    sparse = rattler.SparseRepoData(
        rattler.Channel(root.as_uri()), "linux-64", str(root / "linux-64" / "repodata.json")
    )
    assert len(sparse.package_names()) == 59
    expected = {r["name"] for r in records} - {"name7"}
    handler = partial(QuietHandler, directory=str(root.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for source in ("shards", "zst"):
            if source == "zst":
                for subdir in ("linux-64", "noarch"):
                    (root / subdir / "repodata_shards.msgpack.zst").unlink()
                    (root / subdir / "repodata.json").unlink()
            url = rattler.Channel(f"http://127.0.0.1:{server.server_port}/{root.name}")
            gateway = rattler.Gateway(cache_dir=tmp_path / f"cache-{source}")
            query = gateway.query([url], ["linux-64", "noarch"], sorted(expected), recursive=False)
            fns = {entry.file_name for listing in asyncio.run(query) for entry in listing}
            assert len(fns) == 60 * 3 - 3 - 1
            assert "name8-3.0-0.conda" not in fns
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder without printing every request."""

    def log_message(self, format: str, *args: Any) -> None:
        return
