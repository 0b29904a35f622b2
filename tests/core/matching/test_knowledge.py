"""Knowledge put together from layers, words, and the findings that its rows set aside."""

from __future__ import annotations

import msgspec
import pytest
import zstandard

from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.knowledge import (
    Alias,
    IgnoreRule,
    Knowledge,
    PythonName,
    VersionRule,
    VersionShortener,
    WordList,
    Words,
    assemble,
)
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.core.publishing import channel_findings
from antivenom.core.publishing.channel_findings import ChannelAssessor, decode_findings, encode_findings
from antivenom.knowledge import built_in, entries

MAPS = NameMaps(
    {"pillow": {"": {"pypi": ("pillow",)}}, "protobuf": {"": {"pypi": ("protobuf",)}}},
    {"pypi/pillow": ("python:pillow",), "pypi/protobuf": ("google:protobuf", "google:protobuf-java")},
)


def until(fixed: str | None, introduced: str | None = None) -> AffectedRange:
    return AffectedRange("cpe", introduced, fixed=fixed)


def nvd(advisory_id: str, product: str, bounds: AffectedRange, summary: str = "") -> Advisory:
    return Advisory(advisory_id, "nvd", summary=summary, affected=(AffectedPackage("cpe", product, (bounds,)),))


def open_index(*advisories: Advisory, knowledge: Knowledge | None = None) -> MatchIndex:
    return MatchIndex.load(build_index(advisories, None, MAPS, built_in() if knowledge is None else knowledge))


def found(index: MatchIndex, name: str, version: str) -> tuple[list[str], dict[str, str]]:
    """(ids of findings, rule by id of what is ignored)."""
    key = ComponentKey("purl" if name.startswith("pkg:") else "conda", name, version)
    [ignored] = index.list_ignored([key], "conda-forge")
    assert all(f.status == "ignored" and f.ignored_by.reason for f in ignored)
    [assessment] = index.assess([key], "conda-forge")
    return [f.ids[0] for f in assessment.findings], {f.ids[0]: f.ignored_by.rule for f in ignored}


# -- layers and words -------------------------------------------------------------------------------------------------


def test_a_later_layer_overrides_extends_and_switches_off() -> None:
    layers = [
        [("names/a", Alias(("x:a",))), ("names/b", Alias(("x:b",))), ("python-names/p", PythonName("old"))],
        [("names/b", Alias(("y:b",))), ("names/c", Alias(("y:c",))), ("names/a", None)],
        [("python-names/p", PythonName("new")), ("words/packaging", WordList(("core",)))],
    ]
    known = assemble(layers)
    assert known.names == {"b": Alias(("y:b",)), "c": Alias(("y:c",))}
    assert known.python_names == {"p": "new"}
    assert known.words == {"packaging": ("core",)}


def test_the_built_in_tables_are_what_their_rows_say() -> None:
    assert assemble([[(entry.id, entry.fact) for entry in reversed(entries())]]) == built_in()


@pytest.mark.parametrize(
    ("word", "text", "is_found"),
    [
        ("client", "A Client of the server", True),
        ("client", "many clients", False),
        ("*component*", "subcomponents: InnoDB", True),
        ("pg_dump*", "pg_dumpall", True),
        ("pg_dump*", "xpg_dump", False),
        ("Go", "in Go code", True),
        ("Go", "let it go", False),
        ("C++", "the C++ API", True),
        ("C++", "Visual-C++", True),
        ("C++", "abC++", False),
        (".java", "Main.java crashes", True),
        ("included in", "OpenSSL Included In wheels", True),
        ("a.c", "abc", False),
    ],
)
def test_words_are_found_whole_and_small_letters_in_any_case(word: str, text: str, is_found: bool) -> None:
    assert Words([word, "never-there"]).found_in(text) is is_found


