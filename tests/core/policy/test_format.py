"""The format of policies: what is read, and that every mistake is refused with its place and the nearest valid word."""

from __future__ import annotations

import json

import pytest

from antivenom.core.errors import InvalidInputError
from antivenom.core.policy.compile import Action, changed_gates, parse_policy
from antivenom.core.policy.rules.parameters import ParameterError, read_severity

BASELINE = """\
name: baseline
rules:
  - {id: exploited, gate: vulnerabilities, trigger: package, action: stop, params: {kev: true}, recommendation: "Being exploited now: upgrade."}
  - {id: critical-fixable, gate: vulnerabilities, trigger: package, action: stop, params: {severity: ">= critical", fix_available: true}}
  - {id: risky, gate: vulnerabilities, trigger: package, action: warn, params: {cvss: ">= 7.0", epss: ">= 0.5"}}
  - {id: network-copyleft, gate: licenses, trigger: license, action: stop, params: {families: [agpl]}}
  - {id: cooldown, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7}}
  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["xz 5.6.0", "xz 5.6.1", "*[license='BUSL-1.1']"]}}
  - {id: custom, gate: expression, trigger: cel, action: stop, params: {expr: "record.name.startsWith('internal-') && channel.is_mirror"}}
allowlist:
  - {id: a1, gate: vulnerabilities, trigger_id: "CVE-2024-0001+libfoo", owner: ana, reason: "not reachable", expires_on: 2027-01-01T00:00:00Z}
"""


def problems_of(text: str) -> list[tuple[int, int, str, str, str]]:
    with pytest.raises(InvalidInputError) as caught:
        parse_policy(text)
    assert caught.value.data["line"] == caught.value.data["problems"][0]["line"]
    return [(p["line"], p["column"], p["field"], p["message"], p["hint"]) for p in caught.value.data["problems"]]


def rule(text: str) -> str:
    return f"name: p\nrules:\n  - {text}\n"


def test_the_format_of_the_issue_is_read() -> None:
    policy = parse_policy(BASELINE)
    assert policy.name == "baseline"
    assert [r.id for r in policy.rules][-1] == "custom"
    assert policy.rules[2].action is Action.warn
    assert policy.rules[0].recommendation == "Being exploited now: upgrade."
    assert policy.allowlist[0].expires_ms == 1_798_761_600_000
    assert policy.allowlist[0].owner == "ana"


def test_a_policy_written_out_reads_back_equal() -> None:
    policy = parse_policy(BASELINE)
    assert parse_policy(json.dumps(policy.document())) == policy


def test_json_with_tabs_and_escapes_is_read() -> None:
    text = '{\n\t"name":\t"p",\n\t"description": "\\ud83d\\ude00 \\u00e9",\n\t"rules":[]\n}'
    assert parse_policy(text).description == "😀 é"


def test_a_policy_may_state_its_version_and_have_no_rules() -> None:
    assert parse_policy("version: 1\nname: p\nrules: []\n").rules == ()
    assert problems_of("version: 2\nname: p\nrules: []\n")[0][:3] == (1, 10, "version")


