"""Match specs, versions and dependencies through py-rattler; no other module imports it.

Source: conda match specs as rattler reads them. What rattler 0.28 does not compare (subdir, file name) is compared
here.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from urllib.parse import unquote

from rattler import MatchSpec, PackageRecord, Version, VersionSpec
from rattler.package.build_string import BuildString

from antivenom.core.conda.records import RecordFacts
from antivenom.core.conda.spec_spelling import check_spelling
from antivenom.core.errors import InvalidInputError

SPEC_CHARACTERS_MAX = 500
SPEC_KEYS = ("version", "build", "build_number", "license", "license_family", "subdir", "fn")
_BRACKET_KEY = re.compile(r"[\[,;]\s*([a-z_0-9]+)\s*=")
_QUOTED = re.compile(r'"[^"]*"')
_LICENSE = re.compile(r"(?<=[\[,; ])license(?:_family)?=(?:'[^']*'|\"[^\"]*\"|[^,'\"\]]*)")
_HINT = "a spec reads NAME, NAME VERSION, NAME VERSION BUILD, or *[license='…']"


class RecordSpec:
    """A match spec over the facts of records. `fields` are the facts, besides the name, that decide whether it matches.

    `exact_name` is the only name that it can match; "" when the name is a glob or a regular expression.
    """

    __slots__ = ("_build", "_fn", "_names", "_subdir", "_whole", "any_name", "exact_name", "fields", "text")

    def __init__(self, text: str, spec: MatchSpec) -> None:
        self.text = text
        self._whole = spec
        self._subdir = spec.subdir or ""
        self._fn = spec.file_name or ""
        self._build = _build_pattern(spec.build) if spec.build else None
        self._names = MatchSpec(spec.name.normalized, exact_names_only=False)
        exact = spec.name.as_package_name()
        self.exact_name = exact.normalized if exact else ""
        self.any_name = spec.name.normalized == "*"
        self.fields = _fields_of(spec)

    def matches_name(self, name: str) -> bool:
        """Whether a record of this name can match at all."""
        if self.any_name or self.exact_name:
            return self.any_name or name == self.exact_name
        return bool(self._names.matches(_package_record(RecordFacts("", "noarch", name, "0", "0"), ())))

    def matches(self, record: RecordFacts) -> bool:
        """Whether the record matches.

        Raises:
            InvalidInputError: The spec asks for a version and the record's is not one that conda can order.
        """
        if self._subdir and record.subdir != self._subdir:
            return False
        if self._fn and record.fn != self._fn:
            return False
        if not self.matches_name(record.name):
            return False
        if self._build is not None and not self._build(record.build):  # rattler takes no notice of the case
            return False
        return bool(self._whole.matches(_package_record(record, self.fields)))

    def __repr__(self) -> str:
        return f"RecordSpec({self.text!r})"


class RecordSpecs:
    """Match specs, asked by name: a selection with its dependencies has thousands."""

    def __init__(self, specs: Iterable[RecordSpec]) -> None:
        self._by_name: dict[str, list[RecordSpec]] = {}
        self._others: list[RecordSpec] = []
        for spec in specs:
            if spec.exact_name:
                self._by_name.setdefault(spec.exact_name, []).append(spec)
            else:
                self._others.append(spec)

    def __bool__(self) -> bool:
        return bool(self._by_name or self._others)

    def of_name(self, name: str) -> list[RecordSpec]:
        """Those that can match a record of this name."""
        return [*self._by_name.get(name, ()), *(spec for spec in self._others if spec.matches_name(name))]


def parse_record_spec(text: str) -> RecordSpec:
    """Parse a match spec over the facts of records.

    Raises:
        InvalidInputError: Not a match spec, or it asks for what is not known of records here (channel, digests, …).
    """
    if len(text) > SPEC_CHARACTERS_MAX:
        raise InvalidInputError(f"a match spec has {SPEC_CHARACTERS_MAX} characters at most", hint=_HINT)
    check_spelling(text.strip())
    try:
        spec = MatchSpec(_LICENSE.sub(lambda found: found[0].casefold(), text.strip()), exact_names_only=False)
        keys = _bracket_keys(spec)
    except Exception as error:
        raise InvalidInputError(f"{text!r} is not a match spec: {error}", hint=_HINT) from None
    unknown = sorted(keys - set(SPEC_KEYS))
    if spec.channel is not None:
        unknown.append("channel")
    if unknown:
        raise InvalidInputError(
            f"the match spec {text!r} asks for {unknown[0]!r}, which is not compared here",
            hint=f"it may ask for: name, {', '.join(SPEC_KEYS)}",
        )
    return RecordSpec(text, spec)


def _build_pattern(build: str) -> Callable[[str], object]:
    """Whether a build is what a spec asks for: a regular expression `^…$`, a pattern with `*`, or the text itself."""
    if build.startswith("^") and build.endswith("$"):
        return re.compile(build).match
    if "*" in build:
        return re.compile(".*".join(map(re.escape, build.split("*")))).fullmatch
    return build.__eq__


def _fields_of(spec: MatchSpec) -> tuple[str, ...]:
    asked = _bracket_keys(spec)
    if spec.version:
        asked.add("version")
    if spec.build:
        asked.add("build")
    if spec.subdir:
        asked.add("subdir")
    return tuple(key for key in SPEC_KEYS if key in asked)


def _bracket_keys(spec: MatchSpec) -> set[str]:
    """The keys inside the brackets of a spec; rattler shows some of them only in its canonical text."""
    return set(_BRACKET_KEY.findall(_QUOTED.sub('""', spec.to_canonical_string())))


def _package_record(record: RecordFacts, fields: tuple[str, ...]) -> PackageRecord:
    """rattler's record. Version and build are left out where nothing asks for them: an odd one then does no harm.

    A version may be URL-quoted: conda-forge's x264 has "1%21164.3095": docs/dev/measurements.md (Odd records).
    """
    try:
        return PackageRecord(
            name=record.name,
            version=unquote(record.version) if "version" in fields else "0",
            build=BuildString(record.build if "build" in fields else "0"),
            build_number=record.build_number,
            subdir=record.subdir or "noarch",
            license=record.license.casefold() or None,  # as conda compares it
            license_family=record.license_family.casefold() or None,
        )
    except Exception as error:
        raise InvalidInputError(f"{record.name} {record.version!r} cannot be compared: {error}") from None


@lru_cache(maxsize=1 << 17)
def version_order(version: str) -> Version | None:
    """The version in conda's order; None when conda cannot order it."""
    try:
        return Version(unquote(version))
    except Exception:
        return None


