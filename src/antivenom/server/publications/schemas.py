"""What the API takes and answers about publications; see also summaries.py."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class RollbackTo(BaseModel):
    """The number of the publication to serve again; null is the one before the current."""

    model_config = ConfigDict(extra="forbid")

    number: int | None = None


class ServedPublication(BaseModel):
    """Which publication a channel serves now."""

    channel: str
    number: int
