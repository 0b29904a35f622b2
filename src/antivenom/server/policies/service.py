"""Policies: check, save as revisions, look up, compare. `channel_policies` knows which channel is under which."""

from __future__ import annotations

import asyncio
import difflib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from sqlalchemy.dialects.postgresql import insert

from antivenom.core.errors import SIMPLER_POLICY, NotFoundError, TooExpensiveError
from antivenom.core.policy import compile as core
from antivenom.server.context import Context, Resources
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page
from antivenom.server.events.service import record
from antivenom.server.members.authorization import require
from antivenom.server.policies import queries
from antivenom.server.policies.models import Policy, PolicyRevision


@dataclass(frozen=True, slots=True)
class RevisionDiff:
    """The difference of two revisions of a policy. Ids are in the order of the newer text; `removed`, of the older."""

    name: str
    old: int
    new: int
    gates: list[str]
    added: list[str]
    removed: list[str]
    changed: list[str]
    lines: list[str]  # a unified diff of the texts


CHECK_MAX_S: Final = 5.0
CHECKED_KEPT: Final = 64
CHECKED_MAX_CHARACTERS: Final = 100_000  # of a text that is kept: real ones have a few thousand
_checked: OrderedDict[str, core.Policy] = (
    OrderedDict()
)  # of this process, for pages show the same texts again and again
_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


async def check_policy(resources: Resources, text: str, *, asker: str = "") -> core.Policy:
    """The policy that a text defines; nothing is stored.

    Checking an expression evaluates it, in foreign code and for as long as its author likes: hence in a child.

    Args:
        asker: Who tries the text, one text at a time; "" when it is saved, which waits for nobody who only tries.

    Raises:
        InvalidInputError: It is wrong; `data["problems"]` lists line, column, field, message and hint of each problem.
        TooExpensiveError: Checking it takes too long.
    """
    if (known := _checked.get(text)) is not None:
        _checked.move_to_end(text)
        return known
    try:
        if asker:
            async with _turns.setdefault(asker, asyncio.Lock()):
                parsed = await resources.previews.run(core.parse_policy, text, cpu_s=CHECK_MAX_S)
        else:
            parsed = await resources.checks.run(core.parse_policy, text, cpu_s=CHECK_MAX_S)
    except TooExpensiveError:
        message = f"the policy takes more than {CHECK_MAX_S:g} s of CPU to check"
        raise TooExpensiveError(message, hint=SIMPLER_POLICY) from None
    if len(text) <= CHECKED_MAX_CHARACTERS:
        _checked[text] = parsed
    while len(_checked) > CHECKED_KEPT:
        _checked.popitem(last=False)
    return parsed


def read_revision(revision: PolicyRevision) -> core.Policy:
    """The policy that a revision defines.

    Not by its text: what an earlier release accepted may be refused today, and must neither keep anybody from seeing it
    nor from putting another in its place.
    """
    return core.read_stored_policy(revision.document)


async def save_policy(ctx: Context, text: str, *, is_demo: bool = False) -> PolicyRevision:
    """Save the text as a new revision of the policy that it names; the latest revision if its text is the same.

    Raises:
        InvalidInputError: The policy is wrong; nothing is stored.
    """
    require(ctx, "policies:write", subject="policy:*")
    parsed = await check_policy(ctx.resources, text)
    # When two write the first revision of a name, the second waits here for the first, and then finds its row.
    await ctx.session.execute(
        insert(Policy)
        .values(name=parsed.name, created_at=ctx.now, is_demo=is_demo)
        .on_conflict_do_nothing(index_elements=[Policy.name])
    )
    policy = await _policy(ctx, parsed.name, lock=True)
    latest = await queries.find_latest_revision(ctx.session, policy.id)
    if latest is not None and latest.text == text:
        return latest
    revision = PolicyRevision(
        policy_id=policy.id,
        number=latest.number + 1 if latest else 1,
        text=text,
        document=parsed.document(),
        created_at=ctx.now,
        created_by=ctx.actor.name,
    )
    ctx.session.add(revision)
    await ctx.session.flush()
    gates = core.changed_gates(read_revision(latest) if latest else None, parsed)
    await record(ctx, "policy.revised", subject=f"policy:{policy.name}", number=revision.number, gates=sorted(gates))
    return revision


