"""Pages of corrections: the list, one with its effect, and the form behind "This is wrong"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import AntivenomError, InvalidInputError, NotFoundError
from antivenom.core.feeds.correcting import CorrectionKind, Proposal
from antivenom.core.matching.component_request import read_component
from antivenom.core.matching.component_text import parse_component
from antivenom.core.matching.knowledge import CORRECTIONS
from antivenom.core.matching.platforms import ANY, PLATFORMS
from antivenom.server.context import Context
from antivenom.server.corrections import service
from antivenom.server.corrections.service import CorrectionPlan
from antivenom.server.findings import explaining
from antivenom.server.members.authorization import is_allowed
from antivenom.server.web.rendering import ListState, action, page, redirect, render

KINDS: dict[CorrectionKind, tuple[str, str]] = {
    CorrectionKind.package: ("Another package", "The advisory is about software that this package is not."),
    CorrectionKind.range: ("Other releases", "The package is affected, but in other releases than the sources say."),
    CorrectionKind.part: (
        "Another part",
        "The advisory is about a part of the project that this package does not have.",
    ),
    CorrectionKind.platform: ("Other platforms", "It exists on some operating systems or processors only."),
    CorrectionKind.ignore: ("Not affected", "The package is not affected for another reason."),
    CorrectionKind.missing: ("A finding is missing", "The package is affected, and no source says so."),
}
FIELDS = ("component", "channel", "advisory", "right_names", "affected", "words", "reason", "source")


@dataclass(frozen=True, slots=True)
class FormValues:
    """What stands in the form."""

    kind: CorrectionKind
    texts: dict[str, str]
    wrong_names: list[str] = field(default_factory=list)
    platforms: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, values: FormData | QueryParams) -> FormValues:
        """The values of a form or an address; an unknown kind is that of another package."""
        kind = str(values.get("kind", ""))
        return cls(
            CorrectionKind(kind) if kind in CorrectionKind.__members__ else CorrectionKind.package,
            {name: str(values.get(name, ""))[:2_000] for name in FIELDS},
            [str(value)[:400] for value in values.getlist("wrong_names")][:20],
            [str(value)[:40] for value in values.getlist("platforms")][:20],
        )

    def url(self, kind: CorrectionKind) -> str:
        """The form for another kind, about the same."""
        kept = {name: self.texts[name] for name in ("component", "channel", "advisory")}
        return "/corrections/new?" + urlencode({"kind": str(kind)} | {k: v for k, v in kept.items() if v})

    def component(self) -> dict[str, str]:
        """The component as `read_component` takes it.

        Raises:
            InvalidInputError: It is none of conda.
        """
        text = self.texts["component"].strip()
        parsed = parse_component(text if ":" in text else f"conda:{text}", self.texts["channel"])
        if "name" not in parsed:
            raise InvalidInputError(
                "a correction is about a conda package", hint="write conda:NAME=VERSION", field="component"
            )
        return parsed

    def proposal(self) -> Proposal:
        """What the form says is wrong.

        Raises:
            InvalidInputError: The component is none of conda.
        """
        parsed = self.component()
        return Proposal(
            kind=self.kind,
            name=parsed["name"].lower(),
            version=parsed["version"],
            vulnerability="" if self.kind is CorrectionKind.package else self.texts["advisory"].strip(),
            wrong_names=tuple(self.wrong_names),
            right_names=tuple(self.texts["right_names"].replace(",", " ").split()),
            affected=self.texts["affected"],
            words=tuple(word for part in self.texts["words"].split(",") if (word := part.strip())),
            platforms=tuple(self.platforms),
            reason=self.texts["reason"],
            source=self.texts["source"],
        )


async def show_corrections(request: Request, ctx: Context) -> Response:
    state = ListState.read(request, filters=("state", "kind"), sort="-proposed")
    found = await service.list_corrections(
        ctx,
        q=state.q,
        state=state.filter("state"),
        kind=state.filter("kind"),
        sort=state.sort,
        page=state.page,
        page_size=state.page_size,
    )
    return render(
        request, ctx, "corrections/corrections.html", partial="results", state=state, found=found, kinds=KINDS
    )


async def show_correction(request: Request, ctx: Context) -> Response:
    found = await service.get_correction(ctx, _correction_id(request))
    return render(
        request,
        ctx,
        "corrections/correction.html",
        found=found,
        kinds=KINDS,
        may_apply=is_allowed(ctx.actor, "advisories:manage"),
        may_decline=is_allowed(ctx.actor, "advisories:manage") or found.correction.proposed_by == ctx.actor.label,
    )


async def show_form(request: Request, ctx: Context) -> Response:
    return await _render_form(request, ctx, FormValues.read(request.query_params), None, None)


async def submit_form(request: Request, ctx: Context, form: FormData) -> Response:
    values = FormValues.read(form)
    what = str(form.get("do", "preview"))
    plan = await service.preview_correction(ctx, values.proposal())
    if what == "preview" or form.get("shown") != _digest(plan):  # nothing is kept whose effect was not shown
        return await _render_form(request, ctx, values, plan, None)
    correction = await service.propose_correction(ctx, values.proposal())
    if what == "apply":
        await service.apply_correction(ctx, correction.id)
        return redirect(f"/corrections/{correction.id}", flash="The correction counts; channels follow in a moment.")
    return redirect(f"/corrections/{correction.id}", flash="The correction waits for an administrator.")


async def show_refused(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    read = FormValues.read(values) if isinstance(values, FormData) else FormValues.read(FormData(values))
    return await _render_form(request, ctx, read, None, error)


async def _render_form(
    request: Request, ctx: Context, values: FormValues, plan: CorrectionPlan | None, error: AntivenomError | None
) -> Response:
    names, ranges = await _what_is_told(ctx, values)
    return render(
        request,
        ctx,
        "corrections/new.html",
        status=error.status if error else 200,
        values=values,
        kinds=KINDS,
        names=names | {name: "" for name in values.wrong_names if name not in names},
        ranges=ranges,
        platforms=(*PLATFORMS, ANY),
        plan=plan,
        shown=_digest(plan) if plan else "",
        error=error,
        may_propose=is_allowed(ctx.actor, "advisories:write"),
        may_apply=is_allowed(ctx.actor, "advisories:manage"),
    )


def _digest(plan: CorrectionPlan) -> str:
    """What tells whether the rows are those that were shown. A browser sends no text as it got it (line ends)."""
    return hashlib.sha256(plan.text.encode()).hexdigest()


async def _what_is_told(ctx: Context, values: FormValues) -> tuple[dict[str, str], list[str]]:
    """The names by which the component is tied to the advisory, with where each is from; and what ranges say now."""
    if not values.texts["component"]:
        return {}, []
    advisory = "" if values.kind is CorrectionKind.missing else values.texts["advisory"].strip()
    try:
        request = read_component(values.component())
        told = (await explaining.explain_component(ctx, request, advisory=advisory)).explanation
    except (InvalidInputError, NotFoundError):
        return {}, []
    if not advisory:
        return {f"{n.ecosystem}/{n.name}": n.via for n in told.names if n.advisories}, []
    comparisons = [c for item in told.considered for c in item.comparisons]
    ranges = dict.fromkeys(f"{c.rank}: {' or '.join(c.ranges)}" for c in comparisons if c.ranges)
    return {c.name: c.via for c in comparisons if not c.name.startswith(f"{CORRECTIONS}/")}, list(ranges)


async def apply_correction(request: Request, ctx: Context, form: FormData) -> Response:
    found = await service.apply_correction(ctx, _correction_id(request))
    return redirect(f"/corrections/{found.id}", flash="The correction counts; channels follow in a moment.")


async def revert_correction(request: Request, ctx: Context, form: FormData) -> Response:
    found = await service.revert_correction(ctx, _correction_id(request))
    return redirect(f"/corrections/{found.id}", flash="The correction was taken back; channels follow in a moment.")


async def decline_correction(request: Request, ctx: Context, form: FormData) -> Response:
    found = await service.decline_correction(ctx, _correction_id(request))
    return redirect(f"/corrections/{found.id}", flash="The correction was declined.")


def _correction_id(request: Request) -> int:
    text = request.path_params["correction_id"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFoundError(f"there is no correction {text[:40]!r}", hint="list them with: antivenom correction list")
    return int(text)


routes: list[Route] = [
    page("/corrections", show_corrections),
    page("/corrections/new", show_form),
    action("/corrections/new", submit_form, form=show_refused),
    page("/corrections/{correction_id}", show_correction),
    action("/corrections/{correction_id}/apply", apply_correction),
    action("/corrections/{correction_id}/revert", revert_correction),
    action("/corrections/{correction_id}/decline", decline_correction),
]
