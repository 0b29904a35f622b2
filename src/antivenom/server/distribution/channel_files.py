"""Serves channel files to conda, mamba and pixi, below `/conda/<channel>/` and `/t/<token>/conda/<channel>/`.

A request uses one `PublishedChannel` and no other, so it sees a whole publication.

Source: CEP 6 (notices), 12 (run_exports), 16 (shards), 36 (repodata), 38 (channeldata).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from antivenom.core.conda.records import ARTIFACT_SUFFIXES, is_plain_filename
from antivenom.core.conda.specs import latest_version, version_order
from antivenom.core.errors import (
    AntivenomError,
    BlockedByPolicyError,
    DamagedBlobError,
    LostBlobError,
    OutboundRefusedError,
)
from antivenom.core.policy.compile import Action
from antivenom.core.publication.client_documents import CURRENT, RUN_EXPORTS, ChannelKeys
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import Decision
from antivenom.core.publication.upstream_documents import CHANNELDATA, PATCH_INSTRUCTIONS
from antivenom.core.source.packs import Location
from antivenom.server.context import Resources
from antivenom.server.distribution import client_documents
from antivenom.server.distribution.actor_cache import ActorCache, Credentials, may_read
from antivenom.server.distribution.answer_cache import AnswerCache, CachedAnswer
from antivenom.server.distribution.channel_directory import ChannelDirectory, PublishedChannel, PublishedSubdir
from antivenom.server.distribution.refusal import explain_refusal
from antivenom.server.distribution.superseded_files import SupersededFileJudge
from antivenom.server.events.lost_blobs import tell_lost
from antivenom.server.web.answers import (
    JSON,
    ZSTD,
    Answer,
    Content,
    Headers,
    Receive,
    RequestHeaders,
    Scope,
    Send,
    answer_content,
    content_headers,
    etag_matches,
    problem,
    send_answer,
)
from antivenom.server.web.blob_content import open_blob

logger = logging.getLogger(__name__)

IMMUTABLE = "max-age=31536000, immutable"
INDEX = "max-age=60, must-revalidate"
ARTIFACT = b"private, max-age=31536000, immutable"  # never in a shared cache: a policy may withhold the file later

DECISIONS_KEPT = 10_000  # of files that exist: requests for others evict nothing

OK = b"HTTP/1.1 200 OK\r\n"
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\n"

KINDS = {
    "repodata.json": "repodata",
    "repodata.json.zst": "repodata",
    "current_repodata.json": "current_repodata",
    "current_repodata.json.zst": "current_repodata",
    "run_exports.json": "run_exports",
    "run_exports.json.zst": "run_exports",
    "patch_instructions.json": "patch_instructions",
    "channeldata.json": "channeldata",
    "notices.json": "notices",
}

RETRY_SOON = (b"retry-after", b"5")
_SHARD = re.compile(r"([0-9a-f]{64})\.msgpack\.zst")
_CHALLENGES: Headers = [
    (b"www-authenticate", b'Basic realm="antivenom", charset="UTF-8"'),
    (b"www-authenticate", b'Bearer realm="antivenom"'),
]


class CacheLifetime(Enum):
    """How long a cached answer may be sent again without a new decision."""

    none = "none"  # never: only a superseded publication lists the file, and policy or knowledge may withhold it next
    publication = "publication"  # while the channel serves the same publication
    immutable = "immutable"  # for ever: the file is named by its digest


@dataclass(frozen=True, slots=True)
class WantedArtifact:
    """An artifact that the policy admits, as the index describes it. `is_listed`: the served publication lists it."""

    channel: str
    subdir: str
    decision: Decision
    is_listed: bool = True


OpenArtifact = Callable[[WantedArtifact], Awaitable[Content | None]]
"""The artifact's bytes, stored or from upstream; None when there are none. Raises UpstreamError."""

ExplainError = Callable[[Exception], AntivenomError]
"""Turns any error into an AntivenomError (problems.explain)."""


