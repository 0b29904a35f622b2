"""What a component is called where advisories are written: its identities, each with a reason and a confidence.

A conda record is tied to an advisory's package by, best first: the purl on the record, a name map made from artifact
contents, the curated names (core/matching/knowledge.py), rules of naming (`r-…` is CRAN), and at the very end an equal
name. A map that says "not on PyPI" is believed: conda's `redis` is the server, PyPI's `redis` its client.

Source: package-url specification (types, normalization); PEP 503; docs/concepts/finding.md.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from packageurl import PackageURL

from antivenom.core.matching.advisories import Confidence
from antivenom.core.matching.knowledge import CORRECTIONS, PACKAGING_WORDS, Alias, Knowledge, is_not_id
from antivenom_client.names import normalize_python, products_of_equal_name

PURL_MAX_CHARACTERS = 1_000
UNNAMED_VENDOR = "n_a"  # of products of CVE records whose vendor is "n/a"
RENAMED_MAX = 4  # more projects in one record than this are a bundle, and no project that was renamed
ECOSYSTEM_OF_PURL = {
    "pypi": "pypi",
    "cran": "cran",
    "npm": "npm",
    "golang": "go",
    "cargo": "crates.io",
    "julia": "julia",
    "bitnami": "bitnami",
    "gem": "rubygems",
    "maven": "maven",
    "nuget": "nuget",
    "hex": "hex",
    "composer": "packagist",
}
SUGGESTED = "suggested:"  # in front of the ecosystem of names that nobody confirmed
DISTRIBUTION_PURLS = {"deb", "rpm", "apk", "alpm", "ebuild", "bitbucket", "docker", "oci"}
_SEPARATORS = re.compile(r"[-_.]+")


class Identity(msgspec.Struct, frozen=True):
    """One name of a component in one ecosystem.

    `ecosystem`/`name` as in AffectedPackage. `version` is set when the purl on a record gives its own. `is_guess`:
    only an equal name; it counts when an advisory knows the name and says nothing otherwise.
    """

    ecosystem: str
    name: str
    confidence: Confidence
    reason: str
    version: str = ""
    is_guess: bool = False
    is_part: bool = False  # the component is but a part of what is named: libpq of PostgreSQL
    is_native: bool = False  # the component is the C or C++ one of implementations in several languages
    is_fallback: bool = False  # only for vulnerabilities that no advisory of the component's own ecosystem covers
    ignored_by: str = ""  # the row of knowledge that sets aside what only this name ties to the component
    target: str = ""  # the target software that a map of products names beside the product

    @property
    def is_correction(self) -> bool:
        """Whether it is the conda package itself, of which a row of knowledge speaks (knowledge.Affected)."""
        return self.ecosystem == CORRECTIONS

    @property
    def is_vague(self) -> bool:
        """Whether what is told of the name need not be of the component."""
        return self.is_part or self.is_native or self.is_fallback

    @property
    def key(self) -> str:
        return f"{self.ecosystem}/{self.name}"


class NameMaps(msgspec.Struct, frozen=True):
    """The maps that feeds brought.

    `conda`: conda name → channel ("" for any) → ecosystem → names; an empty list says: in no package of that ecosystem.
    `SUGGESTED` stands before the ecosystem of names that nobody confirmed.
    `products`: "type/name" of a purl → CPE products ("vendor:product").
    """

    conda: Mapping[str, dict[str, dict[str, tuple[str, ...]]]] = {}
    products: Mapping[str, tuple[str, ...]] = {}


def join_maps(
    names: Iterable[tuple[str, str, str, Sequence[str]]], products: Iterable[tuple[str, str, Sequence[str]]]
) -> NameMaps:
    """The maps of all feeds in one; what several feeds say of a name is put together.

    Args:
        names: (conda name, channel or "", ecosystem, names there), feed by feed.
        products: (purl type, namespace and name, CPE products), feed by feed.
    """
    conda: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {}
    for conda_name, channel, ecosystem, listed in names:
        by_ecosystem = conda.setdefault(conda_name, {}).setdefault(channel, {})
        by_ecosystem[ecosystem] = tuple(dict.fromkeys((*by_ecosystem.get(ecosystem, ()), *listed)))
    joined: dict[str, tuple[str, ...]] = {}
    for ecosystem, name, listed in products:
        key = f"{ecosystem}/{name}"
        joined[key] = tuple(dict.fromkeys((*joined.get(key, ()), *listed)))
    return NameMaps(conda, joined)


class Identities(msgspec.Struct, frozen=True):
    """The names found, best first and each once; `missing` says in words why there may be no more."""

    names: tuple[Identity, ...]
    missing: str = ""


def identify_conda(name: str, purls: Sequence[str], channel: str, maps: NameMaps, knowledge: Knowledge) -> Identities:
    """The identities of a conda record.

    Args:
        channel: The upstream's name ("conda-forge"), or "" when unknown; maps are kept by channel.
    """
    found: dict[str, Identity] = {}

    def add(identity: Identity) -> None:
        found.setdefault(identity.key, identity)

    for purl in purls:
        for identity in identify_purl(purl, maps, knowledge).names:
            if identity.ecosystem != "conda":
                add(msgspec.structs.replace(identity, reason=f"purl on the record: {purl}"))
    mapped = _mapped_names(name, channel, maps)
    is_python = any(i.ecosystem == "pypi" for i in found.values())
    if not is_python and mapped is not None:
        for identity in _from_map(name, *mapped, knowledge):
            add(identity)
            is_python = True
    alias = knowledge.names.get(name)
    if alias is not None:
        for identity in _from_alias(name, alias):
            add(identity)
    if not is_python and mapped is None and (python := knowledge.python_names.get(name)) is not None:
        reason = f"curated: conda {name} is PyPI {python}"
        add(Identity("pypi", python, Confidence.medium, reason))
        is_python = True
    for identity in _renamed(name, list(found.values()), knowledge):
        add(identity)
    if name.startswith("r-") and len(name) > 2 and alias is None:  # r-base is R itself
        add(Identity("cran", name[2:], Confidence.high, f"conda-forge names CRAN's {name[2:]} {name}"))
    elif name.startswith("bioconductor-"):
        add(Identity("bioconductor", name[13:], Confidence.high, f"conda names Bioconductor's {name[13:]} {name}"))
    if alias is None:
        for identity in _associated(name, channel, is_python=is_python, maps=maps):
            add(identity)
    is_known = mapped is not None or alias is not None
    for identity in _guesses(name, list(found.values()), is_python, is_known, maps, knowledge):
        add(identity)
    for key in knowledge.not_names.get(name, ()):
        if (wrong := found.get(key)) is not None:
            found[key] = msgspec.structs.replace(wrong, ignored_by=is_not_id(name, key))
    if name in knowledge.affected:
        add(Identity(CORRECTIONS, name, Confidence.medium, f"corrected: what rows of knowledge say of conda {name}"))
    return Identities(tuple(found.values()), _missing(name, mapped, maps))


def _mapped_names(name: str, channel: str, maps: NameMaps) -> tuple[str, tuple[str, ...]] | None:
    """(channel of the map, PyPI names) of a conda name; None when no map has it. The own channel's map goes first."""
    rows = maps.conda.get(name)
    if rows is None:
        return None
    for candidate in (channel, "", "conda-forge", "main", *rows):
        names = rows.get(candidate, {}).get("pypi")
        if names is not None:
            return candidate, names
    return None


