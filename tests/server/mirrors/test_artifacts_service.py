"""Artifacts of mirrors against a real database: stored once, counted, resumed; what goes wrong is shown."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os

import pytest
from sqlalchemy import text

from antivenom.core.errors import UpstreamError
from antivenom.server.context import LOCAL, Resources
from antivenom.server.mirrors.artifacts import fetch_artifacts
from tests.e2e.upstream_channel import Package, write_upstream
from tests.server.asking import Asker, until
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer

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
    await ask.application.artifacts.settle()
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


async def test_an_active_mirror_that_lacks_a_file_serves_its_index_and_tries_again(
    person: Person, upstream: UpstreamServer
) -> None:
    write_upstream(upstream.folder, PACKAGES, shards=False)
    upstream.faults["noarch/alpha-1.0-0.conda"] = 404
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"], mode="active")
    assert (mirror.state, mirror.failures) == ("failed", 1)
    assert "1 of 3 artifacts could not be fetched" in mirror.last_error
    assert "alpha-1.0-0.conda" in await person.kept("main")
    upstream.faults.clear()
    mirror = await person.sync("main")
    assert (mirror.state, mirror.last_error) == ("ok", "")
