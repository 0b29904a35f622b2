"""What is answered for each path, by whom it may be read, and what of it is answered again from memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import msgspec
import pytest
import zstandard

from antivenom.server.web.answers import Answer
from tests.server.distribution.stand import NOBODY, READER, Stand

MODIFIED = b"Sat, 21 Nov 2026 12:00:00 GMT"
INDEX, IMMUTABLE = "max-age=60, must-revalidate", "max-age=31536000, immutable"
NOARCH = "/conda/main/noarch"
# Every file of an index, with its type.
FILES = {
    f"{NOARCH}/repodata.json": b"application/json",
    f"{NOARCH}/repodata.json.zst": b"application/zstd",
    f"{NOARCH}/current_repodata.json": b"application/json",
    f"{NOARCH}/current_repodata.json.zst": b"application/zstd",
    f"{NOARCH}/run_exports.json": b"application/json",
    f"{NOARCH}/run_exports.json.zst": b"application/zstd",
    f"{NOARCH}/repodata_shards.msgpack.zst": b"application/zstd",
    "/conda/main/channeldata.json": b"application/json",
    "/conda/main/notices.json": b"application/json",
}
LARGE = f"{NOARCH}/repodata.json"  # is decompressed while it is sent
KEPT = [path for path in FILES if path != LARGE]


def headers_of(answer: Answer) -> dict[bytes, bytes]:
    assert len({name for name, _ in answer.headers}) == len(answer.headers)
    return dict(answer.headers)


def wire_of(answer: Answer) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in answer.headers) + b"\r\n" + answer.body


def listed(answer: Answer) -> set[str]:
    return set(json.loads(answer.body)["packages.conda"])


async def shard_paths(stand: Stand) -> dict[str, str]:
    document = msgspec.msgpack.decode(
        zstandard.decompress((await stand.ask(f"{NOARCH}/repodata_shards.msgpack.zst")).body)
    )
    return {name: f"{NOARCH}/shards/{digest.hex()}.msgpack.zst" for name, digest in document["shards"].items()}


# -- what is answered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("public", [True, False])
async def test_every_file_of_an_index_says_what_it_is_and_who_may_keep_it(stand: Stand, public: bool) -> None:
    stand.publish(public=public)
    shared = b"public" if public else b"private"
    for path, of_type in FILES.items():
        answer = await stand.ask(path, authorization=f"Bearer {READER}")
        headers = headers_of(answer)
        assert (answer.status, headers[b"content-type"], headers[b"last-modified"]) == (200, of_type, MODIFIED), path
        assert headers[b"cache-control"] == shared + b", " + INDEX.encode(), path
        assert headers[b"content-length"] == b"%d" % len(answer.body), path
        assert headers[b"etag"].startswith(b'"'), path
        unchanged = await stand.ask(path, if_none_match=headers[b"etag"].decode(), authorization=f"Bearer {READER}")
        assert (unchanged.status, unchanged.body, headers_of(unchanged)[b"etag"]) == (304, b"", headers[b"etag"])
        part = await stand.ask(path, range="bytes=1-4", authorization=f"Bearer {READER}")
        assert (part.status, part.body) == (206, answer.body[1:5])
        assert (await stand.ask(path, "HEAD", authorization=f"Bearer {READER}")).body == b""
    for path in (await shard_paths(stand)).values() if public else ():
        answer = await stand.ask(path)
        headers = headers_of(answer)
        digest = hashlib.sha256(answer.body).hexdigest()
        assert path == f"{NOARCH}/shards/{digest}.msgpack.zst"
        assert headers[b"etag"] == f'"{digest}"'.encode()
        assert headers[b"cache-control"] == f"public, {IMMUTABLE}".encode()
        assert (headers[b"content-type"], b"last-modified" in headers) == (b"application/zstd", False)


async def test_plain_and_compressed_files_say_the_same_under_tags_of_their_own(stand: Stand) -> None:
    stand.publish("main", "beta")
    tags = set()
    for path in FILES:
        answer = await stand.ask(path)
        tags.add(headers_of(answer)[b"etag"])
        if path.endswith(".json.zst"):
            plain = await stand.ask(path.removesuffix(".zst"))
            assert zstandard.decompress(answer.body) == plain.body, path
            assert headers_of(plain)[b"etag"] == headers_of(answer)[b"etag"][:-1] + b'-json"', path
    assert len(tags) == len(FILES)
    assert listed(await stand.ask(LARGE)) == {"alpha-1.0-0.conda", "alpha-2.0-0.conda"}
    assert json.loads((await stand.ask("/conda/main/notices.json")).body) == {"notices": []}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/conda/main/noarch/alpha-3.0-0.conda", 404), ("/conda/main/linux-64/alpha-1.0-0.conda", 404),
        ("/conda/main/noarch/other.json", 404), ("/conda/main/noarch/patch_instructions.json", 404),
        ("/conda/main/linux-64/repodata.json", 404), ("/conda/main/other.json", 404), ("/conda/main", 404),
        ("/conda/main/noarch/shards/00.msgpack.zst", 404), (f"/conda/main/noarch/shards/{'0' * 64}.msgpack.zst", 404),
        (f"/conda/main/noarch/other/{'0' * 64}.msgpack.zst", 404), ("/conda/main/noarch/a/b/c.conda", 404),
        ("/conda/main/noarch/shards/alpha-1.0-0.conda", 404), (f"/conda/main/linux-64/shards/{'0' * 64}.msgpack.zst", 404),
        ("/conda/empty/linux-64/repodata.json", 404), ("/conda/empty/noarch/other.json", 404),
    ],
)  # fmt: skip
async def test_what_is_not_there_is_not_found_and_kept_in_no_memory(stand: Stand, path: str, status: int) -> None:
    stand.publish()
    stand.create("empty")
    answer = await stand.ask(path)
    assert (answer.status, json.loads(answer.body)["status"]) == (status, status)
    assert stand.hot(path) is None


async def test_a_channel_that_has_published_nothing_has_an_empty_noarch_and_no_other_subdir(stand: Stand) -> None:
    stand.create("main")
    for path in [*KEPT, LARGE]:
        if not path.endswith(("shards.msgpack.zst", "channeldata.json")):
            answer = await stand.ask(path)
            data = zstandard.decompress(answer.body) if path.endswith(".zst") else answer.body
            assert answer.status == 200, path
            assert not any(json.loads(data).get(part) for part in ("packages", "packages.conda", "notices")), path
            assert stand.hot(path), path
    assert (await stand.ask(f"{NOARCH}/repodata_shards.msgpack.zst")).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_files_are_read_only(stand: Stand, method: str) -> None:
    stand.publish()
    answer = await stand.ask(LARGE, method)
    assert (answer.status, headers_of(answer)[b"allow"]) == (405, b"GET, HEAD")


# -- who may read ------------------------------------------------------------------------------------------------------

WAYS: list[tuple[str, dict[str, str], bool]] = [
    ("/conda/{}", {}, False),
    (f"/t/{READER}/conda/{{}}", {}, True),
    (f"/conda/t/{READER}/{{}}", {}, True),
    (f"/t/{READER.replace('-', '%2D')}/conda/{{}}", {}, True),
    ("/conda/{}", {"authorization": f"Bearer {READER}"}, True),
    (f"/t/{NOBODY}/conda/{{}}", {}, False),
    ("/conda/{}", {"authorization": f"Bearer {NOBODY}"}, False),
    ("/t/av-wrong/conda/{}", {}, False),
    ("/conda/{}", {"authorization": "Bearer av-wrong"}, False),
]


@pytest.mark.parametrize(("start", "headers", "may"), WAYS)
async def test_a_closed_channel_is_for_those_who_may_read_and_looks_like_none_to_others(
    stand: Stand, start: str, headers: dict[str, str], may: bool
) -> None:
    stand.publish("closed", public=False)
    for file in ("noarch/repodata.json.zst", "channeldata.json", "noarch/alpha-1.0-0.conda", "noarch/other"):
        there = await stand.ask(f"{start.format('closed')}/{file}", **headers)
        absent = await stand.ask(f"{start.format('no-one')}/{file}", **headers)
        if may:
            assert (there.status, absent.status) == (200 if "json" in file else 404, 404)
        else:
            assert (there.status, absent.status) == (401, 401)
            assert there.headers == absent.headers
            assert there.body.replace(b"closed", b"no-one") == absent.body
            assert [value for name, value in there.headers if name == b"www-authenticate"] == [
                b'Basic realm="antivenom", charset="UTF-8"',
                b'Bearer realm="antivenom"',
            ]


@pytest.mark.parametrize(("start", "headers", "may"), WAYS)
async def test_memory_answers_nobody_whom_the_server_would_refuse(
    stand: Stand, start: str, headers: dict[str, str], may: bool
) -> None:
    path = "closed/noarch/repodata.json.zst"
    stand.publish("closed", public=False)
    assert stand.hot(f"/t/{READER}/conda/{path}") is None
    assert (await stand.ask(f"/t/{READER}/conda/{path}")).status == 200
    assert stand.hot(f"/t/{READER}/conda/{path}") is not None
    mine = f"{start.format('closed')}/noarch/repodata.json.zst"
    if "%" in mine:
        return  # memory knows tokens as clients write them
    assert (stand.hot(mine, **headers) is not None) == (READER in mine)  # who else reads was not looked for yet
    await stand.ask(mine, **headers)
    assert (stand.hot(mine, **headers) is not None) == may
    stand.announce_now("token.revoked", "token:reader")
    assert stand.hot(mine, **headers) is None


@pytest.mark.parametrize(
    ("kind", "forgets"),
    [
        ("token.revoked", True), ("member.removed", True), ("member.changed", True), ("listening", True),
        ("publication.made", False), ("channel.edited", False), ("tokens.listed", False),
    ],
)  # fmt: skip
async def test_who_may_read_is_asked_again_after_each_event_that_may_change_it(
    stand: Stand, kind: str, forgets: bool
) -> None:
    path = f"/t/{READER}/conda/closed/noarch/repodata.json.zst"
    stand.publish("closed", public=False)
    await stand.ask(path)
    assert stand.hot(path)
    stand.announce_now(kind, "token:reader")
    assert (stand.hot(path) is None) == forgets


async def test_a_public_channel_asks_nobody_who_he_is(stand: Stand) -> None:
    stand.publish()
    for start in ("/conda/main", "/t/av-wrong/conda/main", "/conda/t/av-wrong/main"):
        path = f"{start}/noarch/repodata.json.zst"
        assert (await stand.ask(path, authorization="Bearer av-wrong")).status == 200
        assert stand.hot(path, authorization="Bearer av-wrong")


# -- what is answered again from memory --------------------------------------------------------------------------------


async def test_memory_says_to_the_byte_what_was_answered(stand: Stand) -> None:
    stand.publish()
    for path in [*KEPT, *(await shard_paths(stand)).values()]:
        answer = await stand.ask(path)
        assert stand.hot(path) == (b"HTTP/1.1 200 OK\r\n", wire_of(answer)), path
        tag = headers_of(answer)[b"etag"].decode()
        unchanged = await stand.ask(path, if_none_match=tag)
        for match in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            assert stand.hot(path, if_none_match=match) == (b"HTTP/1.1 304 Not Modified\r\n", wire_of(unchanged)), path
        assert stand.hot(path, if_none_match='"other"') == (b"HTTP/1.1 200 OK\r\n", wire_of(answer)), path
    assert (await stand.ask(LARGE)).status == 200
    assert stand.hot(LARGE) is None  # is sent while it is read


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"range": "bytes=0-3"}),
        ("GET", {"range": "bytes=99999999-"}),
        ("GET", {"if_none_match": "*"}),
    ],
)
async def test_only_a_whole_answer_is_kept(stand: Stand, method: str, headers: dict[str, str]) -> None:
    stand.publish()
    path = f"{NOARCH}/repodata.json.zst"
    assert (await stand.ask(path, method, **headers)).status != 404
    assert stand.hot(path) is None


async def test_no_other_path_is_answered_by_what_memory_has_under_one(stand: Stand) -> None:
    """What is in memory is found by the part of a path behind the sixth character, which has to be that of a channel."""
    stand.publish()
    path = f"{NOARCH}/repodata.json.zst"
    await stand.ask(path)
    below = path.removeprefix("/conda/")
    for other in (
        f"/other/{below}",
        f"/CONDA/{below}",
        f"/t/av-1/other/{below}",
        f"/t/av-1/t/av-1/{below}",
        f"//onda/{below}",
    ):
        assert stand.hot(other) is None, other
        assert (await stand.ask(other)).status == 404, other
    for same in (f"/t/av-1/conda/{below}", f"/conda/t/av-1/{below}"):
        assert stand.hot(same), same


async def test_an_answer_from_memory_holds_for_its_publication_and_a_shard_for_all(stand: Stand) -> None:
    stand.publish()
    paths, shards = KEPT, await shard_paths(stand)
    for path in [*paths, *shards.values()]:
        await stand.ask(path)
    stand.publish("main", "beta")
    await stand.refresh()
    assert [path for path in paths if stand.hot(path)] == []
    assert all(stand.hot(path) for path in shards.values())
    for path in paths:
        await stand.ask(path)
    assert all(stand.hot(path) for path in paths)
    assert "beta" not in await shard_paths(stand)


@pytest.mark.parametrize("how", ["closed", "opened", "deleted", "another of that name"])
async def test_memory_forgets_a_channel_that_is_another_one_now(stand: Stand, how: str) -> None:
    stand.publish(public=how != "opened")
    path = next(iter((await shard_paths_of_reader(stand)).values()))
    assert (await stand.ask(path, authorization=f"Bearer {READER}")).status == 200
    assert stand.hot(path, authorization=f"Bearer {READER}")
    if how == "deleted":
        del stand.pointers["main"]
    else:
        stand.publish(public=how != "closed", channel_id=2 if how == "another of that name" else 1)
    await stand.refresh()
    assert stand.hot(path, authorization=f"Bearer {READER}") is None
    again = await stand.ask(path, authorization=f"Bearer {READER}")
    assert again.status == (404 if how == "deleted" else 200)
    if how != "deleted":
        assert (
            headers_of(again)[b"cache-control"] == f"{'private' if how == 'closed' else 'public'}, {IMMUTABLE}".encode()
        )


async def shard_paths_of_reader(stand: Stand) -> dict[str, str]:
    answer = await stand.ask(f"{NOARCH}/repodata_shards.msgpack.zst", authorization=f"Bearer {READER}")
    document = msgspec.msgpack.decode(zstandard.decompress(answer.body))
    return {name: f"{NOARCH}/shards/{digest.hex()}.msgpack.zst" for name, digest in document["shards"].items()}


async def test_what_was_read_of_a_channel_before_it_was_closed_is_not_kept(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that a slow store delivers after the change says that everybody may keep it."""
    stand.publish()
    path = next(iter((await shard_paths(stand)).values()))
    reading, may_go_on = asyncio.Event(), asyncio.Event()
    get_range = stand.store.get_range

    async def slowly(*arguments: Any, **options: Any) -> bytes:
        reading.set()
        await may_go_on.wait()
        return await get_range(*arguments, **options)

    monkeypatch.setattr(stand.store, "get_range", slowly)
    asking = asyncio.create_task(stand.ask(path))
    await reading.wait()
    stand.publish(public=False)
    await stand.refresh()
    may_go_on.set()
    assert headers_of(await asking)[b"cache-control"].startswith(b"public")  # it was asked for while all might read it
    await stand.ask(f"{NOARCH}/repodata.json.zst", authorization=f"Bearer {READER}")
    assert stand.hot(path, authorization=f"Bearer {READER}") is None


async def test_answers_are_counted_by_kind_wherever_they_come_from(stand: Stand) -> None:
    stand.publish()
    path = f"{NOARCH}/repodata.json.zst"
    etag = headers_of(await stand.ask(path))[b"etag"].decode()
    for headers in ({}, {}, {"if_none_match": etag}, {"if_none_match": etag}):
        assert stand.hot(path, **headers)
    assert stand.files.counts == {("repodata", 200): 2, ("repodata", 304): 2}
