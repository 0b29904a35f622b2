"""Every format of a scan's result: valid, complete, and free of markup that somebody else wrote."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Finding, Severity
from antivenom.core.readers.registry import read_file
from antivenom.core.readers.snapshot import Component, Skipped
from antivenom.core.readers.vex import read_vex
from antivenom.core.reports import as_json, as_markdown
from antivenom.core.reports.as_cyclonedx import CycloneDxReport
from antivenom.core.reports.as_html import HtmlReport
from antivenom.core.reports.as_json import JsonReport
from antivenom.core.reports.as_junit import JunitReport
from antivenom.core.reports.as_markdown import MarkdownReport
from antivenom.core.reports.as_openvex import OpenVexReport
from antivenom.core.reports.as_sarif import SarifReport
from antivenom.core.reports.as_spdx import SpdxReport
from antivenom.core.reports.baseline import KnownFinding, only_new, read_baseline, without_known_reasons
from antivenom.core.reports.changes import compare
from antivenom.core.reports.result import (
    FAIL_ON,
    AssessedComponent,
    Judgement,
    PolicyReason,
    Report,
    ScannedSnapshot,
    Statement,
    Totals,
    list_hits,
    render,
)
from antivenom_client.report import advise, fails

ODD = 'a | b `c` <script>alert(1)</script> "\x00\x1b[31m\n# *d* \ud83d\ude00'.encode("utf-8", "surrogatepass").decode(
    "utf-8", "replace"
)


@dataclass
class Given:
    severity: str = "high"
    fixed: tuple[str, ...] = ()
    kev: bool = False
    risk: float = 10.0
    name: str = "CVE-2020-1"
    summary: str = "it is bad"

    def finding(self) -> Finding:
        kind = "malware" if self.severity == "malware" else "vulnerability"
        return Finding(
            (self.name, "GHSA-x"), self.severity, None, self.kev, None, self.risk, self.fixed, "reported", "high", (),
            summary=self.summary, kind=kind,
        )  # fmt: skip


def snapshot(*components: tuple[str, tuple[Given, ...]], **options: object) -> ScannedSnapshot:
    assessed = tuple(
        AssessedComponent(
            Component("conda", name, "1.0"),
            bool(findings) or name != "unknown",
            "why",
            tuple(f.finding() for f in findings),
        )
        for name, findings in components
    )
    return ScannedSnapshot("pixi.lock", "pixi-lock", "default", "linux-64", assessed, **options)  # type: ignore[arg-type]


SCAN = [
    snapshot(
        ("quiet", ()),
        ("unknown", ()),
        ("mild", (Given("low", risk=1, name="CVE-2020-2"),)),
        ("bad", (Given("critical", ("1.2", "2.0"), risk=50), Given("high", ("1.10",), name="CVE-2020-3"))),
        ("evil", (Given("malware", name="MAL-1", risk=5),)),
        skipped=(Skipped("mine", "a folder"),),
    )
]


def test_the_worst_comes_first() -> None:
    assert [hit.component.name for hit in list_hits(SCAN)] == ["evil", "bad", "bad", "mild"]
    exploited = [snapshot(("a", (Given(risk=90),)), ("b", (Given(risk=1, kev=True),)))]
    assert [hit.component.name for hit in list_hits(exploited)] == ["b", "a"]
    totals = Totals()
    for one in SCAN:
        totals.add(one)
    assert (totals.components, totals.not_assessed, totals.left_out) == (5, 1, 1)


@pytest.mark.parametrize(
    ("findings", "text"),
    [
        ([Given(fixed=("1.2", "2.0")), Given(fixed=("1.10",))], "update to 1.10 or later"),
        ([Given(fixed=("1.2",)), Given()], "update to 1.2 or later; 1 stays open"),
        ([Given(fixed=("1.2",)), Given(), Given()], "update to 1.2 or later; 2 stay open"),
        ([Given(fixed=("1.2", "3.0a1")), Given(fixed=("3.0a1",))], "update to 1.2 or later; 1 stays open"),
        ([Given(fixed=("3.0a1", "3.0")), Given(fixed=("1.2",))], "update to 3.0 or later"),
        ([Given(fixed=("3.0rc1",)), Given(fixed=("3.0a1",)), Given()], "update to 3.0rc1 or later; 1 stays open"),
        ([Given()], "no release is known to fix it"),
        ([Given("malware", ("2.0",)), Given(fixed=("3",))], "remove it: it is malware"),
    ],
)
def test_advice_names_the_release_that_ends_all(findings: list[Given], text: str) -> None:
    assert advise([given.finding() for given in findings]) == text


@pytest.mark.parametrize("limit", [limit for limit in FAIL_ON if limit != "stop"])
def test_a_limit_stands_for_what_is_above_it_and_malware_is_above_all(limit: str) -> None:
    failing = {name for name in Severity.__members__ if fails(Given(name).finding(), [limit])}
    above = {s.name for s in Severity if limit in Severity.__members__ and s >= Severity[limit]}
    assert failing == (set(Severity.__members__) if limit == "any" else above | {"malware"})
    assert fails(Given("unknown", kev=True).finding(), [limit]) is (limit in ("kev", "any"))
    assert not fails(Given("malware").finding(), [])
    assert not fails(Given("malware").finding(), ["stop"])  # the policy says what it stops


def test_json_is_of_the_documented_form() -> None:
    reason = PolicyReason("banned", "packages", "match_spec", "banned", "stop", "it is banned")
    finding = Given(name="CVE-2020-9").finding()
    judged = AssessedComponent(
        Component("pypi", "odd", "1"),
        True,
        "",
        (finding,),
        set_aside=((finding, Statement("not_affected", "vex.json")),),
        statements=(("CVE-2020-9", Statement("affected", "vex.json")),),
        judgement=Judgement("stop", (reason,), (("item", reason),)),
    )
    for scan in (SCAN, [ScannedSnapshot("x", "spdx", "", "", (judged,), wanted=("python",))], []):
        text = render(JsonReport(), scan)
        form = msgspec.json.decode(text, type=as_json.ScanResult)
        assert json.loads(msgspec.json.encode(form)) == json.loads(text)  # no member more, none less
        assert len(form.snapshots) == len(scan)


def test_json_has_everything() -> None:
    found = json.loads(render(JsonReport(), SCAN))
    assert (found["version"], found["components"], found["not_assessed"], found["findings"]) == (1, 5, 1, 4)
    [one] = found["snapshots"]
    assert (one["target"], one["platform"], one["skipped"]) == (
        "pixi.lock",
        "linux-64",
        [{"what": "mine", "why": "a folder"}],
    )
    bad = next(c for c in one["components"] if c["name"] == "bad")
    assert (bad["advice"], [f["ids"][0] for f in bad["findings"]]) == (
        "update to 1.10 or later",
        ["CVE-2020-1", "CVE-2020-3"],
    )


def test_sarif_has_a_rule_for_each_vulnerability_and_a_result_for_each_component() -> None:
    log = json.loads(render(SarifReport(version="1.0.0"), [*SCAN, snapshot(("other", (Given("critical"),)))]))
    [run] = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert (log["version"], len(rules), len(run["results"])) == ("2.1.0", 4, 5)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "pixi.lock"
    prints = [result["partialFingerprints"]["component/v1"] for result in run["results"]]
    assert len(set(prints)) == 5
    scores = {rule["id"]: float(rule["properties"]["security-severity"]) for rule in rules}
    assert scores["MAL-1"] == 10.0 > scores["CVE-2020-1"] > scores["CVE-2020-3"] > scores["CVE-2020-2"] > 0


def test_cyclonedx_names_each_package_once_with_what_it_needs_and_what_it_has() -> None:
    openssl = Component(
        "conda",
        "openssl",
        "3.0.7",
        "h_2",
        "linux-64",
        "https://c.example/conda-forge",
        md5="a" * 32,
        license="Apache 2.0",
    )
    python = Component("conda", "python", "3.11.0", depends=("OpenSSL >=3,<4", "tk", "python 3"))
    flask = Component("pypi", "Flask", "2.0", depends=("python-dateutil>=2",))
    dateutil = Component("pypi", "python_dateutil", "2.9")
    bad = AssessedComponent(
        openssl, True, "", (Given("malware", name="MAL-1").finding(), Given("high", ("3.0.8",)).finding())
    )
    rest = tuple(AssessedComponent(c, True, "", ()) for c in (python, flask, dateutil))
    scan = [ScannedSnapshot("a.lock", "x", "e", p, (bad, *rest)) for p in ("linux-64", "osx-64")]
    text = render(CycloneDxReport(version="1.0", now="2026-01-01T00:00:00Z"), scan)
    found = json.loads(text)
    refs = {c["name"]: c["bom-ref"] for c in found["components"]}
    assert (found["specVersion"], list(refs)) == ("1.6", ["openssl", "python", "Flask", "python_dateutil"])
    first = found["components"][0]
    assert first["purl"] == "pkg:conda/openssl@3.0.7?build=h_2&channel=https://c.example/conda-forge&subdir=linux-64"
    assert (first["hashes"], first["licenses"][0]["expression"]) == (
        [{"alg": "MD5", "content": "a" * 32}],
        "Apache-2.0",
    )
    needs = {d["ref"]: d.get("dependsOn", []) for d in found["dependencies"]}
    assert (needs[refs["python"]], needs[refs["Flask"]]) == ([refs["openssl"]], [refs["python_dateutil"]])
    assert sorted(needs["scanned"]) == sorted(refs.values())
    malware, high = found["vulnerabilities"]
    assert (malware["id"], malware["ratings"][0]["severity"], high["recommendation"]) == (
        "MAL-1",
        "critical",
        "update to 3.0.8 or later",
    )
    assert [affected["ref"] for affected in high["affects"]] == [refs["openssl"]]
    again = [(c.type, c.name, c.version) for c in only_components(text)]  # a purl has PyPI's names as PEP 503 has them
    assert again[2:] == [("pypi", "flask", "2.0"), ("pypi", "python-dateutil", "2.9")]
    assert again[:2] == [("conda", "openssl", "3.0.7"), ("conda", "python", "3.11.0")]
    assert "vulnerabilities" not in render(CycloneDxReport(version="1.0", now="", with_findings=False), scan)


@pytest.mark.parametrize("sha256", ["bb", "z" * 64, "b" * 63, "b" * 63 + "\n", "B" * 64, "٣" * 64])
def test_a_digest_of_an_sbom_is_hex_of_its_length(sha256: str) -> None:
    component = Component("conda", "a", "1", md5="a" * 64, sha256=sha256)
    scan = [ScannedSnapshot("a.lock", "x", "e", "", (AssessedComponent(component, True, "", ()),))]
    expected = [sha256] if sha256 == "B" * 64 else []
    [in_cyclonedx] = json.loads(render(CycloneDxReport(version="1.0", now=""), scan))["components"]
    assert [h["content"] for h in in_cyclonedx.get("hashes", ())] == expected
    packages = json.loads(render(SpdxReport(version="1.0", now=""), scan))["packages"]
    assert [c["checksumValue"] for p in packages for c in p.get("checksums", ())] == expected


def only_components(text: str) -> tuple[Component, ...]:
    [again] = read_file(text.encode(), "bom.json")[1]
    return again.components


def test_junit_fails_where_the_limits_are_reached_and_skips_what_is_not_assessed() -> None:
    suites = ElementTree.fromstring(render(JunitReport(fail_on=["high"]), SCAN))
    [suite] = suites
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "2", "1")
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == ["bad 1.0", "evil 1.0"]
    mild = next(case for case in suite if case.get("name") == "mild 1.0")
    assert "CVE-2020-2" in (mild.findtext("system-out") or "")


def test_markdown_shows_counts_and_a_table() -> None:
    text = render(MarkdownReport(), SCAN)
    assert text.startswith("## Antivenom: 4 findings in 5 components\n")
    assert "1 component not assessed, 1 entry left out." in text
    assert "| **bad** 1.0 | CVE-2020-1 | critical | 1.2, 2.0 | update to 1.10 or later |" in text
    assert "|  | CVE-2020-3 | high | 1.10 |  |" in text


def test_a_long_scan_is_cut_in_markdown() -> None:
    many = [snapshot(*((f"p{n}", (Given(),)) for n in range(as_markdown.ROWS_MAX + 5)))]
    assert "and more: the first 500 packages are shown" in render(MarkdownReport(), many)


def test_what_a_baseline_has_is_no_news_in_whatever_version() -> None:
    known = read_baseline(render(JsonReport(), SCAN).encode(), "old.json")
    assert only_new(SCAN, known)[1] == 4
    renamed = snapshot(
        ("bad", (Given("critical", name="CVE-2020-9"), Given("high", name="CVE-2020-3"))),
        ("other", (Given(name="CVE-2020-3"),)),
    )
    left, left_out = only_new([renamed], known)
    assert (left_out, [(hit.component.name, hit.finding.ids[0]) for hit in list_hits(left)]) == (
        2,
        [("other", "CVE-2020-3")],
    )  # its second id, GHSA-x, was known of "bad"
    for wrong, words in ((b"[]", "old.json"), (b'{"version": 2, "snapshots": []}', "known is 1")):
        with pytest.raises(InvalidInputError, match=words):
            read_baseline(wrong, "old.json")


def test_two_scans_are_compared_by_package_and_vulnerability() -> None:
    old = [snapshot(("same", (Given(name="CVE-1"),)), ("went", ()), ("fixed", (Given(name="CVE-2"),)))]
    new = [
        snapshot(("same", (Given(name="CVE-1"),)), ("came", (Given("critical", name="CVE-3", risk=50),)), ("fixed", ()))
    ]
    new[0] = new[0]._replace(
        components=tuple(
            a._replace(component=a.component._replace(version="2.0")) if a.component.name == "fixed" else a
            for a in new[0].components
        )
    )
    changes = compare(old, new)
    assert [tuple(change)[1:] for change in changes.packages] == [
        ("came", "", "1.0"),
        ("fixed", "1.0", "2.0"),
        ("went", "1.0", ""),
    ]
    assert ([c.finding.ids[0] for c in changes.came], [c.finding.ids[0] for c in changes.went]) == (
        ["CVE-3"],
        ["CVE-2"],
    )
    assert compare(old, old) == ((), (), ())
    found = json.loads(as_json.render_changes(changes))
    assert (found["version"], len(found["packages"]), found["came"][0]["finding"]["ids"][0]) == (1, 3, "CVE-3")
    text = as_markdown.render_changes(changes)
    assert text.startswith("## Antivenom: 1 finding came, 1 finding went\n")
    assert "| fixed | 1.0 | 2.0 |" in text


REPORTS: dict[str, Callable[[], Report]] = {
    "json": JsonReport,
    "sarif": lambda: SarifReport(version="1"),
    "cyclonedx": lambda: CycloneDxReport(version="1", now="2026-01-01T00:00:00Z"),
    "junit": JunitReport,
    "markdown": MarkdownReport,
    "spdx": lambda: SpdxReport(version="1", now="2026-01-01T00:00:00Z"),
    "openvex": lambda: OpenVexReport(version="1", now="2026-01-01T00:00:00Z"),
    "html": lambda: HtmlReport(version="1", now="2026-01-01T00:00:00Z"),
}
ONLY_COMPONENTS = ("cyclonedx", "spdx", "openvex")  # formats that have no place for what could not be read


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_many_targets_needs_no_more_memory_than_one_of_few(name: str) -> None:
    def peak(count: int) -> int:
        report = REPORTS[name]()
        tracemalloc.start()
        for number in range(count):
            [one] = SCAN
            report.add(one._replace(target=f"{number}/pixi.lock", skipped=(Skipped(f"{number} mine", "a folder"),)))
        report.end()
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(1)  # what is imported and compiled once
    assert peak(8000) < peak(2000) + 1_000_000  # six thousand more, of a kilobyte and more each


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_without_a_target_is_whole_and_one_of_a_lost_target_says_so(name: str) -> None:
    lost = ScannedSnapshot("b/uv.lock", "python-lock", "", "", (), error="b/uv.lock, line 2: it is no TOML")
    for scan in ([], [lost], [*SCAN, lost]):
        text = render(REPORTS[name](), scan)
        if name == "junit":
            suites = ElementTree.fromstring(text)
            assert [s.get("errors") for s in suites] == ["1" if one.error else "0" for one in scan]
        elif name == "html":
            assert_whole(text)
        elif name != "markdown":
            json.loads(text)
        assert ("it is no TOML" in text) is (lost in scan and name not in ONLY_COMPONENTS)


STOP = PolicyReason("cooldown", "metadata", "age", "age+judged-1.0.conda", "stop", "judged-1.0.conda is too young")
UNSURE = PolicyReason("small", "metadata", "size", "small+x", "warn", "rule small could not be …: nothing states its size",
                      is_undecided=True)  # fmt: skip
ON_FINDING = PolicyReason("severe", "vulnerabilities", "package", "CVE-2020-7+judged", "stop", "CVE-2020-7 is severe")
JUDGED = [
    ScannedSnapshot(
        "pixi.lock",
        "pixi-lock",
        "default",
        "linux-64",
        (
            AssessedComponent(
                Component("conda", "judged", "1.0"),
                True,
                "",
                (Given(name="CVE-2020-7").finding(),),
                set_aside=(
                    (
                        Given(name="CVE-2020-8").finding(),
                        Statement("not_affected", "a.json", "component_not_present", "x"),
                    ),
                    (Given(name="CVE-2020-9").finding(), Statement("excepted", "allowlist of p, i", "", "why (ana)")),
                ),
                statements=(("CVE-2020-7", Statement("under_investigation", "a.json", "", "we look")),),
                judgement=Judgement("stop", (STOP, ON_FINDING, UNSURE), (("i", ON_FINDING),)),
            ),
        ),
    )
]


def test_a_policy_and_what_is_set_aside_are_in_every_format() -> None:
    found = json.loads(render(JsonReport(), JUDGED))
    [component] = found["snapshots"][0]["components"]
    assert (found["findings"], found["set_aside"], found["policy_stop"], found["policy_go"]) == (1, 2, 1, 0)
    assert [s["status"] for s in component["set_aside"]] == ["not_affected", "excepted"]
    assert component["statements"][0]["finding"]["ids"][0] == "CVE-2020-7"
    assert [r["undecided"] for r in component["policy"]["reasons"]] == [False, False, True]
    assert component["policy"]["excepted"][0]["excepted_by"] == "i"

    [run] = json.loads(render(SarifReport(version="1"), JUDGED))["runs"]
    by_rule = {result["ruleId"]: result for result in run["results"]}
    assert set(by_rule) == {"CVE-2020-7", "CVE-2020-8", "CVE-2020-9", "policy/cooldown"}
    assert (
        by_rule["CVE-2020-8"]["suppressions"][0]["justification"] == "not affected (a.json): component not present: x"
    )
    assert "suppressions" not in by_rule["CVE-2020-7"]
    assert by_rule["CVE-2020-7"]["properties"] == {"policy": "stop"}
    assert by_rule["policy/cooldown"]["level"] == "error"
    [note] = run["invocations"][0]["toolExecutionNotifications"]
    assert (
        "rule small could not be evaluated for 1 of the components: nothing states its size" in note["message"]["text"]
    )

    bom = json.loads(render(CycloneDxReport(version="1", now=""), JUDGED))
    states = {v["id"]: v.get("analysis", {}).get("state") for v in bom["vulnerabilities"]}
    assert states == {"CVE-2020-7": "in_triage", "CVE-2020-8": "not_affected", "CVE-2020-9": "exploitable"}
    assert bom["components"][0]["properties"][0] == {"name": "antivenom:policy", "value": "stop"}

    [suite] = ElementTree.fromstring(render(JunitReport(fail_on=["stop"]), JUDGED))
    failure = suite[0].find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("policy", STOP.message)

    text = render(MarkdownReport(), JUDGED)
    assert "Policy: 1 stopped, 0 with a warning." in text
    assert "2 findings set aside" in text
    assert "| **judged** 1.0 | stop | cooldown |" in text


def test_a_reason_that_the_baseline_has_stops_nothing() -> None:
    known = read_baseline(render(JsonReport(), JUDGED).encode(), "old.json")
    [again] = (without_known_reasons(one, known) for one in JUDGED)
    assert again.components[0].judgement == Judgement("go", (), (("i", ON_FINDING),))
    [other] = (
        without_known_reasons(one, known - {KnownFinding("conda", "judged", UNSURE.trigger_id)}) for one in JUDGED
    )
    assert other.components[0].judgement is not None
    assert other.components[0].judgement.action == "warn"


LICENSED = (
    Component("conda", "openssl", "3.0.7", "h_2", "linux-64", "https://c.example/conda-forge",
              url="https://c.example/conda-forge/linux-64/openssl-3.0.7-h_2.conda", md5="a" * 32, license="Apache 2.0"),
    Component("conda", "python", "3.11.0", license="", depends=("OpenSSL >=3,<4", "tk")),
    Component("pypi", "odd", "1", license="as in LICENSE.txt"),
    Component("pypi", "none", "1", license="NONE"),
)  # fmt: skip


def test_spdx_has_what_its_clauses_ask_for() -> None:
    assessed = tuple(AssessedComponent(c, True, "", (Given(fixed=("2",)).finding(),)) for c in LICENSED)
    scan = [ScannedSnapshot("a.lock", "x", "e", p, assessed) for p in ("linux-64", "osx-64")]
    text = render(REPORTS["spdx"](), scan)
    found = json.loads(text)
    assert {"spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo"} <= found.keys()  # 6
    ids = [p["SPDXID"] for p in found["packages"]]
    assert len(ids) == len(set(ids)) == 5
    assert all(
        re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) and p["downloadLocation"]
        for i, p in zip(ids, found["packages"], strict=True)
    )  # 7
    by_name = {p["name"]: p for p in found["packages"]}
    licenses = {name: p["licenseDeclared"] for name, p in by_name.items() if name in {c.name for c in LICENSED}}
    assert licenses == {
        "openssl": "Apache-2.0", "python": "NOASSERTION", "odd": "LicenseRef-as-in-LICENSE.txt", "none": "NOASSERTION",
    }  # fmt: skip
    assert found["hasExtractedLicensingInfos"] == [
        {"licenseId": "LicenseRef-as-in-LICENSE.txt", "extractedText": "as in LICENSE.txt"}
    ]  # 10
    told = {(r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"]) for r in found["relationships"]}
    assert {one for one, _, other in told for one in (one, other)} == {"SPDXRef-DOCUMENT", *ids}  # 11
    assert (by_name["python"]["SPDXID"], "DEPENDS_ON", by_name["openssl"]["SPDXID"]) in told
    advisory = by_name["openssl"]["externalRefs"][1]
    assert (advisory["referenceCategory"], advisory["referenceLocator"].rpartition("/")[2]) == (
        "SECURITY",
        "CVE-2020-1",
    )
    assert render(REPORTS["spdx"](), scan) == text  # its namespace is of its content
    assert [(c.type, c.name) for c in read_file(text.encode(), "a.spdx.json")[1][0].components] == [
        ("conda", "openssl"), ("conda", "python"), ("pypi", "odd"), ("pypi", "none")
    ]  # fmt: skip
    assert "SECURITY" not in render(SpdxReport(version="1", now="", with_findings=False), scan)


def test_openvex_says_what_affects_and_reads_itself_again() -> None:
    undecided = AssessedComponent(Component("conda", "perhaps", "1"), True, "", (), ("CVE-2020-6",))
    scan = [*SCAN, *JUDGED, *JUDGED, ScannedSnapshot("x", "x", "", "", (undecided,))]
    found = json.loads(render(REPORTS["openvex"](), scan))
    assert {"@context", "@id", "author", "timestamp", "version", "statements"} <= found.keys()
    by_id = {s["vulnerability"]["name"]: s for s in found["statements"]}
    assert {name: s["status"] for name, s in by_id.items()} == {
        "MAL-1": "affected", "CVE-2020-1": "affected", "CVE-2020-3": "affected", "CVE-2020-2": "affected",
        "CVE-2020-7": "under_investigation", "CVE-2020-8": "not_affected", "CVE-2020-9": "affected",
        "CVE-2020-6": "under_investigation",
    }  # fmt: skip
    for statement in found["statements"]:
        assert statement["status"] != "affected" or statement["action_statement"]
        assert statement["status"] != "not_affected" or {"justification", "impact_statement"} & statement.keys()
        assert len(statement["products"]) == 1  # equal ones once
    again = read_vex(json.dumps(found).encode(), "a.json")
    assert (len(again.statements), again.untied) == (8, 0)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.loads += [name for name, _ in attrs if name in ("src", "srcset", "style") or name.startswith("on")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def assert_whole(text: str) -> None:
    """Every tag is closed, and none is anybody else's or loads anything."""
    tags = _Tags()
    tags.feed(text)
    tags.close()
    known = "html head meta title style body main h1 h2 p ul li b div table caption thead tbody tr th td span a br"
    assert (tags.open, tags.seen - {*known.split(" ")}, tags.loads) == ([], set(), [])


