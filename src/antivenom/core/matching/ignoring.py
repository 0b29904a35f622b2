"""Which rule of knowledge sets a finding aside, by the way in which the component was tied to the advisory.

Source: the rows of src/antivenom/knowledge/ignore.tsv, and those that an administrator's feeds add.
"""

from __future__ import annotations

from collections.abc import Mapping

from antivenom.core.matching.advisories import IgnoredBy
from antivenom.core.matching.identity import Identity
from antivenom.core.matching.knowledge import IgnoreRule, Words

_OfSummary = tuple[str, Words, Words | None]  # id, words, unless


class IgnoreRules:
    """The rules, ready to be asked. Of several that apply the first by id counts; "" says that none does."""

    def __init__(self, rules: Mapping[str, IgnoreRule], reasons: Mapping[str, str]) -> None:
        """Take the rules, and the reasons of rows of other tables that set aside by their own right."""
        self._reasons = {row_id: rule.reason for row_id, rule in rules.items()} | dict(reasons)
        self._by_range: dict[str, str] = {}
        self._by_summary: dict[str, list[_OfSummary]] = {}
        self._by_target: dict[str, dict[str, str]] = {}
        self._elsewhere = ""
        for row_id, rule in sorted(rules.items()):
            if rule.looks_at == "range":
                self._by_range.setdefault(rule.applies_to, row_id)
            elif rule.looks_at == "target":
                for word in rule.words:
                    self._by_target.setdefault(rule.applies_to, {}).setdefault(word.lower(), row_id)
            elif rule.looks_at == "ecosystem":
                self._elsewhere = self._elsewhere or row_id
            elif rule.looks_at == "summary":
                unless = Words(rule.unless) if rule.unless else None
                self._by_summary.setdefault(rule.applies_to, []).append((row_id, Words(rule.words), unless))

    def of_range(self, identity: Identity, *, is_open: bool) -> str:
        """The rule that sets a range aside for being without an end."""
        return self._by_range.get(relation_of(identity), "") if is_open and self._by_range else ""

    def of_target(self, identity: Identity, target: str) -> str:
        """The rule that sets a package aside for the target software of its CPE name: it is another thing."""
        if not target:
            return ""
        of_all = self._by_target.get("any", {}).get(target, "")
        return of_all or self._by_target.get(relation_of(identity), {}).get(target, "")

    @property
    def elsewhere(self) -> str:
        """The rule for what a map of names suggests, where advisories of the own ecosystem name other packages."""
        return self._elsewhere

    def of_summary(self, identity: Identity, summary: str) -> str:
        """The rule that sets an advisory aside for what its summary says."""
        for row_id, words, unless in self._by_summary.get(relation_of(identity), ()):
            if words.found_in(summary) and not (unless is not None and unless.found_in(summary)):
                return row_id
        return ""

    def explain(self, row_id: str) -> IgnoredBy:
        """The rule as findings show it; a row of releases sets aside by its own right."""
        reason = self._reasons.get(row_id, "the project itself names other releases as affected")
        return IgnoredBy(row_id, reason)


def relation_of(identity: Identity) -> str:
    """How the component is tied to what is named, in the word of a rule's `applies_to`; "" when it is the thing."""
    if identity.is_part:
        return "part"
    if identity.is_native:
        return "native"
    if identity.is_guess:
        return "guessed"
    return "suggested" if identity.is_fallback else ""
