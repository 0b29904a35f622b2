"""Gate `expression`: a CEL expression over the documented facts, beside the typed gates.

An expression is checked with the policy: every name and field must exist, and every operand is tried on sample facts,
so that a wrong type is found before anything is judged. It can loop only over lists, sees no clock, and is bounded in
length and in loops. That bounds neither the time nor the memory of one evaluation (the library copies lists of lists),
so whoever judges records of others by a text of others runs it under a meter, in a process that may be ended.

Source: common-expression-language 0.10 (the cel crate). It reports unknown fields and types only when it runs; hence
the reading of the text here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from antivenom.core.conda.licenses import read_license
from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.errors import TooExpensiveError
from antivenom.core.matching.advisories import Assessment, Finding, Severity
from antivenom.core.policy.rules.base import NOTHING, Check, Facts, Rule, RuleResult, Trigger
from antivenom.core.policy.rules.parameters import Parameter, ParameterError, kind_of, nearest
from antivenom_client.assessing import rank

if TYPE_CHECKING:
    import cel  # at run time imported where it is used: its package loads a terminal prompt, 0.1 s

GATE = "expression"
CHARACTERS_MAX = 2000
LOOPS_MAX = 3
FINDINGS_MAX = 500  # the riskiest; keeps three nested loops' worth of work bounded


class Fact(NamedTuple):
    """One fact that expressions may read. The reference lists it; expressions are tried on the sample."""

    kind: str
    meaning: str
    sample: Any


RECORD_FACTS: dict[str, Fact] = {
    "fn": Fact("string", "file name of the artifact", "numpy-1.26.4-py312_0.conda"),
    "subdir": Fact("string", "linux-64, noarch, …", "linux-64"),
    "name": Fact("string", "package name", "numpy"),
    "version": Fact("string", "version as written; not ordered: use the packages gate to compare versions", "1.26.4"),
    "build": Fact("string", "build string", "py312_0"),
    "build_number": Fact("int", "build number", 0),
    "license": Fact("string", "licence as written; empty when absent", "BSD-3-Clause"),
    "license_family": Fact("string", "licence family as written", "BSD"),
    "license_families": Fact("list of string", "families that the licence was read as, see the licenses gate", ["bsd"]),
    "size_bytes": Fact("int", "size of the artifact; 0 when absent", 7_000_000),
    "timestamp_ms": Fact("int", "when it was built, ms since 1970 UTC; 0 when absent", 1_707_000_000_000),
    "indexed_ms": Fact("int", "since when this channel lists the artifact, ms since 1970 UTC", 1_707_000_000_000),
    "replaced_ms": Fact(
        "int", "when this channel last saw another file under its file name, ms since 1970 UTC; 0 when never", 0
    ),
    "noarch": Fact("string", "python, generic, or empty", ""),
    "purls": Fact("list of string", "package URLs on the record", ["pkg:pypi/numpy@1.26.4"]),
    "depends": Fact("list of string", "dependencies as written", ["python >=3.12"]),
    "signed": Fact("bool", "whether the record is signed", False),
}
CHANNEL_FACTS: dict[str, Fact] = {
    "name": Fact("string", "channel name", "main"),
    "is_mirror": Fact("bool", "whether it has an upstream", True),
    "upstream": Fact("string", "address of the upstream; empty when there is none", "https://example.org/main"),
}
FINDING_FACTS: dict[str, Fact] = {
    "ids": Fact("list of string", "all ids of the vulnerability, CVE first", ["CVE-2024-0001"]),
    "kind": Fact("string", "vulnerability, malware", "vulnerability"),
    "severity": Fact("string", "unknown, low, medium, high, critical, malware", "high"),
    "cvss": Fact("double", "0.0-10.0; -1.0 when unknown", 7.5),
    "epss": Fact("double", "0.0-1.0; -1.0 when unknown", 0.1),
    "kev": Fact("bool", "known to be exploited", False),
    "ransomware": Fact("bool", "known to be used by ransomware", False),
    "risk": Fact("double", "0.0-100.0", 12.5),
    "status": Fact("string", "active, reported, disputed, mitigated, cleared", "active"),
    "confidence": Fact("string", "exact, high, medium, low", "exact"),
    "fixed_versions": Fact("list of string", "versions that fix it", ["1.26.5"]),
    "published": Fact("string", "RFC 3339; empty when unknown", "2024-01-01T00:00:00Z"),
}
ROOTS: dict[str, dict[str, Fact]] = {"record": RECORD_FACTS, "channel": CHANNEL_FACTS}
FUNCTIONS = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "timestamp",
    "duration",
    "min",
    "max",
]
_LOOPS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_CONSTANTS = frozenset({"true", "false", "null", "in"})

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<text>[rRbB]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      | (?P<number>\d[\w.]*)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<sign>&&|\|\||[<>=!]=|.)""",
    re.VERBOSE | re.DOTALL,
)
_POSITION = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int


