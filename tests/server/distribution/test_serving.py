"""What is answered for each path, by whom it may be read, and what of it is answered again from memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import msgspec
import pytest
import zstandard

from antivenom.core.errors import BlockedByPolicyError, DamagedBlobError, StorageError
from antivenom.core.policy.compile import Action, Reason
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import Decision
from antivenom.server.distribution import channel_directory, channel_files, client_documents
from antivenom.server.distribution.channel_files import ChannelFiles
from antivenom.server.web.answers import Answer
from tests.core.index_samples import record
from tests.server.distribution.stand import NOBODY, READER, RECORDS, Stand
from tests.waiting import until

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


# -- artifacts ---------------------------------------------------------------------------------------------------------

ALPHA = f"{NOARCH}/alpha-1.0-0.conda"


async def test_a_listed_artifact_is_opened_with_what_the_index_says_of_it_and_kept_while_it_is_listed(
    stand: Stand,
) -> None:
    stand.publish()
    stand.artifacts["alpha-1.0-0.conda"] = b"bytes"
    answer = await stand.ask(ALPHA)
    assert (answer.status, answer.body, headers_of(answer)[b"cache-control"]) == (
        200,
        b"bytes",
        f"private, {IMMUTABLE}".encode(),
    )
    [wanted] = stand.asked
    assert (wanted.channel, wanted.subdir, wanted.is_listed) == ("main", "noarch", True)
    assert (wanted.decision.fn, wanted.decision.sha256) == ("alpha-1.0-0.conda", record("alpha")["sha256"])
    assert stand.hot(ALPHA)
    stand.publish("main", "alpha-1.0-0.conda")
    await stand.refresh()
    assert stand.hot(ALPHA) is None
    with pytest.raises(BlockedByPolicyError):
        await stand.ask(ALPHA)


async def test_a_withheld_artifact_is_refused_by_the_policy_of_its_publication_with_what_to_install(
    stand: Stand,
) -> None:
    pointer = stand.publish("main", "alpha-1.0-0.conda")
    stand.artifacts["alpha-1.0-0.conda"] = b"bytes"
    for method in ("GET", "HEAD"):
        with pytest.raises(BlockedByPolicyError) as caught:
            await stand.ask(ALPHA, method)
        facts = caught.value.data
        assert (facts["channel"], facts["policy"], facts["rule_id"]) == ("main", pointer.policy, "banned")
        assert facts["allowed_version"] == "alpha>=2.0"
    assert (stand.asked, stand.hot(ALPHA)) == ([], None)


@pytest.mark.parametrize(
    ("banned", "expected"),
    [
        (("alpha-2.0-0.conda",), "alpha=1.0"), (("alpha",), ""), (("alpha-1.0-0.conda",), "alpha>=2.0"),
        (("alpha-1.0-0.conda", "alpha-2.0-0.conda"), "alpha=1.0"),
    ],
)  # fmt: skip
async def test_what_to_install_instead_is_the_newest_that_is_served_of_any_subdir(
    stand: Stand, banned: tuple[str, ...], expected: str
) -> None:
    others = [record("alpha", "0.5"), *([record("alpha", "1.0", "1")] if len(banned) == 2 else [])]
    stand.publish("main", *banned, noarch=RECORDS, **{"linux_64": others if expected else []})
    fn = "alpha-1.0-0.conda" if "alpha-1.0-0.conda" in banned else "alpha-2.0-0.conda"
    with pytest.raises(BlockedByPolicyError) as caught:
        await stand.ask(f"{NOARCH}/{fn}")
    assert caught.value.data["allowed_version"] == expected


def now_decided(action: Action, *, policy: str = "today's") -> tuple[Decision, str]:
    reason = Reason("banned", "packages", "match_spec", "x", action, "it is banned")
    return Decision("alpha-1.0-0.conda", "alpha", "1.0", "0", 10, action, (reason,)), policy


@pytest.mark.parametrize("is_there", [True, False], ids=["", "its subdir is gone"])
@pytest.mark.parametrize("verdict", ["go", "warn", "stop", "gone"])
async def test_a_file_of_a_superseded_publication_is_judged_each_time_and_kept_in_no_memory(
    stand: Stand, verdict: str, is_there: bool
) -> None:
    old = stand.publish()
    stand.publish(**{"noarch" if is_there else "linux_64": RECORDS[1:]})
    stand.retained = [keys.index for keys in old.subdirs.values()]
    stand.artifacts["alpha-1.0-0.conda"] = b"bytes"
    stand.superseded = None if verdict == "gone" else now_decided(Action[verdict])
    for _ in range(2):
        if verdict == "stop":
            with pytest.raises(BlockedByPolicyError) as caught:
                await stand.ask(ALPHA)
            assert (caught.value.data["policy"], caught.value.data["allowed_version"]) == ("today's", "alpha>=2.0")
        else:
            answer = await stand.ask(ALPHA)
            assert answer.status == (404 if verdict == "gone" else 200)
            if answer.status == 200:
                assert headers_of(answer)[b"cache-control"] == f"private, {IMMUTABLE}".encode()
        assert stand.hot(ALPHA) is None
    assert [wanted.is_listed for wanted in stand.asked] == ([False, False] if verdict in ("go", "warn") else [])
    stand.retained = []
    assert (await stand.ask(ALPHA)).status == 404


async def test_decisions_about_files_that_exist_are_kept_and_bounded(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_files, "DECISIONS_KEPT", 2)
    stand.publish()
    for fn in ("alpha-1.0-0.conda", "alpha-2.0-0.conda", "nothing-1.0-0.conda", "beta-1.0-0.conda", "beta-1.0-0.conda"):
        await stand.ask(f"{NOARCH}/{fn}")
    assert [fn for _, fn in stand.files._decisions] == ["alpha-2.0-0.conda", "beta-1.0-0.conda"]

    def read_again(*_: Any) -> Decision:
        raise AssertionError("it was decided before")

    monkeypatch.setattr(PublicationIndex, "decision", read_again)
    for fn in ("alpha-2.0-0.conda", "beta-1.0-0.conda"):
        await stand.ask(f"{NOARCH}/{fn}")
    assert [wanted.decision.fn for wanted in stand.asked[-2:]] == ["alpha-2.0-0.conda", "beta-1.0-0.conda"]


# -- a whole request ---------------------------------------------------------------------------------------------------


async def request(files: ChannelFiles, path: str, *, raw_path: bytes | None = None) -> list[Any]:
    """What is sent for a request. `raw_path`: as it was sent; None for a server that does not tell."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    await files({"method": "GET", "path": path, "raw_path": raw_path, "headers": []}, receive, send)
    return sent


