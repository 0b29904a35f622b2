"""Which loss of records is so large that a person should look before it is published."""

from __future__ import annotations

LOSS_FLOOR_RECORDS = 20  # small subdirs lose half of their records on any day


def is_suspicious_loss(before: int, now: int, *, max_percent: int) -> bool:
    """Whether a subdir that had `before` records, of which `now` are left, lost suspiciously many.

    An upstream that empties by mistake, or is taken over, looks like one that withdrew its records. Fewer than
    `LOSS_FLOOR_RECORDS` lost records are never suspicious.

    Args:
        max_percent: Losses of at least so many percent of the records are suspicious; 0: none is.
    """
    lost = before - now
    return bool(max_percent and before) and lost >= LOSS_FLOOR_RECORDS and lost * 100 >= max_percent * before