def test_html_has_the_worst_first_and_each_package_once_and_asks_nobody() -> None:
    other = [one._replace(target=f"{n}/pixi.lock") for one in SCAN for n in range(12)]
    text = render(REPORTS["html"](), [*SCAN, *JUDGED, *other])
    assert_whole(text)
    rows = re.findall(r"<tr><th scope=row>(\w+)<br>", text)
    assert rows == ["evil", "judged", "bad", "mild"]
    assert "and 5 more" in text
    assert "not affected (a.json): component not present: x" in text
    assert "Unknown is not clean" in text
    assert "default-src 'none'" in text


TEXT = st.one_of(st.just(ODD), st.text(max_size=40))


@given(TEXT, TEXT, TEXT)
def test_texts_of_others_stay_texts_in_every_format(name: str, summary: str, identifier: str) -> None:
    finding = Given(fixed=(name,), name=identifier or "x", summary=summary)
    scan = [snapshot((name or "x", (finding,)), skipped=(Skipped(name, summary),))]
    json.loads(render(JsonReport(), scan))
    json.loads(render(SarifReport(version="1"), scan))
    json.loads(render(CycloneDxReport(version="1", now=""), scan))
    ElementTree.fromstring(render(JunitReport(), scan))
    for other in ("spdx", "openvex"):
        json.loads(render(REPORTS[other](), scan))
    assert_whole(render(REPORTS["html"](), scan))
    lines = render(MarkdownReport(), scan).splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| Package")]
    assert len(rows) == 1
    assert "<" not in rows[0].replace("\\<", "")
