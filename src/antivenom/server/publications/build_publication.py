"""Builds a publication in a child process: matches, judges, propagates, writes blobs. No database, no network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec

from antivenom.core.conda.records import ChannelFacts
from antivenom.core.errors import InvalidInputError, LostBlobError
from antivenom.core.matching.advisories import Assessment
from antivenom.core.matching.match import MatchIndex
from antivenom.core.policy.compile import Policy, compile_policy, parse_policy
from antivenom.core.publication.publication_index import referenced_keys
from antivenom.core.publication.publication_map import UnreadablePublicationError, load_publication
from antivenom.core.publishing.changed_names import all_names, changed_names, edited_names
from antivenom.core.publishing.channel_findings import (
    ChannelAssessor,
    ChannelFindings,
    ComponentFindings,
    ComponentIgnored,
    IncrementalAssessor,
    PublicationBasis,
    decode_findings,
    differing_names,
    encode_findings,
)
from antivenom.core.publishing.publish import Plan, Published, plan, publish
from antivenom.core.publishing.request import PublishRequest
from antivenom.core.source.ingest import without_gc
from antivenom.core.source.packs import IndexBlobs, content_key
from antivenom.core.source.source_map import Component, iterate_components
from antivenom.knowledge import built_in
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.cpu_meter import CpuMeter
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.publications.build_statements import StoredBuildStatements, assess_builds, author_of
from antivenom.server.publications.counts import PublicationCounts

EMPTY_POLICY = Policy(name="none")


class BuildRequest(msgspec.Struct, frozen=True):
    """Everything that decides a publication, as keys and texts: it goes to another process.

    `previous_findings`: key of the findings of the publication `previous`; None judges everything.
    """

    sources: dict[str, str]
    channel: ChannelFacts
    policy_text: str | None
    knowledge_key: str | None
    now_ms: int
    closure: bool = True
    previous: dict[str, str] = {}
    previous_findings: str | None = None
    mapping_channel: str = ""
    build_statements: tuple[StoredBuildStatements, ...] = ()  # those that count
    expressions_max_s: float = 30.0
    """CPU that the policy's expressions may take, all records together."""


class Built(msgspec.Struct, frozen=True):
    """The result of a build. `found`: the components with findings that the previous publication had none of."""

    published: Published
    findings_key: str
    found: list[ComponentFindings]
    counts: PublicationCounts


