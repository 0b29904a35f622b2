"""Mends lost blobs: fetches them from the upstream or makes them again, and says what cannot be mended.

What a blob is needed for decides: a mirror reads its upstream's index anew, a channel is published again, the match
index is compiled again, artifacts and derived documents come back when somebody asks for them, and a superseded
publication that lacks something is retired, for it cannot be served.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from antivenom.core.errors import DamagedBlobError, NotFoundError, UnavailableError
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.advisory_files.service import make_again
from antivenom.server.context import SYSTEM, Context, Resources
from antivenom.server.db.blob_guard import CheckAlone, blobs_for_deletion
from antivenom.server.events.service import record
from antivenom.server.findings.service import request_compilation
from antivenom.server.mirrors.queries import find_mirror
from antivenom.server.mirrors.service import defer_sync
from antivenom.server.publications.publish_channel import defer_republish
from antivenom.server.storage import queries
from antivenom.server.storage.marking import MAPS, find_needing
from antivenom.server.storage.models import LostBlob
from antivenom.server.storage.queries import NamedBlob, Namer
from antivenom.server.storage.reports import LostRow

TRY_FIRST_S = 60
TRY_LONGEST_S = 3600
NAMERS_SHOWN = 3
KEYS_AT_ONCE = 1000
WAIT_S = 20.0  # for a moment in which nobody builds


class Way(Enum):
    """How a lost blob is mended; the value tells it to people."""

    refetch = "fetched again when somebody asks for it"
    rederive = "made again when somebody asks for it"
    resync = "its mirror reads the upstream anew"
    republish = "its channel is published again"
    recompile = "compiled again from the feeds"
    remake = "the advisory file is made again"
    retire = "only superseded publications need it: they are retired"
    nothing = ""


@dataclass(frozen=True, slots=True)
class Need:
    """Why a blob is needed: a row that names it, or a map (`via`) that does. `fn` is an artifact's file name."""

    via: NamedBlob
    fn: str = ""

    def __str__(self) -> str:
        return f"{self.via.by}: {self.fn}" if self.fn else str(self.via.by)


@dataclass(slots=True)
class Diagnosis:
    """A lost blob, who needs it, and what mends it."""

    key: str
    problem: str  # missing | damaged
    needs: list[Need]
    ways: dict[Way, set[Namer]] = field(default_factory=dict)

    def describe_needs(self) -> str:
        """Who needs it, the first of them."""
        texts = list(dict.fromkeys(map(str, self.needs)))
        more = f" and {len(texts) - NAMERS_SHOWN} more" if len(texts) > NAMERS_SHOWN else ""
        return "; ".join(texts[:NAMERS_SHOWN]) + more

    def describe_ways(self) -> str:
        """What mends it; "" when for somebody nothing does."""
        return "" if Way.nothing in self.ways else "; ".join(way.value for way in self.ways)

    @property
    def comes_when_asked_for(self) -> bool:
        """Whether nothing is to be done but to let it be fetched or made again."""
        return set(self.ways) <= {Way.refetch, Way.rederive}

    def row(self) -> LostRow:
        """The blob in a report."""
        return LostRow(self.key, self.problem, self.describe_needs(), self.describe_ways())


def choose_ways(needs: Iterable[Need], mirrored: Collection[str]) -> dict[Way, set[Namer]]:
    """What to do about a lost blob, and for whom. A sync publishes too, so it stands for both."""
    ways: dict[Way, set[Namer]] = defaultdict(set)
    for need in needs:
        ways[_choose(need, mirrored)].add(need.via.by)
    resynced = {by.channel for by in ways.get(Way.resync, ())}
    republished = {by for by in ways.get(Way.republish, ()) if by.channel not in resynced}
    return {
        way: republished if way is Way.republish else found
        for way, found in ways.items()
        if way is not Way.republish or republished
    }


