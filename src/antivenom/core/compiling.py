"""Advisories of all feeds to one compact match index.

Advisories that name each other as aliases are one vulnerability, however many feeds tell of it. Its score is that of
the newest CVSS version that any of them gives; its ids are all of theirs.

Source: OSV schema 1.7, "aliases" ("related" and "upstream" do not merge, but for Julia's re-based entries of exactly
one CVE).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec
import zstandard

from antivenom.core.advisories import Advisory, AffectedPackage, AffectedRange, Severity
from antivenom.core.identity import NameMaps
from antivenom.core.risk import best_score, rate, risk_score, score_vector
from antivenom.core.versions import key_after, version_key

SUMMARY_MAX_CHARACTERS = 300


class Interval(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Keys from `low` (inclusive) to `high` (exclusive; None is open), and what people read."""

    low: bytes
    high: bytes | None
    text: str


class CompiledPackage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one advisory says of one package. A withdrawn one has no intervals but still speaks for its package."""

    vulnerability: int
    advisory: str
    source: str
    scheme: str
    intervals: tuple[Interval, ...]
    fixed: tuple[str, ...] = ()
    is_unbounded: bool = False
    is_open: bool = False
    is_withdrawn: bool = False


class CompiledVulnerability(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What all its advisories together say of one vulnerability."""

    ids: tuple[str, ...]
    severity: int
    cvss: float | None
    kev: bool
    ransomware: bool
    epss: float | None
    risk: float
    disputed: bool
    published: str
    modified: str
    summary: str


class CompiledIndex(msgspec.Struct, frozen=True, array_like=True):
    """`packages`: "ecosystem/name" → msgpack list of CompiledPackage; `vulnerabilities`: msgpack of one each."""

    format: int
    ecosystems: tuple[str, ...]
    packages: dict[str, msgspec.Raw]
    vulnerabilities: list[msgspec.Raw]
    maps: NameMaps


class Exploited(msgspec.Struct, frozen=True):
    """What KEV and EPSS say of one CVE. `epss` is 0-1."""

    epss: float | None = None
    kev: bool = False
    ransomware: bool = False


@dataclass(slots=True)
class _Group:
    """The facts of one vulnerability while its advisories arrive."""

    ids: set[str]
    scored: tuple[int, float, int] = (0, -1.0, 0)  # CVSS version, score, severity
    severity: int = 0
    vectors: set[str] = field(default_factory=set)
    scores: set[float] = field(default_factory=set)
    disputed: bool = False
    published: str = ""
    modified: str = ""
    summary: str = ""
    is_live: bool = False


def build_index(
    advisories: Iterable[Advisory], exploitation: Mapping[str, Exploited] | None = None, maps: NameMaps | None = None
) -> bytes:
    """The compiled index of everything that feeds brought.

    Advisories may repeat (the same entry from two feeds); what they say is kept once.

    Args:
        exploitation: By CVE id.

    Returns:
        One zstd frame; open it with `MatchIndex.load`. Equal input gives equal bytes.
    """
    merger = _Merger()
    ecosystems: set[str] = set()
    said: dict[str, dict[tuple[str, str], tuple[Advisory, AffectedPackage]]] = {}
    kept: list[Advisory] = []
    for advisory in advisories:
        merger.add(advisory)
        kept.append(advisory)
        for affected in (*advisory.affected, *_upstream_versions(advisory)):
            ecosystems.add(affected.ecosystem)
            said.setdefault(package_key(affected), {}).setdefault((advisory.source, advisory.id), (advisory, affected))
    groups = merger.groups(kept)
    numbers = {root: number for number, root in enumerate(sorted(groups))}
    encoder = msgspec.msgpack.Encoder()
    packages = {
        key: msgspec.Raw(
            encoder.encode(
                _speaking(_compile(numbers[merger.root(a.id)], a, p) for _, (a, p) in sorted(entries.items()))
            )
        )
        for key, entries in sorted(said.items())
    }
    exploited = exploitation or {}
    vulnerabilities = [msgspec.Raw(encoder.encode(_vulnerability(groups[root], exploited))) for root in sorted(groups)]
    index = CompiledIndex(1, tuple(sorted(ecosystems)), packages, vulnerabilities, maps or NameMaps())
    return zstandard.ZstdCompressor(level=3).compress(encoder.encode(index))


