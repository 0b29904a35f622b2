"""`antivenom match --explain`: the whole way to a component's findings, as text for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator

from antivenom.cli.client import JsonObject
from antivenom.cli.output import count_of

SHOWN = 20  # findings in full, and of those that are none a line each
SUMMARY_CHARACTERS = 90
INDENT = 2
OUTCOMES = {
    "finding": "Findings",
    "set-aside": "Set aside by a rule",
    "other-platform": "On other platforms",
    "undecided": "Undecided",
    "withdrawn": "Withdrawn",
    "not-affected": "Compared, and not affected",
}
SIGNS = {"inside": "in", "outside": "not in", "not-compared": "not compared"}


def explanation_lines(text: str, found: JsonObject, *, width: int = 0) -> Iterator[str]:
    """The lines of an explanation.

    Args:
        text: The component as it was asked for.
        width: Of the terminal, in characters; 0 finds out.
    """
    width = max(width or shutil.get_terminal_size((100, 24)).columns, 60)
    where = f" on {found['subdir']}" if found["subdir"] else ""
    yield f"{text}{where}: {_headline(found)}"
    yield from _wrapped(f"{'assessed' if found['assessed'] else 'not assessed'}: {found['reason']}", INDENT, width)
    if found["names"]:
        yield from ("", "Names tried")
        for name in found["names"]:
            yield from _wrapped(
                f"{name['ecosystem']} {name['name']} ({name['confidence']}): {name['why']}", INDENT, width
            )
            yield from _wrapped(f"from: {name['via']}", 2 * INDENT, width)
    if found["feeds"]:
        yield from ("", "Feeds")
        for feed in found["feeds"]:
            said = "heard" if feed["is_heard"] else "not heard"
            number = f"{feed['feed_id']} " if feed["feed_id"] else ""
            yield from _wrapped(f"{said}: {number}{feed['kind']} {feed['location']}: {feed['why']}", INDENT, width)
    for outcome, title in OUTCOMES.items():
        items = [item for item in found["considered"] if item["outcome"] == outcome]
        if items:
            yield from ("", f"{title} ({len(items):,})")
            yield from _items(outcome, items, width, is_alone=len(found["considered"]) == 1)
    if text.startswith("conda:") and not found["depends_on"]:
        yield ""
        yield from _wrapped(
            f"Wrong? antivenom correction preview KIND {text} ID --reason WHY prints the row and its effect", 0, width
        )


def _headline(found: JsonObject) -> str:
    if found["depends_on"]:
        return f"nothing of its own, see {found['depends_on']}"
    counts = found["counts"]
    if not any(counts.values()):
        return "nothing is told of it"
    told = [count_of(counts["finding"], "findings")]
    words = {"set-aside": "set aside", "other-platform": "on other platforms", "undecided": "undecided"}
    told += [f"{counts[outcome]:,} {word}" for outcome, word in words.items() if counts[outcome]]
    rest = counts["not-affected"] + counts["withdrawn"]
    return ", ".join(told) + f"; {rest:,} compared and not affected"


def _items(outcome: str, items: list[JsonObject], width: int, *, is_alone: bool) -> Iterator[str]:
    """The vulnerabilities of one outcome: in full what is asked for alone and the worst findings, else a line each."""
    if is_alone:
        yield from _in_full(items[0], width)
        return
    if outcome in ("set-aside", "other-platform"):
        yield from _by_reason(items, width)
        return
    in_full = items[:SHOWN] if outcome == "finding" else []
    for item in in_full:
        yield from _in_full(item, width)
    rest = items[len(in_full) :]
    shown = rest if outcome == "finding" else rest[:SHOWN]
    for item in shown:
        yield from _wrapped(f"{item['ids'][0]} {item['severity']}: {item['why']}", INDENT, width)
    if len(shown) < len(rest):
        yield f"  and {len(rest) - len(shown):,} more: --advisory ID shows one in full, --output json all"


def _by_reason(items: list[JsonObject], width: int) -> Iterator[str]:
    """Each reason once, with the vulnerabilities that it sets aside."""
    by_reason: dict[tuple[str, str], list[JsonObject]] = {}
    for item in items:
        by_reason.setdefault((item["rule"], item["why"]), []).append(item)
    for (rule, why), alike in by_reason.items():
        yield from _wrapped(f"{rule}: {why}", INDENT, width)
        for item in alike:
            held = [c for c in item["comparisons"] if c["result"] == "inside"][:1]
            ranges = "".join(f", {c['ranges'][0]} ({c['source']})" for c in held if c["ranges"])
            yield from _wrapped(f"{item['ids'][0]} {item['severity']}{ranges}{_summary(item)}", 2 * INDENT, width)


def _summary(item: JsonObject) -> str:
    return f": {textwrap.shorten(item['summary'], SUMMARY_CHARACTERS, placeholder=' …')}" if item["summary"] else ""


def _in_full(item: JsonObject, width: int) -> Iterator[str]:
    yield from _wrapped(f"{item['ids'][0]} {item['severity']}{_summary(item)}", INDENT, width)
    rule = f" [{item['rule']}]" if item["rule"] else ""
    fixed = f"; fixed in {', '.join(item['fixed_versions'][:4])}" if item["fixed_versions"] else ""
    yield from _wrapped(f"{item['why']}{rule}{fixed}", 2 * INDENT, width)
    for line in _merged(item["comparisons"]):
        yield from _wrapped(line, 3 * INDENT, width)


def _merged(comparisons: Iterable[JsonObject]) -> Iterator[str]:
    """What each source says; one line where it says the same of several of the names."""
    lines: dict[str, list[str]] = {}
    for comparison in comparisons:
        ranges = " or ".join(comparison["ranges"]) or "no releases"
        more = comparison["ranges_total"] - len(comparison["ranges"])
        if comparison["result"] == "outside" and more > 0:
            ranges += f" or {more} more"
        sign = SIGNS[comparison["result"]]
        source = f"{comparison['source']} {comparison['advisory']} ({comparison['rank']})"
        line = f"- {source}: {sign} {ranges}: {comparison['why']}"
        lines.setdefault(line, []).append(comparison["name"])
    for line, names in lines.items():
        yield f"{line}  ({', '.join(names)})"


def _wrapped(text: str, indent: int, width: int) -> list[str]:
    start = " " * indent
    return textwrap.wrap(
        text,
        width,
        initial_indent=start,
        subsequent_indent=f"{start}  ",
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]
