"""Where people read about a vulnerability."""

from __future__ import annotations

from urllib.parse import quote


def advisory_url(name: str) -> str:
    """The page of a vulnerability by its id: NVD's for a CVE, GitHub's for its own, else OSV's."""
    if name.startswith("CVE-"):
        return f"https://nvd.nist.gov/vuln/detail/{quote(name)}"
    if name.startswith("GHSA-"):
        return f"https://github.com/advisories/{quote(name)}"
    return f"https://osv.dev/vulnerability/{quote(name, safe='')}"
