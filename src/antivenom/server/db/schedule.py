"""Whether scheduled work is due, also after the clock was set back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import InstrumentedAttribute

LEASE_MAX = timedelta(minutes=10)
CLOCK_TOLERANCE = timedelta(minutes=5)  # clocks of several machines differ; beyond it the clock was set back


def is_due(
    next_at: InstrumentedAttribute[Any], last_at: InstrumentedAttribute[Any], now: datetime
) -> ColumnElement[bool]:
    """Whether the next run is due. It also is when the last one lies in the future.

    Else a run that was planned while the clock was a year ahead would wait for a year.
    """
    was_set_back = and_(next_at.is_not(None), last_at > now + CLOCK_TOLERANCE)
    return or_(next_at <= now, was_set_back)


def has_ended(lease_until: InstrumentedAttribute[Any], now: datetime) -> ColumnElement[bool]:
    """Whether a lease has run out, or was never given, or lies further ahead than any: then the clock was set back."""
    return or_(lease_until.is_(None), lease_until <= now, lease_until > now + LEASE_MAX)
