"""Tables of knowledge: what is read, what is set aside and why, and the laws that the built-in tables keep."""

from __future__ import annotations

import io
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import antivenom.knowledge
from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import knowledge
from antivenom.core.feeds.entry import KnowledgeEntry, Reading, SetAside
from antivenom.core.feeds.unpack import Member
from antivenom.core.matching.advisories import AffectedRange
from antivenom.core.matching.knowledge import (
    Alias,
    IgnoreRule,
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
)
from antivenom.knowledge import built_in, entries
from antivenom_client.version_keys import version_key

READING = Reading(datetime(2026, 11, 28, tzinfo=UTC))
FOLDER = Path(antivenom.knowledge.__file__).parent
NAMES = "conda\tproducts\tpart_of\tpackages\tnative\tsource\tchecked\n"
PYTHON_NAMES = "conda\tpypi\tsource\tchecked\n"
RENAMED = "renamed\tto\tsource\tchecked\n"
RELEASES = "product\taffected\tids\tsource\tchecked\n"
IGNORE = "ignore\tapplies_to\tlooks_at\twords\tunless\treason\tsource\tchecked\n"
VERSIONS = "package\tnumbers\tsource\tchecked\n"
WORDS = "words\tlisted\tsource\tchecked\n"
SPEAKERS = "cna\tspeaks_for\tsource\tchecked\n"
PARTS = "part\town\tothers\trest\treason\tsource\tchecked\n"
METAPACKAGES = "metapackage\tdepends_on\tsource\tchecked\n"
PLATFORMS = "vulnerability\tonly_on\tsource\tchecked\n"
TOLD = "told\twords\tunless\tonly_on\tsource\tchecked\n"
REMOVE = "remove\tsource\tchecked\n"
UNIX = ("linux", "macos", "freebsd", "solaris", "aix")
FROM = "\tus\t2026-11-28\n"


def read(text: str | bytes) -> list[KnowledgeEntry | SetAside]:
    data = text.encode() if isinstance(text, str) else text
    return list(knowledge.read(Member("table.tsv", cast(io.BufferedReader, io.BytesIO(data))), READING))


def facts(text: str) -> dict[str, object]:
    found = read(text)
    assert not [entry for entry in found if isinstance(entry, SetAside)]
    return {entry.id: entry.fact for entry in found if isinstance(entry, KnowledgeEntry)}


def test_every_table_is_read() -> None:
    text = (
        f"# a comment\n\n{NAMES}libfoo foo\tacme:foo\tacme:suite\tbitnami/foo\tyes{FROM}"
        f"{PYTHON_NAMES}py-foo\tfoo{FROM}{RENAMED}foo\tbar{FROM}"
        f"{RELEASES}acme:foo\t..1.2 2.0..2.1b\tCVE-1-1 CVE-1-2{FROM}"
        f"{IGNORE}mine\tpart\tsummary\tserver, *daemon*\tclient\tIt is of the server.{FROM}"
        f"{VERSIONS}pypi/foo-*\t3{FROM}{WORDS}packaging\tcore, base{FROM}{SPEAKERS}Acme Inc\tacme:*{FROM}"
        f"{PARTS}libfoo\tlibfoo, foo_*\t-\tother\tIt is of the daemon.{FROM}{METAPACKAGES}foo-all\tfoo{FROM}{PLATFORMS}CVE-1-9\twindows mips{FROM}CVE-1-10\tunix windows{FROM}"
        f"{TOLD}mine\ton foo, foo users\tbar\tposix{FROM}{REMOVE}names/openssl{FROM}"
    )
    alias = Alias(("acme:foo",), (("bitnami", "foo"),), ("acme:suite",), True)
    ranges = (AffectedRange("cpe", None, fixed="1.2"), AffectedRange("cpe", "2.0", fixed="2.1b"))
    assert facts(text) == {
        "names/libfoo": alias,
        "names/foo": alias,
        "python-names/py-foo": PythonName("foo"),
        "renamed/foo": Renamed("bar"),
        "releases/acme:foo/CVE-1-1": Release("acme:foo", "CVE-1-1", ranges),
        "releases/acme:foo/CVE-1-2": Release("acme:foo", "CVE-1-2", ranges),
        "ignore/mine": IgnoreRule("part", "summary", ("server", "*daemon*"), ("client",), "It is of the server."),
        "versions/pypi/foo-*": VersionRule("pypi/foo-*", 3),
        "words/packaging": WordList(("core", "base")),
        "speakers/acme_inc": Speaker(("acme:*",)),
        "parts/libfoo": Part(("libfoo", "foo_*"), (), True, "It is of the daemon."),
        "metapackages/foo-all": Metapackage("foo"),
        "platforms/CVE-1-9": OnlyOn(("windows", "mips")),
        "platforms/CVE-1-10": OnlyOn((*UNIX, "windows")),
        "platform-words/mine": ToldOn(("on foo", "foo users"), ("bar",), UNIX),
        "names/openssl": None,
    }


