"""Version events and bounds to half-open intervals, in any of the orders that feeds use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from antivenom.core.matching.advisories import AffectedRange
from antivenom_client.version_keys import version_key

Event = tuple[str, str]  # ("introduced" | "fixed" | "last_affected" | "limit", version)
EVENT_WORDS = ("introduced", "fixed", "last_affected", "limit")
COMMIT_CHARACTERS = 40
COMMIT = re.compile(r"[0-9a-f]{40}")
OPEN = {"", "0", "*", "-", "n/a", "na", "unspecified", "none", "unknown", "all", "any"}


def order_keys(scheme: str, versions: Sequence[str]) -> list[bytes]:
    """Sort keys of versions; a text that no order knows stands first."""
    return [version_key(scheme, v) or b"" for v in versions]


def intervals(scheme: str, events: Iterable[Event]) -> tuple[AffectedRange, ...]:
    """The affected intervals that a range's events describe, ascending, each with its own bounds.

    Events may come in any order. Decided where the specification is silent or would lose true matches:
    several `last_affected` after one `introduced` reach to the highest; a repeated `fixed` counts once; `fixed` and
    `introduced` at the same version join (the version itself is affected) unless the two stand the other way round,
    which is an empty interval. "0" is before everything. `limit` caps what follows it at the highest limit.

    Source: OSV schema 1.7, "affected[].ranges[].events" and its evaluation algorithm.
    """
    listed = list(events)
    limits = [v for kind, v in listed if kind == "limit" and v != "*"]
    listed = [e for e in listed if e[0] != "limit"]
    if not listed:
        return ()
    keys = order_keys(scheme, [v for _, v in listed] + limits)
    ordered = sorted(range(len(listed)), key=lambda i: b"" if listed[i] == ("introduced", "0") else keys[i])
    found = _pair([listed[i] for i in ordered], scheme)
    if limits:
        highest = max(range(len(limits)), key=lambda i: keys[len(listed) + i])
        found = [_cap(r, limits[highest], scheme) for r in found]
    return tuple(dict.fromkeys(r for r in found if r is not None))


def _pair(events: list[Event], scheme: str) -> list[AffectedRange | None]:
    """Walk sorted events: an open interval closes at `fixed`, or at the last of several `last_affected`."""
    found: list[AffectedRange | None] = []
    start: str | None = None
    last: str | None = None
    is_open = False

    def close(fixed: str | None) -> None:
        nonlocal is_open, last
        introduced = None if start == "0" else start
        if is_open and not (fixed is not None and fixed == start):
            found.append(AffectedRange(scheme, introduced, fixed=fixed, last_affected=last))
        is_open, last = False, None

    for kind, version in events:
        if kind == "introduced":
            if last is not None:
                close(None)
            if not is_open:
                start, is_open = version, True
        elif kind == "fixed":
            close(version if last is None else None)
        elif is_open:
            last = version
    if is_open:
        close(None)
    return found


def _cap(found: AffectedRange | None, limit: str, scheme: str) -> AffectedRange | None:
    """The part of an interval below the limit; None when it lies above."""
    if found is None:
        return None
    end = found.fixed or found.last_affected
    start_key, limit_key = order_keys(scheme, [found.introduced or "0", limit])
    if start_key >= limit_key:
        return None
    if end is not None:
        end_key, limit_key = order_keys(scheme, [end, limit])
        if end_key < limit_key or (found.fixed is not None and end_key == limit_key):
            return found
    return AffectedRange(scheme, found.introduced, fixed=limit)


def complement(scheme: str, unaffected: Sequence[AffectedRange], versions: Sequence[str]) -> tuple[AffectedRange, ...]:
    """Everything outside `unaffected` intervals and single `versions`: what `defaultStatus: affected` means."""
    holes = [*unaffected, *(AffectedRange(scheme, v, last_affected=v) for v in versions)]
    if not holes:
        return (AffectedRange(scheme),)
    keys = order_keys(scheme, [h.introduced or "0" for h in holes])
    found: list[AffectedRange] = []
    start: str | None = None
    start_excluded = False
    reached = b""  # holes may overlap: how far they go together
    for i in sorted(range(len(holes)), key=lambda i: keys[i]):
        hole = holes[i]
        if hole.introduced is not None and hole.introduced != start and keys[i] >= reached:
            found.append(AffectedRange(scheme, start, start_excluded, fixed=hole.introduced))
        end = hole.fixed or hole.last_affected
        if end is None:
            return tuple(found)
        end_key = order_keys(scheme, [end])[0]
        if end_key > reached or (end_key == reached and hole.fixed is None):
            reached, start, start_excluded = end_key, end, hole.fixed is None
    return (*found, AffectedRange(scheme, start, start_excluded))


def bound(version: object) -> str | None:
    """A bound as published; None when it says "no bound" in one of the usual words, or names a commit."""
    if not isinstance(version, str):
        return None
    found = version.strip()
    if len(found) == COMMIT_CHARACTERS and COMMIT.fullmatch(found):
        return None
    # Words for "no bound" are short, and looking is cheaper than lowering what is no word.
    return None if len(found) < 12 and found.lower() in OPEN else found[:128]
