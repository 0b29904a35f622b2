"""What clients were given by other servers, as public bug reports describe it (docs/dev/bug-reports.md)."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin

import msgspec
import pytest
import zstandard

from antivenom.server.channels.service import create_channel
from antivenom.server.context import LOCAL
from antivenom.server.members.service import create_token
from tests.e2e.upstream_channel import Package, write_upstream
from tests.reports.odd_upstream import OddUpstream
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.upstreams import make_record, write_channel

PACKAGES = [Package("alpha", "1.0"), Package("alpha", "2.0"), Package("beta", "1.0", subdir="linux-64")]
INDEX = "repodata_shards.msgpack.zst"


async def shards_by_index(ask: Asker, folder: str) -> dict[str, dict[str, Any]]:
    """The records that a client finds by the shard index at a path, with the addresses that it names."""
    index = msgspec.msgpack.decode(zstandard.decompress((await ask(f"{folder}/{INDEX}")).body))
    base = urljoin(f"{folder}/", index["info"]["shards_base_url"])
    found = {}
    for key in index["shards"].values():
        shard = await ask(f"{base}{key.hex()}.msgpack.zst")
        assert shard.status == 200
        content = msgspec.msgpack.decode(zstandard.decompress(shard.body, max_output_size=1 << 24))
        found |= content["packages"] | content["packages.conda"]
    return found


async def test_every_index_of_a_subdir_lists_the_same_files(person: Person, odd: OddUpstream, ask: Asker) -> None:
    """conda-infrastructure#1326, anaconda-issues#9663, quetz#715: one of the formats is another day's."""
    for packages in (PACKAGES[:1], PACKAGES):
        write_upstream(odd.folder, packages)
        mirror = await person.mirror("main", odd, subdirs=["linux-64"]) if len(packages) == 1 else None
        assert (mirror or await person.sync("main")).state == "ok"
        for subdir in ("noarch", "linux-64"):
            expected = {package.fn for package in packages if package.subdir == subdir}
            plain = await ask(f"/conda/main/{subdir}/repodata.json")
            packed = await ask(f"/conda/main/{subdir}/repodata.json.zst")
            assert zstandard.decompress(packed.body) == plain.body
            assert set(json.loads(plain.body)["packages.conda"]) == expected
            assert set(await shards_by_index(ask, f"/conda/main/{subdir}")) == expected


async def test_shards_are_found_by_their_index_below_a_token(person: Person, odd: OddUpstream, ask: Asker) -> None:
    """conda#16637, mamba#4210: the token or the subdir is lost between the index and its shards."""
    write_upstream(odd.folder, PACKAGES)
    async with person.resources.context(LOCAL) as ctx:
        await create_channel(ctx, "main", privacy="authenticated")
        token = (await create_token(ctx, "reader")).value
    await person.mirror("main", odd, subdirs=["linux-64"])
    for folder in (f"/t/{token}/conda/main/noarch", f"/conda/t/{token}/main/noarch"):
        assert set(await shards_by_index(ask, folder)) == {"alpha-1.0-0.conda", "alpha-2.0-0.conda"}


async def test_a_new_channel_has_an_empty_noarch_before_anything_was_published(person: Person, ask: Asker) -> None:
    """nexus-public#1056, quetz#581, conda#8902: conda refuses a channel without noarch."""
    async with person.resources.context(LOCAL) as ctx:
        await create_channel(ctx, "empty")
    document = json.loads((await ask("/conda/empty/noarch/repodata.json")).body)
    assert (document["info"], document["packages"], document["packages.conda"]) == ({"subdir": "noarch"}, {}, {})
    assert (await ask("/conda/empty/linux-64/repodata.json")).status == 404


async def test_nothing_is_compressed_twice_or_undone_on_the_way(person: Person, odd: OddUpstream, ask: Asker) -> None:
    """ros/rosdistro#47039: what is compressed already is compressed for the transport as well."""
    write_upstream(odd.folder, PACKAGES)
    await person.mirror("main", odd, subdirs=["linux-64"])
    expected = {
        INDEX: "application/zstd",
        "repodata.json.zst": "application/zstd",
        "alpha-1.0-0.conda": "application/zip",
    }
    for fn, content_type in expected.items():
        plain = await ask(f"/conda/main/noarch/{fn}")
        packed = await ask(f"/conda/main/noarch/{fn}", accept_encoding="gzip, deflate, br, zstd")
        assert packed.body == plain.body
        assert "content-encoding" not in packed.headers
        assert packed.headers["content-type"] == content_type
    await ask.application.artifacts.finish_recording()


