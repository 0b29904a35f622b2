"""Classes of mistakes that were measured once on labels kept elsewhere: each has a table of its own small advisories."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from antivenom.core.feeds import cve5
from antivenom.core.feeds.entry import Reading
from antivenom.core.feeds.nvd import parse_configurations
from antivenom.core.feeds.osv import parse_entry
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.explain import Outcome, explain
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in

MAPS = NameMaps(
    {
        name: {"conda-forge": {"pypi": projects}}
        for name, projects in {
            "pillow": ("pillow",),
            "pgadmin4": ("pgadmin4",),
            "dspy-ai": ("dspy", "dspy-ai"),
            "locustio": ("locust", "locustio"),
            "old-name": ("msgpack-python",),
            "big-bundle": ("aiohttp", "big", "big-bundle", "idna", "yarl"),
            "pypdf2": ("pypdf2",),
            "namesake": (),
        }.items()
    },
    {
        "pypi/pillow": ("python:pillow",),
        "pypi/pgadmin4": ("pgadmin:pgadmin_4@postgresql",),
        "pypi/pypdf2": ("pypdf_project:pypdf2",),
    },
)


def until(fixed: str | None, introduced: str | None = None, scheme: str = "cpe") -> AffectedRange:
    return AffectedRange(scheme, introduced, fixed=fixed)


def nvd(advisory_id: str, *products: str, bounds: AffectedRange | None = None) -> Advisory:
    ranges = (bounds or until("9.0"),)
    return Advisory(advisory_id, "nvd", affected=tuple(AffectedPackage("cpe", p, ranges) for p in products))


def osv(advisory_id: str, *projects: str, cve: str = "", withdrawn: str = "") -> Advisory:
    affected = tuple(AffectedPackage("pypi", p, (until("9.0", scheme="pep440"),)) for p in projects)
    return Advisory(advisory_id, "osv", (cve,) if cve else (), withdrawn=withdrawn, affected=affected)


def open_index(*advisories: Advisory) -> MatchIndex:
    return MatchIndex.load(build_index(advisories, None, MAPS, built_in()))


def found(index: MatchIndex, name: str, version: str = "2.0") -> tuple[list[str], dict[str, str]]:
    """(ids of findings, rule by id of what is set aside)."""
    key = ComponentKey("purl" if name.startswith("pkg:") else "conda", name, version)
    [assessment] = index.assess([key], "conda-forge")
    [ignored] = index.list_ignored([key], "conda-forge")
    return [f.ids[0] for f in assessment.findings], {f.ids[0]: f.ignored_by.rule for f in ignored}


@pytest.mark.parametrize(
    ("name", "product", "rule"),
    [
        ("gh", "github:cli@go", ""),  # the language that it is written in
        ("electron", "electronjs:electron@node.js", ""),
        ("deno", "deno:deno@rust", ""),
        ("rabbitmq-server", "pivotal_software:rabbitmq@pivotal_cloud_foundry", ""),
        ("firefox", "mozilla:firefox@iphone_os", "ignore/phone-app"),
        ("grpc-cpp", "grpc:grpc@node.js", "ignore/other-language-target"),
        ("pillow", "python:pillow@node.js", "ignore/other-language-software"),
        ("pgadmin4", "pgadmin:pgadmin_4@postgresql", ""),  # the map names the target, too
        ("namesake", "namesake:namesake@wordpress", "ignore/same-name-software"),
        ("namesake", "namesake:namesake@rust", ""),
    ],
)
def test_a_tools_language_is_not_its_target(name: str, product: str, rule: str) -> None:
    expected = ([], {"CVE-1-1": rule}) if rule else (["CVE-1-1"], {})
    assert found(open_index(nvd("CVE-1-1", product)), name) == expected


def test_one_advisory_of_a_product_with_and_without_a_target_counts_in_both_ranges() -> None:
    affected = (
        AffectedPackage("cpe", "github:cli", (until("1.5"),)),
        AffectedPackage("cpe", "github:cli@go", (until("3.0", "2.0"),)),
    )
    index = open_index(Advisory("CVE-1-1", "nvd", affected=affected))
    assert [bool(found(index, "gh", version)[0]) for version in ("1.4", "1.6", "2.5", "3.0")] == [
        True,
        False,
        True,
        False,
    ]


def test_a_name_with_an_at_sign_is_no_target_and_pseudo_versions_are_no_bounds() -> None:
    index = open_index(
        nvd("CVE-1-1", "acme:@scope/gh"),
        nvd("CVE-1-2", "github:cli@go", bounds=until("0.0.0-20240527191746-e0fe7cc39172")),
    )
    assert found(index, "gh", "0.0") == ([], {})


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("dspy-ai", ["GHSA-dspy", "GHSA-dspy-ai"]),
        ("locustio", ["GHSA-locust"]),
        ("old-name", ["GHSA-msgpack"]),  # by the table of renamed projects alone
        ("msgpack-python", ["GHSA-msgpack"]),
        ("big-bundle", ["GHSA-big-bundle"]),  # bundles are not renamed
        ("pypdf2", []),  # pypdf began anew
        ("pkg:pypi/dspy-ai@2.0", ["GHSA-dspy-ai"]),  # a purl says which project it means
    ],
)
def test_a_renamed_project_has_the_advisories_of_all_its_names(name: str, ids: list[str]) -> None:
    projects = ("dspy", "dspy-ai", "locust", "msgpack", "pypdf", "aiohttp", "big-bundle", "big")
    assert found(open_index(*(osv(f"GHSA-{p}", p) for p in projects)), name)[0] == ids


@pytest.mark.parametrize(
    ("own", "ids", "rule"),
    [
        ((osv("GHSA-1", "pypdf", cve="CVE-1-1"),), [], "ignore/other-package"),
        ((osv("GHSA-1", "pypdf", "pypdf2", cve="CVE-1-1"),), ["CVE-1-1"], ""),
        ((osv("GHSA-1", "pypdf", cve="CVE-1-1", withdrawn="2024-01-01T00:00:00Z"),), ["CVE-1-1"], ""),
        ((), ["CVE-1-1"], ""),  # nobody looked at PyPI's packages yet
    ],
)
def test_an_advisory_for_another_package_leaves_no_fallback_open(
    own: tuple[Advisory, ...], ids: list[str], rule: str
) -> None:
    index = open_index(nvd("CVE-1-1", "pypdf_project:pypdf2"), osv("GHSA-9", "pillow"), *own)
    expected = (ids, {"CVE-1-1": rule} if rule else {})
    assert found(index, "pypdf2") == expected
    [told] = explain(index, ComponentKey("conda", "pypdf2", "2.0"), "conda-forge").considered
    assert (told.outcome, told.rule) == ((Outcome.set_aside, rule) if rule else (Outcome.finding, ""))
    assert found(index, "pkg:pypi/pypdf2@2.0") == expected


def cna(advisory_id: str, name: str, product: str, *ranges: AffectedRange) -> Advisory:
    return Advisory(advisory_id, "cve5", affected=(AffectedPackage("cpe", product, ranges, said_by=name),))


def until_last(last: str, introduced: str | None = None) -> AffectedRange:
    return AffectedRange("cpe", introduced, last_affected=last)


@pytest.mark.parametrize(
    ("who", "product", "said", "is_heard"),
    [
        ("curl", "curl:curl", until("8.7", "7.44"), True),  # by the table: NVD says haxx
        ("PSF", "python_software_foundation:cpython", until("8.7", "7.44"), True),
        ("openssl", "openssl:openssl", until("8.7", "7.44"), True),  # by the vendor's name
        ("HashiCorp", "hashicorp:vault", until("8.7", "7.44"), True),
        ("php", "php_group:php", until("8.7", "7.44"), True),
        ("curl", "curl:curl", until_last("8.6", "7.44"), True),
        ("curl", "curl:curl", until_last("8.6"), False),  # written before there was a fix
        ("curl", "curl:curl", until(None, "7.44"), False),  # without an end
        ("VulDB", "curl:curl", until("8.7", "7.44"), False),  # not the project
        ("oracle", "oracle:mysql", until("8.7", "7.44"), False),  # names supported releases alone
        ("", "curl:curl", until("8.7", "7.44"), False),
    ],
)
def test_the_project_itself_is_heard_before_nvd(who: str, product: str, said: AffectedRange, is_heard: bool) -> None:
    name = next(n for n, a in built_in().names.items() if product in a.products and n not in built_in().metapackages)
    known = built_in().names[name].products
    index = open_index(cna("CVE-1-1", who, product, said), nvd("CVE-1-1", *known, bounds=until("8.7")))
    assert found(index, name, "7.43")[0] == ([] if is_heard else ["CVE-1-1"])
    assert found(index, name, "8.5")[0] == ["CVE-1-1"]


def test_curated_releases_stand_between_the_project_and_nvd() -> None:
    other = cna("CVE-2023-0286", "openssl", "openssl:openssl", until("3.0.9", "3.0.0"))
    assert found(open_index(other), "openssl", "3.0.8")[0] == ["CVE-2023-0286"]
    assert found(open_index(nvd("CVE-2023-0286", "openssl:openssl")), "openssl", "3.0.8")[0] == []


@pytest.mark.parametrize(
    ("name", "product", "text", "rule"),
    [
        ("libpq", "postgresql:postgresql", "MERGE fails to enforce row security policies", "parts/libpq"),
        ("libpq", "postgresql:postgresql", "pg_trgm heap buffer overflow", "parts/libpq"),
        ("libpq", "postgresql:postgresql", "libpq undersizes allocations", ""),
        ("libpq", "postgresql:postgresql", "Misuse of PQescapeString() in many programs", ""),
        ("postgresql", "postgresql:postgresql", "pg_trgm heap buffer overflow", ""),  # the whole
        ("libcups", "openprinting:cups", "cupsd sets wrong rights", "parts/libcups"),
        ("libcups", "openprinting:cups", "a null dereference in the libcups library", ""),
        ("libcurl", "haxx:curl", "overwriting a local file when the -J flag is used", "parts/libcurl"),
        ("libcurl", "haxx:curl", "the -J flag, and libcurl with CURLOPT_HEADER", ""),
        ("libcurl", "haxx:curl", "curl reuses a connection", ""),
        ("curl", "haxx:curl", "overwriting a local file when the -J flag is used", ""),
        ("liblzma", "tukaani:xz", "arbitrary file write in xzgrep", "parts/liblzma"),
        ("libuuid", "kernel:util-linux", "wall allows escape sequences", "parts/libuuid"),
        ("libmysqlclient", "oracle:mysql", "", "parts/libmysqlclient"),  # nothing says that it is of the part
        ("libmysqlclient", "oracle:mysql_client", "(component: Client: mysqldump)", "parts/libmysqlclient"),
        ("libmysqlclient", "oracle:mysql", "a flaw in libmysqlclient", ""),
        ("mysql-client", "oracle:mysql", "(component: Client programs)", ""),
        ("mysql-client", "oracle:mysql", "(component: InnoDB)", "parts/mysql-client"),
        ("mysql-common", "oracle:mysql", "(component: Client programs)", "parts/mysql-common"),
        ("openjdk", "oracle:openjdk", "Vulnerability in Oracle Java SE (component: JavaFX)", "parts/openjdk"),
        ("openjdk", "oracle:openjdk", "Processing web content may run code. Fixed in Safari 17", "parts/openjdk"),
        ("openjdk", "oracle:openjdk", "GStreamer has an out-of-bounds read", "parts/openjdk"),
        ("openjdk", "oracle:openjdk", "(component: AWT, JavaFX)", ""),
        ("openjdk", "oracle:openjdk", "(component: 2D) ... sandboxed Java Web Start applications", ""),
        ("openjdk", "oracle:openjdk", "", ""),
        ("xz-gpl-tools", "tukaani:xz", "arbitrary file write in xzgrep", ""),
        ("xz-gpl-tools", "tukaani:xz", "a use after free in lzma_stream_decoder_mt", "parts/xz-gpl-tools"),
        ("glib-tools", "gnome:glib", "an overflow in g_string_sized_new", "parts/glib-tools"),
        ("libgcrypt-tools", "gnupg:libgcrypt", "a side channel in ECDH", "parts/libgcrypt-tools"),
        ("libnghttp2", "nghttp2:nghttp2", "nghttpx forwards an HTTP/1 request", "parts/libnghttp2"),
    ],
)
def test_what_is_of_another_part_is_ignored_by_the_row_of_the_part(
    name: str, product: str, text: str, rule: str
) -> None:
    assert product in (*built_in().names[name].products, *built_in().names[name].wholes)
    [advisory] = [msgspec.structs.replace(nvd("CVE-1-1", product), details=text)]
    assert found(open_index(advisory), name) == (([], {"CVE-1-1": rule}) if rule else (["CVE-1-1"], {}))


def test_every_description_of_a_vulnerability_tells_of_what_part_it_is() -> None:
    terse = msgspec.structs.replace(nvd("CVE-1-1", "postgresql:postgresql"), summary="An overflow")
    other = Advisory("JLSEC-1", "osv", ("CVE-1-1",), details="in libpq", affected=terse.affected)
    taken_back = msgspec.structs.replace(other, withdrawn="2024-01-01T00:00:00Z")
    assert found(open_index(terse), "libpq") == ([], {"CVE-1-1": "parts/libpq"})
    assert found(open_index(terse, other), "libpq") == (["CVE-1-1"], {})
    assert found(open_index(terse, taken_back), "libpq") == ([], {"CVE-1-1": "parts/libpq"})


def test_what_tells_of_the_part_may_name_another_product() -> None:
    terse = nvd("CVE-1-1", "oracle:mysql")
    told = Advisory("CVE-1-1", "cve5", summary="(component: Client: mysqldump)", affected=cna("", "", "a:b").affected)
    assert found(open_index(terse), "mysql-client") == ([], {"CVE-1-1": "parts/mysql-client"})
    assert found(open_index(terse, told), "mysql-client") == (["CVE-1-1"], {})


def test_every_part_has_a_project_and_no_metapackage_is_one() -> None:
    known = built_in()
    assert known.parts.keys() <= known.names.keys()
    assert known.metapackages.keys().isdisjoint(known.parts)
    assert known.metapackages.keys().isdisjoint(known.metapackages.values())


def test_a_metapackage_says_what_it_depends_on_and_repeats_nothing() -> None:
    index = open_index(nvd("CVE-1-1", "python:python"))
    assert found(index, "python")[0] == ["CVE-1-1"]
    for name in ("python-gil", "cpython", "pkg:conda/python-gil@2.0"):
        assert found(index, name) == ([], {})
    [answer] = index.assess([ComponentKey("conda", "python-gil", "2.0")])
    assert (answer.assessed, "depends on python" in answer.reason) == (True, True)
    headers = open_index(nvd("CVE-1-1", "tukaani:xz"), nvd("CVE-1-2", "xmlsoft:libxml2"))
    assert [found(headers, n)[0] for n in ("liblzma", "libxml2")] == [["CVE-1-1"], ["CVE-1-2"]]
    assert [found(headers, n)[0] for n in ("liblzma-devel", "libxml2-devel")] == [[], []]
    [own] = index.assess([ComponentKey("conda", "python-gil", "2.0", purls=("pkg:generic/python",))])
    assert [f.ids[0] for f in own.findings] == ["CVE-1-1"]  # the record itself says what it is


def commits(
    advisory_id: str, details: str, cve: str = "CVE-2024-1", repo: str = "https://github.com/python/cpython"
) -> Advisory:
    ranges = [{"type": "GIT", "repo": repo, "events": [{"introduced": "0"}, {"fixed": "a" * 40}]}]
    entry = {
        "id": advisory_id,
        "modified": "2024-01-01T00:00:00Z",
        "aliases": [cve],
        "details": details,
        "affected": [{"ranges": ranges}],
    }
    return parse_entry(entry, Reading(now=datetime(2026, 11, 28, tzinfo=UTC)))


def test_commits_alone_are_read_by_other_sources_then_by_the_text_and_else_are_undecided() -> None:
    terse, told = commits("PSF-1", "A flaw in mailcap."), commits("PSF-1", "In Python up to 3.10.8, mailcap is odd.")
    other = commits("PSF-1", "In expat before 2.1.0, a hash is weak.")  # of another project
    by_nvd = nvd("CVE-2024-1", "python:python", bounds=until("3.9.1"))
    for advisory in (terse, other):
        [answer] = open_index(advisory).assess([ComponentKey("conda", "python", "2.0")])
        assert (answer.findings, answer.undecided) == ((), ("CVE-2024-1",))
        assert answer.reason.endswith("; 1 advisory names commits only: undecided")
    [low] = open_index(told).assess([ComponentKey("conda", "python", "3.9.6")])[0].findings
    assert (low.ids, low.confidence, low.fixed_versions) == (("CVE-2024-1", "PSF-1"), "low", ())
    index = open_index(told, by_nvd)
    assert [found(index, "python", v)[0] for v in ("3.9.0", "3.9.6")] == [["CVE-2024-1"], []]
    assert not index.assess([ComponentKey("conda", "python", "3.9.6")])[0].undecided


@pytest.mark.parametrize(
    "affected",
    [
        AffectedPackage("pypi", "pillow"),  # an unknown type of range
        AffectedPackage("pypi", "pillow", (until("trunk", scheme="pep440"),)),
        AffectedPackage("pypi", "pillow", versions=("trunk",)),
    ],
)
def test_what_cannot_be_compared_is_said(affected: AffectedPackage) -> None:
    unreadable = Advisory("GHSA-1", "osv", ("CVE-1-1",), affected=(affected,))
    [answer] = open_index(unreadable).assess([ComponentKey("conda", "pillow", "2.0")])
    assert answer.assessed
    assert answer.reason.endswith("; 1 advisory names versions that cannot be read: undecided")
    heard = open_index(unreadable, nvd("CVE-1-1", "python:pillow"))
    assert found(heard, "pillow") == (["CVE-1-1"], {})  # it silences nobody
    [beside] = open_index(unreadable, osv("GHSA-2", "pillow")).assess([ComponentKey("conda", "pillow", "2.0")])
    assert ([f.ids for f in beside.findings], beside.undecided) == ([("GHSA-2",)], ("CVE-1-1",))


def test_assessed_means_that_a_source_that_is_heard_knows_the_name() -> None:
    index = open_index(nvd("CVE-1-1", "haxx:curl"), osv("GHSA-1", "pillow"))
    [libuv, curl, pypi] = index.assess([ComponentKey("conda", n, "99") for n in ("libuv", "curl", "pypdf2")])
    assert not libuv.assessed
    assert "no feed that is read names" in libuv.reason
    assert curl.assessed
    assert pypi.assessed  # PyPI's advisories are of all its projects


def test_what_is_undecided_for_one_vulnerability_does_not_silence_an_advisory_of_several() -> None:
    wide = msgspec.structs.replace(osv("GHSA-wide", "pillow"), aliases=("CVE-1-1", "CVE-1-2"))
    unread = AffectedPackage("pypi", "pillow", (until("trunk", scheme="pep440"),))
    silent = Advisory("GHSA-1", "osv", ("CVE-1-1",), affected=(unread,))
    taken_back = osv("GHSA-2", "pillow", cve="CVE-1-1", withdrawn="2024-01-01T00:00:00Z")
    for alone in ((), (silent,), (taken_back,), (silent, taken_back)):
        assert sorted(found(open_index(wide, *alone), "pillow")[0]) == ["CVE-1-1", "CVE-1-2"]
    narrow = msgspec.structs.replace(osv("GHSA-3", "pillow", cve="CVE-1-1"), affected=(), id="GHSA-3")
    heard = AffectedPackage("pypi", "pillow", (until("1.0", scheme="pep440"),))
    narrow = msgspec.structs.replace(narrow, affected=(heard,))
    assert found(open_index(wide, narrow, silent), "pillow")[0] == ["CVE-1-2"]


def test_the_newest_record_of_an_advisory_counts_whole() -> None:
    """What only an older record of another feed says of the same package is not added to it."""
    old = Advisory(
        "CVE-1-1",
        "cve5",
        modified="2024-01-01T00:00:00Z",
        affected=(
            AffectedPackage("cpe", "python:python", (until("3.0"),)),
            AffectedPackage("cpe", "python:python@linux_x", (until("8.0", "4.0"),), platforms=("linux",)),
            AffectedPackage("cpe", "haxx:curl", (until("3.0"),)),
        ),
    )
    new = Advisory(
        "CVE-1-1",
        "cve5",
        modified="2025-01-01T00:00:00Z",
        affected=(AffectedPackage("cpe", "python:python", (until("2.0"),), said_by="PSF"),),
    )
    for listed in ((old, new), (new, old)):
        index = open_index(*listed)
        assert [bool(found(index, "python", v)[0]) for v in ("1.0", "2.5", "5.0")] == [True, False, False]
        assert found(index, "curl")[0] == ["CVE-1-1"]  # the new record is of another product
    # Both packages of one record count, also where their names differ by case alone.
    npm = tuple(
        AffectedPackage("npm", n, (until(f, i, "semver"),)) for n, f, i in (("A", "1.0", None), ("a", "3.0", "2.0"))
    )
    index = open_index(Advisory("GHSA-1", "osv", affected=npm))
    assert [bool(found(index, f"pkg:npm/a@{v}")[0]) for v in ("0.9", "1.5", "2.5")] == [True, False, True]


WITHDRAWN = "2024-01-01T00:00:00Z"


def bitnami(withdrawn: str = "") -> Advisory:
    affected = AffectedPackage("bitnami", "python", (until("9.0", scheme="semver"),))
    return Advisory("BIT-python-1-1", "osv", ("CVE-1-1",), withdrawn=withdrawn, affected=(affected,))


@pytest.mark.parametrize(
    ("name", "advisories", "is_there"),
    [
        # The most precise source that is heard took it back.
        ("pillow", [osv("GHSA-1", "pillow", cve="CVE-1-1", withdrawn=WITHDRAWN), nvd("CVE-1-1", "python:pillow")], False),
        ("python", [msgspec.structs.replace(nvd("CVE-1-1", "python:python"), withdrawn=WITHDRAWN), bitnami()], False),
        # Another one took its own entry back.
        ("pillow", [osv("GHSA-1", "pillow", cve="CVE-1-1", withdrawn=WITHDRAWN), osv("PYSEC-1", "pillow", cve="CVE-1-1")], True),
        ("pillow", [osv("GHSA-1", "pillow", cve="CVE-1-1"), msgspec.structs.replace(nvd("CVE-1-1", "python:pillow"), withdrawn=WITHDRAWN)], True),
        ("python", [bitnami(WITHDRAWN), nvd("CVE-1-1", "python:python")], True),
        ("python", [bitnami(WITHDRAWN), commits("PSF-1", "In Python before 9.0, a flaw.", "CVE-1-1")], True),
    ],
)  # fmt: skip
def test_who_withdraws_an_entry_silences_only_those_that_know_less(
    name: str, advisories: list[Advisory], is_there: bool
) -> None:
    assert found(open_index(*advisories), name)[0] == (["CVE-1-1"] if is_there else [])


def of_list(*versions: str, ecosystem: str = "cpe", name: str = "python:python") -> Advisory:
    return Advisory("CVE-1-1", "nvd", affected=(AffectedPackage(ecosystem, name, versions=versions),))


@pytest.mark.parametrize(
    "version",
    [
        "17.0.3-1",
        "17.0.3-r2",
        "17.0.3_1",
        "17.0.3+dfsg",
        "17.0.3+dfsg-4ubuntu1",
        "17.0.3-1.el9_2",
        "17.0.3-0ubuntu1.2",
        "17.0.3~dfsg1-2+deb12u1",
    ],
)
def test_a_packagers_version_in_a_list_is_of_the_release_that_was_packaged(version: str) -> None:
    index = open_index(of_list(version))
    assert [bool(found(index, "python", v)[0]) for v in ("17.0.2", "17.0.3", "17.0.4", version)] == [
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("version", ["1.6.0_13", "2.0-rc1", "2.4.6-p5", "1.0.2k", "2020-10-01", "7.0.8-36.2"])
def test_an_end_that_is_the_projects_own_is_no_packagers(version: str) -> None:
    release = version.replace("_", "-").split("-")[0].rstrip("k")
    assert found(open_index(of_list(version)), "python", release)[0] == []


def test_pypis_post_releases_are_no_packagers() -> None:
    index = open_index(of_list("2.0-1", ecosystem="pypi", name="pillow"))
    assert [found(index, "pillow", v)[0] for v in ("2.0", "2.0.post1")] == [[], ["CVE-1-1"]]


def rejected(advisory: Advisory, modified: str) -> Advisory:
    return msgspec.structs.replace(advisory, withdrawn=modified, modified=modified, affected=())


OLD, NEW = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"
OF_NVD = msgspec.structs.replace(nvd("CVE-1-1", "python:python"), modified=OLD)
QUOTED = msgspec.structs.replace(bitnami(NEW), modified=NEW, flags=("rejected",))


@pytest.mark.parametrize(
    ("advisories", "is_there"),
    [
        ([OF_NVD, rejected(cna("CVE-1-1", "x", "y:z"), NEW)], False),  # the CVE record itself
        ([OF_NVD, QUOTED], False),  # somebody quotes it
        ([OF_NVD, msgspec.structs.replace(QUOTED, flags=())], True),  # an entry that was taken back, no CVE id
        ([bitnami(), rejected(nvd("CVE-1-1", "y:z"), NEW)], False),  # what was made of the record
        (
            [msgspec.structs.replace(OF_NVD, modified=NEW), rejected(cna("CVE-1-1", "x", "y:z"), OLD)],
            True,
        ),  # taken back
    ],
)
def test_who_rejects_a_cve_id_takes_back_what_is_said_of_products(advisories: list[Advisory], is_there: bool) -> None:
    for listed in (advisories, advisories[::-1]):
        assert found(open_index(*listed), "python")[0] == (["CVE-1-1"] if is_there else [])


def test_who_rejects_a_cve_id_takes_back_nothing_that_the_own_ecosystem_says() -> None:
    own = osv("GHSA-1", "pillow", cve="CVE-1-1")
    assert found(open_index(own, rejected(nvd("CVE-1-1", "y:z"), NEW)), "pillow")[0] == ["CVE-1-1"]
    wide = msgspec.structs.replace(own, aliases=("CVE-1-1", "CVE-1-2"))
    index = open_index(wide, OF_NVD, rejected(nvd("CVE-1-2", "y:z"), NEW))
    assert found(index, "python")[0] == ["CVE-1-1"]  # of another CVE id


def test_a_dispute_lowers_confidence_and_hides_nothing() -> None:
    for name, advisory, before, after in (
        ("pkg:pypi/pillow@2.0", osv("GHSA-1", "pillow"), "exact", "high"),
        ("pillow", osv("GHSA-1", "pillow"), "high", "medium"),
        ("python", nvd("CVE-1-1", "python:python"), "medium", "low"),
        ("namesake", nvd("CVE-1-1", "namesake:namesake"), "low", "low"),
    ):
        key = ComponentKey("purl" if name.startswith("pkg:") else "conda", name, "2.0")
        for disputed, confidence, status in ((False, before, "reported"), (True, after, "disputed")):
            index = open_index(msgspec.structs.replace(advisory, disputed=disputed))
            [one] = index.assess([key], "conda-forge")[0].findings
            assert (one.confidence, one.status) == (confidence, status)


def test_what_is_of_another_part_is_not_undecided_for_this_one() -> None:
    unread = Advisory(
        "CVE-1-1",
        "nvd",
        details="The server's query planner",
        affected=(AffectedPackage("cpe", "postgresql:postgresql"),),
    )
    [libpq, whole] = open_index(unread).assess([ComponentKey("conda", n, "2.0") for n in ("libpq", "postgresql")])
    assert (libpq.undecided, whole.undecided) == ((), ("CVE-1-1",))


def windows(criteria: str = "cpe:2.3:o:microsoft:windows:-:*:*:*:*:*:*:*", vulnerable: bool = False) -> dict[str, Any]:
    python = {"vulnerable": True, "criteria": "cpe:2.3:a:python:python:*:*:*:*:*:*:*:*", "versionEndExcluding": "9.0"}
    other = {"vulnerable": vulnerable, "criteria": criteria}
    return {"operator": "AND", "nodes": [{"cpeMatch": [python]}, {"cpeMatch": [other]}]}


def by_nvd(*configurations: dict[str, Any], cve: str = "CVE-2024-1") -> Advisory:
    return Advisory(cve, "nvd", affected=parse_configurations(list(configurations))[0])


@pytest.mark.parametrize(
    ("advisories", "platforms"),
    [
        ([by_nvd(windows())], ("windows",)),
        ([by_nvd(windows("cpe:2.3:o:apple:macos:-:*:*:*:*:*:*:*"), windows())], ("macos", "windows")),
        ([by_nvd(windows("cpe:2.3:o:google:android:-:*:*:*:*:*:*:*"))], ("android",)),
        ([by_nvd(windows("cpe:2.3:h:acme:board:-:*:*:*:*:*:*:*"))], ()),  # hardware: nothing is excluded
        ([by_nvd(windows("cpe:2.3:a:acme:tool:-:*:*:*:*:*:*:*"))], ()),
        ([by_nvd(windows(vulnerable=True))], ()),  # both are affected
        ([by_nvd({**windows(), "nodes": [windows()["nodes"][0], {**windows()["nodes"][1], "negate": True}]})], ()),
        ([by_nvd(windows(), {"nodes": windows()["nodes"][:1]})], ()),  # the same source says more
        (
            [by_nvd(windows()), cna("CVE-2024-1", "PSF", "python:python", until("9.0", "1.0"))],
            ("windows",),
        ),  # a silent one
        ([nvd("CVE-2020-15523", "python:python")], ("windows",)),  # curated
        ([by_nvd(windows(), cve="CVE-2024-9042")], ()),  # curated: of a cluster's nodes
        ([nvd("CVE-2024-1", "python:python")], ()),
    ],
)
def test_a_platform_decides_where_a_source_names_it(advisories: list[Advisory], platforms: tuple[str, ...]) -> None:
    index = open_index(*advisories)
    [finding] = index.assess([ComponentKey("conda", "python", "2.0")])[0].findings
    assert finding.platforms == platforms
    expected = {"linux-64": "linux", "win-64": "windows", "osx-arm64": "macos"}
    for subdir, system in expected.items():
        key = ComponentKey("conda", "python", "2.0", subdir=subdir)
        [answer], [ignored] = index.assess([key]), index.list_ignored([key])
        is_found = not platforms or system in platforms
        assert bool(answer.findings) is is_found, subdir
        assert [f.ignored_by.rule for f in ignored] == ([] if is_found else ["platform"])
    for subdir in ("noarch", "", "emscripten-wasm32"):
        [answer] = index.assess([ComponentKey("conda", "python", "2.0", subdir=subdir)])
        assert answer.findings == (finding,)


@pytest.mark.parametrize(
    ("targets", "platforms"),
    [(["windows"], ("windows",)), (["windows", "macos"], ("macos", "windows")), (["windows", "*"], ()), (["x64"], ())],
)
def test_an_operating_system_as_target_software_is_a_platform(targets: list[str], platforms: tuple[str, ...]) -> None:
    matches = [
        {"vulnerable": True, "criteria": f"cpe:2.3:a:python:python:*:*:*:*:*:{t}:*:*", "versionEndExcluding": "9.0"}
        for t in targets
    ]
    index = open_index(by_nvd({"nodes": [{"cpeMatch": matches}]}))
    [finding] = index.assess([ComponentKey("conda", "python", "2.0")])[0].findings
    assert finding.platforms == platforms


def test_a_negated_configuration_tells_of_nothing_that_is_affected() -> None:
    affected, flags = parse_configurations([{**windows(), "negate": True}])
    assert (affected, "negated-node" in flags) == ((), True)


@pytest.mark.parametrize(
    ("named", "platforms"),
    [
        (["Windows"], ("windows",)),
        (["MacOS", "Linux"], ("linux", "macos")),
        (["Windows", "64 bit", "x86"], ()),  # one that is not known: nothing is excluded
        ([], ()),
        ("Windows", ()),
    ],
)
def test_the_platforms_of_a_cve_record_are_read(named: object, platforms: tuple[str, ...]) -> None:
    versions = [{"version": "1.0", "lessThan": "9.0", "status": "affected"}]
    affected = [{"vendor": "python", "product": "python", "versions": versions, "platforms": named}]
    entry = {"cve": "CVE-2024-1234", "state": "PUBLISHED", "cna": "PSF", "affected": [{**affected[0], "by": "cna"}]}
    [package] = cve5.parse_entry(entry, Reading(now=datetime(2026, 11, 28, tzinfo=UTC))).affected
    assert package.platforms == platforms


@pytest.mark.parametrize(
    ("subdir", "is_there"),
    [("linux-32", True), ("linux-armv7l", True), ("win-32", True), ("linux-64", False), ("osx-arm64", False)],
)
def test_what_exists_on_32_bits_alone(subdir: str, is_there: bool) -> None:
    index = open_index(nvd("CVE-2021-43618", "gmplib:gmp"))
    [answer] = index.assess([ComponentKey("conda", "gmp", "2.0", subdir=subdir)])
    assert bool(answer.findings) is is_there
