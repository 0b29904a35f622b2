"""`knowledge`: what people know and no feed says, as tables: names, affected releases, rules that set findings aside.

A line that names a table's columns begins that table; a file may have several. Lines that begin with # are comments,
and "-" stands for nothing. Every row has an id, "table/key"; the table `remove` switches rows off by id.

Source: docs/reference/feeds.md ("Knowledge"); the files of src/antivenom/knowledge/ say what each column means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import get_args

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import unpack
from antivenom.core.feeds.entry import ID, ID_MAX_CHARACTERS, Beginning, EntryError, KnowledgeEntry, Reading, SetAside
from antivenom.core.matching import platforms
from antivenom.core.matching.advisories import AffectedRange
from antivenom.core.matching.knowledge import (
    IGNORE,
    MALWARE,
    METAPACKAGES,
    NAMES,
    PACKAGING_WORDS,
    PARTS,
    PLATFORMS,
    PYTHON_NAMES,
    RENAMED,
    SPEAKERS,
    TOLD,
    VERSIONS,
    WORDS,
    Affected,
    Alias,
    AppliesTo,
    Fact,
    IgnoreRule,
    IsNot,
    LooksAt,
    MalwareRule,
    MalwareSign,
    Metapackage,
    OnlyOn,
    Part,
    PythonName,
    Release,
    Renamed,
    Speaker,
    ToldOn,
    VersionRule,
    WordList,
    affected_id,
    is_not_id,
    release_id,
)
from antivenom_client.version_keys import VERSION_MAX_CHARACTERS, version_key

KIND = "knowledge"
TITLE = "Knowledge (curated names, releases and rules)"
TABLE = "knowledge"
USUAL_LOCATION = ""

SCHEME = "cpe"
OPEN, ELSEWHERE, NONE = "open", "elsewhere", "none"
ENTRIES_MAX = 200_000  # of one file; ours have 1,300
LINE_MAX_CHARACTERS = 50_000
ITEMS_MAX = 1_000  # names, products, ids or words of one row
WORD_MAX_CHARACTERS = 60
TEXT_MAX_CHARACTERS = 500
NUMBERS_MAX = 8

CONDA_NAME = re.compile(r"[a-z0-9_][a-z0-9_.+-]{0,127}")
PRODUCT = re.compile(r"[^\s:/]{1,200}:\S{1,200}")
SPOKEN_FOR = re.compile(rf"{PRODUCT.pattern}|[a-z0-9][a-z0-9.-]{{1,60}}/\S{{1,200}}")  # or repositories
PACKAGE = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}/\S{1,200}")
PYTHON_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,199}")
RULE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
CNA = re.compile(r"[a-z0-9@][a-z0-9@_. -]{0,60}")
PLATFORM_WORDS = (*platforms.PLATFORMS, *platforms.GROUPS)
ROW_ID = re.compile(r"[a-z-]{1,20}/\S{1,400}")

Cells = dict[str, str]
Made = Iterable[tuple[str, Fact | None]]  # id and fact; None switches the id off


def recognizes(beginning: Beginning) -> bool:
    """Whether a file begins with a table of this kind, or with a comment that says so."""
    line = beginning.first_line
    return _columns(line) in _TABLES or line.lower().lstrip("# ").startswith("antivenom knowledge")


def read(member: unpack.Member, reading: Reading) -> Iterator[KnowledgeEntry | SetAside]:
    """The rows of one file, each id once.

    Raises:
        InvalidInputError: The file does not begin with the columns of a table, or has more rows than any real one.
    """
    del reading
    columns: tuple[str, ...] = ()
    seen: set[str] = set()
    for number, raw in unpack.lines(member):
        label = f"{member.name} line {number}"
        try:
            line = _text(raw)
            if not line.strip() or line.startswith("#"):
                continue
            if _columns(line) in _TABLES:
                columns = _columns(line)
                continue
            if not columns:
                raise InvalidInputError(
                    f"{member.name} is not knowledge: line {number} names no known columns",
                    hint="a table begins with the names of its columns: docs/reference/feeds.md, Knowledge",
                )
            entries = parse_row(columns, line)
        except EntryError as error:
            yield SetAside(label, str(error))
            continue
        for entry in entries:
            if entry.id in seen:
                yield SetAside(f"{label}: {entry.id}", "stands in this file already; its first row counts")
                continue
            seen.add(entry.id)
            yield entry
        if len(seen) > ENTRIES_MAX:
            raise InvalidInputError(f"{member.name} has more than {ENTRIES_MAX:,} rows", hint="split it")


def parse_row(columns: tuple[str, ...], line: str) -> list[KnowledgeEntry]:
    """What one row says; a row that names several packages or vulnerabilities is an entry of each.

    Raises:
        EntryError: The row cannot be used.
    """
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) != len(columns):
        raise EntryError(f"has {len(cells)} columns instead of {len(columns)}")
    row = {name: "" if cell == "-" else cell for name, cell in zip(columns, cells, strict=True)}
    source, checked = _prose(row, "source"), _day(row["checked"])
    return [KnowledgeEntry(row_id, fact, source, checked) for row_id, fact in _TABLES[columns](row)]


def _text(raw: bytes) -> str:
    try:
        line = raw.decode()
    except UnicodeDecodeError:
        raise EntryError("is not UTF-8") from None
    if len(line) > LINE_MAX_CHARACTERS or raw is unpack.TOO_LONG:
        raise EntryError(f"is longer than {LINE_MAX_CHARACTERS:,} characters")
    return line.replace("\0", "")


def _columns(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.split("\t"))


# -- the tables -----------------------------------------------------------------------------------------------------


def _names(row: Cells) -> Made:
    alias = Alias(
        _items(row, "products", PRODUCT),
        tuple((e, n) for e, _, n in (p.partition("/") for p in _items(row, "packages", PACKAGE))),
        _items(row, "part_of", PRODUCT),
        _flag(row, "native"),
    )
    if not (alias.products or alias.packages or alias.wholes):
        raise EntryError("names neither a product nor a package")
    return [(f"{NAMES}/{name}", alias) for name in _needed(row, "conda", CONDA_NAME)]


def _python_names(row: Cells) -> Made:
    (name,) = _needed(row, "conda", CONDA_NAME, at_most=1)
    (project,) = _needed(row, "pypi", PYTHON_NAME, at_most=1)
    return [(f"{PYTHON_NAMES}/{name}", PythonName(project))]


def _renamed(row: Cells) -> Made:
    (old,) = _needed(row, "renamed", PYTHON_NAME, at_most=1)
    (new,) = _needed(row, "to", PYTHON_NAME, at_most=1)
    return [(f"{RENAMED}/{old}", Renamed(new))]


def _releases(row: Cells) -> Made:
    (product,) = _needed(row, "product", PRODUCT, at_most=1)
    ranges = tuple(map(_range, _needed(row, "affected", re.compile(r"\S+"))))
    return [(release_id(product, i), Release(product, i, ranges)) for i in _needed(row, "ids", ID)]


def _ignore(row: Cells) -> Made:
    name = _one_of(row, "ignore", RULE_NAME)
    applies_to, looks_at = row["applies_to"], row["looks_at"]
    if applies_to not in get_args(AppliesTo):
        raise EntryError(f"applies_to {applies_to[:40]!r} is not one of {', '.join(get_args(AppliesTo))}")
    if looks_at not in get_args(LooksAt):
        raise EntryError(f"looks_at {looks_at[:40]!r} is not one of {', '.join(get_args(LooksAt))}")
    words = _words(row, "words")
    if looks_at == "range" and words != (OPEN,):
        raise EntryError(f"a row that looks at the range has the word {OPEN!r} alone")
    if not words:
        raise EntryError("has no words")
    if looks_at == "ecosystem" and (applies_to, words) != ("suggested", (ELSEWHERE,)):
        raise EntryError(f"a row that looks at the ecosystem applies to suggested ones and has the word {ELSEWHERE!r}")
    if applies_to in ("any", "guessed") and looks_at != "target":
        raise EntryError(f"a row that applies to {applies_to!r} looks at the target")
    if looks_at != "summary" and row["unless"]:
        raise EntryError("only a row that looks at the summary has words in `unless`")
    if looks_at == "product" and applies_to != "suggested":
        raise EntryError("a row that looks at the product applies to suggested ones")
    rule = IgnoreRule(applies_to, looks_at, words, _words(row, "unless"), _prose(row, "reason"))  # type: ignore[arg-type]
    return [(f"{IGNORE}/{name}", rule)]


def _versions(row: Cells) -> Made:
    (package,) = _needed(row, "package", PACKAGE, at_most=1)
    numbers = row["numbers"]
    if not (numbers.isascii() and numbers.isdigit() and len(numbers) == 1 and 1 <= int(numbers) <= NUMBERS_MAX):
        raise EntryError(f"numbers {numbers[:20]!r} is not a number from 1 to {NUMBERS_MAX}")
    return [(f"{VERSIONS}/{package}", VersionRule(package, int(numbers)))]


def _word_lists(row: Cells) -> Made:
    name, words = row["words"], _words(row, "listed")
    if name != PACKAGING_WORDS:
        raise EntryError(f"{name[:40]!r} is not a list that matching looks at; {PACKAGING_WORDS} is one")
    if not words:
        raise EntryError("lists no words; to switch the list off: remove")
    return [(f"{WORDS}/{name}", WordList(words))]


def _speakers(row: Cells) -> Made:
    cna = row["cna"].lower()
    if not CNA.fullmatch(cna):
        raise EntryError(f"cna {row['cna'][:40]!r} is not a CNA's short name")
    return [(f"{SPEAKERS}/{cna.replace(' ', '_')}", Speaker(_items(row, "speaks_for", SPOKEN_FOR)))]


def _parts(row: Cells) -> Made:
    own, others = _words(row, "own"), _words(row, "others")
    if row["rest"] not in ("own", "other"):
        raise EntryError(f"rest is {row['rest'][:40]!r} and not own or other")
    if not own and not others:
        raise EntryError("has no words")
    part = Part(own, others, row["rest"] == "other", _prose(row, "reason"))
    return [(f"{PARTS}/{name}", part) for name in _needed(row, "part", CONDA_NAME)]


def _metapackages(row: Cells) -> Made:
    (depends_on,) = _needed(row, "depends_on", CONDA_NAME, at_most=1)
    return [(f"{METAPACKAGES}/{name}", Metapackage(depends_on)) for name in _needed(row, "metapackage", CONDA_NAME)]


def _malware(row: Cells) -> Made:
    name, looks_at = _one_of(row, "malware", RULE_NAME), row["looks_at"]
    if looks_at not in get_args(MalwareSign):
        raise EntryError(f"looks_at {looks_at[:40]!r} is not one of {', '.join(get_args(MalwareSign))}")
    words = _words(row, "words")
    if not words:
        raise EntryError("has no words")
    if looks_at != "summary" and (row["unless"] or any("*" in word for word in words)):
        raise EntryError("only a row that looks at the summary has words in `unless`, or a * in its words")
    rule = MalwareRule(looks_at, words, _words(row, "unless"))  # type: ignore[arg-type]
    return [(f"{MALWARE}/{name}", rule)]


def _platforms(row: Cells) -> Made:
    listed = _needed(row, "only_on", re.compile("|".join((*PLATFORM_WORDS, platforms.ANY))))
    if platforms.ANY in listed and len(listed) > 1:
        raise EntryError(f"only_on: {platforms.ANY} stands alone")
    return [(f"{PLATFORMS}/{i}", OnlyOn(platforms.expand(listed))) for i in _needed(row, "vulnerability", ID)]


def _told(row: Cells) -> Made:
    name, words = _one_of(row, "told", RULE_NAME), _words(row, "words")
    if not words:
        raise EntryError("has no words")
    listed = platforms.expand(_needed(row, "only_on", re.compile("|".join(PLATFORM_WORDS))))
    return [(f"{TOLD}/{name}", ToldOn(words, _words(row, "unless"), listed))]


def _is_not(row: Cells) -> Made:
    reason = _prose(row, "reason")
    names = _needed(row, "is_not", PACKAGE)
    return [
        (is_not_id(conda, name), IsNot(conda, name, reason))
        for conda in _needed(row, "conda", CONDA_NAME)
        for name in names
    ]


def _affected(row: Cells) -> Made:
    listed, reason = _needed(row, "affected", re.compile(r"\S+")), _prose(row, "reason")
    if NONE in listed and len(listed) > 1:
        raise EntryError(f"affected: {NONE} stands alone")
    ranges = () if NONE in listed else tuple(_range(span, may_be_open=True) for span in listed)
    return [
        (affected_id(conda, i), Affected(conda, i, ranges, reason))
        for conda in _needed(row, "conda", CONDA_NAME)
        for i in _needed(row, "vulnerability", ID)
    ]


def _removals(row: Cells) -> Made:
    return [(_one_of(row, "remove", ROW_ID), None)]


_PROVENANCE = ("source", "checked")
_TABLES: dict[tuple[str, ...], Callable[[Cells], Made]] = {
    ("conda", "products", "part_of", "packages", "native", *_PROVENANCE): _names,
    ("conda", "pypi", *_PROVENANCE): _python_names,
    ("renamed", "to", *_PROVENANCE): _renamed,
    ("product", "affected", "ids", *_PROVENANCE): _releases,
    ("ignore", "applies_to", "looks_at", "words", "unless", "reason", *_PROVENANCE): _ignore,
    ("package", "numbers", *_PROVENANCE): _versions,
    ("words", "listed", *_PROVENANCE): _word_lists,
    ("cna", "speaks_for", *_PROVENANCE): _speakers,
    ("part", "own", "others", "rest", "reason", *_PROVENANCE): _parts,
    ("metapackage", "depends_on", *_PROVENANCE): _metapackages,
    ("malware", "looks_at", "words", "unless", *_PROVENANCE): _malware,
    ("vulnerability", "only_on", *_PROVENANCE): _platforms,
    ("told", "words", "unless", "only_on", *_PROVENANCE): _told,
    ("conda", "is_not", "reason", *_PROVENANCE): _is_not,
    ("conda", "vulnerability", "affected", "reason", *_PROVENANCE): _affected,
    ("remove", *_PROVENANCE): _removals,
}

# -- cells ----------------------------------------------------------------------------------------------------------


def _items(row: Cells, column: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """The items between blanks, each once.

    Raises:
        EntryError: One is not what the column holds, or there are too many.
    """
    found = tuple(dict.fromkeys(row[column].split()))
    if len(found) > ITEMS_MAX:
        raise EntryError(f"{column} has more than {ITEMS_MAX:,} items")
    wrong = next((item for item in found if len(item) > 2 * ID_MAX_CHARACTERS or not pattern.fullmatch(item)), None)
    if wrong is not None:
        raise EntryError(f"{column}: {wrong[:80]!r} is not what this column holds")
    return found


def _needed(row: Cells, column: str, pattern: re.Pattern[str], *, at_most: int = ITEMS_MAX) -> tuple[str, ...]:
    found = _items(row, column, pattern)
    if not found or len(found) > at_most:
        raise EntryError(f"{column} needs {'one item' if at_most == 1 else 'items'}, and has {len(found)}")
    return found


def _one_of(row: Cells, column: str, pattern: re.Pattern[str]) -> str:
    (found,) = _needed(row, column, pattern, at_most=1)
    return found


def _words(row: Cells, column: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(word for part in row[column].split(",") if (word := part.strip())))
    if len(found) > ITEMS_MAX:
        raise EntryError(f"{column} has more than {ITEMS_MAX:,} words")
    for word in found:
        if len(word) > WORD_MAX_CHARACTERS or not word.strip("*"):
            raise EntryError(f"{column}: {word[:80]!r} is not a word of 1 to {WORD_MAX_CHARACTERS} characters")
        if "*" in word.strip("*"):
            raise EntryError(f"{column}: in {word!r} a * stands elsewhere than at the start or the end")
    return found


def _flag(row: Cells, column: str) -> bool:
    if row[column] not in ("", "yes"):
        raise EntryError(f"{column} is {row[column][:40]!r} and not yes or -")
    return row[column] == "yes"


def _prose(row: Cells, column: str) -> str:
    found = row[column]
    if not found or len(found) > TEXT_MAX_CHARACTERS or not found.isprintable():
        raise EntryError(f"{column} is not a text of 1 to {TEXT_MAX_CHARACTERS} characters")
    return found


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise EntryError(f"checked {text[:40]!r} is not a day (YYYY-MM-DD)") from None


def _range(span: str, *, may_be_open: bool = False) -> AffectedRange:
    start, dots, end = span.partition("..")
    texts = [start or "0", *([end] if end or not may_be_open else [])]
    bounds = [version_key(SCHEME, text) if 0 < len(text) <= VERSION_MAX_CHARACTERS else None for text in texts]
    if not dots or None in bounds:
        raise EntryError(f"affected: {span[:80]!r} is not a range such as 1.1.1..1.1.1n or ..1.2.13")
    if len(bounds) == 2 and bounds[0] >= bounds[1]:  # type: ignore[operator]  # none of them is None
        raise EntryError(f"affected: {span[:80]!r} ends before it begins")
    return AffectedRange(SCHEME, start or None, fixed=end or None)
