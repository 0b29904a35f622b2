"""Words a refusal: the policy, the rule, the vulnerabilities, what to install instead, whom to ask."""

from __future__ import annotations

from collections.abc import Sequence

from antivenom.core.policy.compile import Action, Reason
from antivenom.core.publication.publication_map import Decision
from antivenom.server.publications.reasons import ReasonView
from antivenom.server.web.rows import Row

IDS_SHOWN = 4


class RefusalFacts(Row, frozen=True):
    """What a program can read from a refusal; the extension members of the problem document.

    `rule_id` is the rule of the first reason; `allowed_version` a match spec that the channel can satisfy, or "".
    """

    channel: str
    fn: str
    policy: str
    rule_id: str
    reasons: list[ReasonView]
    allowed_version: str


def explain_refusal(decision: Decision, *, channel: str, policy: str, install: str) -> tuple[str, RefusalFacts]:
    """The text of a refusal, which clients print (why, the recommendation, what to do), and its facts.

    Args:
        install: A match spec that the channel can satisfy; "" when it withholds every version of the package.
    """
    stops = [reason for reason in decision.reasons if reason.action is Action.stop] or list(decision.reasons)
    rule = stops[0].rule_id if stops else ""
    why = f"{decision.fn} is withheld by policy {policy!r}, {_name_rules(stops)}: {_describe_reasons(stops)}"
    recommended = next((reason.recommendation for reason in stops if reason.recommendation), "")
    exception = f"for an exception to rule {rule!r}"
    if install:
        advice = f'Install "{install}" instead, or ask the administrators of this channel {exception}'
    else:
        advice = f"Every {decision.name} of this channel is withheld: ask its administrators {exception}"
    detail = " ".join(f"{part.strip().rstrip('.')}." for part in (why, recommended, advice) if part.strip())
    reasons = [ReasonView.of(reason) for reason in decision.reasons]
    return detail, RefusalFacts(channel, decision.fn, policy, rule, reasons, install)


def _name_rules(reasons: Sequence[Reason]) -> str:
    rules = list(dict.fromkeys(reason.rule_id for reason in reasons))
    return f"rule {rules[0]}" if len(rules) == 1 else f"rules {', '.join(rules)}"


def _describe_reasons(reasons: Sequence[Reason]) -> str:
    """The message of the first reason, with the ids of vulnerabilities that it does not name."""
    if not reasons:
        return "the publication has no reason for it"
    message = reasons[0].message.rstrip(". ")
    ids = [i for i in vulnerability_ids(reasons) if i not in message]
    if not ids:
        return message
    more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
    return f"{message} (also {', '.join(ids[:IDS_SHOWN])}{more})"


def vulnerability_ids(reasons: Sequence[Reason]) -> list[str]:
    """The vulnerability ids of the reasons, in order, each once."""
    found = (reason.trigger_id.partition("+")[0] for reason in reasons if reason.gate == "vulnerabilities")
    return list(dict.fromkeys(found))
