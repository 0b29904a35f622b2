"""The kinds of rules, one file a gate. `TRIGGERS` is the registry that policies are checked against."""

from __future__ import annotations

from antivenom.core.policy.rules import expression, licenses, metadata, packages, vulnerabilities
from antivenom.core.policy.rules.base import Trigger

GATES = {module.GATE: module for module in (vulnerabilities, licenses, packages, metadata, expression)}

TRIGGERS: dict[tuple[str, str], Trigger] = {
    (trigger.gate, trigger.name): trigger for module in GATES.values() for trigger in module.TRIGGERS
}
