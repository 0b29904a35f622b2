"""Which loss of records is so large that a person should look before it is published."""

from __future__ import annotations

LOSS_FLOOR_RECORDS = 10  # small subdirs lose half of their records on any day
EMPTIED_FLOOR_RECORDS = 3  # but hardly ever all of them


def is_suspicious_loss(before: int, now: int, *, max_percent: int, is_emptied: bool = False) -> bool:
    """Whether a subdir that had `before` records, of which `now` are left, lost suspiciously many.

    An upstream that empties by mistake, or is taken over, looks like one that withdrew its records. Fewer than
    `LOSS_FLOOR_RECORDS` lost records are suspicious only when nothing at all is left of at least
    `EMPTIED_FLOOR_RECORDS`: a small channel that is built anew has other bytes in all of its records.

    Args:
        now: By their bytes; others in their place do not count.
        is_emptied: Nothing is listed any more, in whatever bytes.
        max_percent: Losses of at least so many percent of the records are suspicious; 0: none is.
    """
    lost = before - now
    is_large = lost >= LOSS_FLOOR_RECORDS or (is_emptied and before >= EMPTIED_FLOOR_RECORDS)
    return bool(max_percent) and is_large and lost * 100 >= max_percent * before
