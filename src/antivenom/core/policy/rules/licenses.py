"""Gate `licenses`: what a record's licence text allows, read as an SPDX expression.

A choice (OR) is bad only when every alternative is; a combination (AND) when any part is; WITH an exception is judged
as its licence, unless `allow` names the pair: an exception only widens what a licence permits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from antivenom.core.conda.licenses import FAMILIES, License, LicenseExpression, read_license, spdx_exceptions, spdx_ids
from antivenom.core.conda.records import RecordFacts
from antivenom.core.policy.rules.base import NOTHING, Check, Facts, Rule, RuleResult, Trigger
from antivenom.core.policy.rules.parameters import Parameter, ParameterError, list_of, nearest, read_text, word_of

GATE = "licenses"


class LicenseCheck(Check):
    """Records whose licence cannot be used under the rule. Beside refused licences, allowed ones are exceptions."""

    reads = ("license",)
    result_reads = ("license", "name")

    def __init__(self, rule: Rule, params: Mapping[str, Any]) -> None:
        super().__init__(rule)
        self._denied = frozenset(params.get("licenses", ()))
        self._denied_families = frozenset(params.get("families", ()))
        self._allowed = frozenset(params.get("allow", ()))
        self._allowed_families = frozenset(params.get("allow_families", ()))
        self._denies = bool(self._denied or self._denied_families)

    def concerns(self, facts: Facts) -> bool:
        return bool(self._bad_licenses(read_license(facts.record.license)))

    def evaluate(self, facts: Facts) -> RuleResult:
        record = facts.record
        expression = read_license(record.license)
        bad = self._bad_licenses(expression)
        if not bad:
            return NOTHING
        return RuleResult(
            tuple(self.hit((f"{text}+{record.name}",), _describe(record, text, expression)) for text in bad)
        )

    def _bad_licenses(self, expression: LicenseExpression) -> tuple[str, ...]:
        """The licences that make the expression unusable, without repeats; empty when it can be used."""
        if expression.license is not None:
            return (expression.license.text,) if self._is_bad(expression.license) else ()
        parts = [self._bad_licenses(part) for part in expression.parts]
        if expression.operator == "OR" and not all(parts):
            return ()
        return tuple(dict.fromkeys(text for part in parts for text in part))

    def _is_bad(self, found: License) -> bool:
        names = {found.id.casefold(), found.text.casefold()}
        allowed = not names.isdisjoint(self._allowed) or not found.families.isdisjoint(self._allowed_families)
        if not self._denies:
            return not allowed
        denied = not names.isdisjoint(self._denied) or not found.families.isdisjoint(self._denied_families)
        return denied and not allowed


def _describe(record: RecordFacts, text: str, expression: LicenseExpression) -> str:
    if text == "NONE":
        return f"{record.name} states no licence"
    written = "" if record.license == text else f" (its licence reads {record.license!r})"
    choice = " in every choice it leaves" if expression.operator == "OR" else ""
    return f"{record.name} is licensed under {text}{choice}{written}, which this policy does not accept"


def read_license_word(value: Any) -> str:
    """A licence that a rule names, case-folded: an SPDX id, "ID WITH EXCEPTION", a LicenseRef, or none."""
    text = " ".join(read_text(value).split())
    if text.casefold() == "none":
        return "none"
    name, _, exception = (part.strip() for part in re.sub(r"(?i) with ", " WITH ", text).partition(" WITH "))
    if re.search(r"(?i)\s(and|or)\s", name):
        raise ParameterError(f"{text!r} is an expression", "name its licences one by one")
    expression = read_license(name)
    found = expression.license
    known = found is not None and (found.id.casefold() in spdx_ids() or name.casefold().startswith("licenseref-"))
    if found is None or not known or not re.fullmatch(r"[A-Za-z0-9.+:-]+", name):
        raise ParameterError(f"{name!r} is not an SPDX licence id", _license_hint(name, expression))
    if exception and exception.casefold() not in spdx_exceptions():
        raise ParameterError(
            f"{exception!r} is not an SPDX exception id",
            nearest(exception, list(spdx_exceptions().values())) or "such as Classpath-exception-2.0",
        )
    return f"{found.id} WITH {exception}".casefold() if exception else found.text.casefold()


def _license_hint(name: str, expression: LicenseExpression) -> str:
    """A hint for a licence that is not an SPDX id: a family, what a record's text would mean, or the nearest id."""
    if name.casefold() in FAMILIES:
        return f"for all of them write families: [{name.casefold()}]"
    if all(found.id.casefold() in spdx_ids() for found in expression.licenses):
        return f"did you mean {expression.text!r}?"
    return nearest(name, [i for i, _ in spdx_ids().values()]) or "such as MIT, Apache-2.0, LicenseRef-Custom"


_WORDS = list_of(read_license_word)
_FAMILY_WORDS = list_of(word_of(list(FAMILIES), "licence family"))

TRIGGERS = (
    Trigger(
        gate=GATE,
        name="license",
        summary=(
            "Hits records whose licence is not acceptable. With `families` or `licenses`, those are refused, except "
            "what `allow` or `allow_families` names; with only `allow` or `allow_families`, everything else is refused."
        ),
        trigger_id="`SPDX+name`, such as `AGPL-3.0-only+libfoo`; `NONE+name` when no licence is stated",
        parameters={
            "families": Parameter(_FAMILY_WORDS, "licence families", "refused families"),
            "licenses": Parameter(_WORDS, "SPDX ids", "refused licences; `none` is a missing licence"),
            "allow": Parameter(_WORDS, "SPDX ids", "accepted licences, or `ID WITH EXCEPTION`"),
            "allow_families": Parameter(_FAMILY_WORDS, "licence families", "accepted families"),
        },
        compile=lambda rule, params: iter((LicenseCheck(rule, params),)),
    ),
)
