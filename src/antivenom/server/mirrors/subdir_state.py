"""What a mirror remembers of each subdir of its upstream between two syncs.

Stored in the column `mirror.upstream_state` as `{subdir: {field: value}}`, without the fields that have their defaults.
Earlier releases stored every field that they knew; that is read too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

import msgspec

from antivenom.core.source.source_map import READING

TEXT_MAX_CHARACTERS = 300


class UpstreamFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that the upstream has beside its records, as it came."""

    key: str = ""
    """Of the blob; "" when the upstream has no such file."""
    name: str = ""
    etag: str | None = None
    last_modified: str | None = None
    sha256: str = ""
    size_bytes: int = 0
    checked_at_ms: int = 0


class SubdirState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One subdir as the last successful sync left it."""

    source: str = ""
    """Blob key of the source map that was made of the index; "" before the first sync."""
    missing: bool = False
    """The upstream has no such subdir (or need not have it): then its absence is no error."""
    absent_at_ms: int = 0
    """When the upstream was last found not to have it, if nobody named it and there is no `source`."""
    records: int = 0
    records_elsewhere: int = 0
    """How many records the upstream before this one had, until this one was read: to be served nothing is a loss."""
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
    run_exports: UpstreamFile = UpstreamFile()
    patch_instructions: UpstreamFile = UpstreamFile()
    warnings: tuple[str, ...] = ()
    """What went wrong with files of the upstream that others stood in for."""
    selected: str = ""
    """By which selection and rules the source map was made (`selection_key`); "" of earlier releases."""
    noted: int = 0
    """How many records were put in order."""
    note_examples: tuple[tuple[str, str], ...] = ()
    """(file name, what was put in order) of the first of them."""


SubdirStates = dict[str, SubdirState]


def forget_changed(states: SubdirStates, changed: Collection[str]) -> SubdirStates:
    """What a mirror still knows of its upstream's subdirs after a change of its settings.

    Without forgetting the validators, requests would be answered "not modified" and the new settings would not take
    effect. That a subdir was there is forgotten with the upstream only: elsewhere it may be missing.
    """
    if not {"upstream", "specs", "with_dependencies", "by_shards"} & set(changed):
        return states
    return {
        subdir: SubdirState(
            source=state.source,
            missing=bool(state.source) and (state.missing or "upstream" in changed),
            absent_at_ms=state.absent_at_ms,
            records=0 if {"upstream", "specs", "with_dependencies"} & set(changed) else state.records,
            records_elsewhere=(state.records if "upstream" in changed else 0) or state.records_elsewhere,
        )
        for subdir, state in states.items()
        if state.source or (state.absent_at_ms and "upstream" not in changed)
    }


def selection_key(specs: Sequence[str]) -> str:
    """What differs when an unchanged index has to be read again: for other specs, or by other rules."""
    return hashlib.blake2b(repr((READING, *specs)).encode(), digest_size=16).hexdigest()


class Selection(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a subset mirror took at its last sync."""

    asked: tuple[str, ...] = ()
    """The mirror's specs at that time."""
    specs: tuple[str, ...] = ()
    """These, and the dependencies that were taken for them."""
    unmet: tuple[str, ...] = ()
    """About the first dependencies that nothing of the mirror meets."""
    unmet_count: int = 0


class HeldLoss(msgspec.Struct, frozen=True, omit_defaults=True):
    """A subdir that lost so many records that its new index waits for an administrator.

    `now` is how many of the `before` records are left, by their digests: others in their place do not count.
    """

    before: int
    now: int
    accepted: bool = False
    """An administrator said that a loss down to `now` records is meant."""


HeldLosses = dict[str, HeldLoss]


def describe_losses(held: Mapping[str, HeldLoss]) -> str:
    """What the upstream lost, in words."""
    losses = [f"{subdir} has {loss.now} of its {loss.before} records left" for subdir, loss in sorted(held.items())]
    return "; ".join(losses)


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


def list_found(states: Mapping[str, SubdirState]) -> list[str]:
    """The subdirs that the upstream has."""
    return sorted(subdir for subdir, state in states.items() if state.source and not state.missing)


def list_absent(states: Mapping[str, SubdirState]) -> list[str]:
    """The subdirs that the upstream was asked for and does not have."""
    return sorted(subdir for subdir, state in states.items() if state.absent_at_ms or (state.source and state.missing))


def count_noted(states: Mapping[str, SubdirState]) -> int:
    """How many records were put in order before they are served, in all subdirs."""
    return sum(state.noted for state in states.values())


def count_set_aside(states: Mapping[str, SubdirState]) -> int:
    """How many of the upstream's records are not mirrored, in all subdirs."""
    return sum(state.set_aside for state in states.values())
