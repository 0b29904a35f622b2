"""Scans judged by a policy: the channels' evaluation, on what a target states; what it does not state is never clean."""

from __future__ import annotations

import pytest

from antivenom.core.conda.records import ChannelFacts
from antivenom.core.matching.advisories import Assessment, Finding
from antivenom.core.policy.compile import compile_policy, parse_policy
from antivenom.core.policy.scans import ScanPolicy, record_of
from antivenom.core.readers.snapshot import Component
from antivenom.core.reports.result import (
    AssessedComponent,
    Judgement,
    ScannedSnapshot,
    Statement,
    component_fails,
    count_undecided,
)

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
CRITICAL = Finding(("CVE-2024-1", "GHSA-1"), "critical", 9.8, True, None, 90.0, ("2.0",), "reported", "high", ())
FULL = Component(
    "conda", "libfoo", "1.0", "h0_3", "linux-64", "https://c.example/main",
    url="https://c.example/main/linux-64/libfoo-1.0-h0_3.conda", license="GPL-3.0-only",
    size_bytes=7_000_000, timestamp_ms=NOW_MS - 30 * DAY_MS,
)  # fmt: skip
BARE = Component("conda", "libfoo", "1.0")


def judge(
    rule: str, component: Component, *findings: Finding, kind: str = "explicit", platform: str = "", allow: str = ""
) -> AssessedComponent:
    policy = parse_policy(f"name: p\nrules:\n- id: r\n{rule}\n{allow}")
    assessed = AssessedComponent(component, True, "", findings)
    snapshot = ScannedSnapshot("x.lock", kind, "", platform, (assessed,))
    return ScanPolicy(policy, NOW_MS).judge(snapshot).components[0]


def rule(gate: str, trigger: str, params: str = "{}", action: str = "stop") -> str:
    return f"  gate: {gate}\n  trigger: {trigger}\n  action: {action}\n  params: {params}"


RULES = {
    "license": (rule("licenses", "license", "{families: [gpl]}"), "licence"),
    "only these licences": (rule("licenses", "license", "{allow: [MIT]}"), "licence"),
    "age": (rule("metadata", "age", "{less_than_days: 60}"), "age"),
    "old": (rule("metadata", "age", "{older_than_days: 20}"), "age"),
    "size": (rule("metadata", "size", "{more_than_mb: 5}"), "size"),
    "subdir": (rule("metadata", "subdir", "{deny: [linux-64]}"), "platform"),
    "build number": (rule("packages", "match_spec", "{deny: ['libfoo[build_number=3]']}"), "build number"),
    "licence by spec": (rule("packages", "match_spec", "{deny: ['*[license=GPL-3.0-only]']}"), "licence"),
    "expression": (rule("expression", "cel", "{expression: 'record.size_bytes > 5000000'}"), "size"),
}


def expression_words() -> str:
    from antivenom.core.policy.rules import TRIGGERS

    return next(f"{gate}/{name}/{next(iter(t.parameters))}" for (gate, name), t in TRIGGERS.items() if gate == "expression")  # fmt: skip


_, TRIGGER, PARAMETER = expression_words().split("/")
RULES["expression"] = (rule("expression", TRIGGER, f"{{{PARAMETER}: 'record.size_bytes > 5000000'}}"), "size")


@pytest.mark.parametrize("name", RULES)
def test_a_rule_stops_what_a_target_states_and_warns_where_it_does_not(name: str) -> None:
    text, missing = RULES[name]
    stated = judge(text, FULL)
    assert stated.judgement is not None
    assert stated.judgement.action == "stop"
    unstated = judge(text, BARE)
    assert unstated.judgement is not None
    [reason] = unstated.judgement.reasons
    assert (unstated.judgement.action, reason.is_undecided) == ("warn", True)
    assert f"nothing states its {missing}" in reason.message
    assert not component_fails(unstated, ["stop"])
    snapshot = ScannedSnapshot("x", "explicit", "", "", (unstated, unstated))
    assert count_undecided(snapshot) == {("r", f"nothing states its {missing}"): 2}


def test_what_no_target_can_state_is_undecided_everywhere() -> None:
    for text in (rule("metadata", "signed"), rule("metadata", "replaced")):
        judged = judge(text, FULL).judgement
        assert judged is not None
        assert (judged.action, judged.reasons[0].is_undecided) == ("warn", True)


def test_a_rule_on_another_name_is_not_undecided() -> None:
    assert judge(rule("packages", "match_spec", "{deny: ['xz[license=MIT]']}"), BARE).judgement == Judgement("go")


