"""Julia's security advisories: NVD's and EUVD's entries, re-based by people on Julia's binary builds of C libraries.

Builds come late and count themselves their own way, so their bounds are turned into versions of the project that was
built, and releases of the project that the description names go first.

Source: SecurityAdvisories.jl; version schemes of Yggdrasil's recipes.
"""

from __future__ import annotations

import re

from antivenom.core.feeds.julia_builds import FIRST_BUILDS
from antivenom.core.feeds.wording import SCHEME, stated_ranges
from antivenom.core.matching.advisories import AffectedPackage, AffectedRange
from antivenom_client.version_keys import version_key

ECOSYSTEM = "julia-builds"
_OPENSSL_LETTERS = re.compile(r"1\.1\.([0-9]{1,2})\Z")  # builds of 1.1.1 count its letters: 1.1.14 was made of 1.1.1n
_HUNDREDS = re.compile(r"([0-9])[0-9]{2}\.([0-9]+)00\.([0-9]+?)(?:00)?\Z")  # GDAL's 303.1100.300 is 3.11.3
_THOUSANDS = re.compile(r"([0-9]+\.[0-9]+)\.([0-9]+)([0-9]{3})\Z")  # ImageMagick's 7.1.2023 is 7.1.2-23
_HARFBUZZ = re.compile(r"100\.([0-9]+)([0-9]{3})\.([0-9]+)\Z")  # 100.14002.1 is 14.2.1
_COUNTED = re.compile(r"([0-9]+\.[0-9]+)\.([0-9])([0-9]{2})\Z")  # libssh2's 1.11.102 is 1.11.1 with two patches
_NOT_LETTERS = re.compile(r"[^a-z]")
_COPY = re.compile(r"\b(?:bundled|included in|vendored|wheels?)\b", re.IGNORECASE)


def same_vulnerability(advisory_id: str, upstream: tuple[str, ...]) -> tuple[str, ...]:
    """The CVE that an entry re-bases: named as `upstream` only, and with one CVE there it is the same vulnerability."""
    cves = tuple(u for u in upstream if u.startswith("CVE-"))
    return cves if advisory_id.startswith("JLSEC-") and len(cves) == 1 else ()


def own_summary(advisory_id: str, summary: str) -> str:
    """The entry's summary; "" for one that was carried over from an entry on somebody's copy of the software."""
    return "" if advisory_id.startswith("JLSEC-") and _COPY.search(summary) else summary


def upstream_versions(affected: AffectedPackage, text: str) -> AffectedPackage | None:
    """The affected versions of a binary build (`…_jll`), as versions of the project; None when they cannot be known.

    Args:
        text: The entry's description, which is upstream's.
    """
    if affected.ecosystem != "julia" or not affected.name.endswith("_jll"):
        return None
    ranges = tuple(
        AffectedRange(
            SCHEME,
            built_from(affected.name, r.introduced),
            r.introduced_excluded,
            built_from(affected.name, r.fixed),
            built_from(affected.name, r.last_affected),
        )
        for r in affected.ranges
    )
    free = tuple(r.fixed for r in ranges if r.fixed)
    stated = stated_ranges(text, _stem(affected.name)) if _names(text, affected.name) else ()
    if stated and _may_replace(stated, ranges):
        ranges = _with_starts(stated, ranges, FIRST_BUILDS.get(affected.name, ""))
    else:  # open ones were not rebuilt yet; upstream may long be fixed
        ranges = tuple(r for r in ranges if r.fixed is not None or r.last_affected is not None)
    versions = tuple(v for text in affected.versions if (v := built_from(affected.name, text)))
    if not ranges and not versions:
        return None
    fixed = tuple(dict.fromkeys(r.fixed for r in ranges if r.fixed))
    if any(r.fixed is None for r in ranges):  # "through 2.7.3": the first free build above is the best that is known
        last = max(version_key(SCHEME, r.last_affected or "") or b"" for r in ranges)
        fixed = tuple(dict.fromkeys((*fixed, *(f for f in free if (version_key(SCHEME, f) or b"") > last))))
    ranges = tuple(map(_counted, ranges))
    return AffectedPackage(ECOSYSTEM, affected.name, ranges, versions, tuple(v for v in fixed if not _COUNTED.match(v)))


def _counted(bounds: AffectedRange) -> AffectedRange:
    """A range that ends in a build of the builders' own count: the release that it patches is still affected."""
    found = _COUNTED.match(bounds.fixed or "")
    if found is None or found[2] == "0":
        return bounds
    return AffectedRange(
        bounds.scheme, bounds.introduced, bounds.introduced_excluded, last_affected=f"{found[1]}.{found[2]}"
    )


def built_from(library: str, version: str | None) -> str | None:
    """The project's version that a build was made of; a build's own number (`+3`) is dropped."""
    if version is None:
        return None
    version = version.split("+", 1)[0]
    if library == "OpenSSL_jll" and (found := _OPENSSL_LETTERS.match(version)) and 2 <= int(found[1]) <= 26:
        return f"1.1.1{chr(ord('a') + int(found[1]) - 1)}"
    if library == "GDAL_jll" and (found := _HUNDREDS.match(version)):
        return f"{found[1]}.{found[2]}.{found[3]}"
    if library == "HarfBuzz_jll" and (found := _HARFBUZZ.match(version)):
        return f"{found[1]}.{int(found[2])}.{found[3]}"
    if library == "MbedTLS_jll":
        return re.sub(r"\.10([0-9]{2})\Z", r".\1", version)  # 2.28.1010 is 2.28.10
    if found := _THOUSANDS.match(version):
        release, patch, revision = found[1], found[2], int(found[3])
        return f"{release}.{patch}-{revision}" if revision else f"{release}.{patch}"
    return version


def _names(text: str, library: str) -> bool:
    """Whether a text is about the project: `xml` of XML2_jll in "libxml2"."""
    return _stem(library) in _NOT_LETTERS.sub("", text.lower())


def _stem(library: str) -> str:
    return _NOT_LETTERS.sub("", library.removesuffix("_jll").lower()).removeprefix("lib")


def _may_replace(stated: tuple[AffectedRange, ...], built: tuple[AffectedRange, ...]) -> bool:
    """Whether stated ranges are of the project that was built: its first free build is not before the first release.

    The first alone, since builds follow one maintained line and the text names all.
    """
    if any(r.fixed is None and r.last_affected is None for r in built):
        return True
    lowest = min(version_key(SCHEME, r.fixed or r.last_affected or "") or b"" for r in stated)
    free = max((version_key(SCHEME, r.fixed or r.last_affected or "") or b"" for r in built), default=b"")
    return lowest <= free


def _with_starts(
    stated: tuple[AffectedRange, ...], built: tuple[AffectedRange, ...], first_build: str
) -> tuple[AffectedRange, ...]:
    """Stated ranges; one that names no start has that of the first affected build, unless there is no earlier build."""
    starts = [r.introduced for r in built if r.introduced]
    if not starts or len(starts) < len(built):
        return stated
    first = min(starts, key=lambda start: version_key(SCHEME, start) or b"")
    if first_build and (version_key(SCHEME, first) or b"") <= (version_key(SCHEME, first_build) or b""):
        return stated
    return tuple(
        r if r.introduced is not None else AffectedRange(SCHEME, first, fixed=r.fixed, last_affected=r.last_affected)
        for r in stated
    )
