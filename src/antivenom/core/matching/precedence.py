"""Which source decides when several speak of one vulnerability and one component.

In this order: rows of knowledge about the very package (table "affected"), advisories of the component's own ecosystem
(OSV for PyPI), the project itself as CNA (CVE 5), curated releases (knowledge/releases.tsv), NVD's CPE ranges, CPE
ranges of other databases, those of other CNAs, those of re-packagers (Bitnami, Julia), OSS-Fuzz. What `BESIDE` lists
counts beside any of the databases. A withdrawn advisory finds nothing. Where the most precise source that is heard took
back all that it said, it also silences what is less precise: people looked, and there is nothing. A re-packager takes
back its own entry alone, for reasons of its own list; nobody else is silenced by that.

Source: docs/concepts/finding.md ("Which source is heard").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import NamedTuple

import msgspec

from antivenom.core.matching.advisories import Confidence
from antivenom.core.matching.compile_index import (
    PRODUCT_ECOSYSTEMS,
    CompiledPackage,
    CompiledVulnerability,
    Interval,
)
from antivenom.core.matching.identity import Identity
from antivenom.core.matching.ignoring import IgnoreRules
from antivenom.core.matching.knowledge import affected_id, release_id
from antivenom_client.version_keys import version_key

CORRECTED_PRIORITY = 0  # a row of knowledge about this very package, and nothing else
PROJECT_PRIORITY = 3
CURATED_PRIORITY = 4  # of nothing else
_PRIORITY = {
    "cpe+curated": CURATED_PRIORITY, "cpe+nvd": 5, "cpe+osv": 6, "cpe+cve5": 7,
    "bitnami": 8, "julia-builds": 9, "oss-fuzz": 10, "git": 11,
}  # fmt: skip
GUESS_RANK = 30  # by which what only an equal name ties to the component ranks behind: it silences nobody
OPEN_RANK = 10  # by which a range without an end ranks behind
BESIDE = {"nodejs"}  # lists that name the release lines of their day: they count beside a database, and silence none
UNSURE_ECOSYSTEMS = {"oss-fuzz", "git"}


class Hit(msgspec.Struct, frozen=True, gc=False):
    """One interval of one compiled package that contains a version."""

    package: CompiledPackage
    interval: Interval
    identity: Identity
    decides: bool  # by the most precise source; the others are cited when they agree
    ignored_by: str = ""  # the row of knowledge without which it would decide

    @property
    def confidence(self) -> Confidence:
        """That of the identity; low for what names no bound, for a fuzzer's crashes, and for what only a text says."""
        is_vague = self.package.is_unbounded and self.identity.ecosystem in PRODUCT_ECOSYSTEMS
        is_unsure = self.identity.ecosystem in UNSURE_ECOSYSTEMS and not self.package.is_project
        if self.identity.is_guess and self.package.is_project and not is_vague:
            return Confidence.medium  # an equal name, and the project itself says it
        return Confidence.low if is_vague or is_unsure else self.identity.confidence

    # What `antivenom_client.assessing.Span` names.
    @property
    def advisory(self) -> str:
        return self.package.advisory

    @property
    def source(self) -> str:
        return self.package.source

    @property
    def scheme(self) -> str:
        return self.package.scheme

    @property
    def text(self) -> str:
        return self.interval.text

    @property
    def reason(self) -> str:
        return self.identity.reason

    @property
    def key(self) -> str:
        return self.identity.key

    @property
    def version(self) -> str:
        return self.identity.version

    @property
    def fixed(self) -> tuple[str, ...]:
        return self.package.fixed

    @property
    def platforms(self) -> tuple[str, ...]:
        return self.package.platforms


class Claim(NamedTuple):
    """What one package of the index says of one vulnerability, and how the component is tied to it."""

    priority: int
    package: CompiledPackage
    identity: Identity
    ignored_by: str

    def decides(self, best: int) -> bool:
        """Whether it does where the most precise source has that priority."""
        return self.priority == best or (best > CURATED_PRIORITY and self.package.source in BESIDE)


def is_heard(identity: Identity, package: CompiledPackage) -> bool:
    """Whether what an advisory withdrew counts, as silence; what a re-packager withdrew does not."""
    return package.source != "osv" or identity.ecosystem not in PRODUCT_ECOSYSTEMS


