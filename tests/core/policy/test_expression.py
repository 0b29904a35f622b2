"""CEL rules: what they see, what is refused when the policy is checked, and what happens when they fail."""

from __future__ import annotations

import pytest

from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.matching.advisories import Assessment, Finding
from antivenom.core.policy.compile import GO, Action, Policy, Rule, Verdict, compile_policy
from antivenom.core.policy.rules.expression import (
    CHANNEL_FACTS,
    FINDING_FACTS,
    RECORD_FACTS,
    channel_facts,
    compile_expression,
    finding_facts,
)
from antivenom.core.policy.rules.parameters import ParameterError

RECORD = RecordFacts(
    "internal-x-1.0-0.conda",
    "linux-64",
    "internal-x",
    "1.0",
    "0",
    license="GPL-3",
    size_bytes=5,
    depends=("python >=3",),
)
CHANNEL = ChannelFacts("main", True)
FINDING = Finding(("CVE-1-1",), "high", None, True, None, 9.0, (), "active", "exact", ())


def judge(expr: str, *findings: Finding, record: RecordFacts = RECORD, action: Action = Action.stop) -> Verdict:
    rule = Rule("custom", "expression", "cel", action, {"expr": expr})
    return compile_policy(Policy("p", (rule,))).judge(record, Assessment(True, "", findings), CHANNEL, 1)


@pytest.mark.parametrize(
    "expr",
    [
        "record.name.startsWith('internal-') && channel.is_mirror",
        "record.size_bytes < 10 ? channel.name == 'main' : false",
        "'gpl3' in record.license_families",
        "record.depends.exists(d, d.startsWith('python'))",
        "findings.exists(f, f.kev && f.cvss < 0.0 && f.epss == -1.0)",
        "findings.filter(f, f.severity == 'high').size() == 1",
        "findings[0].ids[0] == 'CVE-1-1'",
        "has(record.name) && size(record.version) == 3",
        "record['name'] == 'internal-x'",
        "record.name in ['internal-x', 'b']",
        "!record.signed || record.build_number > 3",
        "findings.map(f, f.cvss).exists(c, c < 7.0)",
        "findings.filter(f, f.kev).exists(g, g.risk > 3.0 && g.ids.exists(i, i.startsWith('CVE-')))",
        "[1, 2].all(x, x > 0) && record.name != ''",
        "record.depends.exists(x, x.startsWith('python')) && [1].exists(x, x == 1)",
    ],
)
def test_an_expression_sees_the_documented_facts(expr: str) -> None:
    verdict = judge(expr, FINDING)
    assert verdict.action is Action.stop
    assert verdict.reasons[0].trigger_id == "custom+internal-x-1.0-0.conda"


def test_an_expression_that_is_false_is_a_go() -> None:
    assert judge("record.name == 'other'") is GO


@pytest.mark.parametrize(
    ("expr", "line", "column", "message"),
    [
        ("record.nme == 'a'", 1, 8, "'nme'"),
        ("true || chanel.name == 'a'", 1, 9, "'chanel'"),
        ("record.name == 'a' &&\n  record.naem == 'b'", 2, 10, "'naem'"),
        ("record.name.startWith('a')", 1, 13, "'startWith'"),
        ("findings.exists(f, f.kevv)", 1, 22, "'kevv'"),
        ("record.name == 'x' && record.size_bytes > '3'", 1, 23, "size_bytes > '3'"),
        ("findings.exists(f, f.kev && f.cvss > 'a')", 1, 29, "f.cvss > 'a'"),
        ("record.name == ", 1, 16, "too early"),
        ("record.name = 'a'", 1, 13, "token"),
        ("now() > 3", 1, 1, "'now'"),
        ("record.name.startsWith('a') && record.name.startsWith(3)", 1, 32, "does not take"),
        ("record.name.matches('[')", 1, 1, "regex"),
        ("findings.filter(f, f.kev).exists(g, g.kev || g.cvss > 'a')", 1, 46, "g.cvss > 'a'"),
        ("record.depends.exists(d, d == '' || d > 3)", 1, 37, "d > 3"),
        ("'record.nme' == record.fnn", 1, 24, "'fnn'"),
    ],
)
def test_a_wrong_expression_is_refused_with_its_place(expr: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        compile_expression(expr)
    assert caught.value.offset == (line, column)
    assert message in caught.value.message


@pytest.mark.parametrize("expr", ["int(record.version) > 3", "findings[5].kev", "1 / record.build_number > 0"])
def test_what_fails_for_some_records_only_is_accepted(expr: str) -> None:
    assert compile_expression(expr).text == expr
    assert judge(expr, record=RecordFacts("a-x-0.conda", "noarch", "a", "x", "0")).action is Action.warn


@pytest.mark.parametrize(
    "expr",
    ["record.name", "1 + 1", "", "(" * 300 + "1" + ")" * 300, "true || " * 400 + "true", "'a'" * 3000],
)
def test_what_gives_no_answer_or_is_too_large_is_refused(expr: str) -> None:
    with pytest.raises(ParameterError):
        compile_expression(expr)


def test_loops_are_bounded() -> None:
    nested = "findings.all(a, findings.all(b, findings.all(c, findings.all(d, a.kev))))"
    with pytest.raises(ParameterError, match="loops"):
        compile_expression(nested)


def test_an_expression_that_fails_for_a_record_warns_and_says_why() -> None:
    verdict = judge("100 / record.size_bytes > 3", record=RecordFacts("a-1-0.conda", "noarch", "a", "1", "0"))
    assert verdict.action is Action.warn
    assert "rule custom could not be evaluated for a 1" in verdict.reasons[0].message


def test_text_of_a_record_is_data_never_expression() -> None:
    hostile = RecordFacts("a-1-0.conda", "noarch", "a' || true || '", "1", "0")
    assert judge("record.name == 'a'", record=hostile) is GO


def test_the_facts_are_those_that_are_documented_and_of_their_kinds() -> None:
    (fact,) = finding_facts(Assessment(True, "", (FINDING,)))
    assert set(fact) == set(FINDING_FACTS)
    assert set(channel_facts(CHANNEL)) == set(CHANNEL_FACTS)
    kinds = {"string": str, "int": int, "double": float, "bool": bool, "list of string": list}
    for facts in (RECORD_FACTS, CHANNEL_FACTS, FINDING_FACTS):
        for kind, _, sample in facts.values():
            assert type(sample) is kinds[kind]
    for name, value in fact.items():
        assert type(value) is kinds[FINDING_FACTS[name][0]]
