"""The hot tables answer what the match index answers, or say that they do not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from antivenom.core import advisory_file
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom_client.advisory_file import AdvisoryFile, UnusableFile
from antivenom_client.names import channel_name, normalize_python
from antivenom_client.plans import BeyondPlans, Plans, Query, python_purl
from tests.client.same_answers import check
from tests.core.test_advisory_file import ABOUT, ADVISORIES, compile_

NAMES = (
    "pillow", "requests", "openssl", "cmake", "evil", "nobody", "r-nobody", "r-base", "bioconductor-x", "libssh2", "python",
    "mysql-libs", "zlib", "r-", "py-opencv",
)  # fmt: skip
VERSIONS = st.sampled_from(("9.5", "10.0", "10.1", "1.0", "3.0.7", "3.0.8", "odd", "1.0rc1", "1!2", "1.1.1k", "2023a"))
CONDA = st.fixed_dictionaries(
    {
        "type": st.just("conda"),
        "name": st.sampled_from(NAMES),
        "version": VERSIONS,
        "channel": st.sampled_from(("", "conda-forge", "other", "https://there/other/linux-64")),
        "subdir": st.sampled_from(("", "noarch", "linux-64", "win-64")),
    }
)
PYPI = st.builds(
    lambda name, version: {"purl": python_purl(name, version)},
    st.sampled_from(("pillow", "Pillow", "evil", "zope.interface", "nobody_else", "requests")),
    VERSIONS.filter(lambda version: "!" not in version),
)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[MatchIndex, MatchIndex, Plans]:
    path = tmp_path_factory.mktemp("file") / "a.db"
    index = compile_(*ADVISORIES)
    advisory_file.write(index, path, about=ABOUT)
    return index, advisory_file.open(path), Plans(AdvisoryFile.open(path))


@given(items=st.lists(st.one_of(CONDA, PYPI), max_size=12))
def test_all_ways_give_the_same_answers(
    three: tuple[MatchIndex, MatchIndex, Plans], items: list[dict[str, str]]
) -> None:
    check(*three, items)


def test_what_a_readable_source_finds_is_not_undecided(tmp_path: Path) -> None:
    unreadable = AffectedPackage("pypi", "pillow", (AffectedRange("pep440", None, fixed="none"),))
    readable = AffectedPackage("cpe", "python:pillow", (AffectedRange("cpe", None, fixed="10.1"),))
    index = compile_(
        Advisory("CVE-2026-7", "osv", affected=(unreadable,)),
        Advisory("CVE-2026-7", "nvd", affected=(readable,)),
        Advisory("CVE-2026-8", "osv", affected=(unreadable,)),
    )
    advisory_file.write(index, tmp_path / "a.db", about=ABOUT)
    three = index, advisory_file.open(tmp_path / "a.db"), Plans(AdvisoryFile.open(tmp_path / "a.db"))
    items = [{"type": "conda", "name": "pillow", "version": version} for version in ("9.5", "10.2")]
    assert check(*three, items)[1] == 0
    assert any(answer.undecided for answer in three[0].assess([ComponentKey("conda", "pillow", "9.5")]))


def test_what_an_advisory_may_mean_by_its_mere_name_is_left_to_the_index(
    three: tuple[MatchIndex, MatchIndex, Plans],
) -> None:
    with pytest.raises(BeyondPlans):
        three[2].assess([Query("evil", "1.0")])
    assert three[2].assess([Query("nobody", "1.0")])[0].assessed is False


@given(st.text("abcXYZ019._-", min_size=1), st.text("019abc.+!~_-", min_size=1))
def test_purls_are_written_as_packageurl_writes_them(name: str, version: str) -> None:
    assert python_purl(name, version) == PackageURL("pypi", None, name, version).to_string()


@pytest.mark.parametrize(("name", "version"), [("a b", "1"), ("a", "1:2"), ("ä", "1"), ("a", "")])
def test_purls_that_need_more_than_that_are_left_to_the_index(name: str, version: str) -> None:
    with pytest.raises(BeyondPlans):
        python_purl(name, version)


@pytest.mark.parametrize("column", ["lines", "reason"])
def test_rows_that_make_no_sense_are_damage(tmp_path: Path, column: str) -> None:
    import sqlite3

    path = tmp_path / "a.db"
    advisory_file.write(compile_(*ADVISORIES), path, about=ABOUT)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE plans SET {column} = x'ff00'")
    with pytest.raises(UnusableFile, match=r"a\.db is damaged"):
        Plans(AdvisoryFile.open(path)).assess([Query("pillow", "9.5")])


@pytest.mark.parametrize(
    ("channel", "name"),
    [("", ""), ("conda-forge", "conda-forge"), ("https://a/t/x/Conda-Forge/linux-64", "conda-forge"), ("noarch", "noarch"),
     ("https://a/b/noarch/", "b"), ("https://a/win-/", "win-"), ("a/linux-a b", "linux-a b")],
)  # fmt: skip
def test_channels_are_known_by_the_last_part_that_is_no_subdir(channel: str, name: str) -> None:
    assert channel_name(channel) == name


def test_names_of_projects_are_compared_as_pep_503_says() -> None:
    assert normalize_python("Zope.._-Interface") == "zope-interface"