def test_a_row_keeps_its_source_and_its_date() -> None:
    [entry] = read(f"{PYTHON_NAMES}py-foo\tfoo\tthe recipe\t2026-01-31\n")
    assert isinstance(entry, KnowledgeEntry)
    assert (entry.source, entry.checked) == ("the recipe", "2026-01-31")


@pytest.mark.parametrize(
    ("table", "row", "reason"),
    [
        (PYTHON_NAMES, f"py-foo{FROM}", "has 3 columns instead of 4"),
        (PYTHON_NAMES, "py-foo\tfoo\t-\t2026-11-28\n", "source is not a text"),
        (PYTHON_NAMES, "py-foo\tfoo\tus\tyesterday\n", "checked 'yesterday' is not a day"),
        (PYTHON_NAMES, f"py-foo\tfoo bar{FROM}", "pypi needs one item, and has 2"),
        (PYTHON_NAMES, f"Py Foo\tfoo{FROM}", "conda: 'Py' is not what this column holds"),
        (NAMES, f"foo\t-\t-\t-\t-{FROM}", "names neither a product nor a package"),
        (NAMES, f"foo\tacme\t-\t-\t-{FROM}", "products: 'acme' is not"),
        (NAMES, f"foo\tacme:foo\t-\t-\tmaybe{FROM}", "native is 'maybe' and not yes or -"),
        (
            NAMES,
            f"{' '.join(f'n{i}' for i in range(1001))}\tacme:foo\t-\t-\t-{FROM}",
            "conda has more than 1,000 items",
        ),
        (RELEASES, f"acme:foo\t1.2\tCVE-1-1{FROM}", "affected: '1.2' is not a range"),
        (RELEASES, f"acme:foo\t1.2..\tCVE-1-1{FROM}", "affected: '1.2..' is not a range"),
        (RELEASES, f"acme:foo\t2.0..1.0\tCVE-1-1{FROM}", "ends before it begins"),
        (RELEASES, f"acme:foo\t..{'9' * 200}\tCVE-1-1{FROM}", "is not a range"),
        (RELEASES, f"acme:foo\t..1.0\t-{FROM}", "ids needs items"),
        (IGNORE, f"mine\twhole\tsummary\ta\t-\tWhy.{FROM}", "applies_to 'whole' is not one of"),
        (IGNORE, f"mine\tpart\ttitle\ta\t-\tWhy.{FROM}", "looks_at 'title' is not one of"),
        (IGNORE, f"mine\tpart\tsummary\t-\t-\tWhy.{FROM}", "has no words"),
        (IGNORE, f"mine\tpart\tsummary\t**\t-\tWhy.{FROM}", "'**' is not a word"),
        (IGNORE, f"mine\tpart\tsummary\ta*b\t-\tWhy.{FROM}", "a * stands elsewhere"),
        (IGNORE, f"mine\tsuggested\trange\tclosed\t-\tWhy.{FROM}", "has the word 'open' alone"),
        (IGNORE, f"mine\tpart\tproduct\tjava\t-\tWhy.{FROM}", "applies to suggested ones"),
        (IGNORE, f"mine\tsuggested\trange\topen\tpython\tWhy.{FROM}", "only a row that looks at the summary"),
        (TOLD, f"mine\t-\t-\twindows{FROM}", "has no words"),
        (TOLD, f"mine\ton foo\t-\tany{FROM}", "only_on: 'any' is not"),
        (PLATFORMS, f"CVE-1-9\tunix any{FROM}", "any stands alone"),
        (VERSIONS, f"pypi/foo\t0{FROM}", "is not a number from 1 to 8"),
        (WORDS, f"other\ta{FROM}", "is not a list that matching looks at"),
        (REMOVE, f"openssl{FROM}", "is not what this column holds"),
        (PYTHON_NAMES, f"py-foo\tfoo\t{'x' * 60_000}\t2026-11-28\n", "is longer than 50,000 characters"),
    ],
)
def test_a_malformed_row_is_set_aside_alone_with_its_line_and_the_reason(table: str, row: str, reason: str) -> None:
    wrong, right = read(f"# first\n{table}{row}{PYTHON_NAMES}py-bar\tbar{FROM}")
    assert isinstance(wrong, SetAside)
    assert wrong.entry == "table.tsv line 3"
    assert reason in wrong.reason
    assert isinstance(right, KnowledgeEntry)


