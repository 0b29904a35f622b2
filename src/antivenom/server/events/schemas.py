"""What the API answers about events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel
from typing_extensions import TypedDict

from antivenom.server.events.progress import JobProgress


class ProgressView(TypedDict, total=False):
    """How far a job is (a total of 0 is unknown); empty while none runs."""

    phase: str
    done: int
    total: int


def view_progress(progress: JobProgress) -> ProgressView:
    """A job's progress as the API answers it."""
    return {"phase": progress.phase, "done": progress.done, "total": progress.total} if progress.phase else {}


class EventView(BaseModel):
    id: int
    at: datetime
    actor: str
    kind: str
    subject: str
    data: dict[str, Any]
