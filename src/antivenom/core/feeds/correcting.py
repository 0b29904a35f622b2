"""What somebody says is wrong about one package, as rows of knowledge that are ready to be applied.

Source: docs/guides/correcting.md; docs/adr/0018-knowledge-is-a-feed.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import StrEnum

import msgspec

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds.entry import ID, EntryError, KnowledgeEntry
from antivenom.core.feeds.knowledge import CONDA_NAME, NONE, parse_row
from antivenom.core.matching.knowledge import Alias, Knowledge

REASON_MAX_CHARACTERS = 300
IS_NOT_COLUMNS = ("conda", "is_not", "reason", "source", "checked")
NAMES_COLUMNS = ("conda", "products", "part_of", "packages", "native", "source", "checked")
AFFECTED_COLUMNS = ("conda", "vulnerability", "affected", "reason", "source", "checked")
PARTS_COLUMNS = ("part", "own", "others", "rest", "reason", "source", "checked")
PLATFORMS_COLUMNS = ("vulnerability", "only_on", "source", "checked")


class CorrectionKind(StrEnum):
    """What is wrong."""

    package = "package"  # a name is another project's, or the right one is not known
    range = "range"  # other releases are affected
    part = "part"  # it is about another part of the project
    platform = "platform"  # it exists on other platforms
    missing = "missing"  # the package is affected, and nothing says so
    ignore = "ignore"  # the package is not affected for another reason


class Proposal(msgspec.Struct, frozen=True):
    """What is wrong about a conda package, and what is right; each kind needs some of the fields.

    `wrong_names`, `right_names`: "pypi/redis", "cpe/vendor:product". `affected`: "1.0..1.5 2.0.." between blanks.
    `words`: by which descriptions tell that a vulnerability is of another part. `source`: where it says so.
    """

    kind: CorrectionKind
    name: str
    version: str = ""
    vulnerability: str = ""
    wrong_names: tuple[str, ...] = ()
    right_names: tuple[str, ...] = ()
    affected: str = ""
    words: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    reason: str = ""
    source: str = ""


class Row(msgspec.Struct, frozen=True):
    """One row of a table: its columns and its cells."""

    columns: tuple[str, ...]
    cells: tuple[str, ...]


def make_rows(proposal: Proposal, knowledge: Knowledge, checked: date) -> list[Row]:
    """The rows that make it right, each readable by core/feeds/knowledge.py.

    Args:
        knowledge: What counts now: a row that is there already is repeated with the change.

    Raises:
        InvalidInputError: The proposal lacks what its kind needs, or a row would not be readable.
    """
    reason = " ".join(proposal.reason.split())
    if not reason or len(reason) > REASON_MAX_CHARACTERS:
        raise InvalidInputError(
            f"say in 1 to {REASON_MAX_CHARACTERS} characters why it is wrong",
            hint="it is shown wherever the row sets a finding aside",
            field="reason",
        )
    if not CONDA_NAME.fullmatch(proposal.name):
        raise InvalidInputError(f"{proposal.name[:80]!r} is not the name of a conda package", field="name")
    source = " ".join(proposal.source.split()) or "corrected here"
    makers = {
        CorrectionKind.package: _of_package,
        CorrectionKind.range: _of_range,
        CorrectionKind.part: _of_part,
        CorrectionKind.platform: _of_platform,
        CorrectionKind.missing: _of_range,
        CorrectionKind.ignore: _of_none,
    }
    rows = makers[proposal.kind](proposal, knowledge, reason, source)
    rows = [Row(row.columns, (*row.cells, checked.isoformat())) for row in rows]
    parse_rows(rows)
    return rows


def parse_rows(rows: Sequence[Row]) -> list[KnowledgeEntry]:
    """What the rows say.

    Raises:
        InvalidInputError: One cannot be used.
    """
    found: list[KnowledgeEntry] = []
    for row in rows:
        try:
            found += parse_row(row.columns, "\t".join(cell or "-" for cell in row.cells))
        except EntryError as error:
            raise InvalidInputError(f"the row would not be readable: {error}", field=_field(str(error))) from None
    return found


def rows_text(rows: Sequence[Row]) -> str:
    """The rows as a file of kind `knowledge`."""
    lines = ["# antivenom knowledge"]
    columns: tuple[str, ...] = ()
    for row in sorted(rows, key=lambda r: r.columns):
        if row.columns != columns:
            columns = row.columns
            lines += ["", "\t".join(columns)]
        lines.append("\t".join(cell or "-" for cell in row.cells))
    return "\n".join(lines) + "\n"


def _of_package(proposal: Proposal, knowledge: Knowledge, reason: str, source: str) -> list[Row]:
    if not proposal.wrong_names and not proposal.right_names:
        raise InvalidInputError(
            "name what the package is not, or what it is", hint="such as pypi/redis or cpe/redis:redis", field="names"
        )
    both = sorted(set(proposal.wrong_names) & set(proposal.right_names))
    if both:
        raise InvalidInputError(f"{both[0]} cannot be both right and wrong", field="names")
    rows = []
    if proposal.wrong_names:
        rows.append(Row(IS_NOT_COLUMNS, (proposal.name, " ".join(proposal.wrong_names), reason, source)))
    if proposal.right_names:
        alias = knowledge.names.get(proposal.name, Alias())
        products = [n.removeprefix("cpe/") for n in proposal.right_names if n.startswith("cpe/")]
        packages = [n for n in proposal.right_names if not n.startswith("cpe/")]
        cells = (
            proposal.name,
            _joined(alias.products, products),
            " ".join(alias.wholes),
            _joined([f"{ecosystem}/{name}" for ecosystem, name in alias.packages], packages),
            "yes" if alias.is_native else "",
            f"{source}: {reason}",
        )
        rows.append(Row(NAMES_COLUMNS, cells))
    return rows


def _of_range(proposal: Proposal, knowledge: Knowledge, reason: str, source: str) -> list[Row]:
    del knowledge
    affected = " ".join(proposal.affected.split())
    if not affected or affected == NONE:
        raise InvalidInputError(
            "name the releases that are affected", hint="such as 1.0..1.5, ..2.0 or 3.0.. (no fix)", field="affected"
        )
    return [Row(AFFECTED_COLUMNS, (proposal.name, _vulnerability(proposal), affected, reason, source))]


def _of_none(proposal: Proposal, knowledge: Knowledge, reason: str, source: str) -> list[Row]:
    del knowledge
    return [Row(AFFECTED_COLUMNS, (proposal.name, _vulnerability(proposal), NONE, reason, source))]


def _of_part(proposal: Proposal, knowledge: Knowledge, reason: str, source: str) -> list[Row]:
    """One vulnerability; with words, everything of the project that has them in its description."""
    if not proposal.words:
        return _of_none(proposal, knowledge, reason, source)
    if proposal.name not in knowledge.names:
        raise InvalidInputError(
            f"nothing says of which project {proposal.name} is a part, so no words can tell its parts apart",
            hint="leave the words out: then the one vulnerability is set aside",
            field="words",
        )
    part = knowledge.parts.get(proposal.name)
    own, others = (part.own, part.others) if part else ((), ())
    rest = "other" if part and part.is_rest_other else "own"
    words = ", ".join(dict.fromkeys((*others, *(" ".join(word.split()) for word in proposal.words))))
    told = part.reason if part else reason
    cells = (proposal.name, ", ".join(own), words, rest, told, f"{source}: {reason}")
    return [Row(PARTS_COLUMNS, cells)]


def _of_platform(proposal: Proposal, knowledge: Knowledge, reason: str, source: str) -> list[Row]:
    del knowledge
    if not proposal.platforms:
        raise InvalidInputError("name the platforms on which it exists, or any", field="platforms")
    cells = (_vulnerability(proposal), " ".join(proposal.platforms), f"{source}: {reason}")
    return [Row(PLATFORMS_COLUMNS, cells)]


def _vulnerability(proposal: Proposal) -> str:
    if not proposal.vulnerability:
        raise InvalidInputError("name the vulnerability", hint="by any of its ids", field="vulnerability")
    if not ID.fullmatch(proposal.vulnerability):
        raise InvalidInputError(
            f"{proposal.vulnerability[:80]!r} is not the id of one vulnerability", field="vulnerability"
        )
    return proposal.vulnerability


def _joined(known: Sequence[str], more: Sequence[str]) -> str:
    return " ".join(dict.fromkeys((*known, *more)))


def _field(message: str) -> str:
    """The field of the proposal that a row's refusal is about: most begin with the column."""
    column = message.partition(":")[0]
    return {"is_not": "names", "products": "names", "packages": "names", "only_on": "platforms"}.get(column, column)