def _associated(name: str, channel: str, *, is_python: bool, maps: NameMaps) -> list[Identity]:
    """The names in other registries and in CPE that a map associates; curated names go before all of them."""
    rows = maps.conda.get(name, {})
    row_channel = next(
        (c for c in (channel, "", "conda-forge", "main", *rows) if rows.get(c, {}).keys() - {"pypi"}), None
    )
    if row_channel is None:
        return []
    told = f"associations of {row_channel or 'any channel'}: conda {name} is "
    found: list[Identity] = []
    for listed, names in sorted(rows[row_channel].items()):
        ecosystem = listed.removeprefix(SUGGESTED)
        if ecosystem == "pypi":
            continue
        is_suggested = listed != ecosystem
        what = "CPE product" if ecosystem == "cpe" else ecosystem
        found += [
            Identity(
                ecosystem,
                other,
                Confidence.low if is_suggested else Confidence.medium,
                f"{told}{what} {other}" + (", which nobody confirmed" if is_suggested else ""),
                is_fallback=is_suggested or (is_python and ecosystem == "cpe"),
            )
            for other in names
        ]
    return found


def _from_map(name: str, channel: str, names: tuple[str, ...], knowledge: Knowledge) -> list[Identity]:
    """The mapped projects whose version the record's version can be.

    A record that bundles several projects (ray-core vendors aiohttp) has the version of the one it is named after. One
    with few names was renamed: it has the metadata of both (dspy-ai and dspy), and advisories name either.
    """
    idle = knowledge.words.get(PACKAGING_WORDS, ())
    own = names if len(names) == 1 else [n for n in names if _is_named_after(name, n, idle)]
    exact = [n for n in own if normalize_python(name) == n]
    if len(own) > 1 and exact and len(names) > RENAMED_MAX:
        own = [n for n in own if n in exact or f"-{exact[0]}" in f"-{n}"]
    return [Identity("pypi", n, Confidence.high, _map_reason(name, channel, n)) for n in own]