def test_a_record_that_states_no_licence_is_judged_as_a_channel_does() -> None:
    text = rule("licenses", "license", "{allow: [MIT]}")
    installed = judge(text, BARE, kind="prefix").judgement
    assert installed is not None
    assert (installed.action, installed.reasons[0].message) == ("stop", "libfoo states no licence")


def test_the_platform_of_a_lock_file_is_that_of_its_packages() -> None:
    text = rule("metadata", "subdir", "{allow: [linux-64, noarch]}")
    assert judge(text, BARE, platform="linux-64").judgement == Judgement("go")
    judged = judge(text, BARE, platform="win-64").judgement
    assert judged is not None
    assert judged.action == "stop"


def test_findings_are_judged_as_in_a_channel_with_the_same_words() -> None:
    text = rule("vulnerabilities", "package", "{severity: '>= high'}")
    judged = judge(text, FULL, CRITICAL)
    policy = parse_policy(f"name: p\nrules:\n- id: r\n{text}\n")
    of_channel = compile_policy(policy).judge(
        record_of(FULL, ""), Assessment(True, "", (CRITICAL,)), ChannelFacts("main", is_mirror=True), NOW_MS
    )
    assert judged.judgement is not None
    assert [r.message for r in judged.judgement.reasons] == [r.message for r in of_channel.reasons]
    assert judged.judgement.action == of_channel.action.name == "stop"
    assert component_fails(judged, ["stop"])
    assert judged.other_reasons == []  # it is about a finding, which is shown


def test_what_a_vex_document_sets_aside_is_cleared_for_the_policy() -> None:
    aside = AssessedComponent(FULL, True, "", (), set_aside=((CRITICAL, Statement("not_affected", "a.json")),))
    snapshot = ScannedSnapshot("x", "prefix", "", "", (aside,))
    for params, action in (("{severity: '>= high'}", "go"), ("{status: [cleared]}", "stop")):
        policy = parse_policy(f"name: p\nrules:\n- id: r\n{rule('vulnerabilities', 'package', params)}\n")
        [judged] = ScanPolicy(policy, NOW_MS).judge(snapshot).components
        assert judged.judgement is not None
        assert judged.judgement.action == action


@pytest.mark.parametrize(
    ("item", "is_aside"),
    [
        ("trigger_id: GHSA-1+libfoo", True),
        ("trigger_id: 'CVE-*+libfoo'", True),
        ("trigger_id: CVE-2024-1+other", False),
        ("trigger_id: CVE-2024-1+libfoo\n  expires_on: 2020-01-01", False),
        ("trigger_id: CVE-2024-1+libfoo\n  match: libfoo >=2", False),
    ],
)
def test_an_allowlist_item_sets_the_finding_and_the_reason_aside(item: str, is_aside: bool) -> None:
    allow = f"allowlist:\n- id: ok\n  gate: vulnerabilities\n  owner: ana\n  reason: not reachable\n  {item}\n"
    judged = judge(rule("vulnerabilities", "package", "{severity: '>= high'}"), FULL, CRITICAL, allow=allow)
    assert judged.judgement is not None
    assert (len(judged.findings), len(judged.set_aside)) == ((0, 1) if is_aside else (1, 0))
    assert (judged.judgement.action, [item for item, _ in judged.judgement.excepted]) == (
        ("go", ["ok"]) if is_aside else ("stop", [])
    )
    if is_aside:
        [(_, statement)] = judged.set_aside
        assert statement.sentence == "excepted (allowlist of p, ok): not reachable (ana)"


def test_a_young_build_may_be_the_fix_that_a_channel_lets_through() -> None:
    judged = judge(rule("metadata", "age", "{less_than_days: 60, unless_fix: true}"), FULL).judgement
    assert judged is not None
    assert (judged.action, judged.reasons[0].message.endswith("a channel may let it through as a fix")) == (
        "warn",
        True,
    )


def test_a_package_of_pypi_is_judged_by_its_name() -> None:
    component = Component("pypi", "Internal_Tools", "1.0")
    judged = judge(rule("packages", "names", "{deny: ['internal-*']}"), component).judgement
    assert judged is not None
    assert judged.action == "stop"


def test_judging_many_targets_keeps_nothing_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antivenom.core.policy.scans.REMEMBERED_MAX", 10)
    policy = ScanPolicy(
        parse_policy(f"name: p\nrules:\n- id: r\n{rule('licenses', 'license', '{families: [gpl]}')}\n"), NOW_MS
    )
    for number in range(100):
        assessed = AssessedComponent(FULL._replace(license=f"LicenseRef-{number}"), True, "", ())
        policy.judge(ScannedSnapshot("x", "prefix", "", "", (assessed,) * 4))
        remembered = sum(len(g.decided) for c in policy._compiled.values() for g in c._groups)
        assert remembered <= 10
