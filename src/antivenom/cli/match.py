"""`antivenom match`: the vulnerabilities of components, without a channel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from antivenom.cli.arguments import OutputOption
from antivenom.cli.client import JsonObject, client
from antivenom.cli.match_explained import explanation_lines
from antivenom.cli.output import Output, emit, note, risk_text
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.component_text import parse_component

commands = typer.Typer()

COMPONENTS_AT_ONCE = 10_000
EXPLAINED_AT_ONCE = 100
LINES_MAX = 1_000_000
COLUMNS = (
    "component",
    "finding",
    "severity",
    "cvss",
    "kev",
    "epss",
    "risk",
    "fixed",
    "status",
    "confidence",
    "evidence",
)

ComponentsArgument = Annotated[
    list[str],
    typer.Argument(metavar="COMPONENT...", help="conda:NAME=VERSION[=BUILD], a purl, or - for one a line on stdin."),
]


@commands.command("match")
def match(
    components: ComponentsArgument,
    channel: Annotated[str, typer.Option("--channel", "-c", help="Where conda components come from.")] = "",
    subdir: Annotated[
        str, typer.Option("--subdir", help="Leave out what exists on other platforms alone, such as linux-64.")
    ] = "",
    ignored: Annotated[
        bool, typer.Option("--ignored", help="Also list what rules of knowledge set aside, with the rule.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Show the whole way: names tried, feeds heard, ranges compared, what was set aside."
        ),
    ] = False,
    advisory: Annotated[
        str, typer.Option("--advisory", metavar="ID", help="With --explain: only this vulnerability, in full.")
    ] = "",
    output: OutputOption = Output.table,
) -> None:
    """List the vulnerabilities of components, with the evidence."""
    given = [text for argument in components for text in (_lines() if argument == "-" else (argument,))]
    if not given:
        raise InvalidInputError("there is nothing to match", hint="antivenom match conda:openssl=3.0.7")
    bodies = [parse_component(text, channel, subdir) for text in given]
    if advisory and not explain:
        raise InvalidInputError(
            "--advisory goes with --explain", hint="antivenom match --explain --advisory ID COMPONENT"
        )
    if explain:
        _explain(given, bodies, advisory, output)
        return
    answers: list[JsonObject] = []
    for start in range(0, len(bodies), COMPONENTS_AT_ONCE):
        part = bodies[start : start + COMPONENTS_AT_ONCE]
        answers += client().post("/api/v1/match", json={"components": part, "include_ignored": ignored})
    if output is Output.json:
        emit(answers, COLUMNS, output)
        return
    rows = [row for text, answer in zip(given, answers, strict=True) for row in _rows(text, answer)]
    if rows:
        emit(rows, COLUMNS, output)
    for text, answer in zip(given, answers, strict=True):
        if not answer["assessed"]:
            note(f"{text}: not assessed: {answer['reason']}")
        elif not answer["findings"]:
            note(f"{text}: no known vulnerability ({answer['reason']})")


def _explain(given: list[str], bodies: list[dict[str, str]], advisory: str, output: Output) -> None:
    """Print how each component was assessed: JSON is a list of explanations."""
    if len(bodies) > EXPLAINED_AT_ONCE:
        raise InvalidInputError(
            f"{len(bodies):,} components are too many to explain", hint=f"name {EXPLAINED_AT_ONCE} at most"
        )
    asked = ({"component": body, "advisory": advisory} for body in bodies)
    found = [client().post("/api/v1/match/explain", json=body) for body in asked]
    if output is Output.json:
        emit(found, None, output)
        return
    for number, (text, explanation) in enumerate(zip(given, found, strict=True)):
        for line in ("",) * bool(number) + tuple(explanation_lines(text, explanation)):
            note(line, to_stdout=True)


def _lines() -> Iterator[str]:
    for count, line in enumerate(sys.stdin):
        if count >= LINES_MAX:
            raise InvalidInputError(f"standard input has more than {LINES_MAX:,} lines")
        if (text := line.strip()) and not text.startswith("#"):
            yield text


def _rows(text: str, answer: JsonObject) -> Iterator[JsonObject]:
    for finding in (*answer["findings"], *answer["ignored"]):
        evidence = finding["evidence"][0] if finding["evidence"] else {"source": "", "via": "", "range": ""}
        yield {
            "component": text.removeprefix("conda:"),
            "finding": finding["ids"][0],
            **{k: finding[k] for k in ("severity", "cvss", "status", "confidence")},
            "risk": risk_text(finding),
            "kev": "yes" if finding["kev"] else "",
            "epss": "" if finding["epss"] is None else f"{finding['epss']:.1%}",
            "fixed": ", ".join(finding["fixed_versions"][:3]),
            "evidence": f"{evidence['range']} in {evidence['source']}; {evidence['via']}{_set_aside(finding)}",
        }


def _set_aside(finding: JsonObject) -> str:
    by = finding.get("ignored_by")
    return f"; ignored by {by['rule']}: {by['reason']}" if by else ""
