"""Artifacts, whole requests, documents that are made when they are asked for, and which publication is served."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from antivenom.core.errors import BlockedByPolicyError, DamagedBlobError, StorageError
from antivenom.core.policy.compile import Action, Reason
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import Decision
from antivenom.server.distribution import channel_directory, channel_files, client_documents
from antivenom.server.distribution.channel_files import ChannelFiles
from antivenom.server.web.answers import Answer
from tests.core.index_samples import record
from tests.server.distribution.stand import READER, RECORDS, Stand
from tests.server.distribution.test_serving import (
    IMMUTABLE,
    LARGE,
    NOARCH,
    headers_of,
    listed,
    shard_paths,
)
from tests.waiting import until

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
