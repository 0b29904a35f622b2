"""Spellings of match specs that conda reads in another way than rattler, or refuses: here all of them are refused.

A spec that denies nothing while it looks right is worse than one that is refused. What is left means to conda 24.7 what
it means here (tests/core/conda/test_match_specs.py holds conda's own answers for 500 spellings).

Source: conda 24.7.1, MatchSpec's reading of a text and VersionSpec's of a version.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from antivenom.core.errors import InvalidInputError

_BRACKETS = re.compile(r"\[.*\]\s*$", re.DOTALL)
_NAME = re.compile(r"[^ =<>!~]+")
_OPERATOR = re.compile(r"[=<>!~]+")
_OPERATORS = ("", "=", "==", "!=", "<", "<=", ">", ">=", "~=")
_VERSION = re.compile(r"\*|(?:[0-9]+!)?[A-Za-z0-9_](?:[A-Za-z0-9_.+-]*[A-Za-z0-9_])?(?:\.?\*)?")
_KEYS = re.compile(r"(\w+)=('[^']*'|\"[^\"]*\"|[^,'\"\]]*)")
_BUILD = re.compile(r"[A-Za-z0-9_.+*-]+|\^[^\s]*\$?")
# conda's own split of what follows the name: the build comes after the last space or "=" that no operator is beside.
_VERSION_AND_BUILD = re.compile(r"(.+?[^><!,|]?)(?:(?<![=!|,<>~])[ =]([^-=,|<>~]+?))?$")
_RANGE_HINT = "write a range, such as >=1.2,<2, or a prefix, such as 1.2.*"


class Refusal(NamedTuple):
    """Why a spelling is refused, and what to write instead."""

    reason: str
    hint: str


def check_spelling(text: str) -> None:
    """Refuse a match spec that conda would read differently or not at all; others may still be no match specs.

    Args:
        text: Without spaces around it.

    Raises:
        InvalidInputError: It says which part, and what to write instead.
    """
    if refusal := _find_refusal(text):
        raise InvalidInputError(f"{text!r}: {refusal.reason}", hint=refusal.hint)


def _find_refusal(text: str) -> Refusal | None:
    if any(character.isspace() and character != " " for character in text):
        return Refusal("a match spec is written in one line, with spaces only", "put each spec on a line of its own")
    plain = text.partition("#")[0].rstrip()
    brackets = _BRACKETS.search(plain)
    inside = brackets[0].strip()[1:-1] if brackets else ""
    plain = plain[: brackets.start()].rstrip() if brackets else plain
    if re.search(r"\.(?:conda|tar\.bz2)$", plain):
        return Refusal("it ends like a file, which conda takes for a path", "write [fn='NAME-VERSION-BUILD.conda']")
    if "(" in plain or ")" in plain:
        return Refusal("parentheses are not read by conda", "write each alternative as a spec of its own")
    if " if " in plain:
        return Refusal("a condition (if) is not read by every conda", "leave it out")
    name = _NAME.match(plain)
    rest = plain[name.end() :] if name else plain
    return _check_brackets(inside) or (_check_version_and_build(rest) if rest.strip() else None)


def _check_brackets(inside: str) -> Refusal | None:
    if re.search(r"^\s|\w\s+=|=\s", re.sub(r"'[^']*'|\"[^\"]*\"", "''", inside)):
        return Refusal("spaces stand inside the brackets", "write [version='1.2',build='py_0']")
    for key, quoted in _KEYS.findall(inside):
        value = quoted.strip("'\"")
        if not value.strip():
            return Refusal(f"{key} is empty", f"leave {key} out, or write what it has to be")
        if key in ("license", "license_family") and "*" in value:
            return Refusal(f"{key} is compared whole here, without *", "use the gate licenses, or the whole text")
        if key == "version" and (refusal := _check_version(value, is_alone=False)):
            return refusal
        if key == "build" and not _BUILD.fullmatch(value):
            return Refusal(f"{value!r} is no build", "write a build, or a pattern with * such as py39*")
    return None


def _check_version_and_build(rest: str) -> Refusal | None:
    rest = rest.strip()
    if rest.endswith("=") and _OPERATOR.sub("", rest):
        return Refusal("it ends with =, without a build", "leave the last = out")
    if re.search(r"[^ =<>!~,|] +=|(?<=[^=<>!~])= |[,|] +=", rest):
        return Refusal(
            "spaces stand beside a =", "write NAME=VERSION=BUILD or NAME VERSION BUILD, and no space before ="
        )
    found = _VERSION_AND_BUILD.match(rest)
    version, build = found.groups() if found else (rest, None)
    if build is not None and not _BUILD.fullmatch(build.strip()):
        return Refusal(f"{build.strip()!r} is no build", "write NAME VERSION BUILD; versions are joined by , or |")
    words = re.sub(r"\s*([,|])\s*", r"\1", re.sub(r"([=<>!~])\s+", r"\1", version.strip())).split()
    if len(words) > 1:
        return Refusal(
            f"versions stand beside each other: {' '.join(words)!r}", "join them: , for and, | for or, such as >=1.2,<2"
        )
    return _check_version(version.strip(), is_alone=True)


def _check_version(version: str, *, is_alone: bool) -> Refusal | None:
    """The first atom that conda reads by another rule; `is_alone` is a version outside of brackets."""
    atoms = [atom.strip() for atom in re.split(r"[,|]", version)]
    found = (_check_atom(atom, is_alone=is_alone and len(atoms) == 1) for atom in atoms)
    return next((refusal for refusal in found if refusal), None)


def _check_atom(atom: str, *, is_alone: bool) -> Refusal | None:
    sign = _OPERATOR.match(atom)
    operator = sign[0] if sign else ""
    body = atom[len(operator) :].strip()
    if body.startswith("^"):
        return None  # a regular expression, which rattler refuses in a version
    if operator not in _OPERATORS:
        return Refusal(f"{operator!r} compares nothing", _RANGE_HINT)
    if body.endswith("$"):
        return Refusal(f"{body!r} is neither a version nor a regular expression", _RANGE_HINT)
    if "*" in body.rstrip("*").removesuffix(".") or "*." in body:
        return Refusal(f"the * in {body!r} does not stand at the end", _RANGE_HINT)
    if not _VERSION.fullmatch(body):
        return Refusal(f"{atom!r} is no version", _RANGE_HINT)
    if operator == "~=" and ("*" in body or "." not in body):
        return Refusal(f"~= needs a version of two numbers or more, not {body!r}", _RANGE_HINT)
    if not operator or "*" not in body:
        return None
    prefix = body.rstrip("*").removesuffix(".")
    is_prefix = body == f"{prefix}.*"
    if operator in ("<", "<=", ">", ">=") and not (is_prefix and operator in (">=", "<")):
        return Refusal(f"{atom!r} compares with a pattern", f"write {operator}{prefix or 'VERSION'}")
    if operator == "!=" and not is_prefix:
        return Refusal(f"conda ignores {atom!r}", f"write !={prefix or 'VERSION'}.*")
    if operator in ("=", "==") and not is_prefix and not (operator == "=" and is_alone):
        return Refusal(
            f"conda takes the * in {atom!r} for a part of the version", f"write {prefix + '.*' if prefix else '*'}"
        )
    return None
