"""Judging: what each gate and trigger hits, what people are told, and until when a verdict holds."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import pytest

from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Assessment, Confidence, Evidence, Finding
from antivenom.core.policy.compile import GO, Action, CompiledPolicy, Verdict, compile_policy, parse_policy

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
MIRROR = ChannelFacts("main", True, "https://example.org/main")
CLEAN = Assessment(True, "")


def record(name: str = "libfoo", version: str = "1.0", **facts: Any) -> RecordFacts:
    given: dict[str, Any] = {"license": "MIT", "indexed_ms": NOW_MS - 400 * DAY_MS, "size_bytes": 1_000_000, **facts}
    return RecordFacts(f"{name}-{version}-0.conda", given.pop("subdir", "linux-64"), name, version, "0", **given)


def finding(**facts: Any) -> Finding:
    given: dict[str, Any] = {
        "ids": ("CVE-2024-0001", "GHSA-aaaa-bbbb-cccc"),
        "severity": "high",
        "cvss": 7.5,
        "kev": False,
        "epss": 0.2,
        "risk": 20.0,
        "fixed_versions": ("1.1",),
        "status": "active",
        "confidence": "exact",
        "evidence": (),
        "published": "2024-01-01T00:00:00Z",
        **facts,
    }
    return Finding(**given)


def policy(gate: str, trigger: str, params: str, *, action: str = "stop", more: str = "") -> CompiledPolicy:
    text = (
        f"name: p\nrules:\n  - {{id: r1, gate: {gate}, trigger: {trigger}, action: {action}, params: {params}, "
        f"recommendation: 'do this'}}\n{more}"
    )
    return compile_policy(parse_policy(text))


def judge(compiled: CompiledPolicy, of: RecordFacts | None = None, *findings: Finding, now_ms: int = NOW_MS) -> Verdict:
    return compiled.judge(of or record(), Assessment(True, "", findings), MIRROR, now_ms)


@pytest.mark.parametrize(
    ("params", "facts", "hits"),
    [
        ("{severity: '>= high'}", {"severity": "critical"}, True),
        ("{severity: '>= high'}", {"severity": "medium"}, False),
        ("{severity: high}", {"severity": "critical"}, False),
        ("{severity: '< low'}", {"severity": "unknown"}, True),
        ("{severity: [low, high]}", {"severity": "high"}, True),
        ("{severity: '!= high'}", {"severity": "high"}, False),
        ("{cvss: '>= 7.0'}", {"cvss": 7.0}, True),
        ("{cvss: '> 7.0'}", {"cvss": 7.0}, False),
        ("{cvss: '< 9'}", {"cvss": None}, False),
        ("{cvss: 7.5}", {"cvss": 7.5}, True),
        ("{epss: '>= 0.5'}", {"epss": 0.49}, False),
        ("{epss: '>= 0.5'}", {"epss": None}, False),
        ("{kev: true}", {"kev": True}, True),
        ("{kev: false}", {"kev": True}, False),
        ("{fix_available: true}", {"fixed_versions": ()}, False),
        ("{fix_available: false}", {"fixed_versions": ()}, True),
        ("{ids: [ghsa-aaaa-bbbb-cccc]}", {}, True),
        ("{ids: [CVE-2020-1]}", {}, False),
        ("{}", {}, True),
        ("{}", {"status": "cleared"}, False),
        ("{}", {"status": "mitigated"}, False),
        ("{}", {"status": "disputed"}, True),
        ("{status: [cleared, mitigated]}", {"status": "cleared"}, True),
        ("{status: reported}", {"status": "active"}, False),
    ],
)
def test_a_vulnerability_meets_a_rule(params: str, facts: dict[str, Any], hits: bool) -> None:
    verdict = judge(policy("vulnerabilities", "package", params), None, finding(**facts))
    assert (verdict.action is Action.stop) is hits


def test_all_params_must_be_met_by_one_vulnerability() -> None:
    compiled = policy("vulnerabilities", "package", "{severity: '>= critical', kev: true}")
    apart = finding(severity="critical"), finding(ids=("CVE-2024-0002",), kev=True)
    assert judge(compiled, None, *apart) is GO
    assert judge(compiled, None, finding(severity="critical", kev=True)).action is Action.stop


def test_the_reason_is_a_sentence_with_the_recommendation() -> None:
    hit = finding(ids=("CVE-2024-1234",), severity="critical", cvss=9.8, kev=True, fixed_versions=("1.1.1w",))
    verdict = judge(policy("vulnerabilities", "package", "{kev: true}"), record("openssl", "1.1.1k"), hit)
    (reason,) = verdict.reasons
    assert reason.message == "CVE-2024-1234 (critical, CVSS 9.8, exploited) in openssl 1.1.1k; fixed in 1.1.1w"
    assert reason.recommendation == "do this"
    assert reason.trigger_id == "CVE-2024-1234+openssl"
    assert (reason.rule_id, reason.gate, reason.trigger) == ("r1", "vulnerabilities", "package")


def test_patience_with_a_fix_ends_on_its_day() -> None:
    compiled = policy("vulnerabilities", "package", "{max_days_since_fix: 30}")
    published_ms = 1_704_067_200_000  # 2024-01-01
    before = judge(compiled, None, finding(), now_ms=published_ms + 30 * DAY_MS - 1)
    assert (before.action, before.holds_until_ms) == (Action.go, published_ms + 30 * DAY_MS)
    assert judge(compiled, None, finding(), now_ms=published_ms + 30 * DAY_MS).action is Action.stop
    assert judge(compiled, None, finding(fixed_versions=())).action is Action.go
    assert judge(compiled, None, finding(published="")).action is Action.stop


@pytest.mark.parametrize("published", ["0001-01-01T00:00:00Z", "not a date", ""])
def test_an_odd_publication_date_counts_as_old(published: str) -> None:
    compiled = policy("vulnerabilities", "package", "{max_days_since_creation: 10}")
    assert judge(compiled, None, finding(published=published)).action is Action.stop


def test_what_nobody_assessed_can_be_warned_about() -> None:
    compiled = policy("vulnerabilities", "not_assessed", "{}", action="warn")
    unknown = Assessment(False, "no advisory names it")
    verdict = compiled.judge(record(), unknown, MIRROR, NOW_MS)
    assert verdict.action is Action.warn
    assert verdict.reasons[0].message == "libfoo 1.0 is not assessed: no advisory names it"
    assert compiled.judge(record(), None, MIRROR, NOW_MS).action is Action.warn
    assert compiled.judge(record(), CLEAN, MIRROR, NOW_MS) is GO


def test_an_assessment_shared_by_components_is_told_with_each_ones_name() -> None:
    compiled = policy("vulnerabilities", "not_assessed", "{}")
    unknown = Assessment(False, "no feed")
    names = [compiled.judge(record(n), unknown, MIRROR, NOW_MS).reasons[0].trigger_id for n in ("a", "b")]
    assert names == ["not_assessed+a", "not_assessed+b"]


@pytest.mark.parametrize(
    ("params", "license", "hits"),
    [
        ("{families: [agpl]}", "AGPL-3", True),
        ("{families: [agpl]}", "Commercial or AGPLv3", False),
        ("{families: [agpl, proprietary]}", "Commercial or AGPLv3", True),
        ("{families: [agpl]}", "MIT AND AGPL-3.0-or-later", True),
        ("{families: [gpl]}", "LGPL (>= 2)", False),
        ("{families: [gpl]}", "GPL (>= 2) | file LICENSE", True),
        ("{families: [gpl]}", "GPL-2 | MIT + file LICENSE", False),
        ("{families: [gpl]}", "(MIT OR GPL-2.0-only) AND BSD-3-Clause", False),
        ("{families: [gpl]}", "(MIT OR ISC) AND GPL-2.0-only", True),
        ("{families: [gpl3]}", "GPL-3.0-only WITH GCC-exception-3.1", True),
        (
            "{families: [gpl3], allow: ['GPL-3.0-only WITH GCC-exception-3.1']}",
            "GPL-3.0-only WITH GCC-exception-3.1",
            False,
        ),
        ("{licenses: [GPL-3.0]}", "GPL-3.0-only", True),
        ("{licenses: [none]}", "", True),
        ("{licenses: [none]}", "None", True),
        ("{licenses: [none]}", "MIT", False),
        ("{families: [none]}", "UNKNOWN", True),
        ("{allow_families: [permissive, public_domain]}", "BSD-3-Clause AND MIT", False),
        ("{allow_families: [permissive, public_domain]}", "GPL-2.0-only", True),
        ("{allow_families: [permissive]}", "GPL-2.0-only OR MIT", False),
        ("{allow_families: [permissive]}", "", True),
        ("{allow: [MIT, Apache-2.0]}", "Apache License 2.0", False),
        ("{allow: [MIT]}", "ISC", True),
        ("{allow: [Apache-2.0]}", "Apache-2.0 WITH LLVM-exception", False),
        ("{licenses: [LicenseRef-Foo]}", "LicenseRef-foo", True),
    ],
)
def test_a_licence_is_judged_as_an_expression(params: str, license: str, hits: bool) -> None:
    verdict = judge(policy("licenses", "license", params), record(license=license))
    assert (verdict.action is Action.stop) is hits


def test_a_licence_reason_names_the_licence_as_read() -> None:
    (reason,) = judge(policy("licenses", "license", "{families: [agpl]}"), record(license="AGPL-3")).reasons
    assert reason.trigger_id == "AGPL-3.0-only+libfoo"
    assert "'AGPL-3'" in reason.message


@pytest.mark.parametrize(
    ("params", "of", "hits"),
    [
        ("{deny: ['xz 5.6.0', 'xz 5.6.1']}", record("xz", "5.6.1"), True),
        ("{deny: ['xz 5.6.0', 'xz 5.6.1']}", record("xz", "5.4.2"), False),
        ("{deny: [\"*[license='BUSL-1.1']\"]}", record("vault", license="BUSL-1.1"), True),
        ("{deny: [\"*[license='BUSL-1.1']\"]}", record("vault", license="MIT"), False),
        ("{deny: ['internal-*']}", record("internal-tools"), True),
        ("{deny: ['python >=3.8,<3.9']}", record("python", "3.8.20"), True),
        ("{deny: ['python >=3.8,<3.9']}", record("python", "3.9.0"), False),
        ("{deny: ['x264']}", record("x264", "1%21164.3095"), True),
        ("{deny: ['x264 >=1!100']}", record("x264", "1%21164.3095"), True),
        ("{deny: ['*[subdir=win-64]']}", record(subdir="win-64"), True),
        ("{deny: ['*[subdir=win-64]']}", record(), False),
        ("{deny: ['numpy'], allow: ['numpy >=2']}", record("numpy", "2.1"), False),
        ("{deny: ['numpy'], allow: ['numpy >=2']}", record("numpy", "1.26"), True),
        ("{allow: ['numpy', 'lib*']}", record("libfoo"), False),
        ("{allow: ['numpy', 'lib*']}", record("scipy"), True),
    ],
)
def test_a_match_spec_decides(params: str, of: RecordFacts, hits: bool) -> None:
    assert (judge(policy("packages", "match_spec", params), of).action is Action.stop) is hits


def test_a_version_that_conda_cannot_order_warns_and_never_passes_silently() -> None:
    verdict = judge(policy("packages", "match_spec", "{deny: ['foo >=1']}"), record("foo", "not/a version"))
    assert verdict.action is Action.warn
    assert "could not be evaluated" in verdict.reasons[0].message
    assert (
        judge(policy("packages", "match_spec", "{deny: [foo]}"), record("foo", "not/a version")).action is Action.stop
    )


def test_names_and_required_floors() -> None:
    names = policy("packages", "names", "{deny: ['internal-*'], allow: [internal-public]}")
    assert judge(names, record("internal-x")).action is Action.stop
    assert judge(names, record("internal-public")) is GO
    floor = policy("packages", "required", "{specs: ['openssl >=3.0.7', 'openssl 1.1.1w']}")
    assert judge(floor, record("openssl", "3.0.1")).action is Action.stop
    assert judge(floor, record("openssl", "1.1.1w")) is GO
    assert judge(floor, record("zlib", "1.0")) is GO


def test_a_cooldown_ends_by_itself() -> None:
    compiled = policy("metadata", "age", "{less_than_days: 7}")
    fresh = record(indexed_ms=NOW_MS - 3 * DAY_MS)
    verdict = judge(compiled, fresh)
    assert (verdict.action, verdict.holds_until_ms) == (Action.stop, NOW_MS + 4 * DAY_MS)
    assert judge(compiled, fresh, now_ms=NOW_MS + 4 * DAY_MS - 1).action is Action.stop
    assert judge(compiled, fresh, now_ms=NOW_MS + 4 * DAY_MS) is GO


def test_a_clock_that_jumps_back_keeps_the_cooldown() -> None:
    compiled = policy("metadata", "age", "{less_than_days: 7}")
    assert judge(compiled, record(indexed_ms=NOW_MS + 100 * DAY_MS)).action is Action.stop


def test_a_record_without_any_time_is_held_by_a_cooldown() -> None:
    compiled = policy("metadata", "age", "{less_than_days: 7}")
    assert judge(compiled, record(indexed_ms=0, timestamp_ms=0)).action is Action.stop
    assert judge(compiled, record(indexed_ms=0, timestamp_ms=NOW_MS - 8 * DAY_MS)) is GO


def test_an_old_record_is_hit_from_its_day() -> None:
    compiled = policy("metadata", "age", "{older_than_days: 500}")
    verdict = judge(compiled)
    assert (verdict.action, verdict.holds_until_ms) == (Action.go, NOW_MS + 100 * DAY_MS)
    assert judge(compiled, now_ms=NOW_MS + 100 * DAY_MS).action is Action.stop


@pytest.mark.parametrize(
    ("trigger", "params", "of", "hits"),
    [
        ("subdir", "{deny: [win-64]}", record(subdir="win-64"), True),
        ("subdir", "{allow: [linux-64, noarch]}", record(subdir="noarch"), False),
        ("subdir", "{allow: [linux-64]}", record(subdir="noarch"), True),
        ("signed", "{}", record(signed=False), True),
        ("signed", "{}", record(signed=True), False),
        ("signed", "{is: true}", record(signed=True), True),
        ("replaced", "{}", record(replaced_ms=1), True),
        ("replaced", "{}", record(), False),
        ("replaced", "{less_than_days: 7}", record(replaced_ms=NOW_MS - 6 * DAY_MS), True),
        ("replaced", "{less_than_days: 7}", record(replaced_ms=NOW_MS - 7 * DAY_MS), False),
        ("size", "{more_than_mb: 500}", record(size_bytes=500_000_001), True),
        ("size", "{more_than_mb: 500}", record(size_bytes=500_000_000), False),
        ("size", "{less_than_mb: 1}", record(size_bytes=0), False),
        ("size", "{less_than_mb: 1}", record(size_bytes=10), True),
    ],
)
def test_metadata_rules(trigger: str, params: str, of: RecordFacts, hits: bool) -> None:
    assert (judge(policy("metadata", trigger, params), of).action is Action.stop) is hits


def test_a_replaced_file_is_released_when_its_days_are_over() -> None:
    verdict = judge(policy("metadata", "replaced", "{less_than_days: 7}"), record(replaced_ms=NOW_MS - DAY_MS))
    assert (verdict.action, verdict.holds_until_ms) == (Action.stop, NOW_MS + 6 * DAY_MS)
    assert "had other bytes before" in verdict.reasons[0].message


def test_the_worst_action_wins_and_reasons_stand_worst_first() -> None:
    compiled = compile_policy(
        parse_policy(
            "name: p\nrules:\n"
            "  - {id: b, gate: metadata, trigger: signed, action: warn}\n"
            "  - {id: a, gate: packages, trigger: names, action: stop, params: {deny: [libfoo]}}\n"
            "  - {id: c, gate: metadata, trigger: size, action: go, params: {less_than_mb: 5}}\n"
        )
    )
    verdict = judge(compiled)
    assert verdict.action is Action.stop
    assert [r.rule_id for r in verdict.reasons] == ["a", "b", "c"]


ITEM = "{{id: a1, gate: {gate}, trigger_id: '{trigger_id}', owner: ana, reason: r, expires_on: '{expires}'{more}}}"


@pytest.mark.parametrize(
    ("gate", "trigger_id", "more", "excepted"),
    [
        ("vulnerabilities", "CVE-2024-0001+libfoo", "", True),
        ("vulnerabilities", "cve-2024-0001+libfoo", "", True),
        ("vulnerabilities", "GHSA-aaaa-bbbb-cccc+libfoo", "", True),
        ("vulnerabilities", "CVE-2024-*+libfoo", "", True),
        ("vulnerabilities", "*+libfoo", "", True),
        ("'*'", "*", "", True),
        ("vulnerabilities", "CVE-2024-0001+libfo", "", False),
        ("vulnerabilities", "CVE-2024-000?+libfoo", "", False),
        ("licenses", "*", "", False),
        ("vulnerabilities", "*", ", match: 'libfoo <2'", True),
        ("vulnerabilities", "*", ", match: 'libfoo >=2'", False),
    ],
)
def test_an_allowlist_item_puts_fitting_reasons_aside(gate: str, trigger_id: str, more: str, excepted: bool) -> None:
    item = ITEM.format(gate=gate, trigger_id=trigger_id, expires="2050-01-01", more=more)
    verdict = judge(policy("vulnerabilities", "package", "{}", more=f"allowlist: [{item}]\n"), None, finding())
    if excepted:
        assert (verdict.action, verdict.reasons) == (Action.go, ())
        assert [(i, r.trigger_id) for i, r in verdict.excepted] == [("a1", "CVE-2024-0001+libfoo")]
        assert verdict.holds_until_ms == 2_524_608_000_000
    else:
        assert verdict.action is Action.stop
        assert verdict.excepted == ()


def test_an_allowlist_item_expires_at_its_instant() -> None:
    item = ITEM.format(gate="'*'", trigger_id="*", expires="2026-10-01T00:00:00Z", more="")
    compiled = policy("vulnerabilities", "package", "{}", more=f"allowlist: [{item}]\n")
    expires_ms = 1_790_812_800_000
    assert judge(compiled, None, finding(), now_ms=expires_ms - 1).action is Action.go
    assert judge(compiled, None, finding(), now_ms=expires_ms).action is Action.stop


def test_a_compiled_policy_travels_to_another_process() -> None:
    compiled = policy("vulnerabilities", "package", "{kev: true}")
    twin = pickle.loads(pickle.dumps(compiled))
    assert judge(twin, None, finding(kev=True)) == judge(compiled, None, finding(kev=True))


def test_a_policy_knows_what_it_looks_at() -> None:
    assert policy("vulnerabilities", "package", "{}").uses_findings
    assert not policy("licenses", "license", "{families: [gpl]}").uses_findings
    assert policy("expression", "cel", "{expr: 'findings.exists(f, f.kev)'}").uses_findings


def test_an_assessment_that_takes_anothers_place_in_memory_is_judged_anew() -> None:
    compiled = policy("vulnerabilities", "package", "{}")
    for index in range(2000):
        found = (finding(),) if index % 2 else ()
        verdict = compiled.judge(record(), Assessment(True, "", found), MIRROR, NOW_MS)
        assert (verdict.action is Action.stop) is bool(found)


# -- malware -------------------------------------------------------------------------------------------------------------

MALWARE = finding(
    ids=("MAL-2026-1", "PYSEC-2026-2"), severity="malware", kind="malware", cvss=None, epss=None, risk=100.0,
    fixed_versions=(), summary="Two versions were published with malware.",
)  # fmt: skip


def test_malware_needs_no_number_to_be_stopped_and_is_the_first_reason() -> None:
    compiled = compile_policy(
        parse_policy(
            "name: p\nrules:\n"
            "  - {id: a, gate: vulnerabilities, trigger: package, action: stop, params: {severity: '>= critical'}}\n"
            "  - {id: m, gate: vulnerabilities, trigger: malware, action: stop}\n"
        )
    )
    exploited = finding(severity="critical", kev=True, risk=100.0)
    verdict = judge(compiled, record("litellm", "1.82.7"), exploited, MALWARE)
    first = verdict.reasons[0]
    assert (first.rule_id, first.trigger, first.trigger_id) == ("m", "malware", "MAL-2026-1+litellm")
    assert first.message == "litellm 1.82.7 is malware (MAL-2026-1): Two versions were published with malware"
    assert {reason.rule_id for reason in verdict.reasons} == {"a", "m"}  # malware is above critical, too
    assert [r.rule_id for r in judge(compiled, record(), exploited).reasons] == ["a"]


@pytest.mark.parametrize(
    ("params", "hits"),
    [
        ("{severity: '>= high'}", True), ("{severity: '>= malware'}", True), ("{severity: critical}", False),
        ("{severity: [critical, malware]}", True), ("{ids: ['MAL-*']}", True), ("{ids: ['PYSEC-2026-*']}", True),
        ("{ids: ['mal-2026-*']}", True), ("{ids: ['MAL-2025-*']}", False), ("{ids: ['*-2026-1', CVE-1-1]}", True),
        ("{ids: ['MAL-2026-?']}", None), ("{ids: ['*']}", None),
    ],
)  # fmt: skip
def test_malware_by_severity_and_by_id(params: str, hits: bool | None) -> None:
    if hits is None:
        with pytest.raises(InvalidInputError):
            policy("vulnerabilities", "package", params)
    else:
        assert bool(judge(policy("vulnerabilities", "package", params), record(), MALWARE).action) is hits


def test_malware_that_a_build_cleared_or_an_exception_names_is_not_stopped() -> None:
    compiled = policy("vulnerabilities", "malware", "{}")
    assert judge(compiled, record(), finding(kind="malware", severity="malware", status="cleared")) is GO
    item = "allowlist:\n  - {id: x, gate: vulnerabilities, trigger_id: 'PYSEC-2026-2+libfoo', owner: o, reason: r}\n"
    verdict = judge(policy("vulnerabilities", "malware", "{}", more=item), record(), MALWARE)
    assert (verdict.action, [i for i, _ in verdict.excepted]) == (Action.go, ["x"])


def test_malware_by_a_guess_is_stopped_and_the_guess_is_said() -> None:
    guess = Evidence("MAL-2026-1 (osv)", "equal name: PyPI libfoo", "all versions")
    found = msgspec.structs.replace(MALWARE, confidence=Confidence.low, evidence=(guess,))
    [reason] = judge(policy("vulnerabilities", "malware", "{}"), record(), found).reasons
    assert reason.message == (
        "libfoo 1.0 may be malware (MAL-2026-1; equal name: PyPI libfoo): Two versions were published with malware"
    )
    assert reason.action is Action.stop


STARS = 150
ANY_SHARE = "*a" * STARS + "-b"  # as ".*" each, every way to share a text of that letter among them would be tried


@pytest.mark.parametrize(("pattern", "hits"), [(ANY_SHARE, False), ("*a" * STARS + "*-*", True)])
def test_however_many_stars_an_id_has_it_is_compared_at_once(pattern: str, hits: bool) -> None:
    of = finding(ids=("a" * 400 + "-1",))
    verdict = judge(policy("vulnerabilities", "package", f"{{ids: ['{pattern}']}}"), None, of)
    assert (verdict.action is Action.stop) is hits


@pytest.mark.parametrize(("pattern", "spared"), [(ANY_SHARE, False), ("*a" * STARS + "*", True)])
def test_however_many_stars_an_exception_has_it_is_compared_at_once(pattern: str, spared: bool) -> None:
    item = f"allowlist:\n  - {{id: x, gate: packages, trigger_id: '{pattern}', owner: o, reason: r}}\n"
    verdict = judge(policy("packages", "names", "{deny: ['a*']}", more=item), record("a" * 400))
    assert (verdict.action is Action.go) is spared


@pytest.mark.parametrize(
    ("pattern", "trigger_id", "spared"),
    [
        ("x[build=1*]+x", "{deny: ['x[build=1*]']}", True),  # brackets and question marks stand for themselves
        ("[a-z]+x", "{deny: [x]}", False),
        ("?+x", "{deny: [x]}", False),
        ("X+*", "{deny: [x]}", True),
    ],
)
def test_in_an_exception_only_the_star_stands_for_other_text(pattern: str, trigger_id: str, spared: bool) -> None:
    item = f"allowlist:\n  - {{id: x, gate: packages, trigger_id: '{pattern}', owner: o, reason: r}}\n"
    compiled = policy("packages", "match_spec", trigger_id, more=item)
    of = RecordFacts("x-1-1.conda", "noarch", "x", "1", "1_0")
    assert (judge(compiled, of).action is Action.go) is spared
