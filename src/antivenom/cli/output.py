"""What commands print: rows for people or JSON for scripts. JSON goes to stdout alone, all else to stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from antivenom_client import report
from antivenom_client.terminal import cell, count_of, label_of, note, print_table, printable, size_of, style, with_unit

__all__ = ["Output", "Row", "count_of", "emit", "note", "print_file", "progress", "risk_text", "size_of"]

Row = Mapping[str, Any]


class Output(StrEnum):
    table = "table"
    json = "json"


def print_file(text: str) -> None:
    """Print what may be saved as a file: its tabs stay."""
    print("\t".join(map(printable, text.rstrip("\n").split("\t"))))


def emit(rows: Row | Iterable[Row], columns: Sequence[str] | None, output: Output) -> None:
    """Print one thing (a mapping) or a listing (an iterable, printed as it arrives).

    JSON holds every field; a table holds `columns`, or every field when there are none.
    """
    if output is Output.json:
        _emit_json(rows)
    elif isinstance(rows, Mapping):
        _emit_facts(rows)
    else:
        print_table(rows, columns)
    sys.stdout.flush()


def risk_text(finding: Row) -> str:
    """The risk of a finding as the API has it."""
    return report.risk_text(finding["risk"], is_estimated=bool(finding.get("risk_estimated")))


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
        print(f"{style(label_of(name).ljust(width), '2')}  {cell(with_unit(name, value))}")


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
        phase = printable(str(state.get("phase") or "working"))
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
