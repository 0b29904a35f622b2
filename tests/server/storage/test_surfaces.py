"""What is lost and what is stored is shown where people and monitoring look: API, dashboard, /readyz, /metrics."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antivenom.server.storage import jobs
from tests.e2e.upstream_channel import Package, write_upstream
from tests.server.mirrors.conftest import Person
from tests.server.storage.conftest import stored
from tests.upstreams import UpstreamServer


@pytest.fixture
async def main(person: Person, upstream: UpstreamServer) -> Person:
    write_upstream(upstream.folder, [Package("alpha", "1.0")])
    await person.mirror("main", upstream, subdirs=["noarch"])
    return person


async def run(person: Person, client: Any, path: str, body: dict[str, Any]) -> dict[str, Any]:
    asked = await client.post(f"/api/v1/storage/{path}", json=body)
    assert asked.status_code == 202, asked.text
    await person.run_jobs(person.resources)
    done = (await client.get(f"/api/v1/storage/runs/{asked.json()['id']}")).json()
    assert (done["state"], done["error"]) == ("done", "")
    return done


async def test_collection_is_asked_for_and_looked_at_by_the_api(main: Person, app_client):
    await main.resources.blobs.put("pack/orphan", b"1234")
    told = await run(main, app_client, "collections", {"dry_run": True, "min_age_s": 0})
    assert told["dry_run"]
    assert await main.resources.blobs.size("pack/orphan") == 4
    done = await run(main, app_client, "collections", {"min_age_s": 0})
    assert done["report"]["freed"] == {"pack": {"count": 1, "size_bytes": 4}}
    listed = (await app_client.get("/api/v1/storage/runs")).json()
    assert [row["id"] for row in listed["items"]] == [done["id"], told["id"]]
    metrics = (await app_client.get("/metrics")).text
    size = sum(size for key, size in stored(main.resources).items() if key.startswith("pack/"))
    assert f'antivenom_blob_bytes{{kind="pack",named="yes"}} {float(size)}' in metrics
    assert 'antivenom_blob_bytes{kind="pack",named="no"} 4.0' in metrics


@pytest.mark.parametrize("path", ["collections", "verifications"])
async def test_only_an_administrator_asks(main: Person, app_client, anonymous_client, path: str):
    token = (await app_client.post("/api/v1/tokens", json={"name": "author", "role": "author"})).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await anonymous_client.post(f"/api/v1/storage/{path}", json={}, headers=headers)).status_code == 403
    assert (await anonymous_client.get("/api/v1/storage/lost", headers=headers)).status_code == 403
    assert (await app_client.get("/api/v1/storage/runs/77")).status_code == 404


async def test_what_is_lost_is_shown_until_it_is_mended(main: Person, app_client, anonymous_client):
    assert (await anonymous_client.get("/readyz")).json()["lost"] == []
    assert "antivenom_lost_blobs 0.0" in (await app_client.get("/metrics")).text
    keys = [key for key in stored(main.resources) if key.startswith("repodata/")]
    for key in keys:
        await main.resources.blobs.delete(key)
        await jobs.mend_lost(main.resources, event=jobs.EventNotice("blob.lost", f"blob:{key}"))
    lost = (await app_client.get("/api/v1/storage/lost")).json()["items"]
    assert [(row["key"], row["problem"], row["needed_by"]) for row in lost] == [
        (key, "missing", "main/noarch, publication 1") for key in sorted(keys)
    ]
    ready = await anonymous_client.get("/readyz")
    assert (ready.status_code, len(ready.json()["lost"])) == (200, 1)
    assert not any(key in ready.text for key in keys)
    assert f"antivenom_lost_blobs {float(len(keys))}" in (await app_client.get("/metrics")).text
    report = (await run(main, app_client, "verifications", {"repair": True}))["report"]
    assert json.dumps(report)
    page = (await app_client.get("/", headers={"accept": "text/html"})).text
    assert "missing or damaged" in page or report["lost_count"] == 0