@without_gc()
def build_publication(
    store_url: str,
    request: BuildRequest,
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Built:
    """Make the maps of a publication and write their blobs.

    Names are judged again only where their records, what is known of them, or the rules that touch them differ from
    those of the previous publication.
    """
    store = BlobStore.open(store_url)
    return _build(StoreBlobs(store), without_lost(store, request), on_progress)


def without_lost(store: BlobStore, request: BuildRequest) -> BuildRequest:
    """The request, without the previous publication if that cannot be built on.

    Most of a publication is carried over unread from the previous one and from the source maps, so what these name is
    checked first. A previous publication that another release wrote, or that lacks a blob, is replaced as a whole.

    Raises:
        LostBlobError: A source map, or what it names, is missing or damaged.
    """
    for key in request.sources.values():
        check_map(store, key)
    try:
        for key in request.previous.values():
            check_map(store, key)
            previous = load_publication(StoreBlobs(store), key)  # one of an earlier format is served, but not built on
            if previous.monolith:
                store.check_opened_sync(previous.monolith)
    except (UnreadablePublicationError, LostBlobError):
        return msgspec.structs.replace(request, previous={}, previous_findings=None)
    return request


def check_map(store: BlobStore, key: str) -> None:
    """Check a source map or publication map and everything that it names, as far as that is cheap.

    Raises:
        LostBlobError: One is missing or damaged.
        InvalidInputError: It is neither kind of map.
    """
    for named in (key, *sorted(referenced_keys(StoreBlobs(store), key))):
        store.check_opened_sync(named)


def _build(blobs: IndexBlobs, request: BuildRequest, on_progress: Callable[[str, int, int], None] | None) -> Built:
    inputs = _BuildInputs.read(blobs, request)
    published = publish(blobs, inputs.publish_request(), on_progress=_by_subdir(on_progress))
    findings, found = inputs.findings()
    data = encode_findings(findings)
    key = content_key("index", data)
    blobs.put(key, data)
    counts = PublicationCounts(**msgspec.structs.asdict(published.counts), **msgspec.structs.asdict(findings.counts()))
    return Built(published, key, found, counts)


class _BuildInputs:
    """What a publication is judged by: assessments, reused where they hold, and the names to judge.

    `rejudge` None: all of them.
    """

    def __init__(self, blobs: IndexBlobs, request: BuildRequest) -> None:
        self._blobs, self._request = blobs, request
        self._policy = read_policy(request.policy_text)
        self._meter = CpuMeter(request.expressions_max_s)
        self._basis = _basis(request)
        self._reusing: IncrementalAssessor | None = None
        self._matched: ChannelAssessor | None = None
        self._known: frozenset[Component] = frozenset()  # components with findings before
        self.rejudge: set[str] | None = None
        self._set_aside: list[ComponentIgnored] = []

    @classmethod
    def read(cls, blobs: IndexBlobs, request: BuildRequest) -> _BuildInputs:
        """Compare the request with what the previous publication was made from."""
        inputs = cls(blobs, request)
        earlier = _earlier(blobs, request.previous_findings) if request.previous else None
        basis = earlier.basis if earlier else None
        if earlier is None or basis is None:
            inputs._matched = open_assessor(blobs, request)
            return inputs
        changed = set(changed_names(blobs, request.sources, request.previous))
        if (basis.knowledge, basis.mapping_channel) == (inputs._basis.knowledge, inputs._basis.mapping_channel):
            inputs._reusing = IncrementalAssessor(earlier, changed, lambda: open_assessor(blobs, request))
        else:
            inputs._matched = open_assessor(blobs, request)
            inputs._known = frozenset(c.component for c in earlier.components)
            changed |= inputs._compare(earlier)
        if (basis.channel, basis.build_statements) != (inputs._basis.channel, inputs._basis.build_statements):
            return inputs
        inputs.rejudge = changed
        if basis.policy != inputs._basis.policy:
            inputs.rejudge |= edited_names(
                blobs, request.sources, request.previous, read_policy(basis.policy or None), inputs._policy,
                inputs.assess,
                request.channel, request.now_ms, inputs._meter, [stated.fn for stated in request.build_statements],
            )  # fmt: skip
        return inputs

    def publish_request(self) -> PublishRequest:
        """What the engine publishes or plans from."""
        request = self._request
        author = author_of(request.channel.name, request.channel.upstream)
        builds = assess_builds(self._blobs, request.sources, request.build_statements, self.assess, author)
        self._set_aside = builds.set_aside
        return PublishRequest(
            sources=request.sources,
            channel=request.channel,
            policy=compile_policy(self._policy, self._meter),
            assess=self.assess,
            now_ms=request.now_ms,
            closure=request.closure,
            previous=request.previous,
            rejudge=self.rejudge,
            build_assessments=builds.assessments,
        )

    def _compare(self, earlier: ChannelFindings) -> set[str]:
        """Match everything by the new knowledge; the names that it assesses differently."""
        keys = self._request.sources.values()
        components = list(dict.fromkeys(c for key in keys for c in iterate_components(self._blobs, key)))
        return differing_names(earlier, components, self.assess(components))

    def assess(self, components: Sequence[Component]) -> Sequence[Assessment]:
        """The assessments of these components, in order."""
        assess = self._reusing or self._matched
        assert assess is not None  # noqa: S101 - `read` chose one
        return assess(components)

    def findings(self) -> tuple[ChannelFindings, list[ComponentFindings]]:
        """The channel's findings, and those of components that had none before."""
        if self._reusing is not None:
            findings = self._reusing.findings(self._basis, all_names(self._blobs, self._request.sources))
            found = self._reusing.new_findings()
        else:
            assert self._matched is not None  # noqa: S101 - `read` chose one
            findings = self._matched.findings(self._basis)
            found = [c for c in findings.components if c.component not in self._known]
        return msgspec.structs.replace(findings, set_aside_by_builds=self._set_aside), found


def _by_subdir(on_progress: Callable[[str, int, int], None] | None) -> Callable[[str, str, int, int], None] | None:
    """The engine's progress (phase, subdir, done, total) as everything else reports it."""
    if on_progress is None:
        return None
    return lambda phase, subdir, done, total: on_progress(f"{phase} {subdir}".strip(), done, total)


@without_gc()
def plan_publication(
    store_url: str,
    request: BuildRequest,
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Plan:
    """What the policy of the request would withhold or release. Writes nothing.

    As in `build_publication`, only what the edit can touch is judged; it is compared with what is served in any case.

    Raises:
        LostBlobError: A source, or what is served, is missing or damaged.
    """
    store = BlobStore.open(store_url)
    blobs = StoreBlobs(store)
    request_to_plan = _BuildInputs.read(blobs, without_lost(store, request)).publish_request()
    return plan(blobs, request_to_plan, request.previous, on_progress=_by_subdir(on_progress))


def open_assessor(blobs: IndexBlobs, request: BuildRequest) -> ChannelAssessor:
    """What matches a channel's components by the request's knowledge."""
    index = MatchIndex.load(blobs.get(request.knowledge_key), built_in()) if request.knowledge_key else None
    return ChannelAssessor(index, request.mapping_channel)


def read_policy(text: str | None) -> Policy:
    """Parse a policy; None is the policy without rules."""
    return parse_policy(text) if text is not None else EMPTY_POLICY


def _basis(request: BuildRequest) -> PublicationBasis:
    statements = hashlib.blake2b(digest_size=16)
    for stated in sorted(request.build_statements, key=lambda s: (s.sha256, s.fn)):
        statements.update(msgspec.msgpack.encode(stated))
    return PublicationBasis(
        request.knowledge_key or "",
        request.mapping_channel,
        request.channel,
        request.policy_text or "",
        statements.digest(),
    )


def _earlier(blobs: IndexBlobs, key: str | None) -> ChannelFindings | None:
    """The findings of the previous publication; None when there are none, or they cannot be read."""
    if key is None:
        return None
    try:
        return decode_findings(blobs.get(key))
    except (InvalidInputError, LostBlobError):
        return None
