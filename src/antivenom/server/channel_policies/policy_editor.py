"""What both editors of a policy text share: the one of a channel's policy tab and the one of a policy itself."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import FormData

from antivenom.core.errors import AntivenomError
from antivenom.server.policies.wording import colour_source

STARTER_POLICY = """\
name: baseline
rules:
  - {id: malware, gate: vulnerabilities, trigger: malware, action: stop,
     recommendation: "Never install it. Treat every machine that did as compromised."}
  - {id: exploited, gate: vulnerabilities, trigger: package, action: stop, params: {kev: true},
     recommendation: "Being exploited now: upgrade."}
  - {id: critical-fixable, gate: vulnerabilities, trigger: package, action: stop,
     params: {severity: ">= critical", fix_available: true}}
  - {id: cooldown, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7, unless_fix: true}}
"""


def policy_text_of(form: FormData) -> str:
    """The policy text of a form, with "\\n" for the line ends that browsers send."""
    return str(form.get("text", "")).replace("\r\n", "\n")


def problem_values(text: str, error: AntivenomError | None) -> dict[str, Any]:
    """What the templates show of a refused text: the error, its problems by line, and the text with them marked."""
    problems = error.data.get("problems", []) if error else []
    return {"error": error, "problems": problems, "lines": colour_source(text, problems) if problems else []}
