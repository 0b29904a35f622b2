"""Rows of knowledge about single packages (tables is-not and affected), and what an index would be with other rows."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from antivenom.core.feeds.entry import EntryError, KnowledgeEntry
from antivenom.core.feeds.knowledge import parse_row
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.explain import explain
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.knowledge import Knowledge, assemble
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.core.matching.what_if import Change, compare, ids_to_describe, with_knowledge
from antivenom.knowledge import built_in, entries

IS_NOT = ("conda", "is_not", "reason", "source", "checked")
AFFECTED = ("conda", "vulnerability", "affected", "reason", "source", "checked")
NAMES = ("conda", "products", "part_of", "packages", "native", "source", "checked")
PARTS = ("part", "own", "others", "rest", "reason", "source", "checked")
PLATFORMS = ("vulnerability", "only_on", "source", "checked")
META = ("metapackage", "depends_on", "source", "checked")
IGNORE = ("ignore", "applies_to", "looks_at", "words", "unless", "reason", "source", "checked")
REMOVE = ("remove", "source", "checked")
FROM = "\tour team\t2026-11-28"

MAPS = NameMaps(
    {
        "pillow": {"conda-forge": {"pypi": ("pillow",)}},
        "redis": {"conda-forge": {"pypi": ("redis",)}},
        "mytool": {"conda-forge": {"pypi": ()}},
    },
    {"pypi/pillow": ("python:pillow",)},
)


def until(fixed: str | None, introduced: str | None = None, scheme: str = "cpe") -> AffectedRange:
    return AffectedRange(scheme, introduced, fixed=fixed)


def nvd(advisory_id: str, product: str, fixed: str, details: str = "", platforms: tuple[str, ...] = ()) -> Advisory:
    affected = AffectedPackage("cpe", product, (until(fixed),), platforms=platforms)
    return Advisory(advisory_id, "nvd", summary=f"{product} has a flaw", details=details, affected=(affected,))


def osv(advisory_id: str, project: str, cve: str) -> Advisory:
    affected = AffectedPackage("pypi", project, (until("9.0", scheme="pep440"),))
    return Advisory(advisory_id, "osv", (cve,), affected=(affected,))


KNOWN = (
    osv("PYSEC-1", "pillow", "CVE-2026-0001"),
    nvd("CVE-2026-0001", "python:pillow", "12.0"),
    osv("PYSEC-2", "redis", "CVE-2026-0002"),
    nvd("CVE-2026-0003", "redis:redis", "8.0"),
    nvd("CVE-2026-0004", "haxx:curl", "8.0", "the curl tool's options"),
    nvd("CVE-2026-0005", "haxx:curl", "8.0", "a redirect in the widget mode"),
    nvd("CVE-2026-0006", "mytool:mytool", "2.0"),
    nvd("CVE-2026-0007", "openssl:openssl", "3.5", platforms=("windows",)),
    nvd("CVE-2026-0008", "postgresql:postgresql", "16.0", "the planner"),
    nvd("CVE-2026-0009", "acme:widget", "2.0"),
)


def knowing(*rows: tuple[tuple[str, ...], str]) -> Knowledge:
    own = [entry for columns, line in rows for entry in parse_row(columns, line + FROM)]
    return assemble([[(e.id, e.fact) for e in layer] for layer in (entries(), own)])


def compiled(knowledge: Knowledge) -> MatchIndex:
    return MatchIndex.load(build_index(KNOWN, None, MAPS, knowledge))


@pytest.fixture(scope="module")
def index() -> MatchIndex:
    return compiled(built_in())


def found(index: MatchIndex, name: str, version: str, subdir: str = "") -> tuple[list[str], dict[str, str]]:
    """Ids of the findings, and the rule by id of what is ignored."""
    key = ComponentKey("conda", name, version, subdir=subdir)
    [assessment] = index.assess([key], "conda-forge")
    [ignored] = index.list_ignored([key], "conda-forge")
    return [f.ids[0] for f in assessment.findings], {f.ids[0]: f.ignored_by.rule for f in ignored}


class Case(NamedTuple):
    """A row, a component, what is found of it before, and what is found and ignored after."""

    columns: tuple[str, ...]
    line: str
    component: tuple[str, str]
    before: list[str]
    after: list[str]
    ignored: dict[str, str]


CASES = {
    "wrong package, by a name map": Case(
        IS_NOT, "redis\tpypi/redis\tconda's redis is the server", ("redis", "4.0"),
        ["CVE-2026-0002", "CVE-2026-0003"], ["CVE-2026-0003"], {"CVE-2026-0002": "is-not/redis/pypi/redis"},
    ),
    "wrong package, by an equal name": Case(
        IS_NOT, "mytool\tcpe/mytool:mytool\tanother tool", ("mytool", "1.0"),
        ["CVE-2026-0006"], [], {"CVE-2026-0006": "is-not/mytool/cpe/mytool:mytool"},
    ),
    "wrong package, by a row of names": Case(
        IS_NOT, "openssl\tcpe/openssl:openssl\ta fork", ("openssl", "3.0"),
        ["CVE-2026-0007"], [], {"CVE-2026-0007": "is-not/openssl/cpe/openssl:openssl"},
    ),
    "the right package": Case(
        NAMES, "mytool\tacme:widget\t-\t-\t-", ("mytool", "1.0"), ["CVE-2026-0006"], ["CVE-2026-0009"], {},
    ),
    "wrong range, of its own ecosystem": Case(
        AFFECTED, "pillow\tCVE-2026-0001\t..8.0\tfixed in 8.0, says the change log", ("pillow", "8.5"),
        ["CVE-2026-0001"], [], {"CVE-2026-0001": "affected/pillow/CVE-2026-0001"},
    ),
    "wrong range, still inside": Case(
        AFFECTED, "pillow\tPYSEC-1\t..8.0 8.4..\tand again from 8.4 on", ("pillow", "8.5"),
        ["CVE-2026-0001"], ["CVE-2026-0001"], {},
    ),
    "wrong part, of one vulnerability": Case(
        AFFECTED, "libcurl\tCVE-2026-0005\tnone\tit is the command's", ("libcurl", "7.0"),
        ["CVE-2026-0005"], [], {"CVE-2026-0004": "parts/libcurl", "CVE-2026-0005": "affected/libcurl/CVE-2026-0005"},
    ),
    "part of a vulnerability that a rule sets aside": Case(
        AFFECTED, "libpq\tCVE-2026-0008\t..15.5\tthe client has it, too", ("libpq", "15.0"),
        [], ["CVE-2026-0008"], {},
    ),
    "wrong part, by words": Case(
        PARTS, "libcurl\tlibcurl\tcurl tool, widget mode\town\tit is the command's", ("libcurl", "7.0"),
        ["CVE-2026-0005"], [], {"CVE-2026-0004": "parts/libcurl", "CVE-2026-0005": "parts/libcurl"},
    ),
    "missing finding": Case(
        AFFECTED, "pillow\tCVE-2026-0009\t..9.0\tit bundles the widget", ("pillow", "8.5"),
        ["CVE-2026-0001"], ["CVE-2026-0001", "CVE-2026-0009"], {},
    ),
    "missing finding of a package that no source knows": Case(
        AFFECTED, "unheard-of\tCVE-2026-0009\t1.0..2.0\tit is the widget", ("unheard-of", "1.5"),
        [], ["CVE-2026-0009"], {},
    ),
    "a vulnerability that no feed knows": Case(
        AFFECTED, "pillow\tCVE-1999-0001\t..99\tno feed has it", ("pillow", "8.5"),
        ["CVE-2026-0001"], ["CVE-2026-0001"], {},
    ),
    "a package without files": Case(
        META, "mytool\tpillow", ("mytool", "1.0"), ["CVE-2026-0006"], [], {},
    ),
    "a rule for parts is switched off": Case(
        REMOVE, "parts/libpq", ("libpq", "15.0"), [], ["CVE-2026-0008"], {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_row_does_what_it_says(index: MatchIndex, case: Case) -> None:
    assert found(index, *case.component)[0] == case.before
    assert found(compiled(knowing((case.columns, case.line))), *case.component) == (case.after, case.ignored)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_without_compiling_the_answers_are_the_same(index: MatchIndex, case: Case) -> None:
    knowledge = knowing((case.columns, case.line))
    described = [a for a in KNOWN if a.id in ids_to_describe(index, knowledge)]
    imagined, real = with_knowledge(index, knowledge, described), compiled(knowledge)
    keys = [
        ComponentKey("conda", name, version, subdir=subdir)
        for name in ("pillow", "redis", "mytool", "openssl", "libcurl", "libpq", "unheard-of", "attr")
        for version in ("1.0", "1.5", "4.0", "7.0", "8.5", "15.0")
        for subdir in ("", "linux-64")
    ]
    assert imagined.assess(keys, "conda-forge") == real.assess(keys, "conda-forge")
    assert imagined.list_ignored(keys, "conda-forge") == real.list_ignored(keys, "conda-forge")
    name, version = case.component
    changed = compare(index, imagined, [ComponentKey("conda", name, version)], "conda-forge")
    gone, come = set(case.before) - set(case.after), set(case.after) - set(case.before)
    assert {c.ids[0] for c in changed if c.change is Change.goes} == gone
    assert {c.ids[0] for c in changed if c.change is Change.comes} == come
    assert {c.rule for c in changed if c.change is Change.goes} == {case.ignored.get(i, "") for i in gone}
    back = with_knowledge(imagined, built_in(), [a for a in KNOWN if a.id in ids_to_describe(imagined, built_in())])
    assert back.assess(keys, "conda-forge") == index.assess(keys, "conda-forge")
    assert back.list_ignored(keys, "conda-forge") == index.list_ignored(keys, "conda-forge")


@pytest.mark.parametrize(("only_on", "is_found"), [("any", True), ("linux", True), ("macos", False)])
def test_another_platform_comes_and_goes(index: MatchIndex, only_on: str, is_found: bool) -> None:
    assert found(index, "openssl", "3.0", "linux-64") == ([], {"CVE-2026-0007": "platform"})
    knowledge = knowing((PLATFORMS, f"CVE-2026-0007\t{only_on}"))
    for other in (with_knowledge(index, knowledge), compiled(knowledge)):
        expected = (["CVE-2026-0007"], {}) if is_found else ([], {"CVE-2026-0007": "platform"})
        assert found(other, "openssl", "3.0", "linux-64") == expected
    keys = [ComponentKey("conda", "openssl", "3.0", subdir=s) for s in ("linux-64", "")]
    changes = [(c.subdir, c.change) for c in compare(index, with_knowledge(index, knowledge), keys)]
    assert (("linux-64", Change.comes) in changes) == is_found
    assert ("", Change.moves) in changes


def test_a_correction_alone_does_not_make_a_component_assessed() -> None:
    index = compiled(knowing((AFFECTED, "unheard-of\tCVE-2026-0009\t1.0..2.0\tit is the widget")))
    hit, other = index.assess([ComponentKey("conda", "unheard-of", v) for v in ("1.5", "3.0")])
    assert (hit.assessed, len(hit.findings)) == (True, 1)
    assert (other.assessed, other.findings) == (False, ())
    wrong = compiled(knowing((IS_NOT, "mytool\tcpe/mytool:mytool\tanother tool")))
    assert not wrong.assess([ComponentKey("conda", "mytool", "1.0")], "conda-forge")[0].assessed


def test_a_correction_is_told_as_what_it_is() -> None:
    index = compiled(knowing((AFFECTED, "pillow\tCVE-2026-0001\t..8.0\tfixed in 8.0, says the change log")))
    inside, outside = (
        explain(index, ComponentKey("conda", "pillow", version), "conda-forge").considered[0]
        for version in ("7.0", "8.5")
    )
    assert inside.why == "7.0 is in <8.0, says a correction"
    assert (outside.outcome, outside.why) == ("set-aside", "fixed in 8.0, says the change log")
    assert [c.why for c in outside.comparisons][:2] == ["decides", "not heard: a correction goes first"]


# -- the rows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "line", "reason"),
    [
        (IS_NOT, "redis\tredis\tanother", "is_not: 'redis' is not what this column holds"),
        (IS_NOT, "redis\tpypi/redis\t-", "reason is not a text"),
        (IS_NOT, "-\tpypi/redis\tanother", "conda needs items"),
        (AFFECTED, "pillow\tCVE-2026-0001\tnone ..8.0\twhy", "none stands alone"),
        (AFFECTED, "pillow\tCVE-2026-0001\t8.0\twhy", "is not a range"),
        (AFFECTED, "pillow\tCVE-2026-0001\t9.0..8.0\twhy", "ends before it begins"),
        (AFFECTED, "pillow\tCVE-2026-0001\ttrunk..8.0\twhy", "is not a range"),
        (AFFECTED, "pillow\t-\t..8.0\twhy", "vulnerability needs items"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(columns: tuple[str, ...], line: str, reason: str) -> None:
    with pytest.raises(EntryError, match=reason):
        parse_row(columns, line + FROM)


def test_a_row_of_several_packages_is_an_entry_of_each() -> None:
    rows: list[KnowledgeEntry] = parse_row(AFFECTED, f"a b\tCVE-1 CVE-2\t..8.0 9.0..\twhy{FROM}")
    assert [r.id for r in rows] == ["affected/a/CVE-1", "affected/a/CVE-2", "affected/b/CVE-1", "affected/b/CVE-2"]
    rows = parse_row(IS_NOT, f"a\tpypi/x cpe/x:y\twhy{FROM}")
    assert [r.id for r in rows] == ["is-not/a/pypi/x", "is-not/a/cpe/x:y"]
