"""The whole way from a component to its findings: names tried, what each source says, what was set aside and why.

What is found is what `MatchIndex.assess` answers; here stands how it came to that, and why the rest is no finding.

Source: docs/concepts/finding.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from antivenom.core.matching.advisories import Assessment, Finding, IgnoredFinding, Severity, kind_of
from antivenom.core.matching.compile_index import PRODUCT_ECOSYSTEMS, CompiledPackage, Interval
from antivenom.core.matching.identity import Identity
from antivenom.core.matching.match import ECOSYSTEM_TITLES, ComponentKey, MatchIndex, Traced
from antivenom.core.matching.precedence import BESIDE, GUESS_RANK, OPEN_RANK, Claim
from antivenom_client.version_keys import version_key

RANGES_SHOWN = 6  # of one source about one vulnerability
LISTED_MANY = 3  # listed versions from here on are a count
_RANKS = {
    0: "a correction", 1: "an advisory of its own ecosystem", 2: "another database of its own ecosystem",
    3: "the project itself, as CNA", 4: "the table of curated releases", 5: "NVD", 6: "another database of products",
    7: "another CNA", 8: "Bitnami", 9: "Julia", 10: "OSS-Fuzz", 11: "an advisory on its repository",
}  # fmt: skip


class NameOutcome(StrEnum):
    """What became of a name that was tried."""

    heard = "heard"  # advisories name it
    silent = "silent"  # a feed covers its ecosystem, and no advisory names it
    unread = "unread"  # no feed that is read would name it
    no_evidence = "no-evidence"  # only an equal name or a map suggests it, and no advisory names it
    set_aside = "set-aside"  # advisories name it, and a row of knowledge says that it is another thing


class Outcome(StrEnum):
    """What became of a vulnerability that is told of one of the names. In the order in which people read them."""

    finding = "finding"
    set_aside = "set-aside"
    other_platform = "other-platform"
    undecided = "undecided"
    withdrawn = "withdrawn"
    not_affected = "not-affected"


class Result(StrEnum):
    """What comparing a version with a source's ranges gives."""

    inside = "inside"
    outside = "outside"
    not_compared = "not-compared"


class NameTried(msgspec.Struct, frozen=True):
    """One name of the component, where it comes from, and which sources name it."""

    ecosystem: str
    name: str
    confidence: str
    via: str
    outcome: NameOutcome
    why: str
    advisories: int
    sources: tuple[str, ...]


class Comparison(msgspec.Struct, frozen=True):
    """What one advisory of one source says of the component's version.

    `ranges`: those that hold the version, else the first ones; `ranges_total` counts all. `rank`: whose word it is;
    the source of the best rank decides. `ignored_by`: the row that sets it aside, "" for none.
    """

    advisory: str
    source: str
    name: str
    via: str
    rank: str
    ranges: tuple[str, ...]
    ranges_total: int
    result: Result
    decides: bool
    ignored_by: str
    why: str


class Considered(msgspec.Struct, frozen=True):
    """One vulnerability that is told of one of the names, and why it is a finding or not.

    `rule`: the row of knowledge that sets it aside, "" for none.
    """

    ids: tuple[str, ...]
    kind: str
    severity: str
    summary: str
    outcome: Outcome
    rule: str
    why: str
    fixed_versions: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


class Explanation(msgspec.Struct, frozen=True):
    """How one component was assessed. `considered`: by outcome, the worst first. `counts`: how many of each outcome."""

    component: str
    version: str
    subdir: str
    assessed: bool
    reason: str
    depends_on: str
    names: tuple[NameTried, ...]
    considered: tuple[Considered, ...]
    counts: dict[str, int]


def explain(index: MatchIndex, component: ComponentKey, channel: str = "") -> Explanation:
    """How a component comes to its findings, and why all else that is told of its names is none."""
    [assessment] = index.assess([component], channel)
    [ignored] = index.list_ignored([component], channel)
    traced = index.trace(component, channel)
    depends_on = index.depends_on(component.name.lower()) if component.type == "conda" and not component.purls else ""
    considered = () if depends_on else _consider(index, component, traced, assessment, ignored)
    counts = Counter(str(item.outcome) for item in considered)
    return Explanation(
        component=component.name,
        version=component.version,
        subdir=component.subdir,
        assessed=assessment.assessed,
        reason=assessment.reason,
        depends_on=depends_on,
        names=() if depends_on else tuple(_name_tried(index, traced, identity) for identity in traced.identities),
        considered=considered,
        counts={str(outcome): counts.get(outcome, 0) for outcome in Outcome},
    )


def _name_tried(index: MatchIndex, traced: Traced, identity: Identity) -> NameTried:
    told = [c.package for claims in traced.claims.values() for c in claims if c.identity.key == identity.key]
    advisories = {package.advisory for package in told}
    outcome, why = _outcome_of_name(index, traced, identity, len(advisories))
    return NameTried(
        ecosystem=identity.ecosystem,
        name=identity.name,
        confidence=str(identity.confidence),
        via=identity.reason,
        outcome=outcome,
        why=why,
        advisories=len(advisories),
        sources=tuple(sorted({package.source for package in told})),
    )