def _renamed(name: str, found: Sequence[Identity], knowledge: Knowledge) -> list[Identity]:
    """The other names of PyPI projects that were renamed, or absorbed by one that counts their releases on."""
    return [
        Identity("pypi", other, Confidence.medium, f"curated: PyPI {i.name}, conda {name}, is released as {other} too")
        for i in found
        if i.ecosystem == "pypi" and i.confidence is not Confidence.exact and not i.is_guess
        for other in knowledge.renamed.get(i.name, ())
    ]


def _map_reason(name: str, channel: str, python: str) -> str:
    return (
        f"name map of {channel}: conda {name} is PyPI {python}"
        if channel
        else f"name map: conda {name} is PyPI {python}"
    )


class PlainIdentity(NamedTuple):
    """A conda name that the name map alone speaks of: keys "ecosystem/name" to look up, `own` "" for none."""

    own: str
    guessed: tuple[str, ...]
    reason: str


def identify_plainly(name: str, channel: str, maps: NameMaps, knowledge: Knowledge) -> PlainIdentity | None:
    """What `identify_conda` says of a record without purls, at a tenth of the price; None when it has more to say."""
    if name in knowledge.names or name.startswith(("r-", "bioconductor-")):
        return None
    if name in knowledge.not_names or name in knowledge.affected:
        return None
    mapped = _mapped_names(name, channel, maps)
    if mapped is None or len(mapped[1]) > 1:
        return None
    associated = _associated_keys(name, maps)
    if not mapped[1]:
        if associated:
            return None
        guessed = (f"conda/{name}", *(f"cpe/{p}" for p in products_of_equal_name(name)))
        return PlainIdentity("", guessed, _missing(name, mapped, maps))
    python = mapped[1][0]
    if python in knowledge.renamed:
        return None
    products = maps.products.get(f"pypi/{python}", ())
    guessed = (f"conda/{name}", *(f"cpe/{split_target(p)[0]}" for p in products), *associated)
    return PlainIdentity(f"pypi/{python}", guessed, _map_reason(name, mapped[0], python))


def _associated_keys(name: str, maps: NameMaps) -> list[str]:
    """What any channel's map associates with a name besides PyPI, as keys to look up."""
    return [
        f"{ecosystem.removeprefix(SUGGESTED)}/{other}"
        for row in maps.conda[name].values()
        if len(row) > 1 or "pypi" not in row
        for ecosystem, names in row.items()
        if ecosystem != "pypi"
        for other in names
    ]


def _is_named_after(conda_name: str, python_name: str, idle: Sequence[str]) -> bool:
    """Whether a conda name is made from a project's name (py-opencv from opencv-python; ray-core from ray alone).

    `idle` words say how a project was packaged, not which project it is.
    """
    conda_words = [w for w in _SEPARATORS.split(conda_name.lower()) if w not in idle]
    python_words = [w for w in _SEPARATORS.split(python_name) if w not in idle]
    if not conda_words or not python_words:
        return normalize_python(conda_name) == python_name
    stems = {conda_words[0], conda_words[0].removeprefix("lib"), conda_words[0].removeprefix("py")}
    return any(
        w == s or (len(s) > 3 and w.startswith(s)) or (len(w) > 3 and s.startswith(w))
        for w in python_words
        for s in stems
    )


