"""Upstreams as public bug reports describe them (docs/dev/bug-reports.md): what is read, and what is refused and told."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from antivenom.server.context import LOCAL
from antivenom.server.mirrors import service as mirrors
from tests.reports.odd_upstream import OddUpstream, Reply
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.server.mirrors.test_editing import edit
from tests.upstreams import make_record, write_channel

SHARDS, ZST, JSON = (f"linux-64/{fn}" for fn in ("repodata_shards.msgpack.zst", "repodata.json.zst", "repodata.json"))
HTML = b"<!DOCTYPE html><html><title>Sign in</title></html>"
NOT_THERE = Reply(404, HTML, {"Content-Type": "text/html"})
BOTH = {"a-1.0-h0_0.conda", "pure-1.0-py_0.conda"}

Odd = Callable[[OddUpstream], Mapping[str, Reply]]


def write_both(folder: Path, **options: Any) -> None:
    pure = make_record("pure", "1.0", "py_0", subdir="noarch", noarch="python")
    write_channel(folder, {"linux-64": [make_record("a", "1.0")], "noarch": [pure]}, **options)


def read(odd: OddUpstream, path: str) -> bytes:
    return (odd.folder / path).read_bytes()


READ: dict[str, Odd] = {
    "devpi#1112: bytes of no particular type": lambda odd: {
        ZST: NOT_THERE, JSON: Reply(200, read(odd, JSON), {"Content-Type": "application/octet-stream"})
    },
    "conda#13491: a .zst that is JSON": lambda odd: {ZST: Reply(200, read(odd, JSON))},
    "anaconda-issues#9663: a .json that is bzip2": lambda odd: {
        ZST: NOT_THERE, JSON: Reply(200, bz2.compress(read(odd, JSON)))
    },
    "pixi#860: 403 for what is not there": lambda odd: {SHARDS: Reply(403), ZST: Reply(403)},
    "conda#12442: only repodata.json": lambda odd: {ZST: NOT_THERE},
    "conda#8623: an address relative to the index": lambda odd: {
        ZST: Reply(302, headers={"Location": "../elsewhere"}), "elsewhere": Reply(200, read(odd, ZST))
    },
}  # fmt: skip


@pytest.mark.parametrize("replies", READ.values(), ids=READ)
async def test_an_odd_upstream_that_clients_read_is_read(person: Person, odd: OddUpstream, replies: Odd) -> None:
    write_both(odd.folder)
    odd.replies.update(replies(odd))
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert (mirror.state, mirror.last_error, await person.kept("main")) == ("ok", "", BOTH)


def with_info(odd: OddUpstream, **info: Any) -> Reply:
    """The shard index with other members in its info; `...` takes one out."""
    index = msgspec.msgpack.decode(zstandard.decompress(read(odd, SHARDS)))
    index["info"] = {name: value for name, value in (index["info"] | info).items() if value is not ...}
    return Reply(200, zstandard.ZstdCompressor(write_content_size=False).compress(msgspec.msgpack.encode(index)))


SHARDED: dict[str, Odd] = {
    "conda#16452: shards and nothing else": lambda odd: {ZST: NOT_THERE, JSON: NOT_THERE},
    "conda-libmamba-solver#748: frames that do not say their size": lambda odd: {SHARDS: with_info(odd)},
    "rattler#2784: an info field in a shape of tomorrow": lambda odd: {
        SHARDS: with_info(odd, repodata_revisions={"v0": {"n_packages": 1}})
    },
    "no base_url": lambda odd: {SHARDS: with_info(odd, base_url=...)},
    "no creation time": lambda odd: {SHARDS: with_info(odd, created_at=...)},
    "a base of shards without a dot": lambda odd: {SHARDS: with_info(odd, shards_base_url="shards/")},
}


@pytest.mark.parametrize("replies", SHARDED.values(), ids=SHARDED)
async def test_odd_shards_that_clients_read_are_read(person: Person, odd: OddUpstream, replies: Odd) -> None:
    write_both(odd.folder, shards=True)
    odd.replies.update(replies(odd))
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert (mirror.state, mirror.last_error, await person.kept("main")) == ("ok", "", BOTH)


REFUSED: dict[str, Odd] = {
    "mamba#947: a sign-in page": lambda odd: dict.fromkeys((SHARDS, ZST, JSON), Reply(200, HTML)),
    "pulp_rpm#2416: a compressed page": lambda odd: dict.fromkeys(
        (SHARDS, ZST, JSON), Reply(200, gzip.compress(HTML), {"Content-Encoding": "gzip"})
    ),
    "buffrs#40: a redirect to a page": lambda odd: {
        **dict.fromkeys((SHARDS, ZST, JSON), Reply(302, headers={"Location": "/login"})), "login": Reply(200, HTML)
    },
    "tuna-issues#1778: half a document": lambda odd: {ZST: NOT_THERE, JSON: Reply(200, read(odd, JSON)[:-40])},
    "mamba#442: less than was announced": lambda odd: {ZST: NOT_THERE, JSON: Reply(200, read(odd, JSON)[:-40], length=9999)},
    "conda#5705: a page in another encoding": lambda odd: {ZST: NOT_THERE, JSON: Reply(200, "<html>目录".encode("gb2312"))},
    "bandersnatch#659: an empty answer": lambda odd: {ZST: NOT_THERE, JSON: Reply(200, b"")},
    "204": lambda odd: {ZST: NOT_THERE, JSON: Reply(204)},
    "a redirect in a circle": lambda odd: dict.fromkeys((SHARDS, ZST, JSON), Reply(302, headers={"Location": f"/{ZST}"})),
    "ceps#151: to the address of a cloud's secrets": lambda odd: dict.fromkeys(
        (SHARDS, ZST, JSON), Reply(302, headers={"Location": "http://169.254.169.254/latest/meta-data"})
    ),
    "a redirect to a file": lambda odd: dict.fromkeys((SHARDS, ZST, JSON), Reply(302, headers={"Location": "file:///etc/hosts"})),
}  # fmt: skip


@pytest.mark.parametrize("replies", REFUSED.values(), ids=REFUSED)
async def test_what_is_no_index_is_told_and_changes_nothing_in_any_subdir(
    person: Person, odd: OddUpstream, ask: Asker, replies: Odd
) -> None:
    """mamba#1128, mamba#512: the next run goes on without what could not be read."""
    write_both(odd.folder)
    await person.mirror("main", odd, subdirs=["linux-64"])
    served = {s: (await ask(f"/conda/main/{s}/repodata.json")).body for s in ("linux-64", "noarch")}
    new = {s: [make_record("new", "1.0", subdir=s)] for s in served}
    write_channel(odd.folder, new)
    odd.replies.update(replies(odd))
    mirror = await person.sync("main")
    assert (mirror.state, mirror.failures) == ("failed", 1)
    assert "something went wrong" not in mirror.last_error
    assert {s: (await ask(f"/conda/main/{s}/repodata.json")).body for s in served} == served
    odd.replies.clear()
    assert ((await person.sync("main")).state, len(await person.kept("main"))) == ("ok", 1)


