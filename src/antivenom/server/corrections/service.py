"""Corrections: what somebody says is wrong, its effect before it counts, applying and taking it back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antivenom.core.errors import ConflictError, InvalidInputError, NotFoundError
from antivenom.core.feeds.correcting import CorrectionKind, Proposal, Row, make_rows, parse_rows, rows_text
from antivenom.core.feeds.entry import KnowledgeEntry
from antivenom.core.matching.what_if import Change
from antivenom.server.advisories import queries as advisories
from antivenom.server.advisories.knowledge_rows import assemble_knowledge, replace_corrections
from antivenom.server.advisories.storing import lock_knowledge
from antivenom.server.context import Context
from antivenom.server.corrections import queries
from antivenom.server.corrections.effect import Effect, measure_effect
from antivenom.server.corrections.models import Correction
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page
from antivenom.server.events.service import record
from antivenom.server.members.authorization import require

STATES = ("proposed", "applied", "declined", "reverted")


class CorrectionPlan(msgspec.Struct, frozen=True):
    """The rows that a proposal makes, as text of a knowledge file, their ids, and what they would change.

    `note`: why that is nothing; "" when that needs no words.
    """

    proposal: Proposal
    rows: list[Row]
    text: str
    row_ids: list[str]
    effect: Effect
    note: str = ""


class CorrectionDetails(msgspec.Struct, frozen=True):
    """A correction with its rows as text, and what applying it, or taking it back, would change now.

    `effect` is None for one that was declined or taken back.
    """

    correction: Correction
    text: str
    row_ids: list[str]
    effect: Effect | None


async def preview_correction(ctx: Context, proposal: Proposal) -> CorrectionPlan:
    """The rows that make it right, and what they would change. Nothing is kept.

    Raises:
        InvalidInputError: The proposal lacks something, or a row would not be readable.
        NotFoundError: No advisory feed has been compiled yet.
    """
    require(ctx, "advisories:read", subject="correction:*")
    proposal, note = await _with_known_id(ctx, proposal)
    now = await assemble_knowledge(ctx)
    rows = make_rows(proposal, now, ctx.now.date())
    entries = parse_rows(rows)
    effect = await measure_effect(ctx, proposal, now, await assemble_knowledge(ctx, more=entries))
    return CorrectionPlan(proposal, rows, rows_text(rows), [entry.id for entry in entries], effect, note)


async def _with_known_id(ctx: Context, proposal: Proposal) -> tuple[Proposal, str]:
    """The proposal with the vulnerability's id as feeds spell it; and a note where none knows it."""
    wanted = proposal.vulnerability
    if not wanted:
        return proposal, ""
    known = await advisories.find_vulnerability(ctx.session, wanted)
    ids = list(known.ids) if known else []
    ids += [row.advisory.id for row in await advisories.list_advisories_of(ctx.session, [wanted, wanted.upper()])]
    spelled = next((i for i in ids if i.casefold() == wanted.casefold()), "")
    if not spelled:
        return proposal, f"No feed that is read knows {wanted}: the row has no effect before one does."
    return msgspec.structs.replace(proposal, vulnerability=spelled), ""


async def propose_correction(ctx: Context, proposal: Proposal) -> Correction:
    """Keep a proposal for an administrator to apply; nothing changes before.

    Raises:
        InvalidInputError: The proposal lacks something, or a row would not be readable.
        ConflictError: The same rows are proposed or applied already.
    """
    require(ctx, "advisories:write", subject="correction:*")
    proposal, _ = await _with_known_id(ctx, proposal)
    rows = make_rows(proposal, await assemble_knowledge(ctx), ctx.now.date())
    ids = [entry.id for entry in parse_rows(rows)]
    for known in await queries.list_open(ctx.session, proposal.name):
        if [_without_day(row) for row in known.rows] == [_without_day(row) for row in rows]:
            raise ConflictError(
                f"correction {known.id} says the same and is {known.state} already",
                hint=f"look at it with: antivenom correction show {known.id}",
            )
    correction = Correction(
        state="proposed",
        kind=str(proposal.kind),
        name=proposal.name,
        vulnerability=proposal.vulnerability,
        proposal=proposal,
        rows=rows,
        proposed_at=ctx.now,
        proposed_by=ctx.actor.label,
        applied_by="",
        ended_by="",
    )
    ctx.session.add(correction)
    await ctx.session.flush()
    await record(ctx, "correction.proposed", subject=_subject(correction), **_facts(correction, ids))
    return correction


def _without_day(row: Row) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return row.columns, row.cells[:-1]


