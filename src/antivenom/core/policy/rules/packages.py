"""Gate `packages`: which records may be there at all, by match spec, by name, or by a floor they must keep.

Source: conda match specs through core/conda/specs.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import translate
from typing import Any

from antivenom.core.conda.specs import RecordSpec, parse_record_spec
from antivenom.core.errors import InvalidInputError
from antivenom.core.policy.rules.base import NOTHING, Check, Facts, Rule, RuleResult, Trigger
from antivenom.core.policy.rules.parameters import Parameter, ParameterError, list_of, read_text

GATE = "packages"


class DeniedSpecCheck(Check):
    """Records that one denied spec matches and no allowed spec does."""

    result_reads = ("fn",)

    def __init__(self, rule: Rule, denied: RecordSpec, allowed: tuple[RecordSpec, ...]) -> None:
        super().__init__(rule)
        self._denied = denied
        self._allowed = allowed
        self.names = frozenset({denied.exact_name}) if denied.exact_name else None
        self.reads = _reads((denied, *allowed))

    def evaluate(self, facts: Facts) -> RuleResult:
        record = facts.record
        try:
            if not self._denied.matches(record) or any(spec.matches(record) for spec in self._allowed):
                return NOTHING
        except InvalidInputError as error:
            return self.undecided(record, error.message)
        message = f"{record.name} {record.version} is denied by the spec {self._denied.text!r}"
        return RuleResult((self.hit((f"{self._denied.text}+{record.name}",), message),))


class OnlyAllowedCheck(Check):
    """Records that none of the allowed specs matches."""

    result_reads = ("fn",)

    def __init__(self, rule: Rule, allowed: tuple[RecordSpec, ...]) -> None:
        super().__init__(rule)
        self._allowed = allowed
        self.reads = _reads(allowed)

    def evaluate(self, facts: Facts) -> RuleResult:
        record = facts.record
        try:
            if any(spec.matches(record) for spec in self._allowed):
                return NOTHING
        except InvalidInputError as error:
            return self.undecided(record, error.message)
        message = f"{record.name} {record.version} is not among the specs that this policy allows"
        return RuleResult((self.hit((f"allow+{record.name}",), message),))


class RequiredSpecCheck(Check):
    """Records of a name with required specs that none of these matches."""

    result_reads = ("fn",)

    def __init__(self, rule: Rule, name: str, required: tuple[RecordSpec, ...]) -> None:
        super().__init__(rule)
        self._required = required
        self.names = frozenset({name})
        self.reads = _reads(required)

    def evaluate(self, facts: Facts) -> RuleResult:
        record = facts.record
        try:
            if any(spec.matches(record) for spec in self._required):
                return NOTHING
        except InvalidInputError as error:
            return self.undecided(record, error.message)
        wanted = " or ".join(repr(spec.text) for spec in self._required)
        message = f"{record.name} {record.version} is not what this policy requires: {wanted}"
        return RuleResult((self.hit((f"{self._required[0].text}+{record.name}",), message),))


class NameCheck(Check):
    """Records by name: denied and not allowed; with no denied names, whatever is not allowed."""

    reads = ("name",)
    result_reads = ("name",)

    def __init__(self, rule: Rule, params: Mapping[str, Any]) -> None:
        super().__init__(rule)
        self._denied: tuple[str, ...] = params.get("deny", ("*",))
        self._matches = [(text, re.compile(translate(text)).match) for text in self._denied]
        self._allows = [re.compile(translate(text)).match for text in params.get("allow", ())]

    def evaluate(self, facts: Facts) -> RuleResult:
        record = facts.record
        if any(allows(record.name) for allows in self._allows):
            return NOTHING
        for text, matches in self._matches:
            if matches(record.name):
                message = f"the name {record.name} is not allowed by this policy"
                return RuleResult((self.hit((f"{text}+{record.name}",), message),))
        return NOTHING


def _reads(specs: tuple[RecordSpec, ...]) -> tuple[str, ...]:
    """The facts that decide whether any of the specs matches; a bare "*" does not even need the name."""
    fields = dict.fromkeys(field for spec in specs for field in spec.fields)
    names = () if all(spec.any_name for spec in specs) else ("name",)
    return (*names, *fields)


def _compile_match_spec(rule: Rule, params: Mapping[str, Any]) -> Iterator[Check]:
    denied, allowed = params.get("deny", ()), params.get("allow", ())
    if not denied:
        yield OnlyAllowedCheck(rule, allowed)
    for spec in denied:
        yield DeniedSpecCheck(rule, spec, allowed)


def _compile_required(rule: Rule, params: Mapping[str, Any]) -> Iterator[Check]:
    by_name: dict[str, list[RecordSpec]] = {}
    for spec in params["specs"]:
        by_name.setdefault(spec.exact_name, []).append(spec)
    for name, specs in by_name.items():
        yield RequiredSpecCheck(rule, name, tuple(specs))


def read_spec(value: Any) -> RecordSpec:
    """A match spec.

    Raises:
        ParameterError: It is none.
    """
    try:
        return parse_record_spec(read_text(value))
    except InvalidInputError as error:
        raise ParameterError(error.message, error.hint) from None


def _read_named_spec(value: Any) -> RecordSpec:
    spec = read_spec(value)
    if not spec.exact_name:
        raise ParameterError(f"{spec.text!r} names no single package", "a required spec begins with a full name")
    return spec


def _read_name(value: Any) -> str:
    text = read_text(value)
    if not re.fullmatch(r"[A-Za-z0-9_.*?\[\]!-]+", text):
        raise ParameterError(f"{text!r} is neither a package name nor a glob", "such as internal-*")
    return text.lower()


_SPECS = list_of(read_spec)
_NAMES = list_of(_read_name)

TRIGGERS = (
    Trigger(
        gate=GATE,
        name="match_spec",
        summary=(
            "Hits records by match spec: what `deny` matches, except what `allow` matches; with only `allow`, "
            "everything that none of its specs matches."
        ),
        trigger_id="`spec+name`, such as `xz 5.6.0+xz`; `allow+name` when only `allow` is given",
        parameters={
            "deny": Parameter(_SPECS, "match specs", "refused records, such as `xz 5.6.1` or `*[license='BUSL-1.1']`"),
            "allow": Parameter(_SPECS, "match specs", "records to keep"),
        },
        compile=_compile_match_spec,
    ),
    Trigger(
        gate=GATE,
        name="names",
        summary="Hits records by name or glob; `deny` and `allow` as above.",
        trigger_id="`glob+name`, such as `internal-*+internal-tools`; `*+name` when only `allow` is given",
        parameters={
            "deny": Parameter(_NAMES, "names or globs", "refused names"),
            "allow": Parameter(_NAMES, "names or globs", "names to keep"),
        },
        compile=lambda rule, params: iter((NameCheck(rule, params),)),
    ),
    Trigger(
        gate=GATE,
        name="required",
        summary=(
            "Hits records of a named package that none of its required specs matches: a floor below which nothing is "
            "published, such as `openssl >=3.0.7`. Other names are not concerned."
        ),
        trigger_id="`spec+name` with the first required spec of that name",
        parameters={
            "specs": Parameter(list_of(_read_named_spec), "match specs with a full name", "what a record must meet")
        },
        compile=_compile_required,
    ),
)
