"""What advisories say of one name, laid out on its lines of versions, and what that comes to for one version.

A span is an interval of versions by one advisory; the spans of a name are numbered, and sets of them are bits. Versions
between the same cuts of a line lie in the same spans.

Source: docs/concepts/finding.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import xor

from antivenom_client.version_keys import version_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Span(Protocol):
        """An interval of versions that one advisory names, and by which name the component is tied to it.

        `decides`: its source is the most precise one. `identity`: "ecosystem/name". `version`: of the component, where
        its package URL names one.
        """

        @property
        def advisory(self) -> str: ...
        @property
        def source(self) -> str: ...
        @property
        def scheme(self) -> str: ...
        @property
        def text(self) -> str: ...
        @property
        def decides(self) -> bool: ...
        @property
        def confidence(self) -> str: ...
        @property
        def reason(self) -> str: ...
        @property
        def key(self) -> str: ...
        @property
        def version(self) -> str: ...
        @property
        def fixed(self) -> Sequence[str]: ...
        @property
        def platforms(self) -> Sequence[str]: ...


MALWARE = 5
SEVERITIES = ("unknown", "low", "medium", "high", "critical", "malware")
ANY_PLATFORM = "any"
TOLD = "its words say that it exists on {} alone; a text is no proof, so the confidence is low elsewhere"
CONFIDENCES = ("exact", "high", "medium", "low")  # the surest first
_RANK = {confidence: rank for rank, confidence in enumerate(CONFIDENCES)}


class Line:
    """One line of versions, cut by all intervals that lie on it. Spans are counted from `first`."""

    __slots__ = ("_covered", "_cuts", "scheme", "version")

    def __init__(
        self, scheme: str, version: str, intervals: Iterable[tuple[bytes, bytes | None]], first: int = 0
    ) -> None:
        self.scheme = scheme
        self.version = version
        turned = {b"": 0}  # cut → spans that begin or end there
        for bit, (low, high) in enumerate(intervals, first):
            turned[low] = turned.get(low, 0) ^ 1 << bit
            if high is not None:
                turned[high] = turned.get(high, 0) ^ 1 << bit
        self._cuts = sorted(turned)
        self._covered = list(accumulate((turned[cut] for cut in self._cuts), xor))

    def hits(self, version: str) -> int:
        """The spans that a version lies in, as bits; -1 when the version has no place."""
        key = version_key(self.scheme, self.version or version)
        return -1 if key is None else self._covered[bisect_right(self._cuts, key) - 1]


def lay_lines(spans: Iterable[tuple[str, bytes, bytes | None]]) -> str:
    """Lines of versions as text: for each its scheme, its cuts (hexadecimal keys), and what begins and ends there.

    Args:
        spans: Scheme, low and high of each span; those of one line follow each other.
    """
    lines: dict[str, dict[bytes, tuple[list[str], list[str]]]] = {}
    for number, (scheme, low, high) in enumerate(spans):
        turned = lines.setdefault(scheme, {b"": ([], [])})
        turned.setdefault(low, ([], []))[0].append(str(number))
        if high is not None:
            turned.setdefault(high, ([], []))[1].append(str(number))
    return "\n".join(
        "\t".join([scheme, " ".join(cut.hex() for cut in sorted(turned)), *_turns(turned)])
        for scheme, turned in lines.items()
    )


def _turns(turned: dict[bytes, tuple[list[str], list[str]]]) -> list[str]:
    return [" ".join(",".join(turned[cut][side]) for cut in sorted(turned)) for side in (0, 1)]


def place_on_lines(lines: str, version: str) -> list[int] | None:
    """The spans that a version lies in, of lines that are a text, ascending; None when it has no place on any."""
    found: list[int] = []
    is_placed = False
    for line in lines.split("\n"):
        scheme, cuts, begins, ends = line.split("\t")
        key = version_key(scheme, version)
        if key is not None:
            is_placed = True
            count = bisect_right(cuts.split(" "), key.hex())
            begun = ",".join(begins.split(" ", count)[:count])
            ended = ",".join(ends.split(" ", count)[:count])
            inside = set(begun.split(",")).difference(ended.split(","))
            inside.discard("")
            found += map(int, inside)
    found.sort()
    return found if is_placed else None


def lowest(bits: int) -> int:
    """The number of the first span of a set that is not empty."""
    return (bits & -bits).bit_length() - 1


def spans_in(bits: int) -> list[int]:
    """The numbers of the spans of a set, ascending."""
    found = []
    while bits:
        found.append(lowest(bits))
        bits &= bits - 1
    return found


def no_place(name: str) -> str:
    """Why a component is not assessed whose version lies on no line."""
    return f"the version of {name} has no number, so no affected range can be compared with it"


class Merged:
    """What one set of spans says of one vulnerability.

    `evidence`: (source, reason, range). `told_on`: where alone it exists by the words of its text. `scheme`, `version`,
    `keys` and `fixed` are of the surest source that names fixed versions.
    """

    __slots__ = ("confidence", "evidence", "fixed", "keys", "platforms", "scheme", "told_on", "version")

    def __init__(
        self, spans: Sequence[Span], *, disputed: bool, only_on: Sequence[str], told_on: Sequence[str] = ()
    ) -> None:
        """Merge spans.

        Args:
            only_on: Where alone the vulnerability exists as far as knowledge says so, or "any" for everywhere.
            told_on: The same by the words of its text, which counts only where nothing else does.
        """
        spans = sorted(spans, key=lambda s: (not s.decides, _RANK[s.confidence], s.advisory, s.text))
        evidence: dict[tuple[str, str], tuple[str, str, str]] = {}
        for span in spans:  # one product under two vendor names is one piece of evidence
            source = f"{span.advisory} ({span.source})"
            evidence.setdefault((source, span.text), (source, span.reason, span.text))
        rank = _RANK[spans[0].confidence]
        self.confidence = CONFIDENCES[min(rank + 1, len(CONFIDENCES) - 1)] if disputed else spans[0].confidence
        self.platforms = () if ANY_PLATFORM in only_on else tuple(only_on) or _platforms(spans)
        self.told_on = () if self.platforms or only_on else tuple(told_on)
        told = [(f"{spans[0].advisory} (text)", TOLD.format(", ".join(told_on)), "")] if self.told_on else []
        self.evidence = (*evidence.values(), *told)
        self.scheme, self.version, fixed = _fixed(spans)
        self.keys = sorted(fixed)
        self.fixed = [fixed[key] for key in self.keys]

    def cut(self, version: str) -> int:
        """How many of the fixed versions are not above a version."""
        if not self.keys:
            return 0
        return bisect_right(self.keys, version_key(self.scheme, self.version or version) or b"")


def _platforms(spans: Sequence[Span]) -> tuple[str, ...]:
    """Where alone the vulnerability exists, by the first source, those that decide first, that says so throughout."""
    for span in spans:  # nearly none is of one platform
        if span.platforms:
            break
    else:
        return ()
    sources: dict[tuple[bool, str], list[Span]] = {}
    for span in spans:
        sources.setdefault((not span.decides, span.source), []).append(span)
    for key in sorted(sources):
        if all(span.platforms for span in sources[key]):
            return tuple(sorted({p for span in sources[key] for p in span.platforms}))
        if any(span.platforms for span in sources[key]):
            return ()
    return ()


def _fixed(spans: Sequence[Span]) -> tuple[str, str, dict[bytes, str]]:
    """Scheme, the purl's own version, and the fixed versions by key, of the surest source that names any."""
    naming = [span for span in spans if span.fixed]
    if not naming:
        return "generic", "", {}
    best = naming[0]
    found: dict[bytes, str] = {}
    for span in naming:
        if (span.key, span.decides, span.scheme) == (best.key, best.decides, best.scheme):
            for text in span.fixed:
                if (key := version_key(best.scheme, text)) is not None:
                    found.setdefault(key, text)
    return best.scheme, best.version, found


def rank(severity: int, risk: float, published: str, *, kev: bool) -> tuple[bool, float, int, str]:
    """What orders findings, the worst highest: exploited ones and malware, then by risk, severity, and date.

    Args:
        published: RFC 3339, UTC; "" when unknown.
    """
    return kev or severity == MALWARE, risk, severity, published


def is_risk_estimated(severity: str, epss: float | None, *, kev: bool) -> bool:
    """Whether a risk rests on an estimated threat: known are EPSS, exploitation, and malware, which always harms."""
    return epss is None and not kev and severity != "malware"
