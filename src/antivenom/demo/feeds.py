"""The demo's feeds, made from advisories.yaml in the formats of the real ones: OSV, NVD, KEV, EPSS and a name map."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

FILES = {
    "osv": "osv.jsonl",
    "nvd": "nvd.json",
    "kev": "kev.json",
    "epss": "epss.csv",
    "name-map": "name-map.tsv",
}
"""Each feed kind and the file that holds it, in the order in which they are worth reading."""

Facts = dict[str, Any]


def read(name: str) -> bytes | None:
    """A feed's file; None when there is none of that name."""
    writers: dict[str, Callable[[Facts], str]] = {
        "osv.jsonl": _osv,
        "nvd.json": _nvd,
        "kev.json": _kev,
        "epss.csv": _epss,
        "name-map.tsv": _name_map,
    }
    return writers[name](_facts()).encode() if name in writers else None


@cache
def _facts() -> Facts:
    # BaseLoader leaves every scalar a string: versions and dates are written as they stand.
    return dict(yaml.load(files(__package__).joinpath("advisories.yaml").read_bytes(), Loader=yaml.BaseLoader))  # noqa: S506


def _osv(facts: Facts) -> str:
    return "".join(json.dumps(_osv_entry(entry)) + "\n" for entry in facts["python"])


def _osv_entry(entry: Facts) -> Facts:
    events = [{bound: version} for span in entry["ranges"] for bound, version in zip(_BOUNDS, span, strict=True)]
    return {
        "schema_version": "1.7.0",
        "id": entry["ids"][0],
        "aliases": entry["ids"][1:],
        "published": f"{entry['published']}T00:00:00Z",
        "modified": f"{entry['published']}T00:00:00Z",
        "summary": entry["summary"],
        "severity": [{"type": "CVSS_V3", "score": entry["cvss"]}],
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": entry["package"], "purl": f"pkg:pypi/{entry['package']}"},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
        ],
    }


_BOUNDS = ("introduced", "fixed")


def _nvd(facts: Facts) -> str:
    entries = [{"cve": _nvd_entry(entry)} for entry in facts["products"]]
    return json.dumps(
        {
            "resultsPerPage": len(entries),
            "startIndex": 0,
            "totalResults": len(entries),
            "format": "NVD_CVE",
            "version": "2.0",
            "vulnerabilities": entries,
        }
    )


def _nvd_entry(entry: Facts) -> Facts:
    at = f"{entry['published']}T00:00:00.000"
    listed = [{"vulnerable": True, "criteria": _cpe(entry["product"], v)} for v in entry.get("versions", ())]
    ranges = [
        {
            "vulnerable": True,
            "criteria": _cpe(entry["product"], "*"),
            **({} if low == "0" else {"versionStartIncluding": low}),
            "versionEndExcluding": high,
        }
        for low, high in entry.get("ranges", ())
    ]
    return {
        "id": entry["id"],
        "published": at,
        "lastModified": at,
        "vulnStatus": "Analyzed",
        "descriptions": [{"lang": "en", "value": entry["summary"]}],
        "metrics": {
            "cvssMetricV31": [{"type": "Primary", "cvssData": {"version": "3.1", "vectorString": entry["cvss"]}}]
        },
        "configurations": [{"nodes": [{"operator": "OR", "negate": False, "cpeMatch": [*listed, *ranges]}]}],
    }


def _cpe(product: str, version: str) -> str:
    return f"cpe:2.3:a:{product}:{version}:*:*:*:*:*:*:*"


def _kev(facts: Facts) -> str:
    exploited = {
        _cve(entry): {
            "cveID": _cve(entry),
            "vulnerabilityName": entry["summary"],
            "dateAdded": entry["kev"],
            "knownRansomwareCampaignUse": "Unknown",
        }
        for entry in (*facts["python"], *facts["products"])
        if "kev" in entry
    }
    return json.dumps(
        {
            "title": "Known exploited vulnerabilities (demo)",
            "catalogVersion": facts["epss_date"].replace("-", "."),
            "dateReleased": f"{facts['epss_date']}T00:00:00Z",
            "count": len(exploited),
            "vulnerabilities": list(exploited.values()),
        }
    )


def _epss(facts: Facts) -> str:
    scores = {_cve(entry): entry["epss"] for entry in (*facts["python"], *facts["products"])}
    head = f"#model_version:demo,score_date:{facts['epss_date']}T00:00:00+0000\ncve,epss\n"
    return head + "".join(f"{cve},{score}\n" for cve, score in sorted(scores.items()))


def _name_map(facts: Facts) -> str:
    return "conda_name\tpypi_name\n" + "".join(f"{conda}\t{pypi}\n" for conda, pypi in facts["names"].items())


def _cve(entry: Facts) -> str:
    return str(entry["id"] if "id" in entry else entry["ids"][1])