def test_versions_that_end_in_a_count_of_their_own_are_shortened() -> None:
    shorten = VersionShortener([VersionRule("pypi/opencv-*", 3)]).shorten
    counted = AffectedPackage(
        "pypi", "opencv-python", (until("4.8.1.78", "3.4.0.14"), until("4.8.1"), until("4.8.1.7"))
    )
    ends = [(r.introduced, r.fixed) for r in shorten("pypi/opencv-python", counted).ranges]
    assert ends == [("3.4.0", "4.8.1"), (None, "4.8.1"), (None, "4.8.1.7")]
    assert shorten("pypi/numpy", counted) is counted


# -- what is set aside ------------------------------------------------------------------------------------------------


def test_a_servers_vulnerability_is_ignored_on_a_client_package() -> None:
    index = open_index(
        nvd("CVE-1-1", "oracle:mysql", until("8.1"), "MySQL Server (component: InnoDB)"),
        nvd("CVE-1-2", "oracle:mysql", until("8.1"), "MySQL (component: C API)"),
    )
    assert found(index, "mysql-libs", "8.0.1") == (["CVE-1-2"], {"CVE-1-1": "parts/mysql-libs"})
    assert found(index, "mysql-libs", "8.1.0") == ([], {})
    assert found(index, "mysql-server", "8.0.1") == (["CVE-1-1", "CVE-1-2"], {})


def test_what_is_of_another_language_is_ignored_by_the_row_that_says_so() -> None:
    index = open_index(
        nvd("CVE-1-1", "python:pillow", until("9.0"), "Overflow in the Java runtime"),
        nvd("CVE-1-2", "google:protobuf-java", until("9.0")),
        nvd("CVE-1-3", "google:protobuf", until("9.0")),
        nvd("CVE-1-4", "apache:thrift", until("0.23"), "Apache Thrift: Swift Range crash"),
    )
    assert found(index, "pillow", "8.0") == ([], {"CVE-1-1": "ignore/other-language"})
    assert found(index, "protobuf", "8.0") == (["CVE-1-3"], {"CVE-1-2": "ignore/other-language-product"})
    assert found(index, "libthrift", "0.22") == ([], {"CVE-1-4": "ignore/other-implementation"})


def test_all_versions_of_a_product_that_a_map_suggests_are_ignored_and_do_not_assess_the_package() -> None:
    index = open_index(nvd("CVE-1-1", "python:pillow", until(None)))
    assert found(index, "pillow", "8.0") == ([], {"CVE-1-1": "ignore/range-without-end"})
    [assessment] = index.assess([ComponentKey("conda", "pillow", "8.0")])
    assert not assessment.assessed


def test_where_another_source_speaks_of_it_nothing_is_ignored() -> None:
    own = Advisory("PYSEC-1", "osv", ("CVE-1-1",), affected=(AffectedPackage("pypi", "pillow", (until("9.0"),)),))
    index = open_index(own, nvd("CVE-1-1", "python:pillow", until(None), "in the Java runtime"))
    assert found(index, "pillow", "8.0") == (["CVE-1-1"], {})
    assert found(index, "pillow", "9.0") == ([], {})


def test_what_a_feed_says_beyond_the_releases_that_a_project_names_is_ignored_by_their_row() -> None:
    index = open_index(nvd("CVE-2023-0286", "openssl:openssl", until("3.0.9")))
    assert found(index, "openssl", "3.0.7") == (["CVE-2023-0286"], {})
    assert found(index, "openssl", "3.0.8") == ([], {"CVE-2023-0286": "releases/openssl:openssl/CVE-2023-0286"})
    assert found(index, "openssl", "3.0.9") == ([], {})


def test_what_was_taken_back_is_not_listed_as_ignored() -> None:
    taken_back = msgspec.structs.replace(nvd("CVE-1-1", "python:pillow", until(None)), withdrawn="2024-01-01T00:00:00Z")
    assert found(open_index(taken_back), "pillow", "8.0") == ([], {})


def test_a_purl_and_a_version_without_a_number_have_ignored_findings_of_their_own() -> None:
    index = open_index(nvd("CVE-1-1", "oracle:mysql", until("8.1"), "(component: InnoDB)"))
    assert found(index, "pkg:conda/mysql-libs@8.0.1", "") == ([], {"CVE-1-1": "parts/mysql-libs"})
    assert found(index, "pkg:conda/mysql-libs@8.1.1", "") == ([], {})
    assert found(index, "mysql-libs", "unknown") == ([], {})


