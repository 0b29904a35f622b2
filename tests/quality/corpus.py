"""The shared advisories and maps as one compiled index, read by the product's own feed parsers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from antivenom.core.feeds import cve5, epss, kev, name_map, nvd, osv, purl_cpe
from antivenom.core.feeds.entry import ExploitedEntry, ExploitScore, NameEntry, ProductEntry, Reading
from antivenom.core.matching.advisories import Advisory
from antivenom.core.matching.compile_index import Exploited
from antivenom.core.matching.identity import NameMaps
from antivenom.feeds import files as feed_files
from antivenom.knowledge import built_in

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
READING = Reading(now=datetime(2026, 11, 21, tzinfo=UTC), python_names=built_in().python_names)
KINDS = {
    "osv-pypi": osv,
    "osv-psf": osv,
    "osv-r": osv,
    "osv-ossfuzz": osv,
    "osv-bitnami": osv,
    "osv-julia-jll": osv,
    "osv-go": osv,
    "osv-crates": osv,
    "nvd-configurations": nvd,
    "cve-vulnrichment": cve5,
    "cve5-raw-conda-named": cve5,
}
EVERYTHING = tuple(KINDS)


def read_advisories(*names: str) -> Iterator[Advisory]:
    """The advisories of the named shared files."""
    for name in names:
        for member in feed_files.members(SHARED / "advisories" / f"{name}.jsonl.zst"):
            for row in KINDS[name].read(member, READING):
                if isinstance(row, Advisory):
                    yield row


def read_exploitation() -> dict[str, Exploited]:
    """KEV and EPSS by CVE id."""
    scores: dict[str, float] = {}
    for member in feed_files.members(SHARED / "advisories" / "epss_scores-2026-01-30.csv.gz"):
        scores.update((row.cve, row.score) for row in epss.read(member, READING) if isinstance(row, ExploitScore))
    found = {cve: Exploited(epss=score) for cve, score in scores.items()}
    for member in feed_files.members(SHARED / "advisories" / "kev.json.gz"):
        for row in kev.read(member, READING):
            if isinstance(row, ExploitedEntry):
                found[row.cve] = Exploited(scores.get(row.cve), True, row.ransomware)
    return found


def read_maps() -> NameMaps:
    """The name map of prefix.dev and the CPE map of scanoss."""
    conda: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {}
    products: dict[str, tuple[str, ...]] = {}
    for member in feed_files.members(SHARED / "mapping" / "conda-pypi.tsv.zst"):
        for row in name_map.read(member, READING):
            if isinstance(row, NameEntry):
                conda.setdefault(row.conda_name, {}).setdefault(row.channel, {})[row.ecosystem] = row.names
    for member in feed_files.members(SHARED / "mapping" / "purl-cpe.tsv.zst"):
        for product in purl_cpe.read(member, READING):
            if isinstance(product, ProductEntry):
                products[f"{product.ecosystem}/{product.name}"] = product.products
    return NameMaps(conda, products)
