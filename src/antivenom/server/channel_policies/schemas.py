"""What the API takes and answers about the policies of channels."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PolicyText(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=1_000_000)
