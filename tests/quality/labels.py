"""Labels that owe nothing to our matcher: who is affected, worked out the slow way from the feeds' own words.

* Python: conda records, the name map, and OSV events evaluated with `packaging`.
* C libraries: Julia's curators re-based NVD entries on their builds; where a conda version lies between two builds of
  different verdict nobody knows, and such versions carry no label.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import zstandard
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

# Julia's binary builds and the conda package of the same project, both with upstream's versions.
LIBRARIES = {
    "OpenSSL_jll": "openssl",
    "LibCURL_jll": "libcurl",
    "XML2_jll": "libxml2",
    "XSLT_jll": "libxslt",
    "Zlib_jll": "zlib",
    "Expat_jll": "expat",
    "LibSSH2_jll": "libssh2",
    "nghttp2_jll": "libnghttp2",
    "libpng_jll": "libpng",
    "Libtiff_jll": "libtiff",
    "libwebp_jll": "libwebp",
    "OpenJpeg_jll": "openjpeg",
    "LibGit2_jll": "libgit2",
    "FreeType2_jll": "freetype",
    "HarfBuzz_jll": "harfbuzz",
    "HDF5_jll": "hdf5",
    "Glib_jll": "glib",
    "Poppler_jll": "poppler",
    "GnuTLS_jll": "gnutls",
    "LibArchive_jll": "libarchive",
    "XZ_jll": "xz",
    "Zstd_jll": "zstd",
    "Lz4_jll": "lz4-c",
    "Bzip2_jll": "bzip2",
    "ImageMagick_jll": "imagemagick",
    "FFMPEG_jll": "ffmpeg",
    "Git_jll": "git",
    "OpenEXR_jll": "openexr",
    "libheif_jll": "libheif",
    "Kerberos_krb5_jll": "krb5",
    "PCRE2_jll": "pcre2",
    "LittleCMS_jll": "lcms2",
}


class Component(NamedTuple):
    """What a label is about: a conda package, or (then `type` is "purl") the text of a purl with its version."""

    name: str
    version: str
    subdir: str = ""
    type: str = "conda"


@dataclass
class Labels:
    """Component → ids that affect it; `known` are the ids that a label exists for at all.

    `contradicted`: ids of which the sources of the labels say different things, or what nobody can evaluate; no label.
    """

    affected: dict[Component, set[str]] = field(default_factory=lambda: defaultdict(set))
    known: dict[Component, set[str]] = field(default_factory=lambda: defaultdict(set))
    contradicted: dict[Component, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, component: Component, vulnerability: str, verdict: bool | None) -> None:
        """One label; None is none."""
        if verdict is None:
            self.contradicted[component].add(vulnerability)
            return
        self.known[component].add(vulnerability)
        if verdict:
            self.affected[component].add(vulnerability)


def read_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file).read()
    return (line for line in text.splitlines() if line)


def read_components(data: Path) -> list[tuple[str, str]]:
    """The distinct (name, version) of real conda-forge records, sorted."""
    records = (msgspec.json.decode(line) for line in read_lines(data / "conda" / "records.jsonl.zst"))
    return sorted({(r["name"], r["version"]) for r in records if r["channel"] == "conda-forge"})


def read_python_names(data: Path) -> dict[str, tuple[str, ...]]:
    """Conda name → PyPI names, for conda-forge's packages of one project, or of one under two names.

    Two names are one project where one contains the other (dspy, dspy-ai); other records of several names are bundles,
    or anything else, and carry no label.
    """
    rows = (line.decode().split("\t") for line in read_lines(data / "mapping" / "conda-pypi.tsv.zst"))
    found = {}
    for channel, conda, listed, *_ in rows:
        names = tuple(str(canonicalize_name(n)) for n in listed.strip().split(",")) if listed.strip() else ()
        is_renamed = len(names) == 2 and (names[0] in names[1] or names[1] in names[0])
        if channel == "conda-forge" and (len(names) == 1 or is_renamed):
            found[conda] = names
    return found


def read_names_apart_from_python(data: Path) -> set[str]:
    """Conda-forge's names that the map says are in no PyPI project."""
    rows = (line.decode().split("\t") for line in read_lines(data / "mapping" / "conda-pypi.tsv.zst"))
    return {r[1] for r in rows if r[0] == "conda-forge" and not r[2].strip()}


