"""Advisories compiled to a compact index, and components assessed against it.

Compiling: advisories that are aliases of each other become one vulnerability (union-find over ids), and each affected
package a list of intervals on its scheme's byte keys (core/matching/version_keys.py). Assessing: the name is tested
first, since nine components in ten have a name that no advisory mentions; the intervals of a name cut its line of
versions into segments, and all versions in a segment share one Assessment.

Which source is heard when several speak of one vulnerability and one component: advisories of the component's own
ecosystem (OSV for PyPI), then the curated releases (core/matching/releases.py), then NVD's CPE ranges, then CPE ranges
of other databases, then those of CNAs (CVE 5), then re-packagers' (Bitnami, Julia), then OSS-Fuzz. A withdrawn advisory
finds nothing, but one of the own ecosystem still silences what is less precise: people looked and took it back.

Source: OSV schema 1.7 (evaluation); NVD API 2.0 (CPE match bounds); docs/dev/measurements.md (Matching).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import accumulate
from operator import attrgetter, xor

import msgspec
import zstandard

from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Assessment, Confidence, Evidence, Finding, FindingStatus, Severity
from antivenom.core.matching.compile_index import (
    PRODUCT_ECOSYSTEMS,
    CompiledIndex,
    CompiledPackage,
    CompiledVulnerability,
    Interval,
)
from antivenom.core.matching.identity import (
    Identity,
    NameMaps,
    channel_name,
    identify_conda,
    identify_plainly,
    identify_purl,
    parse_purl,
)
from antivenom.core.matching.version_keys import version_key

INDEX_MAX_BYTES = 1 << 30
_RANK = {Confidence.exact: 0, Confidence.high: 1, Confidence.medium: 2, Confidence.low: 3}
_PRIORITY = {
    "cpe+curated": 2, "cpe+nvd": 3, "cpe+osv": 4, "cpe+cve5": 5, "bitnami": 6, "julia-builds": 7, "oss-fuzz": 8,
}  # fmt: skip
ECOSYSTEM_TITLES = {
    "pypi": "PyPI",
    "cran": "CRAN",
    "cpe": "CPE products",
    "julia": "Julia",
    "julia-builds": "Julia",
    "bitnami": "Bitnami",
    "oss-fuzz": "OSS-Fuzz",
}

_packages = msgspec.msgpack.Decoder(list[CompiledPackage])
_vulnerability = msgspec.msgpack.Decoder(CompiledVulnerability)
_index = msgspec.msgpack.Decoder(CompiledIndex)


class ComponentKey(msgspec.Struct, frozen=True, gc=False):
    """What is matched: a conda name and version, or a purl (then `name` is the purl's text).

    `build` tells nothing to a feed; curation by artifact uses it. `purls` are the record's own.
    """

    type: str
    name: str
    version: str
    build: str = ""
    purls: tuple[str, ...] = ()


class _Hit(msgspec.Struct, frozen=True, gc=False):
    """One interval of one compiled package that contains a version."""

    package: CompiledPackage
    interval: Interval
    identity: Identity
    decides: bool  # by the most precise source; the others are cited when they agree

    @property
    def confidence(self) -> Confidence:
        """That of the identity; low for what names no bound, and for crashes of a fuzzer that nobody gave a CVE."""
        is_vague = self.package.is_unbounded and self.identity.ecosystem in PRODUCT_ECOSYSTEMS
        return Confidence.low if is_vague or self.identity.ecosystem == "oss-fuzz" else self.identity.confidence


class _Axis:
    """One line of versions, cut by all intervals that lie on it.

    The spans of a name are bits, counted from `first`; each segment has those of the spans that cover it.
    """

    __slots__ = ("_covered", "_cuts", "scheme", "version")

    def __init__(self, scheme: str, version: str, spans: Sequence[_Hit], first: int) -> None:
        self.scheme = scheme
        self.version = version
        turned = {b"": 0}  # cut → spans that begin or end there
        for bit, span in enumerate(spans, first):
            low, high = span.interval.low, span.interval.high
            turned[low] = turned.get(low, 0) ^ 1 << bit
            if high is not None:
                turned[high] = turned.get(high, 0) ^ 1 << bit
        self._cuts = sorted(turned)
        self._covered = list(accumulate((turned[cut] for cut in self._cuts), xor))

    def hits(self, version: str) -> int:
        """The spans that a version lies in, as bits; -1 when the version has no place."""
        key = version_key(self.scheme, self.version or version)
        return -1 if key is None else self._covered[bisect_right(self._cuts, key) - 1]


class _Plan:
    """All that one name can be assessed to: versions that lie in the same spans share one Assessment.

    `said` are the spans of each vulnerability: its number, all of its spans, and those that decide.
    """

    __slots__ = ("_answers", "_axes", "_clean", "_name", "_said", "_spans", "_told", "_vulnerability")

    def __init__(
        self, name: str, clean: Assessment, spans: Sequence[_Hit], vulnerability: Callable[[int], CompiledVulnerability]
    ) -> None:
        self._name, self._clean, self._vulnerability = name, clean, vulnerability
        lines: dict[tuple[str, str], list[_Hit]] = {}
        for span in spans:
            lines.setdefault((span.package.scheme, span.identity.version), []).append(span)
        self._axes: list[_Axis] = []
        self._spans: list[_Hit] = []
        for line, group in sorted(lines.items()):
            self._axes.append(_Axis(*line, group, len(self._spans)))
            self._spans += group
        said: dict[int, list[int]] = {}
        for bit, span in enumerate(self._spans):
            masks = said.setdefault(span.package.vulnerability, [0, 0])
            masks[0] |= 1 << bit
            masks[1] |= span.decides << bit
        self._said = [(number, *masks) for number, masks in said.items()]
        self._answers: dict[tuple[int, ...], Assessment] = {}
        self._told: dict[int, _Told] = {}  # by spans, all of one vulnerability

    def assess(self, version: str) -> Assessment:
        place = tuple([axis.hits(version) for axis in self._axes])
        answer = self._answers.get(place)
        if answer is None:
            answer = self._answers[place] = self._answer(place, version)
        return answer

    def _answer(self, place: tuple[int, ...], version: str) -> Assessment:
        if place and all(hits < 0 for hits in place):
            return Assessment(
                False, f"the version of {self._name} has no number, so no affected range can be compared with it"
            )
        hits = sum(hits for hits in place if hits > 0)
        told = [self._tell(number, hits & spans) for number, spans, decide in self._said if hits & decide]
        if not told:
            return self._clean
        told.sort(key=attrgetter("rank"))
        first = self._spans[_lowest(hits)]
        reason = self._clean.reason if self._clean.assessed else first.identity.reason
        return Assessment(True, reason, tuple([one.finding(version) for one in told]))

    def _tell(self, number: int, spans: int) -> _Told:
        told = self._told.get(spans)
        if told is None:
            hits = []
            left = spans
            while left:
                hits.append(self._spans[_lowest(left)])
                left &= left - 1
            told = self._told[spans] = _Told(self._vulnerability(number), hits)
        return told


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


class _Told:
    """What one set of hits says of one vulnerability: a finding whose fixed versions depend on the component's.

    By `rank` the worst risk comes first.
    """

    __slots__ = ("_by_cut", "_finding", "_fixed", "_keys", "_scheme", "_version", "rank")

    def __init__(self, about: CompiledVulnerability, hits: list[_Hit]) -> None:
        self.rank = (-about.risk, -(about.cvss or 0.0), about.ids[0])
        hits.sort(key=lambda h: (not h.decides, _RANK[h.confidence], h.package.advisory, h.interval.text))
        evidence: dict[tuple[str, str], Evidence] = {}  # one product under two vendor names is one piece of evidence
        for hit in hits:
            source = f"{hit.package.advisory} ({hit.package.source})"
            evidence.setdefault((source, hit.interval.text), Evidence(source, hit.identity.reason, hit.interval.text))
        self._finding = Finding(
            ids=about.ids,
            severity=Severity(about.severity).name,
            cvss=about.cvss,
            kev=about.kev,
            epss=about.epss,
            risk=about.risk,
            fixed_versions=(),
            status=FindingStatus.disputed if about.disputed else FindingStatus.reported,
            confidence=hits[0].confidence,
            evidence=tuple(evidence.values()),
            published=about.published,
            modified=about.modified,
            summary=about.summary,
            kev_ransomware=about.ransomware,
        )
        self._scheme, self._version, fixed = _fixed(hits)
        self._keys = sorted(fixed)
        self._fixed = [fixed[key] for key in self._keys]
        self._by_cut: dict[int, Finding] = {}

    def finding(self, version: str) -> Finding:
        """The finding of a component of this version: fixed versions are those above its own, ascending."""
        if not self._keys:
            return self._finding
        own = version_key(self._scheme, self._version or version) or b""
        cut = bisect_right(self._keys, own)
        found = self._by_cut.get(cut)
        if found is None:
            fixed = tuple(self._fixed[cut:])
            found = self._by_cut[cut] = msgspec.structs.replace(self._finding, fixed_versions=fixed)
        return found


def _fixed(hits: list[_Hit]) -> tuple[str, str, dict[bytes, str]]:
    """Scheme, the purl's own version, and the fixed versions by key, of the surest source that names any."""
    naming = [h for h in hits if h.package.fixed]
    if not naming:
        return "generic", "", {}
    best = naming[0]
    scheme = best.package.scheme
    found: dict[bytes, str] = {}
    for hit in naming:
        if (hit.identity.key, hit.decides, hit.package.scheme) != (best.identity.key, best.decides, scheme):
            continue
        for text in hit.package.fixed:
            if (key := version_key(scheme, text)) is not None:
                found.setdefault(key, text)
    return scheme, best.identity.version, found


def _decoder_of(packed: Sequence[msgspec.Raw]) -> Callable[[int], CompiledVulnerability]:
    return cache(lambda number: _vulnerability.decode(packed[number]))


class MatchIndex:
    """The compiled index, opened. Not for two threads at once; answers are shared between equal components."""

    def __init__(self, index: CompiledIndex) -> None:
        self._index = index
        self.maps: NameMaps = index.maps
        self.ecosystems = frozenset(index.ecosystems)
        # Plans hold this and not the index: objects in a reference cycle live until the collector finds them.
        self.vulnerability = _decoder_of(index.vulnerabilities)
        self._plans: dict[tuple[str, str, str, tuple[str, ...]], _Plan | Assessment] = {}

    @classmethod
    def load(cls, data: bytes) -> MatchIndex:
        """Open what `build_index` made.

        Raises:
            InvalidInputError: The bytes are not a compiled index of this version.
        """
        try:
            return cls(_index.decode(zstandard.ZstdDecompressor().decompress(data, max_output_size=INDEX_MAX_BYTES)))
        except (zstandard.ZstdError, msgspec.DecodeError, msgspec.ValidationError) as error:
            raise InvalidInputError(
                f"this is not a compiled match index: {error}", hint="compile it again: `antivenom feed sync`"
            ) from None

    @property
    def vulnerability_count(self) -> int:
        return len(self._index.vulnerabilities)

    def assess(self, components: Iterable[ComponentKey], channel: str = "") -> list[Assessment]:
        """What is known about each component, in order.

        Components with nothing found share one Assessment a name, and versions that lie between the same bounds share
        theirs.

        Args:
            channel: Where conda components come from, name or URL; it chooses the rows of the name map. "" for unknown.
        """
        plans = self._plans
        channel = channel_name(channel)
        answers: list[Assessment] = []
        name: str | None = None
        kind, purls, plan = "", (), _NO_VERSION  # type: str, tuple[str, ...], _Plan | Assessment
        for component in components:
            # Most come sorted by name: comparing with the one before is cheaper than making a key.
            if component.name != name or component.type != kind or component.purls != purls:
                name, kind, purls = component.name, component.type, component.purls
                key = (channel, kind, name, purls)
                known = plans.get(key)
                if known is None:
                    known = plans[key] = self._plan(component, channel)
                plan = known
            answers.append(plan.assess(component.version) if isinstance(plan, _Plan) else plan)
        return answers

    def _plan(self, component: ComponentKey, channel: str) -> _Plan | Assessment:
        if component.type == "purl":
            return self._plan_of_purl(component, channel)
        if component.type != "conda":
            return Assessment(False, f"components of type {component.type!r} are not known; use conda or a purl")
        return self._plan_of_conda(component.name.lower(), component.purls, channel)

    def _plan_of_purl(self, component: ComponentKey, channel: str) -> _Plan | Assessment:
        purl = parse_purl(component.name)
        if purl is None:
            return Assessment(False, f"{component.name[:200]!r} is not a package URL")
        if purl.type == "conda":
            qualifiers = purl.qualifiers if isinstance(purl.qualifiers, dict) else {}
            own_channel = channel_name(qualifiers.get("channel", "")) or channel
            plan = self._plan_of_conda(purl.name.lower(), (), own_channel)
            if isinstance(plan, Assessment):
                return plan
            return plan.assess(purl.version or component.version) if purl.version or component.version else _NO_VERSION
        if not purl.version and not component.version:
            return _NO_VERSION
        identities = identify_purl(component.name, self.maps)
        return self._plan_of(component.name, identities.names, identities.missing)

    def _plan_of_conda(self, name: str, purls: tuple[str, ...], channel: str) -> _Plan | Assessment:
        if not purls and (clean := self._clean_at_once(name, channel)) is not None:
            return clean
        identities = identify_conda(name, purls, channel, self.maps)
        return self._plan_of(name, identities.names, identities.missing)

    def _clean_at_once(self, name: str, channel: str) -> Assessment | None:
        """The answer for the nine names in ten that only the name map knows and no advisory mentions; None: look."""
        plain = identify_plainly(name, channel, self.maps)
        packages = self._index.packages
        if plain is None or plain.own in packages or any(key in packages for key in plain.guessed):
            return None
        if not plain.own:
            return Assessment(False, plain.reason)
        return Assessment(True, plain.reason) if "pypi" in self.ecosystems else None

    def _plan_of(self, name: str, identities: Sequence[Identity], missing: str) -> _Plan | Assessment:
        known = [
            i
            for i in identities
            if i.key in self._index.packages or (i.ecosystem in self.ecosystems and not i.is_guess)
        ]
        own = [i for i in known if not i.is_fallback]
        if own:
            clean = Assessment(True, min(own, key=lambda i: _RANK[i.confidence]).reason)
        else:  # what only a map of names suggests can show a vulnerability, but not that there is none
            clean = Assessment(False, self._unread(name, identities) or missing)
        if not known:
            return clean
        spans = self._spans(known)
        if not spans:
            return clean
        return _Plan(name, clean, spans, self.vulnerability)

    def _unread(self, name: str, identities: Sequence[Identity]) -> str:
        """Which feeds would name it; "" when none that is known of would."""
        own = [i for i in identities if not i.is_guess and not i.is_fallback]
        unread = sorted({ECOSYSTEM_TITLES.get(i.ecosystem, i.ecosystem) for i in own})
        if not unread:
            return ""
        return f"no feed with advisories for {' or '.join(unread)} is synced, and only those would name {name}"

    def _spans(self, identities: Sequence[Identity]) -> list[_Hit]:
        """The intervals that may be cited; for each vulnerability those of the most precise source decide."""
        by_vulnerability: dict[int, list[tuple[int, CompiledPackage, Identity]]] = {}
        for identity in identities:
            packed = self._index.packages.get(identity.key)
            if packed is None:
                continue
            for package in _packages.decode(packed):
                if identity.is_fallback and package.is_open:
                    continue  # "all versions" of a product that only a map of names suggests is no evidence
                priority = _priority(identity, package)
                by_vulnerability.setdefault(package.vulnerability, []).append((priority, package, identity))
        spans: list[_Hit] = []
        for number, said in by_vulnerability.items():
            if all(i.is_vague for _, _, i in said):
                summary = self.vulnerability(number).summary
                if not any(_concerns(i, summary) for _, _, i in said):
                    continue
            best = min(priority for priority, _, _ in said)
            if all(p.is_withdrawn for priority, p, _ in said if priority == best):
                continue
            spans += [_Hit(p, interval, i, priority == best) for priority, p, i in said for interval in p.intervals]
        return spans


def _concerns(identity: Identity, summary: str) -> bool:
    """Whether what is told of a whole, or of a product that several languages have, may be of this component.

    Of a whole: only a text that names the component (Oracle's "component: InnoDB") can say no. PostgreSQL's do not, and
    CVE-2025-1094 is one of libpq though its title is silent on it.
    """
    if identity.is_part:
        return "component" not in summary.lower() or _CLIENT.search(summary) is not None
    if identity.is_native:
        return _MANAGED_LANGUAGE.search(summary) is None or _NATIVE_LANGUAGE.search(summary) is not None
    return _OTHER_LANGUAGE.search(summary) is None or "python" in summary.lower()


_CLIENT = re.compile(
    r"\b(?:clients?|libpq|libmysqlclient|C API|psql|pg_dump\w*|mysqldump|connectors?)\b", re.IGNORECASE
)
_OTHER_LANGUAGE = re.compile(r"\b(?:Java|Kotlin|PHP|Ruby|Rust|Swift)\b|\bC\+\+")  # Go and C are words
_MANAGED_LANGUAGE = re.compile(r"\b(?:Java|Kotlin|Node\.js|PHP|Python|Ruby|Rust|Swift)\b|\.java\b")
_NATIVE_LANGUAGE = re.compile(r"\bC\+\+|\bc_glib\b")
_NO_VERSION = Assessment(False, "the package URL names no version")


def _priority(identity: Identity, package: CompiledPackage) -> int:
    """How precise a source is for this component, 0 best.

    A range without an end ranks behind one that names the fix: it was written before there was one.
    """
    is_own = identity.ecosystem not in PRODUCT_ECOSYSTEMS or identity.confidence is Confidence.exact
    if is_own and identity.ecosystem != "cpe":
        return 0 if package.source == "osv" else 1
    kind = f"cpe+{package.source}" if identity.ecosystem == "cpe" else identity.ecosystem
    return _PRIORITY.get(kind, 5) + (10 if package.is_open else 0)


def fix_in_channel(finding: Finding, channel_versions: Iterable[str]) -> bool:
    """Whether a channel offers a version that is free of a finding.

    `fixed_versions` are all above the component's own version. A project that maintains several lines fixes each in
    its own release (3.0.15, 3.1.7): a version counts when it is at or above the fixed one of its line, or above every
    fixed one.

    Args:
        channel_versions: The versions of the same conda name that the channel does not withhold.
    """
    fixed = sorted((k, text) for text in finding.fixed_versions if (k := version_key("generic", text)) is not None)
    if not fixed:
        return False
    for version in channel_versions:
        key = version_key("generic", version)
        if key is None or key < fixed[0][0]:
            continue
        below = [text for k, text in fixed if k <= key]
        if len(below) == len(fixed) or _line(below[-1]) == _line(version):
            return True
    return False


def _line(version: str) -> list[str]:
    """The first two numbers of a version: what a maintained line has in common."""
    return re.findall(r"[0-9]+", version.split("!")[-1])[:2]


def with_fixes(assessment: Assessment, channel_versions: Sequence[str]) -> Assessment:
    """The assessment with `fix_in_channel` said on every finding."""
    return msgspec.structs.replace(
        assessment,
        findings=tuple(
            msgspec.structs.replace(f, fix_in_channel=fix_in_channel(f, channel_versions)) for f in assessment.findings
        ),
    )
