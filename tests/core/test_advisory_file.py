"""The compiled index as an advisory file: the same answers, stable rows, and files that cannot be read."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from antivenom.core import advisory_file
from antivenom.core.advisory_file import About, FeedDate
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange, Severity
from antivenom.core.matching.compile_index import Exploited, build_index
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in
from antivenom_client.advisory_file import AdvisoryFile

ABOUT = About("2026-11-28T16:00:00Z", "0.1.0", (FeedDate("osv", "osv", "2026-11-28T15:00:00Z", 3),))
MAPS = NameMaps(
    {
        "pillow": {"conda-forge": {"pypi": ("pillow",)}},
        "requests": {"conda-forge": {"pypi": ("requests",)}, "other": {"pypi": ()}},
        "cmake": {"conda-forge": {"pypi": ()}},
    },
    {"pypi/pillow": ("python:pillow",)},
)
ADVISORIES = (
    Advisory(
        "GHSA-aaaa", "osv", ("CVE-2026-1",), "Pillow overflows", severity=Severity.high,
        affected=(AffectedPackage("pypi", "pillow", (AffectedRange("pep440", "2.0", fixed="10.0"),)),),
    ),
    Advisory(
        "CVE-2026-1", "nvd", cvss=9.1, severity=Severity.critical, published="2026-01-02T00:00:00Z",
        affected=(AffectedPackage("cpe", "python:pillow", (AffectedRange("cpe", None, fixed="10.1"),)),),
    ),
    Advisory(
        "CVE-2026-2", "nvd", severity=Severity.medium,
        affected=(AffectedPackage("cpe", "openssl:openssl", (AffectedRange("cpe", None, fixed="3.0.8"),)),),
    ),
    Advisory(
        "MAL-2026-3", "osv", severity=Severity.malware, affected=(AffectedPackage("pypi", "evil", versions=("1.0",)),)
    ),
)  # fmt: skip
COMPONENTS = [
    ComponentKey("conda", "pillow", "9.5"), ComponentKey("conda", "pillow", "10.2"), ComponentKey("conda", "requests", "2.0"),
    ComponentKey("conda", "openssl", "3.0.7", "h1", (), "linux-64"), ComponentKey("conda", "openssl", "odd"),
    ComponentKey("conda", "cmake", "3.1"), ComponentKey("conda", "evil", "1.0"), ComponentKey("conda", "nobody", "1"),
    ComponentKey("purl", "pkg:pypi/Pillow@9.1", ""), ComponentKey("purl", "pkg:pypi/evil@1.0", ""),
    ComponentKey("purl", "pkg:conda/pillow@9.5?channel=conda-forge", ""), ComponentKey("purl", "nonsense", ""),
]  # fmt: skip


def compile_(*advisories: Advisory, **exploited: Exploited) -> MatchIndex:
    by_cve = {key.replace("_", "-"): value for key, value in exploited.items()}
    return MatchIndex.load(build_index(advisories, by_cve, MAPS, built_in()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "advisories.db"
    advisory_file.write(compile_(*ADVISORIES), file, about=ABOUT)
    return file


def rows(path: Path, table: str) -> set[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        return set(connection.execute(f"SELECT * FROM {table}"))


@pytest.mark.parametrize("channel", ["", "conda-forge", "other"])
def test_a_file_answers_as_the_index_does(path: Path, channel: str) -> None:
    index, from_file = compile_(*ADVISORIES), advisory_file.open(path)
    assert from_file.assess(COMPONENTS, channel) == index.assess(COMPONENTS, channel)
    assert from_file.list_ignored(COMPONENTS, channel) == index.list_ignored(COMPONENTS, channel)
    assert any(answer.findings for answer in from_file.assess(COMPONENTS, channel))
    assert from_file.vulnerability_count == index.vulnerability_count


def test_a_file_says_what_it_was_made_from(path: Path) -> None:
    file = AdvisoryFile.open(path)
    assert file.meta()["made_at"] == ABOUT.made_at
    assert file.feeds() == list(ABOUT.feeds)


def test_equal_knowledge_gives_equal_bytes(path: Path, tmp_path: Path) -> None:
    advisory_file.write(compile_(*reversed(ADVISORIES)), tmp_path / "again.db", about=ABOUT)
    assert (tmp_path / "again.db").read_bytes() == path.read_bytes()


def test_one_more_advisory_and_new_scores_leave_all_other_rows_as_they_are(path: Path, tmp_path: Path) -> None:
    one = Advisory(
        "CVE-2025-9", "nvd", severity=Severity.low,
        affected=(AffectedPackage("cpe", "zlib:zlib", (AffectedRange("cpe", None, fixed="1.3"),)),),
    )  # fmt: skip
    index = compile_(*ADVISORIES, one, CVE_2026_2=Exploited(epss=0.5))
    advisory_file.write(index, tmp_path / "more.db", about=ABOUT)
    for table, more in {"vulnerabilities": 1, "packages": 1, "conda_names": 0, "products": 0, "knowledge": 0}.items():
        old, new = rows(path, table), rows(tmp_path / "more.db", table)
        assert old <= new, table
        assert len(new) == len(old) + more, table
    assert rows(path, "scores") != rows(tmp_path / "more.db", "scores")


def test_a_file_that_is_replaced_while_it_is_read_goes_on_answering(path: Path) -> None:
    expected = compile_(*ADVISORIES).assess(COMPONENTS)
    from_file = advisory_file.open(path)
    assert from_file.assess(COMPONENTS[:1]) == expected[:1]
    advisory_file.write(compile_(), path, about=ABOUT)
    assert from_file.assess(COMPONENTS) == expected
    assert not any(answer.findings for answer in advisory_file.open(path).assess(COMPONENTS))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        advisory_file.write(compile_(), path, about=ABOUT)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def _patch(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_what_is_no_advisory_file_is_refused_with_the_reason(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read: No such file"):
        advisory_file.open(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("hello " * 100)
    with pytest.raises(InvalidInputError, match="no SQLite database"):
        advisory_file.open(tmp_path / "text.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(InvalidInputError, match="no SQLite database"):
        advisory_file.open(tmp_path / "empty.db")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE meta (key, value)")
    with pytest.raises(InvalidInputError, match="another program's"):
        advisory_file.open(other)
    _patch(path, 60, (2).to_bytes(4, "big"))
    with pytest.raises(InvalidInputError, match="format 2; this antivenom knows 1"):
        advisory_file.open(path)


@pytest.mark.parametrize("left", [99, 100, 4096, -1])
def test_a_truncated_file_is_refused(path: Path, left: int) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:left])
    with pytest.raises(InvalidInputError, match="no SQLite database" if left < 100 and left > 0 else "not whole"):
        advisory_file.open(path)


def test_a_damaged_page_is_an_error_that_names_the_file_or_changes_no_answer(path: Path) -> None:
    data, expected = path.read_bytes(), compile_(*ADVISORIES).assess(COMPONENTS)
    refused = 0
    for page in range(len(data) // 4096):
        path.write_bytes(data[: page * 4096 + 100] + b"\xff" * 3900 + data[page * 4096 + 4000 :])
        with contextlib.suppress(InvalidInputError):
            assert advisory_file.open(path).assess(COMPONENTS) == expected
            continue
        refused += 1
    assert refused > 1
