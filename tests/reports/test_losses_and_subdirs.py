"""Upstreams that empty, lose a subdir, or have subdirs that nobody named (docs/dev/bug-reports.md)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from antivenom.core.errors import ConflictError
from antivenom.server.members import audit
from antivenom.server.mirrors import service as mirrors
from antivenom.server.mirrors.subdir_list import PROBED
from antivenom.server.mirrors.subdir_state import HeldLoss, list_absent, list_found, list_warnings
from tests.reports.odd_upstream import OddUpstream, Reply
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.server.mirrors.test_editing import during_the_next_sync, edit
from tests.upstreams import make_record, write_channel

FILES = ("repodata_shards.msgpack.zst", "repodata.json.zst", "repodata.json")


def write_some(odd: OddUpstream, count: int, **options: Any) -> None:
    write_channel(odd.folder, {"linux-64": [make_record(f"a{n}", "1.0") for n in range(count)]}, **options)


async def kinds(person: Person, kind: str) -> list[dict[str, Any]]:
    async def find(ctx: Any, channel: str) -> list[dict[str, Any]]:
        found = await audit.list_events(ctx, audit.EventFilter(kind=kind, subject=f"channel:{channel}"))
        return [event.data for event in found.items]

    events: list[dict[str, Any]] = await person.ask(find, "main")
    return events


# -- an upstream that empties ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [False, True], ids=["whole", "sharded"])
@pytest.mark.parametrize("left", [0, 10], ids=["all", "half"])
async def test_a_sudden_loss_is_held_until_somebody_accepts_it(
    person: Person, odd: OddUpstream, left: int, shards: bool
) -> None:
    """bandersnatch#659."""
    write_some(odd, 40, shards=shards)
    await person.mirror("main", odd, subdirs=["linux-64"])
    write_some(odd, left, shards=shards)
    for _ in range(2):
        mirror = await person.sync("main")
        assert (mirror.state, mirror.held) == ("held", {"linux-64": HeldLoss(40, left)})
        assert f"linux-64 has {left} of its 40 records left" in mirror.last_error
        assert len(await person.kept("main")) == 40
    assert await kinds(person, "mirror.held") == [{"losses": {"linux-64": [40, left]}}]
    await person.ask(mirrors.accept_loss, "main")
    await person.run_jobs(person.resources)
    mirror = await person.look("main")
    assert (mirror.state, mirror.held, mirror.last_error) == ("ok", {}, "")
    assert len(await person.kept("main")) == left
    assert await kinds(person, "mirror.accepted") == [{"losses": {"linux-64": [40, left]}}]
    assert (await person.sync("main")).state == "ok"


async def test_a_small_channel_is_held_when_it_empties_and_not_when_it_is_built_anew(
    person: Person, odd: OddUpstream
) -> None:
    def write(count: int, digit: str) -> None:
        records = [make_record(f"a{n}", "1.0", sha256=digit * 64) for n in range(count)]
        write_channel(odd.folder, {"linux-64": records})

    write(6, "a")
    await person.mirror("main", odd, subdirs=["linux-64"])
    write(6, "b")  # every record has other bytes
    assert (await person.sync("main")).state == "ok"
    write(0, "c")
    assert (await person.sync("main")).held == {"linux-64": HeldLoss(6, 0)}


