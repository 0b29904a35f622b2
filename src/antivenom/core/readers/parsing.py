"""Bytes of files that tools write, parsed with bounds and told by file, line and reason when they are wrong."""

from __future__ import annotations

import re
import tomllib
from typing import Any, TypeVar, cast

import msgspec
import yaml

from antivenom.core.errors import InvalidInputError

FILE_MAX_BYTES = 256 << 20
DEPTH_MAX = 200
REASON_MAX_CHARACTERS = 300
VALUES_MAX = 5_000_000
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_TOML_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
_ANCHOR = re.compile(r"(?m)(?:^|[\s,\[{])&\w")
_BRACKET = re.compile(r"[\[\]{}]")
_INDENT = re.compile(r"(?m)^[ -]{40,}")
T = TypeVar("T")


def refuse(name: str, reason: str, *, line: int = 0, hint: str = "") -> InvalidInputError:
    """The error of a file that cannot be read, with the place."""
    place = f"{name}, line {line}" if line else name
    short = reason if len(reason) <= REASON_MAX_CHARACTERS else reason[:REASON_MAX_CHARACTERS] + "…"
    return InvalidInputError(f"{place}: {short}", hint=hint, **({"line": line} if line else {}))


def unknown_version(name: str, version: str, known: tuple[str, ...]) -> InvalidInputError:
    """The error of a file in a form that a later release of its tool wrote."""
    hint = "use a newer Antivenom, or write the file with an older release of its tool"
    stated = f"known {'is' if len(known) == 1 else 'are'} {', '.join(known)}"
    return refuse(name, f"it is of version {version[:20]!r}; {stated}", hint=hint)


def first_character(data: bytes, name: str) -> str:
    """The first character of a file that is no space; "" of an empty one.

    Raises:
        InvalidInputError: It is no text.
    """
    return decode_text(data, name)[:10_000].lstrip()[:1]


def decode_text(data: bytes, name: str) -> str:
    """The text of a file: UTF-8, with or without a byte order mark, or what PowerShell's `>` writes (UTF-16).

    Raises:
        InvalidInputError: It is neither, or longer than a file may be.
    """
    if len(data) > FILE_MAX_BYTES:
        raise refuse(name, f"it has {len(data):,} bytes; files of up to {FILE_MAX_BYTES:,} are read")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refuse(name, "it is not UTF-8", line=line) from None


def parse_yaml(data: bytes, name: str, shape: type[T]) -> T:
    """A YAML document of a shape. All scalars are texts: a version `1.10` is no number.

    Raises:
        InvalidInputError: It is no YAML, too deep, or of another shape.
    """
    text = decode_text(data, name)
    try:
        _check_nesting(text, name)
        found = yaml.load(text, Loader=_Loader)  # noqa: S506  # the base loader makes nothing but texts, lists and maps
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise refuse(name, f"it is no YAML: {error.problem or error.context}", line=line) from None
    except (yaml.YAMLError, ValueError) as error:
        raise refuse(name, f"it is no YAML: {str(error).splitlines()[0]}") from None
    return _convert(found, shape, name, text)


def _check_nesting(text: str, name: str) -> None:
    """Refuse nesting and references that no tool writes before anything is built of them."""
    if _ANCHOR.search(text) is None and _deepest(text) < DEPTH_MAX:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            raise refuse(
                name,
                "it is deeper nested than any tool writes it",
                line=event.start_mark.line + 1 if event.start_mark else 0,
            )
    if _count_values(yaml.compose(text, Loader=_Loader)) > VALUES_MAX:
        raise refuse(name, "its references (& and *) stand for more values than any tool writes")


def _deepest(text: str) -> int:
    """At least how deep a document is nested, by its brackets and its indentation."""
    depth = deepest = 0
    for found in _BRACKET.finditer(text):
        depth = depth + 1 if found[0] in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return max(deepest, max((len(found[0]) for found in _INDENT.finditer(text)), default=0))


def _count_values(root: yaml.Node | None) -> float:
    """How many values a document has once every reference is followed; infinitely many when one leads to itself."""
    counts: dict[int, float] = {}
    todo = [root] if root is not None else []
    while todo:
        node = todo[-1]
        children = [child for pair in node.value for child in pair] if isinstance(node, yaml.MappingNode) else (
            node.value if isinstance(node, yaml.SequenceNode) else []
        )  # fmt: skip
        missing = [child for child in children if id(child) not in counts]
        if any(child is open_one for child in missing for open_one in todo):
            return float("inf")
        if missing:
            todo += missing[:1]
        else:
            counts[id(node)] = 1 + sum(counts[id(child)] for child in children)
            todo.pop()
    return counts[id(root)] if root is not None else 0


def parse_json(data: bytes, name: str, shape: type[T]) -> T:
    """A JSON document of a shape.

    Raises:
        InvalidInputError: It is no JSON, too deep, or of another shape.
    """
    text = decode_text(data, name)
    try:
        return msgspec.json.decode(text, type=shape, strict=False)
    except msgspec.ValidationError as error:
        raise refuse(name, _reason(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        found = re.search(r"byte (\d+)", str(error))
        line = text.encode().count(b"\n", 0, int(found[1])) + 1 if found else 0
        raise refuse(name, f"it is no JSON: {str(error)[:200]}", line=line) from None


def parse_toml(data: bytes, name: str, shape: type[T]) -> T:
    """A TOML document of a shape.

    Raises:
        InvalidInputError: It is no TOML, too deep, or of another shape.
    """
    text = decode_text(data, name)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        reason = _TOML_PLACE.sub("", str(error)).strip()
        raise refuse(name, f"it is no TOML: {reason}", line=int(place[1]) if place else 0) from None
    except (RecursionError, ValueError) as error:
        raise refuse(name, f"it is no TOML that can be read: {str(error)[:200]}") from None
    return _convert(found, shape, name, "")


def _convert(value: Any, shape: type[T], name: str, text: str) -> T:
    try:
        return msgspec.convert(value, shape, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise refuse(name, _reason(error), line=_find_line(text, str(error))) from None


def _reason(error: Exception) -> str:
    reason, _, path = str(error).partition(" - at `")
    field = path.rstrip("`").removeprefix("$").lstrip(".")
    return f"{field}: {reason[:1].lower()}{reason[1:]}" if field else reason[:200]


def _find_line(text: str, told: str) -> int:
    """The line of the value at the path that msgspec tells (`$.package[3].name`); 0 when there is no text for it."""
    path = told.partition(" - at `")[2].rstrip("`")
    if not text or not path:
        return 0
    node = yaml.compose(text, Loader=_Loader)
    for key, index in _STEP.findall(path):
        if isinstance(node, yaml.SequenceNode) and index:
            children = cast("list[yaml.Node]", node.value)
            found = children[int(index)] if int(index) < len(children) else None
        elif isinstance(node, yaml.MappingNode) and key:
            found = next((value for name, value in node.value if name.value == key), None)
        else:
            break
        if found is None:
            break
        node = found
    return int(node.start_mark.line) + 1 if node is not None else 0
