"""`antivenom correction`: say what is wrong about a package, see the effect, apply it, take it back."""

from __future__ import annotations

from typing import Annotated

import typer

from antivenom.cli.arguments import OutputOption, YesOption, confirm
from antivenom.cli.client import JsonObject, client
from antivenom.cli.output import Output, emit, note, print_file
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.component_text import parse_component

commands = typer.Typer(no_args_is_help=True)

COLUMNS = ("id", "state", "kind", "name", "vulnerability", "reason", "proposed_by", "proposed_at", "applied_by")
KINDS = "package, range, part, platform, missing or ignore"

CHANGES = {"comes": ("appears", "appear"), "goes": ("goes", "go"), "moves": ("changes", "change")}

KindArgument = Annotated[str, typer.Argument(metavar="KIND", help=f"What is wrong: {KINDS}.")]
ComponentArgument = Annotated[str, typer.Argument(metavar="COMPONENT", help="conda:NAME=VERSION.")]
AdvisoryArgument = Annotated[str, typer.Argument(metavar="[ID]", help="The vulnerability; not for package.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; shown wherever the row sets a finding aside.")]
WrongOption = Annotated[list[str] | None, typer.Option("--is-not", metavar="NAME", help="Such as pypi/redis.")]
RightOption = Annotated[list[str] | None, typer.Option("--is", metavar="NAME", help="Such as cpe/redis:redis.")]
AffectedOption = Annotated[str, typer.Option("--affected", help="Affected releases: 1.0..1.5, ..2.0, 3.0.. (no fix).")]
WordsOption = Annotated[
    list[str] | None, typer.Option("--word", help="For part: descriptions with it are of the other part.")
]
PlatformsOption = Annotated[list[str] | None, typer.Option("--only-on", help="Such as windows; any for everywhere.")]
SourceOption = Annotated[str, typer.Option("--source", help="Where it says so.")]
CorrectionId = Annotated[int, typer.Argument(metavar="ID", help="The correction's number.")]


@commands.command("preview")
def preview(
    kind: KindArgument,
    component: ComponentArgument,
    advisory: AdvisoryArgument = "",
    reason: ReasonOption = "",
    is_not: WrongOption = None,
    is_: RightOption = None,
    affected: AffectedOption = "",
    word: WordsOption = None,
    only_on: PlatformsOption = None,
    source: SourceOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Print the row of knowledge that makes it right, and which findings would come and go. Nothing is kept."""
    body = _body(kind, component, advisory, reason, is_not, is_, affected, word, only_on, source)
    found = client().post("/api/v1/corrections/preview", json=body)
    if output is Output.json:
        emit(found, None, output)
        return
    print_file(found["text"])
    note("", to_stdout=True)
    _tell_effect(found["effect"])
    if found["note"]:
        note(found["note"])


@commands.command("propose")
def propose(
    kind: KindArgument,
    component: ComponentArgument,
    advisory: AdvisoryArgument = "",
    reason: ReasonOption = "",
    is_not: WrongOption = None,
    is_: RightOption = None,
    affected: AffectedOption = "",
    word: WordsOption = None,
    only_on: PlatformsOption = None,
    source: SourceOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Propose a correction; an administrator applies it with `antivenom correction apply ID`."""
    body = _body(kind, component, advisory, reason, is_not, is_, affected, word, only_on, source)
    found = client().post("/api/v1/corrections", json=body)
    emit(found, None, output)


@commands.command("list")
def list_(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Part of the package's name or the id.")] = "",
    state: Annotated[str, typer.Option("--state", help="proposed, applied, declined or reverted.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """List corrections, the newest first."""
    emit(client().list_items("/api/v1/corrections", params={"q": text, "state": state}), COLUMNS, output)


@commands.command("show")
def show(correction_id: CorrectionId, output: OutputOption = Output.table) -> None:
    """Show a correction, its rows, and what applying it (or taking it back) would change now."""
    found = client().get(f"/api/v1/corrections/{correction_id}")
    if output is Output.json:
        emit(found, None, output)
        return
    emit({key: value for key, value in found.items() if key not in ("text", "effect", "row_ids")}, None, output)
    note("", to_stdout=True)
    print_file(found["text"])
    if found["effect"]:
        note("", to_stdout=True)
        note("applied, it changes" if found["state"] == "proposed" else "taken back, it changes", to_stdout=True)
        _tell_effect(found["effect"])


@commands.command("apply")
def apply(correction_id: CorrectionId, yes: YesOption = False, output: OutputOption = Output.table) -> None:
    """Let a proposed correction count, after showing its effect."""
    _change(correction_id, "apply", yes=yes, output=output)


@commands.command("revert")
def revert(correction_id: CorrectionId, yes: YesOption = False, output: OutputOption = Output.table) -> None:
    """Take an applied correction back, after showing its effect."""
    _change(correction_id, "revert", yes=yes, output=output)


@commands.command("decline")
def decline(correction_id: CorrectionId, output: OutputOption = Output.table) -> None:
    """Refuse a proposed correction, or withdraw your own."""
    emit(client().post(f"/api/v1/corrections/{correction_id}/decline"), None, output)


@commands.command("export")
def export() -> None:
    """Print all applied corrections as a file of feed kind knowledge, for another server."""
    print_file(client().get_text("/api/v1/corrections/knowledge.tsv"))


def _change(correction_id: int, verb: str, *, yes: bool, output: Output) -> None:
    if not yes:
        show(correction_id, Output.table)
        confirm(f"{verb.capitalize()} correction {correction_id}?")
    emit(client().post(f"/api/v1/corrections/{correction_id}/{verb}"), None, output)


def _body(
    kind: str,
    component: str,
    advisory: str,
    reason: str,
    is_not: list[str] | None,
    is_: list[str] | None,
    affected: str,
    words: list[str] | None,
    only_on: list[str] | None,
    source: str,
) -> JsonObject:
    parsed = parse_component(component)
    if "name" not in parsed:
        raise InvalidInputError("a correction is about a conda package", hint="write conda:NAME=VERSION")
    return {
        "kind": kind,
        "name": parsed["name"],
        "version": parsed["version"],
        "vulnerability": advisory,
        "wrong_names": is_not or [],
        "right_names": is_ or [],
        "affected": affected,
        "words": words or [],
        "platforms": only_on or [],
        "reason": reason,
        "source": source,
    }


def _tell_effect(effect: JsonObject) -> None:
    for place in (effect["component"], *effect["channels"]):
        where = f"channel {place['channel']}" if place["channel"] else "the component"
        counts = [f"{place[change]:,} {plural}" for change, (_, plural) in CHANGES.items() if place[change]]
        note(f"{where}: {', '.join(counts) or 'nothing changes'}", to_stdout=True)
        for row in place["sample"]:
            versions = ", ".join(row["versions"][:5]) + (" …" if len(row["versions"]) > 5 else "")
            subdirs = f" on {', '.join(row['subdirs'])}" if row["subdirs"] else ""
            rule = f", kept as ignored by {row['rule']}" if row["rule"] else ""
            told = f"{row['id']} {row['severity']} of {row['name']} {versions}{subdirs}{rule}"
            note(f"  {CHANGES[row['change']][0]}: {told}", to_stdout=True)
    if not effect["channels"]:
        note("no channel has a finding that changes", to_stdout=True)