def decide(
    claims: list[Claim],
    own: Set[str],
    rules: IgnoreRules,
    vulnerability: Callable[[int], CompiledVulnerability],
) -> tuple[list[Hit], list[Hit]]:
    """The intervals that may be cited of one vulnerability, and those to look at for what is set aside of it.

    It is set aside as a whole where every claim is. Where the releases that a project names decide, what the next
    source says beyond them is set aside.

    Args:
        own: The ecosystems that the component is a package of.
        vulnerability: By its number; asked only where the component is tied to it in ways that need not be true.
    """
    claims, heard = judge(claims, own, rules, vulnerability)
    if not heard:
        best = best_of(claims)
        return [], [
            Hit(claim.package, interval, claim.identity, False, claim.ignored_by)
            for claim in claims
            if claim.priority == best
            for interval in claim.package.intervals
        ]
    best = best_of(heard)
    if best < 0:
        return [], []
    row_id, next_best = _curated(heard, best) if best in (CORRECTED_PRIORITY, CURATED_PRIORITY) else ("", -1)
    deciding = [claim.package for claim in heard if claim.decides(best)]
    hits = [
        Hit(package, interval, claim.identity, claim.decides(best), row_id if claim.priority == next_best else "")
        for claim in heard
        for package in [_without_affected_fixes(claim.package, deciding)]
        for interval in package.intervals
    ]
    return hits, hits if next_best >= 0 else []


def _without_affected_fixes(package: CompiledPackage, deciding: Sequence[CompiledPackage]) -> CompiledPackage:
    """The package without fixed versions that those who decide call affected: another range, or another source."""
    kept = tuple([text for text in package.fixed if not any(_has(other, text) for other in deciding)])
    return package if len(kept) == len(package.fixed) else msgspec.structs.replace(package, fixed=kept)


def _has(package: CompiledPackage, version: str) -> bool:
    key = version_key(package.scheme, version)
    if key is None:
        return False
    for interval in package.intervals:  # noqa: SIM110  # asked of every fix; a generator would double its cost
        if interval.low <= key and (interval.high is None or key < interval.high):
            return True
    return False


def judge(
    claims: list[Claim],
    own: Set[str],
    rules: IgnoreRules,
    vulnerability: Callable[[int], CompiledVulnerability],
) -> tuple[list[Claim], list[Claim]]:
    """The claims that name versions, with what rules set aside; and those of them that are heard. As in `decide`."""
    claims = [c for c in _without_namesakes(claims, own, rules, vulnerability) if not c.package.undecided]
    heard = [claim for claim in claims if not claim.ignored_by]
    if heard and all(claim.identity.is_vague for claim in heard):
        summary = vulnerability(heard[0].package.vulnerability).summary
        judged = [claim._replace(ignored_by=rules.of_summary(claim.identity, summary)) for claim in heard]
        if all(claim.ignored_by for claim in judged):
            return judged, []
    return claims, heard


def _without_namesakes(
    claims: list[Claim],
    own: Set[str],
    rules: IgnoreRules,
    vulnerability: Callable[[int], CompiledVulnerability],
) -> list[Claim]:
    """The claims; what a map suggests is set aside where the own ecosystem's advisories name other packages alone.

    PyPI's advisories on pypdf say that they are not about pypdf2, whatever product both are.
    """
    if not own or not rules.elsewhere or not all(claim.identity.is_fallback for claim in claims):
        return claims
    if own.isdisjoint(vulnerability(claims[0].package.vulnerability).ecosystems):
        return claims
    return [claim if claim.ignored_by else claim._replace(ignored_by=rules.elsewhere) for claim in claims]


def _curated(heard: list[Claim], best: int) -> tuple[str, int]:
    """The row of knowledge that decides, and the priority of what would decide without it."""
    row = next(claim for claim in heard if claim.priority == best)
    others = [claim for claim in heard if claim.priority != best]
    id_of = affected_id if row.identity.is_correction else release_id
    return id_of(row.identity.name, row.package.advisory), best_of(others)


def best_of(claims: Sequence[Claim]) -> int:
    """The priority of the most precise source; -1 when that took back all that it said, or there is none."""
    best, is_standing = -1, False
    for claim in [claim for claim in claims if claim.package.source not in BESIDE] or claims:
        if best < 0 or claim.priority < best:
            best, is_standing = claim.priority, not claim.package.is_withdrawn
        elif claim.priority == best and not claim.package.is_withdrawn:
            is_standing = True
    return best if is_standing else -1


def priority(identity: Identity, package: CompiledPackage) -> int:
    """How precise a source is for this component, 0 best.

    A range without an end ranks behind one that names the fix: it was written before there was one.
    """
    if identity.is_correction:
        return CORRECTED_PRIORITY
    is_own = identity.ecosystem not in PRODUCT_ECOSYSTEMS or identity.confidence is Confidence.exact
    if is_own and identity.ecosystem != "cpe":
        return 1 if package.source == "osv" else 2
    if package.is_project and not package.is_open:
        return PROJECT_PRIORITY
    kind = f"cpe+{package.source}" if identity.ecosystem == "cpe" else identity.ecosystem
    behind = (OPEN_RANK if package.is_open else 0) + (GUESS_RANK if identity.is_guess else 0)
    return _PRIORITY.get(kind, 7) + behind
