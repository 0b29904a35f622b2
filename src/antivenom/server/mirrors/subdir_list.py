"""Which subdirs an upstream has, when nobody named them: those it lists itself, and every one that conda knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from antivenom.server.mirrors.subdir_state import SubdirState, SubdirStates
from antivenom.server.mirrors.upstream import UpstreamChannel

ALWAYS_READ: Final = ("noarch", "linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")
PROBED: Final = (
    "emscripten-32", "emscripten-wasm32", "freebsd-32", "freebsd-64", "linux-32", "linux-armv6l", "linux-armv7l",
    "linux-loongarch64", "linux-ppc64", "linux-ppc64le", "linux-riscv32", "linux-riscv64", "linux-s390x", "osx-32",
    "wasi-wasm32", "win-32", "win-arm64", "zos-z",
)  # fmt: skip
"""Source: conda's KNOWN_SUBDIRS, rattler's platforms, and the subdirs that conda.anaconda.org serves."""
PROBES_AT_ONCE = 4
PROBE_AGAIN_AFTER_MS = 86_400_000


@dataclass(slots=True)
class FoundSubdirs:
    """The subdirs to read, in order, and for those that are not there, since when this is known."""

    present: list[str]
    absent: SubdirStates = field(default_factory=dict)


async def find_subdirs(
    upstream: UpstreamChannel, listed: Iterable[str], known: SubdirStates, now_ms: int
) -> FoundSubdirs:
    """The subdirs that an upstream has.

    What was not there is asked for again after a day; a few requests at once, each for the head of a file.

    Args:
        listed: Those that the upstream says it has (its channeldata.json).
    """
    with_source = [subdir for subdir, state in known.items() if state.source or state.records]  # maps can be lost
    certain = list(dict.fromkeys((*ALWAYS_READ, *with_source, *listed)))
    found = FoundSubdirs(certain)
    limit = asyncio.Semaphore(PROBES_AT_ONCE)

    async def probe(subdir: str) -> None:
        state = known.get(subdir, SubdirState())
        if 0 <= now_ms - state.absent_at_ms < PROBE_AGAIN_AFTER_MS:
            found.absent[subdir] = state
            return
        async with limit:
            is_there = await upstream.has_subdir(subdir)
        if is_there:
            found.present.append(subdir)
        elif is_there is False:
            found.absent[subdir] = SubdirState(absent_at_ms=now_ms)

    async with asyncio.TaskGroup() as group:
        for subdir in PROBED:
            if subdir not in certain:
                group.create_task(probe(subdir))
    found.present[len(certain) :] = sorted(found.present[len(certain) :])
    return found
