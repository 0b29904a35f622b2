"""The built-in channel `antivenom`: files beside the code, for everybody; empty where they were not built."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard

from antivenom.server.distribution import own_channel

ARTIFACT = b"PK not really a package" * 5000
FN = "antivenom-client-1.0-py_0.conda"
RECORD = {"name": "antivenom-client", "version": "1.0", "subdir": "noarch", "depends": ["python >=3.10"]}
SHARD = zstandard.compress(b"a shard")
SHARD_FN = f"{hashlib.sha256(SHARD).hexdigest()}.msgpack.zst"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as `make packages` writes it, that the server serves; files that are none of it lie around."""
    folder = tmp_path / "packages"
    noarch = folder / "noarch"
    (noarch / "shards").mkdir(parents=True)
    (folder / "linux-64").mkdir()
    document = json.dumps({"info": {"subdir": "noarch"}, "packages": {}, "packages.conda": {FN: RECORD}}).encode()
    (noarch / "repodata.json").write_bytes(document)
    (noarch / "repodata.json.zst").write_bytes(zstandard.compress(document))
    (noarch / "repodata_shards.msgpack.zst").write_bytes(zstandard.compress(b"\x80"))
    (noarch / "shards" / SHARD_FN).write_bytes(SHARD)
    (noarch / FN).write_bytes(ARTIFACT)
    (noarch / "notes.txt").write_text("not served")
    (tmp_path / "secret.json").write_text("{}")
    monkeypatch.setattr(own_channel, "PACKAGES", folder)
    return folder


@pytest.fixture
def unbuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_channel, "PACKAGES", tmp_path / "nothing")


async def test_anybody_gets_index_shards_and_packages(anonymous_client: Any, packages: Path) -> None:
    index = await anonymous_client.get("/antivenom/noarch/repodata.json")
    assert index.status_code == 200
    assert index.json()["packages.conda"] == {FN: RECORD}
    assert index.headers["cache-control"] == "public, max-age=60, must-revalidate"
    artifact = await anonymous_client.get(f"/antivenom/noarch/{FN}")
    assert artifact.content == ARTIFACT
    assert artifact.headers["etag"] == f'"{hashlib.sha256(ARTIFACT).hexdigest()}"'
    shard = await anonymous_client.get(f"/antivenom/noarch/shards/{SHARD_FN}")
    assert shard.content == SHARD
    assert "immutable" in shard.headers["cache-control"]
    for fn in ("repodata.json.zst", "repodata_shards.msgpack.zst"):
        answer = await anonymous_client.get(f"/antivenom/noarch/{fn}")
        assert answer.headers["content-type"] == "application/zstd"


async def test_ranges_conditions_and_head_are_answered(anonymous_client: Any, packages: Path) -> None:
    url = f"/antivenom/noarch/{FN}"
    part = await anonymous_client.get(url, headers={"range": "bytes=3-12"})
    assert (part.status_code, part.content) == (206, ARTIFACT[3:13])
    head = await anonymous_client.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(ARTIFACT)))
    again = await anonymous_client.get(url, headers={"if-none-match": head.headers["etag"]})
    assert again.status_code == 304


async def test_a_package_that_is_built_again_is_another_content(anonymous_client: Any, packages: Path) -> None:
    before = (await anonymous_client.head(f"/antivenom/noarch/{FN}")).headers["etag"]
    other = packages / "other"
    other.write_bytes(ARTIFACT.upper())
    os.replace(other, packages / "noarch" / FN)
    after = await anonymous_client.get(f"/antivenom/noarch/{FN}")
    assert after.headers["etag"] != before
    assert after.content == ARTIFACT.upper()


@pytest.mark.parametrize(
    "path",
    [
        "noarch/notes.txt",
        "noarch/../../secret.json",
        "noarch/%2e%2e/%2e%2e/secret.json",
        "..%2fsecret.json/repodata.json",
        "%2e%2e/repodata.json",
        "noarch/shards/../repodata.json.conda",
        "noarch//repodata.json",
        "noarch/%0arepodata.json",
        "noarch/repodata.json%00",
        f"noarch/{FN}/",
        "noarch",
        "",
        f"linux-64/{FN}",
    ],
)
async def test_nothing_else_is_served(anonymous_client: Any, packages: Path, path: str) -> None:
    answer = await anonymous_client.get(f"/antivenom/{path}")
    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
async def test_nobody_can_write_to_it(app_client: Any, packages: Path, method: str) -> None:
    answer = await getattr(app_client, method)(f"/antivenom/noarch/{FN}")
    assert answer.status_code == 405
    assert (packages / "noarch" / FN).read_bytes() == ARTIFACT


async def test_where_nothing_was_built_the_channel_is_empty(anonymous_client: Any, unbuilt: None) -> None:
    index = await anonymous_client.get("/antivenom/noarch/repodata.json")
    assert index.status_code == 200
    assert index.json()["packages.conda"] == {}
    packed = await anonymous_client.get("/antivenom/noarch/repodata.json.zst")
    assert json.loads(zstandard.decompress(packed.content)) == index.json()
    assert (await anonymous_client.get("/antivenom/linux-64/repodata.json")).status_code == 404
    assert own_channel.list_packages() == []


async def test_a_broken_index_lists_nothing(packages: Path) -> None:
    assert [package.name for package in own_channel.list_packages()] == ["antivenom-client"]
    (packages / "noarch" / "repodata.json").write_bytes(b"{")
    assert own_channel.list_packages() == []


async def test_no_channel_can_take_its_name(app_client: Any) -> None:
    refused = await app_client.post("/api/v1/channels", json={"name": "antivenom"})
    assert refused.status_code == 422
    assert "built in" in refused.json()["detail"]
    settings = {"channel": "antivenom", "upstream": "https://conda.example/main"}
    mirrored = await app_client.post("/api/v1/mirrors", json=settings)
    assert mirrored.status_code in (409, 422), mirrored.text
    assert "built in" in mirrored.text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("get", "/api/v1/channels/antivenom", None),
        ("patch", "/api/v1/channels/antivenom", {"privacy": "authenticated"}),
        ("delete", "/api/v1/channels/antivenom", None),
    ],
)
async def test_it_cannot_be_changed_or_deleted(app_client: Any, method: str, path: str, body: Any) -> None:
    answer = await app_client.request(method.upper(), path, json=body)
    assert answer.status_code == 409, answer.text
    assert "built in" in answer.json()["detail"]