async def get_policy(ctx: Context, name: str) -> tuple[Policy, PolicyRevision]:
    """The policy of that name and its latest revision.

    Raises:
        NotFoundError: There is none.
    """
    require(ctx, "policies:read", subject=f"policy:{name}")
    policy = await _policy(ctx, name)
    return policy, await _revision(ctx, policy, None)


async def get_revision(ctx: Context, name: str, number: int) -> tuple[Policy, PolicyRevision]:
    """One revision of a policy.

    Raises:
        NotFoundError: There is no such policy or revision.
    """
    require(ctx, "policies:read", subject=f"policy:{name}")
    policy = await _policy(ctx, name)
    return policy, await _revision(ctx, policy, number)


async def list_policies(
    ctx: Context, *, q: str = "", sort: str = "name", page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> Page[tuple[Policy, PolicyRevision]]:
    """Policies by name, revision or revised, each with its latest revision; `q` is found in the name.

    Raises:
        InvalidInputError: The sort is unknown, or there is no such page.
    """
    require(ctx, "policies:read", subject="policy:*")
    return await queries.page_policies(ctx.session, q=q, sort=sort, page=page, page_size=page_size)


async def list_revisions(
    ctx: Context, name: str, *, page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> Page[PolicyRevision]:
    """Revisions of a policy, the newest first.

    Raises:
        NotFoundError: There is no such policy.
    """
    require(ctx, "policies:read", subject=f"policy:{name}")
    policy = await _policy(ctx, name)
    return await queries.page_revisions(ctx.session, policy.id, page=page, page_size=page_size)


async def diff_revisions(ctx: Context, name: str, old: int, new: int) -> RevisionDiff:
    """What changed from one revision to another, by rules and by lines.

    Raises:
        NotFoundError: There is no such policy or revision.
    """
    require(ctx, "policies:read", subject=f"policy:{name}")
    policy = await _policy(ctx, name)
    before, after = await _revision(ctx, policy, old), await _revision(ctx, policy, new)
    was, now = read_revision(before), read_revision(after)
    old_items, new_items = _items(was), _items(now)
    return RevisionDiff(
        name=name,
        old=old,
        new=new,
        gates=sorted(core.changed_gates(was, now)),
        added=[i for i in new_items if i not in old_items],
        removed=[i for i in old_items if i not in new_items],
        changed=[i for i, item in new_items.items() if i in old_items and old_items[i] != item],
        lines=list(
            difflib.unified_diff(
                before.text.splitlines(), after.text.splitlines(), f"revision {old}", f"revision {new}", lineterm=""
            )
        ),
    )


def _items(policy: core.Policy) -> dict[str, core.Rule | core.AllowlistItem]:
    """Rules and allowlist items by id, in the order in which they stand."""
    items: list[core.Rule | core.AllowlistItem] = [*policy.rules, *policy.allowlist]
    return {item.id: item for item in items}


async def _policy(ctx: Context, name: str, *, lock: bool = False) -> Policy:
    policy = await queries.find_policy(ctx.session, name, lock=lock)
    if policy is None:
        raise NotFoundError(f"there is no policy {name!r}", hint="list them with: antivenom policy list")
    return policy


async def _revision(ctx: Context, policy: Policy, number: int | None) -> PolicyRevision:
    """A revision by number; the latest when None."""
    if number is None:
        revision = await queries.find_latest_revision(ctx.session, policy.id)
    else:
        revision = await queries.find_revision(ctx.session, policy.id, number) if 0 < number < 1 << 31 else None
    if revision is None:
        raise NotFoundError(
            f"policy {policy.name!r} has no revision {number}",
            hint=f"list them with: antivenom policy history {policy.name}",
        )
    return revision
