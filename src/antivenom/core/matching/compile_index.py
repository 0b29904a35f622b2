"""Advisories of all feeds to one compact match index.

grouping.py decides which advisories are about one vulnerability; merging.py merges them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeVar

import msgspec
import zstandard

from antivenom.core.matching.advisories import REJECTED, Advisory, AffectedPackage, AffectedRange, Severity
from antivenom.core.matching.go_majors import GoMajors, clip
from antivenom.core.matching.grouping import AliasGroup, group_aliases, index_groups
from antivenom.core.matching.identity import NameMaps, split_target
from antivenom.core.matching.knowledge import CURATED, NOTHING, Knowledge, VersionShortener
from antivenom.core.matching.malware import MalwareRules
from antivenom.core.matching.merging import merge_entries
from antivenom.core.matching.parts import PartsOfProjects
from antivenom.core.matching.platforms import ToldPlatforms
from antivenom.core.matching.rejections import find_rejected
from antivenom.core.matching.risk import expect_threats, risk_score, sum_epss, threat_of
from antivenom_client.version_keys import key_after, packaged_release, version_key

# Where software is named by product, not by package: databases of C libraries.
PRODUCT_ECOSYSTEMS = {"cpe", "bitnami", "julia-builds", "oss-fuzz", "git"}
_FROM_THE_START = ("0", "0.0.0-0")
COMMITS, UNREADABLE = "commits only", "versions that cannot be read"


class Interval(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Keys from `low` (inclusive) to `high` (exclusive; None is open), and what people read."""

    low: bytes
    high: bytes | None
    text: str


class CompiledPackage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The affected versions of one package by one advisory. A withdrawn one has none, but still counts.

    `target`: the target software of the CPE name, "" for the usual ones. `is_project`: the project itself says so, as
    the CNA of its own vulnerabilities. `undecided`: why no version can be compared with it; "" where some can.
    """

    vulnerability: int
    advisory: str
    source: str
    scheme: str
    intervals: tuple[Interval, ...]
    fixed: tuple[str, ...] = ()
    is_unbounded: bool = False
    is_open: bool = False
    is_withdrawn: bool = False
    target: str = ""
    is_project: bool = False
    undecided: str = ""
    platforms: tuple[str, ...] = ()


class CompiledVulnerability(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One vulnerability, merged from all its advisories.

    `ecosystems`: those whose own advisories (OSV's) name packages that it is about, sorted. `other_parts`: the conda
    names of parts of a project that it is not of (knowledge/parts.tsv), sorted.
    """

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
    ecosystems: tuple[str, ...] = ()
    other_parts: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()  # where alone it exists, by knowledge/platforms.tsv
    told_on: tuple[str, ...] = ()  # where alone it exists by its descriptions, which only lowers confidence elsewhere


class CompiledIndex(msgspec.Struct, frozen=True, array_like=True):
    """`packages`: "ecosystem/name" → msgpack list of CompiledPackage; `vulnerabilities`: msgpack of one each."""

    format: int
    ecosystems: tuple[str, ...]
    packages: dict[str, msgspec.Raw]
    vulnerabilities: list[msgspec.Raw]
    maps: NameMaps
    knowledge: Knowledge | None = None  # without its releases, which are among the packages; None before release 0.2


class Exploited(msgspec.Struct, frozen=True):
    """KEV and EPSS of one CVE id. `epss` is 0-1."""

    epss: float | None = None
    kev: bool = False
    ransomware: bool = False


T = TypeVar("T")

_PSEUDO = re.compile(r"v?0\.0\.0-(?:0\.)?[0-9]{14}-[0-9a-f]{12}")

_encode = msgspec.msgpack.Encoder().encode
_ARRAY_OF_6, _ARRAY, _MAP = b"\x96", b"\xdd", b"\xdf"  # of MessagePack: fixarray, array 32, map 32
_HEADER = _encode(CompiledPackage(0, "", "", "", ()))[:2]  # how many fields follow, and a number of one byte


