"""The second gate: our answers beside those of osv-scanner on the same advisories (recorded by `make compare`)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.quality import compare, scanner
from tests.quality.scanner import Difference

ENTRY = {
    "id": "PYSEC-1",
    "aliases": ["CVE-2024-1"],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "My_Lib"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"last_affected": "2.0"}]}],
        }
    ],
}


def test_every_difference_from_osv_scanner_is_explained(shared_data: Path) -> None:
    data = shared_data / "data"
    purls = scanner.list_components(data)
    header, theirs = scanner.read_record(scanner.RECORD, purls)
    assert header == f"{scanner.VERSION} {scanner.digest(data, purls)}", "what is compared changed: run make compare"
    assert sum(map(len, theirs.values())) > 5_000
    entries = scanner.read_entries(data)
    ours = scanner.answer(purls, entries)
    differences = list(scanner.compare(ours, theirs, entries))
    unexplained = [(d.purl, d.entry["id"], d.is_ours) for d in differences if scanner.explain(d) is None]
    assert unexplained == []
    assert scanner.table_of_page() == scanner.tabulate(scanner.count_same(ours, theirs), len(purls), differences)


def test_difference_is_what_one_names_and_the_other_does_not() -> None:
    purl, entries = "pkg:pypi/my-lib@1.0", {"PYSEC-1": ENTRY, "CVE-2024-1": {"id": "CVE-2024-1"}}
    nothing: scanner.Answers = {purl: frozenset()}
    named: scanner.Answers = {purl: frozenset({"PYSEC-1"})}
    by_alias: scanner.Answers = {purl: frozenset({"CVE-2024-1"})}
    assert [d.is_ours for d in scanner.compare(named, nothing, entries)] == [True]
    assert [d.is_ours for d in scanner.compare(nothing, named, entries)] == [False]
    assert list(scanner.compare(named, by_alias, entries)) == []


@pytest.mark.parametrize("is_ours", [True, False])
def test_difference_without_a_reason_is_not_explained(is_ours: bool) -> None:
    assert scanner.explain(Difference("pkg:pypi/my-lib@1.0", ENTRY, is_ours)) is None


def test_bound_that_is_no_version_explains_what_we_alone_name() -> None:
    entry = msgspec.json.decode(msgspec.json.encode(ENTRY).replace(b'"2.0"', b'"2.0-NA"'))
    explanation = scanner.explain(Difference("pkg:pypi/my-lib@1.0", entry, True))
    assert explanation is not None and "PEP 440" in explanation.title
    assert scanner.explain(Difference("pkg:pypi/my-lib@1.0", entry, False)) is None
    assert scanner.explain(Difference("pkg:pypi/other@1.0", entry, True)) is None


def test_component_that_the_scanner_leaves_out_is_no_agreement() -> None:
    package = {"ecosystem": "PyPI", "name": "my-lib", "version": "1.0"}
    output = {"results": [{"packages": [{"package": package, "vulnerabilities": [{"id": "PYSEC-1"}]}]}]}
    document = msgspec.json.encode(output)
    assert compare.read_output(document, ["pkg:pypi/my-lib@1.0"]) == {"pkg:pypi/my-lib@1.0": frozenset({"PYSEC-1"})}
    with pytest.raises(ValueError, match="left out 1 components"):
        compare.read_output(document, ["pkg:pypi/my-lib@1.0", "pkg:pypi/other@1.0"])


def test_make_compare_says_that_go_is_missing(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    before = scanner.RECORD.read_bytes()
    assert compare.main() == 2
    assert "Go is not on the PATH" in capsys.readouterr().err
    assert scanner.RECORD.read_bytes() == before
