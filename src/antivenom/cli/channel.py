"""`antivenom channel`: channels, what they withhold and why, their history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from antivenom.cli.arguments import (
    CLOSURE_HELP,
    TRUST_HELP,
    ChannelArgument,
    OutputOption,
    YesOption,
    confirm,
    parse_switch,
)
from antivenom.cli.client import JsonObject, client
from antivenom.cli.output import Output, emit, note, risk_text

commands = typer.Typer(no_args_is_help=True)

COLUMNS = ("name", "records", "withheld", "warned", "policy", "publication", "privacy", "description")


@commands.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, '-' and '_'; begins with a letter.")],
    description: Annotated[str, typer.Option(help="What the channel is for.")] = "",
    privacy: Annotated[str, typer.Option(help="public, or authenticated (a token is needed to read).")] = "public",
    closure: Annotated[str, typer.Option(help=CLOSURE_HELP)] = "on",
    output: OutputOption = Output.table,
) -> None:
    """Create an empty channel."""
    body = {"name": name, "description": description, "privacy": privacy, "closure": parse_switch(closure, "--closure")}
    row = client().post("/api/v1/channels", json=body)
    note(f"channel {name} created")
    note(f"fill it with: antivenom mirror create {name} --upstream URL")
    if output is Output.json:
        emit(row, None, output)


@commands.command("list")
def list_channels(output: OutputOption = Output.table) -> None:
    """List the channels."""
    emit(client().list_items("/api/v1/channels"), COLUMNS, output)


@commands.command("show")
def show(channel: ChannelArgument, output: OutputOption = Output.table) -> None:
    """Show one channel: its publication, policy, mirror and counts."""
    emit(client().get(f"/api/v1/channels/{channel}"), None, output)


@commands.command("edit")
def edit(
    channel: ChannelArgument,
    description: Annotated[str | None, typer.Option(help="What the channel is for.")] = None,
    privacy: Annotated[str | None, typer.Option(help="public, or authenticated (a token is needed to read).")] = None,
    closure: Annotated[str | None, typer.Option(help=CLOSURE_HELP)] = None,
    trust_build_statements: Annotated[str | None, typer.Option(help=TRUST_HELP)] = None,
    output: OutputOption = Output.table,
) -> None:
    """Change a channel; what is not given stays. A change of the last two options republishes it."""
    trust = trust_build_statements
    body = {
        "description": description,
        "privacy": privacy,
        "closure": parse_switch(closure, "--closure") if closure is not None else None,
        "trust_build_statements": parse_switch(trust, "--trust-build-statements") if trust is not None else None,
    }
    row = client().patch(f"/api/v1/channels/{channel}", json=body)
    note(f"channel {channel} changed")
    if output is Output.json:
        emit(row, None, output)


@commands.command("delete")
def delete(channel: ChannelArgument, yes: YesOption = False) -> None:
    """Delete a channel, its mirror and its publications."""
    if not yes:
        confirm(f"Delete channel {channel} and its publications?")
    client().delete(f"/api/v1/channels/{channel}")
    note(f"channel {channel} deleted")


@commands.command("packages")
def packages(
    channel: ChannelArgument,
    query: Annotated[str, typer.Argument(metavar="[TEXT]", help="Part of the name.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """List the packages of a channel."""
    columns = ("name", "latest", "versions", "records", "withheld", "severity", "subdirs")
    emit(client().list_items(f"/api/v1/channels/{channel}/packages", params={"q": query}), columns, output)


@commands.command("withheld")
def withheld(
    channel: ChannelArgument,
    spec: Annotated[
        str, typer.Argument(metavar="[SPEC]", help="Only records that match, such as 'openssl 3.0.*'.")
    ] = "",
    output: OutputOption = Output.table,
) -> None:
    """List the records that the policy withholds, each with its reasons."""
    params = {"spec": spec} if spec else {}
    rows: Iterator[JsonObject] = client().stream(f"/api/v1/channels/{channel}/withheld", params=params)
    if output is Output.table:
        rows = ({**row, "why": _why(row["reasons"])} for row in rows)
    emit(rows, ("subdir", "fn", "why"), output)


def _why(reasons: list[JsonObject]) -> str:
    """What withholds a record, without what only warns of it."""
    return "; ".join(dict.fromkeys(reason["message"] for reason in reasons if reason["action"] == "stop"))


@commands.command("findings")
def findings(
    channel: ChannelArgument,
    severity: Annotated[str, typer.Option(help="At least this severity: low, medium, high, critical, malware.")] = "",
    kev: Annotated[bool, typer.Option("--kev", help="Only what is known to be exploited.")] = False,
    ignored: Annotated[
        bool, typer.Option("--ignored", help="Only what rules of knowledge and trusted builds set aside.")
    ] = False,
    output: OutputOption = Output.table,
) -> None:
    """List the vulnerabilities of a channel's packages, the riskiest first."""
    given = {"severity": severity, "kev": "true" if kev else "", "status": "ignored" if ignored else ""}
    params = {k: v for k, v in given.items() if v}
    rows: Iterator[JsonObject] = client().stream(f"/api/v1/channels/{channel}/findings", params=params)
    if output is Output.table:
        rows = (
            {**row, "id": row["ids"][0], "risk": risk_text(row), "fixed in": ", ".join(row["fixed_versions"])}
            for row in rows
        )
        if ignored:
            rows = ({**row, "ignored by": row["ignored_by"]["rule"]} for row in rows)
    columns = ("name", "version", "id", "severity", "cvss", "kev", "risk", "fixed in", "fix_in_channel")
    emit(rows, (*columns, "ignored by") if ignored else columns, output)


