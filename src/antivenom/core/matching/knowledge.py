"""What people know and no feed says: names, affected releases, and rules that set findings aside.

It comes as data: the files of `src/antivenom/knowledge/`, and feeds of the same kind that extend and override them
(core/feeds/knowledge.py reads both). Every row has an id, "table/key"; of rows with one id the last one counts.

Source: docs/adr/0018-knowledge-is-a-feed.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, TypeVar

import msgspec

from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange

CURATED = "curated"  # the source that evidence of releases names
NAMES, PYTHON_NAMES, RENAMED, RELEASES, IGNORE, VERSIONS, WORDS, SPEAKERS, PARTS, METAPACKAGES, MALWARE, PLATFORMS = (
    "names", "python-names", "renamed", "releases", "ignore", "versions", "words", "speakers", "parts", "metapackages",
    "malware", "platforms",
)  # fmt: skip
TOLD, IS_NOT, AFFECTED = "platform-words", "is-not", "affected"
CORRECTIONS = "corrections"  # the ecosystem of what rows of knowledge say of single conda packages
PACKAGING_WORDS = "packaging"

AppliesTo = Literal["part", "native", "suggested", "guessed", "any"]
LooksAt = Literal["summary", "product", "range", "target", "ecosystem"]
MalwareSign = Literal["cwe", "title", "summary"]


T = TypeVar("T")


class Alias(msgspec.Struct, frozen=True, tag="name"):
    """What one conda package is called elsewhere; the id's key is its conda name.

    `products`: CPE products ("vendor:product"). `packages`: (ecosystem, name) pairs. `wholes`: products that it is only
    a part of. `is_native`: it is the C or C++ one of a project's implementations in several languages.
    """

    products: tuple[str, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    wholes: tuple[str, ...] = ()
    is_native: bool = False


class PythonName(msgspec.Struct, frozen=True, tag="python-name"):
    """The PyPI project of a conda package, for when no name map is loaded; the id's key is the conda name."""

    name: str


class Renamed(msgspec.Struct, frozen=True, tag="renamed"):
    """A PyPI project that is released under another name since; the id's key is the old one.

    Releases are counted on, so that advisories of either name are about both.
    """

    name: str


class Release(msgspec.Struct, frozen=True, tag="release"):
    """The releases of a product ("vendor:product") that one vulnerability affects, as the project itself says."""

    product: str
    vulnerability: str
    ranges: tuple[AffectedRange, ...]


class IsNot(msgspec.Struct, frozen=True, tag="is-not"):
    """A name that is not that of a conda package, whatever maps say; the id's key is "CONDA/ECOSYSTEM/NAME".

    What only this name ties to the package is set aside.
    """

    conda: str
    name: str  # "pypi/redis", "cpe/vendor:product"
    reason: str


class Affected(msgspec.Struct, frozen=True, tag="affected"):
    """The releases of one conda package that a vulnerability affects, whatever advisories say; none for no release.

    The id's key is "CONDA/VULNERABILITY".
    """

    conda: str
    vulnerability: str
    ranges: tuple[AffectedRange, ...]
    reason: str


class IgnoreRule(msgspec.Struct, frozen=True, tag="ignore"):
    """Sets findings aside of components that were tied to an advisory in one way; see knowledge/ignore.tsv."""

    applies_to: AppliesTo
    looks_at: LooksAt
    words: tuple[str, ...]
    unless: tuple[str, ...]
    reason: str


class VersionRule(msgspec.Struct, frozen=True, tag="version"):
    """The packages ("ecosystem/name", * at its end lets it go on) whose versions end in a count of their own."""

    package: str
    numbers: int


class Speaker(msgspec.Struct, frozen=True, tag="speaker"):
    """The products of which a CNA is the project itself ("vendor:product", * at its end lets it go on).

    The id's key is the CNA's short name, in small letters. A CNA without a row is the project where it has the name of
    the product or of its vendor; one whose row names no product is never heard as the project.
    """

    products: tuple[str, ...]


class Part(msgspec.Struct, frozen=True, tag="part"):
    """How a package that is only a part of its project is told apart; the id's key is its conda name.

    A vulnerability whose descriptions have one of `own` is of the part. Else one with any of `others` is of another
    part. Where neither stands, it is of the part unless `is_rest_other`.
    """

    own: tuple[str, ...]
    others: tuple[str, ...]
    is_rest_other: bool
    reason: str


class Metapackage(msgspec.Struct, frozen=True, tag="metapackage"):
    """A package without files of its own: it only depends on another, whose findings are not repeated for it."""

    depends_on: str


class OnlyOn(msgspec.Struct, frozen=True, tag="platforms"):
    """The platforms (platforms.py) on which alone a vulnerability exists; the id's key is its id."""

    platforms: tuple[str, ...]