def parse(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


# -- Python ------------------------------------------------------------------------------------------------------------


def is_affected(entry: dict[str, Any], version: Version) -> bool | None:
    """OSV's evaluation of one `affected` entry; None when a bound is no PEP 440 version, contradicts another, or is missing."""
    if not entry.get("versions") and not any(r["type"] != "GIT" for r in entry.get("ranges", ())):
        return None
    if any(parse(v) == version for v in entry.get("versions", ())):
        return True
    for bounds in entry.get("ranges", ()):
        if bounds["type"] == "GIT":
            continue
        events: list[tuple[Version, str]] = []
        for event in bounds["events"]:
            kind, text = next(iter(event.items()))
            at = parse(text)
            if at is None:
                return None
            events.append((at, kind))
        if any(a == b and k != m for a, k in events for b, m in events):
            return None
        is_in = False
        for at, kind in sorted(events):
            if kind == "introduced" and version >= at:
                is_in = True
            elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
                is_in = False
        if is_in:
            return True
    return False


def label_python(data: Path, *, renamed: bool) -> Labels:
    """Every conda-forge component of one PyPI project against every advisory that names the project.

    Args:
        renamed: Those whose project is called otherwise than the conda package, or has had two names; else the others.
    """
    entries: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for line in read_lines(data / "advisories" / "osv-pypi.jsonl.zst"):
        advisory = msgspec.json.decode(line)
        if advisory.get("withdrawn"):
            continue
        for entry in advisory.get("affected", ()):
            package = entry.get("package", {})
            if package.get("ecosystem") == "PyPI":
                entries[str(canonicalize_name(package["name"]))].append((advisory["id"], entry))
    projects = read_python_names(data)
    labels = Labels()
    for name, text in read_components(data):
        names = projects.get(name, ())
        version = parse(text)
        if version is None or renamed == (names == (str(canonicalize_name(name)),)):
            continue
        verdicts: dict[str, set[bool | None]] = defaultdict(set)
        for advisory_id, entry in (e for project in names for e in entries.get(project, ())):
            verdicts[advisory_id].add(is_affected(entry, version))
        for advisory_id, found in verdicts.items():
            labels.add(Component(name, text), advisory_id, True if True in found else None if None in found else False)
    return labels


# -- C libraries -------------------------------------------------------------------------------------------------------


def numbers(text: str) -> tuple[int, ...] | None:
    """A version of plain numbers, build number off; None for anything else."""
    text = text.split("+")[0]
    return tuple(map(int, text.split("."))) if re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) else None


@dataclass(frozen=True)
class _Rebased:
    library: str
    cve: str
    ranges: list[tuple[tuple[int, ...], tuple[int, ...]]]  # [introduced, fixed)


def _rebased(data: Path) -> tuple[list[_Rebased], dict[str, set[tuple[int, ...]]]]:
    """Entries of one CVE with closed ranges only, and the builds that any range names, by library."""
    found: list[_Rebased] = []
    builds: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for line in read_lines(data / "advisories" / "osv-julia-jll.jsonl.zst"):
        advisory = msgspec.json.decode(line)
        cves = [u for u in advisory.get("upstream", ()) if u.startswith("CVE-")]
        for entry in advisory.get("affected", ()):
            library = entry["package"]["name"]
            ranges: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
            is_closed = library in LIBRARIES and not advisory.get("withdrawn")
            for bounds in entry.get("ranges", ()):
                texts = [next(iter(event.items())) for event in bounds["events"]]
                starts = [numbers(t) for k, t in texts if k == "introduced"]
                ends = [numbers(t) for k, t in texts if k == "fixed"]
                builds[library].update(v for v in (*starts, *ends) if v and v != (0,))
                if len(starts) != 1 or len(ends) != 1 or starts[0] is None or ends[0] is None:
                    is_closed = False
                else:
                    ranges.append((starts[0], ends[0]))
            if is_closed and len(cves) == 1 and ranges:
                found.append(_Rebased(library, cves[0], ranges))
    return found, builds


def label_libraries(data: Path) -> Labels:
    """Conda's versions of the libraries, where Julia's verdict on its builds settles them.

    Affected: a build at or above the version, and of its line, is affected. Clean: the version is at or above the fixed
    build, or a build at or above it comes before the range. OpenSSL 1.1.1 is left out: Julia numbers its letters.
    """
    rebased, builds = _rebased(data)
    versions: dict[str, list[str]] = defaultdict(list)
    for name, text in read_components(data):
        versions[name].append(text)
    labels = Labels()
    for item in rebased:
        name, made = LIBRARIES[item.library], builds[item.library]
        for text in versions[name]:
            version = numbers(text)
            if version is None or (name == "openssl" and version[0] < 3):
                continue
            line = [b for b in made if b[:2] == version[:2]]
            if not line:
                continue
            is_in = any(
                version <= b and start <= b < end and start <= version for b in line for start, end in item.ranges
            )
            is_out = all(
                version >= end or (version < start and any(version <= b < start for b in line))
                for start, end in item.ranges
            )
            if is_in or is_out:
                labels.add(Component(name, text), item.cve, is_in)
    return labels
