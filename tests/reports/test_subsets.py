"""Mirrors of some packages of an upstream: what these need comes with them, or is told (docs/dev/bug-reports.md)."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from tests.reports.odd_upstream import OddUpstream, Reply
from tests.server.mirrors.conftest import Person
from tests.server.mirrors.test_editing import edit
from tests.upstreams import make_record, write_channel

ZST = "linux-64/repodata.json.zst"


def channel(*more: tuple[str, dict[str, Any]]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    linux = [
        make_record("a", "1.0", depends=["b >=2", "p", "__glibc >=2.17"]),
        make_record("b", "1.0"),
        make_record("b", "2.0", depends=["c 1.*"]),
        make_record("c", "1.5", "h0_0"),
        make_record("c", "1.5", "h1_1"),
        make_record("c", "2.0"),
        make_record("other", "1.0"),
        *more,
    ]
    return {"linux-64": linux, "noarch": [make_record("p", "1.0", "py_0", subdir="noarch", depends=["absent >=3"])]}


TAKEN = {
    "a-1.0-h0_0.conda", "b-2.0-h0_0.conda", "c-1.5-h0_0.conda", "c-1.5-h1_1.conda", "p-1.0-py_0.conda"
}  # fmt: skip
ABSENT = "absent >=3 (needed by noarch/p-1.0-py_0.conda)"


@pytest.mark.parametrize("shards", [False, True], ids=["whole", "sharded"])
async def test_a_subset_brings_what_it_needs_or_says_what_it_lacks(
    person: Person, odd: OddUpstream, shards: bool
) -> None:
    """conda-mirror#83, conda-mirror#22, conda-mirror#50."""
    write_channel(odd.folder, channel(), shards=shards)
    mirror = await person.mirror("main", odd, subdirs=["linux-64"], specs=["a"])
    assert (mirror.state, mirror.last_error, await person.kept("main")) == ("ok", "", TAKEN)
    assert mirror.selection.unmet == (ABSENT,)
    mirror = await edit(person, with_dependencies=False)
    assert (mirror.state, await person.kept("main")) == ("ok", {"a-1.0-h0_0.conda"})
    assert [text.partition(" (")[0] for text in mirror.selection.unmet] == ["b >=2", "p"]
    mirror = await edit(person, with_dependencies=True)
    assert (await person.kept("main"), mirror.selection.unmet_count) == (TAKEN, 1)
    mirror = await edit(person, specs=[])
    assert ("other-1.0-h0_0.conda" in await person.kept("main"), mirror.selection.unmet_count) == (True, 0)


async def test_a_subset_follows_what_its_records_come_to_need(person: Person, odd: OddUpstream) -> None:
    write_channel(odd.folder, channel())
    await person.mirror("main", odd, subdirs=["linux-64"], specs=["a"])
    odd.seen.clear()
    mirror = await person.sync("main")
    assert (mirror.state, mirror.selection.unmet, await person.kept("main")) == ("ok", (ABSENT,), TAKEN)
    newer = make_record("c", "1.6", depends=["other"])
    write_channel(odd.folder, channel(newer))
    mirror = await person.sync("main")
    assert await person.kept("main") == TAKEN | {"c-1.6-h0_0.conda", "other-1.0-h0_0.conda"}
    assert mirror.selection.specs == ("a", "b >=2", "p", "c 1.*", "other")


def only_shards(odd: OddUpstream) -> None:
    for subdir in ("linux-64", "noarch"):
        for fn in ("repodata.json", "repodata.json.zst"):
            (odd.folder / subdir / fn).unlink()


async def test_a_subset_of_an_upstream_with_shards_only_brings_what_it_needs(person: Person, odd: OddUpstream) -> None:
    write_channel(odd.folder, channel(), shards=True)
    only_shards(odd)
    mirror = await person.mirror("main", odd, subdirs=["linux-64"], specs=["a"])
    assert (mirror.state, mirror.last_error, await person.kept("main")) == ("ok", "", TAKEN)
    assert mirror.selection.unmet == (ABSENT,)
    shards = [path for path in odd.paths if "/shards/" in path]
    assert len(shards) == len(set(shards)) == 4  # of a, b, c and p; each is fetched once, the others never
    odd.seen.clear()
    mirror = await person.sync("main")
    assert (mirror.state, [path for path in odd.paths if "/shards/" in path]) == ("ok", [])
    newer = make_record("c", "1.6", depends=["other"])
    write_channel(odd.folder, channel(newer), shards=True)
    only_shards(odd)
    mirror = await person.sync("main")
    assert await person.kept("main") == TAKEN | {"c-1.6-h0_0.conda", "other-1.0-h0_0.conda"}
    mirror = await edit(person, specs=["other"])
    assert (mirror.state, await person.kept("main")) == ("ok", {"other-1.0-h0_0.conda"})


