"""`purl-cpe`: package URLs to CPE products: a table (purl, cpe_part:vendor:product) and syft's index as JSON.

Source: the files themselves; package-url specification (type and name normalization).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import cpe, unpack
from antivenom.core.feeds.entry import (
    Beginning,
    EntryError,
    JsonObject,
    ProductEntry,
    Reading,
    SetAside,
    mapping,
    texts,
)
from antivenom.core.feeds.purls import package_name, parse_purl

KIND = "purl-cpe"
TITLE = "Package URLs to CPE products"
TABLE = "product"
USUAL_LOCATION = ""

SHORTEST_CPE_COLONS = 4  # cpe:2.3:part:vendor:product
COLUMNS = ("purl", "cpe_part:vendor:product")
# syft's index names ecosystems its own way.
SYFT_ECOSYSTEMS = {
    "pypi": "pypi",
    "npm": "npm",
    "rust_crates": "cargo",
    "rubygems": "gem",
    "go_modules": "golang",
    "php_composer": "composer",
    "php_pear": "pear",
    "php_pecl": "pecl",
    "jenkins_plugins": "jenkins",
    "wordpress_plugins": "wordpress",
    "wordpress_themes": "wordpress-theme",
}


def recognizes(beginning: Beginning) -> bool:
    """Whether a file begins with a table of package URLs and CPE products, or is syft's index."""
    return _is_header(beginning.first_line) or _is_syft_index(beginning.entry)


def _is_syft_index(entry: JsonObject) -> bool:
    return bool(entry) and entry.keys() <= SYFT_ECOSYSTEMS.keys() and all(isinstance(v, dict) for v in entry.values())


def _is_header(first_line: str) -> bool:
    return first_line.lower().replace(" ", "").split("\t")[:1] == ["purl"]


def read(member: unpack.Member, reading: Reading) -> Iterator[ProductEntry | SetAside]:
    """The products of every package URL, once each.

    Raises:
        InvalidInputError: It is no such map.
    """
    del reading
    found: dict[tuple[str, str], dict[str, None]] = {}
    is_json = member.head().removeprefix(unpack.BYTE_ORDER_MARK).lstrip()[:1] == b"{"
    for entry in _syft_entries(member) if is_json else _table_entries(member):
        if isinstance(entry, SetAside):
            yield entry
        else:
            found.setdefault((entry.ecosystem, entry.name), {}).update(dict.fromkeys(entry.products))
    for (ecosystem, name), products in found.items():
        yield ProductEntry(ecosystem, name, tuple(products))


def _table_entries(member: unpack.Member) -> Iterator[ProductEntry | SetAside]:
    for number, raw in unpack.lines(member):
        line = raw.decode("utf-8", "replace")
        if number == 1:
            if not _is_header(line):
                raise InvalidInputError(
                    f"{member.name} is not a map of package URLs to CPE products",
                    hint=f"its first line has to be {' <tab> '.join(COLUMNS)}",
                )
            continue
        if not line.strip():
            continue
        try:
            yield parse_row(line)
        except EntryError as error:
            yield SetAside(f"{member.name} line {number}", str(error))


def parse_row(line: str) -> ProductEntry:
    """One row: a package URL without version, a tab, and `part:vendor:product` texts between spaces.

    Raises:
        EntryError: The package URL or every product is malformed.
    """
    purl, _, listed = line.partition("\t")
    ecosystem, name = parse_purl(purl.strip())
    products = tuple(dict.fromkeys(p for item in listed.split() if (p := product_of(item))))
    if not products:
        raise EntryError(f"{purl[:100]}: names no application's CPE product")
    return ProductEntry(ecosystem, name, products)


def product_of(item: str) -> str:
    """ "vendor:product" of an application (or operating system) part; "" for hardware and for what is no product.

    A whole CPE 2.3 name will do, and the beginning of one.
    """
    if item.startswith("cpe:2.3:"):
        named = cpe.parse_name(item + ":*" if item.count(":") == SHORTEST_CPE_COLONS else item)
        return cpe.package_of(named) if named is not None and named.part in ("a", "o") else ""
    part, _, product = item.lower().partition(":")
    vendor, _, name = product.partition(":")
    return product if part in ("a", "o") and vendor and name else ""


def _syft_entries(member: unpack.Member) -> Iterator[ProductEntry | SetAside]:
    for label, raw in unpack.entries(member):
        try:
            if isinstance(raw, EntryError):
                raise raw
            index = msgspec.json.decode(raw)
        except (EntryError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            yield SetAside(label, str(error))
            continue
        if not isinstance(index, dict) or not _is_syft_index(index):
            raise InvalidInputError(
                f"{member.name} is not a map of package URLs to CPE products",
                hint="known forms: a table of purl and cpe_part:vendor:product, and syft's cpe-index.json",
            )
        for syft_name, ecosystem in SYFT_ECOSYSTEMS.items():
            for name, criteria in mapping(index.get(syft_name)).items():
                parsed = [c for c in map(cpe.parse_name, texts(criteria)) if c is not None and c.part == "a"]
                if parsed:
                    own = package_name(ecosystem, name)
                    yield ProductEntry(ecosystem, own, tuple(dict.fromkeys(c.product for c in parsed)))
