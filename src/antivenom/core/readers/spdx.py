"""SPDX documents: 2.2 and 2.3 as JSON or tag-value, 3.0 as JSON-LD: every package with a package URL.

Source: SPDX 2.3 clauses 7 (package information) and annex G; SPDX 3.0 classes software_Package, ExternalIdentifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.parsing import decode_text, first_character, parse_json, refuse, unknown_version
from antivenom.core.readers.purls import component_of_purl
from antivenom.core.readers.snapshot import COMPONENTS_MAX, Component, Skipped, Snapshot

TITLE = "SPDX"
_TAG = re.compile(r"^\s*(?P<tag>[A-Za-z]+):\s*(?P<value>.*?)\s*$")
_VERSION = re.compile(r"SPDX-[12]\.\d{1,3}")
_DIGESTS = {"MD5": "md5", "SHA256": "sha256", "md5": "md5", "sha256": "sha256"}
_NO_TEXT = ("NOASSERTION", "NONE")


class _Reference(msgspec.Struct, rename="camel"):
    reference_type: str = ""
    reference_locator: str = ""


class _Checksum(msgspec.Struct, rename="camel"):
    algorithm: str = ""
    checksum_value: str = ""


class _Package(msgspec.Struct, rename="camel"):
    name: str = ""
    version_info: str = ""
    license_concluded: str = ""
    license_declared: str = ""
    external_refs: list[_Reference] = []
    checksums: list[_Checksum] = []


class _Document(msgspec.Struct, rename="camel"):
    name: str = ""
    spdx_version: str = ""
    packages: list[_Package] = []
    graph: list[dict[str, Any]] | None = msgspec.field(default=None, name="@graph")


def read(data: bytes, name: str) -> list[Snapshot]:
    """One snapshot, named as the document is.

    Raises:
        InvalidInputError: It is no SPDX document that can be read.
    """
    if first_character(data, name) == "{":
        document = parse_json(data, name, _Document)
        if document.graph is not None:
            document = _read_graph(document.graph, name)
        elif not document.spdx_version:
            raise refuse(name, "it has neither an spdxVersion nor a @graph")
    else:
        document = _read_tags(decode_text(data, name), name)
    if document.graph is None and _VERSION.fullmatch(document.spdx_version) is None:
        raise unknown_version(name, document.spdx_version, ("SPDX-2.0 to SPDX-2.3", "3.0 as a @graph"))
    if len(document.packages) > COMPONENTS_MAX:
        raise refuse(name, f"it has more than {COMPONENTS_MAX:,} packages")
    components: list[Component] = []
    skipped: list[Skipped] = []
    for package in document.packages:
        _add(package, components, skipped)
    return [Snapshot(document.name, "", tuple(components), tuple(skipped))]


def _add(package: _Package, components: list[Component], skipped: list[Skipped]) -> None:
    label = f"{package.name} {package.version_info}".strip() or "a package"
    purl = next((r.reference_locator for r in package.external_refs if r.reference_type.endswith("purl")), "")
    if not purl:
        skipped.append(Skipped(label, "it has no package URL"))
        return
    digests = {_DIGESTS[c.algorithm]: c.checksum_value.lower() for c in package.checksums if c.algorithm in _DIGESTS}
    licenses = [text for text in (package.license_concluded, package.license_declared) if text and text not in _NO_TEXT]
    stated = Component(
        "", "", "" if package.version_info in _NO_TEXT else package.version_info, md5=digests.get("md5", ""),
        sha256=digests.get("sha256", ""), license=licenses[0] if licenses else "",
    )  # fmt: skip
    try:
        components.append(component_of_purl(purl, stated))
    except InvalidInputError as error:
        skipped.append(Skipped(label, error.message))


def _read_tags(text: str, name: str) -> _Document:
    document = _Document(packages=[])
    package: _Package | None = None
    for tag, value in _tags(text):
        if tag == "SPDXVersion":
            document.spdx_version = value
        elif tag == "DocumentName":
            document.name = value
        elif tag == "PackageName":
            package = _Package(value, external_refs=[], checksums=[])
            document.packages.append(package)
        elif package is not None:
            _take_tag(package, tag, value)
    if not document.spdx_version:
        raise refuse(name, "it has no SPDXVersion")
    return document


def _tags(text: str) -> Iterator[tuple[str, str]]:
    """Tag and value of each line; texts of several lines (`<text>…</text>`) are passed over."""
    is_inside = False
    for line in text.splitlines():
        if is_inside:
            is_inside = "</text>" not in line
        elif found := _TAG.match(line):
            is_inside = "<text>" in found["value"] and "</text>" not in found["value"]
            yield found["tag"], found["value"]


def _take_tag(package: _Package, tag: str, value: str) -> None:
    if tag == "PackageVersion":
        package.version_info = value
    elif tag == "PackageLicenseConcluded":
        package.license_concluded = value
    elif tag == "PackageLicenseDeclared":
        package.license_declared = value
    elif tag == "PackageChecksum":
        algorithm, _, digest = value.partition(":")
        package.checksums.append(_Checksum(algorithm.strip(), digest.strip()))
    elif tag == "ExternalRef":
        parts = value.split(None, 2)
        if len(parts) == 3:
            package.external_refs.append(_Reference(parts[1], parts[2]))


def _read_graph(graph: list[dict[str, Any]], name: str) -> _Document:
    """The packages of an SPDX 3 document; of its names for things only the last part counts."""
    document = _Document(packages=[], graph=[])
    for element in graph:
        kind = str(element.get("type") or element.get("@type") or "").rpartition("_")[2].rpartition("/")[2]
        if kind == "CreationInfo" and not str(element.get("specVersion", "3")).startswith("3"):
            raise unknown_version(name, str(element["specVersion"]), ("3.0",))
        if kind == "SpdxDocument":
            document.name = str(element.get("name") or "")
        elif kind == "Package":
            document.packages.append(_of_element(element))
    return document


def _of_element(element: dict[str, Any]) -> _Package:
    def text(field: str) -> str:
        value = next((v for k, v in element.items() if k == field or k.endswith(f"_{field}")), "")
        return value if isinstance(value, str) else ""

    references = [_Reference("purl", text("packageUrl"))] if text("packageUrl") else []
    references += [
        _Reference("purl", str(found.get("identifier", "")))
        for found in element.get("externalIdentifier") or ()
        if isinstance(found, dict) and "packageurl" in str(found.get("externalIdentifierType", "")).casefold()
    ]
    hashes = [
        _Checksum(str(found.get("algorithm", "")), str(found.get("hashValue", "")))
        for found in element.get("verifiedUsing") or ()
        if isinstance(found, dict)
    ]
    return _Package(text("name"), text("packageVersion"), external_refs=references, checksums=hashes)