@pytest.mark.parametrize("whole", ["linux-64", "noarch"])
async def test_one_subdir_may_have_shards_only(person: Person, odd: OddUpstream, whole: str) -> None:
    write_channel(odd.folder, channel(), shards=True)
    kept = {fn: (odd.folder / whole / fn).read_bytes() for fn in ("repodata.json", "repodata.json.zst")}
    only_shards(odd)
    for fn, data in kept.items():
        (odd.folder / whole / fn).write_bytes(data)
    mirror = await person.mirror("main", odd, subdirs=["linux-64"], specs=["a"])
    assert (mirror.state, await person.kept("main")) == ("ok", TAKEN)


async def test_a_subdir_that_was_held_takes_a_selection_that_changed_meanwhile(
    person: Person, odd: OddUpstream
) -> None:
    """Its index is the one of before, so that the upstream answers "not modified"; the selection is another."""
    many = [make_record(f"n{at}", "1.0") for at in range(30)]
    needed = make_record("p", "1.0", "py_0", subdir="noarch")
    linux = [make_record("a", "1.0", depends=["p", *(f"n{at}" for at in range(30))]), *many]
    late = make_record("late", "1.0")
    write_channel(odd.folder, {"linux-64": [*linux, late], "noarch": [needed]})
    await person.mirror("main", odd, subdirs=["linux-64"], specs=["a"])
    before = {path: path.read_bytes() for path in (odd.folder / "linux-64").iterdir()}
    needy = needed[0], needed[1] | {"depends": ["late"]}
    write_channel(odd.folder, {"linux-64": [linux[0]], "noarch": [needy]})
    assert (await person.sync("main")).state == "held"
    for path, data in before.items():
        path.write_bytes(data)
    mirror = await person.sync("main")
    assert (mirror.state, "late-1.0-h0_0.conda" in await person.kept("main")) == ("ok", True)


async def test_an_index_is_fetched_once_for_both_its_dependencies_and_its_records(
    person: Person, odd: OddUpstream
) -> None:
    write_channel(odd.folder, channel())
    await person.mirror("main", odd, subdirs=["linux-64"], specs=["a"])
    assert odd.paths.count(ZST) == 1


async def test_a_bad_compressed_index_keeps_no_dependency_away(person: Person, odd: OddUpstream) -> None:
    write_channel(odd.folder, channel())
    odd.replies[ZST] = Reply(200, gzip.compress(b"no index"))
    mirror = await person.mirror("main", odd, subdirs=["linux-64"], specs=["a"])
    assert (mirror.state, mirror.last_error, await person.kept("main")) == ("ok", "", TAKEN)


async def test_a_ring_and_a_hostile_dependency_end(person: Person, odd: OddUpstream) -> None:
    ring = [
        make_record("x", "1.0", depends=["y", "*", "../z", "[de]*", "n" * 3000]),
        make_record("y", "1.0", depends=["x"]),
    ]
    write_channel(odd.folder, channel(*ring))
    await person.mirror("main", odd, subdirs=["linux-64"], specs=["x"])
    assert await person.kept("main") == {"x-1.0-h0_0.conda", "y-1.0-h0_0.conda"}


@pytest.mark.parametrize("with_dependencies", [True, False])
async def test_a_spec_that_matches_nothing_is_told(person: Person, odd: OddUpstream, with_dependencies: bool) -> None:
    write_channel(odd.folder, {"linux-64": [make_record("a", "1.0"), make_record("other", "1.0")]})
    mirror = await person.mirror(
        "main", odd, subdirs=["linux-64"], specs=["a", "othr", "a >=2", "zz*"], with_dependencies=with_dependencies
    )
    told = [text.partition(" (")[0] for text in mirror.selection.unmet]
    assert (told, mirror.selection.unmet_count) == (["othr", "a >=2", "zz*"], 3)
    assert "is the name right?" in mirror.selection.unmet[0]
    assert ((await edit(person, specs=["a"])).selection.unmet_count, len(await person.kept("main"))) == (0, 1)