def build_index(
    advisories: Iterable[Advisory],
    exploitation: Mapping[str, Exploited] | None = None,
    maps: NameMaps | None = None,
    knowledge: Knowledge = NOTHING,
) -> bytes:
    """The compiled index of the advisories of all feeds.

    Advisories are compiled one by one as they come; only their descriptions of vulnerabilities are kept until all
    aliases are known. They may repeat (the same entry from two feeds).

    Args:
        exploitation: By CVE id.
        knowledge: What people know and no feed says; the index takes along what matching needs of it.

    Returns:
        One zstd frame; open it with `MatchIndex.load`. Equal input in any order gives equal bytes.
    """
    malware = MalwareRules(knowledge.malware)
    entries: dict[str, list[Advisory]] = {}
    affected_packages = _AffectedPackages(VersionShortener(knowledge.versions), knowledge.is_project)
    parts, told = PartsOfProjects(knowledge), ToldPlatforms(knowledge.told)
    for record, advisory in enumerate(advisories):
        if not advisory.withdrawn:
            told.note(advisory.id, advisory.summary, advisory.details)
        entries.setdefault(advisory.id, []).append(_without_packages(advisory, malware))
        for affected in advisory.affected:
            parts.note(advisory, affected_packages.add(advisory, affected, record))
    groups = group_aliases((a.id, a.aliases) for listed in entries.values() for a in listed)
    numbers = index_groups(groups)
    _correct(numbers, affected_packages, knowledge)
    affected_packages.clip_go_modules()
    packages = list(affected_packages.drain(numbers, find_rejected(groups, entries, numbers)))
    exploited = exploitation or {}
    spoken = _Spoken(affected_packages.speaking, parts, knowledge.platforms, told)
    described = [_describe(group, entries, numbers, exploited, spoken, malware) for group in groups]
    expected = expect_threats(sum_epss((Severity(v.severity), v.epss) for v, _ in described if v.epss is not None))
    vulnerabilities = [_encode(_rate(vulnerability, impact, expected)) for vulnerability, impact in described]
    # What `encode(CompiledIndex(…))` would give, without a second copy of everything.
    pieces = [
        _ARRAY_OF_6 + _encode(1) + _encode(tuple(sorted(affected_packages.ecosystems))),
        _MAP + len(packages).to_bytes(4, "big"),
        *packages,
        _ARRAY + len(vulnerabilities).to_bytes(4, "big"),
        *vulnerabilities,
        _encode(maps or NameMaps()),
        _encode(msgspec.structs.replace(knowledge, releases=(), malware={}, told={})),
    ]
    compressor = zstandard.ZstdCompressor(level=3).compressobj(size=sum(map(len, pieces)))
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])


class _Spoken(NamedTuple):
    """What is told besides affected versions: ecosystems and platforms of each id, parts of projects, and words."""

    ecosystems: Mapping[str, Iterable[str]]
    parts: PartsOfProjects
    platforms: Mapping[str, tuple[str, ...]]
    told: ToldPlatforms


# Key, source, advisory, when it was modified, number of the record, whether it tells of versions, and the fields behind
# the number of the vulnerability.
_Entry = tuple[str, str, str, str, int, bool, bytes]


