"""What /api/v1/advisory-file answers."""

from __future__ import annotations

from datetime import datetime

from antivenom.server.advisory_files.service import KeyFacts, Published
from antivenom.server.web.rows import Row


class KeyView(Row, frozen=True):
    """A key that signs the advisory file, or did."""

    fingerprint: str
    since: datetime

    @classmethod
    def of(cls, key: KeyFacts) -> KeyView:
        """The key as the API answers it."""
        return KeyView(fingerprint=key.fingerprint, since=key.since)


class AdvisoryFileView(Row, frozen=True):
    """The advisory file that is served; `made_at` is null before the first is made. `keys`: the last one signs."""

    made_at: datetime | None
    size_bytes: int
    unpacked_bytes: int
    deltas: int
    content: str
    keys: list[KeyView]

    @classmethod
    def of(cls, published: Published | None, keys: list[KeyFacts]) -> AdvisoryFileView:
        """The file as the API answers it."""
        return AdvisoryFileView(
            made_at=published.made_at if published else None,
            size_bytes=published.size if published else 0,
            unpacked_bytes=published.unpacked_size if published else 0,
            deltas=published.deltas if published else 0,
            content=published.content if published else "",
            keys=[KeyView.of(key) for key in keys],
        )