async def test_noarch_that_comes_later_is_taken_and_one_that_vanishes_is_kept(person: Person, odd: OddUpstream) -> None:
    """quetz#527: an empty noarch of one's own hides the upstream's."""
    write_both(odd.folder)
    gone = {f"noarch/{fn}": NOT_THERE for fn in ("repodata.json", "repodata.json.zst")}
    odd.replies.update(gone)
    await person.mirror("main", odd, subdirs=["linux-64"])
    assert await person.kept("main") == {"a-1.0-h0_0.conda"}
    odd.replies.clear()
    await person.sync("main")
    assert await person.kept("main") == BOTH
    odd.replies.update(gone)
    assert (await person.sync("main")).state == "failed"
    assert await person.kept("main") == BOTH


async def test_a_subdir_that_the_upstream_never_had_is_no_error(person: Person, odd: OddUpstream, ask: Asker) -> None:
    """rattler#172, mamba#201: a channel without the platform's folder cannot be used."""
    pure = make_record("pure", "1.0", "py_0", subdir="noarch", noarch="python")
    write_channel(odd.folder, {"noarch": [pure], "osx-arm64": []})
    assert (await person.mirror("main", odd)).state == "ok"
    statuses = {s: (await ask(f"/conda/main/{s}/repodata.json")).status for s in ("noarch", "osx-arm64", "linux-64")}
    assert statuses == {"noarch": 200, "osx-arm64": 200, "linux-64": 404}


