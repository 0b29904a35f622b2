"""Which loss of records is so large that a person should look before it is published."""

from __future__ import annotations

LOSS_FLOOR_RECORDS = 10  # small subdirs lose half of their records on any day
EMPTIED_FLOOR_RECORDS = 3  # but hardly ever all of them


def is_suspicious_loss(before: int, now: int, *, max_percent: int) -> bool:
    """Whether a subdir that had `before` records, of which `now` are left, lost suspiciously many.

    An upstream that empties by mistake, or is taken over, looks like one that withdrew its records. Fewer than
    `LOSS_FLOOR_RECORDS` lost records are suspicious only when none of at least `EMPTIED_FLOOR_RECORDS` is left.

    Args:
        max_percent: Losses of at least so many percent of the records are suspicious; 0: none is.
    """
    lost = before - now
    is_emptied = now <= 0 and before >= EMPTIED_FLOOR_RECORDS
    return bool(max_percent) and (lost >= LOSS_FLOOR_RECORDS or is_emptied) and lost * 100 >= max_percent * before
