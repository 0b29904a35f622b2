"""VEX documents: what somebody says of vulnerabilities of packages, as OpenVEX, CycloneDX and CSAF write it.

A statement is about packages by package URL. What names none cannot be tied to anything that is scanned: such
statements are counted. Where a statement is about a part of a product (OpenVEX's subcomponents), the part is the
package; whether the product is the one that is scanned is for the person to know who gives the document.

Source: OpenVEX 0.2.0 (and 0.0.1); CycloneDX 1.4 to 1.7, vulnerabilities.analysis; CSAF 2.0, profile VEX.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

from packageurl import PackageURL

from antivenom.core.readers.parsing import parse_json, refuse
from antivenom.core.readers.purls import PURL_MAX_CHARACTERS

BYTES_MAX = 64 << 20
STATEMENTS_MAX = 500_000
PRODUCTS_MAX = 2_000_000
TEXT_CHARACTERS = 2_000
STATUSES = ("not_affected", "fixed", "affected", "under_investigation")
_OF_CYCLONEDX = {
    "resolved": "fixed",
    "resolved_with_pedigree": "fixed",
    "not_affected": "not_affected",
    "false_positive": "not_affected",
    "exploitable": "affected",
    "in_triage": "under_investigation",
}
_OF_CSAF = {
    "known_not_affected": "not_affected",
    "fixed": "fixed",
    "first_fixed": "fixed",
    "known_affected": "affected",
    "first_affected": "affected",
    "last_affected": "affected",
    "under_investigation": "under_investigation",
}


class VexStatement(NamedTuple):
    """What a document says of one vulnerability. `ids` are all its names; `products` package URLs; `said_at` orders."""

    ids: tuple[str, ...]
    products: tuple[PackageURL, ...]
    status: str
    justification: str = ""
    text: str = ""
    said_at: str = ""


class VexDocument(NamedTuple):
    """The statements of a document in the order in which they count.

    `untied`: how many others name no package by its URL, or no vulnerability.
    """

    name: str
    statements: tuple[VexStatement, ...]
    untied: int


def read_vex(data: bytes, name: str) -> VexDocument:
    """What a VEX document says.

    Raises:
        InvalidInputError: It is none of the three kinds, malformed, or larger than any tool writes it.
    """
    if len(data) > BYTES_MAX:
        raise refuse(name, f"it has {len(data):,} bytes; VEX documents of up to {BYTES_MAX:,} are read")
    document = parse_json(data, name, dict[str, Any])
    if document.get("bomFormat") == "CycloneDX":
        found = _read_cyclonedx(document)
    elif isinstance(document.get("document"), dict) and "csaf_version" in document["document"]:
        found = _read_csaf(document)
    elif "openvex" in str(document.get("@context", "")) or "statements" in document:
        found = _read_openvex(document)
    else:
        raise refuse(name, "it is no VEX document", hint="OpenVEX, CycloneDX with analysis, and CSAF are read")
    return _collect(found, name)


def _collect(found: Iterator[VexStatement], name: str) -> VexDocument:
    statements: list[VexStatement] = []
    untied = products = 0
    for statement in found:
        products += len(statement.products)
        if len(statements) + untied >= STATEMENTS_MAX or products > PRODUCTS_MAX:
            raise refuse(name, "it has more statements or products than any tool writes")
        if statement.status not in STATUSES:
            raise refuse(
                name, f"a statement on {', '.join(statement.ids)[:60]} has the status {statement.status!r:.60}"
            )
        if statement.products and statement.ids:
            statements.append(statement)
        else:
            untied += 1
    return VexDocument(name, tuple(sorted(statements, key=lambda s: s.said_at)), untied)


def _purls(texts: Iterable[Any]) -> tuple[PackageURL, ...]:
    """The package URLs among some texts."""
    found = {}
    for text in texts:
        if isinstance(text, str) and text.startswith("pkg:") and len(text) <= PURL_MAX_CHARACTERS:
            try:
                found[text] = PackageURL.from_string(text)
            except ValueError:
                continue
    return tuple(found.values())


def _text(*values: Any) -> str:
    return ": ".join(value for value in values if isinstance(value, str) and value)[:TEXT_CHARACTERS]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# -- OpenVEX -----------------------------------------------------------------------------------------------------------


def _read_openvex(document: dict[str, Any]) -> Iterator[VexStatement]:
    said_at = _text(document.get("last_updated")) or _text(document.get("timestamp"))
    for statement in map(_dict, _list(document.get("statements"))):
        of = statement.get("vulnerability")
        named = _dict(of)
        ids = [of] if isinstance(of, str) else [named.get("name"), *_list(named.get("aliases"))]
        parts = [part for product in _list(statement.get("products")) for part in _parts(product)]
        yield VexStatement(
            tuple(i for i in ids if isinstance(i, str) and i),
            _purls(text for part in parts for text in _names_of(part)),
            _text(statement.get("status")),
            _text(statement.get("justification")),
            _text(statement.get("impact_statement"), statement.get("action_statement"), statement.get("status_notes")),
            _text(statement.get("last_updated")) or _text(statement.get("timestamp")) or said_at,
        )


def _parts(product: Any) -> list[Any]:
    return _list(_dict(product).get("subcomponents")) or [product]


def _names_of(part: Any) -> Iterator[Any]:
    """Every text by which OpenVEX names a product: its id, or its identifiers."""
    if not isinstance(part, dict):
        yield part
        return
    yield part.get("@id")
    yield _dict(part.get("identifiers")).get("purl")


# -- CycloneDX ---------------------------------------------------------------------------------------------------------


def _read_cyclonedx(document: dict[str, Any]) -> Iterator[VexStatement]:
    by_ref: dict[str, Any] = {}
    todo = [*_list(document.get("components")), _dict(document.get("metadata")).get("component")]
    while todo:
        component = _dict(todo.pop())
        todo += _list(component.get("components"))
        if isinstance(component.get("bom-ref"), str):
            by_ref[component["bom-ref"]] = component.get("purl")
    for vulnerability in map(_dict, _list(document.get("vulnerabilities"))):
        analysis = _dict(vulnerability.get("analysis"))
        if not analysis.get("state"):
            continue
        others = (_dict(reference).get("id") for reference in _list(vulnerability.get("references")))
        refs = [_dict(affected).get("ref") for affected in _list(vulnerability.get("affects"))]
        yield VexStatement(
            tuple(i for i in (vulnerability.get("id"), *others) if isinstance(i, str) and i),
            _purls(name for ref in refs if isinstance(ref, str) for name in _names_of_ref(ref, by_ref)),
            _OF_CYCLONEDX.get(_text(analysis["state"]), _text(analysis["state"])),
            _text(analysis.get("justification")),
            _text(analysis.get("detail")),
            _text(analysis.get("lastUpdated")) or _text(vulnerability.get("updated")),
        )


def _names_of_ref(ref: str, by_ref: dict[str, Any]) -> tuple[Any, ...]:
    """What a reference may mean: a component of the document, a package URL, or one in a link to another document."""
    return by_ref.get(ref), ref, unquote(ref.partition("#")[2])


# -- CSAF --------------------------------------------------------------------------------------------------------------


def _read_csaf(document: dict[str, Any]) -> Iterator[VexStatement]:
    tracking = _dict(document["document"].get("tracking"))
    said_at = _text(tracking.get("current_release_date"))
    purls = _products_of_csaf(_dict(document.get("product_tree")))
    for vulnerability in map(_dict, _list(document.get("vulnerabilities"))):
        others = (_dict(other).get("text") for other in _list(vulnerability.get("ids")))
        ids = tuple(i for i in (vulnerability.get("cve"), *others) if isinstance(i, str) and i)
        for word, products in _dict(vulnerability.get("product_status")).items():
            if word not in _OF_CSAF:  # "recommended" says nothing of the vulnerability
                continue
            for product_id in filter(lambda p: isinstance(p, str), _list(products)):
                yield VexStatement(
                    ids,
                    purls.get(product_id, ()),
                    _OF_CSAF[word],
                    _said_of(vulnerability.get("flags"), product_id, "label"),
                    _said_of(vulnerability.get("threats"), product_id, "details"),
                    said_at,
                )


def _said_of(entries: Any, product_id: str, field: str) -> str:
    """What the first entry on a product says."""
    for entry in map(_dict, _list(entries)):
        if product_id in _list(entry.get("product_ids")):
            return _text(entry.get(field))
    return ""


def _products_of_csaf(tree: dict[str, Any]) -> dict[str, tuple[PackageURL, ...]]:
    """The package URLs of each product; one that is installed in another is known by its own."""
    found: dict[str, tuple[PackageURL, ...]] = {}
    todo: list[Any] = [tree]
    while todo:
        node = _dict(todo.pop())
        todo += _list(node.get("branches"))
        for product in (node.get("product"), *_list(node.get("full_product_names"))):
            _add_product(_dict(product), (), found)
    for relation in map(_dict, _list(tree.get("relationships"))):
        own = found.get(_text(relation.get("product_reference")), ())
        _add_product(_dict(relation.get("full_product_name")), own, found)
    return found


def _add_product(
    product: dict[str, Any], inherited: tuple[PackageURL, ...], found: dict[str, tuple[PackageURL, ...]]
) -> None:
    helper = _dict(product.get("product_identification_helper"))
    if isinstance(product.get("product_id"), str):
        found[product["product_id"]] = _purls((helper.get("purl"), *_list(helper.get("purls")))) or inherited


__all__ = ["VexDocument", "VexStatement", "read_vex"]