@dataclass(frozen=True)
class Expression:
    """A compiled expression and what it reads: record fields (sorted), and whether it reads findings."""

    text: str
    program: cel.Program
    record_fields: tuple[str, ...]
    reads_findings: bool

    def evaluate(self, given: Facts) -> Any:
        """The value of the expression. Does not catch what the library raises."""
        facts: dict[str, Any] = {"channel": channel_facts(given.channel)}
        if self.record_fields:
            facts["record"] = {field: _record_fact(given.record, field) for field in self.record_fields}
        if self.reads_findings:
            facts["findings"] = finding_facts(given.assessment)
        return self.program.execute(facts)


class ExpressionCheck(Check):
    """Records for which the expression is true. One that cannot be evaluated gets a warning, never silently a go."""

    result_reads = ("fn",)

    def __init__(self, rule: Rule, expression: Expression) -> None:
        super().__init__(rule)
        self._expression = expression
        fields = ("license" if f == "license_families" else f for f in expression.record_fields)
        findings = ("assessment",) if expression.reads_findings else ()
        self.reads = (*findings, *dict.fromkeys(fields))

    def evaluate(self, facts: Facts) -> RuleResult:
        record = facts.record
        try:
            answer = self.meter(self.rule.id, lambda: self._expression.evaluate(facts))
        except TooExpensiveError:
            raise
        except Exception as error:
            return self.undecided(record, _shorten(str(error)))
        if answer is False:
            return NOTHING
        if answer is not True:
            return self.undecided(record, f"it gives {kind_of(answer)}, not true or false")
        condition = _shorten(self._expression.text)
        message = f"{record.name} {record.version} meets the condition of rule {self.rule.id}: {condition}"
        return RuleResult((self.hit((f"{self.rule.id}+{record.fn}",), message),))


def channel_facts(channel: ChannelFacts) -> dict[str, Any]:
    """The channel as expressions see it."""
    return {"name": channel.name, "is_mirror": channel.is_mirror, "upstream": channel.upstream}


def finding_facts(assessment: Assessment | None) -> list[dict[str, Any]]:
    """The findings as expressions see them, the riskiest first."""
    found = assessment.findings if assessment else ()
    findings = sorted(found, key=lambda f: rank(Severity[f.severity], f.risk, f.published, kev=f.kev), reverse=True)
    return [_finding_fact(finding) for finding in findings[:FINDINGS_MAX]]


def _finding_fact(finding: Finding) -> dict[str, Any]:
    return {
        "ids": list(finding.ids),
        "kind": str(finding.kind),
        "severity": finding.severity,
        "cvss": -1.0 if finding.cvss is None else float(finding.cvss),
        "epss": -1.0 if finding.epss is None else float(finding.epss),
        "kev": finding.kev,
        "ransomware": finding.kev_ransomware,
        "risk": float(finding.risk),
        "status": str(finding.status),
        "confidence": str(finding.confidence),
        "fixed_versions": list(finding.fixed_versions),
        "published": finding.published,
    }


def _record_fact(record: RecordFacts, field: str) -> Any:
    if field == "license_families":
        return sorted({f for found in read_license(record.license).licenses for f in found.families})
    value = getattr(record, field)
    return list(value) if isinstance(value, tuple) else value


# --- reading and checking ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def compile_expression(text: str) -> Expression:
    """The expression that `text` writes.

    Raises:
        ParameterError: It does not parse, names what does not exist, mixes types, or is beyond the bounds.
    """
    import cel  # here, for most policies never need it

    if len(text) > CHARACTERS_MAX:
        raise ParameterError(
            f"the expression is longer than {CHARACTERS_MAX} characters", "split it into several rules"
        )

    try:
        program = cel.compile(text)
    except Exception as error:
        raise _syntax_error(str(error)) from None
    tokens = [_Token(m.lastgroup or "", m[0], m.start()) for m in _TOKEN.finditer(text) if m.lastgroup != "space"]
    fields = _check_names(text, tokens, _check_loops(text, tokens))
    _try_operands(text, tokens)
    return Expression(text, program, fields, any(t.text == "findings" and t.kind == "word" for t in tokens))