@pytest.mark.parametrize(
    ("text", "line", "column", "field", "message", "hint"),
    [
        (rule("{id: a, gate: vulnerabilites, trigger: package, action: stop}"), 3, 19, "rules[0].gate", "gate", "'vulnerabilities'"),
        (rule("{id: a, gate: licenses, trigger: licence, action: stop}"), 3, 38, "rules[0].trigger", "trigger", "'license'"),
        (rule("{id: a, gate: metadata, trigger: signed, action: stopp}"), 3, 54, "rules[0].action", "action", "'stop'"),
        (rule("{id: a, gate: vulnerabilities, trigger: package, action: stop, params: {severty: high}}"), 3, 77, "rules[0].params.severty", "'severty'", "'severity'"),
        (rule("{id: a, gate: vulnerabilities, trigger: package, action: stop, params: {severity: '>= hihg'}}"), 3, 87, "rules[0].params.severity", "'hihg'", "'high'"),
        (rule("{id: a, gate: vulnerabilities, trigger: package, action: stop, params: {severity: '=> high'}}"), 3, 87, "rules[0].params.severity", "'=>'", "'>='"),
        (rule("{id: a, gate: vulnerabilities, trigger: package, action: stop, params: {cvss: '>= 70'}}"), 3, 83, "rules[0].params.cvss", "outside", ">= 7"),
        (rule("{id: a, gate: vulnerabilities, trigger: package, action: stop, params: {cvss: '>= high'}}"), 3, 83, "rules[0].params.cvss", "not a number", ">= 7"),
        (rule("{id: a, gate: vulnerabilities, trigger: package, action: stop, params: {epss: '>='}}"), 3, 83, "rules[0].params.epss", "has no value to compare with", ">= 0.7"),
        (rule("{id: a, gate: vulnerabilities, trigger: package, action: stop, params: {kev: 'yes'}}"), 3, 82, "rules[0].params.kev", "true or false", "quotes"),
        (rule("{id: a, gate: vulnerabilities, trigger: package, action: stop, params: {status: actve}}"), 3, 85, "rules[0].params.status", "'actve'", "'active'"),
        (rule("{id: a, gate: vulnerabilities, trigger: package, action: stop, params: {ids: [CVE-2024-1, oops]}}"), 3, 95, "rules[0].params.ids[1]", "'OOPS'", "CVE-"),
        (rule("{id: a, gate: licenses, trigger: license, action: stop, params: {families: [agpll]}}"), 3, 81, "rules[0].params.families[0]", "'agpll'", "'agpl'"),
        (rule("{id: a, gate: licenses, trigger: license, action: stop, params: {licenses: [GPL-3.0-onyl]}}"), 3, 81, "rules[0].params.licenses[0]", "SPDX", "'GPL-3.0-only'"),
        (rule("{id: a, gate: licenses, trigger: license, action: stop, params: {licenses: ['MIT AND ISC']}}"), 3, 81, "rules[0].params.licenses[0]", "expression", "one by one"),
        (rule("{id: a, gate: licenses, trigger: license, action: stop, params: {licenses: ['GPL (>= 2)']}}"), 3, 81, "rules[0].params.licenses[0]", "SPDX", "'GPL-2.0-or-later'"),
        (rule("{id: a, gate: licenses, trigger: license, action: stop, params: {licenses: [BSD]}}"), 3, 81, "rules[0].params.licenses[0]", "SPDX", "families: [bsd]"),
        (rule("{id: a, gate: packages, trigger: match_spec, action: stop, params: {deny: ['xz >=']}}"), 3, 80, "rules[0].params.deny[0]", "is no version", ""),
        (rule("{id: a, gate: packages, trigger: match_spec, action: stop, params: {deny: ['conda-forge::xz']}}"), 3, 80, "rules[0].params.deny[0]", "'channel'", "may ask"),
        (rule("{id: a, gate: metadata, trigger: age, action: stop, params: {less_than_days: -1}}"), 3, 82, "rules[0].params.less_than_days", "out of range", "0"),
        (rule("{id: a, gate: metadata, trigger: age, action: stop, params: {less_than_days: '7'}}"), 3, 82, "rules[0].params.less_than_days", "number", "quotes"),
        (rule("{id: a, gate: metadata, trigger: age, action: stop, params: {unless_fix: true}}"), 3, 66, "rules[0].params.unless_fix", "means nothing without 'less_than_days'", "add less_than_days"),
        (rule("{id: a, gate: vulnerabilities, trigger: package, action: stop, params: {ids: [MAL*]}}"), 3, 83, "rules[0].params.ids[0]", "not the id", "MAL-*"),
        (rule("{id: a, gate: metadata, trigger: age, action: stop}"), 3, 5, "rules[0].params", "needs a parameter", "less_than_days"),
        (rule("{id: a, gate: expression, trigger: cel, action: stop, params: {expr: 'record.nme == 1'}}"), 3, 82, "rules[0].params.expr", "'nme'", "'name'"),
        (rule("{id: a, gate: expression, trigger: cel, action: stop, params: {expr: 'recrd.name == 1'}}"), 3, 75, "rules[0].params.expr", "'recrd'", "'record'"),
        (rule("{id: a, gate: expression, trigger: cel, action: stop, params: {expr: 'record.name =='}}"), 3, 89, "rules[0].params.expr", "too early", "such as"),
        (rule("{id: a, gate: metadata, trigger: signed, action: stop, parms: {}}"), 3, 60, "rules[0].parms", "'parms'", "'params'"),
        (rule("{gate: metadata, trigger: signed, action: stop}"), 3, 5, "rules[0].id", "missing", "id"),
        ("name: p\nrules: []\nallow_list: []\n", 3, 1, "allow_list", "'allow_list'", "'allowlist'"),
        ("rules: []\n", 1, 1, "name", "missing", "name"),
        ("name: p\nname: q\nrules: []\n", 2, 1, "name", "twice", "remove"),
        ("name: [p\nrules: []\n", 2, 6, "", "not valid YAML", "brackets"),
        ("- a\n- b\n", 1, 1, "", "a list", "name:"),
        ("", 1, 1, "", "nothing", "name:"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_place_and_the_nearest_word(
    text: str, line: int, column: int, field: str, message: str, hint: str
) -> None:
    found = problems_of(text)
    assert len(found) == 1, found
    assert found[0][:3] == (line, column, field)
    assert message in found[0][3]
    assert hint in found[0][4]


def test_all_problems_are_reported_at_once_in_the_order_in_which_they_stand() -> None:
    text = (
        "name: p\nrules:\n"
        "  - {id: a, gate: nope, trigger: package, action: stop}\n"
        "  - {id: a, gate: metadata, trigger: signed, action: halt}\n"
        "allowlist:\n  - {id: x, gate: licenses, trigger_id: 'MIT+a', expires_on: 2027-13-01}\n"
    )
    found = problems_of(text)
    assert [(line, field) for line, _, field, _, _ in found] == [
        (3, "rules[0].gate"),
        (4, "rules[1].id"),
        (4, "rules[1].action"),
        (6, "allowlist[0].owner"),
        (6, "allowlist[0].reason"),
        (6, "allowlist[0].expires_on"),
    ]


def test_the_place_inside_a_block_text_is_that_of_its_line() -> None:
    text = (
        "name: p\nrules:\n  - id: a\n    gate: expression\n    trigger: cel\n    action: stop\n    params:\n"
        "      expr: |\n        record.name == 'a' &&\n        chanel.is_mirror\n"
    )
    assert problems_of(text)[0][0] == 10


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\nb: [*a, *a]\n",
        "[" * 5000,
        "{a: " * 5000,
        "x: " + "y" * (1 << 20),
        "name: p\x00q\n",
        "name: \ud800\n",
        "name: !!python/object/apply:os.system [ls]\nrules: []\n",
        "--- a\n--- b\n",
        "? [a, b]\n: c\n",
        "\t- a\n",
        "name: p\nrules: {a: 1}\n",
        "name: p\nrules: [1, null, [x]]\n",
        "name: p\nrules: []\nallowlist: [{id: a, gate: '*', trigger_id: x, owner: o, reason: r}]\n",
        '{"name": "p", "rules": [}',
        "name: p\nrules: [{id: a, gate: metadata, trigger: size, action: stop, params: {more_than_mb: .nan}}]\n",
        "name: p\nrules: [{id: a, gate: metadata, trigger: size, action: stop, params: {more_than_mb: 1e999}}]\n",
        "name: p\nrules: [{id: a, gate: metadata, trigger: size, action: stop, params: [1]}]\n",
        "[" + "1," * 200_000 + "]",
    ],
)
def test_hostile_text_is_refused_with_a_place(text: str) -> None:
    for line, column, _, message, _ in problems_of(text):
        assert line >= 1
        assert column >= 1
        assert message


@pytest.mark.parametrize("written", [".nan", ".inf", "1.0e+999"])
def test_a_number_that_nothing_compares_with_is_refused(written: str) -> None:
    rule = f"{{id: a, gate: metadata, trigger: size, action: stop, params: {{more_than_mb: {written}}}}}"
    ((_, _, _, message, hint),) = problems_of(f"name: p\nrules: [{rule}]\n")
    assert "is not a number to compare with" in message
    assert hint == "write a finite number"


def test_an_expiry_is_read_as_utc_and_a_date_as_its_midnight() -> None:
    def expiry(written: str) -> int:
        item = f"{{id: a, gate: '*', trigger_id: '*', owner: o, reason: r, expires_on: {written}}}"
        return parse_policy(f"name: p\nrules: []\nallowlist: [{item}]\n").allowlist[0].expires_ms

    assert expiry("2027-01-01") == expiry("2027-01-01T00:00:00Z") == expiry('"2027-01-01T01:00:00+01:00"')
    assert expiry("null") == 0


def test_what_yaml_reads_as_a_number_or_a_word_may_be_an_id() -> None:
    policy = parse_policy(rule("{id: 12, gate: metadata, trigger: signed, action: stop}"))
    assert policy.rules[0].id == "12"


def test_a_change_names_the_gates_that_differ() -> None:
    old = parse_policy(BASELINE)
    new = parse_policy(BASELINE.replace("less_than_days: 7", "less_than_days: 8"))
    assert changed_gates(old, old) == set()
    assert changed_gates(old, new) == {"metadata"}
    assert changed_gates(None, parse_policy(rule("{id: a, gate: metadata, trigger: signed, action: stop}"))) == {
        "metadata"
    }
    assert changed_gates(old, parse_policy(BASELINE.replace("owner: ana", "owner: bob"))) == {"vulnerabilities"}


@pytest.mark.parametrize("comparison", ["> a" + " " * 400_000 + "b", "!" * 400_000 + " a" + " " * 400_000 + "b"])
def test_a_comparison_of_any_length_is_read_at_once(comparison: str) -> None:
    with pytest.raises(ParameterError):
        read_severity(comparison)
