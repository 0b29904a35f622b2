"""/api/v1/match, and the components that an advisory affects."""

from __future__ import annotations

import asyncio

import msgspec
from fastapi import APIRouter, Response

from antivenom.core.matching.advisories import Severity
from antivenom.core.matching.component_request import read_component
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT
from antivenom.server.findings import explaining, service
from antivenom.server.findings.schemas import (
    AffectedPage,
    AffectedView,
    AssessmentView,
    ExplainBody,
    ExplanationView,
    KnowledgeView,
    MatchBody,
)
from antivenom.server.members.authentication import RequestContext

router = APIRouter(tags=["findings"])


@router.post("/match", response_model=list[AssessmentView])
async def match_components(ctx: RequestContext, body: MatchBody) -> Response:
    """What is known of each component, in the order given."""
    requests = [read_component(item) for item in body.components]
    answers = await service.match_components(ctx, requests, include_ignored=body.include_ignored)
    # Ten thousand components can have half a million findings: msgspec writes them far faster than pydantic.
    return Response(await asyncio.to_thread(msgspec.json.encode, answers), media_type="application/json")


@router.post("/match/explain")
async def explain_match(ctx: RequestContext, body: ExplainBody) -> ExplanationView:
    """How one component comes to its findings, and why all else that is told of its names is none."""
    request = read_component(body.component)
    return ExplanationView.of(await explaining.explain_component(ctx, request, advisory=body.advisory))


@router.get("/match")
async def show_knowledge(ctx: RequestContext) -> KnowledgeView:
    """What matching knows: the revision that answers come from, and the newest of the feeds."""
    compiled, newest = await service.show_knowledge(ctx)
    return KnowledgeView(revision=compiled, newest_revision=newest)


@router.get("/advisories/{advisory_id}/affected")
async def list_affected(
    ctx: RequestContext, advisory_id: str, page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> AffectedPage:
    """The components of published channels that a vulnerability affects now."""
    found = await service.list_affected(ctx, advisory_id, page=page, page_size=page_size)
    items = [
        AffectedView(
            name=c.name,
            version=c.version,
            purls=list(c.purls),
            id=c.primary_id,
            severity=Severity(c.severity).name,
            risk=c.risk,
        )
        for c in found.items
    ]
    return AffectedPage(items=items, total=found.total, page=found.page, page_size=found.page_size)