async def test_a_request_is_counted_and_what_goes_wrong_is_told(stand: Stand) -> None:
    stand.publish("main", "alpha-1.0-0.conda")
    for path in (LARGE, ALPHA, f"{NOARCH}/other.json"):
        await request(stand.files, path)
    assert stand.files.counts == {("repodata", 200): 1, ("artifact", 403): 1, ("other", 404): 1}
    sent = await request(stand.files, ALPHA)
    assert stand.files.counts["artifact", 403] == 2
    problem = json.loads(sent[1]["body"])
    assert (sent[0]["status"], problem["title"], problem["rule_id"]) == (403, "Withheld by policy", "banned")


async def test_a_path_is_read_as_it_was_sent_where_the_server_tells(stand: Stand) -> None:
    stand.publish()
    other = f"{NOARCH}/other.json"
    for path, raw_path, status in ((LARGE, other, 404), (other, LARGE, 200), (LARGE, None, 200), (other, None, 404)):
        sent = await request(stand.files, path, raw_path=raw_path.encode() if raw_path else None)
        assert sent[0]["status"] == status, (path, raw_path)


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_blob_that_is_lost_is_told_to_those_who_mend(
    stand: Stand, has_begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.publish()
    told: list[Any] = []

    async def tell(resources: Any, error: DamagedBlobError) -> None:
        told.append((resources.blobs, error.key))

    async def broken(*_: Any) -> Answer:
        async def stream() -> Any:
            yield b"half"
            raise DamagedBlobError("pack/a")

        if has_begun:
            return Answer(200, [], stream=stream())
        raise DamagedBlobError("pack/a")

    monkeypatch.setattr(channel_files, "tell_lost", tell)
    monkeypatch.setattr(stand.files, "respond", broken)
    sent = await request(stand.files, LARGE)
    assert (told, sent[0]["status"]) == ([(stand.store, "pack/a")], 200 if has_begun else 503)
    assert has_begun or b"pack/a" not in sent[1]["body"]


async def test_an_answer_that_breaks_off_after_its_first_byte_is_no_answer(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stand.publish()

    async def broken(*_: Any) -> Answer:
        async def stream() -> Any:
            yield b"half"
            raise StorageError("the disk is gone: /secret/place")

        return Answer(200, [], stream=stream())

    monkeypatch.setattr(stand.files, "respond", broken)
    sent = await request(stand.files, LARGE)
    assert [message.get("more_body") for message in sent] == [None, True]  # nothing says that this was all
    assert "repodata.json was broken off: the store of this server does not answer at the moment" in caplog.messages


async def test_a_shard_that_is_damaged_is_not_sent(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.publish()
    path = next(iter((await shard_paths(stand)).values()))
    get_range = stand.store.get_range

    async def damaged(*arguments: Any, **options: Any) -> bytes:
        data = await get_range(*arguments, **options)
        return data[:-1] + bytes([data[-1] ^ 1])

    monkeypatch.setattr(stand.store, "get_range", damaged)
    with pytest.raises(DamagedBlobError) as caught:
        await stand.ask(path)
    assert caught.value.key.startswith("pack/")
    assert stand.hot(path) is None


async def test_a_shard_is_sent_that_is_whole_in_a_pack_that_is_not(stand: Stand) -> None:
    """Its own digest is known, so nobody has to read the whole pack for it."""
    pointer = stand.publish("main", "alpha-1.0-0.conda")
    paths = await shard_paths(stand)
    index = PublicationIndex.open(stand._blobs, pointer.subdirs["noarch"].index)
    location = index.shard_location(paths["alpha"].rpartition("/")[2].removesuffix(".msgpack.zst"))
    assert location is not None
    file = stand.store.local_path(location.pack)
    assert file is not None
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    other = 0 if location.offset else location.offset + location.length
    data[other] ^= 1
    file.write_bytes(data)
    assert (await stand.ask(paths["alpha"])).status == 200


# -- documents that are made when they are asked for -------------------------------------------------------------------


async def test_a_document_is_made_once_however_many_ask_and_again_when_it_is_lost(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.publish()
    made: list[str] = []
    make = client_documents.make_document

    def counted(url: str, fn: str, *arguments: Any) -> None:
        made.append(fn)
        make(url, fn, *arguments)

    monkeypatch.setattr(client_documents, "make_document", counted)
    path = f"{NOARCH}/current_repodata.json.zst"
    answers = await asyncio.gather(*(stand.ask(path) for _ in range(4)))
    assert (len({answer.body for answer in answers}), made) == (1, ["current_repodata.json.zst"])
    await stand.ask(path)
    monkeypatch.setattr(client_documents, "SMALL_RECORDS", 0)  # what is larger, a child process makes
    for prefix in ("document", "derived"):
        for key, _, _ in list(stand.store.list_sync(prefix)):
            await stand.store.delete(key)
        assert (await stand.ask(path)).body == answers[0].body
        assert len(made) == 2  # a pointer that is lost alone is known
    assert (made, stand.files._documents._making) == (["current_repodata.json.zst"] * 2, {})


async def test_a_whole_index_that_was_not_kept_is_put_together_again_once(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.publish()
    before = await stand.ask(f"{NOARCH}/repodata.json.zst")
    for key, _, _ in list(stand.store.list_sync("repodata")):
        await stand.store.delete(key)
    made: list[str] = []
    make = client_documents.make_whole

    def counted(url: str, index_key: str, key: str) -> None:
        made.append(key)
        make(url, index_key, key)

    monkeypatch.setattr(client_documents, "make_whole", counted)
    again = await asyncio.gather(*(stand.ask(f"{NOARCH}/repodata.json.zst") for _ in range(3)))
    assert [answer.body for answer in again] == [before.body] * 3
    assert (len(made), stand.files._documents._making) == (1, {})


# -- which publication is served ---------------------------------------------------------------------------------------


async def test_a_channel_that_nobody_knows_is_looked_for_at_most_so_often(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(channel_directory.time, "monotonic", lambda: now)
    for _ in range(3):
        assert (await stand.ask("/conda/no-one/noarch/repodata.json", authorization=f"Bearer {READER}")).status == 404
    assert stand.reads == 1
    stand.publish()
    assert (await stand.ask(LARGE)).status == 401
    now += channel_directory.REFRESH_AGAIN_S + 0.01
    assert (await stand.ask(LARGE)).status == 200
    assert (await stand.ask(LARGE)).status == 200
    assert stand.reads == 2


async def test_what_was_read_before_a_later_change_is_not_served_after_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.publish()
    assert "beta-1.0-0.conda" in listed(await stand.ask(LARGE))
    stand.publish("main", "beta")
    directory = stand.files._directory
    load = directory._open_channel

    async def overtaken(pointer: Any) -> Any:
        channel = await load(pointer)
        stand.publish("main", "alpha")
        directory._pointers = dict(stand.pointers)  # what another reading has found meanwhile
        return channel

    with monkeypatch.context() as patch:
        patch.setattr(directory, "_open_channel", overtaken)
        await stand.refresh()
    served = directory.served(b"main")
    assert served is not None
    assert served.publication_id == 1
    await stand.refresh()
    assert listed(await stand.ask(LARGE)) == set()  # beta needs alpha


async def test_a_publication_that_cannot_be_read_leaves_the_one_before_it(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    stand.publish()
    before = (await stand.ask(LARGE)).body
    pointer = stand.publish("main", "beta")
    await stand.store.delete(pointer.subdirs["noarch"].index)
    other = stand.publish("other", channel_id=2)
    await stand.refresh()
    assert (await stand.ask(LARGE)).body == before
    assert (await stand.ask("/conda/other/noarch/repodata.json")).status == 200, other
    assert "publication 2 of channel main cannot be read" in caplog.text


@pytest.mark.parametrize("kind", ["publication.made", "channel.edited", "policy.attached", "listening"])
async def test_changes_are_served_when_they_are_announced(stand: Stand, kind: str) -> None:
    stand.publish()
    await stand.files.start()
    try:
        assert "beta-1.0-0.conda" in listed(await stand.ask(LARGE))
        stand.publish("main", "beta")
        stand.announce(kind)

        async def is_swapped() -> bool:
            return "beta-1.0-0.conda" not in listed(await stand.ask(LARGE))

        await until(is_swapped)
    finally:
        await stand.files.stop()
    assert [task.cancelled() for task in stand.files._directory._tasks] == [True, True]


async def test_shards_of_retained_publications_are_served_and_others_are_looked_for_once(stand: Stand) -> None:
    first = stand.publish()
    old = await shard_paths(stand)
    stand.publish("main", "beta", noarch=[record("alpha", "3.0"), record("beta")])
    await stand.refresh()
    stand.retained = [keys.index for keys in (*stand.pointers["main"].subdirs.values(), *first.subdirs.values())]
    assert [(await stand.ask(path)).status for path in old.values()] == [200, 200]
    stand.files._cache.forget_channel(b"main")
    assert (await stand.ask(f"{NOARCH}/shards/{'0' * 64}.msgpack.zst")).status == 404
    assert [(await stand.ask(path)).status for path in old.values()] == [200, 200]
    stand.retained = []
    stand.files._cache.forget_channel(b"main")
    assert [(await stand.ask(path)).status for path in old.values()] == [404, 404]
    stand.retained = [first.subdirs["noarch"].index]
    assert [(await stand.ask(path)).status for path in old.values()] == [404, 404]  # known of this publication
    stand.publish("main")
    await stand.refresh()
    assert [(await stand.ask(path)).status for path in old.values()] == [200, 200]


async def test_what_is_known_of_shards_that_are_not_there_is_bounded(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_directory, "ABSENT_SHARDS", 2)
    stand.publish()
    for digit in "123":
        assert (await stand.ask(f"{NOARCH}/shards/{digit * 64}.msgpack.zst")).status == 404
    absent = stand.files._directory._absent
    assert [digest.hex()[0] for _, _, digest in absent] == ["2", "3"]
