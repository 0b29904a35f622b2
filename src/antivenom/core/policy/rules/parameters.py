"""Parameters of rules: how each kind is read, and the error when it cannot be.

A kind is a function from the plain value in the document to the typed one; it raises ParameterError when it cannot.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Any

from antivenom.core.matching.advisories import Severity

TEXTS_MAX = 5000
TEXT_CHARACTERS_MAX = 500
LISTED_MAX = 30


class ParameterError(Exception):
    """A value is not one that the parameter takes.

    `index`: the item of a list that is wrong; `offset`: 1-based (line, column) in a text.
    """

    def __init__(
        self, message: str, hint: str = "", *, index: int | None = None, offset: tuple[int, int] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.index = index
        self.offset = offset


@dataclass(frozen=True)
class Parameter:
    """One parameter: how it is read, the name of its kind and what it means (both shown in the reference)."""

    read: Callable[[Any], Any]
    kind: str
    meaning: str


def nearest(word: str, words: Collection[str]) -> str:
    """A hint with the nearest valid word; with all of them when none is near, "" when they are too many to list."""
    near = difflib.get_close_matches(word.casefold(), {w.casefold(): w for w in words}, n=1, cutoff=0.6)
    if near:
        found = next(w for w in sorted(words) if w.casefold() == near[0])
        return f"did you mean {found!r}?"
    listed = sorted(set(words))
    return f"one of: {', '.join(listed)}" if len(listed) <= LISTED_MAX else ""


def kind_of(value: Any) -> str:
    """The kind of a plain value, in words for people."""
    if value is None:
        return "nothing"
    for kind, name in ((bool, "true/false"), (int, "a number"), (float, "a number"), (str, "a text"), (list, "a list")):
        if isinstance(value, kind):
            return name
    return "a mapping"


def read_boolean(value: Any) -> bool:
    """True or false, as YAML or JSON writes it.

    Raises:
        ParameterError: Anything else.
    """
    if not isinstance(value, bool):
        raise ParameterError(f"expected true or false, found {kind_of(value)}", "write true or false, without quotes")
    return value


def read_number(value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ParameterError(f"expected a number, found {kind_of(value)}", "write a number, without quotes")
    if not math.isfinite(value):
        raise ParameterError(f"{value} is not a number to compare with", "write a finite number")
    return float(value)


def read_amount(value: Any) -> float:
    """A number from 0 up."""
    number = read_number(value)
    if not 0 <= number <= 1e9:
        raise ParameterError(f"{number:g} is out of range", "a number from 0 to 1000000000")
    return number


def read_text(value: Any) -> str:
    """A text that is neither empty nor too long.

    Raises:
        ParameterError: Anything else.
    """
    if not isinstance(value, str) or not value.strip():
        raise ParameterError(f"expected a text, found {kind_of(value)}", "put it in quotes")
    if len(value) > TEXT_CHARACTERS_MAX:
        raise ParameterError(f"the text is longer than {TEXT_CHARACTERS_MAX} characters")
    return value.strip()


def list_of(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """A reader of lists with at least one item; one item may stand alone."""

    def read_list(value: Any) -> tuple[Any, ...]:
        items = value if isinstance(value, list) else [value]
        if not items:
            raise ParameterError("the list is empty", "name at least one")
        if len(items) > TEXTS_MAX:
            raise ParameterError(f"the list has more than {TEXTS_MAX} items")
        found = []
        for index, item in enumerate(items):
            try:
                found.append(read(item))
            except ParameterError as error:
                at = index if isinstance(value, list) else None
                raise ParameterError(error.message, error.hint, index=at, offset=error.offset) from None
        return tuple(found)

    return read_list


def star_pattern(text: str) -> re.Pattern[str]:
    """The pattern of a text in which `*` stands for any text, and everything else for itself.

    Its matching takes time in proportion to both texts, however many stars there are: "*" as ".*" would try every way
    to share a text among them.
    """
    return re.compile(translate(re.sub(r"([?\[])", r"[\1]", text)))


def word_of(words: Sequence[str], what: str) -> Callable[[Any], str]:
    """A reader of one of some words; case does not matter."""
    known = {w.casefold(): w for w in words}

    def read_word(value: Any) -> str:
        text = read_text(value)
        if text.casefold() not in known:
            raise ParameterError(f"unknown {what} {text!r}", nearest(text, words))
        return known[text.casefold()]

    return read_word


# --- comparisons ------------------------------------------------------------------------------------------------------

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_COMPARISON = re.compile(r"([^\w\s.+-]*+)\s*+(.*)", re.DOTALL)


@dataclass(frozen=True)
class Comparison:
    """An operator and a bound. An unknown value (None) never holds."""

    sign: str
    bound: Any

    def holds(self, value: Any) -> bool:
        return value is not None and OPERATORS[self.sign](value, self.bound)


def _split_comparison(value: Any, example: str) -> tuple[str, str]:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ParameterError(f"expected a comparison, found {kind_of(value)}", f"such as {example}")
    match = _COMPARISON.fullmatch(str(value).strip())
    sign, bound = match.groups() if match else ("", str(value))
    if sign and sign not in OPERATORS:
        raise ParameterError(f"unknown comparison {sign!r}", operator_hint(sign))
    if not bound:
        raise ParameterError(f"the comparison {str(value)!r} has no value to compare with", f"such as {example}")
    return sign or "==", bound


def operator_hint(sign: str) -> str:
    """A hint for a comparison sign that is not known here."""
    meant = {"=>": ">=", "=<": "<=", "≥": ">=", "≤": "<=", "≠": "!=", "<>": "!=", "=!": "!=", "===": "==", "!": "!="}
    if sign in meant:
        return f"did you mean {meant[sign]!r}?"
    return "one of: >= <= == != > <"


def compare_number(low: float, high: float) -> Callable[[Any], Comparison]:
    """A reader of comparisons such as ">= 7.0"; a bare number is equality."""
    example = f'">= {high * 0.7:g}"'

    def read_comparison(value: Any) -> Comparison:
        sign, bound = _split_comparison(value, example)
        try:
            number = float(bound)
        except ValueError:
            raise ParameterError(f"{bound!r} is not a number", f"such as {example}") from None
        if not low <= number <= high:
            raise ParameterError(f"{bound} is outside {low:g}..{high:g}", f"such as {example}")
        return Comparison(sign, number)

    return read_comparison


def read_severity(value: Any) -> Callable[[Severity], bool]:
    """A comparison such as ">= high", one word, or a list of words."""
    if isinstance(value, list):
        words: tuple[str, ...] = list_of(word_of([s.name for s in Severity], "severity"))(value)
        wanted = frozenset(Severity[w] for w in words)
        return wanted.__contains__
    sign, bound = _split_comparison(value, '">= high"')
    if bound.casefold() not in Severity.__members__:
        raise ParameterError(f"unknown severity {bound!r}", nearest(bound, list(Severity.__members__)))
    return Comparison(sign, Severity[bound.casefold()]).holds