def is_version(text: str) -> bool:
    """Whether conda can order a version as it is written, without unquoting it."""
    if _PLAIN_VERSION(text):
        return True
    try:
        Version(text)
    except Exception:
        return False
    return True


_PLAIN_VERSION = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18}){0,15}").fullmatch


def _plain_order(version: str) -> list[int]:
    """The order of versions that are numbers and dots; 1.0 and 1 are equal."""
    parts = [int(part) for part in version.split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return parts


def latest_version(versions: Iterable[str]) -> str:
    """The highest of `versions` in conda's order; "" of none.

    One that conda cannot order is the highest only when there is no other.
    """
    versions = list(versions)
    if len(versions) < 2:
        return versions[0] if versions else ""
    if all(map(_PLAIN_VERSION, versions)):
        return max(versions, key=_plain_order)
    best, best_order = "", None
    for version in versions:
        order = version_order(version)
        if not best or (order is not None and (best_order is None or order > best_order)):
            best, best_order = version, order
    return best


def compare_versions(one: str, other: str) -> int:
    """-1, 0 or 1 as `one` is lower than, equal to or higher than `other`; what conda cannot order is the lowest."""
    mine, theirs = version_order(one), version_order(other)
    if mine is None or theirs is None:
        return (mine is not None) - (theirs is not None)
    return (mine > theirs) - (mine < theirs)


def is_same_release(version: str, release: str) -> bool:
    """Whether conda's `name=release` admits a version: `1.2` admits 1.2, 1.2.0 and 1.2rc1, `1.2.0` not the last."""
    if version == release:
        return True
    mine, theirs = version_order(version), version_order(release)
    if mine is None or theirs is None or not mine.starts_with(theirs):
        return False
    return mine >= theirs or version.startswith(release)  # rattler drops the zeros, and takes 1.2rc1 for 1.2.0rc1


class Dependency:
    """One parsed dependency: the name that it asks for, and which versions and builds meet it.

    `key` is equal for dependencies that ask for the same. `exact_build` is the only build text that meets it; "" when
    several may.
    """

    __slots__ = ("_build", "_numbers", "_versions", "exact_build", "key", "name", "version_text")

    def __init__(self, spec: MatchSpec) -> None:
        self.name: str = spec.name.normalized
        self.version_text: str = spec.version or ""
        self._versions = _version_range(self.version_text) if self.version_text else None
        self._build = spec.build or None
        numbers = spec.build_number or ""
        self._numbers = _NUMBER_RANGE.fullmatch(numbers) if numbers else None
        self.key = self.name, self.version_text, self._build or "", numbers
        is_exact = self._build and "*" not in self._build and not self._build.startswith("^")
        self.exact_build = self._build if self._build and is_exact else ""

    @property
    def asks_build(self) -> bool:
        """Whether it asks for a build or a build number."""
        return self._build is not None or self._numbers is not None

    def admits_version(self, version: str) -> bool:
        """Whether a version meets it. One that conda cannot order meets only a dependency without a version."""
        if self._versions is None:
            return True
        order = version_order(version)
        return order is not None and self._versions.matches(order)

    def admits_build(self, build: str) -> bool:
        """Whether a build text meets it."""
        return self._build is None or _admits_text(self._build, build)

    def admits_number(self, number: int) -> bool:
        """Whether a build number meets it."""
        return self._numbers is None or bool(_COMPARE[self._numbers[1] or "=="](number, int(self._numbers[2])))


_NUMBER_RANGE = re.compile(r"(==|>=|<=|!=|>|<)?\s*(\d{1,18})")
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq, ">=": operator.ge, "<=": operator.le, "!=": operator.ne, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


@lru_cache(maxsize=1 << 16)
def _version_range(text: str) -> VersionSpec:
    return VersionSpec(text)


def _admits_text(pattern: str, build: str) -> bool:
    """Whether a build meets a pattern as conda compares it: a glob with *, else the exact text.

    A regular expression (^…$) of an upstream is never run, for it may be made to hang; it admits every build.
    """
    if pattern.startswith("^") and pattern.endswith("$"):
        return True
    head, *rest = pattern.split("*")
    if not rest:
        return build == pattern
    if not build.startswith(head):
        return False
    at = len(head)
    for part in rest[:-1]:
        found = build.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(build) - at >= len(rest[-1]) and build.endswith(rest[-1])


def parse_dependency(text: str) -> Dependency | None:
    """Parse a dependency.

    Returns:
        None for what no package of a channel can break: virtual packages, conditional dependencies, and texts that are
        not match specs.
    """
    if len(text) > SPEC_CHARACTERS_MAX:
        return None
    try:
        spec = MatchSpec(text)
        if spec.condition or spec.name.normalized.startswith("__"):
            return None
        return Dependency(spec)
    except Exception:
        return None
