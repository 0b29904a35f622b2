"""`antivenom match`: the vulnerabilities of components, without a channel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from antivenom.cli.arguments import OutputOption
from antivenom.cli.client import JsonObject, client
from antivenom.cli.output import Output, emit, note, risk_text
from antivenom.core.errors import InvalidInputError

commands = typer.Typer()

COMPONENTS_AT_ONCE = 10_000
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
    output: OutputOption = Output.table,
) -> None:
    """List the vulnerabilities of components, with the evidence."""
    given = [text for argument in components for text in (_lines() if argument == "-" else (argument,))]
    if not given:
        raise InvalidInputError("there is nothing to match", hint="antivenom match conda:openssl=3.0.7")
    bodies = [parse_component(text, channel, subdir) for text in given]
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


def parse_component(text: str, channel: str = "", subdir: str = "") -> dict[str, str]:
    """The body of one component: `conda:NAME=VERSION[=BUILD]` or a purl.

    Raises:
        InvalidInputError: It is neither.
    """
    if text.startswith("pkg:"):
        return {"purl": text, **({"channel": channel} if channel else {})}
    kind, _, spec = text.partition(":")
    parts = [p for p in spec.split("=") if p]
    if kind != "conda" or not 2 <= len(parts) <= 3:
        raise InvalidInputError(
            f"{text!r} is neither a conda component nor a purl",
            hint="write conda:openssl=3.0.7 or pkg:pypi/requests@2.25.0",
        )
    body = {"type": "conda", "name": parts[0], "version": parts[1]}
    if len(parts) == 3:
        body["build"] = parts[2]
    return {**body, **({"channel": channel} if channel else {}), **({"subdir": subdir} if subdir else {})}


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
