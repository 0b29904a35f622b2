"""On which platforms a vulnerability exists, where a source says so: Windows alone, or MIPS.

A platform is an operating system or a processor. What is said to exist on some platforms is no finding of a package of
a subdir that is none of them; a package of noarch, or of no known subdir, may be installed anywhere.

Source: CEP 26 (subdirs); CPE 2.3 names of operating systems; CVE Record Format 5.1, "platforms".
"""

from __future__ import annotations

from collections.abc import Iterable

PLATFORMS = (
    "windows", "linux", "macos", "android", "ios", "freebsd", "solaris", "aix",
    "x86", "arm", "mips", "powerpc", "s390", "riscv", "32-bit",
)  # fmt: skip
ANY = "any"
_NAMES = {
    "windows": ("windows",), "microsoft:windows": ("windows",), "win32": ("windows",), "win": ("windows",),
    "linux": ("linux",), "linux:linux_kernel": ("linux",), "linux_kernel": ("linux",),
    "macos": ("macos",), "apple:macos": ("macos",), "apple:mac_os_x": ("macos",), "mac_os": ("macos",),
    "mac_os_x": ("macos",), "mac": ("macos",), "darwin": ("macos",), "os x": ("macos",),
    "unix": ("linux", "macos", "freebsd", "solaris", "aix"), "posix": ("linux", "macos", "freebsd", "solaris", "aix"),
    "android": ("android",), "google:android": ("android",),
    "ios": ("ios",), "iphone_os": ("ios",), "apple:iphone_os": ("ios",), "apple:ipados": ("ios",), "ipados": ("ios",),
    "freebsd": ("freebsd",), "freebsd:freebsd": ("freebsd",), "solaris": ("solaris",), "oracle:solaris": ("solaris",),
    "aix": ("aix",), "ibm:aix": ("aix",), "mips": ("mips",), "powerpc": ("powerpc",), "s390x": ("s390",),
}  # fmt: skip


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