async def list_corrections(
    ctx: Context,
    *,
    q: str = "",
    state: str = "",
    kind: str = "",
    sort: str = "-proposed",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[Correction]:
    """Corrections, the newest first, or by another `sort` of queries.SORTS.

    Raises:
        InvalidInputError: A filter or the order does not exist.
    """
    require(ctx, "advisories:read", subject="correction:*")
    if state and state not in STATES:
        raise InvalidInputError(f"state {state[:40]!r} is not one of {', '.join(STATES)}", field="state")
    if kind:
        read_kind(kind)
    return await queries.page_corrections(
        ctx.session, q=q, state=state, kind=kind, sort=sort, page=page, page_size=page_size
    )


def read_kind(text: str) -> CorrectionKind:
    """The kind of that name.

    Raises:
        InvalidInputError: There is none.
    """
    if text not in CorrectionKind.__members__:
        kinds = ", ".join(CorrectionKind.__members__)
        raise InvalidInputError(f"kind {text[:40]!r} is not one of {kinds}", field="kind")
    return CorrectionKind(text)


async def get_correction(ctx: Context, correction_id: int) -> CorrectionDetails:
    """One correction, with what applying it or taking it back would change now.

    Raises:
        NotFoundError: There is none of that number.
    """
    require(ctx, "advisories:read", subject=f"correction:{correction_id}")
    found = await _find(ctx, correction_id)
    entries = parse_rows(found.rows)
    return CorrectionDetails(
        found, rows_text(found.rows), [entry.id for entry in entries], await _effect_of(ctx, found, entries)
    )


async def _effect_of(ctx: Context, correction: Correction, entries: Sequence[KnowledgeEntry]) -> Effect | None:
    now = await assemble_knowledge(ctx)
    if correction.state == "proposed":
        then = await assemble_knowledge(ctx, more=entries)
    elif correction.state == "applied":
        then = await assemble_knowledge(ctx, corrections=await _applied(ctx, without=correction.id))
    else:
        return None
    return await measure_effect(ctx, correction.proposal, now, then)


async def apply_correction(ctx: Context, correction_id: int) -> Correction:
    """Let a proposed correction count: channels follow when the index is compiled.

    Raises:
        NotFoundError: There is none of that number.
        ConflictError: It is not proposed.
    """
    correction, effect = await _take(ctx, correction_id, "proposed", "applied")
    correction.state, correction.applied_at, correction.applied_by = "applied", ctx.now, ctx.actor.label
    await _publish(ctx, correction, "correction.applied", effect)
    return correction


async def revert_correction(ctx: Context, correction_id: int) -> Correction:
    """Take an applied correction back: what counted without it counts again.

    Raises:
        NotFoundError: There is none of that number.
        ConflictError: It is not applied.
    """
    correction, effect = await _take(ctx, correction_id, "applied", "reverted")
    correction.state, correction.ended_at, correction.ended_by = "reverted", ctx.now, ctx.actor.label
    await _publish(ctx, correction, "correction.reverted", effect)
    return correction


async def decline_correction(ctx: Context, correction_id: int) -> Correction:
    """Refuse a proposed correction. Whoever proposed it may withdraw it so, too.

    Raises:
        NotFoundError: There is none of that number.
        ConflictError: It is not proposed.
    """
    require(ctx, "advisories:write", subject=f"correction:{correction_id}")
    correction = await _find(ctx, correction_id, lock=True)
    if correction.proposed_by != ctx.actor.label:
        require(ctx, "advisories:manage", subject=f"correction:{correction_id}")
    _check_state(correction, "proposed", "declined")
    correction.state, correction.ended_at, correction.ended_by = "declined", ctx.now, ctx.actor.label
    await record(ctx, "correction.declined", subject=_subject(correction), **_facts(correction, []))
    return correction


async def export_corrections(ctx: Context) -> str:
    """All corrections that count, as one file of kind `knowledge`: for another server, or as a feed of its own."""
    require(ctx, "advisories:read", subject="correction:*")
    applied = await queries.list_applied(ctx.session)
    # Of rows with one id the first of a file counts, and here the last that was applied.
    return rows_text([row for correction in reversed(applied) for row in correction.rows])


async def _take(ctx: Context, correction_id: int, needed: str, wanted: str) -> tuple[Correction, Effect | None]:
    """The correction, locked and in the state that is needed, and what its change to another would change."""
    require(ctx, "advisories:manage", subject=f"correction:{correction_id}")
    correction = await _find(ctx, correction_id, lock=True)
    _check_state(correction, needed, wanted)
    return correction, await _effect_of(ctx, correction, parse_rows(correction.rows))


async def _publish(ctx: Context, correction: Correction, event: str, effect: Effect | None) -> None:
    await ctx.session.flush()
    await lock_knowledge(ctx.session)  # before the applied ones are read: two at a time would lose one
    revision = await replace_corrections(ctx, await _applied(ctx), cause=_subject(correction))
    counts = {str(change): effect.count(change) for change in Change} if effect else {}
    ids = [entry.id for entry in parse_rows(correction.rows)]
    await record(ctx, event, subject=_subject(correction), **_facts(correction, ids), **counts, revision=revision)


async def _applied(ctx: Context, *, without: int = 0) -> list[KnowledgeEntry]:
    applied = await queries.list_applied(ctx.session)
    return [entry for correction in applied if correction.id != without for entry in parse_rows(correction.rows)]


async def _find(ctx: Context, correction_id: int, *, lock: bool = False) -> Correction:
    found = await queries.find_correction(ctx.session, correction_id, lock=lock) if 0 < correction_id < 2**63 else None
    if found is None:
        raise NotFoundError(f"there is no correction {correction_id}", hint="list them with: antivenom correction list")
    return found


def _check_state(correction: Correction, needed: str, wanted: str) -> None:
    if correction.state != needed:
        raise ConflictError(
            f"correction {correction.id} is {correction.state}, and only one that is {needed} can be {wanted}",
            hint="propose it again" if correction.state in ("declined", "reverted") else "",
        )


def _subject(correction: Correction) -> str:
    return f"correction:{correction.id}"


def _facts(correction: Correction, row_ids: list[str]) -> dict[str, object]:
    return {
        "package": correction.name,
        "correction_kind": correction.kind,
        "vulnerability": correction.vulnerability,
        "reason": correction.proposal.reason,
        "rows": row_ids,
    }
