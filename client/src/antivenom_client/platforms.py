"""The platforms that a subdir of a channel stands for.

Source: CEP 26 (subdirs).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

_OF_SUBDIR = {
    "win": "windows", "linux": "linux", "osx": "macos", "freebsd": "freebsd", "64": "x86", "32": "x86",
    "aarch64": "arm", "arm64": "arm", "armv6l": "arm", "armv7l": "arm", "ppc64le": "powerpc", "ppc64": "powerpc",
    "s390x": "s390", "riscv64": "riscv", "riscv32": "riscv",
}  # fmt: skip
_OF_32_BITS = {"32", "armv6l", "armv7l", "riscv32"}


@lru_cache(maxsize=64)  # clients name subdirs
def _platforms_of(subdir: str) -> frozenset[str]:
    system, _, processor = subdir.partition("-")
    found = {_OF_SUBDIR[part] for part in (system, processor) if part in _OF_SUBDIR}
    return frozenset(found | {"32-bit"} if processor in _OF_32_BITS else found)


def is_on(platforms: Iterable[str], subdir: str) -> bool:
    """Whether what exists on these platforms alone (() is everywhere) may be of a package of a subdir ("" unknown)."""
    known = _platforms_of(subdir)
    return not known or not platforms or not known.isdisjoint(platforms)