def _upstream_versions(advisory: Advisory) -> Iterator[AffectedPackage]:
    """What Julia's entries say of its binary builds, in the versions of the projects that were built.

    A build's own number (`+3`) is dropped. Builds of OpenSSL 1.1.1 count its letters: 1.1.14 was made of 1.1.1n.
    """
    for affected in advisory.affected:
        if affected.ecosystem != "julia" or not affected.name.endswith("_jll"):
            continue
        is_openssl = affected.name == "OpenSSL_jll"
        ranges = tuple(
            AffectedRange(
                r.scheme,
                _built_from(r.introduced, is_openssl),
                r.introduced_excluded,
                _built_from(r.fixed, is_openssl),
                _built_from(r.last_affected, is_openssl),
            )
            for r in affected.ranges
            if r.fixed is not None or r.last_affected is not None  # open: not rebuilt yet; upstream may long be fixed
        )
        versions = tuple(v for text in affected.versions if (v := _built_from(text, is_openssl)))
        if not ranges and not versions:
            continue
        yield AffectedPackage("julia-builds", affected.name, ranges, versions)


def _built_from(version: str | None, is_openssl: bool) -> str | None:
    if version is None:
        return None
    version = version.split("+", 1)[0]
    letter = re.fullmatch(r"1\.1\.([0-9]{1,2})", version) if is_openssl else None
    if letter is not None and 2 <= int(letter[1]) <= 26:
        return f"1.1.1{chr(ord('a') + int(letter[1]) - 1)}"
    return version


def package_key(affected: AffectedPackage) -> str:
    """Where matching looks a package up: "ecosystem/name" (CRAN's names without case: conda lowers them)."""
    name = affected.name.lower() if affected.ecosystem in ("cran", "npm") else affected.name
    return f"{affected.ecosystem}/{name}"


class _Merger:
    """Union-find over advisory ids."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, advisory_id: str) -> str:
        parent = self._parent
        root = advisory_id
        while (above := parent.setdefault(root, root)) != root:
            root = above
        while (above := parent[advisory_id]) != root:
            parent[advisory_id], advisory_id = root, above
        return root

    def add(self, advisory: Advisory) -> None:
        """Join an advisory with its aliases. One that covers several CVEs does not make them one vulnerability."""
        names = same_vulnerability(advisory)
        if sum(is_cve(n) for n in {advisory.id, *names}) > 1:
            self.root(advisory.id)
            return
        own = self.root(advisory.id)
        for name in names:
            other = self.root(name)
            if other != own:
                low, high = sorted((own, other))  # the lower id stays root, so the result does not depend on order
                self._parent[high] = low
                own = low

    def groups(self, advisories: Iterable[Advisory]) -> dict[str, _Group]:
        """The facts of each vulnerability, by root id."""
        found: dict[str, _Group] = {}
        for advisory in advisories:
            root = self.root(advisory.id)
            group = found.get(root)
            if group is None:
                group = found[root] = _Group(set())
            _tell(group, advisory)
        return found


def is_cve(advisory_id: str) -> bool:
    """Whether an id is a CVE's, which every source shares."""
    return advisory_id.startswith("CVE-")


def same_vulnerability(advisory: Advisory) -> tuple[str, ...]:
    """The other ids of an advisory's vulnerability.

    Julia's entries re-base one NVD entry on Julia's builds and name it as `upstream`; with one CVE there it is the
    same one.
    """
    if advisory.aliases or not advisory.id.startswith("JLSEC-"):
        return advisory.aliases
    return tuple(u for u in advisory.upstream if is_cve(u))


def _tell(group: _Group, advisory: Advisory) -> None:
    """Add what one advisory says. Withdrawn ones give their ids only."""
    group.ids.update((advisory.id, *same_vulnerability(advisory)))
    if advisory.withdrawn:
        return
    group.is_live = True
    vectors = [v for v in advisory.cvss_vectors if v not in group.vectors]
    group.vectors.update(vectors)
    best = best_score(vectors)
    group.scores.update(s[1] for v in vectors if (s := score_vector(v)))
    if best is not None:
        group.scored = max(group.scored, (*best, int(rate(*best))))
    elif advisory.cvss is not None and not advisory.cvss_vectors:
        group.scores.add(advisory.cvss)
        group.scored = max(group.scored, (1, advisory.cvss, int(advisory.severity)))
    group.severity = max(group.severity, int(advisory.severity))
    group.disputed = group.disputed or advisory.disputed
    published = [t for t in (group.published, advisory.published) if t]
    group.published = min(published, default="")
    group.modified = max(group.modified, advisory.modified)
    if advisory.summary and (not group.summary or len(advisory.summary) < len(group.summary)):
        group.summary = advisory.summary[:SUMMARY_MAX_CHARACTERS]


