"""When a row's next turn has come, also after the clock was set back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import InstrumentedAttribute

CLOCK_TOLERANCE = timedelta(minutes=5)  # clocks of several machines differ; beyond it the clock was set back


def is_due(
    next_at: InstrumentedAttribute[Any], last_at: InstrumentedAttribute[Any], now: datetime
) -> ColumnElement[bool]:
    """Whether the next turn has come; it has when the last one lies in the future.

    A turn that was planned while the clock ran a year ahead would else wait for that year.
    """
    was_set_back = and_(next_at.is_not(None), last_at > now + CLOCK_TOLERANCE)
    return or_(next_at <= now, was_set_back)
