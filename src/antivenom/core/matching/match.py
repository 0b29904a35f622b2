"""Advisories compiled to a compact index, and components assessed against it.

Compiling: advisories that are aliases of each other become one vulnerability (union-find over ids), and each affected
package a list of intervals on its scheme's byte keys (antivenom_client.version_keys). Assessing: the name is tested
first, since nine components in ten have a name that no advisory mentions; what may be found of a name is laid out once
(assessment_plan.py). Which source is heard when several speak of one vulnerability: precedence.py.

Source: OSV schema 1.7 (evaluation); NVD API 2.0 (CPE match bounds); docs/dev/measurements.md (Matching).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from functools import cache
from typing import NamedTuple, Protocol

import msgspec
import zstandard

from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Assessment, Confidence, IgnoredBy, IgnoredFinding
from antivenom.core.matching.assessment_plan import (
    CONFIDENCE_RANK,
    AssessmentPlan,
    SetAsidePlan,
    of_other_platforms,
    on_subdir,
)
from antivenom.core.matching.compile_index import (
    PRODUCT_ECOSYSTEMS,
    UNREADABLE,
    CompiledIndex,
    CompiledPackage,
    CompiledVulnerability,
)
from antivenom.core.matching.identity import (
    Identities,
    Identity,
    NameMaps,
    identify_conda,
    identify_plainly,
    identify_purl,
    parse_purl,
    spelt_otherwise,
)
from antivenom.core.matching.ignoring import IgnoreRules
from antivenom.core.matching.knowledge import NOTHING, Knowledge, part_id
from antivenom.core.matching.precedence import Claim, Hit, best_of, decide, is_heard, judge, priority
from antivenom_client.names import channel_name

INDEX_MAX_BYTES = 1 << 30
PLANS_MAX = 200_000  # names kept at once: a channel has fewer, and whoever asks may invent as many as they like
ECOSYSTEM_TITLES = {
    "pypi": "PyPI",
    "cran": "CRAN",
    "cpe": "CPE products",
    "conda": "conda",
    "julia": "Julia",
    "julia-builds": "Julia",
    "bitnami": "Bitnami",
    "oss-fuzz": "OSS-Fuzz",
    "git": "repositories",
}

_packages = msgspec.msgpack.Decoder(list[CompiledPackage])
_vulnerability = msgspec.msgpack.Decoder(CompiledVulnerability)
_index = msgspec.msgpack.Decoder(CompiledIndex)


class ComponentKey(msgspec.Struct, frozen=True, gc=False):
    """What is matched: a conda name and version, or a purl (then `name` is the purl's text).

    `build` tells nothing to a feed; curation by artifact uses it. `purls` are the record's own. `subdir`: findings of
    other platforms are left out; "" for all.
    """

    type: str
    name: str
    version: str
    build: str = ""
    purls: tuple[str, ...] = ()
    subdir: str = ""


def _decoder_of(packed: Sequence[msgspec.Raw]) -> Callable[[int], CompiledVulnerability]:
    return cache(lambda number: _vulnerability.decode(packed[number]))


class OpenedIndex(Protocol):
    """What matching needs of a compiled index, wherever it lies: in memory, or in an advisory file."""

    @property
    def ecosystems(self) -> tuple[str, ...]: ...
    @property
    def packages(self) -> Mapping[str, msgspec.Raw]: ...
    @property
    def vulnerabilities(self) -> Sized: ...
    @property
    def maps(self) -> NameMaps: ...
    @property
    def knowledge(self) -> Knowledge | None: ...


class Traced(NamedTuple):
    """What an assessment of one name is made from.

    `known`: the identities that count. `claims`: what is said of each vulnerability, by its number. `clean`: the answer
    for a version of which nothing is found. `packaged`: the ecosystems that it is a package of.
    """

    identities: tuple[Identity, ...]
    known: list[Identity]
    clean: Assessment
    packaged: frozenset[str]
    claims: dict[int, list[Claim]]


_Key = tuple[str, str, str, tuple[str, ...]]  # channel, and type, name and purls of components
_Planned = tuple[AssessmentPlan | Assessment, SetAsidePlan | None]


class _WithoutVersion(AssessmentPlan):
    """The plan of a package URL that names no version: the component has to."""

    __slots__ = ("_plan",)

    def __init__(self, plan: AssessmentPlan | Assessment) -> None:
        self._plan = plan

    def assess(self, version: str) -> Assessment:
        if not version:
            return _NO_VERSION
        return self._plan.assess(version) if isinstance(self._plan, AssessmentPlan) else self._plan


class MatchIndex:
    """The compiled index, opened. Not for two threads at once; answers are shared between equal components."""

    def __init__(
        self,
        index: OpenedIndex,
        knowledge: Knowledge = NOTHING,
        vulnerability: Callable[[int], CompiledVulnerability] | None = None,
    ) -> None:
        """Take an index.

        Args:
            knowledge: For an index without any.
            vulnerability: By its number, for an index that is not in memory.
        """
        self._index = index
        self.maps: NameMaps = index.maps
        self._knowledge = knowledge if index.knowledge is None else index.knowledge
        self._rules = IgnoreRules(self._knowledge.ignore, self._knowledge.reasons())
        self.ecosystems = frozenset(index.ecosystems)
        self._curated = {p for alias in self._knowledge.names.values() for p in (*alias.products, *alias.wholes)}
        # Plans hold this and not the index: objects in a reference cycle live until the collector finds them.
        self.vulnerability = vulnerability or _decoder_of(self.compiled.vulnerabilities)
        self._plans: dict[_Key, AssessmentPlan | Assessment] = {}
        self._set_aside: dict[_Key, SetAsidePlan] = {}
        self.names_set_aside: set[str] = set()  # of components asked for, of which a row of knowledge sets aside

    @classmethod
    def load(cls, data: bytes, knowledge: Knowledge = NOTHING) -> MatchIndex:
        """Open what `build_index` made.

        Args:
            knowledge: For an index that a release compiled which kept its knowledge elsewhere.

        Raises:
            InvalidInputError: The bytes are not a compiled index of this version.
        """
        try:
            unpacked = zstandard.ZstdDecompressor().decompress(data, max_output_size=INDEX_MAX_BYTES)
            return cls(_index.decode(unpacked), knowledge)
        except (zstandard.ZstdError, msgspec.DecodeError, msgspec.ValidationError) as error:
            raise InvalidInputError(
                f"this is not a compiled match index: {error}", hint="compile it again: `antivenom feed sync`"
            ) from None

    @property
    def compiled(self) -> CompiledIndex:
        if not isinstance(self._index, CompiledIndex):
            raise TypeError("this index is not in memory")
        return self._index

    @property
    def knowledge(self) -> Knowledge:
        return self._knowledge

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
        kind, purls, plan = "", (), _NO_VERSION  # type: str, tuple[str, ...], AssessmentPlan | Assessment
        for component in components:
            # Most come sorted by name: comparing with the one before is cheaper than making a key.
            if component.name != name or component.type != kind or component.purls != purls:
                name, kind, purls = component.name, component.type, component.purls
                key = (channel, kind, name, purls)
                known = plans.get(key)
                if known is None:
                    known = self._plan(key, component)
                plan = known
            answer = plan.assess(component.version) if isinstance(plan, AssessmentPlan) else plan
            answers.append(on_subdir(answer, component.subdir) if component.subdir else answer)
        return answers

    def list_ignored(self, components: Iterable[ComponentKey], channel: str = "") -> list[tuple[IgnoredFinding, ...]]:
        """What rows of knowledge set aside of each component, in order; no part of what `assess` answers."""
        channel = channel_name(channel)
        found = []
        for component in components:
            key = (channel, component.type, component.name, component.purls)
            if key not in self._plans:
                self._plan(key, component)
            plan = self._set_aside.get(key)
            ignored = plan.ignored(component.version) if plan is not None else ()
            if component.subdir:
                [everywhere] = self.assess([msgspec.structs.replace(component, subdir="")], channel)
                ignored += of_other_platforms(everywhere, component.subdir)
            found.append(ignored)
        return found

    def plan(self, component: ComponentKey, channel: str = "") -> AssessmentPlan | Assessment:
        """All that components of this name, or of this purl, can be assessed to."""
        key = (channel_name(channel), component.type, component.name, component.purls)
        known = self._plans.get(key)
        return self._plan(key, component) if known is None else known

    def _plan(self, key: _Key, component: ComponentKey) -> AssessmentPlan | Assessment:
        """How components of this name are assessed; what is set aside of them is kept beside it."""
        channel = key[0]
        if len(self._plans) >= PLANS_MAX:
            self._plans.clear()
            self._set_aside.clear()
        if component.type == "purl":
            planned = self._plan_of_purl(component, channel)
        elif component.type != "conda":
            planned = (
                Assessment(False, f"components of type {component.type!r} are not known; use conda or a purl"),
                None,
            )
        else:
            planned = self._plan_of_conda(component.name.lower(), component.purls, channel)
        self._plans[key], set_aside = planned
        if set_aside is not None:
            self._set_aside[key] = set_aside
            if component.type == "conda":
                self.names_set_aside.add(component.name)
        return planned[0]

    def _plan_of_purl(self, component: ComponentKey, channel: str) -> _Planned:
        purl = parse_purl(component.name)
        if purl is None:
            return Assessment(False, f"{component.name[:200]!r} is not a package URL"), None
        version = purl.version or ""
        if purl.type == "conda":
            qualifiers = purl.qualifiers if isinstance(purl.qualifiers, dict) else {}
            own_channel = channel_name(qualifiers.get("channel", "")) or channel
            plan, set_aside = self._plan_of_conda(purl.name.lower(), (), own_channel)
            if isinstance(plan, AssessmentPlan):
                plan = plan.assess(version) if version else _WithoutVersion(plan)
            return plan, set_aside.at(version) if set_aside is not None and version else set_aside
        identities = identify_purl(component.name, self.maps, self._knowledge)
        plan, set_aside = self._plan_of(component.name, identities.names, identities.missing)
        return plan if version else _WithoutVersion(plan), set_aside

    def _plan_of_conda(self, name: str, purls: tuple[str, ...], channel: str) -> _Planned:
        if not purls and (clean := self._clean_at_once(name, channel)) is not None:
            return clean, None
        if not purls and (other := self.depends_on(name)):
            told = f"{name} has no files of its own: it depends on {other}, and what is known is listed there"
            return Assessment(True, told), None
        identities = self._identify(name, purls, channel)
        return self._plan_of(name, identities.names, identities.missing, name)

    def _clean_at_once(self, name: str, channel: str) -> Assessment | None:
        """The answer for the nine names in ten that only the name map knows and no advisory mentions; None: look."""
        plain = identify_plainly(name, channel, self.maps, self._knowledge)
        packages = self._index.packages
        if plain is None or plain.own in packages or any(key in packages for key in plain.guessed):
            return None
        if not plain.own:
            return Assessment(False, plain.reason)
        return Assessment(True, plain.reason) if "pypi" in self.ecosystems else None

    def _identify(self, name: str, purls: tuple[str, ...], channel: str) -> Identities:
        """The names of a conda package, and its own name where an advisory is on conda packages."""
        found = identify_conda(name, purls, channel, self.maps, self._knowledge)
        if (alias := self._knowledge.names.get(name)) is not None:
            otherwise = spelt_otherwise(name, alias, self._index.packages, self._curated)
            found = Identities((*found.names, *otherwise), found.missing)
        own = Identity("conda", name, Confidence.exact, f"the advisory is on conda package {name}")
        return found if own.key not in self._index.packages else Identities((own, *found.names), found.missing)

    def _plan_of(self, name: str, identities: Sequence[Identity], missing: str, conda_name: str = "") -> _Planned:
        traced = self._trace(name, identities, missing, conda_name)
        if not traced.known:
            return traced.clean, None
        heard: list[Hit] = []
        aside: list[Hit] = []
        for claims in traced.claims.values():
            cited, to_set_aside = decide(claims, traced.packaged, self._rules, self.vulnerability)
            heard += cited
            aside += to_set_aside
        return (
            AssessmentPlan(name, traced.clean, heard, self.vulnerability) if heard else traced.clean,
            SetAsidePlan(aside, self.vulnerability, self._rules.explain) if aside else None,
        )

    def _trace(self, name: str, identities: Sequence[Identity], missing: str, conda_name: str) -> Traced:
        """What each source says of each vulnerability under these identities, before it is decided which is heard."""
        known = [
            i
            for i in identities
            if i.key in self._index.packages
            or (i.ecosystem in self.ecosystems and i.ecosystem not in PRODUCT_ECOSYSTEMS and not i.is_guess)
        ]
        by_number = self._claims(known)
        own = self._evidence(known, by_number)
        if own:
            clean = Assessment(True, min(own, key=lambda i: CONFIDENCE_RANK[i.confidence]).reason)
        else:  # what only a map of names or an equal name suggests can show a vulnerability, but not that there is none
            clean = Assessment(
                False, self._unread(name, identities) or _no_evidence(name, known, self.explain_rule) or missing
            )
        if not known:
            return Traced(tuple(identities), known, clean, frozenset(), {})
        if conda_name in self._knowledge.parts:
            by_number = self._without_other_parts(conda_name, by_number)
        clean = self._with_undecided(clean, by_number)
        packaged = frozenset(i.ecosystem for i in own if i.ecosystem not in PRODUCT_ECOSYSTEMS)
        return Traced(tuple(identities), known, clean, packaged, by_number)

    def _evidence(self, known: Sequence[Identity], by_number: Mapping[int, Sequence[Claim]]) -> list[Identity]:
        """The identities by which silence means that nothing is known: not what only suggests a name, nor what a row
        sets aside, be it the name or each thing that is told of it (the product of that name is another one).
        """
        told = {claim.identity.key for claims in by_number.values() for claim in claims}
        counting = {c.identity.key for claims in by_number.values() for c in claims if not c.ignored_by}
        return [
            i
            for i in known
            if not (i.is_guess or i.is_fallback or i.ignored_by or i.is_correction)
            and (i.key not in told or i.key in counting or i.ecosystem not in PRODUCT_ECOSYSTEMS)
        ]

    def trace(self, component: ComponentKey, channel: str = "") -> Traced:
        """What an assessment is made from: names, and what each source says under them. Empty for what is no component.

        For a metapackage, what would count if it had files of its own.
        """
        channel, name, purls = channel_name(channel), component.name.lower(), component.purls
        if component.type == "purl":
            purl = parse_purl(component.name)
            if purl is None:
                return NOT_TRACED
            if purl.type != "conda":
                identities = identify_purl(component.name, self.maps, self._knowledge)
                return self._trace(component.name, identities.names, identities.missing, "")
            qualifiers = purl.qualifiers if isinstance(purl.qualifiers, dict) else {}
            channel, name, purls = channel_name(qualifiers.get("channel", "")) or channel, purl.name.lower(), ()
        elif component.type != "conda":
            return NOT_TRACED
        identities = self._identify(name, purls, channel)
        return self._trace(name, identities.names, identities.missing, name)

    def judge(self, traced: Traced, number: int) -> tuple[list[Claim], int]:
        """What is said of one vulnerability, with what rules set aside; and the priority of the source that decides.

        That is -1 where none does: all is set aside, taken back or cannot be compared.
        """
        claims, heard = judge(traced.claims[number], traced.packaged, self._rules, self.vulnerability)
        return claims, best_of(heard)

    def explain_rule(self, row_id: str) -> IgnoredBy:
        """A row of knowledge that sets findings aside, as findings show it."""
        return self._rules.explain(row_id)

    def depends_on(self, conda_name: str) -> str:
        """The package that a metapackage stands for; "" for one that has files of its own, or advisories of its own."""
        return "" if f"conda/{conda_name}" in self._index.packages else self._knowledge.metapackages.get(conda_name, "")

    def _without_other_parts(self, part: str, by_number: Mapping[int, list[Claim]]) -> dict[int, list[Claim]]:
        """The claims; those about another part of the project are set aside."""
        return {
            number: [
                c if c.identity.is_correction else c._replace(ignored_by=c.ignored_by or part_id(part)) for c in claims
            ]
            if part in self.vulnerability(number).other_parts
            else claims
            for number, claims in by_number.items()
        }

    def _with_undecided(self, clean: Assessment, by_number: Mapping[int, Sequence[Claim]]) -> Assessment:
        """The assessment with what nobody can decide: vulnerabilities of which no claim has a version to compare.

        Nor does a source decide that is worse than one whose versions cannot be read, unless it finds something.
        """
        reasons: dict[int, str] = {}
        for number, claims in by_number.items():
            of = [c for c in claims if c.package.undecided and _is_own(c)]
            if not of:
                continue
            best = min((c.priority for c in claims if not (c.package.undecided or c.ignored_by)), default=None)
            unread = [c for c in of if best is None or (c.package.undecided == UNREADABLE and c.priority < best)]
            if unread:
                reasons[number] = unread[0].package.undecided
        if not reasons:
            return clean
        ids = sorted(self.vulnerability(number).ids[0] for number in reasons)
        counts = Counter(reasons.values())
        told = "; ".join(
            f"{n} {'advisory names' if n == 1 else 'advisories name'} {why}: undecided"
            for why, n in sorted(counts.items())
        )
        return msgspec.structs.replace(clean, reason=f"{clean.reason}; {told}", undecided=tuple(ids))

    def _unread(self, name: str, identities: Sequence[Identity]) -> str:
        """Which feeds would name it; "" when none that is known of would."""
        own = [i for i in identities if not (i.is_guess or i.is_fallback or i.ignored_by or i.is_correction)]
        unread = sorted({ECOSYSTEM_TITLES.get(i.ecosystem, i.ecosystem) for i in own})
        if not unread:
            return ""
        products = [i.name for i in own if i.ecosystem == "cpe"]
        if products and "cpe" in self.ecosystems:
            listed = " or ".join(products[:3])
            return f"no feed that is read names {listed}; NVD's whole list or that of the CVE program would name {name}"
        return f"no feed with advisories for {' or '.join(unread)} is synced, and only those would name {name}"

    def _claims(self, identities: Sequence[Identity]) -> dict[int, list[Claim]]:
        """What is said of each vulnerability of a component with these identities, by its number."""
        found: dict[int, list[Claim]] = {}
        for identity in identities:
            packed = self._index.packages.get(identity.key)
            if packed is None:
                continue
            for package in _packages.decode(packed):
                if package.is_withdrawn and not is_heard(identity, package):
                    continue
                row_id = identity.ignored_by
                if package.target and package.target != identity.target:
                    row_id = row_id or self._rules.of_target(identity, package.target)
                row_id = row_id or self._rules.of_range(identity, is_open=package.is_open)
                claim = Claim(priority(identity, package), package, identity, row_id)
                found.setdefault(package.vulnerability, []).append(claim)
        return found


def _is_own(claim: Claim) -> bool:
    return not (claim.ignored_by or claim.identity.is_fallback or claim.identity.is_guess)


def _no_evidence(name: str, known: Sequence[Identity], explain: Callable[[str], IgnoredBy]) -> str:
    """Why names of which advisories are read leave it open whether there is anything; "" when there are none."""
    if not known:
        return ""
    listed = " or ".join(dict.fromkeys(i.name for i in known[:3]))
    if all(i.is_guess for i in known):
        return (
            f"only an equal name ties {name} to {listed}: what advisories tell of that may be of {name}, but that they "
            "tell nothing is no evidence"
        )
    if all(i.ignored_by for i in known):
        return f"no advisory source knows conda package {name}: {explain(known[0].ignored_by).reason}"
    return f"no name of {name} counts as evidence: what advisories tell of {listed} may be of another thing"


_NO_VERSION = Assessment(False, "the package URL names no version")
NOT_TRACED = Traced((), [], _NO_VERSION, frozenset(), {})
