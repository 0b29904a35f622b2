"""What /api/v1/corrections takes and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import msgspec
from pydantic import BaseModel, Field

from antivenom.core.feeds.correcting import Proposal
from antivenom.server.corrections.effect import Effect
from antivenom.server.corrections.models import Correction
from antivenom.server.corrections.service import CorrectionDetails, CorrectionPlan, read_kind


class ProposalBody(BaseModel):
    """What is wrong about a conda package, and what is right. Each kind needs some of the fields.

    package: `wrong_names`, `right_names` or both. range, missing: `vulnerability`, `affected`. part: `vulnerability`,
    or `words` that tell the other part. platform: `vulnerability`, `platforms`. ignore: `vulnerability`.
    """

    kind: str = Field(description="package, range, part, platform, missing or ignore", max_length=20)
    name: str = Field(min_length=1, max_length=128, description="The conda package.")
    version: str = Field(default="", max_length=256, description="A release to show the effect on.")
    vulnerability: str = Field(default="", max_length=300)
    wrong_names: list[str] = Field(default=[], max_length=20, description="Such as pypi/redis or cpe/redis:redis.")
    right_names: list[str] = Field(default=[], max_length=20)
    affected: str = Field(default="", max_length=2_000, description="Such as ..1.5 or 2.0..2.3 3.0..")
    words: list[str] = Field(default=[], max_length=50)
    platforms: list[str] = Field(default=[], max_length=20, description="Such as windows, or any.")
    reason: str = Field(max_length=1_000, description="Shown wherever the row sets a finding aside.")
    source: str = Field(default="", max_length=300, description="Where it says so.")

    def proposal(self) -> Proposal:
        """The proposal.

        Raises:
            InvalidInputError: An unknown kind.
        """
        return Proposal(
            kind=read_kind(self.kind),
            name=self.name.strip().lower(),
            version=self.version.strip(),
            vulnerability=self.vulnerability.strip(),
            wrong_names=tuple(self.wrong_names),
            right_names=tuple(self.right_names),
            affected=self.affected,
            words=tuple(self.words),
            platforms=tuple(self.platforms),
            reason=self.reason,
            source=self.source,
        )


class EffectRowView(BaseModel):
    """A finding that comes, goes or moves (other platforms or fixed releases), with the versions it does so for."""

    name: str
    versions: list[str]
    subdirs: list[str]
    id: str
    severity: str
    change: str
    rule: str = Field(description="The row that sets aside what goes, or empty.")


class PlaceEffectView(BaseModel):
    """The effect on one channel, or (empty) on the component that was named. Counts are of findings of versions."""

    channel: str
    comes: int
    goes: int
    moves: int
    sample: list[EffectRowView]


class EffectView(BaseModel):
    component: PlaceEffectView
    channels: list[PlaceEffectView]

    @classmethod
    def of(cls, effect: Effect) -> Self:
        return cls(**msgspec.to_builtins(effect))


class CorrectionPlanView(BaseModel):
    """`text`: the rows as a knowledge file. `row_ids`: what counts then; a row of the same id is replaced.

    `note`: why nothing changes, where that needs words.
    """

    text: str
    row_ids: list[str]
    effect: EffectView
    note: str

    @classmethod
    def of(cls, plan: CorrectionPlan) -> Self:
        return cls(text=plan.text, row_ids=plan.row_ids, effect=EffectView.of(plan.effect), note=plan.note)


class CorrectionView(BaseModel):
    """A correction. `state`: proposed, applied, declined or reverted."""

    id: int
    state: str
    kind: str
    name: str
    version: str
    vulnerability: str
    reason: str
    proposed_at: datetime
    proposed_by: str
    applied_at: datetime | None
    applied_by: str
    ended_at: datetime | None
    ended_by: str

    @classmethod
    def of(cls, found: Correction) -> Self:
        return cls.model_validate(_facts(found))


class CorrectionDetailsView(CorrectionView):
    """With its rows, and what applying it (or, once applied, taking it back) would change now; null when neither."""

    text: str
    row_ids: list[str]
    effect: EffectView | None

    @classmethod
    def of_details(cls, found: CorrectionDetails) -> Self:
        effect = EffectView.of(found.effect) if found.effect else None
        more = {"text": found.text, "row_ids": found.row_ids, "effect": effect}
        return cls.model_validate(_facts(found.correction) | more)


def _facts(found: Correction) -> dict[str, object]:
    return {
        "id": found.id,
        "state": found.state,
        "kind": found.kind,
        "name": found.name,
        "version": found.proposal.version,
        "vulnerability": found.vulnerability,
        "reason": found.proposal.reason,
        "proposed_at": found.proposed_at,
        "proposed_by": found.proposed_by,
        "applied_at": found.applied_at,
        "applied_by": found.applied_by,
        "ended_at": found.ended_at,
        "ended_by": found.ended_by,
    }
