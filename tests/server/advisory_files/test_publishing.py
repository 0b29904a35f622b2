"""The advisory file of a server: made once for each knowledge, signed, served to who may have it, mended when lost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from antivenom.core import advisory_file
from antivenom.core.errors import MissingBlobError
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in
from antivenom.server.advisory_files import queries, service
from antivenom.server.context import LOCAL, SYSTEM, Resources
from antivenom.server.events.lost_blobs import tell_lost
from antivenom.server.findings import advisory_file as making
from antivenom.server.findings.advisory_file import make_newest
from antivenom.server.members.service import create_token
from antivenom.server.storage import queries as storage
from antivenom_client.content import content_digest
from antivenom_client.manifest import Manifest, fingerprint, read_document
from antivenom_client.pull import Wish, pull
from tests.client.publisher import FileServer
from tests.server.findings.test_match import learn

MANIFEST = "/advisories/manifest.json"


def advisory(number: int, fixed: str = "2.0") -> Advisory:
    bounds = AffectedRange("ECOSYSTEM", "0", fixed=fixed)
    package = AffectedPackage("pypi", f"package{number % 50}", (bounds,))
    return Advisory(f"GHSA-{number:04}-aaaa-bbbb", "osv", aliases=(f"CVE-2024-{number:04}",), affected=(package,))


def many(start: int, count: int = 200) -> list[Advisory]:
    return [advisory(number) for number in range(start, start + count)]


async def read(client: Any) -> Manifest:
    answer = await client.get(MANIFEST)
    assert answer.status_code == 200, answer.text
    return read_document(answer.content)


async def copy_to(client: Any, server: FileServer) -> None:
    """Let a plain web server serve what the application does."""
    document = (await client.get(MANIFEST)).content
    manifest = read_document(document)
    server.files = {MANIFEST: document}
    for blob in (manifest.file, *(delta.blob for delta in manifest.deltas)):
        answer = await client.get(f"/advisories/{blob.url}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/gzip"
        server.files[f"/advisories/{blob.url}"] = answer.content


@pytest.fixture
async def known(resources: Resources, run_jobs: Any) -> Resources:
    await learn(resources, *many(0))
    assert await run_jobs(resources) == []
    return resources


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FileServer]:
    with FileServer(tmp_path) as server:
        yield server


async def test_it_works(known: Resources, app_client: Any, web: FileServer, tmp_path: Path) -> None:
    await copy_to(app_client, web)
    path = tmp_path / "data" / "advisories.db"
    assert pull(path, Wish(url=web.base)).way == "whole"
    component = ComponentKey("conda", "package7", "1.0", purls=("pkg:pypi/package7@1.0",))
    index_key = await _index_key(known)
    there = MatchIndex.load(await known.blobs.get(index_key), built_in()).assess([component])
    assert [found.ids for found in there[0].findings] == [
        found.ids for found in advisory_file.open(path).assess([component])[0].findings
    ]
    assert there[0].findings


async def _index_key(resources: Resources) -> str:
    async with resources.context(SYSTEM) as ctx:
        return str(await ctx.session.scalar(text("SELECT index_key FROM knowledge_revision ORDER BY id DESC LIMIT 1")))


async def test_nothing_is_made_twice(known: Resources, app_client: Any) -> None:
    before = await read(app_client)
    assert await make_newest(known) is False
    assert await read(app_client) == before


async def test_new_knowledge_comes_as_a_delta(
    known: Resources, app_client: Any, run_jobs: Any, web: FileServer, tmp_path: Path
) -> None:
    await copy_to(app_client, web)
    path = tmp_path / "data" / "advisories.db"
    pull(path, Wish(url=web.base))
    for number in (900, 901):
        await learn(known, advisory(number))
        assert await run_jobs(known) == []
    newest = await read(app_client)
    assert len(newest.deltas) == 2
    await copy_to(app_client, web)
    done = pull(path, Wish(url=web.base))
    assert (done.way, done.deltas) == ("deltas", 2)
    assert done.received < newest.file.size / 2
    assert content_digest(path) == newest.content
    # A law: whatever way the file came to be as it is, it answers what the server answers.
    asked = [
        ComponentKey("conda", f"package{number}", version, purls=(f"pkg:pypi/package{number}@{version}",))
        for number in range(60)
        for version in ("0.1", "1.0", "2.0", "3.0rc1", "none")
    ]
    index = MatchIndex.load(await known.blobs.get(await _index_key(known)), built_in())
    answers = advisory_file.open(path).assess(asked)
    assert answers == index.assess(asked)
    assert sum(len(answer.findings) for answer in answers) > 300


async def test_old_files_are_named_no_more_and_their_deltas_are(
    known: Resources, app_client: Any, run_jobs: Any
) -> None:
    first = await read(app_client)
    for number in (900, 901, 902):
        await learn(known, advisory(number))
        await run_jobs(known)
    async with known.context(SYSTEM) as ctx:
        files = await queries.list_files(ctx.session)
        named = {blob.key for blob in await storage.list_named(ctx.session) if blob.role == "advisory_file"}
    assert [bool(made.blob_key) for made in files] == [True, True, False, False]
    assert named == {made.blob_key for made in files[:2]} | {made.delta_key for made in files[:3]}
    assert (await app_client.get(f"/advisories/{first.file.url}")).status_code == 404
    before = files[1].blob_key.removeprefix(service.PREFIX)
    assert (await app_client.get(f"/advisories/files/{before}.db.gz")).status_code == 200


async def test_manifest_and_file_are_revalidated_and_sent_in_parts(known: Resources, app_client: Any) -> None:
    answer = await app_client.get(MANIFEST)
    again = await app_client.get(MANIFEST, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    file = read_document(answer.content).file
    address = f"/advisories/{file.url}"
    whole = await app_client.get(address)
    assert hashlib.sha256(whole.content).hexdigest() == file.sha256
    assert "immutable" in whole.headers["cache-control"]
    part = await app_client.get(address, headers={"Range": "bytes=10-19", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{file.size}"
    assert (await app_client.head(address)).headers["content-length"] == str(file.size)
    assert (await app_client.get(address, headers={"If-None-Match": whole.headers["etag"]})).status_code == 304


async def test_large_file_is_sent_from_the_disk_and_from_a_bucket_alike(
    known: Resources, app_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antivenom.server.web.blob_content.SMALL_BYTES", 10)
    address = f"/advisories/{(await read(app_client)).file.url}"
    from_disk = (await app_client.get(address)).content
    monkeypatch.setattr(type(known.blobs), "local_path", lambda *_: None)
    assert (await app_client.get(address)).content == from_disk


async def test_who_may_have_it(known: Resources, app_client: Any, anonymous_client: Any) -> None:
    places = [MANIFEST, f"/advisories/{(await read(app_client)).file.url}"]
    async with known.context(LOCAL) as ctx:
        reader = await create_token(ctx, "laptop", role="reader")
    for place in places:
        refused = await anonymous_client.get(place)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        allowed = await anonymous_client.get(place, headers={"Authorization": f"Bearer {reader.value}"})
        assert allowed.status_code == 200
    object.__setattr__(known.settings, "advisory_file_public", True)
    assert [(await anonymous_client.get(place)).status_code for place in places] == [200, 200]


@pytest.mark.parametrize("name", ["x", "x.db.gz", "..%2f..%2fx.db.gz", "0" * 64 + ".db.gz", "0" * 64, "%00.db.gz"])
async def test_names_that_no_manifest_has(known: Resources, app_client: Any, name: str) -> None:
    assert (await app_client.get(f"/advisories/files/{name}")).status_code in (404, 422)


async def test_other_blobs_are_not_served(known: Resources, app_client: Any) -> None:
    digest = (await _index_key(known)).removeprefix(service.PREFIX)
    assert (await app_client.get(f"/advisories/files/{digest}.db.gz")).status_code == 404


async def test_server_without_knowledge_says_so(resources: Resources, app_client: Any) -> None:
    answer = await app_client.get(MANIFEST)
    assert answer.status_code == 404
    assert "has not made an advisory file yet" in answer.json()["detail"]
    assert await make_newest(resources) is False


async def test_key_stays_and_its_successor_is_vouched_for(
    known: Resources, app_client: Any, run_jobs: Any, web: FileServer, tmp_path: Path
) -> None:
    first = await read(app_client)
    await copy_to(app_client, web)
    path, said = tmp_path / "data" / "advisories.db", list[str]()
    pull(path, Wish(url=web.base))
    async with known.context(LOCAL) as ctx:
        fresh = await service.rotate_key(ctx)
    second = await read(app_client)
    assert fingerprint(second.key) == fresh != fingerprint(first.key)
    assert (second.content, second.sequence > first.sequence) == (first.content, True)
    await copy_to(app_client, web)
    assert pull(path, Wish(url=web.base, say=said.append)).way == "unchanged"
    assert "was replaced by" in said[0]
    async with known.context(LOCAL) as ctx:
        assert [key.fingerprint for key in await service.show_keys(ctx)] == [fingerprint(first.key), fresh]


async def test_sequence_goes_on_after_a_restore_and_a_clock_in_the_past(
    known: Resources, app_client: Any, run_jobs: Any
) -> None:
    first = await read(app_client)
    async with known.context(SYSTEM) as ctx:
        assert first.sequence >= int(ctx.now.timestamp()) - 60  # by the clock: a restored database goes on above
    clock = known.clock
    known.clock = lambda: clock() - timedelta(days=400)
    await learn(known, advisory(900))
    await run_jobs(known)
    await make_newest(known)
    assert (await read(app_client)).sequence > first.sequence


@pytest.mark.parametrize("is_delta", [False, True])
async def test_lost_blob_is_made_again(
    known: Resources, app_client: Any, run_jobs: Any, web: FileServer, tmp_path: Path, is_delta: bool
) -> None:
    await learn(known, advisory(900))
    await run_jobs(known)
    manifest = await read(app_client)
    blob = manifest.deltas[0].blob if is_delta else manifest.file
    key = service.PREFIX + blob.sha256
    await known.blobs.delete(key)
    answer = await app_client.get(f"/advisories/{blob.url}")
    assert answer.status_code in (404, 503)
    await tell_lost(known, MissingBlobError(key))
    await run_jobs(known)
    again = await read(app_client)
    assert again.sequence > manifest.sequence
    assert again.deltas == ()  # there is nothing to go on from
    await copy_to(app_client, web)
    path = tmp_path / "data" / "advisories.db"
    assert pull(path, Wish(url=web.base)).way == "whole"


async def test_server_that_takes_long_rests(
    known: Resources, app_client: Any, run_jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await read(app_client)
    async with known.context(SYSTEM) as ctx:
        await ctx.session.execute(text("UPDATE advisory_file SET took_s = 60"))
    await learn(known, advisory(900))
    await run_jobs(known)
    assert await read(app_client) == before
    clock = known.clock
    known.clock = lambda: clock() + timedelta(seconds=60 * making.REST)
    assert await make_newest(known) is True
    assert await read(app_client) != before


async def test_two_workers_make_one_file(known: Resources, app_client: Any) -> None:
    manifest = await read(app_client)
    made = service.MadeFile("other", 1, manifest.content, "knowledge/" + "1" * 64, 1, 1, "0" * 64, 1.0)
    async with known.context(SYSTEM) as ctx:
        await service.publish(ctx, made, ctx.now)
        await service.publish(ctx, made, ctx.now)
        files = await queries.list_files(ctx.session)
    assert len({row.sequence for row in files}) == len(files) == 3
    assert replace(read_document(files[0].document), sequence=0).deltas == ()


async def test_api_and_page_say_what_there_is(
    known: Resources, app_client: Any, anonymous_client: Any, run_jobs: Any
) -> None:
    manifest = await read(app_client)
    shown = (await app_client.get("/api/v1/advisory-file")).json()
    assert (shown["size_bytes"], shown["deltas"], shown["content"]) == (manifest.file.size, 0, manifest.content)
    assert [key["fingerprint"] for key in shown["keys"]] == [fingerprint(manifest.key)]
    rotated = await app_client.post("/api/v1/advisory-file/keys")
    assert rotated.status_code == 201
    assert len(rotated.json()["keys"]) == 2
    async with known.context(LOCAL) as ctx:
        reader = await create_token(ctx, "laptop", role="reader")
    by_reader = {"Authorization": f"Bearer {reader.value}"}
    assert (await anonymous_client.post("/api/v1/advisory-file/keys", headers=by_reader)).status_code == 403
    metrics = (await app_client.get("/metrics")).text
    assert f"antivenom_advisory_file_bytes {float(manifest.file.size)}" in metrics
    assert "antivenom_advisory_file_age_seconds" in metrics