def _vulnerability(group: _Group, exploited: Mapping[str, Exploited]) -> CompiledVulnerability:
    ids = tuple(sorted(group.ids, key=lambda i: (not is_cve(i), i)))
    facts = [e for i in ids if (e := exploited.get(i)) is not None]
    kev, ransomware = any(e.kev for e in facts), any(e.ransomware for e in facts)
    epss = max((e.epss for e in facts if e.epss is not None), default=None)
    version, score, rated = group.scored
    severity = Severity(rated or group.severity) if version else Severity(group.severity)
    cvss = score if version else None
    scores = sorted(group.scores)
    risk = risk_score(severity, scores, epss=epss, kev=kev, ransomware=ransomware)
    return CompiledVulnerability(
        ids,
        int(severity),
        cvss,
        kev,
        ransomware,
        epss,
        risk,
        group.disputed,
        group.published,
        group.modified,
        group.summary,
    )


def _compile(number: int, advisory: Advisory, affected: AffectedPackage) -> CompiledPackage:
    scheme = _scheme(affected)
    if affected.ecosystem == "pypi" and affected.name.startswith("opencv-"):
        affected = _without_wheel_number(affected)
    if advisory.withdrawn:
        return CompiledPackage(number, advisory.id, advisory.source, scheme, (), is_withdrawn=True)
    ranges = [i for r in affected.ranges if (i := _interval(scheme, r)) is not None]
    listed = _points(scheme, affected.versions, ranges)
    fixed = dict.fromkeys((*affected.fixed_versions, *(r.fixed for r in affected.ranges if r.fixed)))
    is_unbounded = any(i.low == b"" and i.high is None for i in ranges)
    is_open = any(i.high is None for i in ranges)
    intervals = (*ranges, *listed)
    return CompiledPackage(
        number, advisory.id, advisory.source, scheme, intervals, tuple(fixed), is_unbounded, is_open=is_open
    )


def _speaking(packages: Iterable[CompiledPackage]) -> list[CompiledPackage]:
    """Those that say which versions are affected, or that none is; an empty range must not silence other sources."""
    return [p for p in packages if p.intervals or p.is_withdrawn]


def _without_wheel_number(affected: AffectedPackage) -> AffectedPackage:
    """OpenCV's wheels count themselves in a fourth number (4.8.1.78) that conda's builds of 4.8.1 do not have."""

    def release(version: str | None) -> str | None:
        return None if version is None else re.sub(r"\A([0-9]+\.[0-9]+\.[0-9]+)\.[0-9]{2,}\Z", r"\1", version)

    ranges = tuple(
        AffectedRange(r.scheme, release(r.introduced), r.introduced_excluded, release(r.fixed), r.last_affected)
        for r in affected.ranges
    )
    return AffectedPackage(affected.ecosystem, affected.name, ranges, affected.versions, affected.fixed_versions)


def _scheme(affected: AffectedPackage) -> str:
    if affected.ecosystem == "pypi":
        return "pep440"
    if affected.ranges:
        return "generic" if affected.ranges[0].scheme == "cpe" else affected.ranges[0].scheme
    return "generic"


def _interval(scheme: str, bounds: AffectedRange) -> Interval | None:
    """One range on the scheme's keys; None when it is empty or its end has no place in any order."""
    low: bytes | None = b""
    if bounds.introduced not in (None, "", "0", "0.0.0-0"):
        key = key_after if bounds.introduced_excluded else version_key
        low = key(scheme, bounds.introduced or "")
    if low is None:  # a start without a number is before everything
        low = b""
    high: bytes | None = None
    end = bounds.fixed if bounds.fixed is not None else bounds.last_affected
    if end is not None:
        high = version_key(scheme, end) if bounds.fixed is not None else key_after(scheme, end)
        if high is None or high <= low:
            return None
    return Interval(low, high, range_text(bounds))


def range_text(bounds: AffectedRange) -> str:
    """A range as people write it: ">=2.0,<2.31.0"; "all versions" when it is open at both ends."""
    parts: list[str] = []
    if bounds.introduced not in (None, "", "0", "0.0.0-0"):
        parts.append(f"{'>' if bounds.introduced_excluded else '>='}{bounds.introduced}")
    if bounds.fixed is not None:
        parts.append(f"<{bounds.fixed}")
    elif bounds.last_affected is not None:
        parts.append(f"<={bounds.last_affected}")
    return ",".join(parts) or "all versions"


def _points(scheme: str, versions: Iterable[str], ranges: list[Interval]) -> list[Interval]:
    """Listed versions that no range covers, one interval each. One that cannot be read drops nothing but itself."""
    found: dict[bytes, Interval] = {}
    for text in versions:
        key = version_key(scheme, text)
        after = key_after(scheme, text)
        if key is None or after is None or any(r.low <= key and (r.high is None or key < r.high) for r in ranges):
            continue
        found.setdefault(key, Interval(key, after, f"=={text}"))
    return [found[key] for key in sorted(found)]
