"""Of several ways to an upstream's index, a bad one leads to the next; what failed is told (docs/dev/bug-reports.md)."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import brotli  # type: ignore[import-untyped]
import msgspec
import pytest
import zstandard

from antivenom.server.mirrors.subdir_state import list_warnings
from tests.e2e.upstream_channel import Package, write_upstream
from tests.reports.odd_upstream import OddUpstream, Reply
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.server.mirrors.test_editing import edit
from tests.upstreams import make_record, write_channel

SHARDS, ZST, JSON = (f"linux-64/{fn}" for fn in ("repodata_shards.msgpack.zst", "repodata.json.zst", "repodata.json"))
HTML = b"\n<!DOCTYPE html><html><title>Sign in</title></html>"
PAGE = Reply(200, HTML, {"Content-Type": "text/html"})
A = {"a-1.0-h0_0.conda"}


def pack(value: Any) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(value))


def unpack(odd: OddUpstream, path: str) -> Any:
    return msgspec.msgpack.decode(zstandard.decompress((odd.folder / path).read_bytes()))


def shard_of(odd: OddUpstream, name: str) -> str:
    return f"linux-64/shards/{unpack(odd, SHARDS)['shards'][name].hex()}.msgpack.zst"


def write_a(odd: OddUpstream, *, shards: bool = True) -> None:
    write_channel(odd.folder, {"linux-64": [make_record("a", "1.0")]}, shards=shards)


# -- shards as older rattler wrote them --------------------------------------------------------------------------------


def arrays_in_shards(odd: OddUpstream, index: dict[str, Any]) -> None:
    for name in index["shards"]:
        shard = unpack(odd, shard_of(odd, name))
        for record in shard["packages.conda"].values():
            record["sha256"], record["md5"] = list(record["sha256"]), list(record["md5"])
        data = pack(shard)
        index["shards"][name] = hashlib.sha256(data).digest()
        odd.replies[f"linux-64/shards/{hashlib.sha256(data).hexdigest()}.msgpack.zst"] = Reply(200, data)


def arrays_in_the_index(odd: OddUpstream, index: dict[str, Any]) -> None:
    index["shards"] = {name: list(key) for name, key in index["shards"].items()}


def no_slash(odd: OddUpstream, index: dict[str, Any]) -> None:
    index["info"]["shards_base_url"] = "./shards"


def no_slash_absolute(odd: OddUpstream, index: dict[str, Any]) -> None:
    index["info"]["shards_base_url"] = f"{odd.url}/linux-64/shards"


@pytest.mark.parametrize("change", [arrays_in_shards, arrays_in_the_index, no_slash, no_slash_absolute])
async def test_shards_of_older_writers_are_read(
    person: Person, odd: OddUpstream, change: Callable[[OddUpstream, dict[str, Any]], None]
) -> None:
    """conda-libmamba-solver#748, rattler#1755."""
    write_a(odd)
    index = unpack(odd, SHARDS)
    change(odd, index)
    odd.replies[SHARDS] = Reply(200, pack(index))
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert (mirror.state, mirror.last_error, await person.kept("main")) == ("ok", "", A)
    assert list_warnings(mirror.subdir_states) == []
    assert ZST not in odd.paths


# -- one bad way -------------------------------------------------------------------------------------------------------

