"""On which platforms a vulnerability exists, where a source says so: Windows alone, or MIPS.

A platform is an operating system or a processor. What is said to exist on some platforms is no finding of a package of
a subdir that is none of them; a package of noarch, or of no known subdir, may be installed anywhere.

Source: CEP 26 (subdirs); CPE 2.3 names of operating systems; CVE Record Format 5.1, "platforms".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from antivenom.core.matching.knowledge import ToldOn, Words

PLATFORMS = (
    "windows", "linux", "macos", "android", "ios", "freebsd", "solaris", "aix",
    "x86", "arm", "mips", "powerpc", "s390", "riscv", "32-bit",
)  # fmt: skip
ANY = "any"
_UNIX = ("linux", "macos", "freebsd", "solaris", "aix")
GROUPS = {"unix": _UNIX, "posix": _UNIX}
"""Words that stand for several platforms."""
_NAMES = {
    "windows": ("windows",), "microsoft:windows": ("windows",), "win32": ("windows",), "win": ("windows",),
    "linux": ("linux",), "linux:linux_kernel": ("linux",), "linux_kernel": ("linux",),
    "macos": ("macos",), "apple:macos": ("macos",), "apple:mac_os_x": ("macos",), "mac_os": ("macos",),
    "mac_os_x": ("macos",), "mac": ("macos",), "darwin": ("macos",), "os x": ("macos",),
    "unix": _UNIX, "posix": _UNIX,
    "android": ("android",), "google:android": ("android",),
    "ios": ("ios",), "iphone_os": ("ios",), "apple:iphone_os": ("ios",), "apple:ipados": ("ios",), "ipados": ("ios",),
    "freebsd": ("freebsd",), "freebsd:freebsd": ("freebsd",), "solaris": ("solaris",), "oracle:solaris": ("solaris",),
    "aix": ("aix",), "ibm:aix": ("aix",), "mips": ("mips",), "powerpc": ("powerpc",), "s390x": ("s390",),
}  # fmt: skip
_SYSTEMS = {"windows", "linux", "macos"}
MENTIONS = ("Windows", "DLL", "macOS", "OS X", "Linux", "Unix", "UNIX", "Android", "32-bit", "AArch64", "ppc64", "s390")
"""Descriptions without any of these tell of no platform; titles are read all the same."""
TELLING_ROWS = 3
TEXT_MAX_CHARACTERS = 1_000  # of a description: workarounds and examples stand below
_MENTIONS = tuple(word.encode() for word in MENTIONS)


def mentions_platform(prose: bytes) -> bool:
    """Whether the stored description of an advisory names a platform at its beginning (advisory_prose.py)."""
    beginning = prose[:TEXT_MAX_CHARACTERS]
    return any(word in beginning for word in _MENTIONS)


def read_platforms(names: Iterable[str]) -> tuple[str, ...]:
    """The platforms that a source names; () when it names one that is not known: then nothing is excluded.

    A Windows of one release ("windows_10") is Windows.
    """
    found: dict[str, None] = {}
    for name in names:
        plain = name.strip().lower()
        known = _NAMES.get(plain) or (("windows",) if plain.startswith(("microsoft:windows_", "windows ")) else None)
        if known is None:
            return ()
        found.update(dict.fromkeys(known))
    return tuple(sorted(found))


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """The platforms of a row of knowledge: those of groups one by one, in order and each once."""
    return tuple(dict.fromkeys(platform for name in names for platform in GROUPS.get(name, (name,))))


def _stems(rows: Iterable[ToldOn]) -> list[str]:
    """A few texts, in small letters, of which every word of the rows has one in it: looking for these is cheap.

    Those that many words share ("windows"), but not those of many rows ("on").
    """
    listed = [[word.strip("*").lower() for word in row.words] for row in rows]
    in_rows = Counter(part for words in listed for part in {part for word in words for part in word.split()})
    left = {word for words in listed for word in words}
    found: list[str] = []
    while left:
        telling = Counter(part for word in left for part in word.split() if _tells(part, in_rows[part]))
        stem = min(telling, key=lambda part: (-telling[part], part), default="")
        stem = stem if telling[stem] > 1 else min(left)
        found.append(stem)
        left = {word for word in left if stem not in word}
    return found


def _tells(part: str, rows: int) -> bool:
    """Whether a part of a word is seldom in texts: one of four characters and more, in few rows."""
    return len(part) > 3 and rows <= TELLING_ROWS


class ToldPlatforms:
    """The rows by which texts tell where alone something exists; and what was read of the advisories."""

    def __init__(self, rows: Mapping[str, ToldOn]) -> None:
        self._told: dict[str, set[str]] = {}  # advisory → platforms
        self._stems = _stems(rows.values())
        self._rows = [
            (Words(row.words), Words(row.unless) if row.unless else None, row.platforms)
            for _, row in sorted(rows.items())
        ]

    def note(self, advisory_id: str, summary: str, details: str) -> None:
        """Read what an advisory tells in its first sentences."""
        text = f"{summary}\n{details[:TEXT_MAX_CHARACTERS]}" if details else summary
        lowered = text.lower()
        for stem in self._stems:  # nearly no text names a platform; a generator would double the cost
            if stem in lowered:
                break
        else:
            return
        for words, unless, platforms in self._rows:
            if words.found_in(text) and not (unless is not None and unless.found_in(text)):
                self._told.setdefault(advisory_id, set()).update(platforms)

    def of(self, ids: Iterable[str]) -> tuple[str, ...]:
        """The platforms, sorted, that advisories name as the only ones; () where none does, or they name everything."""
        found = {platform for i in ids for platform in self._told.get(i, ())}
        return () if found >= _SYSTEMS else tuple(sorted(found))