def _outcome_of_name(index: MatchIndex, traced: Traced, identity: Identity, advisories: int) -> tuple[NameOutcome, str]:
    title = ECOSYSTEM_TITLES.get(identity.ecosystem, identity.ecosystem)
    number = f"{advisories:,} {'advisory names' if advisories == 1 else 'advisories name'} it"
    if advisories and identity.ignored_by:
        return NameOutcome.set_aside, f"{number}; set aside: {index.explain_rule(identity.ignored_by).reason}"
    if advisories:
        silence = "; only an equal name suggests it, so silence is no evidence" if identity.is_guess else ""
        return NameOutcome.heard, number + silence
    if identity.is_guess or identity.is_fallback:
        what = "an equal name" if identity.is_guess else "a map of products"
        return NameOutcome.no_evidence, f"only {what} suggests it, and no advisory names it"
    if identity.ecosystem in index.ecosystems and identity.ecosystem not in PRODUCT_ECOSYSTEMS:
        return NameOutcome.silent, f"the advisories for {title} are read, and none names it"
    if traced.claims:
        return NameOutcome.unread, "no advisory that is read names it"
    if identity.ecosystem == "cpe":
        are_read = (
            "feeds with CPE products are read" if "cpe" in index.ecosystems else "no feed with CPE products is read"
        )
        return NameOutcome.unread, f"{are_read}, and none names it; NVD's whole list or that of the CVE program would"
    return NameOutcome.unread, f"no feed that is read names it; OSV's advisories for {title} would"


def _consider(
    index: MatchIndex,
    component: ComponentKey,
    traced: Traced,
    assessment: Assessment,
    ignored: Sequence[IgnoredFinding],
) -> tuple[Considered, ...]:
    findings = {finding.ids: finding for finding in assessment.findings}
    aside = {finding.ids: finding for finding in ignored}
    undecided = set(assessment.undecided)
    places = {ids: place for place, ids in enumerate((*findings, *aside))}
    found = []
    for number in traced.claims:
        ids = index.vulnerability(number).ids
        found.append(
            _Judged(index, component, traced, number).consider(
                findings.get(ids), aside.get(ids), is_undecided=ids[0] in undecided
            )
        )
    order = list(Outcome)
    found.sort(key=lambda c: c.ids[0], reverse=True)
    found.sort(key=lambda c: (order.index(c.outcome), places.get(c.ids, len(places)), -int(Severity[c.severity])))
    return tuple(found)