def _check_loops(text: str, tokens: list[_Token]) -> set[str]:
    """The names that loops bind.

    Raises:
        ParameterError: Too many loops: work grows with their product.
    """
    bound, loops = set(), 0
    for index, token in enumerate(tokens[:-2]):
        if token.text in _LOOPS and token.kind == "word" and tokens[index + 1].text == "(":
            loops += 1
            bound.add(tokens[index + 2].text)
            if loops > LOOPS_MAX:
                raise ParameterError(
                    f"more than {LOOPS_MAX} loops ({', '.join(sorted(_LOOPS))})",
                    "split it into several rules",
                    offset=_offset(text, token.start),
                )
    return bound


def _check_names(text: str, tokens: list[_Token], bound: set[str]) -> tuple[str, ...]:
    """The record's fields that the expression reads.

    Raises:
        ParameterError: A name, field or function does not exist.
    """
    fields: set[str] = set()
    for index, token in enumerate(tokens):
        if token.kind != "word" or token.text in _CONSTANTS:
            continue
        before = tokens[index - 1].text if index else ""
        called = index + 1 < len(tokens) and tokens[index + 1].text == "("
        if called:
            _require(text, token, token.text, FUNCTIONS, "function")
        elif before == ".":
            fields |= _check_field(text, tokens, index, bound)
        elif token.text == "record" and (index + 1 >= len(tokens) or tokens[index + 1].text != "."):
            fields |= set(RECORD_FACTS)
        elif token.text not in bound:
            _require(text, token, token.text, [*ROOTS, "findings", *bound], "fact")
    return tuple(sorted(fields))


def _check_field(text: str, tokens: list[_Token], index: int, bound: set[str]) -> set[str]:
    """Check the field after a dot; returns it when it is the record's."""
    token, owner = tokens[index], tokens[index - 2].text if index >= 2 else ""
    is_root = index < 3 or tokens[index - 3].text != "."
    if owner in ROOTS and is_root:
        _require(text, token, token.text, list(ROOTS[owner]), f"fact of {owner}")
        return {token.text} if owner == "record" else set()
    if owner in bound or owner == "]":
        _require(text, token, token.text, list(FINDING_FACTS), "fact of a finding")
        return set()
    raise ParameterError(f"{owner!r} has no {token.text!r}", offset=_offset(text, token.start))


def _require(text: str, token: _Token, word: str, words: list[str], what: str) -> None:
    if word not in words:
        raise ParameterError(f"unknown {what} {word!r}", nearest(word, words), offset=_offset(text, token.start))


def _try_operands(text: str, tokens: list[_Token]) -> None:
    """Evaluate each operand, the smallest first, then the whole, on sample facts: && and || hide a side's errors.

    Raises:
        ParameterError: One has a type error, or the whole does not give true or false.
    """
    import cel

    bound, unknown = _bound_samples(tokens)
    samples = {**_samples(), **bound}
    whole = (0, len(text))
    for start, end in sorted({*_operands(tokens, len(text)), whole}, key=lambda span: (span[1] - span[0], span)):
        if (start, end) != whole and any(t.text in unknown for t in tokens if start <= t.start < end):
            continue
        piece = text[start:end]
        try:
            answer = cel.compile(piece).execute(samples)
        except (TypeError, RuntimeError) as error:
            if not _is_certain(error):
                continue
            raise ParameterError(
                f"{_shorten(piece.strip())}: {_explain(str(error))}",
                "compare like with like: texts with texts, numbers with numbers"
                if isinstance(error, TypeError)
                else "",
                offset=_offset(text, start + len(piece) - len(piece.lstrip())),
            ) from None
        except Exception:  # noqa: S112 - a key, a division: depends on the values, so that judging has to say
            continue
        if (start, end) == whole and not isinstance(answer, bool):
            raise ParameterError(
                f"the expression gives {kind_of(answer)}, not true or false", "compare it with something"
            )


def _is_certain(error: Exception) -> bool:
    """Whether every record will raise this error: a wrong type or pattern, not a text that is no number."""
    return isinstance(error, TypeError) or str(error).startswith("Undefined") or "not a valid regex" in str(error)


def _explain(message: str) -> str:
    """The library's message about a failed call. Names were checked before, so only the arguments can be wrong."""
    undefined = re.match(r"Undefined variable or function: '(\w+)'", message)
    return f"{undefined[1]} does not take these values" if undefined else _shorten(message)


