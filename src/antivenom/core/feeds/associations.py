"""Package URLs and CPE products as published for conda packages: records by conda name, each with `purl`,
`alternative_purls` and `cpes`, and with who reviewed them. A form of the kind `name-map`.

What people or two sources confirmed counts as a name. What nobody confirmed is a suggestion, and only where the names
are equal: recipes also name the sources of what they vendor (conda's airss is not spglib).

Source: prefix-dev/purl-associator, README ("Data model", "Published identity provenance contract"); package-url
specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from antivenom.core.feeds.entry import EntryError, JsonObject, NameEntry, SetAside, mapping, mappings, text
from antivenom.core.feeds.purl_cpe import product_of
from antivenom.core.feeds.purls import ecosystem_of, parse_purl
from antivenom.core.matching.identity import ECOSYSTEM_OF_PURL, SUGGESTED

USUAL_CHANNEL = "conda-forge"
CONFIRMED = {"verified", "auto-verified", "edited"}
ECOSYSTEMS = {*ECOSYSTEM_OF_PURL.values(), "git", "bioconductor", "cpe"}
CONDA_NAME = re.compile(r"[a-z0-9_][a-z0-9_.+-]{0,127}")
NAME_MAX_CHARACTERS = 300
IDENTITIES_MAX = 200  # of one record
SEPARATORS = re.compile(r"[-_.]+")


class _Said(NamedTuple):
    """One purl or CPE name, and whether somebody confirmed it."""

    value: str
    is_confirmed: bool


def is_record(entry: JsonObject) -> bool:
    """Whether a JSON object is a record of one conda package."""
    return isinstance(entry.get("name"), str) and bool({"cpes", "alternative_purls"} & entry.keys() or _has_purl(entry))


def is_document(entry: JsonObject) -> bool:
    """Whether a JSON object has records by conda name."""
    records = list(mapping(entry.get("packages")).values())[:50]
    return bool(records) and any(map(_is_unnamed_record, records)) and "schema_version" in entry


def _is_unnamed_record(value: object) -> bool:
    record = mapping(value)
    return bool({"cpes", "alternative_purls"} & record.keys()) or _has_purl(record)


def _has_purl(record: JsonObject) -> bool:
    return "purl" in record and {"status", "pkg_name", "confidence"} & record.keys() != set()


def read_document(label: str, document: JsonObject) -> Iterator[NameEntry | SetAside]:
    """The names of every record of a document, and what of it cannot be used."""
    channel = text(document.get("channel"), 100) or USUAL_CHANNEL
    author = text(document.get("author"), 100)  # of a contribution, whose records have no status of their own
    for name, record in mapping(document.get("packages")).items():
        yield from read_record(f"{label}: {name[:80]}", name, record, channel, author)


def read_record(
    label: str, conda_name: str, record: object, channel: str = USUAL_CHANNEL, author: str = ""
) -> Iterator[NameEntry | SetAside]:
    """The names of one record, an entry of each ecosystem; a record that names nothing gives nothing."""
    conda_name = conda_name.strip().lower()
    if not isinstance(record, dict) or not CONDA_NAME.fullmatch(conda_name):
        wrong = (
            "is not an object" if not isinstance(record, dict) else f"{conda_name[:80]!r} is not a conda package name"
        )
        yield SetAside(label, wrong)
        return
    found: dict[str, dict[str, None]] = {}
    for said in _identities(record, author):
        try:
            ecosystem, name = _name(said.value)
        except EntryError as error:
            yield SetAside(label, str(error))
            continue
        if ecosystem not in ECOSYSTEMS:
            continue
        if not said.is_confirmed:
            if ecosystem == "pypi" or not _are_equal(conda_name, name):
                continue
            ecosystem = SUGGESTED + ecosystem
        found.setdefault(ecosystem, {})[name] = None
    for ecosystem, names in found.items():
        yield NameEntry(channel, conda_name, ecosystem, tuple(names))


def _identities(record: JsonObject, author: str) -> Iterator[_Said]:
    """What a record names: by its `identities`, each with its own review, else by the fields of older records."""
    listed = list(mappings(record.get("identities")))[:IDENTITIES_MAX]
    for identity in listed:
        review = mapping(mapping(identity.get("provenance")).get("review"))
        is_primary = identity.get("role") != "alternative"
        confirmed = is_primary and _is_confirmed(text(review.get("status"), 40), text(review.get("reviewer"), 100))
        yield _Said(text(identity.get("value"), NAME_MAX_CHARACTERS), confirmed)
    if listed:
        return
    status = text(record.get("status"), 40) or ("verified" if author else "")
    confirmed = _is_confirmed(status, text(record.get("approved_by"), 100) or author)
    if purl := text(record.get("purl"), NAME_MAX_CHARACTERS):
        yield _Said(purl, confirmed)
    for other in _list(record.get("alternative_purls")):
        value = text(mapping(other).get("purl"), NAME_MAX_CHARACTERS) or text(other, NAME_MAX_CHARACTERS)
        yield _Said(value, False)
    for criteria in _list(record.get("cpes")):
        yield _Said(text(criteria, NAME_MAX_CHARACTERS), confirmed)


def _list(value: object) -> list[object]:
    return value[:IDENTITIES_MAX] if isinstance(value, list) else []


def _is_confirmed(status: str, reviewer: str) -> bool:
    """Whether somebody else than the machine that proposed it confirmed it."""
    return status in CONFIRMED and not reviewer.endswith(("-pipeline", "[bot]"))


def _name(value: str) -> tuple[str, str]:
    """(ecosystem, name) of a package URL or a CPE name.

    Raises:
        EntryError: It is neither.
    """
    if value.startswith("cpe:"):
        product = product_of(value)
        if not product:
            raise EntryError(f"{value[:100]!r} names no application's CPE product")
        return "cpe", product
    return ecosystem_of(*parse_purl(value))


def _are_equal(conda_name: str, name: str) -> bool:
    """Whether names are equal but for how words are put together; `lib` in front of a conda name does not count."""
    own, other = (SEPARATORS.sub("-", n.lower()) for n in (conda_name, re.split("[/:]", name)[-1]))
    return other in (own, own.removeprefix("lib"))
