"""Names that are spelt or numbered otherwise elsewhere: vendors of CPE names, paths of Go modules, cargo's releases."""

from __future__ import annotations

import msgspec
import pytest

from antivenom.core.feeds.cve5 import parse_entry
from antivenom.core.feeds.entry import Reading
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange, Assessment
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.explain import explain
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.knowledge import Alias, Knowledge, Part, assemble
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in
from tests.core.feeds.test_knowledge import READING

KNOWN = {
    "names/acme-plugins-bad": Alias(("acme_project:acme",)),
    "names/c-tool": Alias(("c-tool_project:c-tool",)),
    "names/c-tool-cli": Alias(("c-tool_project:c-tool",)),
    "names/rust": Alias(("other:c_tool",)),
    "names/podman": Alias((), tuple(("go", f"example.com/podman{path}") for path in ("", "/v4", "/v5"))),
    "parts/c-tool-cli": Part(("command",), (), True, "of the library"),
}


def advisory(product: str, *, source: str = "nvd", said_by: str = "", summary: str = "") -> Advisory:
    affected = AffectedPackage("cpe", product, (AffectedRange("cpe", fixed="2.0"),), said_by=said_by)
    return Advisory("CVE-2024-1", source, summary=summary, affected=(affected,))


def open_index(*advisories: Advisory, knowledge: Knowledge | None = None) -> MatchIndex:
    known = knowledge or assemble([list(KNOWN.items())])
    return MatchIndex.load(build_index(advisories, None, NameMaps({}, {}), known))


def ask(index: MatchIndex, name: str, version: str = "1.0") -> Assessment:
    [answer] = index.assess([ComponentKey("conda", name, version)])
    return answer


@pytest.mark.parametrize(
    ("name", "product", "confidence"),
    [
        ("c-tool", "c-tool_project:ctool", "medium"),  # the same vendor, and - left out
        ("c-tool", "c_tool_project:c-tool", "medium"),
        ("acme-plugins-bad", "acme_project:acme-plugins-bad", "medium"),  # the vendor's product of the conda name
        ("c-tool", "c-tool:c-tool", "low"),  # called like the product
        ("c-tool", "n_a:c-tool", "low"),  # nobody says whose it is
        ("c-tool", "other:c_tool", ""),  # another curated project
        ("c-tool", "another:c-tool", ""),
    ],
)
def test_a_curated_product_that_is_spelt_otherwise_counts(name: str, product: str, confidence: str) -> None:
    assert [f.confidence for f in ask(open_index(advisory(product)), name).findings] == [confidence] * bool(confidence)


def test_a_vendor_that_is_not_named_silences_nobody_unless_the_project_itself_leaves_it_out() -> None:
    elsewhere = msgspec.structs.replace(
        advisory("n_a:c-tool", source="cve5"),
        affected=(AffectedPackage("cpe", "n_a:c-tool", (AffectedRange("cpe", "9", fixed="9.1"),)),),
    )
    assert ask(open_index(advisory("c-tool_project:c-tool"), elsewhere), "c-tool").findings
    own = advisory("n_a:c-tool", source="cve5", said_by="c-tool")
    assert [f.confidence for f in ask(open_index(own), "c-tool").findings] == ["medium"]
    assert not ask(open_index(advisory("n_a:c-tool")), "c-tool", "3.0").assessed  # silence is no evidence


def test_another_part_of_what_is_spelt_otherwise_is_ignored() -> None:
    of_library = open_index(advisory("n_a:c-tool", summary="a flaw in the library"))
    assert ask(of_library, "c-tool").findings
    assert not ask(of_library, "c-tool-cli").findings
    assert ask(open_index(advisory("n_a:c-tool", summary="a flaw in the command")), "c-tool-cli").findings


def test_a_cve_record_without_a_vendor_names_its_product() -> None:
    versions = [{"version": "0", "lessThan": "2.0", "status": "affected"}]
    record = {
        "cveMetadata": {"cveId": "CVE-2024-1234", "state": "PUBLISHED"},
        "containers": {"cna": {"affected": [{"vendor": "n/a", "product": "C-Tool", "versions": versions}]}},
    }
    found = parse_entry(record, Reading(now=READING.now))
    assert [p.name for p in found.affected] == ["n_a:c-tool"]
    record["containers"]["cna"]["affected"][0]["product"] = "n/a"  # type: ignore[index]
    assert parse_entry(record, Reading(now=READING.now)).affected == ()


def go(path: str, *ranges: AffectedRange) -> Advisory:
    return Advisory("GO-2024-1", "osv", affected=(AffectedPackage("go", f"example.com/podman{path}", ranges),))


def test_a_path_of_a_go_module_does_not_speak_of_later_major_versions() -> None:
    endless, until_5 = AffectedRange("semver"), AffectedRange("semver", fixed="5.1.0")
    everything = go("", endless).affected + go("/v4", endless).affected + go("/v5", until_5).affected
    index = open_index(Advisory("GO-2024-1", "osv", affected=everything))
    found = {v: bool(ask(index, "podman", v).findings) for v in ("1.9", "4.9", "5.0.1", "5.1.0", "5.2.0", "6.0.0")}
    assert found == {"1.9": True, "4.9": True, "5.0.1": True, "5.1.0": False, "5.2.0": False, "6.0.0": False}
    assert ask(open_index(go("", endless)), "podman", "5.2.0").findings  # no path of its own is known: +incompatible


def test_cargos_numbers_are_those_of_rust() -> None:
    cargo = AffectedPackage("cpe", "rust-lang:cargo", (AffectedRange("cpe", fixed="0.72.2"),))
    index = open_index(Advisory("CVE-2023-38497", "cve5", affected=(cargo,)), knowledge=built_in())
    assert [bool(ask(index, "rust", v).findings) for v in ("1.70.0", "1.71.0", "1.71.1")] == [True, True, False]


def test_a_worse_source_does_not_decide_where_a_better_one_cannot_be_read() -> None:
    unread = AffectedPackage(
        "cpe", "acme_project:acme", (AffectedRange("cpe", fixed="0.0.0-20250403145552-8c70975283f9"),)
    )
    worse = AffectedPackage("bitnami", "acme", (AffectedRange("semver", fixed="2.0"),))
    known = assemble([[("names/acme", Alias(("acme_project:acme",), (("bitnami", "acme"),)))]])
    index = open_index(
        Advisory("CVE-2024-1", "nvd", affected=(unread,)),
        Advisory("BIT-1", "osv", ("CVE-2024-1",), affected=(worse,)),
        knowledge=known,
    )
    later, earlier = ask(index, "acme", "3.0"), ask(index, "acme", "1.0")
    assert (later.findings, later.undecided) == ((), ("CVE-2024-1",))
    assert later.reason.endswith("1 advisory names versions that cannot be read: undecided")
    assert ([f.ids[0] for f in earlier.findings], earlier.undecided) == (["CVE-2024-1"], ())
    [considered] = explain(index, ComponentKey("conda", "acme", "3.0")).considered
    assert considered.why.endswith("the sources that name releases come after that one")
    alone = open_index(Advisory("BIT-1", "osv", affected=(worse,)), knowledge=known)
    assert not ask(alone, "acme", "3.0").undecided