class ToldOn(msgspec.Struct, frozen=True, tag="platform-words"):
    """Words of a text which tell that a vulnerability exists on these platforms alone, `unless` others stand there."""

    words: tuple[str, ...]
    unless: tuple[str, ...]
    platforms: tuple[str, ...]


class WordList(msgspec.Struct, frozen=True, tag="words"):
    """Words that matching looks for; the id's key is the list's name."""

    words: tuple[str, ...]


class MalwareRule(msgspec.Struct, frozen=True, tag="malware"):
    """Shows that an advisory is about malware; see knowledge/malware.tsv."""

    looks_at: MalwareSign
    words: tuple[str, ...]
    unless: tuple[str, ...] = ()


Fact = (
    Alias
    | PythonName
    | Renamed
    | Release
    | IgnoreRule
    | VersionRule
    | WordList
    | Speaker
    | Part
    | Metapackage
    | MalwareRule
    | OnlyOn
    | ToldOn
    | IsNot
    | Affected
)


class Knowledge(msgspec.Struct, frozen=True):
    """All facts that count, by what they are about."""

    names: dict[str, Alias] = {}
    python_names: dict[str, str] = {}
    renamed: dict[str, tuple[str, ...]] = {}  # both ways
    releases: tuple[Release, ...] = ()
    ignore: dict[str, IgnoreRule] = {}  # by id
    versions: tuple[VersionRule, ...] = ()
    words: dict[str, tuple[str, ...]] = {}
    speakers: dict[str, tuple[str, ...]] = {}
    parts: dict[str, Part] = {}
    metapackages: dict[str, str] = {}
    malware: dict[str, MalwareRule] = {}  # by id
    platforms: dict[str, tuple[str, ...]] = {}
    told: dict[str, ToldOn] = {}  # by id
    not_names: dict[str, dict[str, str]] = {}  # conda name → "ecosystem/name" → reason
    affected: dict[str, tuple[Affected, ...]] = {}  # by conda name

    def is_project(self, cna: str, product: str) -> bool:
        """Whether a CNA is the project that makes a product ("vendor:product") or has a repository ("github.com/a/b").

        The name of a project's own database of OSV entries (CURL-…) is asked for like a CNA's.
        """
        name = cna.lower().replace(" ", "_")
        listed = self.speakers.get(name)
        if listed is not None:
            return any(product == p or (p.endswith("*") and product.startswith(p[:-1])) for p in listed)
        vendor, _, title = product.partition(":")
        if "/" in product and not title:  # a repository: github.com/curl/curl
            vendor, title = product.rsplit("/", 2)[-2:]
        return _plain(name) in (_plain(vendor), _plain(title))

    def released(self) -> list[Advisory]:
        """What the projects themselves say as advisories of source "curated", one a vulnerability, by id."""
        found: dict[str, list[AffectedPackage]] = {}
        for release in self.releases:
            fixed = tuple(r.fixed for r in release.ranges if r.fixed)
            package = AffectedPackage("cpe", release.product, release.ranges, fixed_versions=fixed)
            found.setdefault(release.vulnerability, []).append(package)
        return [Advisory(name, CURATED, affected=tuple(found[name])) for name in sorted(found)]

    def corrected(self) -> list[Advisory]:
        """What rows say of single conda packages, as advisories of source "curated"."""
        return [
            Advisory(
                row.vulnerability,
                CURATED,
                affected=(
                    AffectedPackage(
                        CORRECTIONS, name, row.ranges, fixed_versions=tuple(r.fixed for r in row.ranges if r.fixed)
                    ),
                ),
            )
            for name, rows in sorted(self.affected.items())
            for row in rows
        ]

    def reasons(self) -> dict[str, str]:
        """Why each row sets aside that does so by its own right: of parts, is-not and affected."""
        found = {part_id(name): part.reason for name, part in self.parts.items()}
        found |= {is_not_id(c, key): why for c, names in self.not_names.items() for key, why in names.items()}
        return found | {
            affected_id(r.conda, r.vulnerability): r.reason for rows in self.affected.values() for r in rows
        }


NOTHING = Knowledge()


def part_id(name: str) -> str:
    """The id of a row of parts."""
    return f"{PARTS}/{name}"


def release_id(product: str, vulnerability: str) -> str:
    """The id of a row of releases."""
    return f"{RELEASES}/{product}/{vulnerability}"


def is_not_id(conda: str, name: str) -> str:
    """The id of a row that says that a name ("ecosystem/name") is not that of a conda package."""
    return f"{IS_NOT}/{conda}/{name}"