class _Judged:
    """One vulnerability, with what every source says of the component's version."""

    def __init__(self, index: MatchIndex, component: ComponentKey, traced: Traced, number: int) -> None:
        self._index = index
        self._about = index.vulnerability(number)
        self._version = component.version
        self._subdir = component.subdir
        judged, self._best = index.judge(traced, number)
        rules = {(id(claim.package), claim.identity.key): claim.ignored_by for claim in judged}
        self._claims = [
            c._replace(ignored_by=rules.get((id(c.package), c.identity.key), c.ignored_by))
            for c in sorted(traced.claims[number], key=lambda c: (c.priority, c.package.advisory, c.identity.key))
        ]

    def consider(self, finding: Finding | None, ignored: IgnoredFinding | None, *, is_undecided: bool) -> Considered:
        outcome, rule, why = self._outcome(finding, ignored, is_undecided=is_undecided)
        severity = Severity(self._about.severity).name
        shown = finding or ignored
        return Considered(
            ids=self._about.ids,
            kind=str(kind_of(severity)),
            severity=severity,
            summary=self._about.summary,
            outcome=outcome,
            rule=rule,
            why=why,
            fixed_versions=shown.fixed_versions if shown else (),
            comparisons=tuple(map(self._compare, self._claims)),
        )

    def _outcome(
        self, finding: Finding | None, ignored: IgnoredFinding | None, *, is_undecided: bool
    ) -> tuple[Outcome, str, str]:
        deciding = [c for c in self._claims if self._decides(c)]
        if finding is not None:
            holding = [c for c in deciding if self._holding(c)]
            told = _either([i.text for c in holding for i in self._holding(c)])
            claim = holding[0] if holding else None
            by = f", says {_words_of_rank(claim)}" if claim else ""
            return Outcome.finding, "", f"{self._version_of(claim)} is in {told}{by}"
        if ignored is not None:
            rule = ignored.ignored_by
            is_platform = rule.rule == "platform"
            return Outcome.other_platform if is_platform else Outcome.set_aside, rule.rule, rule.reason
        if is_undecided or (self._claims and all(c.package.undecided for c in self._claims)):
            told = next(
                (c.package.undecided for c in self._claims if c.package.undecided), "versions that cannot be read"
            )
            others = (
                "no other source names releases"
                if all(c.package.undecided or c.ignored_by for c in self._claims)
                else "the sources that name releases come after that one"
            )
            return Outcome.undecided, "", f"it names {told}, and {others}"
        if deciding and all(self._key(c) is None for c in deciding):
            return Outcome.undecided, "", f"{self._version_of(deciding[0])} has no number that could be compared"
        if self._best < 0 and any(c.package.is_withdrawn for c in self._claims):
            return Outcome.withdrawn, "", "the source that would decide took it back"
        return Outcome.not_affected, "", self._why_not(deciding)

    def _why_not(self, deciding: Sequence[Claim]) -> str:
        set_aside = [c for c in self._claims if c.ignored_by]
        if not deciding and set_aside:  # of another release, too
            ranges = _either([text for c in set_aside for text in _texts(c.package)])
            return f"{self._version_of(set_aside[0])} is not in {ranges}, and {self._rule(set_aside[0])} sets it aside"
        if not deciding:
            return "no source that counts names releases"
        claim = deciding[0]
        told = f"{self._version_of(claim)} is not in {_either([t for c in deciding for t in _texts(c.package)])}"
        told += f", says {_words_of_rank(claim)}"
        otherwise = [c for c in self._claims if not self._decides(c) and not c.ignored_by and self._holding(c)]
        if otherwise:
            others = " and ".join(dict.fromkeys(map(_words_of_rank, otherwise)))
            told += f", which goes before {others}"
        return told

    def _compare(self, claim: Claim) -> Comparison:
        holding = self._holding(claim)
        compared = bool(claim.package.intervals) and self._key(claim) is not None
        result = Result.inside if holding else Result.outside if compared else Result.not_compared
        texts = tuple(dict.fromkeys(i.text for i in holding)) or _texts(claim.package)
        return Comparison(
            advisory=claim.package.advisory,
            source=claim.package.source,
            name=claim.identity.key,
            via=claim.identity.reason,
            rank=_words_of_rank(claim),
            ranges=texts[:RANGES_SHOWN],
            ranges_total=len(claim.package.intervals),
            result=result,
            decides=self._decides(claim),
            ignored_by=claim.ignored_by,
            why=self._why(claim, result),
        )

    def _why(self, claim: Claim, result: Result) -> str:
        if claim.ignored_by:
            return f"set aside by {self._rule(claim)}: {self._index.explain_rule(claim.ignored_by).reason}"
        if claim.package.is_withdrawn:
            return "withdrawn: it finds nothing"
        if claim.package.undecided:
            return f"names {claim.package.undecided}: no version can be compared with it"
        if result is Result.not_compared:
            return "the version has no number that could be compared"
        if self._decides(claim):
            return "decides"
        if self._best < 0:
            return "not heard: a source that goes first took it back"
        deciding = [c for c in self._claims if self._decides(c)]
        if any(self._holding(c) for c in deciding) == (result is Result.inside):
            return "agrees"
        return f"not heard: {_words_of_rank(deciding[0])} goes first" if deciding else "not heard"

    def _rule(self, claim: Claim) -> str:
        return f"rule {claim.ignored_by}" if claim.ignored_by else "a rule"

    def _decides(self, claim: Claim) -> bool:
        package = claim.package
        is_heard = not claim.ignored_by and not package.undecided and not package.is_withdrawn
        return is_heard and claim.decides(self._best)

    def _version_of(self, claim: Claim | None) -> str:
        return (claim.identity.version if claim else "") or self._version

    def _key(self, claim: Claim) -> bytes | None:
        return version_key(claim.package.scheme, self._version_of(claim))

    def _holding(self, claim: Claim) -> list[Interval]:
        key = self._key(claim)
        if key is None:
            return []
        return [i for i in claim.package.intervals if i.low <= key and (i.high is None or key < i.high)]


def _words_of_rank(claim: Claim) -> str:
    is_guess = claim.priority > GUESS_RANK
    rank = claim.priority - GUESS_RANK if is_guess else claim.priority
    is_open = claim.package.is_open and rank > max(_RANKS)
    words = _RANKS.get(rank - OPEN_RANK if is_open else rank, claim.package.source)
    if claim.package.source in BESIDE:
        words = f"the list of {claim.package.source}"
    words = f"{words}, without an end" if is_open else words
    return f"{words}, by an equal name" if is_guess else words


def _either(ranges: Sequence[str]) -> str:
    """Ranges as one text: the first two, and how many more."""
    unique = list(dict.fromkeys(ranges))
    more = f" or {len(unique) - 2} more" if len(unique) > 2 else ""
    return f"{' or '.join(unique[:2])}{more}" if unique else "any range"


def _texts(package: CompiledPackage) -> tuple[str, ...]:
    """The ranges as people read them; many listed versions are a count."""
    listed = [i.text for i in package.intervals if i.text.startswith("==")]
    ranges = list(dict.fromkeys(i.text for i in package.intervals if not i.text.startswith("==")))
    if len(listed) > LISTED_MANY:
        return (*ranges, f"{len(listed)} listed versions ({listed[0][2:]} to {listed[-1][2:]})")
    return (*ranges, *listed)