def _choose(need: Need, mirrored: Collection[str]) -> Way:
    role, by = need.via.role, need.via.by
    has_upstream = by.channel in mirrored
    if need.fn:
        return Way.refetch if has_upstream else Way.nothing
    if role == "derived":
        return Way.rederive
    if role == "knowledge":
        return Way.recompile
    if role == "advisory_file":
        return Way.remake
    if by.number and not by.is_needed:
        return Way.retire
    if role in ("index", "monolith", "findings"):
        return Way.republish
    return Way.resync if has_upstream else Way.nothing


async def diagnose(resources: Resources, problems: Mapping[str, str]) -> list[Diagnosis]:
    """Who needs the lost blobs (key → missing or damaged), and what mends them; without those that nobody needs."""
    async with resources.context(SYSTEM) as ctx:
        named = await queries.list_named(ctx.session)
        mirrored = await queries.list_mirrored(ctx.session)
    by_key: dict[str, list[NamedBlob]] = defaultdict(list)
    for blob in named:
        by_key[blob.key].append(blob)
    maps = sorted({blob.key for blob in named if blob.role in MAPS})
    needing: Mapping[str, list[tuple[str, str]]] = await resources.cpu.run(
        find_needing, resources.blobs.url, maps, sorted(problems)
    )
    found = []
    for key, problem in sorted(problems.items()):
        needs = [Need(blob) for blob in by_key.get(key, ())]
        if key.startswith("document/"):
            needs.append(Need(NamedBlob(key, "derived", Namer("documents for older clients"))))
        needs += [Need(blob, fn) for via, fn in needing[key] for blob in by_key[via] if blob.role in MAPS]
        if needs:
            found.append(Diagnosis(key, problem, needs, choose_ways(needs, mirrored)))
    return found


# -- mending -----------------------------------------------------------------------------------------------------------


async def mend(resources: Resources, keys: Sequence[str]) -> list[Diagnosis]:
    """Look at blobs that may be lost, and begin to mend those that are; what is still lost then.

    They stay in the list of lost blobs until a later look finds them whole, or nobody needs them any more.
    """
    problems = await asyncio.to_thread(find_problems, resources.blobs, keys)
    return await mend_found(resources, keys, await diagnose(resources, problems) if problems else [])


