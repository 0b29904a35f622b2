"""CycloneDX documents, JSON and XML, of any version: every component with a package URL.

Source: CycloneDX 1.2 to 1.7 (components nest; `metadata.component` is what the document is about, and no part of it).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import msgspec

from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.parsing import decode_text, first_character, parse_json, refuse, unknown_version
from antivenom.core.readers.purls import component_of_purl
from antivenom.core.readers.snapshot import COMPONENTS_MAX, Component, Skipped, Snapshot

TITLE = "CycloneDX"
_ASSESSED = ("library", "framework", "application", "container", "operating-system", "platform", "")
_DIGESTS = {"MD5": "md5", "SHA-256": "sha256"}


class _Hash(msgspec.Struct):
    alg: str = ""
    content: str = ""


class _Component(msgspec.Struct):
    name: str = ""
    version: Any = ""
    type: str = ""
    purl: str | None = None
    hashes: list[_Hash] | None = None
    licenses: Any = None
    components: list[_Component] | None = None


class _Metadata(msgspec.Struct):
    component: _Component | None = None


class _Document(msgspec.Struct, rename="camel"):
    bom_format: str = ""
    spec_version: str = ""
    spec_format: str = ""
    components: list[_Component] | None = None
    metadata: _Metadata | None = None


def read(data: bytes, name: str) -> list[Snapshot]:
    """One snapshot, named after what the document is about.

    Raises:
        InvalidInputError: It is no CycloneDX document, or of a version that is not known.
    """
    document = _read_xml(data, name) if first_character(data, name) == "<" else parse_json(data, name, _Document)
    if document.spec_format or document.spec_version.partition(".")[0] not in ("", "1"):
        raise unknown_version(name, document.spec_version, ("1.0 to 1.7",))
    about = document.metadata.component if document.metadata else None
    components: list[Component] = []
    skipped: list[Skipped] = []
    for number, found in enumerate(_flatten(document.components or [])):
        if number > COMPONENTS_MAX:
            raise refuse(name, f"it has more than {COMPONENTS_MAX:,} components")
        _add(found, components, skipped)
    return [Snapshot(about.name if about else "", "", tuple(components), tuple(skipped))]


def _flatten(components: list[_Component]) -> Iterator[_Component]:
    todo = components[::-1]
    while todo:
        found = todo.pop()
        yield found
        todo += (found.components or [])[::-1]


def _add(found: _Component, components: list[Component], skipped: list[Skipped]) -> None:
    label = f"{found.name} {found.version or ''}".strip()
    if not found.purl:
        if found.type in _ASSESSED:
            skipped.append(Skipped(label or "a component", "it has no package URL"))
        return
    digests = {_DIGESTS[h.alg]: h.content.lower() for h in found.hashes or () if h.alg in _DIGESTS}
    stated = Component(
        "", "", str(found.version or ""), md5=digests.get("md5", ""), sha256=digests.get("sha256", ""),
        license=_license(found.licenses),
    )  # fmt: skip
    try:
        components.append(component_of_purl(found.purl, stated))
    except InvalidInputError as error:
        skipped.append(Skipped(label or found.purl[:200], error.message))


def _license(licenses: Any) -> str:
    """The licences as one expression; a document may list several, which all apply."""
    texts = []
    for entry in licenses if isinstance(licenses, list) else ():
        if not isinstance(entry, dict):
            continue
        named = entry.get("license")
        text = entry.get("expression") or (named.get("id") or named.get("name") if isinstance(named, dict) else "")
        if isinstance(text, str) and text:
            texts.append(text)
    return texts[0] if len(texts) == 1 else " AND ".join(f"({text})" for text in texts)


def _read_xml(data: bytes, name: str) -> _Document:
    text = decode_text(data, name)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise refuse(name, "it declares a document type or entities, which no SBOM needs")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # without a document type there is nothing to expand
    except ElementTree.ParseError as error:
        raise refuse(name, f"it is no XML: {error.msg}", line=error.position[0]) from None
    if not root.tag.endswith("}bom") or "cyclonedx" not in root.tag:
        raise refuse(name, "its root is no <bom> of CycloneDX")
    space = root.tag[: -len("bom")]
    about = root.find(f"{space}metadata/{space}component")
    listed = root.find(f"{space}components")
    return _Document(
        spec_version=space.rstrip("}").rpartition("/")[2],
        components=[
            _of_element(child, space) for child in (listed.iter(f"{space}component") if listed is not None else ())
        ],
        metadata=_Metadata(_of_element(about, space) if about is not None else None),
    )


def _of_element(element: ElementTree.Element, space: str) -> _Component:
    def text(tag: str) -> str:
        return (element.findtext(f"{space}{tag}") or "").strip()

    hashes = [
        _Hash(found.get("alg", ""), (found.text or "").strip())
        for found in element.iterfind(f"{space}hashes/{space}hash")
    ]
    return _Component(text("name"), text("version"), element.get("type", ""), text("purl"), hashes)
