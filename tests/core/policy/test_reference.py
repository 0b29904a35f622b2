"""docs/reference/policy.md against the registry of rules: what exists is documented, what is documented exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from antivenom.core.conda.licenses import FAMILIES
from antivenom.core.documents import BYTES_MAX
from antivenom.core.policy.compile import Action, parse_policy
from antivenom.core.policy.format import ITEM_KEYS, POLICY_KEYS, RULE_KEYS
from antivenom.core.policy.rules import GATES, TRIGGERS
from antivenom.core.policy.rules.base import Trigger
from antivenom.core.policy.rules.expression import (
    CHANNEL_FACTS,
    CHARACTERS_MAX,
    FINDING_FACTS,
    FUNCTIONS,
    LOOPS_MAX,
    RECORD_FACTS,
)
from antivenom.core.policy.rules.parameters import OPERATORS

REFERENCE = Path(__file__).parents[3] / "docs/reference/policy.md"
TEXT = REFERENCE.read_text(encoding="utf-8")
FACTS = {"record": RECORD_FACTS, "channel": CHANNEL_FACTS, "a finding": FINDING_FACTS}


def section(heading: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    level = heading.split(" ")[0]
    match = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert match, f"{REFERENCE.name} has no heading {heading!r}"
    return match[1]


def rows(text: str) -> list[str]:
    """The first cells of the tables of a text, headings left out."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("trigger", TRIGGERS.values(), ids=lambda t: f"{t.gate}-{t.name}")
def test_every_trigger_and_parameter_is_documented(trigger: Trigger) -> None:
    text = section(f"### {trigger.gate} · {trigger.name}")
    assert trigger.summary in text
    assert f"trigger_id: {trigger.trigger_id}" in text
    for name, parameter in trigger.parameters.items():
        assert f"| `{name}` | {parameter.kind} | {parameter.meaning} |" in text
    assert rows(text.split("####")[0]) == list(trigger.parameters)


def test_every_gate_has_its_heading_and_no_other_has() -> None:
    headings = re.findall(r"^## Gate: (\w+)$", TEXT, re.MULTILINE)
    assert headings == list(GATES)
    triggers = re.findall(r"^### (\w+) · (\w+)$", TEXT, re.MULTILINE)
    assert triggers == list(TRIGGERS)


def test_the_licence_families_are_documented() -> None:
    text = section("#### Licence families")
    assert [f"| `{family}` | {meaning} |" for family, meaning in FAMILIES.items()] == re.findall(
        r"^\| `.*\|$", text, re.MULTILINE
    )


def test_the_facts_and_functions_of_expressions_are_documented() -> None:
    for owner, facts in FACTS.items():
        text = section(f"#### Facts of {owner}")
        for name, (kind, meaning, _) in facts.items():
            assert f"| `{name}` | {kind} | {meaning} |" in text
        assert rows(text) == list(facts)
    functions = section("#### Functions and bounds")
    assert re.findall(r"`(\w+)`", functions.splitlines()[1]) == FUNCTIONS
    assert f"{CHARACTERS_MAX} characters" in functions
    assert f"{LOOPS_MAX} loops" in functions


def test_keys_actions_and_operators_are_documented() -> None:
    assert rows(section("## The document")) == list(POLICY_KEYS)
    assert rows(section("## Rules").split("###")[0]) == list(RULE_KEYS)
    assert rows(section("## Allowlist")) == list(ITEM_KEYS)
    assert set(rows(section("### Actions"))) == {action.name for action in Action}
    assert set(rows(section("### Comparisons"))) == set(OPERATORS)
    assert f"{BYTES_MAX >> 20} MiB" in TEXT


def examples() -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", examples(), ids=lambda text: re.sub(r"\W+", "-", text)[:60])
def test_every_example_is_a_right_policy(example: str) -> None:
    if not example.startswith("name:"):
        example = f"name: example\nrules:\n{example}" if example.lstrip().startswith("-") else example
    assert parse_policy(example).rules


def test_every_trigger_has_an_example() -> None:
    used = {
        (r.gate, r.trigger)
        for e in examples()
        for r in parse_policy(e if "name:" in e else f"name: e\nrules:\n{e}").rules
    }
    assert used == set(TRIGGERS)
