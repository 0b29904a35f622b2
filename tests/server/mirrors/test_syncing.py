"""A mirror and its upstream: what is taken in, what stays when the upstream fails."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from antivenom.core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OutboundRefusedError,
    StorageError,
)
from antivenom.server.adapters.blobs import FolderStore
from antivenom.server.catalog import service as catalog
from antivenom.server.channel_policies import service as channel_policies
from antivenom.server.channels import service as channels
from antivenom.server.context import LOCAL
from antivenom.server.mirrors import service as mirrors
from antivenom.server.mirrors import syncing
from antivenom.server.mirrors.jobs import sync_due
from antivenom.server.publications import service as publications
from antivenom.server.publications.models import UpstreamDocuments
from antivenom.server.publications.publish_channel import NewSources, publish_channel
from tests.server.mirrors.conftest import Person
from tests.server.mirrors.crashing import InlineCpu
from tests.upstreams import UpstreamServer, make_record, write_channel

BAN_XZ = """
name: ban
rules:
  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["xz 5.6.*"]}}
"""


COOLDOWN = """
name: cool
rules:
  - {id: cooldown, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7}}
"""


def small_channel(*extra: tuple[str, dict[str, Any]]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    return {
        "linux-64": [
            make_record("xz", "5.4.6"),
            make_record("xz", "5.6.0"),
            make_record("needs-old-xz", "1.0", depends=["xz >=5.2"]),
            make_record("needs-new-xz", "1.0", depends=["xz >=5.6,<5.7"]),
            *extra,
        ],
        "noarch": [make_record("pure", "1.0", "py_0", subdir="noarch", noarch="python")],
    }


@pytest.mark.parametrize("shards", [False, True], ids=["whole", "sharded"])
async def test_a_first_sync_publishes_everything_that_the_policy_admits(
    person: Person, upstream: UpstreamServer, shards: bool
) -> None:
    write_channel(upstream.folder, small_channel(), shards=shards)
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=BAN_XZ)
    assert (mirror.state, mirror.last_error) == ("ok", "")
    assert await person.kept("main") == {"xz-5.4.6-h0_0.conda", "needs-old-xz-1.0-h0_0.conda", "pure-1.0-py_0.conda"}


async def test_what_needs_something_withheld_is_withheld_with_the_chain_as_reason(
    person: Person, upstream: UpstreamServer
) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=BAN_XZ)
    withheld = await person.withheld("main")
    assert set(withheld) == {"xz-5.6.0-h0_0.conda", "needs-new-xz-1.0-h0_0.conda"}
    (reason,) = withheld["needs-new-xz-1.0-h0_0.conda"]
    assert reason.gate == "closure"
    assert "xz-5.6.0-h0_0.conda" in reason.message


async def test_closure_off_keeps_what_needs_something_withheld(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=BAN_XZ, closure=False)
    assert set(await person.withheld("main")) == {"xz-5.6.0-h0_0.conda"}


@pytest.mark.parametrize("shards", [False, True], ids=["whole", "sharded"])
async def test_a_sync_without_change_makes_no_publication(
    person: Person, upstream: UpstreamServer, shards: bool
) -> None:
    write_channel(upstream.folder, small_channel(), shards=shards)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    mirror = await person.sync("main")
    history = await person.ask(publications.list_history, "main")
    assert mirror.state == "ok"
    assert [view.number for view in history.items] == [1]


@pytest.mark.parametrize("shards", [False, True], ids=["whole", "sharded"])
async def test_a_later_sync_takes_what_is_new_and_drops_what_is_gone(
    person: Person, upstream: UpstreamServer, shards: bool
) -> None:
    write_channel(upstream.folder, small_channel(), shards=shards)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    changed = small_channel(make_record("new", "2.0"))
    changed["noarch"] = []
    write_channel(upstream.folder, changed, shards=shards)
    await person.sync("main")
    kept = await person.kept("main")
    assert "new-2.0-h0_0.conda" in kept
    assert "pure-1.0-py_0.conda" not in kept


async def test_a_record_that_appears_later_is_stamped_with_the_servers_clock(
    person: Person, upstream: UpstreamServer
) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=COOLDOWN)
    assert await person.withheld("main") == {}
    write_channel(upstream.folder, small_channel(make_record("backdated", "1.0", timestamp=1_500_000_000_000)))
    await person.sync("main")
    assert set(await person.withheld("main")) == {"backdated-1.0-h0_0.conda"}


async def test_a_cooldown_that_ran_out_releases_by_itself(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=COOLDOWN)
    write_channel(upstream.folder, small_channel(make_record("young", "1.0")))
    await person.sync("main")
    assert set(await person.withheld("main")) == {"young-1.0-h0_0.conda"}
    now = person.resources.clock()
    person.resources.clock = lambda: now + timedelta(days=8)
    from antivenom.server.publications.jobs import reconcile_channels

    await reconcile_channels(person.resources)
    await person.run_jobs(person.resources)
    assert await person.withheld("main") == {}


@pytest.mark.parametrize("fault", [500, "truncate", "garbage"])
async def test_when_the_upstream_fails_the_last_publication_keeps_serving(
    person: Person, upstream: UpstreamServer, fault: int | str
) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"])
    before = await person.kept("main")
    write_channel(upstream.folder, small_channel(make_record("new", "2.0")))
    upstream.faults |= dict.fromkeys(("linux-64/repodata.json.zst", "linux-64/repodata.json"), fault)
    mirror = await person.sync("main")
    assert mirror.state == "failed"
    assert mirror.last_error
    assert mirror.next_sync_at is not None
    assert await person.kept("main") == before
    upstream.faults.clear()
    mirror = await person.sync("main")
    assert (mirror.state, mirror.failures) == ("ok", 0)
    assert "new-2.0-h0_0.conda" in await person.kept("main")


async def test_an_index_that_is_none_is_told_by_its_address(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    (upstream.folder / "linux-64" / "repodata.json.zst").unlink()
    (upstream.folder / "linux-64" / "repodata.json").write_text("<html>please log in</html>")
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"])
    assert mirror.last_error.startswith(f"{upstream.url}/linux-64/repodata.json is a page of HTML, not an index")


async def test_a_subdir_that_vanishes_upstream_keeps_being_served(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"])
    before = await person.kept("main")
    upstream.faults |= {f"linux-64/repodata.json{suffix}": 404 for suffix in ("", ".zst")}
    mirror = await person.sync("main")
    assert mirror.state == "failed"
    assert "linux-64" in mirror.last_error
    assert await person.kept("main") == before


async def test_a_shard_that_is_not_what_its_index_promised_is_refused(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel(), shards=True)
    for shard in (upstream.folder / "linux-64" / "shards").iterdir():
        shard.write_bytes(b"something else")
    for name in ("repodata.json", "repodata.json.zst"):
        (upstream.folder / "linux-64" / name).unlink()
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"])
    assert mirror.state == "failed"
    assert "sha256" in mirror.last_error
    with pytest.raises(NotFoundError):
        await person.kept("main")


async def test_shards_may_lie_elsewhere_and_credentials_do_not_follow_them(
    person: Person, upstream: UpstreamServer, tmp_path: Path
) -> None:
    with UpstreamServer(tmp_path) as elsewhere:
        write_channel(tmp_path / "cdn", small_channel(), shards=True)
        base = elsewhere.url.replace("127.0.0.1", "localhost")
        write_channel(upstream.folder, small_channel(), shards=True, shards_base_url=f"{base}/cdn/linux-64/shards/")
        shutil.rmtree(upstream.folder / "linux-64" / "shards")
        async with person.resources.context(LOCAL) as ctx:
            url = upstream.url.replace("//", "//ana:secret@")
            await mirrors.create_mirror(ctx, "main", mirrors.MirrorSettings(url, subdirs=["linux-64"]))
        await person.run_jobs(person.resources)
        assert (await person.look("main")).state == "ok"
        assert any("/cdn/linux-64/shards/" in path for _, path, _ in elsewhere.requests)
        assert elsewhere.credentials == set()
        assert upstream.credentials == {"Basic YW5hOnNlY3JldA=="}


async def test_a_record_that_cannot_be_is_set_aside_and_counted(person: Person, upstream: UpstreamServer) -> None:
    bad = ("../../etc/passwd-1-0.conda", make_record("passwd", "1", "0")[1])
    write_channel(upstream.folder, small_channel(bad))
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"])
    assert mirror.state == "ok"
    assert mirror.subdir_states["linux-64"].set_aside == 1
    assert not any("passwd" in fn for fn in await person.kept("main"))


async def test_what_is_set_aside_is_listed_with_its_reason_whatever_its_name(
    person: Person, upstream: UpstreamServer
) -> None:
    hostile = "nul\x00\x1b[2Jx"
    bad = [(f"{hostile}-1-0.conda", make_record(hostile, "1", "0")[1]), make_record("sized", "1", size=-5)]
    write_channel(upstream.folder, small_channel(*bad))
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"])
    assert (mirror.state, mirror.last_error) == ("ok", "")
    page = await person.ask(mirrors.list_set_aside, "main")
    assert [(row.subdir, row.fn, row.reason) for row in page.items] == [
        ("linux-64", "nul\ufffd\ufffd[2Jx-1-0.conda", "is not a bare artifact file name"),
        ("linux-64", "sized-1-h0_0.conda", "size is -5, not a count"),
    ]


async def test_only_what_the_specs_name_is_mirrored(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], specs=["xz 5.4.*"])
    assert await person.kept("main") == {"xz-5.4.6-h0_0.conda"}


async def test_a_policy_edit_republishes_and_a_rollback_serves_the_earlier_one_again(
    person: Person, upstream: UpstreamServer
) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"])
    everything = await person.kept("main")
    await person.set_policy("main", BAN_XZ)
    assert len(await person.kept("main")) == len(everything) - 2
    await person.ask(publications.rollback, "main")
    assert await person.kept("main") == everything
    history = await person.ask(publications.list_history, "main")
    assert [(view.number, view.current) for view in history.items] == [(2, False), (1, True)]


async def test_setting_the_policy_again_after_a_rollback_publishes_under_it(
    person: Person, upstream: UpstreamServer
) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"])
    await person.set_policy("main", BAN_XZ)
    await person.ask(publications.rollback, "main")
    assert await person.withheld("main") == {}
    await person.set_policy("main", BAN_XZ)
    assert set(await person.withheld("main")) == {"xz-5.6.0-h0_0.conda", "needs-new-xz-1.0-h0_0.conda"}


async def test_a_plan_says_what_would_change_and_changes_nothing(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"])
    planned = await channel_policies.plan_policy(person.resources, LOCAL, "main", BAN_XZ)
    assert {row.fn for row in planned.withheld} == {"xz-5.6.0-h0_0.conda", "needs-new-xz-1.0-h0_0.conda"}
    assert planned.by_rule["banned"].withheld == 1
    assert await person.withheld("main") == {}


async def test_every_record_can_be_explained_by_file_and_by_spec(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=BAN_XZ)
    (row,) = await person.ask(catalog.explain, "main", "xz-5.6.0-h0_0.conda")
    assert await person.ask(catalog.explain, "main", f"{row.subdir}/xz-5.6.0-h0_0.conda") == [row]
    assert row.decision == "withheld"
    assert row.reasons[0].rule_id == "banned"
    rows = await person.ask(catalog.explain, "main", "xz")
    assert {(r.version, r.decision) for r in rows} == {("5.4.6", "admitted"), ("5.6.0", "withheld")}
    with pytest.raises(NotFoundError):
        await person.ask(catalog.explain, "main", "nothing-like-it")


async def test_a_mirror_with_a_wrong_argument_changes_nothing(person: Person, upstream: UpstreamServer) -> None:
    for options in (
        {"mode": "eager"},
        {"subdirs": ["../linux"]},
        {"specs": ["[[["]},
        {"every_s": 1},
        {"policy_text": "name: x\nrules: 3\n"},
    ):
        with pytest.raises(InvalidInputError):
            await person.mirror("main", upstream, **options)
    with pytest.raises(NotFoundError):
        await person.look("main")


async def test_a_channel_is_the_mirror_of_one_upstream_only(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"])
    with pytest.raises(ConflictError):
        await person.mirror("main", upstream)


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "http://10.0.0.1/main", "http://[::ffff:10.0.0.1]/x"])
async def test_an_upstream_in_a_private_network_is_refused_unless_allowed(
    person: Person, upstream: UpstreamServer, url: str
) -> None:
    upstream_like = type("U", (), {"url": url})()
    with pytest.raises(OutboundRefusedError) as caught:
        await person.mirror("main", upstream_like)
    assert "ANTIVENOM_OUTBOUND_ALLOW" in caught.value.hint


@pytest.mark.parametrize(
    ("subdirs", "told"), [([], "any subdir that conda knows"), (["noarch"], "no repodata in noarch")]
)
async def test_an_upstream_that_is_no_channel_is_told_so(
    person: Person, upstream: UpstreamServer, subdirs: list[str], told: str
) -> None:
    mirror = await person.mirror("main", upstream, subdirs=subdirs)
    assert mirror.state == "failed"
    assert "not a conda channel" in mirror.last_error
    assert told in mirror.last_error


async def test_every_known_subdir_is_probed_when_none_is_named(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    mirror = await person.mirror("main", upstream)
    assert {subdir for subdir, state in mirror.subdir_states.items() if state.source} == {"linux-64", "noarch"}


def test_test_channels_are_what_clients_read(upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    document = json.loads((upstream.folder / "linux-64" / "repodata.json").read_bytes())
    assert len(document["packages.conda"]) == 4


async def test_a_new_mirror_of_the_same_channel_remembers_since_when_records_are_listed(
    person: Person, upstream: UpstreamServer
) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=COOLDOWN)
    write_channel(upstream.folder, small_channel(make_record("backdated", "1.0", timestamp=1_500_000_000_000)))
    await person.sync("main")
    await person.ask(mirrors.delete_mirror, "main")
    await person.mirror("main", upstream, subdirs=["linux-64"])
    assert set(await person.withheld("main")) == {"backdated-1.0-h0_0.conda"}


async def test_a_channel_that_no_longer_closes_over_dependencies_is_published_anew(
    person: Person, upstream: UpstreamServer
) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=BAN_XZ)
    await person.ask(channels.update_channel, "main", closure=False)
    await person.run_jobs(person.resources)
    assert set(await person.withheld("main")) == {"xz-5.6.0-h0_0.conda"}


async def test_a_full_disk_while_publishing_loses_nothing(
    person: Person, upstream: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(self: FolderStore, key: str, data: bytes) -> None:
        if key.startswith("repodata/"):
            raise StorageError("no space left on device", hint="free some space")
        put(self, key, data)

    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"])
    before = await person.kept("main")
    write_channel(upstream.folder, small_channel(make_record("new", "2.0")))
    put = FolderStore.put_sync
    person.resources.publishing_cpu = InlineCpu()  # type: ignore[assignment]
    with monkeypatch.context() as patched:
        patched.setattr(FolderStore, "put_sync", is_full)
        mirror = await person.sync("main")
    assert mirror.state == "failed"
    assert "no space left" in mirror.last_error
    assert await person.kept("main") == before
    assert (await person.sync("main")).state == "ok"
    assert "new-2.0-h0_0.conda" in await person.kept("main")


@pytest.mark.parametrize("state", ["queued", "syncing"])
async def test_a_sync_that_nobody_works_on_any_more_starts_again(
    person: Person, upstream: UpstreamServer, state: str
) -> None:
    """Its worker was killed, or its job was lost: the state is a lease, which runs out."""
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"])
    set_state = text("UPDATE mirror SET state = :state, lease_until = now() + CAST(:left AS interval)")
    for left, again in (("30 seconds", []), ("-1 second", ["mirror.sync"]), ("1 year", ["mirror.sync"])):
        async with person.resources.context(LOCAL) as ctx:
            await ctx.session.execute(text("DELETE FROM procrastinate_jobs"))
            await ctx.session.execute(set_state, {"state": state, "left": left})
        await sync_due(person.resources)
        async with person.resources.context(LOCAL) as ctx:
            assert list(await ctx.session.scalars(text("SELECT task_name FROM procrastinate_jobs"))) == again, left
    await person.run_jobs(person.resources)
    assert (await person.look("main")).state == "ok"


async def test_a_fault_of_our_own_ends_as_a_failure_that_is_tried_again(
    person: Person, upstream: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_channel(upstream.folder, small_channel())
    with monkeypatch.context() as patched:
        patched.setattr(syncing, "publish_channel", lambda *_, **__: 1 / 0)
        mirror = await person.mirror("main", upstream, subdirs=["linux-64"])
    assert mirror.state == "failed"
    assert "something went wrong on the server" in mirror.last_error
    assert "division" not in mirror.last_error
    assert mirror.next_sync_at is not None
    assert (await person.sync("main")).state == "ok"


async def test_a_clock_that_jumps_back_harms_nothing(person: Person, upstream: UpstreamServer) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=COOLDOWN)
    now = person.resources.clock()
    person.resources.clock = lambda: now - timedelta(days=400)
    write_channel(upstream.folder, small_channel(make_record("new", "2.0")))
    mirror = await person.sync("main")
    assert mirror.state == "ok"
    history = await person.ask(publications.list_history, "main")
    assert [view.number for view in history.items] == [2, 1]
    assert set(await person.withheld("main")) == {"new-2.0-h0_0.conda"}


async def test_a_sync_that_was_planned_by_a_clock_that_ran_ahead_does_not_wait_for_it(
    person: Person, upstream: UpstreamServer
) -> None:
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], every_s=3600)
    now = person.resources.clock()
    person.resources.clock = lambda: now - timedelta(days=400)
    write_channel(upstream.folder, small_channel(make_record("new", "2.0")))
    await sync_due(person.resources)
    await person.run_jobs(person.resources)
    assert "new-2.0-h0_0.conda" in await person.kept("main")
    mirror = await person.look("main")
    assert mirror.next_sync_at is not None
    assert mirror.next_sync_at - person.resources.clock() == timedelta(hours=1)


async def test_a_sync_that_was_taken_for_dead_and_published_late_is_put_right_by_the_next(
    person: Person, upstream: UpstreamServer
) -> None:
    """A worker that is stopped for a while is given up, its sync runs elsewhere, and then it goes on where it was."""
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"])
    old = await person.look("main")
    write_channel(upstream.folder, small_channel(make_record("new", "2.0")))
    await person.sync("main")
    keys = {subdir: state.source for subdir, state in old.subdir_states.items()}
    late = NewSources(keys, UpstreamDocuments(), old.upstream, "upstream")
    await publish_channel(person.resources, old.channel_id, cause="sync", sources=late)
    assert "new-2.0-h0_0.conda" not in await person.kept("main")
    await person.sync("main")
    assert "new-2.0-h0_0.conda" in await person.kept("main")
