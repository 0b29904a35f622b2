"""Creating, changing and deleting mirrors, and requesting syncs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from antivenom import demo
from antivenom.core.conda.specs import parse_record_spec
from antivenom.core.errors import ConflictError, InvalidInputError, NotFoundError
from antivenom.core.redaction import HIDDEN
from antivenom.server.adapters.stored_urls import StoredUrl
from antivenom.server.channel_policies import service as channel_policies
from antivenom.server.channels import service as channels
from antivenom.server.channels.models import Channel
from antivenom.server.channels.queries import find_channel
from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page, slice_page
from antivenom.server.events.freshness import FRESH, Freshness, judge_freshness
from antivenom.server.events.jobs import defer
from antivenom.server.events.progress import LEASE, WAITING, JobProgress, has_lapsed
from antivenom.server.events.service import record
from antivenom.server.members.authorization import require, require_somewhere
from antivenom.server.mirrors import queries
from antivenom.server.mirrors.models import Mirror
from antivenom.server.mirrors.subdir_state import Selection, SubdirState, SubdirStates, UpstreamFile, forget_changed
from antivenom.server.mirrors.upstream_url import is_incomplete, parse_upstream
from antivenom.server.publications.queries import newest_publication

MODES = ("passive", "active")
SUBDIR_MAX_CHARACTERS = 32
STALE_AFTER = timedelta(days=30)  # a mirror without a schedule
SUBDIR = re.compile(r"noarch|[a-z0-9]+-[a-z0-9_]+")
EVERY_MIN_S = 60
EVERY_MAX_S = 366 * 86_400


class SetAsideRecord(NamedTuple):
    """A record of the upstream that is not mirrored, because it breaks a rule that clients rely on."""

    subdir: str
    fn: str
    reason: str


class NotedRecord(NamedTuple):
    """A record of the upstream that was put in order before it is served, and how."""

    subdir: str
    fn: str
    note: str


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """What a mirror takes, from where, and how often.

    No `subdirs` means every subdir that the upstream has; no `specs` means every package; `every_s` None means
    only when asked; `by_shards` off means that the upstream's shards are not read, only its whole index;
    `with_dependencies` that what the `specs` match brings what it needs, transitively.
    """

    upstream: str
    mode: str = "passive"
    subdirs: Sequence[str] = ()
    specs: Sequence[str] = ()
    every_s: int | None = None
    by_shards: bool = True
    with_dependencies: bool = True


async def create_mirror(
    ctx: Context,
    channel: str,
    settings: MirrorSettings,
    *,
    policy_text: str | None = None,
    closure: bool = True,
) -> Mirror:
    """Fill a channel, which is created if it does not exist, from an upstream; the first sync is due at once.

    Raises:
        InvalidInputError: An argument is wrong; `data["field"]` names it. Nothing was changed.
        ConflictError: The channel is a mirror already.
    """
    require(ctx, "mirrors:write", subject=f"channel:{channel}")
    address = parse_upstream(settings.upstream)
    subdirs, specs = check_subdirs(settings.subdirs), check_specs(settings.specs)
    _check_mode_and_interval(settings)
    _check_complete(address)
    ctx.resources.outbound.check_address(address.shown)
    row = await _open_channel(ctx, channel, closure=closure)
    if await queries.find_mirror(ctx.session, channel):
        raise ConflictError(
            f"channel {channel!r} is a mirror already", hint=f"sync it with: antivenom mirror sync {channel} --wait"
        )
    if row.upstream not in ("", address.shown):  # trust was given to those who built the former upstream's artifacts
        await channels.trust_builds(ctx, row, False)
    mirror = Mirror(
        channel_id=row.id,
        upstream=address.shown,
        upstream_auth=address.auth,
        mode=settings.mode,
        subdirs=subdirs,
        specs=specs,
        every_s=settings.every_s,
        by_shards=settings.by_shards,
        with_dependencies=settings.with_dependencies,
        created_at=ctx.now,
        created_by=ctx.actor.name,
        state="new",
        progress=JobProgress(),
        subdir_states=await _known_sources(ctx, row),
        channeldata=UpstreamFile(),
        selection=Selection(),
        held={},
        last_error="",
        failures=0,
    )
    ctx.session.add(mirror)
    await ctx.session.flush()
    if policy_text is not None:
        await channel_policies.set_policy(ctx, channel, policy_text)
    await record(ctx, "mirror.created", subject=f"channel:{channel}", upstream=address.shown, mode=settings.mode)
    await defer_sync(ctx, mirror)
    return mirror


async def _known_sources(ctx: Context, channel: Channel) -> SubdirStates:
    """What an earlier mirror of the channel ingested: since when each record is listed must outlive that mirror.

    Each is `missing`: the new upstream need not have every subdir of the old one.
    """
    newest = await newest_publication(ctx.session, channel.id)
    published = newest.subdirs if newest else {}
    return {subdir: SubdirState(source=blobs.source, missing=True) for subdir, blobs in published.items()}


async def _open_channel(ctx: Context, name: str, *, closure: bool) -> Channel:
    existing = await find_channel(ctx.session, name, lock=True)
    return existing or await channels.create_channel(ctx, name, closure=closure)


def check_subdirs(subdirs: Sequence[str]) -> list[str]:
    """The subdirs to mirror, without repeats and with noarch (clients always ask for it); empty stays empty.

    Raises:
        InvalidInputError: One is not a subdir.
    """
    for subdir in subdirs:
        if not SUBDIR.fullmatch(subdir) or len(subdir) > SUBDIR_MAX_CHARACTERS:
            raise InvalidInputError(
                f"{subdir!r} is not a conda subdir", hint="such as linux-64, osx-arm64, win-64, noarch", field="subdirs"
            )
    return list(dict.fromkeys([*subdirs, "noarch"])) if subdirs else []


def check_specs(specs: Sequence[str]) -> list[str]:
    """The match specs, in order, without repeats.

    Raises:
        InvalidInputError: One does not parse.
    """
    for spec in specs:
        parse_record_spec(spec)
    return list(dict.fromkeys(specs))


def _check_mode_and_interval(settings: MirrorSettings) -> None:
    mode, every_s = settings.mode, settings.every_s
    if mode not in MODES:
        raise InvalidInputError(f"mode {mode!r} is not one of {', '.join(MODES)}", field="mode")
    if every_s is not None and not EVERY_MIN_S <= every_s <= EVERY_MAX_S:
        raise InvalidInputError(f"an interval of {every_s} s is outside one minute to one year", field="every_s")


async def get_mirror(ctx: Context, channel: str, *, permission: str = "mirrors:read", lock: bool = False) -> Mirror:
    """The mirror that fills a channel.

    Raises:
        NotFoundError: There is no such channel, or it is not a mirror.
    """
    require(ctx, permission, subject=f"channel:{channel}")
    mirror = await queries.find_mirror(ctx.session, channel, lock=lock)
    if mirror is None:
        raise NotFoundError(
            f"channel {channel!r} is not a mirror",
            hint=f"make it one with: antivenom mirror create {channel} --upstream URL",
        )
    return mirror


def freshness_of(mirror: Mirror, now: datetime) -> Freshness:
    """How fresh a mirror is; the demo's always is."""
    if mirror.upstream.startswith(f"{demo.SCHEME}://"):
        return FRESH
    return judge_freshness(mirror, now, unscheduled=STALE_AFTER)


