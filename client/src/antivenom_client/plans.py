"""What is known of components, from the hot tables of an advisory file: the answers of the match index, read, not made.

Source: docs/reference/advisory-file.md; docs/concepts/finding.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from antivenom_client.advisory_file import AdvisoryFile, UnusableFile
from antivenom_client.assessing import (
    SEVERITIES,
    Merged,
    is_risk_estimated,
    no_place,
    place_on_lines,
    rank,
)
from antivenom_client.names import guessed_keys, normalize_python
from antivenom_client.platforms import is_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from antivenom_client.assessing import Span

PURL, PURL_START, NAME, REST = "\1", "\2", "\3", "\4"
"""In texts of rows: the package URL, the same without its version, the name, and the name without its first part."""
SECTION, RECORD, FIELD, ITEM = "\x1c", "\x1d", "\x1e", "\x1f"
"""What separates the parts of `spans`: ASCII's own separators, largest first."""
BEYOND = 2
"""In place of `assessed`: the match index knows."""
TEMPLATES = {"conda/": "", "conda/r-": "r-", "conda/bioconductor-": "bioconductor-", "pypi/": ""}
_AT_ONCE = 500  # a query may have 999 arguments in an old SQLite
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_OTHER_SAFE = {"!": "%21", "+": "%2B", "~": "~"}


class BeyondPlans(Exception):
    """The hot tables do not answer this; the match index over the file does."""


class Query:
    """A component: of conda, or of PyPI by its package URL. `channel` is a channel's name as maps know it."""

    __slots__ = ("channel", "name", "purl", "subdir", "version")

    def __init__(self, name: str, version: str, *, channel: str = "", subdir: str = "", purl: str = "") -> None:
        self.name = name
        self.version = version
        self.channel = channel
        self.subdir = subdir
        self.purl = purl

    @property
    def key(self) -> str:
        return f"pypi/{normalize_python(self.name)}" if self.purl else f"conda/{self.name}"


class Finding:
    """One vulnerability of a component, by the words of the match index's findings."""

    __slots__ = (
        "confidence", "cvss", "epss", "evidence", "fix_in_channel", "fixed_versions", "ids", "kev", "kev_ransomware",
        "kind", "modified", "platforms", "published", "risk", "risk_estimated", "severity", "status", "summary",
        "told_on",
    )  # fmt: skip

    def __init__(self, row: Sequence[Any], spans: Sequence[_Span], version: str) -> None:
        _, ids, severity, cvss, disputed, published, modified, summary, platforms, told_on, *scores = row
        risk, epss, kev, ransomware = scores
        merged = Merged(spans, disputed=bool(disputed), only_on=platforms.split(), told_on=told_on.split())
        self.ids = tuple(ids.split(" "))
        self.severity = SEVERITIES[severity]
        self.cvss = cvss
        self.kev = bool(kev)
        self.epss = epss
        self.risk = risk
        self.fixed_versions = tuple(merged.fixed[merged.cut(version) :])
        self.status = "disputed" if disputed else "reported"
        self.confidence = merged.confidence
        self.evidence = merged.evidence
        self.published = published
        self.modified = modified
        self.summary = summary
        self.kev_ransomware = bool(ransomware)
        self.fix_in_channel = None
        self.kind = "malware" if self.severity == "malware" else "vulnerability"
        self.risk_estimated = is_risk_estimated(self.severity, epss, kev=self.kev)
        self.platforms = merged.platforms
        self.told_on = merged.told_on


class Answer:
    """What is known of a component, by the words of the match index's assessments."""

    __slots__ = ("assessed", "findings", "reason", "undecided")

    def __init__(
        self, assessed: bool, reason: str, findings: Sequence[Finding] = (), undecided: tuple[str, ...] = ()
    ) -> None:
        self.assessed = assessed
        self.reason = reason
        self.findings = tuple(findings)
        self.undecided = undecided


class _Span:
    """A span as the file has it (antivenom_client.assessing.Span)."""

    __slots__ = (
        "advisory", "confidence", "decides", "fixed", "key", "platforms", "reason", "scheme", "source", "text",
        "version",
    )  # fmt: skip

    def __init__(self, package: str, identity: str, text: str, decides: str, confidence: str) -> None:
        self.advisory, self.source, self.scheme, fixed, platforms = package.split(FIELD)
        self.fixed = fixed.split(ITEM) if fixed else []
        self.platforms = platforms.split(ITEM) if platforms else []
        self.key, self.reason = identity.split(FIELD)
        self.version = ""
        self.text = text
        self.decides = decides == "1"
        self.confidence = confidence


