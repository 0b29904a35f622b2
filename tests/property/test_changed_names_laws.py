"""Laws of carrying on: whatever changed, a publication made from the previous one is the one made from nothing."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antivenom.core.conda.records import ChannelFacts
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange, Severity
from antivenom.core.matching.build_statements import Curated
from antivenom.core.matching.compile_index import Exploited, build_index
from antivenom.core.matching.identity import NameMaps
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publishing.channel_findings import ChannelFindings, decode_findings
from antivenom.core.source.ingest import ingest_monolith
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.publications.build_publication import BuildRequest, Built, build_publication, plan_publication
from antivenom.server.publications.build_statements import StoredBuildStatements
from tests.core.index_samples import NOW_MS, document, record

DAY_MS = 86_400_000
NAMES = ("a", "b", "c", "d", "unheard")
VERSIONS = ("1.0", "2.0", "3.0", "nonumber")
MAPS = NameMaps({name: {"": {"pypi": (name,)}} for name in NAMES[:3]})
RULES = (
    "{id: bad, gate: vulnerabilities, trigger: package, action: stop, params: {severity: '>= high'}}",
    "{id: exploited, gate: vulnerabilities, trigger: package, action: warn, params: {kev: true}}",
    "{id: unknown, gate: vulnerabilities, trigger: not_assessed, action: warn}",
    "{id: cleared, gate: vulnerabilities, trigger: package, action: warn, params: {status: [cleared]}}",
    "{id: none, gate: expression, trigger: cel, action: warn, params: {expr: 'findings.size() == 0'}}",
    "{id: agpl, gate: licenses, trigger: license, action: stop, params: {families: [agpl]}}",
    "{id: cooldown, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7}}",
    "{id: fixes, gate: metadata, trigger: age, action: stop, params: {less_than_days: 9, unless_fix: true}}",
    "{id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ['b 2.0', 'd']}}",
    "{id: cel, gate: expression, trigger: cel, action: warn, params: {expr: \"record.depends.exists(d, d == 'a')\"}}",
)
ITEMS = (
    "{id: i1, gate: vulnerabilities, trigger_id: 'CVE-2019-0001+a', owner: o, reason: r}",
    "{id: i2, gate: '*', trigger_id: '*', match: 'b', owner: o, reason: r}",
)


@dataclass(frozen=True)
class Step:
    records: tuple[tuple[Any, ...], ...]
    advisories: tuple[tuple[str, str, int], ...]
    exploited: bool
    rules: tuple[str, ...]
    items: tuple[str, ...]
    curated: bool
    days: int


steps = st.builds(
    Step,
    st.lists(
        st.tuples(
            st.sampled_from(NAMES), st.sampled_from(VERSIONS), st.sampled_from(("MIT", "AGPL-3.0-only")),
            st.sampled_from(((), ("a",), ("b >=2",))), st.sampled_from((1, 30)),
        ),
        min_size=2, max_size=8, unique_by=lambda row: row[:2],
    ).map(tuple),
    st.lists(
        st.tuples(st.sampled_from(NAMES[:4]), st.sampled_from(VERSIONS[1:3]), st.integers(1, 4)), min_size=1, max_size=3
    ).map(tuple),
    st.booleans(),
    st.lists(st.sampled_from(RULES), max_size=4, unique=True).map(tuple),
    st.lists(st.sampled_from(ITEMS), max_size=2, unique=True).map(tuple),
    st.booleans(),
    st.sampled_from((0, 10)),
)  # fmt: skip


def knowledge(step: Step) -> bytes:
    advisories = [
        Advisory(
            id=f"CVE-2019-000{at}",
            source="osv",
            severity=Severity(severity),
            published="2019-01-01T00:00:00Z",
            affected=(
                AffectedPackage(
                    "pypi", name, (AffectedRange("pep440", fixed=fixed),), platforms=("windows",) if at == 2 else ()
                ),
            ),
        )
        for at, (name, fixed, severity) in enumerate(step.advisories, 1)
    ]
    return build_index(advisories, {"CVE-2019-0001": Exploited(0.5, kev=step.exploited)}, MAPS)


def request(blobs: StoreBlobs, step: Step, before: dict[str, str], day: int) -> tuple[BuildRequest, dict[str, str]]:
    """What is asked of a step, and its source maps."""
    sources = {}
    for subdir in ("noarch", "linux-64"):
        rows = step.records if subdir == "noarch" else step.records[::2]
        records = [
            record(name, version, license=licence, depends=depends, indexed_timestamp=NOW_MS - days * DAY_MS)
            for name, version, licence, depends, days in rows
        ]
        made = ingest_monolith(
            blobs, document(*records), subdir=subdir, now_ms=NOW_MS + day, previous=before.get(subdir)
        )
        sources[subdir] = made.source
    index = knowledge(step)
    blobs.put(f"knowledge/{hash(index)}", index)
    policy = f"name: p\nrules: [{', '.join(step.rules)}]\nallowlist: [{', '.join(step.items)}]\n"
    statuses = msgspec.msgpack.encode({"CVE-2019-0001": Curated("cleared")})
    name, version = step.records[0][:2]
    sha256 = bytes.fromhex(record(name, version)["sha256"])
    statements = (StoredBuildStatements(f"{name}-{version}-0.conda", sha256, statuses),) if step.curated else ()
    return BuildRequest(
        sources=sources,
        channel=ChannelFacts("main", is_mirror=True),
        policy_text=policy,
        knowledge_key=f"knowledge/{hash(index)}",
        now_ms=NOW_MS + day * DAY_MS,
        build_statements=statements,
    ), sources


def content(blobs: StoreBlobs, built: Built) -> tuple[Any, ...]:
    """Everything that a publication says."""
    maps = [PublicationIndex.open(blobs, s.publication) for _, s in sorted(built.published.subdirs.items())]
    decisions = [index.records(name) for index in maps for name in index.map.names]
    summaries = [index.packages() for index in maps]
    found: ChannelFindings = decode_findings(blobs.get(built.findings_key))
    components = [(c.component, c.assessment.findings) for c in found.components]
    shards = [index.map.shard_keys for index in maps]
    return (
        decisions,
        summaries,
        components,
        found.reasons(),
        built.counts,
        shards,
        built.published.holds_until_ms,
    )


aspects = st.sets(st.sampled_from([field.name for field in fields(Step)]), min_size=1, max_size=2)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.lists(st.tuples(aspects, steps), min_size=1, max_size=4))
def test_a_publication_from_the_previous_one_says_what_one_from_nothing_says(
    first: Step, changes: list[tuple[set[str], Step]]
) -> None:
    given_steps = [first]
    for changed, other in changes:
        given_steps.append(replace(given_steps[-1], **{name: getattr(other, name) for name in changed}))
    with tempfile.TemporaryDirectory() as folder:
        blobs = StoreBlobs(BlobStore.open(folder))
        previous: dict[str, str] = {}
        findings = None
        sources: dict[str, str] = {}
        day = 0
        for step in given_steps:
            day += step.days  # a clock that jumps back brings no verdict of that day back
            asked, sources = request(blobs, step, sources, day)
            going_on = msgspec.structs.replace(asked, previous=previous, previous_findings=findings)
            planned = plan_publication(folder, going_on)
            assert planned == plan_publication(folder, msgspec.structs.replace(going_on, previous_findings=None))
            incremental = build_publication(folder, going_on)
            assert planned.counts == incremental.published.counts
            assert content(blobs, incremental) == content(blobs, build_publication(folder, asked))
            previous = {subdir: made.publication for subdir, made in incremental.published.subdirs.items()}
            findings = incremental.findings_key