async def list_mirrors(ctx: Context) -> list[tuple[str, Mirror]]:
    """(channel name, mirror) of every mirror that the actor may read, by channel name."""
    return await queries.list_mirrors(ctx.session, among=require_somewhere(ctx, "mirrors:read"))


async def list_set_aside(
    ctx: Context, channel: str, *, page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> Page[SetAsideRecord]:
    """The upstream's records that are not mirrored, with reasons, by subdir; the first 200 of each.

    Raises:
        NotFoundError: There is no such channel, or it is not a mirror.
    """
    mirror = await get_mirror(ctx, channel)
    rows = [
        SetAsideRecord(subdir, fn, reason)
        for subdir, state in sorted(mirror.subdir_states.items())
        for fn, reason in state.set_aside_examples
    ]
    return slice_page(rows, page, page_size)


async def list_notes(
    ctx: Context, channel: str, *, page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> Page[NotedRecord]:
    """The upstream's records that were put in order before they are served, by subdir; the first 200 of each.

    Raises:
        NotFoundError: There is no such channel, or it is not a mirror.
    """
    mirror = await get_mirror(ctx, channel)
    rows = [
        NotedRecord(subdir, fn, note)
        for subdir, state in sorted(mirror.subdir_states.items())
        for fn, note in state.note_examples
    ]
    return slice_page(rows, page, page_size)


async def request_sync(ctx: Context, channel: str) -> Mirror:
    """Queue a sync; does nothing if one waits already."""
    mirror = await get_mirror(ctx, channel, permission="mirrors:write", lock=True)
    await defer_sync(ctx, mirror)
    return mirror


async def update_mirror(ctx: Context, channel: str, settings: MirrorSettings) -> Mirror:
    """Replace what a mirror takes and from where; a sync with that is due at once.

    An `upstream` without credentials keeps those of the same address. The last publication is served meanwhile.

    Raises:
        InvalidInputError: An argument is wrong; `data["field"]` names it. Nothing was changed.
        NotFoundError: There is no such channel, or it is not a mirror.
    """
    row = await channels.get_channel(ctx, channel, permission="mirrors:write", lock=True)  # before its mirror
    mirror = await get_mirror(ctx, channel, permission="mirrors:write", lock=True)
    address = parse_upstream(settings.upstream)
    subdirs, specs = check_subdirs(settings.subdirs), check_specs(settings.specs)
    _check_mode_and_interval(settings)
    is_same = address.shown == mirror.upstream
    if not is_same:
        _check_complete(address)
        ctx.resources.outbound.check_address(address.shown)
    if address.auth or not is_same:
        mirror.upstream_auth = address.auth
    new = {
        "upstream": address.shown,
        "mode": settings.mode,
        "subdirs": subdirs,
        "specs": specs,
        "every_s": settings.every_s,
        "by_shards": settings.by_shards,
        "with_dependencies": settings.with_dependencies,
    }
    changed = {name: value for name, value in new.items() if getattr(mirror, name) != value}
    for name, value in changed.items():
        setattr(mirror, name, value)
    mirror.subdir_states = forget_changed(mirror.subdir_states, changed)
    mirror.held = {}
    if "upstream" in changed:
        mirror.channeldata = UpstreamFile()
        mirror.changed_at, mirror.longest_gap_s = None, 0
        # Trust was given to those who built the former upstream's artifacts.
        await channels.trust_builds(ctx, row, False)
    await record(ctx, "mirror.changed", subject=f"channel:{channel}", **changed)
    await defer_sync(ctx, mirror)
    return mirror


def _check_complete(address: StoredUrl) -> None:
    if is_incomplete(address):
        raise InvalidInputError(
            f"{address.shown} has {HIDDEN} where a secret stood", hint="give the whole address", field="upstream"
        )


async def accept_loss(ctx: Context, channel: str) -> Mirror:
    """Say that the records that an upstream lost are meant to be gone; a sync that publishes this is due at once.

    Should more be lost by then, that is held again.

    Raises:
        ConflictError: Nothing is held.
        NotFoundError: There is no such channel, or it is not a mirror.
    """
    mirror = await get_mirror(ctx, channel, permission="mirrors:write", lock=True)
    if not mirror.held:
        raise ConflictError(f"the mirror {channel!r} holds nothing back", hint=f"antivenom mirror show {channel}")
    losses = {subdir: [loss.before, loss.now] for subdir, loss in mirror.held.items()}
    mirror.held = {subdir: replace(loss, accepted=True) for subdir, loss in mirror.held.items()}
    await record(ctx, "mirror.accepted", subject=f"channel:{channel}", losses=losses)
    await defer_sync(ctx, mirror)
    return mirror


async def delete_mirror(ctx: Context, channel: str) -> None:
    """Stop mirroring; the channel keeps its last publication."""
    mirror = await get_mirror(ctx, channel, permission="mirrors:write", lock=True)
    await ctx.session.delete(mirror)
    await record(ctx, "mirror.deleted", subject=f"channel:{channel}")


async def defer_sync(ctx: Context, mirror: Mirror) -> None:
    """Queue a sync of the mirror; does nothing if one waits already."""
    mirror.next_sync_at = None
    if mirror.state != "syncing" or has_lapsed(mirror.lease_until, ctx.now):
        mirror.state = "queued"
        mirror.progress = WAITING
        mirror.lease_until = ctx.now + LEASE
    await defer(
        ctx,
        "mirror.sync",
        lock=f"mirror:{mirror.id}",
        queueing_lock=f"mirror:{mirror.id}",
        mirror_id=mirror.id,
    )