class ChannelFiles:
    """The ASGI application for channel files. Call `start` before the first request and `stop` after the last."""

    def __init__(self, resources: Resources, *, open_artifact: OpenArtifact, explain: ExplainError) -> None:
        self._resources = resources
        self._open_artifact = open_artifact
        self._explain = explain
        self._actors = ActorCache(resources)
        self._directory = ChannelDirectory(resources, self._on_event)
        self._cache = AnswerCache()
        self._documents = client_documents.ClientDocuments(resources)
        self._judge = SupersededFileJudge(resources)
        self._decisions: OrderedDict[tuple[str, str], Decision] = OrderedDict()
        self.counts: Counter[tuple[str, int]] = Counter()
        """Answers by (kind of file, status), for /metrics."""

    async def start(self) -> None:
        await self._directory.start()

    async def stop(self) -> None:
        await self._directory.stop()

    def _on_event(self, kind: str, subject: str) -> None:
        room = kind.partition(".")[0]
        if room in ("token", "member", "group", "role", "listening") or kind == "channel.deleted":
            self._actors.forget_all()
        if kind in ("channel.deleted", "channel.privacy_changed"):
            self._cache.forget_channel(subject.removeprefix("channel:").encode())

    # -- the fast path ---------------------------------------------------------------------------------------------

    def answer_from_cache(self, path: bytes, request: RequestHeaders) -> tuple[bytes, bytes] | None:
        """(status line, rest) of a cached answer, if channel and actor are in memory too; None otherwise."""
        token, path = split_token(path)
        if not path.startswith(b"/conda/"):  # of what follows /t/TOKEN nobody looked yet
            return None
        name, _, below = path[7:].partition(b"/")
        channel = self._directory.served(name)
        if channel is None or (cached := self._cache.get(name, below)) is None:
            return None
        if not cached.holds_for(channel.publication_id):
            return None
        if not channel.is_public and not may_read(self._actors.cached((token, request.authorization)), channel.name):
            return None
        if request.if_none_match and etag_matches(cached.etag, request.if_none_match):
            self.counts[cached.kind, 304] += 1
            return NOT_MODIFIED, cached.not_modified
        self.counts[cached.kind, 200] += 1
        return OK, cached.wire

    def _cache_answer(
        self, channel: PublishedChannel, path: str, content: Content, answer: Answer, lifetime: CacheLifetime
    ) -> None:
        """Cache a whole 200. `path` must be as clients write it, or it is never found again."""
        if (
            lifetime is CacheLifetime.none
            or answer.status != 200
            or content.body is None
            or len(answer.body) != len(content.body)
        ):
            return
        if self._directory.served(channel.name.encode()) is not channel:
            return  # another publication, or readers: this answer may say that everybody may keep what is closed now
        wire = render_headers(answer.headers) + b"\r\n" + content.body
        not_modified = render_headers(content_headers(content)) + b"\r\n"
        is_immutable = lifetime is CacheLifetime.immutable
        cached = CachedAnswer(
            wire, not_modified, content.etag, channel.publication_id, is_immutable, kind=file_kind(path)
        )
        self._cache.put(channel.name.encode(), path.encode(), cached)

    # -- the slow path ---------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Break the connection on a failure after the first byte: no half answer may look whole."""
        headers = RequestHeaders.of(scope["headers"])
        raw_path = scope.get("raw_path") or scope["path"].encode()
        started = False

        async def send_counted(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self.counts[file_kind(raw_path.decode("latin-1")), message["status"]] += 1
            await send(message)

        try:
            answer = await self.respond(scope["method"], raw_path, headers)
            await send_answer(answer, scope, receive, send_counted)
        except Exception as error:
            if isinstance(error, LostBlobError):
                await tell_lost(self._resources, error)
            explained = self._explain(error)
            if started:
                logger.warning("%s was broken off: %s", scope["path"].rpartition("/")[2], explained.message)
            else:
                await send_answer(problem_answer(explained), scope, receive, send_counted)

    async def respond(self, method: str, raw_path: bytes, request: RequestHeaders) -> Answer:
        """The answer to one request.

        Raises:
            AntivenomError: The reason why there is none.
        """
        if method not in ("GET", "HEAD"):
            return problem(405, "channel files are read-only", headers=[(b"allow", b"GET, HEAD")])
        token, parts = split_path(raw_path)
        if len(parts) < 2:
            return problem(404, "there is no such file: channels are at /conda/CHANNEL/SUBDIR/FILE")
        channel = await self._directory.find(parts[0])
        is_public = channel is not None and channel.is_public
        if not is_public and not await self._may_read((token, request.authorization), parts[0]):
            # One answer for a channel that is closed and for one that is not there: only who may read it learns which.
            detail = (
                f"no channel {parts[0]!r} can be read without a token that may: check its name, or put a token in the"
                f" URL as /t/TOKEN/conda/{parts[0]}"
            )
            return problem(401, detail, code="unauthenticated", headers=list(_CHALLENGES))
        if channel is None:
            return problem(404, f"there is no channel {parts[0]!r} on this server")
        content, lifetime = await self._find_content(channel, parts[1:])
        if content is None:
            return problem(404, f"channel {channel.name!r} has no file {'/'.join(parts[1:])!r}")
        answer = answer_content(content, method, request)
        if method == "GET":
            self._cache_answer(channel, "/".join(parts[1:]), content, answer, lifetime)
        return answer

    async def _may_read(self, credentials: Credentials, channel: str) -> bool:
        return may_read(await self._actors.identify(credentials), channel)

    async def _find_content(self, channel: PublishedChannel, parts: list[str]) -> tuple[Content | None, CacheLifetime]:
        """The content of a path below the channel, and how long its answer may be cached."""
        if len(parts) == 3 and parts[1] == "shards" and (match := _SHARD.fullmatch(parts[2])):
            return await self._find_shard(channel, parts[0], match[1]), CacheLifetime.immutable
        if len(parts) == 1:
            return await self._find_channel_file(channel, parts[0]), CacheLifetime.publication
        if len(parts) != 2:
            return None, CacheLifetime.none
        subdir, fn = parts
        if fn.endswith(ARTIFACT_SUFFIXES):
            return await self._find_artifact(channel, subdir, fn)
        published = channel.subdirs.get(subdir)
        if published is None:
            empty = client_documents.EMPTY_SUBDIR.get(fn) if subdir == "noarch" else None
            return (self._in_memory(channel, fn, empty) if empty is not None else None), CacheLifetime.publication
        return await self._find_index_file(channel, published, fn), CacheLifetime.publication

    async def _find_channel_file(self, channel: PublishedChannel, fn: str) -> Content | None:
        if fn == "notices.json":
            return self._in_memory(channel, fn, b'{"notices": []}')
        if fn == CHANNELDATA:
            records = sum(subdir.index.counts.records for subdir in channel.subdirs.values())
            return await self._derived(channel, fn, channel.keys(), records)
        return None

    async def _find_index_file(self, channel: PublishedChannel, subdir: PublishedSubdir, fn: str) -> Content | None:
        if fn == "repodata_shards.msgpack.zst":
            body = await self._read_location(subdir.index.shards_index)
            return self._in_memory(channel, fn, body)
        if fn in ("repodata.json", "repodata.json.zst") and subdir.index.monolith:
            whole = await self._whole(channel, subdir.index)
            return await _as_asked(fn, whole, small_bytes=0)  # only old clients ask for the plain one
        compressed = fn if fn.endswith(".zst") else f"{fn}.zst"
        keys, records = ChannelKeys((subdir.keys,)), subdir.index.counts.records
        if compressed in (CURRENT, RUN_EXPORTS):
            return await _as_asked(fn, await self._derived(channel, compressed, keys, records))
        if fn == PATCH_INSTRUCTIONS and subdir.keys.patch_instructions:
            return await self._derived(channel, fn, keys, records)
        return None

    async def _find_shard(self, channel: PublishedChannel, subdir: str, sha256: str) -> Content | None:
        location = await self._directory.find_shard(channel, subdir, bytes.fromhex(sha256))
        if location is None:
            return None
        # Its own digest is known, so the pack around it need not be read to be sure of it.
        body = await self._resources.blobs.get_range(*location, checked=False)
        if hashlib.sha256(body).hexdigest() != sha256:
            raise DamagedBlobError(location.pack)
        return Content(f'"{sha256}"'.encode(), ZSTD, cache_control(channel, IMMUTABLE), len(body), body=body)

    async def _read_location(self, location: Location) -> bytes:
        return await self._resources.blobs.get_range(location.pack, location.offset, location.length)

    def _in_memory(self, channel: PublishedChannel, fn: str, body: bytes) -> Content:
        return Content(
            f'"{hashlib.sha256(body).hexdigest()}"'.encode(),
            content_type(fn),
            cache_control(channel, INDEX),
            len(body),
            body=body,
            last_modified=channel.last_modified,
        )

    async def _stored(self, channel: PublishedChannel, fn: str, key: str) -> Content:
        """A blob as a file of the channel. Its key ends in a digest of the content, which makes a strong ETag."""
        etag = f'"{key.rpartition("/")[2].partition(".")[0]}"'.encode()
        content = await open_blob(
            self._resources.blobs,
            key,
            etag=etag,
            content_type=content_type(fn),
            cache_control=cache_control(channel, INDEX),
        )
        return replace(content, last_modified=channel.last_modified)

    async def _whole(self, channel: PublishedChannel, index: PublicationIndex) -> Content:
        try:
            return await self._stored(channel, "repodata.json.zst", index.monolith)
        except LostBlobError:  # deleted while the publication was superseded, or damaged
            await self._documents.restore_whole(index)
            return await self._stored(channel, "repodata.json.zst", index.monolith)

    async def _derived(self, channel: PublishedChannel, fn: str, made_of: ChannelKeys, records: int) -> Content:
        key = await self._documents.find(fn, made_of, records)
        try:
            return await self._stored(channel, fn, key)
        except LostBlobError:  # deleted since it was derived, or damaged
            self._documents.forget(key)
            return await self._stored(channel, fn, await self._documents.find(fn, made_of, records))

    async def _find_artifact(
        self, channel: PublishedChannel, subdir: str, fn: str
    ) -> tuple[Content | None, CacheLifetime]:
        """An artifact that the policy admits, listed or superseded.

        Raises:
            BlockedByPolicyError: The policy withholds it.
        """
        published = channel.subdirs.get(subdir)
        decision = await self._decide(published.index, fn) if published else None
        is_listed, policy = decision is not None, channel.policy
        if decision is None:
            superseded = await self._directory.find_superseded(channel, subdir, fn)
            if superseded is None:
                return None, CacheLifetime.none
            listed = published.index if published else None
            judged = await self._judge.judge(channel.channel_id, superseded, listed)
            if judged is None:
                return None, CacheLifetime.none
            decision, policy = judged
        if decision.action is Action.stop:
            raise self._refusal(channel, decision, policy)
        content = await self._open_artifact(WantedArtifact(channel.name, subdir, decision, is_listed))
        if content is None:
            return None, CacheLifetime.none
        return replace(content, cache_control=ARTIFACT), CacheLifetime.publication if is_listed else CacheLifetime.none

    async def _decide(self, index: PublicationIndex, fn: str) -> Decision | None:
        """The publication's decision about a file, cached: maps are immutable, and a look-up reads a shard."""
        decision = self._decisions.get((index.key, fn))
        if decision is None:
            decision = await asyncio.to_thread(index.decision, fn)
            if decision is not None:
                self._decisions[index.key, fn] = decision
                if len(self._decisions) > DECISIONS_KEPT:
                    self._decisions.popitem(last=False)
        return decision

    def _refusal(self, channel: PublishedChannel, decision: Decision, policy: str) -> BlockedByPolicyError:
        install = allowed_spec(channel, decision)
        detail, facts = explain_refusal(decision, channel=channel.name, policy=policy, install=install)
        return BlockedByPolicyError(detail, **msgspec.to_builtins(facts))


async def _as_asked(fn: str, compressed: Content, *, small_bytes: int = client_documents.SMALL_BYTES) -> Content:
    """A stored `.zst` as such, or decompressed for those who asked for the plain file."""
    if fn.endswith(".zst"):
        return compressed
    etag = compressed.etag[:-1] + b'-json"'
    return await client_documents.decompressed(compressed, etag=etag, content_type=JSON, small_bytes=small_bytes)


def allowed_spec(channel: PublishedChannel, decision: Decision) -> str:
    """A match spec for the newest version of the package that any subdir serves; "" when all are withheld."""
    allowed = (subdir.index.allowed_version(decision.name) for subdir in channel.subdirs.values())
    newest = latest_version([version for version in allowed if version])
    if not newest:
        return ""
    mine, other = version_order(decision.version), version_order(newest)
    is_newer = mine is not None and other is not None and other > mine
    return f"{decision.name}{'>=' if is_newer else '='}{newest}"


def split_token(path: bytes) -> tuple[bytes, bytes]:
    """The token in a path (b"" when there is none) as sent, and the path without it.

    People write `/t/TOKEN/conda/CHANNEL/…`. conda asks for `/conda/t/TOKEN/CHANNEL/…`, because it takes a leading
    `conda` for a part of the host (conda/models/channel.py, step 7). No channel may be called `t`.
    """
    if path.startswith(b"/t/"):
        token, _, rest = path[3:].partition(b"/")
        return token, b"/" + rest
    if path.startswith(b"/conda/t/"):
        token, _, rest = path[9:].partition(b"/")
        return token, b"/conda/" + rest
    return b"", path


def split_path(raw_path: bytes) -> tuple[bytes, list[str]]:
    """The token of a path (or b"") and the decoded parts after `/conda/`; no parts for a path that cannot be a file.

    Decodes once, part by part: an escaped slash stays inside its part, and no file name may have one.
    """
    token, path = split_token(raw_path.partition(b"?")[0])
    if not path.startswith(b"/conda/"):
        return token, []
    try:
        parts = [unquote_to_bytes(part).decode("utf-8") for part in path[7:].split(b"/")]
    except UnicodeDecodeError:
        return token, []
    return unquote_to_bytes(token), parts if all(is_plain_filename(part) for part in parts) else []


def problem_answer(error: AntivenomError) -> Answer:
    """The answer for an error. Only that of a refusal includes the error's data."""
    detail = f"{error.message} ({error.hint})" if error.hint else error.message
    extension = error.data if isinstance(error, BlockedByPolicyError) else {}
    status = 504 if error.data.get("timed_out") else error.status
    if isinstance(error, OutboundRefusedError):
        status = 502  # the upstream's index points there, not the client
    title = "Withheld by policy" if isinstance(error, BlockedByPolicyError) else ""
    headers = [RETRY_SOON] if status == 503 else None
    return problem(status, detail, code=error.code, title=title, headers=headers, extension=extension)


def file_kind(path: str) -> str:
    """The kind of file of a path, for counting: one of a fixed few, whatever clients ask for."""
    fn = path.partition("?")[0].rpartition("/")[2]
    if fn.endswith(ARTIFACT_SUFFIXES):
        return "artifact"
    if fn.endswith(".msgpack.zst"):
        return "shards_index" if fn.startswith("repodata_shards") else "shard"
    return KINDS.get(fn, "other")


def content_type(fn: str) -> bytes:
    """The type of the bytes as they are, so that no client decompresses what the file name says is compressed."""
    return ZSTD if fn.endswith(".zst") else JSON


def cache_control(channel: PublishedChannel, directives: str) -> bytes:
    """The Cache-Control of a file; shared caches may keep only files of public channels."""
    return f"{'public' if channel.is_public else 'private'}, {directives}".encode()


def render_headers(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)