def _operands(tokens: list[_Token], length: int) -> Iterator[tuple[int, int]]:
    """The spans between logical signs, at every depth of brackets."""
    starts: list[int] = [0]
    for token in tokens:
        if token.kind != "sign":
            continue
        after = token.start + len(token.text)
        if token.text in ("(", "[", "{"):
            starts.append(after)
        elif token.text in ("&&", "||", "?", ":", ",", ")", "]", "}"):
            yield starts[-1], token.start
            if token.text in (")", "]", "}"):
                if len(starts) > 1:
                    starts.pop()
            else:
                starts[-1] = after
    yield starts[-1], length


def _samples() -> dict[str, Any]:
    record = _samples_of(RECORD_FACTS)
    channel = _samples_of(CHANNEL_FACTS)
    return {"record": record, "channel": channel, "findings": [_sample_finding()]}


def _sample_finding() -> dict[str, Any]:
    return _samples_of(FINDING_FACTS)


def _samples_of(facts: Mapping[str, Fact]) -> dict[str, Any]:
    return {name: fact.sample for name, fact in facts.items()}


def _bound_samples(tokens: list[_Token]) -> tuple[dict[str, Any], set[str]]:
    """A sample for each loop variable whose list is known, and the names of the others (nothing is tried on these)."""
    found: dict[str, Any] = {}
    unknown: set[str] = set()
    for index, token in enumerate(tokens[:-2]):
        if token.text not in _LOOPS or tokens[index + 1].text != "(":
            continue
        name, sample = tokens[index + 2].text, _sample_of_list(tokens, index - 2, found)
        if sample is None or found.get(name, sample) != sample:
            unknown.add(name)
        found[name] = sample
    return {name: sample for name, sample in found.items() if name not in unknown}, unknown


def _sample_of_list(tokens: list[_Token], end: int, bound: Mapping[str, Any]) -> Any:
    """A sample item of the list whose words end at `end`: findings, a filter over it, or a list among the facts."""
    if end < 0:
        return None
    if tokens[end].text == ")":
        depth = 0
        for index in range(end, 1, -1):
            depth += {")": 1, "(": -1}.get(tokens[index].text, 0)
            if depth == 0:
                return _sample_of_list(tokens, index - 3, bound) if tokens[index - 1].text == "filter" else None
        return None
    if tokens[end].text == "findings":
        return _sample_finding()
    if end >= 2 and tokens[end - 1].text == ".":
        owner = {"record": _samples()["record"]}.get(tokens[end - 2].text) or bound.get(tokens[end - 2].text)
        items = owner.get(tokens[end].text) if isinstance(owner, dict) else None
        return items[0] if isinstance(items, list) else None
    return None


def _offset(text: str, start: int) -> tuple[int, int]:
    """Line and column (1-based) of a place in a text."""
    before = text[:start]
    return before.count("\n") + 1, start - (before.rfind("\n") + 1) + 1


def _syntax_error(message: str) -> ParameterError:
    match = _POSITION.search(message)
    if not match:
        return ParameterError(f"not a CEL expression: {_shorten(message)}")
    what = re.sub(r"OtherError\(.*msg: \"([^\"]*)\".*", r"\1", match[3])
    what = what.partition(" expecting ")[0].replace("mismatched input '<EOF>'", "it ends too early")
    return ParameterError(
        f"not a CEL expression: {_shorten(what)}",
        "such as record.name.startsWith('internal-') && channel.is_mirror",
        offset=(int(match[1]), int(match[2])),
    )


def _shorten(text: str) -> str:
    flat = " ".join(text.split())
    for tail in (" CEL does not coerce", " Check that the variable"):
        flat = flat.partition(tail)[0]
    return flat if len(flat) <= 160 else flat[:157] + "…"


def _read_expression(value: Any) -> Expression:
    if not isinstance(value, str) or not value.strip():
        raise ParameterError(f"expected a CEL expression, found {kind_of(value)}", "put it in quotes")
    return compile_expression(value)


TRIGGERS = (
    Trigger(
        gate=GATE,
        name="cel",
        summary=(
            "Hits records for which a [CEL](https://cel.dev) expression is true. An expression that cannot be "
            "evaluated for a record warns about it and says why. All expressions of a policy together may take "
            "`ANTIVENOM_EXPRESSIONS_MAX_S` seconds of CPU; a policy beyond that is neither planned nor published. "
            "Setting one tries it on the channel first, or on parts of a large one, and refuses what is far beyond."
        ),
        trigger_id="`rule-id+filename`, such as `custom+internal-tools-1.0-0.conda`",
        parameters={"expr": Parameter(_read_expression, "CEL expression", "true for the records to hit")},
        compile=lambda rule, params: iter((ExpressionCheck(rule, params["expr"]),)),
    ),
)
