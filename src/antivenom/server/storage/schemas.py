"""What /api/v1/storage takes and answers."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from antivenom.server.storage.models import LostBlob, StorageRun
from antivenom.server.storage.reports import StorageReport
from antivenom.server.web.rows import Row


class CollectBody(BaseModel):
    dry_run: bool = Field(default=False, description="Only say what would be deleted.")
    min_age_s: float = Field(default=60.0, ge=0, le=31_536_000, description="Keep what is younger, in seconds.")


class VerifyBody(BaseModel):
    repair: bool = Field(default=False, description="Fetch or build again what is lost, where that can be done.")


class StorageRunView(Row, frozen=True):
    """A collection ("collect") or verification ("verify"): queued, running, done or failed."""

    id: int
    kind: str
    state: str
    dry_run: bool
    repair: bool
    created_at: datetime
    created_by: str
    ended_at: datetime | None
    error: str
    report: StorageReport

    @classmethod
    def of(cls, run: StorageRun) -> StorageRunView:
        """The run as the API answers it."""
        return StorageRunView(
            id=run.id,
            kind=run.kind,
            state=run.state,
            dry_run=run.options.dry_run,
            repair=run.options.repair,
            created_at=run.created_at,
            created_by=run.created_by,
            ended_at=run.ended_at,
            error=run.error,
            report=run.report,
        )


class LostBlobView(Row, frozen=True):
    """A blob that is missing or damaged. `plan` says what mends it; "" when nothing does."""

    key: str
    problem: str
    found_at: datetime
    needed_by: str
    plan: str

    @classmethod
    def of(cls, lost: LostBlob) -> LostBlobView:
        """The blob as the API answers it."""
        return LostBlobView(lost.key, lost.problem, lost.found_at, lost.needed_by, lost.plan)