class LaidOut:
    """The spans of a plan as the file has them; each is read when it is asked for."""

    def __init__(self, text: str) -> None:
        vulnerabilities, packages, identities, spans = text.split(SECTION)
        self._numbers = vulnerabilities.split(" ")
        self._packages = packages.split(RECORD)
        self._identities = identities.split(RECORD)
        self._spans = spans.split(RECORD)

    def of(self, place: int) -> tuple[int, bool]:
        """The vulnerability of a span, and whether the span decides."""
        fields = self._spans[place].split(FIELD, 4)
        return int(self._numbers[int(fields[0])]), fields[3] == "1"

    def span(self, place: int) -> _Span:
        """One of them as a whole."""
        _, package, identity, decides, confidence, text = self._spans[place].split(FIELD)
        return _Span(self._packages[int(package)], self._identities[int(identity)], text, decides, confidence)


def write_spans(spans: Iterable[Span], numbers: Iterable[int]) -> str:
    """The text of `LaidOut`; "" where a text has one of its separators in it.

    Args:
        numbers: The vulnerability of each span.
    """
    vulnerabilities: dict[str, int] = {}
    packages: dict[str, int] = {}
    identities: dict[str, int] = {}
    listed = []
    for span, number in zip(spans, numbers):  # noqa: B905  # of one length
        package = [span.advisory, span.source, span.scheme, ITEM.join(span.fixed), ITEM.join(span.platforms)]
        fields = [
            str(vulnerabilities.setdefault(str(number), len(vulnerabilities))),
            str(packages.setdefault(FIELD.join(package), len(packages))),
            str(identities.setdefault(f"{span.key}{FIELD}{span.reason}", len(identities))),
            str(int(span.decides)),
            span.confidence,
            span.text,
        ]
        texts = (*package[:3], *span.fixed, *span.platforms, span.key, span.reason, span.confidence, span.text)
        if any(separator in text for text in texts for separator in (SECTION, RECORD, FIELD, ITEM)):
            return ""
        listed.append(FIELD.join(fields))
    return SECTION.join(
        [" ".join(vulnerabilities), RECORD.join(packages), RECORD.join(identities), RECORD.join(listed)]
    )