def _from_alias(name: str, alias: Alias) -> list[Identity]:
    reason = f"curated: conda {name} is "
    named = [("cpe", p, f"CPE product {p}") for p in alias.products] + [(e, n, f"{e} {n}") for e, n in alias.packages]
    found = [Identity(e, n, Confidence.medium, reason + title, is_native=alias.is_native) for e, n, title in named]
    found += [
        Identity("cpe", p, Confidence.low, f"{reason}a part of CPE product {p}", is_part=True) for p in alias.wholes
    ]
    return found


def spellings(name: str, alias: Alias) -> dict[str, tuple[str, bool]]:
    """The products of a curated conda package as other sources may spell them: the curated one of each, and whether
    it is surely that.

    The same vendor with - or _ otherwise, or with the conda name as its product, is the project. A vendor that is not
    named (n/a), or called like the product, may be another one.
    """
    surely: dict[str, tuple[str, bool]] = {}
    perhaps: dict[str, tuple[str, bool]] = {}
    for product in alias.products:
        vendor, _, title = product.partition(":")
        vendors = dict.fromkeys((vendor, vendor.replace("-", "_"), vendor.replace("_", "-")))
        titles = (title, title.replace("-", "_"), title.replace("_", "-"), re.sub("[-_]", "", title), name)
        for key in (f"{v}:{t}" for v in vendors for t in dict.fromkeys(titles)):
            surely.setdefault(key, (product, True))
        for key in (f"{v}:{title}" for v in (UNNAMED_VENDOR, title, f"{title}_project")):
            perhaps.setdefault(key, (product, False))
    return perhaps | surely


def spelt_otherwise(name: str, alias: Alias, is_named: Container[str], curated: Container[str]) -> list[Identity]:
    """The identities of a curated conda package under other spellings that an advisory names.

    Args:
        is_named: Keys ("cpe/vendor:product") that advisories name.
        curated: Products that a row of names names.
    """
    found = []
    for key, (product, is_sure) in spellings(name, alias).items():
        if key not in curated and f"cpe/{key}" in is_named:
            reason = f"curated: conda {name} is CPE product {product}, {'also spelt' if is_sure else 'perhaps'} {key}"
            confidence = Confidence.medium if is_sure else Confidence.low
            found.append(Identity("cpe", key, confidence, reason, is_guess=not is_sure, is_native=alias.is_native))
    return found


def _guesses(
    name: str, found: list[Identity], is_python: bool, is_known: bool, maps: NameMaps, knowledge: Knowledge
) -> list[Identity]:
    """What only a CPE map or an equal name suggests; low confidence."""
    guesses: list[Identity] = []
    python_names = [i.name for i in found if i.ecosystem == "pypi"]
    for python in python_names:
        for product in maps.products.get(f"pypi/{python}", ()):
            reason, rule = f"CPE map: PyPI {python} is {product}", _product_rule(product, knowledge)
            guesses.append(_product_identity(product, reason, is_fallback=True, ignored_by=rule))
    if any(i.ecosystem in ("cpe", "cran", "bioconductor") and not i.is_fallback for i in found):
        return guesses
    if not is_python and not is_known:
        python = normalize_python(name)
        guesses.append(Identity("pypi", python, Confidence.low, f"equal name: PyPI {python}", is_guess=True))
    if not is_python:
        for product in products_of_equal_name(name):
            reason = f"equal name: CPE product {product}"
            guesses.append(Identity("cpe", product, Confidence.low, reason, is_guess=True))
    return guesses


def split_target(product: str) -> tuple[str, str]:
    """A CPE product without its target software, and that: "github:cli@go" is of "github:cli" for "go".

    The product may have "cpe/" before it, as matching's keys do.
    """
    if "@" not in product:
        return product, ""
    name, _, target = product.rpartition("@")
    return (product, "") if name.endswith(":") else (name, target)  # "acme:@scope/name" is a name as it stands


