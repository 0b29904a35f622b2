"""What every name can be assessed to, as rows that are read without the index: the hot tables of the advisory file.

A name that has no row, and that no advisory can mean by its mere name (antivenom_client.names.guessed_keys), has the
answer of a template: nothing is known of it but how it is called.

Source: docs/reference/advisory-file.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from antivenom.core.matching.advisories import Assessment
from antivenom.core.matching.assessment_plan import AssessmentPlan
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom_client.assessing import lay_lines
from antivenom_client.plans import BEYOND, NAME, PURL, PURL_START, REST, TEMPLATES, write_spans

_MARK = "zz0template0zz"  # a name and a version that nothing has


class PlanRow(NamedTuple):
    """The answer for versions of a name of which nothing is found, and the lines of versions of which something may be.

    `channel`: the name of the only channel whose packages this row is about; "" for all others.
    """

    name: str
    channel: str
    assessed: int
    reason: str
    undecided: str
    lines: str


class SpansRow(NamedTuple):
    """The spans that the lines of a plan are cut by (antivenom_client.plans.LaidOut)."""

    name: str
    channel: str
    spans: str


class PlanRows(NamedTuple):
    """All rows, ordered by name and channel; `templates`: by what a name begins with."""

    plans: list[PlanRow]
    spans: list[SpansRow]
    templates: dict[str, str]


def make_plan_rows(index: MatchIndex, numbers: Sequence[int]) -> PlanRows:
    """The hot tables of an index.

    Args:
        numbers: By the number of a vulnerability in this index, the one that rows name.
    """
    rows = PlanRows([], [], {})
    templates = {}
    for start, name in TEMPLATES.items():
        key = ComponentKey("purl", f"pkg:pypi/{_MARK}@{_MARK}", "") if start == "pypi/" else _conda(f"{name}{_MARK}")
        row, _ = _row_of(index.plan(key), start, "", name + _MARK, numbers)
        templates[start] = row
        rows.templates[start] = f"{int(row.assessed)} {row.reason}"
    for name in sorted(_conda_names(index)):
        default = _row_of(index.plan(_conda(name)), f"conda/{name}", "", name, numbers)
        _add(rows, *default)
        for channel in sorted(index.maps.conda.get(name, ())):
            row, spans = _row_of(index.plan(_conda(name), channel), f"conda/{name}", channel, name, numbers)
            if channel and (row[2:], spans and spans[2:]) != (default[0][2:], default[1] and default[1][2:]):
                _add(rows, row, spans)
    for name in sorted(_python_names(index)):
        plan = index.plan(ComponentKey("purl", f"pkg:pypi/{name}@{_MARK}", ""))
        row, spans = _row_of(plan, f"pypi/{name}", "", name, numbers)
        if row[2:] != templates["pypi/"][2:]:
            _add(rows, row, spans)
    return rows


def _conda(name: str) -> ComponentKey:
    return ComponentKey("conda", name, "")


def _add(rows: PlanRows, row: PlanRow, spans: SpansRow | None) -> None:
    rows.plans.append(row)
    if spans is not None:
        rows.spans.append(spans)


def _conda_names(index: MatchIndex) -> set[str]:
    """The conda names of which more is known than what they are called."""
    known = index.knowledge
    tables: tuple[Iterable[str], ...] = (
        index.maps.conda, known.names, known.python_names, known.not_names, known.affected, known.metapackages,
        known.parts,
    )  # fmt: skip
    found = {name for table in tables for name in table}
    for key in index.compiled.packages:
        ecosystem, _, name = key.partition("/")
        if ecosystem == "conda":
            found.add(name)
        elif ecosystem == "cran":
            found.add(f"r-{name}")
        elif ecosystem == "bioconductor":
            found.add(f"bioconductor-{name}")
    return {name for name in found if name == name.lower()}


def _python_names(index: MatchIndex) -> set[str]:
    return {
        key.partition("/")[2]
        for table in (index.compiled.packages, index.maps.products)
        for key in table
        if key.startswith("pypi/")
    }


def _row_of(
    plan: AssessmentPlan | Assessment, name: str, channel: str, own: str, numbers: Sequence[int]
) -> tuple[PlanRow, SpansRow | None]:
    clean = plan.clean if isinstance(plan, AssessmentPlan) else plan
    reason = _template(clean.reason, name, own)
    undecided = " ".join(clean.undecided)
    if not isinstance(plan, AssessmentPlan):
        return PlanRow(name, channel, clean.assessed, reason, undecided, ""), None
    lines = lay_lines((hit.scheme, hit.interval.low, hit.interval.high) for hit in plan.hits)
    spans = write_spans(plan.hits, [numbers[hit.package.vulnerability] for hit in plan.hits])
    if not spans:
        return PlanRow(name, channel, BEYOND, "", "", ""), None
    return (
        PlanRow(name, channel, clean.assessed, reason, undecided, lines),
        SpansRow(name, channel, _template(spans, name, own)),
    )


def _template(text: str, name: str, own: str) -> str:
    """A text in which what differs from component to component is a placeholder."""
    if name.startswith("pypi/"):
        return text.replace(f"pkg:pypi/{own}@{_MARK}", PURL).replace(f"pkg:pypi/{own}", PURL_START)
    return text.replace(own, NAME).replace(_MARK, REST) if _MARK in own else text