class _AffectedPackages:
    """The affected packages of all advisories, encoded at once but for the vulnerability's number.

    Numbers are given when all aliases are known. The number is the first field of the array that a `CompiledPackage`
    is encoded as, so it is put before the rest then.
    """

    def __init__(self, versions: VersionShortener, is_project: Callable[[str, str], bool]) -> None:
        self._versions = versions
        self._is_project = cache(is_project)
        self.ecosystems: set[str] = set()  # those that a feed covers as a whole
        self.has_products = False
        self.speaking: dict[str, set[str]] = {}  # advisory → ecosystems of which it is an own advisory
        self._keys: dict[str, str] = {}  # each text once in memory
        self._entries: list[_Entry] = []

    def add(self, advisory: Advisory, affected: AffectedPackage, record: int) -> str:
        """Compile what an advisory says of a package; its key.

        Args:
            record: Equal for all packages of one entry of one feed, and for nothing else.
        """
        if affected.ecosystem in PRODUCT_ECOSYSTEMS:
            self.has_products = True
        if _covers(advisory.source, affected.ecosystem):
            self.ecosystems.add(affected.ecosystem)
            if affected.ecosystem != "cpe" and not advisory.withdrawn:
                self.speaking.setdefault(advisory.id, set()).add(affected.ecosystem)
        key, target = package_key(affected), ""
        if affected.ecosystem == "cpe":
            key, target = split_target(key)
        key = self._keys.setdefault(key, key)
        is_project = (
            bool(affected.said_by)
            and not any(map(_has_last_release_alone, affected.ranges))
            and self._is_project(affected.said_by, key.partition("/")[2])
        )
        shortened = self._versions.shorten(key, affected)
        package = compile_package(advisory, shortened, sys.intern(target), is_project=is_project)
        fields = _encode(package)[len(_HEADER) :]
        speaks = not package.is_withdrawn and not package.undecided
        self._entries.append((key, sys.intern(advisory.source), advisory.id, advisory.modified, record, speaks, fields))
        return key

    def drain(self, numbers: Mapping[str, Sequence[int]], rejected: Container[int]) -> Iterator[bytes]:
        """The encoded key and list of every package, by key; nothing is kept of what was given.

        When two feeds of one kind differ about an entry, the newer record counts, and of equally new ones the longer.
        An advisory that covers several vulnerabilities does not show which of them a version has: it counts where no
        advisory that tells of versions covers that vulnerability alone.

        Args:
            numbers: The vulnerabilities of each advisory id.
            rejected: Those whose CVE id was rejected: what is said of products is taken back with it.
        """
        self._entries.sort(reverse=True)
        for key, entries in groupby(_pop_all(self._entries), itemgetter(0)):
            is_product = key.partition("/")[0] in PRODUCT_ECOSYSTEMS
            heard: list[tuple[Sequence[int], bool, bytes]] = []
            for _, of_one in groupby(entries, _SOURCE_AND_ADVISORY):
                for _, _, advisory, _, _, speaks, fields in _newest_record(list(of_one)):
                    heard.append((numbers[advisory], speaks, fields))
            alone = {places[0] for places, speaks, _ in heard if speaks and len(places) == 1}
            listed = []
            for places, _, fields in heard:
                for number in places:
                    if len(places) == 1 or number not in alone:
                        rest = _taken_back(fields) if is_product and number in rejected else fields
                        listed.append(msgspec.Raw(_HEADER[:1] + _encode(number) + rest))
            yield _encode(key) + _encode(listed)

    def clip_go_modules(self) -> None:
        """Cut what is said of a path of a Go module to the major versions that it is of."""
        majors = GoMajors(self._keys)
        for at, entry in enumerate(self._entries):
            if entry[0].startswith("go/") and (end := majors.end(entry[0])) is not None:
                package = msgspec.msgpack.decode(_HEADER + entry[6], type=CompiledPackage)
                clipped = msgspec.structs.replace(package, intervals=clip(package.intervals, end))
                self._entries[at] = (*entry[:6], _encode(clipped)[len(_HEADER) :])


_SOURCE_AND_ADVISORY = itemgetter(1, 2)


def _newest_record(entries: list[_Entry]) -> list[_Entry]:
    """What the newest record of an advisory says of a package, of all that feeds have of it; each thing once.

    What only an older record says is not added to it: a range that was taken back would be heard.
    """
    if len(entries) == 1:
        return entries
    records: dict[int, list[_Entry]] = {}
    for entry in entries:
        records.setdefault(entry[4], []).append(entry)
    said = [(r[0][3], sum(len(e[6]) for e in r), sorted({e[5:]: e for e in r}.items())) for r in records.values()]
    return [entry for _, entry in max(said)[2]]


