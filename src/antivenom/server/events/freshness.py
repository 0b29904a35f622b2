"""Whether what is read from somebody else is as fresh as it should be.

*Stale*: no sync has succeeded for too long. *Frozen*: syncs succeed, and bring nothing new for far longer than ever
before; a cache on the way, or somebody, may hold back what is new (TUF calls it a freeze attack).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

MISSED_SYNCS: Final = 3
FROZEN_AFTER: Final = timedelta(days=7)
FROZEN_GAPS: Final = 3


class Synced(Protocol):
    """A row that is brought in step with something elsewhere."""

    every_s: int | None
    created_at: datetime
    last_success_at: datetime | None
    changed_at: datetime | None
    longest_gap_s: int


@dataclass(frozen=True, slots=True)
class Freshness:
    """Why it is stale or frozen, in words; "" when it is not."""

    stale: str = ""
    frozen: str = ""


FRESH: Final = Freshness()


def judge_freshness(row: Synced, now: datetime, *, unscheduled: timedelta) -> Freshness:
    """How fresh a row is.

    It is stale past three intervals of its schedule, or past `unscheduled` when it has none. It is frozen when nothing
    new came for a week and for three times as long as ever before; whoever never changed cannot be frozen.
    """
    limit = timedelta(seconds=MISSED_SYNCS * row.every_s) if row.every_s else unscheduled
    waited = now - (row.last_success_at or row.created_at)
    stale = frozen = ""
    if waited > limit:
        due = f"one is due every {in_words(timedelta(seconds=row.every_s))}" if row.every_s else "it has no schedule"
        stale = f"no sync has succeeded for {in_words(waited)}; {due}"
    usual = timedelta(seconds=row.longest_gap_s)
    if row.changed_at and usual and (quiet := now - row.changed_at) > max(FROZEN_AFTER, FROZEN_GAPS * usual):
        frozen = f"nothing new for {in_words(quiet)}; before, something was new at least every {in_words(usual)}"
    return Freshness(stale, frozen)


def note_change(row: Synced, now: datetime) -> None:
    """Note on a row that a sync brought something new."""
    if row.changed_at is not None:
        row.longest_gap_s = max(row.longest_gap_s, int((now - row.changed_at).total_seconds()))
    row.changed_at = now


def in_words(length: timedelta) -> str:
    """A length of time, rounded down: "9 days", "1 hour", "5 minutes"."""
    seconds = int(length.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}{'s' if seconds >= 2 * size else ''}"
    return "less than a minute"