async def test_a_format_that_is_not_served_is_said_so_and_never_kept_by_a_cache(
    person: Person, odd: OddUpstream, ask: Asker
) -> None:
    """conda#16183, sonatype/nexus-public#87: a 404 of yesterday hides a file of today."""
    write_upstream(odd.folder, PACKAGES)
    await person.mirror("main", odd, subdirs=["linux-64"])
    for fn in (
        "repodata.json.bz2",
        "current_repodata.json.bz2",
        "patch_instructions.json",
        "repodata.jlap",
        "repodata_from_packages.json",
    ):
        answer = await ask(f"/conda/main/noarch/{fn}")
        assert (answer.status, answer.headers["cache-control"]) == (404, "no-store")
        assert json.loads(answer.body)["status"] == 404
    assert (await ask("/conda/main/noarch/current_repodata.json")).status == 200


async def test_an_unchanged_file_is_answered_with_the_tag_that_the_client_has(
    person: Person, odd: OddUpstream, ask: Asker
) -> None:
    """rattler#2719: a 304 without a validator is an error for clients. rattler#2724: it renews how long it holds."""
    write_upstream(odd.folder, PACKAGES)
    await person.mirror("main", odd, subdirs=["linux-64"])
    for fn in (INDEX, "repodata.json", "repodata.json.zst", "current_repodata.json"):
        whole = await ask(f"/conda/main/noarch/{fn}")
        for condition in (whole.headers["etag"], f"W/{whole.headers['etag']}", f'"other", {whole.headers["etag"]}'):
            same = await ask(f"/conda/main/noarch/{fn}", if_none_match=condition)
            assert same.status == 304
            assert all(same.headers[name] == whole.headers[name] for name in ("etag", "last-modified", "cache-control"))


ADDRESSED = {
    "url": "https://evil.example/a", "base_url": "https://evil.example/", "channel": "https://evil.example/c",
    "urls": ["https://evil.example/a"], "package_url": "evil/p", "schannel": "evil", "fn": "../../evil.conda",
    "filename": "evil.conda", "package_tarball_full_path": "/evil/a.conda",
}  # fmt: skip


async def test_no_address_of_an_upstreams_record_reaches_a_client(person: Person, odd: OddUpstream, ask: Asker) -> None:
    """mamba#4394, nexspence#142, nexspence#145, conda#8055, ceps#146: clients follow it past the server that guards them."""
    write_channel(odd.folder, {"linux-64": [make_record("a", "1.0", **ADDRESSED)]})
    await person.mirror("main", odd, subdirs=["linux-64"])
    for fn in ("repodata.json", "current_repodata.json", "run_exports.json", "../channeldata.json"):
        path = urljoin("/conda/main/linux-64/", fn)
        answer = await ask(path)
        assert (answer.status, b"evil" in answer.body) == (200, False), path
    assert not ADDRESSED.keys() & (await shards_by_index(ask, "/conda/main/linux-64"))["a-1.0-h0_0.conda"].keys()


@pytest.mark.parametrize(
    "path", ["/t/{0}/conda/main/noarch/repodata.json", "/conda/t/{0}/main/x", "/t/{0}/x", "/t/{0}"]
)
async def test_a_token_that_is_refused_is_not_said_again(
    person: Person, ask: Asker, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """anaconda-client#548: a token with one character too many is printed."""
    caplog.set_level(logging.DEBUG)
    async with person.resources.context(LOCAL) as ctx:
        await create_channel(ctx, "main", privacy="authenticated")
    answer = await ask(path.format("av-0123456789wrong"))
    assert answer.status in (401, 404)
    assert b"0123456789wrong" not in answer.body
    assert "0123456789wrong" not in caplog.text


@pytest.mark.parametrize("credentials", ["user:s3cret%40%3A%2Fpart", "user:s3cret@part", "s3cret:"])
async def test_credentials_of_an_upstream_are_sent_and_shown_nowhere(
    person: Person, odd: OddUpstream, ask: Asker, app_client: Any, credentials: str, caplog: pytest.LogCaptureFixture
) -> None:
    """conda#10232, conda#9278, rattler-build#1636: they are shown by commands, errors and the packages themselves."""
    caplog.set_level(logging.DEBUG)
    write_upstream(odd.folder, PACKAGES)
    address = odd.url.replace("//", f"//{credentials}@")
    await person.mirror("main", SimpleNamespace(url=address), subdirs=["linux-64"])
    assert all("authorization" in headers for _, headers in odd.seen)
    for fn in ("repodata.json.zst", "repodata.json"):
        (odd.folder / "noarch" / fn).write_bytes(b"damaged")
    assert (await person.sync("main")).state == "failed"
    shown = ""
    for path in ("mirrors/main", "channels/main", "mirrors", "events?page_size=500"):
        answer = await app_client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, path
        shown += answer.text
    for fn in ("noarch/repodata.json", "channeldata.json", "noarch/run_exports.json"):
        shown += (await ask(f"/conda/main/{fn}")).body.decode()
    assert "s3cret" not in shown + caplog.text