def _taken_back(fields: bytes) -> bytes:
    """The fields of a withdrawn package."""
    package = msgspec.msgpack.decode(_HEADER + fields, type=CompiledPackage)
    taken_back = CompiledPackage(
        0, package.advisory, package.source, package.scheme, (), is_withdrawn=True, target=package.target
    )
    return _encode(taken_back)[len(_HEADER) :]


def _has_last_release_alone(bounds: AffectedRange) -> bool:
    """Whether a range was written before there was a fix: "through 3.13.0" hides the fixes of older lines."""
    return bounds.fixed is None and bounds.introduced in (None, "", "0")


def _covers(source: str, ecosystem: str) -> bool:
    """Whether an advisory shows that its feed is one of the whole ecosystem, so that silence means "none is known".

    NVD and the CVE list are of all products and name packages now and then; Bitnami and Julia are of what they build.
    """
    return ecosystem not in PRODUCT_ECOSYSTEMS if source == "osv" else ecosystem == "cpe" and source != CURATED


def _pop_all(items: list[T]) -> Iterator[T]:
    """The items from the last to the first, each forgotten when it is given."""
    while items:
        yield items.pop()


def _correct(known: Container[str], affected_packages: _AffectedPackages, knowledge: Knowledge) -> None:
    """Add what knowledge says of vulnerabilities of the feeds: of conda packages, and the releases of products.

    The latter only if any feed has products.
    """
    released = knowledge.released() if affected_packages.has_products else []
    for place, advisory in enumerate((*released, *knowledge.corrected())):
        if advisory.id in known:
            for affected in advisory.affected:
                affected_packages.add(advisory, affected, -1 - place)


def package_key(affected: AffectedPackage) -> str:
    """Where matching looks a package up: "ecosystem/name" (CRAN's names without case: conda lowers them)."""
    name = affected.name.lower() if affected.ecosystem in ("cran", "npm") else affected.name
    return f"{affected.ecosystem}/{name}"


def _without_packages(advisory: Advisory, malware: MalwareRules) -> Advisory:
    """What is kept of an advisory until all aliases are known: all but its packages and what only people read."""
    cwes = malware.cwes_of(advisory)
    flags = (REJECTED,) if REJECTED in advisory.flags else ()
    return msgspec.structs.replace(
        advisory, affected=(), details="", references=(), cwes=cwes, flags=flags, related=(), upstream=()
    )


def _describe(
    group: AliasGroup,
    entries: Mapping[str, Sequence[Advisory]],
    numbers: Mapping[str, Sequence[int]],
    exploited: Mapping[str, Exploited],
    spoken: _Spoken,
    malware: MalwareRules,
) -> tuple[CompiledVulnerability, float]:
    """The vulnerability without its risk, which `_rate` adds, and its impact."""
    own = [a for i in group.ids if len(numbers[i]) == 1 for a in entries.get(i, ())]
    shared = [a for i in group.ids if len(numbers[i]) > 1 for a in entries.get(i, ())]
    merged = merge_entries(group.ids, own, shared, malware)
    facts = [exploited[i] for i in group.ids if i in exploited]
    kev, ransomware = (any(e.kev for e in facts), any(e.ransomware for e in facts)) if facts else (False, False)
    epss = max([e.epss for e in facts if e.epss is not None], default=None)
    ecosystems: set[str] = set()
    platforms: tuple[str, ...] = ()
    for advisory_id in group.ids:
        ecosystems.update(spoken.ecosystems.get(advisory_id, ()))
        platforms = platforms or spoken.platforms.get(advisory_id, ())
    described = CompiledVulnerability(
        group.ids,
        int(merged.severity),
        merged.cvss,
        kev,
        ransomware,
        epss,
        0.0,
        merged.disputed,
        merged.published,
        merged.modified,
        merged.summary,
        tuple(sorted(ecosystems)),
        spoken.parts.other_parts(group.ids, merged.summary),
        platforms,
        () if platforms else spoken.told.of(a.id for a in (own or shared)),
    )
    return described, merged.impact


