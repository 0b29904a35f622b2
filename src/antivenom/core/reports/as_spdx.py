"""A scan as an SPDX 2.3 document (JSON): what was found to be installed, and the advisories on it.

Source: SPDX 2.3, clauses 6 (document), 7 (packages; annex F for security references), 10 (other licences), 11
(relationships).
"""

from __future__ import annotations

import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from antivenom.core.conda.licenses import read_license
from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.purls import purl_of
from antivenom.core.readers.snapshot import Component, list_digests
from antivenom.core.reports.links import advisory_url
from antivenom.core.reports.needs import add_needs
from antivenom.core.reports.result import ScannedSnapshot
from antivenom_client.report import advise

TITLE_CHARACTERS = 500
_ROOT = "SPDXRef-Scanned"
_NO_TEXT = "NOASSERTION"


class SpdxReport:
    """One document, written at the end: each component once, what it needs, which advisories are about it.

    Args:
        version: Of this program.
        now: RFC 3339 UTC.
        with_findings: False leaves an SBOM.
    """

    def __init__(self, *, version: str, now: str, with_findings: bool = True) -> None:
        self._version, self._now, self._with_findings = version, now, with_findings
        self._title = ""
        self._refs: dict[Component, str] = {}
        self._needs: dict[str, dict[str, None]] = {}
        self._advisories: dict[str, dict[str, Finding]] = {}

    def add(self, snapshot: ScannedSnapshot) -> str:
        if len(self._title) < TITLE_CHARACTERS:
            self._title += f"{', ' if self._title else ''}{snapshot.title}"
        for assessed in snapshot.components:
            ref = self._refs.setdefault(assessed.component, f"SPDXRef-Package-{len(self._refs)}")
            if self._with_findings and assessed.findings:
                self._advisories.setdefault(ref, {}).update((f.ids[0], f) for f in assessed.findings)
        add_needs(self._needs, snapshot, self._refs)
        return ""

    def end(self) -> str:
        title = self._title[:TITLE_CHARACTERS] or "-"
        packages = [self._package(component, ref) for component, ref in self._refs.items()]
        document = {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": title,
            "documentNamespace": "",
            "creationInfo": {"created": self._now, "creators": [f"Tool: antivenom-{self._version}"]},
            "packages": [{"SPDXID": _ROOT, "name": title, **_UNSTATED, "primaryPackagePurpose": "OTHER"}, *packages],
            "relationships": self._relationships(),
        }
        if other := _other_licenses(self._refs):
            document["hasExtractedLicensingInfos"] = other
        same = json.dumps(document, ensure_ascii=False)
        document["documentNamespace"] = f"https://spdx.org/spdxdocs/antivenom-{uuid5(NAMESPACE_URL, same)}"
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def _package(self, component: Component, ref: str) -> dict[str, Any]:
        found = {"SPDXID": ref, "name": component.name, "versionInfo": component.version, **_UNSTATED}
        if "://" in component.url:
            found["downloadLocation"] = component.url
        if component.license:
            found["licenseDeclared"] = _license(component.license)
        digests = [(name.replace("-", ""), digest) for name, digest in list_digests(component)]
        if checksums := [{"algorithm": name, "checksumValue": digest} for name, digest in digests]:
            found["checksums"] = checksums
        purl = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl_of(component)}
        advisories = self._advisories.get(ref, {}).values()
        return found | {"externalRefs": [purl, *map(_advisory, advisories)]}

    def _relationships(self) -> list[dict[str, str]]:
        told = [("SPDXRef-DOCUMENT", "DESCRIBES", _ROOT)]
        told += [(_ROOT, "CONTAINS", ref) for ref in self._needs]
        told += [(ref, "DEPENDS_ON", wanted) for ref, needs in self._needs.items() for wanted in needs]
        return [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other} for one, kind, other in told
        ]


_UNSTATED = {
    "downloadLocation": _NO_TEXT,
    "filesAnalyzed": False,
    "licenseConcluded": _NO_TEXT,
    "licenseDeclared": _NO_TEXT,
    "copyrightText": _NO_TEXT,
}


def _advisory(finding: Finding) -> dict[str, str]:
    return {
        "referenceCategory": "SECURITY",
        "referenceType": "advisory",
        "referenceLocator": advisory_url(finding.ids[0]),
        "comment": f"{', '.join(finding.ids)} ({finding.severity}): {advise([finding])}",
    }


def _license(text: str) -> str:
    """The licence as an expression; what no document can define here is not asserted."""
    expression = read_license(text)
    names = [found.id for found in expression.licenses]
    return _NO_TEXT if "NONE" in names or any(name.startswith("DocumentRef-") for name in names) else expression.text


def _other_licenses(components: dict[Component, str]) -> list[dict[str, str]]:
    """The licences that are none of SPDX's list, with the text by which a package states them."""
    found: dict[str, str] = {}
    for component in components:
        if component.license and "LicenseRef-" in (stated := _license(component.license)) and stated != _NO_TEXT:
            for one in read_license(component.license).licenses:
                if one.id.startswith("LicenseRef-"):
                    found.setdefault(one.id, component.license)
    return [{"licenseId": name, "extractedText": text} for name, text in found.items()]