def affected_id(conda: str, vulnerability: str) -> str:
    """The id of a row that names the affected releases of one conda package."""
    return f"{AFFECTED}/{conda}/{vulnerability}"


def assemble(layers: Iterable[Iterable[tuple[str, Fact | None]]]) -> Knowledge:
    """Knowledge of several layers of (id, fact): the last that has an id counts, and None switches it off."""
    facts: dict[str, Fact | None] = {}
    for layer in layers:
        facts.update(layer)
    listed = [(row_id, fact) for row_id, fact in sorted(facts.items()) if fact is not None]

    def by_key(kind: type[T]) -> dict[str, T]:
        return {row_id.partition("/")[2]: fact for row_id, fact in listed if isinstance(fact, kind)}

    def by_id(kind: type[T]) -> dict[str, T]:
        return {row_id: fact for row_id, fact in listed if isinstance(fact, kind)}

    renamed: dict[str, tuple[str, ...]] = {}
    for old, fact in by_key(Renamed).items():
        for one, other in ((old, fact.name), (fact.name, old)):
            renamed[one] = (*renamed.get(one, ()), other)
    not_names: dict[str, dict[str, str]] = {}
    for wrong in by_id(IsNot).values():
        not_names.setdefault(wrong.conda, {})[wrong.name] = wrong.reason
    affected: dict[str, tuple[Affected, ...]] = {}
    for row in by_id(Affected).values():
        affected[row.conda] = (*affected.get(row.conda, ()), row)
    return Knowledge(
        names=by_key(Alias),
        python_names={key: fact.name for key, fact in by_key(PythonName).items()},
        renamed=renamed,
        releases=tuple(by_id(Release).values()),
        ignore=by_id(IgnoreRule),
        versions=tuple(by_id(VersionRule).values()),
        words={key: fact.words for key, fact in by_key(WordList).items()},
        speakers={key: fact.products for key, fact in by_key(Speaker).items()},
        parts=by_key(Part),
        metapackages={key: fact.depends_on for key, fact in by_key(Metapackage).items()},
        malware=by_id(MalwareRule),
        platforms={key: fact.platforms for key, fact in by_key(OnlyOn).items()},
        told=by_id(ToldOn),
        not_names=not_names,
        affected=affected,
    )


def _plain(name: str) -> str:
    """A name without what says how it is organized: apache of "apache_software_foundation"."""
    return re.sub(
        r"[^a-z0-9]", "", re.sub(r"(?:_(?:group|project|software|foundation|inc|org|corporation))+\Z", "", name)
    )


class Words:
    """Words to look for in texts.

    A word is found whole; * at its start or end lets it go on there. One in small letters is found in any case. Words
    are literal, so what they cost is linear in the text.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._stems = [word.strip("*").lower() for word in words]
        self._pattern = re.compile("|".join(map(_literal, words)))

    def found_in(self, text: str) -> bool:
        """Whether any of them stands in the text."""
        lowered = text.lower()  # most texts have none of the stems, and looking for these is cheap
        return any(stem in lowered for stem in self._stems) and self._pattern.search(text) is not None


def _literal(word: str) -> str:
    text = word.strip("*")
    start = r"\b" if not word.startswith("*") and re.match(r"\w", text) else ""
    end = r"\b" if not word.endswith("*") and re.search(r"\w\Z", text) else ""
    literal = f"{start}{re.escape(text)}{end}"
    return literal if text != text.lower() else f"(?i:{literal})"


class VersionShortener:
    """Drops the counts at the end of affected ranges, for the packages that a `VersionRule` names."""

    def __init__(self, rules: Iterable[VersionRule]) -> None:
        self._rules = [
            (rule.package, re.compile(rf"\A((?:[0-9]+\.){{{rule.numbers - 1}}}[0-9]+)\.[0-9]{{2,}}\Z"))
            for rule in rules
        ]
        self._starts = tuple(package.removesuffix("*") for package, _ in self._rules)

    def shorten(self, key: str, affected: AffectedPackage) -> AffectedPackage:
        """The package as matching compares it. `key`: its "ecosystem/name"."""
        if not key.startswith(self._starts):  # all but a few of half a million
            return affected
        for package, pattern in self._rules:
            if key == package or (package.endswith("*") and key.startswith(package[:-1])):
                ranges = tuple(_shortened(r, pattern) for r in affected.ranges)
                return msgspec.structs.replace(affected, ranges=ranges)
        return affected


def _shortened(bounds: AffectedRange, pattern: re.Pattern[str]) -> AffectedRange:
    introduced, fixed = (
        None if text is None else pattern.sub(r"\1", text) for text in (bounds.introduced, bounds.fixed)
    )
    return AffectedRange(bounds.scheme, introduced, bounds.introduced_excluded, fixed, bounds.last_affected)
