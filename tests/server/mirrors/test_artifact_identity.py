"""An artifact that calls itself another package than its index is not served; one that only differs is, and shows it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from antivenom.cli.channel import explanation
from antivenom.core.errors import UpstreamError
from antivenom.server.context import LOCAL
from antivenom.server.mirrors import artifact_identity
from antivenom.server.mirrors.artifacts import fetch_artifacts
from tests.e2e.upstream_channel import Package, make_artifact, make_index_record
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.server.mirrors.test_artifacts_service import failures, fetched
from tests.server.test_pages import member_client, stranger  # noqa: F401  # fixtures
from tests.upstreams import UpstreamServer, write_channel
from tests.waiting import until

LISTED = Package("alpha", "1.0", depends=("beta",))
GOOD = Package("beta", "1.0")
PATH = f"/conda/main/noarch/{LISTED.fn}"
OTHERS = {
    "name": replace(LISTED, name="evil"),
    "version": replace(LISTED, version="9.9"),
    "subdir": replace(LISTED, subdir="linux-64"),
}


def write(folder: Path, artifact: Package, **record: Any) -> bytes:
    """An upstream whose index lists `LISTED`, with the digest of another artifact under its file name."""
    data, good = make_artifact(artifact), make_artifact(GOOD)
    digests = {"md5": hashlib.md5(data).hexdigest(), "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    records = [
        (LISTED.fn, make_index_record(LISTED, data) | digests | record),
        (GOOD.fn, make_index_record(GOOD, good)),
    ]
    write_channel(folder, {"linux-64": [], "noarch": records})
    (folder / "noarch" / LISTED.fn).write_bytes(data)
    (folder / "noarch" / GOOD.fn).write_bytes(good)
    return data


async def explain(client: Any, channel: str = "main") -> Any:
    what = {"what": f"noarch/{LISTED.fn}"}
    (row,) = (await client.get(f"/api/v1/channels/{channel}/explain", params=what)).json()["items"]
    return row


@pytest.mark.parametrize("field", OTHERS)
async def test_an_artifact_that_calls_itself_another_package_is_refused_and_told(
    person: Person, upstream: UpstreamServer, ask: Asker, app_client: Any, field: str
) -> None:
    write(upstream.folder, OTHERS[field])
    await person.mirror("main", upstream, subdirs=["linux-64"])
    answer = await ask(PATH)
    problem = json.loads(answer.body)
    assert (answer.status, problem["code"]) == (502, "artifact-mismatch")
    assert f"{field} '{getattr(OTHERS[field], field)}' where the index says" in problem["detail"]
    await ask.application.artifacts.finish_recording()
    (failure,) = await failures(person.resources)
    assert (failure["fn"], failure["code"]) == (LISTED.fn, "artifact-mismatch")
    row = await explain(app_client)
    assert row["artifact"]["refused"].startswith(field)
    assert "refused when it was fetched" in "\n".join(explanation(row))
    assert (await ask(PATH)).status == 502
    assert (await ask(PATH, method="HEAD")).status == 502
    assert fetched(upstream) == [f"/noarch/{LISTED.fn}"]  # its bytes are known: they are not fetched again
    assert (await ask(f"/conda/main/noarch/{GOOD.fn}")).status == 200


async def test_bytes_that_another_channel_stored_under_their_own_name_are_not_served_under_a_false_one(
    person: Person, upstream: UpstreamServer, ask: Asker, tmp_path: Path
) -> None:
    evil = OTHERS["name"]
    data = write(upstream.folder, evil)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    folder = tmp_path / "honest"
    write_channel(folder, {"noarch": [(evil.fn, make_index_record(evil, data))]})
    (folder / "noarch" / evil.fn).write_bytes(data)
    with UpstreamServer(folder) as honest:
        await person.mirror("honest", honest, subdirs=["noarch"])

        async def is_served() -> bool:
            return (await ask(f"/conda/honest/noarch/{evil.fn}")).status == 200

        await until(is_served)
    await ask.application.artifacts.finish_recording()
    assert (await ask(PATH)).status == 502
    assert (await ask(f"/conda/honest/noarch/{evil.fn}")).status == 200


async def test_what_an_artifact_says_is_known_before_others_can_have_its_bytes(
    person: Person, upstream: UpstreamServer, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(upstream.folder, LISTED)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    known_when_stored = []
    blobs = ask.application.resources.blobs
    put_file = blobs.put_file

    async def look_and_put(key: str, path: Path, **options: Any) -> None:
        async with person.resources.context(LOCAL) as ctx:
            known_when_stored.append(await ctx.session.scalar(text("SELECT count(*) FROM artifact_index")))
        await put_file(key, path, **options)

    monkeypatch.setattr(blobs, "put_file", look_and_put)
    assert (await ask(PATH)).status == 200
    assert known_when_stored == [1]


async def test_an_active_mirror_stores_the_others(person: Person, upstream: UpstreamServer) -> None:
    write(upstream.folder, OTHERS["name"])
    await person.mirror("main", upstream, subdirs=["linux-64"])
    for _ in range(2):
        with pytest.raises(
            UpstreamError, match=r"1 of 2 artifacts could not be fetched; first: alpha-1\.0-0\.conda is not"
        ):
            await fetch_artifacts(person.resources, "main")
    assert sorted(fetched(upstream)) == [f"/noarch/{LISTED.fn}", f"/noarch/{GOOD.fn}"]


async def test_repairs_of_the_index_count_and_are_shown_as_differences(
    person: Person,
    upstream: UpstreamServer,
    ask: Asker,
    app_client: Any,
    member_client: Any,  # noqa: F811
) -> None:
    write(upstream.folder, LISTED, depends=["beta >=1"], constrains=["gamma"], license="Apache-2.0")
    await person.mirror("main", upstream, subdirs=["linux-64"])
    assert (await explain(app_client))["artifact"] is None  # nobody has looked into it yet
    assert (await ask(PATH)).status == 200
    await ask.application.artifacts.finish_recording()
    assert await failures(person.resources) == []
    row = await explain(app_client)
    assert row["artifact"] == {
        "refused": "",
        "differences": [
            {"field": "depends", "index": ["beta >=1"], "artifact": ["beta"]},
            {"field": "constrains", "index": ["gamma"], "artifact": []},
            {"field": "license", "index": ["Apache-2.0"], "artifact": ["MIT"]},
        ],
    }
    lines = "\n".join(explanation(row))
    assert "depends: only the index, which counts, has beta >=1; only the artifact has beta" in lines
    page = (await member_client.get("/channels/main/packages/alpha")).text
    assert "the index counts, and differs from the artifact" in page
    assert "beta &gt;=1" in page


async def test_a_page_shows_the_refusal(
    person: Person,
    upstream: UpstreamServer,
    ask: Asker,
    member_client: Any,  # noqa: F811
) -> None:
    write(upstream.folder, OTHERS["name"])
    await person.mirror("main", upstream, subdirs=["linux-64"])
    assert (await ask(PATH)).status == 502
    await ask.application.artifacts.finish_recording()
    page = (await member_client.get("/channels/main/packages/alpha")).text
    assert "Refused when it was fetched" in page
    assert "</svg>Refused</span>" in page


async def test_stored_artifacts_are_served_while_the_database_is_away(
    person: Person, upstream: UpstreamServer, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(upstream.folder, LISTED)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    assert (await ask(PATH)).status == 200
    await ask.application.artifacts.finish_recording()

    async def fail(*_arguments: Any) -> None:
        raise OSError("away")

    monkeypatch.setattr(artifact_identity, "find_artifact_indexes", fail)
    assert (await ask(PATH)).status == 200