async def test_a_loss_that_is_accepted_during_a_sync_stays_accepted(
    person: Person, odd: OddUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_some(odd, 40)
    await person.mirror("main", odd, subdirs=["linux-64"])
    write_some(odd, 3)
    await person.sync("main")
    with monkeypatch.context() as patch:
        during_the_next_sync(patch, lambda: person.ask(mirrors.accept_loss, "main"))
        mirror = await person.sync("main")
    assert (mirror.state, mirror.held, len(await person.kept("main"))) == ("ok", {}, 3)


async def test_a_loss_that_recovers_is_forgotten(person: Person, odd: OddUpstream) -> None:
    write_some(odd, 40)
    await person.mirror("main", odd, subdirs=["linux-64"])
    write_some(odd, 0)
    assert (await person.sync("main")).state == "held"
    write_some(odd, 41)
    mirror = await person.sync("main")
    assert (mirror.state, mirror.held, len(await person.kept("main"))) == ("ok", {}, 41)
    with pytest.raises(ConflictError, match="holds nothing back"):
        await person.ask(mirrors.accept_loss, "main")


async def test_more_than_was_accepted_is_held_again(person: Person, odd: OddUpstream) -> None:
    write_some(odd, 100)
    await person.mirror("main", odd, subdirs=["linux-64"])
    write_some(odd, 40)
    await person.sync("main")
    write_some(odd, 0)
    await person.ask(mirrors.accept_loss, "main")
    await person.run_jobs(person.resources)
    mirror = await person.look("main")
    assert (mirror.state, mirror.held) == ("held", {"linux-64": HeldLoss(100, 0)})
    assert len(await person.kept("main")) == 100


async def test_another_upstream_that_is_empty_is_held_and_one_with_few_records_is_what_was_asked_for(
    person: Person, odd: OddUpstream, tmp_path: Path
) -> None:
    """Found by the soak: an edit led to an upstream at the moment when it was empty."""
    write_some(odd, 40)
    await person.mirror("main", odd, subdirs=["linux-64"])
    (tmp_path / "other").mkdir()
    with OddUpstream(tmp_path / "other") as other:
        write_some(other, 0)
        for mirror in (
            await edit(person, upstream=other.url),
            await edit(person, every_s=7200),
            await person.sync("main"),
        ):
            assert (mirror.state, mirror.held) == ("held", {"linux-64": HeldLoss(40, 0)})
            assert len(await person.kept("main")) == 40
        write_some(other, 2)
        mirror = await person.sync("main")
        assert (mirror.state, len(await person.kept("main"))) == ("ok", 2)
        write_some(odd, 0)
        assert (await edit(person, upstream=odd.url)).state == "ok", "two records are too few for an alarm"


async def test_an_empty_upstream_that_somebody_accepts_is_served(
    person: Person, odd: OddUpstream, tmp_path: Path
) -> None:
    write_some(odd, 40)
    await person.mirror("main", odd, subdirs=["linux-64"])
    (tmp_path / "other").mkdir()
    with OddUpstream(tmp_path / "other") as other:
        write_some(other, 0)
        await edit(person, upstream=other.url)
        await person.ask(mirrors.accept_loss, "main")
        await person.run_jobs(person.resources)
        assert ((await person.look("main")).state, await person.kept("main")) == ("ok", set())


async def test_other_subdirs_go_on_while_one_is_held(person: Person, odd: OddUpstream) -> None:
    write_some(odd, 40)
    await person.mirror("main", odd, subdirs=["linux-64"])
    pure = make_record("pure", "1.0", "py_0", subdir="noarch", noarch="python")
    write_channel(odd.folder, {"linux-64": [], "noarch": [pure]})
    assert (await person.sync("main")).state == "held"
    kept = await person.kept("main")
    assert (len(kept), "pure-1.0-py_0.conda" in kept) == (41, True)


EDITS: dict[str, dict[str, Any]] = {
    "interval": {"every_s": 7200}, "shards": {"by_shards": False}, "mode": {"mode": "active"},
    "specs": {"specs": ["a*"]}, "dependencies": {"specs": ["a*"], "with_dependencies": False},
}  # fmt: skip


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
async def test_an_edit_is_no_way_around_the_hold(person: Person, odd: OddUpstream, change: dict[str, Any]) -> None:
    write_some(odd, 40)
    await person.mirror("main", odd, subdirs=["linux-64"])
    write_some(odd, 0)
    assert (await edit(person, **change)).state == "held"
    assert len(await person.kept("main")) == 40


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
async def test_two_edits_are_no_way_around_the_hold(
    person: Person, odd: OddUpstream, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Found by the soak: led to an empty upstream, then told to read it in another way."""
    write_some(odd, 40)
    await person.mirror("main", odd, subdirs=["linux-64"])
    (tmp_path / "other").mkdir()
    with OddUpstream(tmp_path / "other") as other:
        write_some(other, 0)
        await edit(person, upstream=other.url)
        assert (await edit(person, **change)).held == {"linux-64": HeldLoss(40, 0)}
        assert len(await person.kept("main")) == 40


async def test_a_loss_is_held_though_specs_are_edited_at_the_same_time(person: Person, odd: OddUpstream) -> None:
    write_some(odd, 40)
    await person.mirror("main", odd, subdirs=["linux-64"])
    write_some(odd, 10)
    mirror = await edit(person, specs=["a1*", "a2*", "a3*"])  # 33 of them, of which a1, a2 and a3 are left
    assert mirror.held == {"linux-64": HeldLoss(33, 3)}
    write_some(odd, 40)
    assert ((await person.sync("main")).state, len(await person.kept("main"))) == ("ok", 33)


async def test_a_mirror_that_is_made_anew_of_an_empty_upstream_is_held(person: Person, odd: OddUpstream) -> None:
    write_some(odd, 40)
    await person.mirror("main", odd, subdirs=["linux-64"])
    await person.ask(mirrors.delete_mirror, "main")
    write_some(odd, 0)
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert mirror.held == {"linux-64": HeldLoss(40, 0)}
    assert len(await person.kept("main")) == 40


async def test_another_upstream_that_lacks_what_is_served_is_held(
    person: Person, odd: OddUpstream, tmp_path: Path
) -> None:
    pure = [make_record(f"p{n}", "1.0", subdir="noarch") for n in range(40)]
    write_channel(odd.folder, {"linux-64": [make_record("a", "1.0")], "noarch": pure})
    await person.mirror("main", odd, subdirs=["linux-64"])
    (tmp_path / "other").mkdir()
    with OddUpstream(tmp_path / "other") as other:
        write_some(other, 2)
        for file in FILES:
            other.replies[f"noarch/{file}"] = Reply(404)
        mirror = await edit(person, upstream=other.url)
        assert mirror.held == {"noarch": HeldLoss(40, 0)}
        assert len(await person.kept("main")) == 42


async def test_fewer_records_by_the_mirrors_own_specs_are_no_loss(person: Person, odd: OddUpstream) -> None:
    write_some(odd, 40)
    await person.mirror("main", odd, subdirs=["linux-64"])
    assert (await edit(person, specs=["a1"])).state == "ok"
    assert await person.kept("main") == {"a1-1.0-h0_0.conda"}


async def test_the_page_and_the_dashboard_show_what_is_held_and_the_api_accepts_it(
    person: Person, odd: OddUpstream, app_client: Any, member_client: Any
) -> None:
    write_some(odd, 40)
    await person.mirror("main", odd, subdirs=["linux-64"])
    write_some(odd, 0)
    await person.sync("main")
    shown = (await app_client.get("/api/v1/mirrors/main")).json()
    assert (shown["state"], shown["held"]) == ("held", {"linux-64": {"before": 40, "now": 0}})
    assert "Accept the loss" in (await member_client.get("/channels/main/mirror")).text
    assert "The mirror main waits for you" in (await member_client.get("/")).text
    answer = await app_client.post("/api/v1/mirrors/main/accept")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert (await app_client.post("/api/v1/mirrors/main/accept")).status_code == 202
    await person.run_jobs(person.resources)
    assert (await app_client.post("/api/v1/mirrors/main/accept")).status_code == 409


# -- a subdir that vanishes --------------------------------------------------------------------------------------------

CHANGES: dict[str, dict[str, Any]] = {
    "interval": {"every_s": 7200}, "mode": {"mode": "active"}, "specs": {"specs": ["p", "a"]}, "shards": {"by_shards": False}
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("gone", ["noarch", "linux-64"])
async def test_a_subdir_that_vanishes_after_an_edit_keeps_being_served(
    person: Person, odd: OddUpstream, gone: str, change: dict[str, Any]
) -> None:
    """quetz#527, mamba#1128."""
    pure = make_record("p", "1.0", subdir="noarch")
    write_channel(odd.folder, {"linux-64": [make_record("a", "1.0")], "noarch": [pure], "osx-64": []})
    await person.mirror("main", odd)
    before = await person.kept("main")
    odd.replies.update({f"{gone}/{fn}": Reply(404) for fn in FILES})
    mirror = await edit(person, **change)
    assert (mirror.state, await person.kept("main")) == ("failed", before)
    assert f"{gone} is gone upstream" in mirror.last_error


# -- all subdirs -------------------------------------------------------------------------------------------------------


async def test_every_subdir_that_the_upstream_has_is_mirrored(person: Person, odd: OddUpstream, ask: Asker) -> None:
    there = ["noarch", "linux-64", "linux-ppc64le", "win-arm64", "linux-riscv64", "emscripten-32", "custom-arch"]
    write_channel(odd.folder, {s: [make_record("a", "1.0", subdir=s)] for s in there})
    for fn in ("repodata.json", "repodata.json.zst"):
        (odd.folder / "win-64").mkdir(exist_ok=True)
        odd.replies[f"win-64/{fn}"] = Reply(403)
    (odd.folder / "channeldata.json").write_text(json.dumps({"subdirs": [*there, "../x", "not-there"], "packages": {}}))
    mirror = await person.mirror("main", odd)
    assert (mirror.state, mirror.last_error) == ("ok", "")
    assert list_found(mirror.subdir_states) == sorted(there)
    assert {"win-64", "zos-z", "linux-32", "not-there"} <= set(list_absent(mirror.subdir_states))
    for subdir in there:
        assert (await ask(f"/conda/main/{subdir}/repodata.json")).status == 200


async def test_what_was_not_there_is_asked_for_again_after_a_day(
    person: Person, odd: OddUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_channel(odd.folder, {"linux-64": [make_record("a", "1.0")]})
    await person.mirror("main", odd)
    assert {f"{subdir}/repodata.json" for subdir in PROBED} <= set(odd.paths)
    odd.seen.clear()
    write_channel(odd.folder, {"win-arm64": [make_record("b", "1.0", subdir="win-arm64")]})
    mirror = await person.sync("main")
    assert not {subdir for subdir in PROBED if f"{subdir}/repodata.json" in odd.paths}
    assert "win-arm64" in list_absent(mirror.subdir_states)
    monkeypatch.setattr("antivenom.server.mirrors.subdir_list.PROBE_AGAIN_AFTER_MS", 0)
    mirror = await person.sync("main")
    assert "win-arm64" in list_found(mirror.subdir_states)


async def test_an_upstream_that_refuses_everything_is_asked_for_credentials(person: Person, odd: OddUpstream) -> None:
    odd.find = lambda path: Reply(401)  # type: ignore[method-assign]
    mirror = await person.mirror("main", odd)
    assert mirror.state == "failed"
    assert "answered 401" in mirror.last_error
    assert "credentials" in mirror.last_error


# -- files beside the records ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"<html><body>sign in</body></html>", b""], ids=["page", "nothing"])
async def test_noarch_that_is_no_index_is_told_from_the_first_sync_on(
    person: Person, odd: OddUpstream, body: bytes
) -> None:
    write_some(odd, 2)
    for file in FILES[:2]:
        odd.replies[f"noarch/{file}"] = Reply(404)
    odd.replies[f"noarch/{FILES[2]}"] = Reply(200, body)
    await person.mirror("main", odd)
    for _ in range(2):
        mirror = await person.sync("main")
        assert (mirror.state, len(await person.kept("main"))) == ("ok", 2)
        assert any("noarch/repodata.json" in warning for warning in list_warnings(mirror.subdir_states))
    del odd.replies[f"noarch/{FILES[2]}"]
    mirror = await person.sync("main")
    assert (mirror.state, list_warnings(mirror.subdir_states)) == ("ok", [])


async def test_what_the_upstream_has_beside_its_records_is_kept_as_it_came(person: Person, odd: OddUpstream) -> None:
    write_channel(odd.folder, {"linux-64": [make_record("a", "1.0")]})
    run_exports, channeldata = b'{"packages": {"x": 1}}', b'{"subdirs": [], "packages": {"a": {"summary": "A"}}}'
    odd.replies["linux-64/run_exports.json"] = Reply(200, run_exports, {"ETag": '"1"'})
    odd.replies["channeldata.json"] = Reply(200, channeldata)
    odd.replies["noarch/run_exports.json"] = Reply(200, b"<html>", {})
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    file = mirror.subdir_states["linux-64"].run_exports
    assert (file.name, file.sha256) == ("run_exports.json", hashlib.sha256(run_exports).hexdigest())
    assert await person.resources.blobs.get(file.key) == run_exports
    assert await person.resources.blobs.get(mirror.channeldata.key) == channeldata
    assert mirror.subdir_states["noarch"].run_exports.key == ""
    odd.replies["linux-64/run_exports.json"] = Reply(200, b'{"packages": 3}')
    mirror = await person.sync("main")
    assert (mirror.state, mirror.subdir_states["linux-64"].run_exports) == ("ok", file)
    assert "linux-64/run_exports.json is not read" in mirror.subdir_states["linux-64"].warnings[0]
    odd.replies["linux-64/run_exports.json"] = Reply(500)
    mirror = await person.sync("main")
    assert (mirror.state, mirror.subdir_states["linux-64"].run_exports) == ("ok", file)
    odd.replies["linux-64/run_exports.json"] = Reply(404)
    mirror = await person.sync("main")
    assert mirror.subdir_states["linux-64"].run_exports.key == ""