@commands.command("explain")
def explain(
    channel: ChannelArgument,
    what: Annotated[str, typer.Argument(metavar="FILE|SPEC", help="A file name (or SUBDIR/FILE), or a match spec.")],
    output: OutputOption = Output.table,
) -> None:
    """Explain each record: its decision, the rules behind it, the evidence."""
    rows = client().get(f"/api/v1/channels/{channel}/explain", params={"what": what})["items"]
    if output is Output.json:
        emit(rows, None, output)
        return
    for row in rows:
        for line in explanation(row):
            note(line, to_stdout=True)


def explanation(row: JsonObject) -> Iterator[str]:
    """The lines that explain one record: its decision, the reasons, exceptions, assessment and evidence."""
    yield f"{row['subdir']}/{row['fn']}: {row['decision']}"
    for reason in row["reasons"]:
        yield f"  {reason['action']}: {reason['message']} (rule {reason['rule_id']})"
        if reason["recommendation"]:
            yield f"    {reason['recommendation']}"
    for reason in row["excepted"]:
        yield f"  excepted by {reason['allowlist_id']}: {reason['message']} (rule {reason['rule_id']})"
    yield from _artifact_lines(row.get("artifact") or {"refused": "", "differences": []})
    yield f"  {row['assessment']}"
    for finding in row["findings"]:
        for evidence in finding["evidence"][:1]:
            yield f"    {finding['ids'][0]}: {evidence['range']} in {evidence['source']}; {evidence['via']}"
        if said := finding.get("build_says"):
            yield f"      {statement(said)}"


def _artifact_lines(artifact: JsonObject) -> Iterator[str]:
    """What the artifact says otherwise than the channel's index."""
    if artifact["refused"]:
        yield f"  refused when it was fetched: the artifact says {artifact['refused']}"
    for found in artifact["differences"]:
        index, own = ", ".join(found["index"]) or "nothing", ", ".join(found["artifact"]) or "nothing"
        yield f"  {found['field']}: only the index, which counts, has {index}; only the artifact has {own}"


def statement(said: JsonObject) -> str:
    """What the builder of a record says of a finding, and whether it counts."""
    note_of = f" ({said['note']})" if said["note"] else ""
    counts = "it counts" if said["counts"] else f"it does not count: {said['why_not']}"
    return f"its builder, {said['author']}, says {said['status']}{note_of}; {counts}"


@commands.command("history")
def history(channel: ChannelArgument, output: OutputOption = Output.table) -> None:
    """List the publications of a channel, the newest first."""
    columns = ("number", "current", "created_at", "cause", "created_by", "policy", "kept", "withheld")
    emit(client().list_items(f"/api/v1/channels/{channel}/history"), columns, output)


@commands.command("publish")
def publish(channel: ChannelArgument, output: OutputOption = Output.table) -> None:
    """Publish CHANNEL again, soon. The server does so by itself after every change, so this is seldom needed."""
    summary = client().post(f"/api/v1/channels/{channel}/publications")
    note(f"channel {channel} is published again from what its last sync brought")
    if output is Output.json:
        emit(summary, None, output)


@commands.command("rollback")
def rollback(
    channel: ChannelArgument,
    to: Annotated[
        int | None, typer.Option("--to", help="The publication's number; the one before when absent.")
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Serve an earlier publication again, until the next change publishes a new one."""
    answer = client().post(f"/api/v1/channels/{channel}/rollback", json={"number": to})
    note(f"channel {channel} serves publication {answer['number']} again")
    if output is Output.json:
        emit(answer, None, output)