async def mend_found(resources: Resources, keys: Sequence[str], found: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Begin to mend what of `keys` was found to be lost; what is still lost then."""
    diagnoses = await _discard_damaged(resources, found)
    ended = [diagnosis for diagnosis in diagnoses if diagnosis.comes_when_asked_for]
    left = [diagnosis for diagnosis in diagnoses if not diagnosis.comes_when_asked_for]
    async with resources.context(SYSTEM) as ctx:
        await _note(ctx, keys, ended, left)
        await _act(ctx, diagnoses)
    return left


async def _discard_damaged(resources: Resources, found: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Delete the damaged blobs in whose place a whole one is stored only then; what is lost without those found whole.

    They are looked at again, for somebody may have stored them anew since. Those that builders store are deleted while
    nobody builds; if there is no such moment soon, they stay until a later look.
    """
    # Of a folder, builders see for themselves that a file is damaged; some of it may still be good to serve.
    is_bucket = resources.blobs.local_path("artifact/x") is None
    damaged = [diagnosis for diagnosis in found if diagnosis.problem == "damaged"]
    asked_for = [diagnosis.key for diagnosis in damaged if diagnosis.comes_when_asked_for]
    built = [diagnosis.key for diagnosis in damaged if is_bucket and not diagnosis.comes_when_asked_for]
    whole = await _delete_damaged(resources, asked_for)
    if built:
        with contextlib.suppress(UnavailableError):
            async with blobs_for_deletion(resources.lock_engine, wait_s=WAIT_S) as check_alone:
                whole |= await _delete_damaged(resources, built, check_alone)
    return [diagnosis for diagnosis in found if diagnosis.key not in whole]


async def _delete_damaged(resources: Resources, keys: Sequence[str], check_alone: CheckAlone | None = None) -> set[str]:
    """Delete those that are damaged; which of the others are whole."""
    whole = set()
    for key in keys:
        problem = (await asyncio.to_thread(find_problems, resources.blobs, [key])).get(key)
        if problem is None:
            whole.add(key)
        elif problem == "damaged":
            if check_alone is not None:
                await check_alone()
            await resources.blobs.delete(key)
    return whole


def find_problems(store: BlobStore, keys: Iterable[str]) -> dict[str, str]:
    """Which of the blobs are missing or damaged, and which of both."""
    problems = {}
    for key in keys:
        try:
            store.verify_sync(key)
        except DamagedBlobError:
            problems[key] = "damaged"
        except NotFoundError:
            problems[key] = "missing"
    return problems


async def _note(ctx: Context, keys: Sequence[str], ended: list[Diagnosis], left: list[Diagnosis]) -> None:
    """Bring the list of lost blobs up to date; what is new on it, and what is mended, are events."""
    await queries.lock_lost(ctx.session)
    known = {lost.key: lost for lost in await queries.list_lost(ctx.session)}
    for diagnosis in left:
        lost = known.get(diagnosis.key)
        if lost is None:
            lost = LostBlob(key=diagnosis.key, problem="", found_at=ctx.now, needed_by="", plan="", tries=0)
            ctx.session.add(lost)
            await _record(ctx, "blob.found_lost", diagnosis)
        lost.problem = diagnosis.problem
        lost.needed_by, lost.plan = diagnosis.describe_needs(), diagnosis.describe_ways()
        lost.next_try_at = next_try(ctx.now, lost.tries)
        lost.tries += 1
    for diagnosis in ended:
        await _record(ctx, "blob.discarded", diagnosis)
    gone = set(keys) - {diagnosis.key for diagnosis in left}
    for key in sorted(gone & known.keys()):
        await record(ctx, "blob.mended", subject=f"blob:{key}", needed_by=known[key].needed_by)
    await queries.forget_lost(ctx.session, gone)


async def _record(ctx: Context, kind: str, found: Diagnosis) -> None:
    facts = {"problem": found.problem, "needed_by": found.describe_needs(), "plan": found.describe_ways()}
    await record(ctx, kind, subject=f"blob:{found.key}", **facts)


def next_try(now: datetime, tries: int) -> datetime:
    """A minute after the first try, twice as long after each further one, an hour at most."""
    return now + timedelta(seconds=min(TRY_LONGEST_S, TRY_FIRST_S << min(tries, 10)))


async def _act(ctx: Context, diagnoses: Sequence[Diagnosis]) -> None:
    """Ask for what mends them. Channels are locked by id, then their mirrors: so does everybody else."""
    asked: dict[Way, set[Namer]] = defaultdict(set)
    for diagnosis in diagnoses:
        for way, namers in diagnosis.ways.items():
            asked[way] |= namers
    concerned = {way: {by.channel for by in asked[way]} for way in Way}
    synced = concerned[Way.resync] | concerned[Way.refetch]
    channels = await queries.lock_channels(ctx.session, synced | concerned[Way.republish] | concerned[Way.retire])
    for name, channel_id in channels.items():
        mirror = await find_mirror(ctx.session, name, lock=True) if name in synced else None
        if mirror is not None and (name in concerned[Way.resync] or mirror.mode == "active"):
            await defer_sync(ctx, mirror)
        if name in concerned[Way.republish]:
            await defer_republish(ctx, channel_id, cause="repair")
    if asked[Way.recompile]:
        keys = [diagnosis.key for diagnosis in diagnoses if Way.recompile in diagnosis.ways]
        await queries.forget_compiled(ctx.session, keys)
        await request_compilation(ctx)
    if asked[Way.remake]:
        await make_again(ctx, [diagnosis.key for diagnosis in diagnoses if Way.remake in diagnosis.ways])
    for by in sorted(asked[Way.retire]):
        if by.channel in channels and await queries.retire(ctx.session, channels[by.channel], by.number, ctx.now):
            await record(ctx, "publication.retired", subject=f"channel:{by.channel}", numbers=[by.number])
