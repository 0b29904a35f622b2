"""Channel files through the whole application: every kind of file, authorization, publications that change."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Any

import msgspec
import pytest
import zstandard

from antivenom.core.errors import StorageError
from antivenom.core.publication.client_documents import derived_keys
from antivenom.core.redaction import redact
from antivenom.server.adapters.blobs import FolderStore
from antivenom.server.channels.service import create_channel
from antivenom.server.context import LOCAL, Resources
from antivenom.server.distribution import actor_cache, channel_directory
from antivenom.server.members.service import create_token, revoke_token
from antivenom.server.web.answers import RequestHeaders
from tests.e2e.upstream_channel import Package, write_upstream
from tests.server.asking import Asker
from tests.server.conftest import Opens
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer
from tests.waiting import until

BIG = Package("big", "1.0", payload=os.urandom(1_500_000))
PACKAGES = [Package("alpha", "1.0"), Package("alpha", "2.0"), Package("beta", "1.0", depends=("alpha",)), BIG]
BAN_ALPHA = """
name: ban
rules:
  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["alpha 1.0"]}}
"""
BAN_BETA = BAN_ALPHA.replace("alpha 1.0", "beta")


@pytest.fixture
async def mirror(person: Person, upstream: UpstreamServer) -> Person:
    """Channel `main`, a mirror of PACKAGES without a policy."""
    write_upstream(upstream.folder, PACKAGES, shards=False)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    return person


async def shards_of(ask: Asker, channel: str = "main") -> dict[str, str]:
    answer = await ask(f"/conda/{channel}/noarch/repodata_shards.msgpack.zst")
    document = msgspec.msgpack.decode(zstandard.decompress(answer.body, max_output_size=1 << 24))
    return {name: digest.hex() for name, digest in document["shards"].items()}


async def listed(ask: Asker, channel: str = "main") -> set[str]:
    document = json.loads((await ask(f"/conda/{channel}/noarch/repodata.json")).body)
    return set(document["packages.conda"])


async def test_every_kind_of_file_answers_get_head_conditions_and_ranges(mirror: Person, ask: Asker) -> None:
    shard = (await shards_of(ask))["alpha"]
    files = [f"noarch/{fn}" for fn in ("repodata.json", "repodata.json.zst", "current_repodata.json")]
    files += [f"noarch/{fn}" for fn in ("run_exports.json", "run_exports.json.zst", "repodata_shards.msgpack.zst")]
    files += [f"noarch/shards/{shard}.msgpack.zst", "channeldata.json", "notices.json"]
    files += ["noarch/alpha-2.0-0.conda", f"noarch/{BIG.fn}", "linux-64/repodata.json.zst"]
    for file in files:
        path = f"/conda/main/{file}"
        whole = await ask(path)
        assert (whole.status, int(whole.headers["content-length"])) == (200, len(whole.body)), file
        assert whole.headers["cache-control"], file
        head = await ask(path, method="HEAD")
        assert (head.status, head.headers, head.body) == (200, whole.headers, b""), file
        same = await ask(path, if_none_match=whole.headers["etag"])
        assert (same.status, same.body, same.headers["etag"]) == (304, b"", whole.headers["etag"]), file
        part = await ask(path, range="bytes=3-9")
        assert (part.status, part.body) == (206, whole.body[3:10]), file
        assert part.headers["content-range"] == f"bytes 3-9/{len(whole.body)}", file
        stale = await ask(path, range="bytes=3-9", if_range='"another"')
        assert (stale.status, stale.body) == (200, whole.body), file
        beyond = await ask(path, range=f"bytes={len(whole.body)}-")
        assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(whole.body)}"), file
        assert (await ask(path, method="DELETE")).status == 405, file


async def test_metrics_count_channel_files_by_kind_and_status(mirror: Person, ask: Asker) -> None:
    shard = f"/conda/main/noarch/shards/{(await shards_of(ask))['alpha']}.msgpack.zst"
    assert (await ask(shard)).status == 200
    for condition in (b"", f'"{shard[-76:-12]}"'.encode()):
        assert ask.application.files.answer_from_cache(shard.encode(), RequestHeaders(if_none_match=condition))
    await ask("/conda/main/noarch/nothing-1.0-0.conda")
    await ask("/conda/main/noarch/what?ever.json")
    object.__setattr__(ask.application.resources.settings, "metrics_public", True)
    text = (await ask("/metrics")).body.decode()
    for kind, status, count in (
        ("shard", 200, 2), ("shard", 304, 1), ("shards_index", 200, 1), ("artifact", 404, 1), ("other", 404, 1),
    ):  # fmt: skip
        assert f'antivenom_channel_files_total{{kind="{kind}",status="{status}"}} {count}.0' in text


# -- who may read ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def closed(person: Person, upstream: UpstreamServer) -> Person:
    """Channel `main` for those with a token only."""
    write_upstream(upstream.folder, PACKAGES, shards=False)
    from antivenom.server.channels.service import create_channel

    async with person.resources.context(LOCAL) as ctx:
        await create_channel(ctx, "main", privacy="authenticated")
    await person.mirror("main", upstream, subdirs=["linux-64"])
    return person


async def new_token(resources: Resources, name: str = "reader") -> str:
    async with resources.context(LOCAL) as ctx:
        return (await create_token(ctx, name)).value


async def test_an_authenticated_channel_challenges_whoever_has_no_valid_token(closed: Person, ask: Asker) -> None:
    wrong = "av-" + "0" * 64
    for path in ("/conda/main", f"/t/{wrong}/conda/main", f"/conda/t/{wrong}/main"):
        for file in ("noarch/repodata.json", "channeldata.json", "notices.json", "noarch/alpha-2.0-0.conda"):
            answer = await ask(f"{path}/{file}")
            assert answer.status == 401, file
            assert answer.challenges == ['Basic realm="antivenom", charset="UTF-8"', 'Bearer realm="antivenom"']
            assert json.loads(answer.body)["code"] == "unauthenticated"
    assert (await ask("/conda/main/noarch/repodata.json", authorization=f"Bearer {wrong}")).status == 401


async def test_a_closed_channel_and_one_that_is_not_there_look_alike(closed: Person, ask: Asker) -> None:
    wrong = "av-" + "0" * 64
    for options in ({}, {"authorization": f"Bearer {wrong}"}):
        answers = [await ask(f"/conda/{name}/noarch/repodata.json", **options) for name in ("main", "nain")]
        assert [answer.status for answer in answers] == [401, 401]
        assert answers[0].challenges == answers[1].challenges
        assert answers[0].body.replace(b"main", b"nain") == answers[1].body


async def test_a_token_opens_a_channel_by_path_header_and_basic_until_it_is_revoked(
    closed: Person, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    import base64

    monkeypatch.setattr(actor_cache, "KEEP_S", 3600.0)  # so that nothing but the notice makes the server forget
    token = await new_token(closed.resources)
    basic = base64.b64encode(f"user:{token}".encode()).decode()
    ways: list[tuple[str, dict[str, str]]] = [
        (f"/t/{token}/conda/main", {}),
        (f"/conda/t/{token}/main", {}),
        ("/conda/main", {"authorization": f"Bearer {token}"}),
        ("/conda/main", {"authorization": f"Basic {basic}"}),
    ]
    for start, headers in ways:
        answer = await ask(f"{start}/noarch/repodata.json.zst", **headers)
        assert answer.status == 200
        assert answer.headers["cache-control"].startswith("private")
    at_once = ask.application.files.answer_from_cache
    hot = f"/conda/t/{token}/main/noarch/repodata.json.zst".encode()

    async def is_hot() -> bool:  # the notice of what was done before may come late, and makes the server forget
        await ask(hot.decode())
        return at_once(hot, RequestHeaders()) is not None

    await until(is_hot)
    assert at_once(b"/conda/main/noarch/repodata.json.zst", RequestHeaders()) is None
    async with closed.resources.context(LOCAL) as ctx:
        await revoke_token(ctx, "reader")

    async def is_refused() -> bool:
        statuses = [(await ask(f"{start}/noarch/repodata.json.zst", **headers)).status for start, headers in ways]
        return statuses == [401] * 4

    await until(is_refused)
    assert at_once(hot, RequestHeaders()) is None


async def test_a_token_in_the_path_is_never_logged(
    closed: Person, upstream: UpstreamServer, ask: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    token = await new_token(closed.resources)
    upstream.faults["noarch/alpha-2.0-0.conda"] = 404
    upstream.faults[f"noarch/{BIG.fn}"] = "truncate"
    caplog.set_level(logging.DEBUG)
    for start in (f"/t/{token}/conda", f"/conda/t/{token}"):
        for file in ("main/noarch/repodata.json", "main/noarch/alpha-2.0-0.conda", f"main/noarch/{BIG.fn}", "no/x/y"):
            await ask(f"{start}/{file}")
            await ask(f"{start}/{file}?token={token}")
    assert caplog.records
    assert token not in caplog.text
    for line in (f"GET /t/{token}/conda/main", f"GET /conda/t/{token}/main", f"Authorization: Bearer {token}"):
        assert token not in redact(line)


# -- publications that change ------------------------------------------------------------------------------------------


async def test_a_new_publication_is_served_as_soon_as_it_is_announced(
    mirror: Person, opened: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_directory, "POLL_S", 3600.0)
    async with opened() as ask:
        assert "beta-1.0-0.conda" in await listed(ask)
        await mirror.set_policy("main", BAN_BETA)

        async def is_swapped() -> bool:
            return "beta-1.0-0.conda" not in await listed(ask)

        await until(is_swapped)


async def test_what_was_answered_before_the_first_publication_is_forgotten_with_it(
    person: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    """The empty noarch of a channel without a publication was cached as what never changes."""
    write_upstream(upstream.folder, PACKAGES)
    async with person.resources.context(LOCAL) as ctx:
        await create_channel(ctx, "main")
    await ask.application.files._directory.refresh()
    at_once = ask.application.files.answer_from_cache
    files = [f"/conda/main/noarch/{fn}" for fn in ("repodata.json", "repodata.json.zst", "current_repodata.json")]
    files.append("/conda/main/channeldata.json")
    for path in files:
        assert (await ask(path)).status == 200, path
        assert at_once(path.encode(), RequestHeaders()), path
    await person.mirror("main", upstream, subdirs=["linux-64"])
    await ask.application.files._directory.refresh()
    for path in files:
        assert at_once(path.encode(), RequestHeaders()) is None, path
    assert "alpha-1.0-0.conda" in await listed(ask)


async def test_no_hot_answer_outlives_its_publication_but_shards_do(mirror: Person, ask: Asker) -> None:
    at_once = ask.application.files.answer_from_cache
    shard = f"/conda/main/noarch/shards/{(await shards_of(ask))['beta']}.msgpack.zst"
    fns = ("repodata.json.zst", "current_repodata.json", "run_exports.json", "repodata_shards.msgpack.zst")
    files = [*(f"/conda/main/noarch/{fn}" for fn in (*fns, "alpha-2.0-0.conda")), "/conda/main/channeldata.json"]
    await ask("/conda/main/noarch/alpha-2.0-0.conda")  # fetched; from now on it is read from the store
    for policy in (BAN_BETA, BAN_ALPHA):
        for path in (*files, shard):
            assert (await ask(path)).status == 200, path
            assert at_once(path.encode(), RequestHeaders()), path
        await mirror.set_policy("main", policy)
        await ask.application.files._directory.refresh()
        for path in files:
            assert at_once(path.encode(), RequestHeaders()) is None, path
        assert at_once(shard.encode(), RequestHeaders()), "a shard never changes"


async def test_a_new_publication_is_found_by_looking_when_nobody_announces_it(
    mirror: Person, opened: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hear_nothing(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(channel_directory, "listen", hear_nothing)
    monkeypatch.setattr(channel_directory, "POLL_S", 0.05)
    async with opened() as ask:
        assert "beta-1.0-0.conda" in await listed(ask)
        await mirror.set_policy("main", BAN_BETA)

        async def is_swapped() -> bool:
            return "beta-1.0-0.conda" not in await listed(ask)

        await until(is_swapped)


async def test_an_answer_that_has_begun_comes_from_one_publication(mirror: Person, ask: Asker) -> None:
    path = b"/conda/main/noarch/repodata.json"
    before = await ask.application.files.respond("GET", path, RequestHeaders())
    await mirror.set_policy("main", BAN_BETA)

    async def is_swapped() -> bool:
        return "beta-1.0-0.conda" not in await listed(ask)

    await until(is_swapped)
    assert before.stream is not None
    body = b"".join([chunk async for chunk in before.stream])
    assert set(json.loads(body)["packages.conda"]) == {package.fn for package in PACKAGES}


async def test_shards_of_a_superseded_index_are_still_served(
    mirror: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    old = await shards_of(ask)
    bodies = {name: (await ask(f"/conda/main/noarch/shards/{h}.msgpack.zst")).body for name, h in old.items()}
    write_upstream(upstream.folder, [*PACKAGES, Package("beta", "2.0")], shards=False)
    await mirror.sync("main")
    await mirror.set_policy("main", BAN_ALPHA)

    async def is_swapped() -> bool:
        return not set((await shards_of(ask)).values()) & {old["alpha"], old["beta"]}

    await until(is_swapped)
    ask.application.files._cache.forget_channel(b"main")
    for name, digest in old.items():
        answer = await ask(f"/conda/main/noarch/shards/{digest}.msgpack.zst")
        assert (answer.status, answer.body) == (200, bodies[name])
    assert (await ask(f"/conda/main/noarch/shards/{'0' * 64}.msgpack.zst")).status == 404


async def test_a_derived_document_that_was_thrown_away_is_made_again(
    mirror: Person, resources: Resources, ask: Asker
) -> None:
    paths = ["/conda/main/channeldata.json"]
    paths += [
        f"/conda/main/noarch/{fn}" for fn in ("run_exports.json", "run_exports.json.zst", "current_repodata.json")
    ]
    before = {path: (await ask(path)).body for path in paths}
    (channel,) = ask.application.files._directory._served.values()
    keys = derived_keys(channel.keys())
    sizes = [size for key in keys if (size := await resources.blobs.size(key)) is not None]
    assert (
        len(sizes) == len(paths) - 1
    )  # the plain file is read from the compressed one; what was derived has a name, so that retention can take it away
    for key in keys:
        await resources.blobs.delete(key)
    ask.application.files._cache.forget_channel(b"main")
    assert {path: (await ask(path)).body for path in paths} == before


async def test_nothing_of_a_channel_is_read_as_a_page(mirror: Person, ask: Asker) -> None:
    for path in ("/conda/main/noarch/repodata.json", f"/conda/main/noarch/{BIG.fn}"):
        answer = await ask(path)
        assert (answer.status, answer.headers["x-content-type-options"]) == (200, "nosniff"), path


async def test_store_that_fails_is_503_and_shows_neither_its_address_nor_a_key(
    mirror: Person, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, key: str, *_: object, **__: object) -> None:
        raise StorageError(
            f"the bucket refused {key!r}: https://s3.internal/secret-bucket", hint="check ANTIVENOM_BLOB_URL"
        )

    shard = next(iter((await shards_of(ask)).values()))
    monkeypatch.setattr(FolderStore, "get_range_sync", refuse)
    answer = await ask(f"/conda/main/noarch/shards/{shard}.msgpack.zst")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    told = json.loads(answer.body)["detail"]
    assert not any(word in told for word in ("bucket", "s3.internal", "pack/", "BLOB_URL"))