BAD: dict[str, Callable[[bytes], Reply]] = {
    "a page": lambda _: PAGE,
    "a compressed page": lambda _: Reply(200, gzip.compress(HTML), {"Content-Encoding": "gzip"}),
    "a redirect to a page": lambda _: Reply(302, headers={"Location": "/login"}),
    "nothing": lambda _: Reply(200, b""),
    "half": lambda good: Reply(200, good[: len(good) // 2]),
    "less than announced": lambda good: Reply(200, good[:-5], length=len(good)),
    "garbage": lambda _: Reply(200, b"\x00garbage\xff" * 50),
    "other bytes": lambda _: Reply(200, pack({"version": 1})),
    "400": lambda _: Reply(400),
    "401": lambda _: Reply(401),
    "500": lambda _: Reply(500),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("way", ["shard index", "shard", "zst"])
async def test_a_bad_way_to_the_index_leads_to_the_next(
    person: Person, odd: OddUpstream, way: str, bad: Callable[[bytes], Reply]
) -> None:
    """conda#13558, conda#13491, prefix-dev#92, pixi#2011, pixi#860."""
    write_a(odd, shards=way != "zst")
    odd.replies["login"] = PAGE
    path = {"shard index": SHARDS, "zst": ZST}.get(way) or shard_of(odd, "a")
    odd.replies[path] = bad((odd.folder / path).read_bytes())
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert (mirror.state, mirror.last_error, await person.kept("main")) == ("ok", "", A)
    (warning,) = list_warnings(mirror.subdir_states)
    assert odd.url in warning
    odd.replies.clear()
    mirror = await person.sync("main")
    assert (mirror.state, await person.kept("main")) == ("ok", A)
    assert list_warnings(mirror.subdir_states) == []


async def test_a_shard_that_is_not_there_leads_to_the_whole_index(person: Person, odd: OddUpstream) -> None:
    write_a(odd)
    odd.replies[shard_of(odd, "a")] = Reply(404)
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert (mirror.state, await person.kept("main"), odd.paths.count(ZST)) == ("ok", A, 1)
    assert "answered 404" in list_warnings(mirror.subdir_states)[0]


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_a_page_in_place_of_every_index_is_called_one(person: Person, odd: OddUpstream, encoding: str) -> None:
    """mamba#947, pulp_rpm#2416."""
    write_a(odd)
    body = gzip.compress(HTML) if encoding else HTML
    page = Reply(200, body, {"Content-Encoding": encoding} if encoding else {})
    odd.replies.update({"login": page, SHARDS: page, ZST: Reply(302, headers={"Location": "/login"}), JSON: page})
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert mirror.state == "failed"
    assert f"{odd.url}/{JSON} is a page of HTML, not an index" in mirror.last_error


async def test_a_mirror_that_reads_no_shards_asks_for_none(person: Person, odd: OddUpstream) -> None:
    write_a(odd)
    mirror = await person.mirror("main", odd, subdirs=["linux-64"], by_shards=False)
    assert (mirror.state, await person.kept("main")) == ("ok", A)
    assert SHARDS not in odd.paths
    await edit(person, by_shards=True)
    assert SHARDS in odd.paths


async def test_an_index_whose_records_are_all_set_aside_is_never_silent(person: Person, odd: OddUpstream) -> None:
    """The next way is tried; when none is better, the mirror says it."""
    write_a(odd)
    index = unpack(odd, SHARDS)
    shard = unpack(odd, shard_of(odd, "a"))
    shard["packages.conda"]["a-1.0-h0_0.conda"]["sha256"] = b"short"
    data = pack(shard)
    index["shards"]["a"] = hashlib.sha256(data).digest()
    odd.replies[f"linux-64/shards/{hashlib.sha256(data).hexdigest()}.msgpack.zst"] = Reply(200, data)
    odd.replies[SHARDS] = Reply(200, pack(index))
    assert (await person.mirror("main", odd, subdirs=["linux-64"])).state == "ok"
    assert await person.kept("main") == A
    odd.replies[ZST] = odd.replies[JSON] = Reply(
        200, json.dumps({"packages.conda": {"a-1.0-h0_0.conda": {"name": "a"}}}).encode()
    )
    mirror = await edit(person, by_shards=False)
    assert (mirror.state, await person.kept("main")) == ("ok", set())
    assert "linux-64: none of its 1 records can be mirrored" in list_warnings(mirror.subdir_states)[0]


# -- which of two is newer ---------------------------------------------------------------------------------------------


def dated(odd: OddUpstream, name: str, path: str, date: str) -> None:
    write_channel(odd.folder, {"linux-64": [make_record(name, "1.0")]})
    odd.replies[path] = Reply(200, (odd.folder / path).read_bytes(), {"Last-Modified": date})


JUNE, NOVEMBER = "Mon, 01 Jun 2026 00:00:00 GMT", "Mon, 02 Nov 2026 00:00:00 GMT"


async def test_the_newer_of_two_documents_is_read(person: Person, odd: OddUpstream) -> None:
    """quetz#573, quetz#711, mamba#2790: the compressed one is written no more."""
    dated(odd, "new", JSON, NOVEMBER)
    dated(odd, "old", ZST, JUNE)
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert await person.kept("main") == {"new-1.0-h0_0.conda"}
    assert "h older than repodata.json" in list_warnings(mirror.subdir_states)[0]
    dated(odd, "newest", ZST, NOVEMBER)
    mirror = await person.sync("main")
    assert await person.kept("main") == {"newest-1.0-h0_0.conda"}
    assert list_warnings(mirror.subdir_states) == []


async def test_a_document_that_becomes_the_newer_one_later_is_read(person: Person, odd: OddUpstream) -> None:
    dated(odd, "new", JSON, JUNE)
    dated(odd, "old", ZST, JUNE)
    await person.mirror("main", odd, subdirs=["linux-64"])
    assert await person.kept("main") == {"old-1.0-h0_0.conda"}
    odd.replies[JSON] = Reply(200, odd.replies[JSON].body, {"Last-Modified": NOVEMBER})
    await person.sync("main")
    assert await person.kept("main") == {"new-1.0-h0_0.conda"}


async def test_an_older_document_is_better_than_none(person: Person, odd: OddUpstream) -> None:
    dated(odd, "old", ZST, JUNE)
    odd.replies[JSON] = Reply(200, b"{", {"Last-Modified": NOVEMBER})
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert (mirror.state, await person.kept("main")) == ("ok", {"old-1.0-h0_0.conda"})
    assert len(list_warnings(mirror.subdir_states)) == 2


# -- answers nobody asked for ------------------------------------------------------------------------------------------


async def test_not_modified_without_a_condition_is_an_upstreams_fault(person: Person, odd: OddUpstream) -> None:
    """conda-libmamba-solver#70."""
    write_a(odd, shards=False)
    odd.replies[ZST] = odd.replies[JSON] = Reply(304)
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert mirror.state == "failed"
    assert "answered 304 (not modified) to a request that had no condition" in mirror.last_error
    assert [headers.get("cache-control") for path, headers in odd.seen if path == ZST] == [None, "no-cache"]
    del odd.replies[JSON]
    assert ((await person.sync("main")).state, await person.kept("main")) == ("ok", A)


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
async def test_a_validator_that_is_not_ascii_is_dropped(person: Person, odd: OddUpstream, header: str) -> None:
    write_a(odd, shards=False)
    odd.replies[ZST] = Reply(200, (odd.folder / ZST).read_bytes(), {header: '"yesterday \xff"'})
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert (mirror.state, await person.kept("main")) == ("ok", A)
    assert (await person.sync("main")).state == "ok"


EMPTY: Mapping[str, bytes] = {
    "{}": b"{}",
    "nulls": b'{"packages": null, "packages.conda": null}',
    "info alone": b'{"info": {"subdir": "noarch"}}',
    "one section": b'{"packages": {}}',
}


@pytest.mark.parametrize("document", EMPTY.values(), ids=EMPTY)
async def test_a_document_without_records_is_an_empty_subdir(person: Person, odd: OddUpstream, document: bytes) -> None:
    """rattler#744, conda#8902: conda itself prints this recipe."""
    write_a(odd)
    (odd.folder / "noarch/repodata.json").write_bytes(document)
    (odd.folder / "noarch/repodata.json.zst").unlink()
    (odd.folder / "noarch/repodata_shards.msgpack.zst").unlink()
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert (mirror.state, mirror.last_error, await person.kept("main")) == ("ok", "", A)


async def test_json_about_something_else_is_no_empty_subdir(person: Person, odd: OddUpstream) -> None:
    write_a(odd, shards=False)
    await person.mirror("main", odd, subdirs=["linux-64"])
    odd.replies[ZST] = odd.replies[JSON] = Reply(200, b'{"errors": [{"status": 401}]}')
    mirror = await person.sync("main")
    assert (mirror.state, await person.kept("main")) == ("failed", A)
    assert "JSON, but not repodata: it has errors" in mirror.last_error


# -- Content-Encoding although identity was asked for ------------------------------------------------------------------


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


CODED: Mapping[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "two members": ("gzip", lambda data: gzip.compress(data[:20]) + gzip.compress(data[20:])),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.compress),
    "one in another": ("gzip, zstd", lambda data: zstandard.compress(gzip.compress(data))),
    "no coding": ("x-bzip2", lambda data: data),
    "identity": ("identity", lambda data: data),
}


@pytest.mark.parametrize(("coding", "encode"), CODED.values(), ids=CODED)
async def test_a_content_encoding_is_undone_for_index_and_shards(
    person: Person, odd: OddUpstream, coding: str, encode: Callable[[bytes], bytes]
) -> None:
    """rosdistro#47039. A .zst file whose server says zstd of it is taken as the file that it is."""
    write_a(odd)
    subdirs = ("linux-64", "noarch")
    for subdir in subdirs:
        for fn in ("repodata.json.zst", "repodata.json", "repodata_shards.msgpack.zst"):
            data = (odd.folder / subdir / fn).read_bytes()
            if fn.endswith(".zst") and coding == "zstd":
                odd.replies[f"{subdir}/{fn}"] = Reply(200, data, {"Content-Encoding": coding})
            else:
                odd.replies[f"{subdir}/{fn}"] = Reply(200, encode(data), {"Content-Encoding": coding})
    path = shard_of(odd, "a")
    data = (odd.folder / path).read_bytes()
    odd.replies[path] = Reply(200, data if coding == "zstd" else encode(data), {"Content-Encoding": coding})
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert (mirror.state, mirror.last_error, await person.kept("main")) == ("ok", "", A)
    assert (list_warnings(mirror.subdir_states), JSON in odd.paths) == ([], False)
    odd.replies |= {SHARDS: Reply(404), ZST: Reply(404)}
    write_channel(odd.folder, {"linux-64": [make_record("b", "1.0")]})
    odd.replies[JSON] = Reply(200, encode((odd.folder / JSON).read_bytes()), {"Content-Encoding": coding})
    mirror = await person.sync("main")
    assert (mirror.state, mirror.last_error, await person.kept("main")) == ("ok", "", {"b-1.0-h0_0.conda"})


@pytest.mark.parametrize(("coding", "encode"), CODED.values(), ids=CODED)
async def test_a_content_encoding_is_undone_for_artifacts(
    person: Person, odd: OddUpstream, ask: Asker, coding: str, encode: Callable[[bytes], bytes]
) -> None:
    packages = [Package("pure", "1.0")]
    write_upstream(odd.folder, packages)
    await person.mirror("main", odd, subdirs=["noarch"])
    (fn,) = await person.kept("main")
    artifact = (odd.folder / "noarch" / fn).read_bytes()
    odd.replies[f"noarch/{fn}"] = Reply(200, encode(artifact), {"Content-Encoding": coding})
    answer = await ask(f"/conda/main/noarch/{fn}")
    assert (answer.status, answer.body) == (200, artifact)