def _product_identity(
    product: str, reason: str, *, version: str = "", is_fallback: bool, ignored_by: str = ""
) -> Identity:
    """The identity of a product that a map suggests; it may name target software ("vendor:product@target")."""
    name, target = split_target(product)
    return Identity(
        "cpe", name, Confidence.low, reason, version, is_fallback=is_fallback, ignored_by=ignored_by, target=target
    )


def _product_rule(product: str, knowledge: Knowledge) -> str:
    """The row that sets a suggested product aside for its name's last word (protobuf-java); "" when none does."""
    _, *words = re.split("[-_]", product)
    for row_id, rule in knowledge.ignore.items() if words else ():
        if rule.looks_at == "product" and words[-1] in rule.words:
            return row_id
    return ""


def _missing(name: str, mapped: tuple[str, tuple[str, ...]] | None, maps: NameMaps) -> str:
    if mapped is not None and not mapped[1]:
        told = "the name map says it is not on PyPI"
        return f"no advisory source knows conda package {name}: {told} and it has no CPE product"
    if mapped is not None:
        return (
            f"no advisory source knows conda package {name}: it bundles PyPI projects under other names and versions "
            f"({', '.join(mapped[1][:5])}) and has no CPE product"
        )
    told = "it is not in the name map" if maps.conda else "no name map is loaded"
    return f"no advisory source knows conda package {name}: {told} and it has no CPE product"


def parse_purl(text: str) -> PackageURL | None:
    """A package URL, its scheme in any case; None when it is not one."""
    if len(text) > PURL_MAX_CHARACTERS:
        return None
    if text[:4].lower() == "pkg:":
        text = f"pkg:{text[4:]}"
    try:
        return PackageURL.from_string(text)
    except ValueError:
        return None


def identify_purl(text: str, maps: NameMaps, knowledge: Knowledge) -> Identities:
    """The identities of a package URL; its version, when it has one, is each identity's own."""
    purl = parse_purl(text)
    if purl is None:
        return Identities((), f"{text[:200]!r} is not a package URL")
    kind, version = purl.type, purl.version or ""
    name = f"{purl.namespace}/{purl.name}" if purl.namespace else purl.name
    if kind == "conda":
        return Identities((Identity("conda", purl.name.lower(), Confidence.exact, "conda purl", version),))
    found: list[Identity] = []
    if (ecosystem := ECOSYSTEM_OF_PURL.get(kind)) is not None:
        own = normalize_python(name) if kind == "pypi" else name
        if kind == "maven" and purl.namespace:
            own = f"{purl.namespace}:{purl.name}"
        if ecosystem == "npm":
            own = own.lower()
        found.append(Identity(ecosystem, own, Confidence.exact, f"purl: {text}", version))
        name = own
    elif kind in DISTRIBUTION_PURLS:
        reason = f"packages of type {kind} carry their distributor's own patches; no source for them is read"
        return Identities((), reason)
    found += _purl_products(kind, name, version, text, maps, knowledge)
    return Identities(tuple(found), f"no advisory source knows {text.split('@')[0].split('?')[0]}")


def _purl_products(
    kind: str, name: str, version: str, text: str, maps: NameMaps, knowledge: Knowledge
) -> list[Identity]:
    """CPE products of a purl: by the curated names for what has no ecosystem of its own, else by the map."""
    found: list[Identity] = []
    alias = knowledge.names.get(name.rsplit("/", 1)[-1].lower())
    if alias is not None and kind in ("generic", "github", "conan", "brew"):
        found += [
            msgspec.structs.replace(i, version=version, reason=i.reason.replace("conda ", "", 1))
            for i in _from_alias(name, alias)
        ]
    has_own = kind in ECOSYSTEM_OF_PURL
    for product in maps.products.get(f"{kind}/{name}", ()):
        reason = f"CPE map: {text.split('@')[0]} is {product}"
        if not any(i.name == product for i in found):
            found.append(_product_identity(product, reason, version=version, is_fallback=has_own))
    return found
