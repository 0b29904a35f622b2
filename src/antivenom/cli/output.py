"""What commands print: rows for people or JSON for scripts. JSON goes to stdout alone, all else to stderr."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

Row = Mapping[str, Any]
WIDTHS_FROM_ROWS = 200  # a table's columns are as wide as its first rows need; the rest streams


class Output(StrEnum):
    table = "table"
    json = "json"


def note(text: str, *, to_stdout: bool = False) -> None:
    """Print a line for people: to stderr, or to stdout when it is the command's result."""
    print(_printable(text), file=sys.stdout if to_stdout else sys.stderr)


def print_file(text: str) -> None:
    """Print what may be saved as a file: its tabs stay."""
    print("\t".join(map(_printable, text.rstrip("\n").split("\t"))))


def emit(rows: Row | Iterable[Row], columns: Sequence[str] | None, output: Output) -> None:
    """Print one thing (a mapping) or a listing (an iterable, printed as it arrives).

    JSON holds every field; a table holds `columns`, or every field when there are none.
    """
    if output is Output.json:
        _emit_json(rows)
    elif isinstance(rows, Mapping):
        _emit_facts(rows)
    else:
        _emit_table(rows, columns)
    sys.stdout.flush()


def risk_text(finding: Row) -> str:
    """The risk of a finding; "~" before it where no EPSS is known, so that the mean of its severity counts."""
    return f"{'~' if finding.get('risk_estimated') else ''}{finding['risk']:g}"


def _emit_json(rows: Row | Iterable[Row]) -> None:
    if isinstance(rows, Mapping):
        print(json.dumps(rows, indent=2, ensure_ascii=False, default=str))
        return
    print("[", end="")
    for index, row in enumerate(rows):
        print(("," if index else "") + "\n  " + json.dumps(row, ensure_ascii=False, default=str), end="")
    print("\n]")


def _emit_facts(row: Row) -> None:
    """Print one fact a line. Members of a mapping (such as counts) get lines of their own unless the row has them."""
    facts: dict[str, Any] = {}
    for name, value in row.items():
        inner = value.items() if isinstance(value, Mapping) and value else [(name, value)]
        facts.update((part, found) for part, found in inner if part not in facts)
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        print(f"{_style(_label(name).ljust(width), '2')}  {_cell(_with_unit(name, value))}")


def _label(name: str) -> str:
    """What people call a field of the API; its unit stands beside the value."""
    return name.removesuffix("_s").removesuffix("_bytes").replace("_", " ")


def _with_unit(name: str, value: Any) -> Any:
    """A number of seconds or bytes as people say it; other values as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
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


def _emit_table(rows: Iterable[Row], columns: Sequence[str] | None) -> None:
    iterator = iter(rows)
    head = list(itertools.islice(iterator, WIDTHS_FROM_ROWS))
    if not head:
        note("nothing to list")
        return
    names = list(columns or head[0])
    cells = [[_cell(_with_unit(name, row.get(name))) for name in names] for row in head]
    labels = [_label(name) for name in names]
    widths = [max(len(label), *(len(line[i]) for line in cells)) for i, label in enumerate(labels)]
    if sys.stdout.isatty():
        widths = _fit(widths)
    print(_style(_line(labels, widths), "1"))
    for line in cells:
        print(_line(line, widths))
    for row in iterator:
        print(_line([_cell(_with_unit(name, row.get(name))) for name in names], widths))


def _fit(widths: list[int]) -> list[int]:
    """The widths cut down, the widest first, until a line fits the terminal."""
    import shutil

    room = shutil.get_terminal_size().columns
    while sum(widths) + 2 * (len(widths) - 1) > room and max(widths) > 12:
        widest = widths.index(max(widths))
        widths[widest] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    fitted = []
    for text, width in zip(cells, widths, strict=True):
        too_long = sys.stdout.isatty() and len(text) > width
        fitted.append((text[: width - 1] + "…") if too_long else text.ljust(width))
    return "  ".join(fitted).rstrip()


def _cell(value: Any) -> str:
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
        return ", ".join(f"{name} {_cell(item)}" for name, item in ordered) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    return _printable(_local_time(str(value)))


def _by_severity(item: tuple[str, Any]) -> int:
    """Counts by severity are listed the worst first; other names keep their order."""
    from antivenom.core.matching.advisories import Severity

    return -Severity[item[0]] if item[0] in Severity.__members__ else 0


def _local_time(text: str) -> str:
    """A time as the API writes it, shortened to the minute in the zone of the terminal; other texts as they are."""
    if len(text) < 19 or text[4] != "-" or text[10] != "T":
        return text
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone().strftime("%Y-%m-%d %H:%M")


def count_of(count: int, plural: str) -> str:
    """ "1 record", "2 records", "1 policy", "3 policies"."""
    singular = plural.removesuffix("ies") + "y" if plural.endswith("ies") else plural.removesuffix("s")
    return f"{count:,} {singular if count == 1 else plural}"


def size_of(size_bytes: float) -> str:
    """ "512 B", "1.5 MB", "2.0 GB"; units of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def _printable(text: str) -> str:
    """The text without control characters: the name of a package must not control the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _style(text: str, code: str) -> str:
    import os

    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


ShowProgress = Callable[[Mapping[str, Any]], None]


@contextlib.contextmanager
def progress(title: str) -> Iterator[ShowProgress]:
    """Show a line that is rewritten while waiting; without a terminal, one line for each phase.

    The yielded function takes `{"phase", "done", "total"}`; a total of 0 is unknown.
    """
    last = ""
    is_terminal = sys.stderr.isatty()

    def show(state: Mapping[str, Any]) -> None:
        nonlocal last
        phase = _printable(str(state.get("phase") or "working"))
        if not is_terminal:
            if phase != last:
                print(f"{title}: {phase}", file=sys.stderr, flush=True)
                last = phase
            return
        done, total = int(state.get("done") or 0), int(state.get("total") or 0)
        share = f" {100 * done // total:3d} %" if total else ""
        counts = f" {done:,} of {total:,}" if total else (f" {done:,}" if done else "")
        line = f"{title}: {phase}{counts}{share}"
        print(f"\r{line.ljust(len(last))}", end="", file=sys.stderr, flush=True)
        last = line

    try:
        yield show
    finally:
        if is_terminal and last:
            print("\r" + " " * len(last) + "\r", end="", file=sys.stderr, flush=True)
