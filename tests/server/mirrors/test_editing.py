"""A mirror that is edited: what it takes follows at once, and nothing is lost by a wrong argument."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from antivenom.core.errors import ForbiddenError, InvalidInputError, NotFoundError
from antivenom.server.context import Actor
from antivenom.server.members import audit
from antivenom.server.mirrors import service as mirrors
from antivenom.server.mirrors import syncing
from antivenom.server.mirrors.models import Mirror
from tests.conftest import RunningServer
from tests.server.mirrors.conftest import Person
from tests.server.mirrors.test_syncing import small_channel
from tests.upstreams import UpstreamServer, make_record, write_channel


async def edit(person: Person, **changes: Any) -> Mirror:
    mirror = await person.look("main")
    fields = ("upstream", "mode", "subdirs", "specs", "every_s", "by_shards", "with_dependencies")
    settings = mirrors.MirrorSettings(**({name: getattr(mirror, name) for name in fields} | changes))
    await person.ask(mirrors.update_mirror, "main", settings)
    await person.run_jobs(person.resources)
    return await person.look("main")


def during_the_next_sync(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Awaitable[Any]]) -> None:
    """Let somebody do something when the next sync has read its upstream and not yet written down what it read."""
    succeed = syncing._succeed

    async def act_first(*args: Any) -> None:
        monkeypatch.undo()
        await act()
        await succeed(*args)

    monkeypatch.setattr(syncing, "_succeed", act_first)


@pytest.mark.parametrize("change", ["upstream", "specs", "subdirs", "with_dependencies"])
async def test_an_edit_during_a_sync_is_not_overwritten_by_it(
    person: Person, upstream: UpstreamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Found by the soak: the sync wrote its own validators and counts over those that the edit had reset."""
    crowd = [make_record(f"one-of-many-{number}", "1.0") for number in range(80)]
    write_channel(upstream.folder, small_channel(*crowd))
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"], specs=["needs-old-xz", "one-of-many-1"])
    (tmp_path / "other").mkdir()
    with UpstreamServer(write_channel(tmp_path / "other", small_channel(make_record("another", "1.0")))) as other:
        changes: dict[str, Any] = {
            "upstream": other.url, "specs": ["another", "xz", "one-of-many-2"], "subdirs": ["noarch"],
            "with_dependencies": False,
        }  # fmt: skip
        fields = ("upstream", "mode", "subdirs", "specs", "every_s", "by_shards", "with_dependencies")
        settings = {name: getattr(mirror, name) for name in fields} | {change: changes[change]}
        if change == "upstream":
            await edit(person, specs=[])
            settings["specs"] = []
        write_channel(upstream.folder, small_channel(*crowd, make_record("xz", "5.8")))
        with monkeypatch.context() as patch:
            during_the_next_sync(
                patch, lambda: person.ask(mirrors.update_mirror, "main", mirrors.MirrorSettings(**settings))
            )
            mirror = await person.sync("main")
        assert (mirror.state, mirror.held) == ("ok", {})
        kept = await person.kept("main")
        expected = {
            "upstream": "another-1.0-h0_0.conda" in kept and "one-of-many-1-1.0-h0_0.conda" not in kept,
            "specs": "one-of-many-2-1.0-h0_0.conda" in kept and "one-of-many-1-1.0-h0_0.conda" not in kept,
            "subdirs": kept == set(),
            "with_dependencies": not any(fn.startswith("xz") for fn in kept),
        }
        assert expected[change], kept


@pytest.mark.parametrize("shards", [False, True], ids=["whole", "sharded"])
async def test_other_specs_take_effect_although_the_upstream_did_not_change(
    person: Person, upstream: UpstreamServer, shards: bool
) -> None:
    write_channel(upstream.folder, small_channel(), shards=shards)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    everything = await person.kept("main")
    assert (await edit(person, specs=["xz 5.4.*"])).state == "ok"
    assert await person.kept("main") == {"xz-5.4.6-h0_0.conda"}
    await edit(person, specs=["xz >=5.6"])
    assert await person.kept("main") == {"xz-5.6.0-h0_0.conda"}
    await edit(person, specs=[])
    assert await person.kept("main") == everything


