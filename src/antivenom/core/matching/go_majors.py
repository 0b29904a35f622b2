"""Which major versions a path of a Go module speaks of.

From version 2 on a module has its major version in its path: example.com/m/v3 is only of 3.x, and example.com/m of what
has no such path (0.x, 1.x, and later ones that are marked +incompatible). A program is all of them at once.

Source: Go modules reference, "Major version suffixes" and "Compatibility with non-module repositories".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from antivenom_client.version_keys import version_key

if TYPE_CHECKING:
    from antivenom.core.matching.compile_index import Interval

SCHEME = "semver"
_MAJOR = re.compile(r"(go/.+)/v([0-9]{1,4})\Z")


class GoMajors:
    """The modules that advisories name, and which major versions have a path of their own."""

    def __init__(self, keys: Iterable[str]) -> None:
        """Take the keys ("go/example.com/m/v3") of all packages."""
        self._majors: dict[str, list[int]] = {}
        for key in keys:
            if (found := _MAJOR.match(key)) is not None:
                self._majors.setdefault(found[1], []).append(int(found[2]))

    def end(self, key: str) -> bytes | None:
        """The key of the first version that a package ("go/example.com/m") does not speak of; None where there is none.

        Where it begins is left open: who names example.com/m/v3 from its beginning on seldom says that 2.x is free.
        """
        found = _MAJOR.match(key)
        if found is not None:
            return _start(int(found[2]) + 1)
        majors = self._majors.get(key)
        return _start(min(majors)) if majors else None


def _start(major: int) -> bytes:
    return version_key(SCHEME, f"{major}.0.0-0") or b""


def clip(intervals: Iterable[Interval], end: bytes) -> tuple[Interval, ...]:
    """What of the intervals lies before the end."""
    return tuple(
        interval if interval.high is not None and interval.high <= end else msgspec.structs.replace(interval, high=end)
        for interval in intervals
        if interval.low < end
    )
