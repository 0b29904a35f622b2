"""VEX documents of three kinds: whose packages they are about, and what becomes of findings."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.snapshot import Component
from antivenom.core.readers.vex import read_vex
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot
from antivenom.core.reports.vex import VexStatements

FINDING = Finding(("CVE-2023-1", "GHSA-1"), "high", None, False, None, 1.0, (), "reported", "high", ())
OPENSSL = Component("conda", "openssl", "3.0.7", "h_2", "linux-64", "https://c.example/conda-forge")


def openvex(product: Any = "pkg:conda/openssl@3.0.7", status: str = "not_affected", **more: Any) -> dict[str, Any]:
    statement = {"vulnerability": {"name": "CVE-2023-1"}, "products": [{"@id": product}], "status": status, **more}
    return {"@context": "https://openvex.dev/ns/v0.2.0", "timestamp": "2026-01-01T00:00:00Z", "statements": [statement]}


def cyclonedx(ref: str, state: str = "not_affected") -> dict[str, Any]:
    return {
        "bomFormat": "CycloneDX",
        "components": [{"bom-ref": "a", "components": [{"bom-ref": "b", "purl": "pkg:conda/openssl@3.0.7"}]}],
        "vulnerabilities": [
            {"id": "OTHER-1", "references": [{"id": "GHSA-1"}], "affects": [{"ref": ref}],
             "analysis": {"state": state, "justification": "code_not_reachable", "detail": "never called"}},
            {"id": "CVE-2023-1", "affects": [{"ref": ref}]},
        ],
    }  # fmt: skip


def csaf(word: str = "known_not_affected") -> dict[str, Any]:
    return {
        "document": {"category": "csaf_vex", "csaf_version": "2.0", "tracking": {"current_release_date": "2026-01-01"}},
        "product_tree": {
            "branches": [{"branches": [{"product": {"product_id": "P", "product_identification_helper": {"purl": "pkg:conda/openssl@3.0.7"}}}]}],
            "relationships": [{"product_reference": "P", "full_product_name": {"product_id": "Q:P"}}],
        },
        "vulnerabilities": [
            {"cve": "CVE-2023-1", "product_status": {word: ["Q:P"], "recommended": ["P"]},
             "flags": [{"label": "component_not_present", "product_ids": ["Q:P"]}],
             "threats": [{"category": "impact", "details": "not there", "product_ids": ["Q:P"]}]},
        ],
    }  # fmt: skip


def apply(*documents: dict[str, Any], component: Component = OPENSSL) -> AssessedComponent:
    read = [read_vex(json.dumps(document).encode(), f"{n}.json") for n, document in enumerate(documents)]
    snapshot = ScannedSnapshot("x", "prefix", "", "", (AssessedComponent(component, True, "", (FINDING,)),))
    return VexStatements(read).apply(snapshot).components[0]


def status(*documents: dict[str, Any], component: Component = OPENSSL) -> str:
    found = apply(*documents, component=component)
    said = [statement for _, statement in (*found.set_aside, *found.statements)]
    assert len(said) <= 1
    assert len(found.findings) == (0 if found.set_aside else 1)
    return said[0].status if said else ""


@pytest.mark.parametrize(
    "document",
    [
        openvex(),
        {"@context": "https://openvex.dev/ns", "statements": [{"vulnerability": "CVE-2023-1", "products": ["pkg:conda/openssl@3.0.7"], "status": "not_affected"}]},
        openvex(vulnerability={"name": "OTHER-1", "aliases": ["ghsa-1"]}),
        openvex("app", products=[{"@id": "pkg:oci/app", "subcomponents": [{"@id": "x", "identifiers": {"purl": "pkg:conda/openssl@3.0.7"}}]}]),
        cyclonedx("b"),
        cyclonedx("pkg:conda/openssl"),
        cyclonedx("urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#pkg:conda/openssl@3.0.7"),
        csaf(),
    ],
)  # fmt: skip
def test_each_kind_of_document_sets_a_finding_aside(document: dict[str, Any]) -> None:
    assert status(document) == "not_affected"


def test_a_statement_says_why() -> None:
    [(finding, statement)] = apply(cyclonedx("b")).set_aside
    assert (finding.ids[0], statement.sentence) == (
        "CVE-2023-1",
        "not affected (0.json): code not reachable: never called",
    )
    [(_, statement)] = apply(csaf()).set_aside
    assert statement.sentence == "not affected (0.json): component not present: not there"
    text = openvex(justification="vulnerable_code_not_present", impact_statement="a", status_notes="b")
    assert apply(text).set_aside[0][1].text == "a: b"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (openvex(status="fixed"), "fixed"),
        (openvex(status="affected"), "affected"),
        (openvex(status="under_investigation"), "under_investigation"),
        (cyclonedx("b", "resolved_with_pedigree"), "fixed"),
        (cyclonedx("b", "false_positive"), "not_affected"),
        (cyclonedx("b", "exploitable"), "affected"),
        (cyclonedx("b", "in_triage"), "under_investigation"),
        (csaf("fixed"), "fixed"),
        (csaf("known_affected"), "affected"),
        (csaf("under_investigation"), "under_investigation"),
    ],
)
def test_statuses_are_told_in_the_words_of_openvex(document: dict[str, Any], expected: str) -> None:
    assert status(document) == expected


@pytest.mark.parametrize(
    ("purl", "fits"),
    [
        ("pkg:conda/openssl", True),
        ("pkg:conda/OpenSSL@3.0.7", True),
        ("pkg:conda/openssl@3.0.8", False),
        ("pkg:conda/openssl@3.0.7?build=h_2&subdir=linux-64", True),
        ("pkg:conda/openssl@3.0.7?build=h_1", False),
        ("pkg:conda/openssl@3.0.7?subdir=osx-64", False),
        ("pkg:conda/openssl?channel=conda-forge", True),
        ("pkg:conda/openssl?channel=https://c.example/conda-forge", True),
        ("pkg:conda/openssl?channel=main", False),
        ("pkg:conda/openssl?something=else", False),
        ("pkg:conda/openssl-devel", False),
        ("pkg:pypi/openssl@3.0.7", False),
        ("pkg:deb/debian/openssl@3.0.7", False),
        ("openssl", False),
        ("pkg:", False),
    ],
)
def test_a_package_url_holds_for_what_it_names_and_no_more(purl: str, fits: bool) -> None:
    assert status(openvex(purl)) == ("not_affected" if fits else "")


def test_what_a_package_does_not_state_is_not_taken_to_be_equal() -> None:
    bare = Component("conda", "openssl", "3.0.7")
    assert status(openvex("pkg:conda/openssl@3.0.7?channel=conda-forge"), component=bare) == ""


def test_names_of_pypi_are_told_as_pypi_does_and_a_records_own_purls_count() -> None:
    flask = Component("pypi", "Flask_Login", "1.0")
    assert status(openvex("pkg:pypi/flask-login@1.0"), component=flask) == "not_affected"
    of_conda = OPENSSL._replace(purls=("pkg:pypi/openssl@3.0.7",))
    assert status(openvex("pkg:pypi/openssl@3.0.7"), component=of_conda) == "not_affected"


def test_the_latest_statement_counts_whatever_its_place() -> None:
    old, new = openvex(status="affected", timestamp="2025-01-01"), openvex(status="fixed", timestamp="2026-01-01")
    for first, second in ((old, new), (new, old)):
        both = {**first, "statements": [*first["statements"], *second["statements"]]}
        assert status(both) == "fixed"
    assert status(new, old) == "affected"  # of two documents the one that is named last


def test_statements_on_no_package_are_counted() -> None:
    document = read_vex(json.dumps(openvex("https://app.example")).encode(), "a.json")
    assert (document.statements, document.untied) == ((), 1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "it is no JSON"),
        (b"[]", "a.json"),
        (b"{}", "no VEX document"),
        (b'{"bomFormat": "CycloneDX", "vulnerabilities": [{"id": "a", "analysis": {"state": "odd"}}]}', "'odd'"),
        (b'{"statements": [{"status": "nothing"}]}', "'nothing'"),
        (b'{"@context": "openvex", "statements": ' + b"[" * 100_000, "a.json"),
    ],
)
def test_what_is_no_vex_document_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        read_vex(data, "a.json")


def test_a_document_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps({"statements": openvex()["statements"] * 11}).encode()
    for limit in ("STATEMENTS_MAX", "PRODUCTS_MAX", "BYTES_MAX"):
        with monkeypatch.context() as patch, pytest.raises(InvalidInputError):
            patch.setattr(f"antivenom.core.readers.vex.{limit}", 10)
            read_vex(data, "a.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("pkg:conda/a@1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["statements", "vulnerability", "name", "aliases", "products", "@id", "identifiers", "purl", "subcomponents", "status",
         "components", "bom-ref", "vulnerabilities", "analysis", "state", "affects", "ref", "references", "id", "metadata", "component",
         "product_tree", "branches", "product", "product_id", "relationships", "full_product_name", "cve", "ids", "product_status",
         "fixed", "flags", "threats", "product_ids", "tracking", "timestamp"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["statements", "vulnerabilities", "components", "product_tree", "timestamp"]), JSON), st.sampled_from([{"@context": "openvex"}, {"bomFormat": "CycloneDX"}, {"document": {"csaf_version": "2.0"}}]))  # fmt: skip
def test_odd_values_are_refused_or_say_nothing(document: dict[str, Any], kind: dict[str, Any]) -> None:
    refusal = "a.json"
    try:
        read_vex(json.dumps({**document, **kind}).encode(), "a.json")
    except InvalidInputError as error:
        refusal = error.message
    assert "a.json" in refusal


@pytest.mark.quality
def test_real_documents_are_read(shared_data: Path) -> None:
    data = zstandard.ZstdDecompressor().stream_reader((shared_data / "data" / "sbom" / "vex-csaf.tar.zst").open("rb"))
    read, statements = 0, 0
    with tarfile.open(fileobj=data, mode="r|") as files:
        for member in files:
            if not (member.isfile() and member.name.endswith(".json") and "sarif.json" not in member.name):
                continue
            if "vex" not in member.name and "/csaf/" not in member.name:
                continue
            content = files.extractfile(member)
            assert content is not None
            try:
                statements += len(read_vex(content.read(), member.name).statements)
                read += 1
            except InvalidInputError:
                continue
    assert (read > 60, statements > 2000) == (True, True)
