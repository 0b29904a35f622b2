"""What the API answers about events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel


class EventView(BaseModel):
    id: int
    at: datetime
    actor: str
    kind: str
    subject: str
    data: dict[str, Any]


class EventList(BaseModel):
    items: list[EventView]
    total: int
    page: int
    page_size: int