async def test_a_subdir_that_is_no_longer_asked_for_is_no_longer_served(
    person: Person, upstream: UpstreamServer
) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"])
    mirror = await edit(person, subdirs=["noarch"])
    assert (mirror.state, set(mirror.subdir_states)) == ("ok", {"noarch"})
    assert await person.kept("main") == {"pure-1.0-py_0.conda"}


async def test_what_changed_is_in_the_audit_trail(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"])
    assert (await edit(person, every_s=7200)).next_sync_at is not None

    async def changes(ctx: Any, channel: str) -> list[dict[str, Any]]:
        found = await audit.list_events(ctx, audit.EventFilter(kind="mirror.changed", subject=f"channel:{channel}"))
        return [event.data for event in found.items]

    assert await person.ask(changes, "main") == [{"every_s": 7200}]


@pytest.mark.parametrize(
    "change", [{"mode": "lazy"}, {"subdirs": ["../x"]}, {"specs": ["xz ["]}, {"every_s": 5}, {"upstream": "file:///x"}]
)
async def test_a_wrong_argument_changes_nothing(
    person: Person, upstream: UpstreamServer, change: dict[str, Any]
) -> None:
    write_channel(upstream.folder, small_channel())
    before = await person.mirror("main", upstream, subdirs=["linux-64"])
    with pytest.raises(InvalidInputError):
        await edit(person, **change)
    after = await person.look("main")
    assert (after.upstream, after.mode, after.specs, after.subdir_states) == (
        before.upstream,
        before.mode,
        before.specs,
        before.subdir_states,
    )


async def test_the_api_changes_what_is_sent_and_keeps_the_rest(
    person: Person, upstream: UpstreamServer, app_client: Any
) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], every_s=3600)
    answer = await app_client.patch("/api/v1/mirrors/main", json={"mode": "active"})
    assert answer.status_code == 200
    kept = {"mode": "active", "subdirs": ["linux-64", "noarch"], "every_s": 3600, "upstream": upstream.url.rstrip("/")}
    assert {name: answer.json()[name] for name in kept} == kept
    assert (await app_client.patch("/api/v1/mirrors/main", json={"every_s": None})).json()["every_s"] is None
    assert (await app_client.patch("/api/v1/mirrors/none", json={})).status_code == 404


async def test_a_reader_may_neither_edit_nor_delete(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"])
    async with person.resources.context(Actor("member", "rob", "member")) as ctx:
        with pytest.raises(ForbiddenError):
            await mirrors.update_mirror(ctx, "main", mirrors.MirrorSettings(mirror.upstream, "active"))
        with pytest.raises(ForbiddenError):
            await mirrors.delete_mirror(ctx, "main")


async def test_a_channel_without_an_upstream_has_nothing_to_edit(person: Person) -> None:
    with pytest.raises(NotFoundError, match="not a mirror"):
        await person.look("main")


def test_a_mirror_is_edited_by_command_and_nothing_is_taken_for_a_change(
    up_server: RunningServer, upstream: UpstreamServer
) -> None:
    write_channel(upstream.folder, small_channel())
    up_server.cli("mirror", "create", "edited", "--upstream", upstream.url, "--subdir", "linux-64", "--wait")
    done = up_server.cli("mirror", "edit", "edited", "--spec", "xz 5.4.*", "--every", "1h", "--wait", "-o", "json")
    mirror = json.loads(done.stdout)
    assert (mirror["state"], mirror["specs"], mirror["every_s"]) == ("ok", ["xz 5.4.*"], 3600)
    assert json.loads(up_server.cli("channel", "show", "edited", "-o", "json").stdout)["counts"]["records"] == 1
    done = up_server.cli("mirror", "edit", "edited", "--spec", "*", "--every", "never", "--wait", "-o", "json")
    mirror = json.loads(done.stdout)
    assert (mirror["specs"], mirror["every_s"], mirror["subdirs"]) == ([], None, ["linux-64", "noarch"])
    refused = up_server.cli("mirror", "edit", "edited", check=False)
    assert refused.returncode == 2
    assert "nothing to change" in refused.stderr
