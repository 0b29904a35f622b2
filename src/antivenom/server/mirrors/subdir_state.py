"""What a mirror remembers of each subdir of its upstream between two syncs.

Stored in the column `mirror.upstream_state` as `{subdir: {field: value}}`, without the fields that have their defaults.
Earlier releases stored every field that they knew; that is read too.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

TEXT_MAX_CHARACTERS = 300


class SubdirState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One subdir as the last successful sync left it."""

    source: str = ""
    """Blob key of the source map that was made of the index; "" before the first sync."""
    missing: bool = False
    """The upstream has no such subdir (or need not have it): then its absence is no error."""
    records: int = 0
    base_url: str = ""
    """Where the index says that artifacts are (CEP 15); "": beside it."""
    set_aside: int = 0
    """How many of the upstream's records are not mirrored."""
    set_aside_examples: tuple[tuple[str, str], ...] = ()
    """(file name, reason) of the first of them."""
    file: str = ""
    """Which of the upstream's index files was read."""
    etag: str | None = None
    last_modified: str | None = None
    sha256: str = ""
    """Of that file, as the upstream sent it."""
    bound_at_ms: int = 0
    """When names were last bound to the upstream's shards by reading its whole index; 0: never."""
    warnings: tuple[str, ...] = ()
    """What went wrong with files of the upstream that others stood in for."""


SubdirStates = dict[str, SubdirState]


def list_warnings(states: Mapping[str, SubdirState]) -> list[str]:
    """What people should know of syncs that succeeded, by subdir."""
    warnings: list[str] = []
    for subdir, state in sorted(states.items()):
        warnings += state.warnings
        if state.set_aside and not state.records:
            _, reason = next(iter(state.set_aside_examples), ("", "no reason is known"))
            warnings.append(f"{subdir}: none of its {state.set_aside} records can be mirrored; the first: {reason}")
    return warnings


def storable(text: str) -> str:
    """Text of an upstream that was refused, as a database takes it and a terminal shows it (PostgreSQL has no NUL)."""
    shown = text[:TEXT_MAX_CHARACTERS]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)


def count_set_aside(states: Mapping[str, SubdirState]) -> int:
    """How many of the upstream's records are not mirrored, in all subdirs."""
    return sum(state.set_aside for state in states.values())