def _rate(
    vulnerability: CompiledVulnerability, impact: float, expected: Mapping[Severity, float]
) -> CompiledVulnerability:
    kev = vulnerability.kev
    threat = threat_of(Severity(vulnerability.severity), expected, epss=vulnerability.epss, kev=kev)
    risk = risk_score(impact, threat, kev=kev, ransomware=vulnerability.ransomware)
    return msgspec.structs.replace(vulnerability, risk=risk)


def compile_package(
    advisory: Advisory, affected: AffectedPackage, target: str = "", *, is_project: bool = False
) -> CompiledPackage:
    """The affected versions of a package by one advisory; the number of its vulnerability is not known yet and 0."""
    scheme = _scheme(affected)
    if advisory.withdrawn:
        return CompiledPackage(0, advisory.id, advisory.source, scheme, (), is_withdrawn=True, target=target)
    ranges = [i for r in affected.ranges if (i := _interval(scheme, r)) is not None]
    versions = affected.versions
    if versions and affected.ecosystem in PRODUCT_ECOSYSTEMS:  # whose lists have versions of distributions
        versions = (*versions, *filter(None, map(packaged_release, versions)))
    listed = _points(scheme, versions, ranges) if versions else []
    fixed = dict.fromkeys(affected.fixed_versions)
    if affected.ecosystem != "julia-builds":  # whose ends are builds, and no releases of the project
        for bounds in affected.ranges:
            if bounds.fixed:
                fixed[bounds.fixed] = None
    endless = [i for i in ranges if i.high is None]
    intervals = (*ranges, *listed)
    is_curated = advisory.source == CURATED  # of which one may say: no release at all
    return CompiledPackage(
        0,
        advisory.id,
        advisory.source,
        scheme,
        intervals,
        tuple(fixed),
        is_unbounded=bool(endless) and any(i.low == b"" for i in endless),
        is_open=bool(endless),
        target=target,
        is_project=is_project,
        platforms=affected.platforms,
        undecided="" if intervals or is_curated else COMMITS if "git-range" in advisory.flags else UNREADABLE,
    )


def _scheme(affected: AffectedPackage) -> str:
    if affected.ecosystem == "pypi":
        return "pep440"
    if affected.ranges:
        return "generic" if affected.ranges[0].scheme == "cpe" else affected.ranges[0].scheme
    return "generic"


def _interval(scheme: str, bounds: AffectedRange) -> Interval | None:
    """One range on the scheme's keys; None when it is empty or its end has no place in any order.

    Go's pseudo-versions (0.0.0-20240527191746-e0fe7cc39172) name commits: they have no place among releases.
    """
    introduced, fixed = bounds.introduced, bounds.fixed
    if scheme == "generic" and (_is_pseudo(introduced) or _is_pseudo(fixed)):
        return None
    low: bytes | None = b""
    if introduced and introduced not in _FROM_THE_START:
        low = (key_after if bounds.introduced_excluded else version_key)(scheme, introduced)
    if low is None:  # a start without a number is before everything
        low = b""
    high: bytes | None = None
    end = bounds.last_affected if fixed is None else fixed
    if end is not None:
        high = key_after(scheme, end) if fixed is None else version_key(scheme, end)
        if high is None or high <= low:
            return None
    return Interval(low, high, range_text(bounds))


def _is_pseudo(version: str | None) -> bool:
    return version is not None and "0.0.0-" in version and _PSEUDO.match(version) is not None


def range_text(bounds: AffectedRange) -> str:
    """A range as people write it: ">=2.0,<2.31.0"; "all versions" when it is open at both ends."""
    parts: list[str] = []
    if bounds.introduced and bounds.introduced not in _FROM_THE_START:
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
        if key is not None and not _is_covered(key, ranges):
            found.setdefault(key, Interval(key, key_after(scheme, text), f"=={text}"))
    return [found[key] for key in sorted(found)]


def _is_covered(key: bytes, ranges: list[Interval]) -> bool:
    for interval in ranges:  # noqa: SIM110  # asked for 800,000 versions; a generator would double its cost
        if interval.low <= key and (interval.high is None or key < interval.high):
            return True
    return False