class Plans:
    """The hot tables of an open file."""

    def __init__(self, file: AdvisoryFile) -> None:
        self._file = file
        self._rows: dict[str, dict[str, Any]] = {}  # key → channel → row
        self._spans: dict[tuple[str, str], LaidOut] = {}
        self._vulnerabilities: dict[int, Any] = {}
        self._meta: dict[str, str] = {}

    def assess(self, queries: Sequence[Query]) -> list[Answer]:
        """What is known about each component, in order.

        Raises:
            BeyondPlans: Only the match index knows.
            UnusableFile: The file is damaged.
        """
        try:
            keys = [query.key for query in queries]
            self._read_rows(dict.fromkeys(keys))
            self._check_guesses(queries)
            placed = [self._place(query, key) for query, key in zip(queries, keys)]  # noqa: B905  # Python 3.9's zip
            self._read_spans(dict.fromkeys((row[0], row[1]) for row, places in placed if places))
            found = [self._find(row, places) if places else {} for row, places in placed]
            self._read_vulnerabilities(dict.fromkeys(number for numbers in found for number in numbers))
            return [
                self._answer(query, row, places, numbers)
                for query, (row, places), numbers in zip(queries, placed, found)  # noqa: B905
            ]
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            raise UnusableFile(f"{self._file.path} is damaged: {error!r}") from None

    def made_at(self) -> str:
        """When the file was made."""
        return self._read_meta().get("made_at", "")

    def _read_meta(self) -> dict[str, str]:
        if not self._meta:
            self._meta = self._file.meta()
        return self._meta

    # -- reading -------------------------------------------------------------------------------------------------------

    def _select(self, sql: str, wanted: Sequence[Any]) -> Iterable[Any]:
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            yield from self._file.rows(sql.replace("?", ",".join("?" * len(part))), part)

    def _read_rows(self, keys: Iterable[str]) -> None:
        wanted = [key for key in keys if key not in self._rows]
        for key in wanted:
            self._rows[key] = {}
        sql = "SELECT name, channel, assessed, reason, undecided, lines FROM plans WHERE name IN (?)"
        for row in self._select(sql, wanted):
            self._rows[row[0]][row[1]] = row

    def _check_guesses(self, queries: Iterable[Query]) -> None:
        """Make the rows of names that have none from templates, unless an advisory may mean them."""
        missing = {query.key: query for query in queries if not self._rows[query.key]}
        guesses = [key for query in missing.values() if not query.purl for key in guessed_keys(query.name)]
        for _ in self._select("SELECT key FROM packages WHERE key IN (?)", guesses):
            raise BeyondPlans
        for key in missing:
            start = max((start for start in TEMPLATES if key.startswith(start) and key != start), key=len)
            told = self._read_meta()[f"template {start}"]
            self._rows[key][""] = (key, "", told[0] == "1", _filled(told[2:], key, start), "", "")

    def _read_spans(self, places: Iterable[tuple[str, str]]) -> None:
        wanted = [place for place in places if place not in self._spans]
        if not wanted:
            return
        sql = "SELECT name, channel, spans FROM spans WHERE name IN (?)"
        for name, channel, spans in self._select(sql, list(dict.fromkeys(name for name, _ in wanted))):
            if (name, channel) in wanted:
                self._spans[name, channel] = LaidOut(spans)

    def _read_vulnerabilities(self, numbers: Iterable[int]) -> None:
        sql = (
            "SELECT number, ids, severity, cvss, disputed, published, modified, summary, platforms, told_on, risk,"
            " epss, kev, ransomware FROM vulnerabilities JOIN scores USING (number) WHERE number IN (?)"
        )
        for row in self._select(sql, [number for number in numbers if number not in self._vulnerabilities]):
            self._vulnerabilities[row[0]] = row

    # -- answering -----------------------------------------------------------------------------------------------------

    def _place(self, query: Query, key: str) -> tuple[Any, list[int] | None]:
        """The row of a component, and the spans that its version lies in."""
        rows = self._rows[key]
        row = rows.get(query.channel) or rows[""]
        if row[2] == BEYOND:
            raise BeyondPlans
        return row, place_on_lines(row[5], query.version) if row[5] else []

    def _find(self, row: Any, places: list[int]) -> dict[int, list[int]]:
        """The spans of every vulnerability that is found, by its number."""
        laid = self._spans[row[0], row[1]]
        found: dict[int, list[int]] = {}
        decided = set()
        for place in places:
            number, decides = laid.of(place)
            found.setdefault(number, []).append(place)
            if decides:
                decided.add(number)
        return {number: listed for number, listed in found.items() if number in decided}

    def _answer(self, query: Query, row: Any, places: list[int] | None, found: dict[int, list[int]]) -> Answer:
        name, channel, assessed, reason, undecided, _ = row
        if places is None:
            return Answer(False, no_place(query.purl or query.name))
        undecided = tuple(undecided.split())
        reason = _of_purl(reason, query.purl)
        if not found:
            return Answer(bool(assessed), reason, (), undecided)
        laid = self._spans[name, channel]
        if not assessed:
            reason = _of_purl(laid.span(places[0]).reason, query.purl)
        findings = []
        for number, listed in found.items():
            spans = [laid.span(place) for place in listed]
            if query.purl:
                for span in spans:
                    span.reason = _of_purl(span.reason, query.purl)
            findings.append(Finding(self._vulnerabilities[number], spans, query.version))
        decided = {finding.ids[0] for finding in findings}  # another source can be read where the better one cannot
        undecided = tuple(i for i in undecided if i not in decided)
        findings.sort(key=lambda finding: (finding.epss is None, finding.ids[0]))
        findings.sort(key=_rank, reverse=True)
        if query.subdir:
            findings = [f for f in findings if not f.platforms or is_on(f.platforms, query.subdir)]
            for finding in findings:
                if finding.told_on and not is_on(finding.told_on, query.subdir):
                    finding.confidence = "low"
        return Answer(True, reason, findings, undecided)


def _rank(finding: Finding) -> tuple[bool, float, int, str]:
    return rank(SEVERITIES.index(finding.severity), finding.risk, finding.published, kev=finding.kev)


def _filled(text: str, key: str, start: str) -> str:
    """A template for one conda name."""
    return text.replace(NAME, key.partition("/")[2]).replace(REST, key[len(start) :])


def _of_purl(text: str, purl: str) -> str:
    return text.replace(PURL, purl).replace(PURL_START, purl.partition("@")[0])


def python_purl(name: str, version: str) -> str:
    """The package URL of a PyPI release.

    Raises:
        BeyondPlans: It has characters that have to be written in another way.

    Source: package-url specification (type pypi).
    """
    if not _SAFE.issuperset(name) or not version:
        raise BeyondPlans
    written = version
    if not _SAFE.issuperset(version):
        if not (_SAFE | _OTHER_SAFE.keys()).issuperset(version):
            raise BeyondPlans
        written = "".join(_OTHER_SAFE.get(c, c) for c in version)
    return f"pkg:pypi/{name.replace('_', '-').lower()}@{written}"
