"""Labels of malware and of platforms, from fields of the feeds that our matching does not read for them.

* Malware: PyPI's entries that are known under a MAL- id, or that refer to a file in PyPI's own inspector of what was
  taken down; RustSec's of the category "malicious". Not malware: entries with a CVE id, a CVSS vector and a fix.
* Platforms: NVD's configurations in which each vulnerable product is "running on" Windows, macOS, Android or iOS alone,
  and CVE records whose CNA lists platforms. Affected there, not on linux-64. Our matching reads these fields, too;
  here they are read in the plain way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.quality.labels import Component, Labels, is_affected, numbers, parse, read_components, read_lines
from tests.quality.tool_labels import order

INSPECTOR = "/inspector."
RELEASES_ASKED = 3
ONE_OF = 8  # of the thousands of entries that are no malware, every eighth is asked
# Products of NVD ("vendor:product") and of CNAs ("vendor/product") of which a conda package is the whole.
PLATFORM_PRODUCTS = {
    "git:git": "git",
    "git-scm:git": "git",
    "python:python": "python",
    "mozilla:firefox": "firefox",
    "php:php": "php",
    "golang:go": "go",
    "gnu:emacs": "emacs",
    "rust-lang:rust": "rust",
    "nodejs:node.js": "nodejs",
    "apache:subversion": "subversion",
    "deno:deno": "deno",
    "haxx:curl": "curl",
    "tukaani:xz": "xz",
    "openssl:openssl": "openssl",
    "Python Software Foundation/CPython": "python",
    "PHP Group/PHP": "php",
    "Go toolchain/cmd/go": "go",
}
SUBDIRS = {"microsoft:windows": "win-64", "apple:macos": "osx-64", "apple:mac_os_x": "osx-64"}
ELSEWHERE = {"apple:iphone_os", "google:android", *SUBDIRS}
CNA_PLATFORMS = {"Windows": "win-64", "darwin": "osx-64", "MacOS": "osx-64"}


def _read(data: Path, name: str) -> Iterator[dict[str, Any]]:
    for line in read_lines(data / "advisories" / f"{name}.jsonl.zst"):
        yield msgspec.json.decode(line)


# -- malware -----------------------------------------------------------------------------------------------------------


def label_malware(data: Path) -> Labels:
    """Releases of PyPI projects and crates against entries that are malware (affected), and that are none."""
    labels = Labels()
    for number, advisory in enumerate(_read(data, "osv-pypi")):
        verdict = _is_python_malware(advisory)
        if verdict is False and number % ONE_OF:
            continue
        for entry in advisory.get("affected", ()):
            for version in _some_releases(entry) if verdict is not None else ():
                purl = f"pkg:pypi/{entry['package']['name'].lower()}@{version}"
                labels.add(Component(purl, "", type="purl"), advisory["id"], verdict)
    for advisory in _read(data, "osv-crates"):
        for entry in advisory.get("affected", ()):
            categories = set(entry["database_specific"].get("categories", ()))
            version = _crate_release(entry)
            if categories and version and not advisory.get("withdrawn"):
                purl = f"pkg:cargo/{entry['package']['name']}@{version}"
                labels.add(Component(purl, "", type="purl"), advisory["id"], "malicious" in categories)
    return labels


def _is_python_malware(advisory: dict[str, Any]) -> bool | None:
    ids = (advisory["id"], *advisory.get("aliases", ()))
    if advisory.get("withdrawn"):
        return None
    if any(i.startswith("MAL-") for i in ids) or any(INSPECTOR in r["url"] for r in advisory.get("references", ())):
        return True
    has_fix = any("fixed" in e for a in advisory.get("affected", ()) for r in a.get("ranges", ()) for e in r["events"])
    return False if has_fix and advisory.get("severity") and any(i.startswith("CVE-") for i in ids) else None


def _some_releases(entry: dict[str, Any]) -> list[str]:
    """A few releases that OSV calls affected; of all releases, some."""
    if entry.get("package", {}).get("ecosystem") != "PyPI":
        return []
    listed = [v for v in entry.get("versions", ()) if (at := parse(v)) is not None and is_affected(entry, at)]
    first = parse("1.0")
    assert first is not None
    return listed[:RELEASES_ASKED] or (["1.0"] if is_affected(entry, first) else [])


def _crate_release(entry: dict[str, Any]) -> str:
    """A release of a crate in its range: the first of the range, or 0.1.0 where it is all releases; "" for none."""
    for bounds in entry.get("ranges", ()):
        events = [next(iter(event.items())) for event in bounds["events"]]
        starts = [text for kind, text in events if kind == "introduced"]
        if bounds["type"] == "SEMVER" and starts:
            if starts[0] not in ("0", "0.0.0-0"):
                return str(starts[0])
            ends = [order(text) for kind, text in events if kind == "fixed"]
            first = order("0.0.1")
            return "0.0.1" if first and all(end is None or first < end for end in ends) else ""
    return ""


# -- platforms ---------------------------------------------------------------------------------------------------------


def label_platforms(data: Path) -> Labels:
    """Real releases in the range of a CVE of other platforms: affected there, and not on linux-64."""
    real: dict[str, set[str]] = defaultdict(set)
    for name, text in read_components(data):
        real[name].add(text)
    labels = Labels()
    for cve, conda, subdirs, ranges in (*_of_nvd(data), *_of_cnas(data)):
        inside = [v for v in real[conda] if any(_is_inside(v, r) for r in ranges)]
        bounds = {b for r in ranges for b in r[:2] if b}
        inside += [b for b in bounds if any(_is_inside(b, r) for r in ranges)]
        for version in sorted(set(inside)):
            labels.add(Component(conda, version, "linux-64"), cve, False)
            for subdir in subdirs:
                labels.add(Component(conda, version, subdir), cve, True)
    return labels


Range = tuple[str | None, str | None, bool]  # first, last, whether the last is in it


def _is_inside(text: str, bounds: Range) -> bool:
    version, (first, last, is_last_in) = numbers(text), bounds
    start, end = numbers(first or "0"), numbers(last) if last else None
    if version is None or start is None or (last and end is None) or version < start:
        return False
    return end is None or version < end or (version == end and is_last_in)


def _of_nvd(data: Path) -> Iterator[tuple[str, str, set[str], list[Range]]]:
    """(CVE, conda name, subdirs where it is affected, ranges) of CVEs all of whose configurations run elsewhere."""
    for record in _read(data, "nvd-configurations"):
        systems: set[str] = set()
        ranges: dict[str, list[Range]] = defaultdict(list)
        is_elsewhere = bool(record.get("configurations"))
        for configuration in record.get("configurations", ()):
            matches = [m for node in configuration["nodes"] for m in node["cpeMatch"]]
            running = {_product(m) for m in matches if not m.get("vulnerable")}
            is_elsewhere &= configuration.get("operator") == "AND" and bool(running) and running <= ELSEWHERE
            systems |= running
            for match in matches:
                conda = PLATFORM_PRODUCTS.get(_product(match))
                if match.get("vulnerable") and conda:
                    ranges[conda].append(_cpe_range(match))
        for conda, of_product in ranges.items() if is_elsewhere else ():
            yield record["cve"], conda, {SUBDIRS[s] for s in systems if s in SUBDIRS}, of_product


def _product(match: dict[str, Any]) -> str:
    return ":".join(match["criteria"].split(":")[3:5])


def _cpe_range(match: dict[str, Any]) -> Range:
    exact = match["criteria"].split(":")[5]
    if exact not in ("*", "-"):
        return exact, exact, True
    last = match.get("versionEndIncluding")
    return match.get("versionStartIncluding"), last or match.get("versionEndExcluding"), last is not None


def _of_cnas(data: Path) -> Iterator[tuple[str, str, set[str], list[Range]]]:
    """The same of CVE records in which the CNA says for what platforms it speaks."""
    for record in _read(data, "cve5-raw-conda-named"):
        for product in record["containers"]["cna"].get("affected", ()):
            conda = PLATFORM_PRODUCTS.get(f"{product.get('vendor')}/{product.get('product')}")
            listed = product.get("platforms") or ()
            if conda is None or not listed or not set(listed) <= set(CNA_PLATFORMS):
                continue
            ranges: list[Range] = [
                (v["version"].removesuffix(".*"), v.get("lessThan") or v.get("lessThanOrEqual"), "lessThanOrEqual" in v)
                for v in product.get("versions", ())
                if v.get("status") == "affected" and (v.get("lessThan") or v.get("lessThanOrEqual"))
            ]
            yield record["cveMetadata"]["cveId"], conda, {CNA_PLATFORMS[p] for p in listed}, ranges
