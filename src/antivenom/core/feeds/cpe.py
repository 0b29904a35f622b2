"""CPE 2.3 names: the part, product and version that matching needs.

Source: NISTIR 7695 §6.2 (formatted string binding), §5.3 (escapes); NVD's use of `update`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

CACHED = 20_000
COLON = re.compile(r"(?<!\\):")
UNESCAPE = re.compile(r"\\(.)")
PATCH = re.compile(r"patch_?(\d+)")
ANY = ("*", "")
NOT_APPLICABLE = "-"
SYSTEMS = ("linux", "linux_kernel", "unix", "windows", "macos", "mac_os", "mac_os_x")
# Software made for these runs the same code that conda packages; any other target (wordpress, node.js, android) is
# another product of the same name.
SAME_TARGETS = {
    "*",
    "-",
    "",
    "python",
    "conda",
    "x64",
    "x86",
    *SYSTEMS,
}


@dataclass(frozen=True, slots=True)
class CpeName:
    """`part` a, o or h; `product` "vendor:product", lower case; `version` "" any, "-" none; `target` "" the usual.

    `system`: the operating system that stands as target software, "" for none.
    """

    part: str
    product: str
    version: str
    target: str
    system: str = ""


@functools.lru_cache(maxsize=CACHED)  # feeds name the same products again and again
def parse_name(criteria: str) -> CpeName | None:
    """A CPE 2.3 formatted string; None when it is not one (or is NVD's `null:null` placeholder)."""
    if not criteria.startswith("cpe:2.3:") or len(criteria) > 1_000:
        return None
    fields = [UNESCAPE.sub(r"\1", f) if "\\" in f else f for f in split_fields(criteria)]
    if len(fields) < 6 or fields[2] not in ("a", "o", "h"):
        return None
    vendor, product = fields[3].lower().strip(), fields[4].lower().strip()
    if vendor in ("", "*", "-", "null", "n/a") or product in ("", "*", "-", "null", "n/a"):
        return None
    target = fields[10].lower() if len(fields) > 10 else "*"
    return CpeName(
        fields[2],
        f"{vendor}:{product}",
        version_of(fields[5], fields[6] if len(fields) > 6 else "*"),
        "" if target in SAME_TARGETS else target,
        target if target in SYSTEMS else "",
    )


def split_fields(criteria: str) -> list[str]:
    """The fields between colons that are not escaped."""
    return COLON.split(criteria) if "\\" in criteria else criteria.split(":")


def version_of(version: str, update: str) -> str:
    """A version with its update as people write it: 3.8.0 + alpha1 = 3.8.0alpha1, 4.2.8 + patch10 = 4.2.8p10.

    A number alone is a packager's: 17.0.3 + 1 = 17.0.3-1.
    """
    if version in ANY:
        return ""
    if version == NOT_APPLICABLE or update in ANY or update == NOT_APPLICABLE:
        return version
    if update[0].isdigit():
        return f"{version}-{update}"
    return version + PATCH.sub(r"p\1", update)


def package_of(name: CpeName) -> str:
    """The name under which matching finds the product: another target's software is another package."""
    return f"{name.product}@{name.target}" if name.target else name.product
