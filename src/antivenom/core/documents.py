"""Documents that people write (YAML or JSON), read with the line and column of every value.

Bounds: 1 MiB, 24 levels, 100,000 values, no aliases, no tags. Times stay texts; the caller parses them.

Source: YAML 1.1 as PyYAML reads it; JSON is read as the YAML it (nearly) is.
"""

from __future__ import annotations

import math
import re
from typing import Any, cast

import msgspec
import yaml

from antivenom.core.errors import InvalidInputError

BYTES_MAX = 1 << 20
DEPTH_MAX = 24
NODES_MAX = 100_000

Path = tuple[str | int, ...]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_PAIR = re.compile(r"((?<!\\)(?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)
_PREFIX = "tag:yaml.org,2002:"


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a document. `line` and `column` count from 1; `field` is like rules[2].gate."""

    line: int
    column: int
    field: str
    message: str
    hint: str = ""


class Document:
    """A document's value, the place of each of its parts, and what is wrong with it so far."""

    def __init__(self, text: str = "") -> None:
        self.value: Any = None
        self._lines = text.splitlines()
        self.problems: list[Problem] = []
        self._values: dict[Path, tuple[int, int]] = {}
        self._keys: dict[Path, tuple[int, int]] = {}
        self._styles: dict[Path, str] = {}  # of scalars that are not plain: ' " | >

    def report(
        self,
        path: Path,
        message: str,
        hint: str = "",
        *,
        at_key: bool = False,
        offset: tuple[int, int] | None = None,
    ) -> None:
        """Note a problem at a value (or its key); `offset` is a 1-based line and column inside a text value."""
        places = self._keys if at_key and path in self._keys else self._values
        line, column = places.get(path) or self._values.get(path[:-1]) or (1, 1)
        if offset and self._styles.get(path) in ("|", ">"):
            line += offset[0]  # a block's text begins below its mark, indented as its first line is
            first = self._lines[line - offset[0]] if line - offset[0] < len(self._lines) else ""
            column = offset[1] + len(first) - len(first.lstrip(" "))
        elif offset:
            column += offset[1] - 1 + (1 if self._styles.get(path) else 0)
        self.problems.append(Problem(line, column, field_name(path), message, hint))

    def report_character(self, text: str, position: int) -> None:
        """Note a character at `position` that no text may hold."""
        before = text[:position]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        message = (
            f"a character that no text may hold (U+{ord(text[position]):04X})" if position < len(text) else "not text"
        )
        self.problems.append(Problem(line, column, "", message, "save the file as UTF-8"))

    def note_place(self, path: Path, node: yaml.Node) -> None:
        self._values[path] = _position(node.start_mark)
        if isinstance(node, yaml.ScalarNode) and node.style:
            self._styles[path] = node.style

    def note_key_place(self, path: Path, node: yaml.Node) -> None:
        self._keys[path] = _position(node.start_mark)

    def raise_problems(self, subject: str) -> None:
        """Raise one error for all problems, in order of place; does nothing when there are none.

        Raises:
            InvalidInputError: There are any.
        """
        if not self.problems:
            return
        problems = sorted(self.problems, key=lambda p: (p.line, p.column))
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InvalidInputError(
            f"{subject}, line {first.line}, column {first.column}: {first.message}{more}",
            hint=first.hint,
            line=first.line,
            column=first.column,
            field=first.field,
            problems=[msgspec.to_builtins(p) for p in problems],
        )


def field_name(path: Path) -> str:
    """A path as people read it: rules[2].params.severity."""
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name


def read_document(text: str, subject: str = "document") -> Document:
    """Read a YAML or JSON text. Reports what does not keep it from being read, such as repeated keys.

    Raises:
        InvalidInputError: Not YAML, or beyond the bounds.
    """
    document = Document(text)
    if len(text) > BYTES_MAX or len(text.encode("utf-8", "surrogatepass")) > BYTES_MAX:
        document.report((), f"the {subject} is larger than {BYTES_MAX >> 20} MiB")
        document.raise_problems(subject)
    lone = _LONE_SURROGATE.search(text)
    if lone:
        document.report_character(text, lone.start())
        document.raise_problems(subject)
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        # JSON may be indented with tabs, which YAML refuses; a JSON text never holds a raw tab, so places stay true.
        # JSON escapes what lies beyond the first plane as two halves, which YAML refuses too (columns after it shift).
        text = _ESCAPED_PAIR.sub(lambda pair: pair[1] + chr(_code_point(pair[2], pair[3])), text.replace("\t", " "))
    try:
        _check_bounds(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        _report_syntax(document, error)
    except yaml.reader.ReaderError as error:
        document.report_character(text, error.position)
    document.raise_problems(subject)
    if node is not None:
        document.value = _build(document, (), node)
    return document


def _code_point(high: str, low: str) -> int:
    """The character that a surrogate pair (two hexadecimal numbers) stands for."""
    return 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00


def _check_bounds(text: str) -> None:
    """Check depth and size over events: composing recurses, events do not."""
    depth = 0
    for nodes, event in enumerate(yaml.parse(text, Loader=_Loader), 1):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                None, None, "aliases (*name) are not read: write the value out", cast(Any, event.start_mark)
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX or nodes > NODES_MAX:
            limit = f"{DEPTH_MAX} levels deep" if depth > DEPTH_MAX else f"{NODES_MAX} values"
            raise yaml.MarkedYAMLError(None, None, f"more than {limit}", cast(Any, event.start_mark))


def _report_syntax(document: Document, error: yaml.MarkedYAMLError) -> None:
    mark = error.problem_mark or error.context_mark
    line, column = _position(mark) if mark else (1, 1)
    context = f" ({error.context})" if error.context else ""
    message = f"not valid YAML or JSON: {error.problem or 'cannot be read'}{context}"
    document.problems.append(Problem(line, column, "", message, "check the indentation, quotes and brackets"))


def _position(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _build(document: Document, path: Path, node: yaml.Node) -> Any:
    document.note_place(path, node)
    if isinstance(node, yaml.SequenceNode):
        return [_build(document, (*path, index), item) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(document, path, node)
    return _build_scalar(document, path, cast(yaml.ScalarNode, node))


def _build_mapping(document: Document, path: Path, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            document.note_key_place((*path, "?"), key_node)
            document.report((*path, "?"), "a key must be a word", at_key=True)
            continue
        here = (*path, key)
        if key in found:
            document.note_key_place(here, key_node)
            document.report(here, f"{key!r} is given twice", "remove one of them", at_key=True)
            continue
        document.note_key_place(here, key_node)
        found[key] = _build(document, here, value_node)
    return found


def _build_scalar(document: Document, path: Path, node: yaml.ScalarNode) -> Any:
    text: str = node.value
    match node.tag.removeprefix(_PREFIX):
        case "null":
            return None
        case "bool":
            return text.lower() in ("true", "yes", "on")
        case "int" | "float":
            return _number(text)
        case "str" | "timestamp" | "value" | "merge":
            return text
    document.report(path, f"the tag {node.tag!r} is not read", "write a plain value")
    return text


def _number(text: str) -> int | float | str:
    """A decimal number; what YAML 1.1 reads as one besides (octal, sexagesimal, underscores) stays a text."""
    try:
        number = float(text)
        return text if "_" in text else int(text) if text.lstrip("+-").isdigit() else number
    except ValueError:
        return math.inf if text.lower().endswith(".inf") else math.nan if text.lower().endswith(".nan") else text
