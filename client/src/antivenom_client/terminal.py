"""Lines and tables for people: control characters hidden, as wide as a terminal allows."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from antivenom_client.assessing import SEVERITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WIDTHS_FROM_ROWS = 200  # a table's columns are as wide as its first rows need; the rest streams


def note(text: str, *, to_stdout: bool = False) -> None:
    """Print a line for people: to stderr, or to stdout when it is the command's result."""
    print(printable(text), file=sys.stdout if to_stdout else sys.stderr)


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Print a table of `columns`, or of every field of the first row; it streams."""
    iterator = iter(rows)
    head = list(itertools.islice(iterator, WIDTHS_FROM_ROWS))
    if not head:
        note("nothing to list")
        return
    names = list(columns or head[0])
    cells = [[cell(with_unit(name, row.get(name))) for name in names] for row in head]
    labels = [label_of(name) for name in names]
    widths = [max(len(label), *(len(line[i]) for line in cells)) for i, label in enumerate(labels)]
    is_terminal = sys.stdout.isatty()
    if is_terminal:
        widths = _fit(widths)
    print(style(_line(labels, widths, is_terminal), "1"))
    for line in cells:
        print(_line(line, widths, is_terminal))
    for row in iterator:
        print(_line([cell(with_unit(name, row.get(name))) for name in names], widths, is_terminal))


def _fit(widths: list[int]) -> list[int]:
    """The widths cut down, the widest first, until a line fits the terminal."""
    import shutil

    room = shutil.get_terminal_size().columns
    while sum(widths) + 2 * (len(widths) - 1) > room and max(widths) > 12:
        widest = widths.index(max(widths))
        widths[widest] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int], is_terminal: bool) -> str:
    fitted = []
    for text, width in zip(cells, widths):  # noqa: B905  # Python 3.9 has no `strict`, and both have one length
        too_long = is_terminal and len(text) > width
        fitted.append((text[: width - 1] + "…") if too_long else text.ljust(width))
    return "  ".join(fitted).rstrip()


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        ordered = sorted(value.items(), key=_by_severity)
        return ", ".join(f"{name} {cell(item)}" for name, item in ordered) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(item) for item in value)
    return printable(_local_time(str(value)))


def _by_severity(item: tuple[str, Any]) -> int:
    """Counts by severity are listed the worst first; other names keep their order."""
    return -SEVERITIES.index(item[0]) if item[0] in SEVERITIES else 0


def label_of(name: str) -> str:
    """What people call a field of the API; its unit stands beside the value."""
    return name.removesuffix("_s").removesuffix("_bytes").replace("_", " ")


def with_unit(name: str, value: Any) -> Any:
    """A number of seconds or bytes as people say it; other values as they are."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    if name.endswith("_s"):
        return duration_of(value)
    return size_of(int(value)) if name.endswith("_bytes") else value


def duration_of(seconds: float) -> str:
    """ "90s", "30m", "1h", "7d": in the largest unit that needs no fraction."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{seconds:g}s"


def size_of(size_bytes: float) -> str:
    """ "512 B", "1.5 MB", "2.0 GB"; units of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def _local_time(text: str) -> str:
    """A time as the API writes it, shortened to the minute in the zone of the terminal; other texts as they are."""
    if len(text) < 19 or text[4] != "-" or text[10] != "T":
        return text
    from datetime import datetime, timezone

    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return text
    return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).astimezone().strftime("%Y-%m-%d %H:%M")


def count_of(count: int, plural: str) -> str:
    """ "1 record", "2 records", "1 policy", "3 policies"."""
    singular = plural.removesuffix("ies") + "y" if plural.endswith("ies") else plural.removesuffix("s")
    return f"{count:,} {singular if count == 1 else plural}"


def printable(text: str) -> str:
    """The text without control characters: the name of a package must not control the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def style(text: str, code: str) -> str:
    """The text in a style of a terminal; as it is where stdout is none, or nobody wants colours."""
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
