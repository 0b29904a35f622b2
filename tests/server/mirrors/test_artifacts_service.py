"""Artifacts of mirrors against a real database: stored once, counted, resumed; what goes wrong is shown."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path

import msgspec
import pytest
import zstandard
from sqlalchemy import text

from antivenom.core.errors import UpstreamError
from antivenom.server.context import LOCAL, Resources
from antivenom.server.events.progress import JobProgress
from antivenom.server.mirrors import queries
from antivenom.server.mirrors.artifacts import fetch_artifacts
from antivenom.server.mirrors.syncing import fetch_ahead
from tests.e2e.upstream_channel import Package, write_upstream
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer
from tests.waiting import until

PACKAGES = [Package("alpha", "1.0"), Package("alpha", "2.0"), Package("beta", "1.0", subdir="linux-64")]
BAN_ALPHA_1 = """
name: ban
rules:
  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["alpha 1.0"]}}
"""


def fetched(upstream: UpstreamServer) -> list[str]:
    """Paths of the artifacts that were asked for, in order."""
    return [path for method, path, _ in upstream.requests if path.endswith(".conda") and method == "GET"]


async def failures(resources: Resources) -> list[dict[str, str]]:
    async with resources.context(LOCAL) as ctx:
        rows = await ctx.session.execute(text("SELECT data FROM event WHERE kind = 'artifact.failed' ORDER BY id"))
        return [data for (data,) in rows]


async def test_a_file_that_is_not_the_promised_one_is_refused_and_shown_on_the_mirror(
    person: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    write_upstream(upstream.folder, PACKAGES, shards=False)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    file = upstream.folder / "noarch" / "alpha-2.0-0.conda"
    promised = file.read_bytes()
    file.write_bytes(bytes([promised[0] ^ 1]) + promised[1:])
    answer = await ask("/conda/main/noarch/alpha-2.0-0.conda")
    assert answer.status == 502
    problem = json.loads(answer.body)
    assert (problem["code"], hashlib.sha256(promised).hexdigest() in problem["detail"]) == ("digest-mismatch", True)

    async def is_shown() -> bool:
        return (await person.look("main")).last_error.startswith("noarch/alpha-2.0-0.conda: ")

    await until(is_shown)  # the client is told first
    assert hashlib.sha256(promised).hexdigest() in (await person.look("main")).last_error
    (failure,) = await failures(person.resources)
    assert (failure["fn"], failure["code"]) == ("alpha-2.0-0.conda", "digest-mismatch")
    file.write_bytes(promised)
    healed = await ask("/conda/main/noarch/alpha-2.0-0.conda")
    assert (healed.status, healed.body) == (200, promised)
    assert (await person.sync("main")).last_error == ""


async def test_an_artifact_is_fetched_once_however_many_ask(
    person: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    write_upstream(upstream.folder, [Package("big", "1.0", payload=os.urandom(3_000_000))], shards=False)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    path = "/conda/main/noarch/big-1.0-0.conda"
    assert (await ask(path, method="HEAD")).status == 200
    assert fetched(upstream) == []
    answers = await asyncio.gather(*(ask(path) for _ in range(8)), ask(path, range="bytes=5-9"))
    whole = (upstream.folder / "noarch" / "big-1.0-0.conda").read_bytes()
    assert [answer.body for answer in answers] == [whole] * 8 + [whole[5:10]]
    await ask.application.artifacts.finish_recording()
    assert (await ask(path)).body == whole
    assert fetched(upstream) == ["/noarch/big-1.0-0.conda"]


async def test_an_active_mirror_stores_what_the_policy_admits_and_nothing_else(
    person: Person, upstream: UpstreamServer
) -> None:
    write_upstream(upstream.folder, PACKAGES, shards=False)
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"], mode="active", policy_text=BAN_ALPHA_1)
    assert (mirror.state, mirror.last_error) == ("ok", "")
    assert sorted(fetched(upstream)) == ["/linux-64/beta-1.0-0.conda", "/noarch/alpha-2.0-0.conda"]
    async with person.resources.context(LOCAL) as ctx:
        stored = await ctx.session.scalar(text("SELECT count(*) FROM event WHERE kind = 'artifact.stored'"))
    assert stored == 2


async def test_fetching_goes_on_where_it_was_and_counts_what_it_fetched(
    person: Person, upstream: UpstreamServer
) -> None:
    write_upstream(upstream.folder, PACKAGES, shards=False)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    upstream.faults["noarch/alpha-1.0-0.conda"] = 404
    told: list[tuple[str, int, int]] = []
    with pytest.raises(UpstreamError, match=r"1 of 3 artifacts could not be fetched; first: .*404"):
        await fetch_artifacts(person.resources, "main", on_progress=lambda *step: told.append(step))
    assert told[-1] == ("fetch artifacts", 3, 3)
    assert "alpha-1.0-0.conda" in (await person.look("main")).last_error
    upstream.faults.clear()
    upstream.requests.clear()
    assert await fetch_artifacts(person.resources, "main") == 1
    assert fetched(upstream) == ["/noarch/alpha-1.0-0.conda"]
    assert await fetch_artifacts(person.resources, "main") == 0


async def test_an_active_mirror_that_lacks_a_file_serves_its_index_and_fetches_it_later(
    person: Person, upstream: UpstreamServer
) -> None:
    write_upstream(upstream.folder, PACKAGES, shards=False)
    upstream.faults["noarch/alpha-1.0-0.conda"] = 404
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"], mode="active")
    # Its schedule and state are those of its syncs, which succeed.
    assert (mirror.state, mirror.failures, mirror.next_sync_at, mirror.progress) == ("ok", 0, None, JobProgress())
    assert "1 of 3 artifacts could not be fetched" in mirror.last_error
    assert "alpha-1.0-0.conda" in await person.kept("main")
    async with person.resources.context(LOCAL) as ctx:
        waiting = text("SELECT args->>'tries' FROM procrastinate_jobs WHERE task_name = :job AND status = 'todo'")
        assert (await ctx.session.scalars(waiting, {"job": "mirror.fetch_artifacts"})).all() == ["1"]
    upstream.faults.clear()
    upstream.requests.clear()
    await fetch_ahead(person.resources, mirror.id, tries=1)
    assert fetched(upstream) == ["/noarch/alpha-1.0-0.conda"]
    mirror = await person.look("main")
    assert (mirror.state, mirror.last_error) == ("ok", "")


async def test_fetching_ahead_leaves_a_sync_that_runs_as_it_is(person: Person, upstream: UpstreamServer) -> None:
    write_upstream(upstream.folder, PACKAGES, shards=False)
    upstream.faults["noarch/alpha-1.0-0.conda"] = 404
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"], mode="active")
    shown = JobProgress("read", 1, 2)
    async with person.resources.context(LOCAL) as ctx:
        row = await queries.find_mirror(ctx.session, "main", lock=True)
        assert row is not None
        row.state, row.progress = "syncing", shown
    await fetch_ahead(person.resources, mirror.id)
    mirror = await person.look("main")
    assert (mirror.state, mirror.progress, mirror.failures) == ("syncing", shown, 0)


@pytest.mark.parametrize("kind", ["repodata", "shards"])
@pytest.mark.parametrize("base_url", ["../files/", "absolute"])
async def test_artifacts_are_fetched_from_where_the_index_says(
    person: Person, upstream: UpstreamServer, ask: Asker, kind: str, base_url: str
) -> None:
    write_upstream(upstream.folder, PACKAGES[:1], shards=kind == "shards")
    (upstream.folder / "files").mkdir()
    (upstream.folder / "noarch" / "alpha-1.0-0.conda").rename(upstream.folder / "files" / "alpha-1.0-0.conda")
    set_base_url(upstream.folder / "noarch", f"{upstream.url}/files" if base_url == "absolute" else base_url)
    await person.mirror("main", upstream, subdirs=["noarch"])
    answer = await ask("/conda/main/noarch/alpha-1.0-0.conda")
    assert (answer.status, fetched(upstream)) == (200, ["/files/alpha-1.0-0.conda"])
    served = json.loads((await ask("/conda/main/noarch/repodata.json")).body)
    assert "base_url" not in served["info"]  # clients fetch from us
    await person.sync("main")
    mirror = await person.look("main")
    assert mirror.subdir_states["noarch"].base_url


async def test_an_index_cannot_send_us_to_a_private_address(
    person: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    write_upstream(upstream.folder, PACKAGES[:1], shards=False)
    set_base_url(upstream.folder / "noarch", "http://169.254.169.254/latest/")
    await person.mirror("main", upstream, subdirs=["noarch"])
    answer = await ask("/conda/main/noarch/alpha-1.0-0.conda")
    assert answer.status == 502
    assert "169.254.169.254" in json.loads(answer.body)["detail"]


def set_base_url(folder: Path, base_url: str) -> None:
    """Rewrite the index files of a subdir so that they name another place for artifacts."""
    document = json.loads((folder / "repodata.json").read_bytes())
    document["info"]["base_url"] = base_url
    (folder / "repodata.json").write_text(json.dumps(document))
    (folder / "repodata.json.zst").write_bytes(zstandard.compress(json.dumps(document).encode()))
    shards = folder / "repodata_shards.msgpack.zst"
    if shards.exists():
        index = msgspec.msgpack.decode(zstandard.decompress(shards.read_bytes()))
        index["info"]["base_url"] = base_url
        shards.write_bytes(zstandard.compress(msgspec.msgpack.encode(index)))