def test_bytes_that_are_no_text_are_set_aside() -> None:
    [wrong] = read(PYTHON_NAMES.encode() + b"py-foo\t\xff\tus\t2026-11-28\n")
    assert isinstance(wrong, SetAside)
    assert wrong.reason == "is not UTF-8"


def test_a_row_that_stands_twice_in_a_file_counts_once() -> None:
    first, second = read(f"{PYTHON_NAMES}py-foo\tfoo{FROM}py-foo\tbar{FROM}")
    assert isinstance(first, KnowledgeEntry)
    assert first.fact == PythonName("foo")
    assert isinstance(second, SetAside)
    assert second.entry == "table.tsv line 3: python-names/py-foo"


def test_a_file_that_names_no_columns_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"line 1 names no known columns"):
        read("py-foo\tfoo\tus\t2026-11-28\n")


def test_a_file_of_more_rows_than_any_real_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "ENTRIES_MAX", 3)
    with pytest.raises(InvalidInputError, match="more than 3 rows"):
        read(PYTHON_NAMES + "".join(f"n{i}\tn{i}{FROM}" for i in range(4)))


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=200))
def test_any_row_is_an_entry_or_set_aside(row: str) -> None:
    for table in knowledge._TABLES:
        for entry in read("\t".join(table) + "\n" + row):
            assert isinstance(entry, KnowledgeEntry | SetAside)


# -- the built-in tables ----------------------------------------------------------------------------------------------


def test_every_built_in_row_has_its_source_and_the_day_on_which_it_was_checked() -> None:
    assert len(entries()) > 1_000
    for entry in entries():
        assert len(entry.source) > 10, entry.id
        assert date.fromisoformat(entry.checked) <= datetime.now(UTC).date(), entry.id
        assert entry.fact is not None, entry.id


def test_no_built_in_row_stands_twice() -> None:
    ids = [entry.id for entry in entries()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.tsv")), ids=lambda path: path.name)
def test_a_built_in_table_says_what_each_of_its_columns_means(path: Path) -> None:
    head, _, table = path.read_text(encoding="utf-8").partition("\n\n")
    assert all(line.startswith("#") for line in head.splitlines())
    for column in table.splitlines()[0].split("\t"):
        assert re.search(rf"^# {column} ", head, re.MULTILINE), column


def test_names_do_not_contradict_each_other() -> None:
    known = built_in()
    assert not known.names.keys() & known.python_names.keys()
    for name, alias in known.names.items():
        assert name == name.lower()
        assert all(p == p.lower() for p in (*alias.products, *alias.wholes))
        assert not set(alias.products) & set(alias.wholes)


def test_every_release_is_about_a_package_of_conda_and_has_ends_in_order() -> None:
    products = {p for alias in built_in().names.values() for p in alias.products}
    for release in built_in().releases:
        assert release.product in products
        for bounds in release.ranges:
            start = version_key("cpe", bounds.introduced) if bounds.introduced else b""
            assert start is not None
            assert start < (version_key("cpe", bounds.fixed or "") or b""), release.vulnerability
