"""Laws of policies, over many policies and records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antivenom.core.conda.licenses import read_license
from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Assessment, Finding
from antivenom.core.policy.compile import (
    Action,
    AllowlistItem,
    Policy,
    Rule,
    changed_gates,
    compile_policy,
    parse_policy,
)
from antivenom.core.policy.rules import TRIGGERS

DAY_MS = 86_400_000
NOW_MS = 1_790_000_000_000
NAMES = ("openssl", "xz", "internal-a", "numpy")
CVES = ("CVE-2024-0001", "CVE-2024-0002", "CVE-2024-0003")
LICENSES = ("MIT", "GPL (>= 2)", "AGPL-3.0-only", "GPL-2 | MIT", "", "weird text", "BUSL-1.1")
SEVERITIES = ("unknown", "low", "medium", "high", "critical", "malware")
CHANNEL = ChannelFacts("main", True)

PARAMS: dict[tuple[str, str], st.SearchStrategy[dict[str, Any]]] = {
    ("vulnerabilities", "package"): st.fixed_dictionaries(
        {},
        optional={
            "severity": st.builds(
                "{} {}".format, st.sampled_from((">=", "<", "!=", "==")), st.sampled_from(SEVERITIES)
            ),
            "cvss": st.builds("{} {}".format, st.sampled_from((">=", "<")), st.integers(0, 10)),
            "kev": st.booleans(),
            "fix_available": st.booleans(),
            "max_days_since_creation": st.integers(0, 2000),
            "status": st.lists(st.sampled_from(("active", "cleared", "disputed")), min_size=1),
            "ids": st.lists(st.sampled_from((*CVES, "CVE-*")), min_size=1),
        },
    ),
    ("vulnerabilities", "malware"): st.just({}),
    ("vulnerabilities", "not_assessed"): st.just({}),
    ("licenses", "license"): st.fixed_dictionaries(
        {"families": st.lists(st.sampled_from(("gpl", "agpl", "none", "other", "copyleft")), min_size=1)},
        optional={"allow": st.lists(st.sampled_from(("MIT", "GPL-2.0-or-later")), min_size=1)},
    ),
    ("packages", "match_spec"): st.fixed_dictionaries(
        {"deny": st.lists(st.sampled_from(("xz >=2", "numpy", "*[license='BUSL-1.1']", "internal-*")), min_size=1)},
        optional={"allow": st.just(["numpy >=2"])},
    ),
    ("packages", "names"): st.fixed_dictionaries({"deny": st.lists(st.sampled_from((*NAMES, "in*")), min_size=1)}),
    ("packages", "required"): st.fixed_dictionaries({"specs": st.just(["openssl >=2"])}),
    ("metadata", "age"): st.fixed_dictionaries(
        {"less_than_days": st.integers(0, 60)},
        optional={"older_than_days": st.integers(30, 900), "unless_fix": st.booleans()},
    ),
    ("metadata", "replaced"): st.fixed_dictionaries({}, optional={"less_than_days": st.integers(0, 60)}),
    ("metadata", "signed"): st.just({}),
    ("metadata", "size"): st.fixed_dictionaries({"more_than_mb": st.integers(0, 50)}),
    ("metadata", "subdir"): st.fixed_dictionaries({"deny": st.just(["noarch"])}),
    ("expression", "cel"): st.fixed_dictionaries(
        {"expr": st.sampled_from(("record.name == 'xz'", "findings.exists(f, f.kev)", "1 / record.size_bytes > 5"))}
    ),
}
PROSE = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20).map(str.strip)


@st.composite
def rules(draw: st.DrawFn, rule_id: str) -> Rule:
    gate, trigger = draw(st.sampled_from(sorted(PARAMS)))
    params = draw(PARAMS[gate, trigger])
    return Rule(rule_id, gate, trigger, draw(st.sampled_from(Action)), params, draw(PROSE), draw(PROSE))


@st.composite
def items(draw: st.DrawFn, item_id: str) -> AllowlistItem:
    what, name = draw(st.sampled_from((*CVES, "*", "age", "NONE"))), draw(st.sampled_from((*NAMES, "*")))
    return AllowlistItem(
        id=item_id,
        gate=draw(st.sampled_from(("vulnerabilities", "licenses", "*"))),
        trigger_id=f"{what}+{name}",
        owner="ana",
        reason=draw(PROSE) or "r",
        expires_ms=draw(st.sampled_from((0, NOW_MS - DAY_MS, NOW_MS, NOW_MS + DAY_MS))),
        match=draw(st.sampled_from(("", "xz >=2"))),
    )


@st.composite
def policies(draw: st.DrawFn, *, allowlist: bool = True) -> Policy:
    count = draw(st.integers(0, 5))
    found = tuple(draw(rules(f"r{i}")) for i in range(count))
    exceptions = tuple(draw(items(f"a{i}")) for i in range(draw(st.integers(0, 3)))) if allowlist else ()
    return Policy("p", found, exceptions, draw(PROSE))


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    return Finding(
        ids=(draw(st.sampled_from(CVES)),),
        severity=(severity := draw(st.sampled_from(SEVERITIES))),
        kind="malware" if severity == "malware" else "vulnerability",
        cvss=draw(st.none() | st.floats(0, 10)),
        kev=draw(st.booleans()),
        epss=draw(st.none() | st.floats(0, 1)),
        risk=draw(st.floats(0, 100)),
        fixed_versions=draw(st.sampled_from(((), ("9.9",)))),
        status=draw(st.sampled_from(("active", "reported", "cleared", "disputed"))),
        confidence="exact",
        evidence=(),
        published=draw(st.sampled_from(("", "2025-01-01T00:00:00Z", "2026-09-01T00:00:00Z", "0001-01-01T00:00:00Z"))),
    )


@dataclass(frozen=True)
class Case:
    record: RecordFacts
    assessment: Assessment | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    name, version = draw(st.sampled_from(NAMES)), draw(st.sampled_from(("1.0", "2.0", "not a version")))
    record = RecordFacts(
        fn=f"{name}-{version}-{draw(st.integers(0, 3))}.conda",
        subdir=draw(st.sampled_from(("linux-64", "noarch"))),
        name=name,
        version=version,
        build="0",
        license=draw(st.sampled_from(LICENSES)),
        size_bytes=draw(st.sampled_from((0, 10, 40_000_000))),
        indexed_ms=draw(st.sampled_from((0, NOW_MS - 3 * DAY_MS, NOW_MS - 365 * DAY_MS, NOW_MS + DAY_MS))),
        replaced_ms=draw(st.sampled_from((0, 0, NOW_MS, NOW_MS - 3 * DAY_MS))),
    )
    known = st.builds(Assessment, st.booleans(), st.just("why"), st.lists(findings(), max_size=3).map(tuple))
    return Case(record, draw(st.none() | known))


sweeps = st.lists(cases(), min_size=1, max_size=6)
many = settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_every_trigger_is_tried() -> None:
    assert set(PARAMS) == set(TRIGGERS)


@many
@given(policies())
def test_a_policy_written_out_reads_back_equal(policy: Policy) -> None:
    assert parse_policy(json.dumps(policy.document())) == policy
    assert changed_gates(policy, parse_policy(json.dumps(policy.document()))) == set()


@many
@given(policies(), sweeps, st.data())
def test_adding_a_stop_rule_never_admits_more(policy: Policy, sweep: list[Case], data: st.DataObject) -> None:
    extra = msgspec.structs.replace(data.draw(rules("extra")), action=Action.stop)
    stricter = compile_policy(msgspec.structs.replace(policy, rules=(*policy.rules, extra)))
    before = compile_policy(policy)
    for case in sweep:
        was = before.judge(case.record, case.assessment, CHANNEL, NOW_MS)
        now = stricter.judge(case.record, case.assessment, CHANNEL, NOW_MS)
        assert now.action >= was.action
        assert set(was.reasons) <= set(now.reasons)


@many
@given(policies(), sweeps, st.randoms())
def test_neither_the_order_of_rules_nor_that_of_records_matters(policy: Policy, sweep: list[Case], random: Any) -> None:
    shuffled, rules_, items_ = list(sweep), list(policy.rules), list(policy.allowlist)
    for each in (shuffled, rules_, items_):
        random.shuffle(each)
    one = compile_policy(policy)
    other = compile_policy(msgspec.structs.replace(policy, rules=tuple(rules_), allowlist=tuple(items_)))
    verdicts = {id(c): one.judge(c.record, c.assessment, CHANNEL, NOW_MS) for c in sweep}
    for case in shuffled:
        assert other.judge(case.record, case.assessment, CHANNEL, NOW_MS) == verdicts[id(case)]


@many
@given(policies(), sweeps)
def test_judging_twice_and_judging_afresh_give_the_same(policy: Policy, sweep: list[Case]) -> None:
    compiled = compile_policy(policy)
    for case in (*sweep, *sweep):
        remembered = compiled.judge(case.record, case.assessment, CHANNEL, NOW_MS)
        assert remembered == compile_policy(policy).judge(case.record, case.assessment, CHANNEL, NOW_MS)


@many
@given(policies(), sweeps)
def test_the_action_is_the_worst_of_the_reasons_and_these_stand_worst_first(policy: Policy, sweep: list[Case]) -> None:
    compiled = compile_policy(policy)
    for case in sweep:
        verdict = compiled.judge(case.record, case.assessment, CHANNEL, NOW_MS)
        actions = [reason.action for reason in verdict.reasons]
        assert verdict.action == max(actions, default=Action.go)
        assert actions == sorted(actions, reverse=True)


@many
@given(policies(allowlist=False), sweeps)
def test_an_unexpired_exception_beats_any_rule_and_an_expired_one_none(policy: Policy, sweep: list[Case]) -> None:
    def with_item(expires_ms: int) -> Policy:
        item = AllowlistItem("a", "*", "*", "ana", "r", expires_ms)
        return msgspec.structs.replace(policy, allowlist=(item,))

    plain, excepted, expired = (compile_policy(p) for p in (policy, with_item(NOW_MS + 1), with_item(NOW_MS)))
    for case in sweep:
        arguments = (case.record, case.assessment, CHANNEL, NOW_MS)
        verdict = excepted.judge(*arguments)
        assert (verdict.action, verdict.reasons) == (Action.go, ())
        assert tuple(reason for _, reason in verdict.excepted) == plain.judge(*arguments).reasons
        assert expired.judge(*arguments) == plain.judge(*arguments)


@many
@given(policies(), cases(), st.integers(1, 100 * DAY_MS))
def test_a_verdict_holds_until_the_instant_it_names(policy: Policy, case: Case, later_ms: int) -> None:
    compiled = compile_policy(policy)
    verdict = compiled.judge(case.record, case.assessment, CHANNEL, NOW_MS)
    until_ms = verdict.holds_until_ms
    assert until_ms == 0 or until_ms > NOW_MS
    last_ms = min(NOW_MS + later_ms, until_ms - 1) if until_ms else NOW_MS + later_ms
    then = compiled.judge(case.record, case.assessment, CHANNEL, last_ms)
    assert (then.action, then.reasons, then.excepted) == (verdict.action, verdict.reasons, verdict.excepted)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_policy_or_is_refused_with_its_place(text: str) -> None:
    found = None
    try:
        parse_policy(text)
    except InvalidInputError as error:
        found = error.data["problems"]
    assert found is None or all(p["line"] >= 1 and p["column"] >= 1 and p["message"] for p in found)


LICENSE_WORDS = ("MIT", "GPL", "(", ")", "or", "AND", "|", "+", ",", "BSD", "(>=", "2)", "v3", "LGPL", "WITH", "and/or")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(LICENSE_WORDS)).map(" ".join))
def test_any_licence_text_is_read_and_its_expression_reads_as_itself(text: str) -> None:
    expression = read_license(text)
    assert expression.licenses
    assert read_license(expression.text) == expression