def test_ignored_findings_change_no_assessment() -> None:
    """The assessments of an index whose rules set aside are those of one that never heard the advisories."""
    heard = nvd("CVE-1-2", "oracle:mysql", until("8.1"), "(component: C API)")
    aside = nvd("CVE-1-1", "oracle:mysql", until("8.3", "8.0.3"), "(component: InnoDB)")
    components = [ComponentKey("conda", "mysql-libs", v) for v in ("8.0.1", "8.0.4", "8.2", "9", "unknown")]
    assert open_index(heard, aside).assess(components) == open_index(heard).assess(components)


def test_a_row_that_is_switched_off_sets_nothing_aside_and_one_of_ones_own_does() -> None:
    advisories = (
        nvd("CVE-1-1", "oracle:mysql", until("8.1"), "(component: InnoDB)"),
        nvd("CVE-1-2", "oracle:mysql", until("8.1"), "in the optimizer"),
    )
    mine = IgnoreRule("part", "summary", ("optimizer",), (), "The client has no optimizer.")
    layers = [
        [(entry.id, entry.fact) for entry in entries()],
        [("parts/mysql-libs", None), ("ignore/server-side", None), ("ignore/mine", mine)],
    ]
    index = open_index(*advisories, knowledge=assemble(layers))
    assert found(index, "mysql-libs", "8.0") == (["CVE-1-1"], {"CVE-1-2": "ignore/mine"})


# -- what is stored ---------------------------------------------------------------------------------------------------


def test_the_index_of_a_release_that_kept_its_tables_in_code_is_read_with_those_given() -> None:
    data = zstandard.ZstdDecompressor().decompress(
        build_index([nvd("CVE-1-1", "haxx:curl", until("8.0"))], None, MAPS, built_in())
    )
    whole = msgspec.msgpack.decode(data)
    older = zstandard.compress(msgspec.msgpack.encode(whole[:5]))
    curl = [ComponentKey("conda", "libcurl", "7.88.0")]
    assert [f.ids for f in MatchIndex.load(older, built_in()).assess(curl)[0].findings] == [("CVE-1-1",)]
    assert MatchIndex.load(older).assess(curl)[0].findings == ()


def test_findings_of_a_channel_keep_what_is_ignored_apart() -> None:
    index = open_index(
        nvd("CVE-1-1", "oracle:mysql", until("8.1"), "(component: InnoDB)"),
        nvd("CVE-1-2", "oracle:mysql", until("8.1"), "(component: C API)"),
    )
    assessor = ChannelAssessor(index, "conda-forge")
    assessor([("mysql-libs", version, ()) for version in ("8.0.2", "8.0.1", "8.2")])
    stored = decode_findings(encode_findings(assessor.findings()))
    assert [(c.version, [f.ids[0] for f in c.findings]) for c in stored.ignored] == [
        ("8.0.1", ["CVE-1-1"]),
        ("8.0.2", ["CVE-1-1"]),
    ]
    assert stored.ignored[0].findings[0].ignored_by.rule == "parts/mysql-libs"
    assert [f.ids[0] for c in stored.components for f in c.assessment.findings] == ["CVE-1-2", "CVE-1-2"]
    assert stored.counts().vulnerabilities["unknown"] == 1


def test_findings_that_an_earlier_release_stored_are_decoded() -> None:
    index = open_index(nvd("CVE-1-2", "oracle:mysql", until("8.1"), "(component: C API)"))
    assessor = ChannelAssessor(index, "conda-forge")
    assessor([("mysql-libs", "8.0.1", ())])
    whole = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(encode_findings(assessor.findings())))
    assert len(whole) == len(channel_findings._Stored.__struct_fields__)
    older = zstandard.compress(msgspec.msgpack.encode(whole[:7]))
    stored = decode_findings(older)
    assert stored.ignored == []
    assert [f.ids[0] for c in stored.components for f in c.assessment.findings] == ["CVE-1-2"]
