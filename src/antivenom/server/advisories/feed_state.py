"""What a feed's row remembers between syncs, stored as JSON; fields that have their default are left out."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

KEYS_MAX = 20_000  # more changed package keys than this: "everything"
EXAMPLES_MAX = 20  # ids named in the event


class PendingChanges(msgspec.Struct, frozen=True):
    """What parts of a sync changed since the last knowledge revision.

    Kept with the position of the sync, so that an interruption does not lose it.
    """

    keys: tuple[str, ...] = ()  # "ecosystem/name", sorted; empty with `everything`
    everything: bool = False
    removed: tuple[str, ...] = ()  # some of the ids that the feed no longer holds

    def plus(self, keys: Iterable[str] | None, removed: Iterable[str]) -> PendingChanges:
        """These changes and more of them; keys that are None are too many to name."""
        found = {*self.keys, *(keys or ())}
        everything = self.everything or keys is None or len(found) > KEYS_MAX
        examples = (*self.removed, *removed)[:EXAMPLES_MAX]
        return PendingChanges(() if everything else tuple(sorted(found)), everything, examples)


class FeedCursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the next sync goes on. Times are ISO 8601 texts."""

    rules: int = 0  # the rules by which its entries were read (core.feeds.entry.READING_RULES)
    etag: str | None = None  # of the last file
    last_modified: str | None = None
    sha256: str | None = None
    fingerprint: str | None = None  # of a path (fetching.fingerprint)
    list_etag: str | None = None  # of an OSV bucket's modified_id.csv
    list_last_modified: str | None = None
    list_sha256: str | None = None
    through: str | None = None  # everything modified until then is stored
    whole_at: str | None = None  # when an OSV bucket was last read whole
    started: str | None = None  # NVD's API: when the first reading of all pages began
    until: str | None = None  # NVD's API: the end of the window that is being read
    start_index: int = 0  # NVD's API: the next page of it
    pending: PendingChanges | None = None
    version: str | None = None  # of the built-in knowledge: the release, and what differs when a row does
    digest: str | None = None
    malware: str | None = None  # what differs when a row does by which vulnerabilities are formed


class FeedCounts(msgspec.Struct, omit_defaults=True):
    """What the last sync that ended well changed; all None before the first."""

    added: int | None = None
    changed: int | None = None
    removed: int | None = None
    withdrawn: int | None = None
    set_aside: int | None = None
    read: int | None = None  # None: there was nothing new to read
    flagged: dict[str, int] | None = None  # oddity → advisories that have it
    unchanged: str | None = None  # why there was nothing new
    entries: int | None = None  # stored of the feed