async def test_another_upstream_is_read_whole_although_its_tags_are_those_of_the_old_one(
    person: Person, odd: OddUpstream, tmp_path: Path
) -> None:
    """devpi#817, devpi#973: a changed address brings nothing, for the old one's state seems to be newer."""
    same = {"ETag": '"1"', "Last-Modified": "Mon, 23 Nov 2026 00:00:00 GMT"}
    (tmp_path / "other").mkdir()
    with OddUpstream(tmp_path / "other") as other:
        for upstream, name in ((odd, "old"), (other, "new")):
            write_channel(upstream.folder, {"linux-64": [make_record(name, "1.0")]})
            upstream.replies[ZST] = Reply(200, read(upstream, ZST), same)
        await person.mirror("main", odd, subdirs=["linux-64"])
        mirror = await edit(person, upstream=other.url)
    assert (mirror.state, await person.kept("main")) == ("ok", {"new-1.0-h0_0.conda"})
    assert not any("if-none-match" in headers for _, headers in other.seen)


async def test_an_unchanged_index_is_not_fetched_again(person: Person, odd: OddUpstream) -> None:
    """conda#1249: the validators were lost, and everything was downloaded every time."""
    write_both(odd.folder)
    odd.replies[ZST] = Reply(200, read(odd, ZST), {"ETag": '"1"', "Last-Modified": "Mon, 23 Nov 2026 00:00:00 GMT"})
    await person.mirror("main", odd, subdirs=["linux-64"])
    odd.replies[ZST] = Reply(304)
    mirror = await person.sync("main")
    asked = [headers for path, headers in odd.seen if path == ZST][-1]
    assert (asked["if-none-match"], asked["if-modified-since"]) == ('"1"', "Mon, 23 Nov 2026 00:00:00 GMT")
    assert (mirror.state, await person.kept("main")) == ("ok", BOTH)


async def test_a_sync_that_is_asked_for_three_times_is_done_once(person: Person, odd: OddUpstream) -> None:
    """uyuni-project/minima#7: two runs at once leave half a repository."""
    write_both(odd.folder)
    await person.mirror("main", odd, subdirs=["linux-64"])
    odd.seen.clear()
    for _ in range(3):
        async with person.resources.context(LOCAL) as ctx:
            await mirrors.request_sync(ctx, "main")
    await person.run_jobs(person.resources)
    assert odd.paths.count(ZST) == 1


async def test_nothing_of_a_failed_sync_stays_in_the_home(person: Person, odd: OddUpstream) -> None:
    """tuna-issues#518: hidden files of downloads that failed fill the disk."""
    write_both(odd.folder)
    odd.replies.update({ZST: NOT_THERE, JSON: Reply(200, b"{" * 5000, length=9999)})
    assert (await person.mirror("main", odd, subdirs=["linux-64"])).state == "failed"
    assert list((person.resources.settings.home / "scratch").rglob("*")) == []


async def test_what_an_upstream_withdraws_leaves_the_index_and_every_build_stays_listed(
    person: Person, odd: OddUpstream, ask: Asker
) -> None:
    """nexus-public#1056, conda-build#2303, bandersnatch#1273: deleted files stay listed, of several builds one is."""
    builds = [make_record("a", "1.0", f"h{n}_{n}") for n in range(4)]
    write_channel(odd.folder, {"linux-64": builds})
    await person.mirror("main", odd, subdirs=["linux-64"])
    assert await person.kept("main") == {fn for fn, _ in builds}
    write_channel(odd.folder, {"linux-64": builds[1:]})
    await person.sync("main")
    for fn in ("repodata.json", "current_repodata.json"):
        document = json.loads((await ask(f"/conda/main/linux-64/{fn}")).body)
        assert "a-1.0-h0_0.conda" not in document["packages.conda"]
    assert await person.kept("main") == {fn for fn, _ in builds[1:]}


BAN_XZ = """
name: ban
rules:
  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["xz 5.6.*"]}}
"""


async def test_dependencies_that_nobody_can_parse_withhold_nothing(person: Person, odd: OddUpstream) -> None:
    """rattler#160: they are in real channels, and clients leave them alone until somebody asks for the record."""
    specs = ["b ==1.0,|", "e[", "c >=1.*", "", " ", "xz[version='5.4.*'", "xz 5.4.* # [linux]"]
    odd_ones = [make_record(f"odd{n}", "1.0", depends=[spec]) for n, spec in enumerate(specs)]
    write_channel(odd.folder, {"linux-64": [*odd_ones, make_record("xz", "5.4.6"), make_record("xz", "5.6.0")]})
    mirror = await person.mirror("main", odd, subdirs=["linux-64"], policy_text=BAN_XZ)
    assert (mirror.state, set(await person.withheld("main"))) == ("ok", {"xz-5.6.0-h0_0.conda"})
