"""`antivenom mirror`: fill channels from upstreams."""

from __future__ import annotations

from typing import Annotated

import typer

from antivenom.cli.arguments import (
    CLOSURE_HELP,
    ChannelArgument,
    EveryOption,
    OutputOption,
    parse_interval,
    parse_switch,
    read_text,
    split_commas,
)
from antivenom.cli.client import JsonObject, client
from antivenom.cli.output import Output, count_of, emit, note
from antivenom.cli.waiting import WaitOption, wait_for_sync
from antivenom.core.errors import InvalidInputError, UpstreamError

commands = typer.Typer(no_args_is_help=True)

UNMET_SHOWN = 5
COLUMNS = ("channel", "state", "upstream", "mode", "subdirs", "last_success_at", "next_sync_at", "last_error")


@commands.command("create")
def create(
    channel: ChannelArgument,
    upstream: Annotated[str, typer.Option(help="URL of a conda channel, or conda-forge, bioconda, defaults.")],
    mode: Annotated[str, typer.Option(help="passive: files on first request. active: all files now.")] = "passive",
    subdir: Annotated[
        list[str] | None, typer.Option(help="Repeat for several. Default: all that the upstream has.")
    ] = None,
    spec: Annotated[list[str] | None, typer.Option(help="Only what matches. Repeat for several.")] = None,
    policy: Annotated[str | None, typer.Option(metavar="FILE", help="The policy to publish under.")] = None,
    every: EveryOption = None,
    with_dependencies: Annotated[
        bool,
        typer.Option("--with-dependencies/--no-dependencies", help="With --spec: also what the records need, or not."),
    ] = True,
    shards: Annotated[
        bool, typer.Option("--shards/--no-shards", help="Read the upstream's shards, or only its whole index.")
    ] = True,
    closure: Annotated[str, typer.Option(help=CLOSURE_HELP)] = "on",
    wait: WaitOption = False,
    output: OutputOption = Output.table,
) -> None:
    """Fill CHANNEL from an upstream. The channel is created if it does not exist; the first sync starts at once."""
    body = {
        "channel": channel,
        "upstream": upstream,
        "mode": mode,
        "subdirs": split_commas(subdir),
        "specs": spec or [],
        "policy": read_text(policy) if policy else None,
        "every_s": parse_interval(every) if every else None,
        "shards": shards,
        "with_dependencies": with_dependencies,
        "closure": parse_switch(closure, "--closure"),
    }
    row = client().post("/api/v1/mirrors", json=body)
    note(f"mirror of {row['upstream']} created; the first sync is under way")
    if wait:
        row = wait_for_mirror(channel)
    if output is Output.json:
        emit(row, None, output)


@commands.command("list")
def list_mirrors(output: OutputOption = Output.table) -> None:
    """List the mirrors and how their last sync went."""
    emit(client().list_items("/api/v1/mirrors"), COLUMNS, output)


@commands.command("show")
def show(channel: ChannelArgument, output: OutputOption = Output.table) -> None:
    """Show one mirror."""
    emit(client().get(f"/api/v1/mirrors/{channel}"), None, output)


@commands.command("edit")
def edit(
    channel: ChannelArgument,
    upstream: Annotated[str | None, typer.Option(help="Another URL or well-known name.")] = None,
    mode: Annotated[str | None, typer.Option(help="passive or active.")] = None,
    subdir: Annotated[
        list[str] | None, typer.Option(help="Mirror these instead; all: every one that the upstream has.")
    ] = None,
    spec: Annotated[list[str] | None, typer.Option(help="Mirror what these match instead; '*': everything.")] = None,
    every: Annotated[
        str | None, typer.Option(help="Sync again after this long: 30m, 1h, 1d; never: only on request.")
    ] = None,
    with_dependencies: Annotated[
        bool | None,
        typer.Option("--with-dependencies/--no-dependencies", help="With --spec: also what the records need, or not."),
    ] = None,
    shards: Annotated[
        bool | None, typer.Option("--shards/--no-shards", help="Read the upstream's shards, or only its whole index.")
    ] = None,
    wait: WaitOption = False,
    output: OutputOption = Output.table,
) -> None:
    """Change a mirror; what is not given stays. A sync follows at once."""
    body: JsonObject = {}
    if upstream is not None:
        body["upstream"] = upstream
    if mode is not None:
        body["mode"] = mode
    if subdir:
        body["subdirs"] = [] if subdir == ["all"] else split_commas(subdir)
    if spec:
        body["specs"] = [] if spec == ["*"] else spec
    if every is not None:
        body["every_s"] = None if every == "never" else parse_interval(every)
    if with_dependencies is not None:
        body["with_dependencies"] = with_dependencies
    if shards is not None:
        body["shards"] = shards
    if not body:
        raise InvalidInputError("nothing to change was given", hint="antivenom mirror edit --help lists what can be")
    row = client().patch(f"/api/v1/mirrors/{channel}", json=body)
    note(f"mirror {channel} changed; a sync is under way")
    if wait:
        row = wait_for_mirror(channel)
    if output is Output.json:
        emit(row, None, output)


@commands.command("sync")
def sync(
    channel: ChannelArgument,
    wait: WaitOption = False,
    output: OutputOption = Output.table,
) -> None:
    """Fetch what changed upstream and publish it."""
    row = client().post(f"/api/v1/mirrors/{channel}/sync")
    if wait:
        row = wait_for_mirror(channel)
    else:
        note(f"sync of {channel} requested; watch it with: antivenom mirror show {channel}")
    if output is Output.json:
        emit(row, None, output)


@commands.command("accept")
def accept(
    channel: ChannelArgument,
    wait: WaitOption = False,
    output: OutputOption = Output.table,
) -> None:
    """Accept that the upstream lost most of its records; a sync that publishes this follows at once."""
    row = client().post(f"/api/v1/mirrors/{channel}/accept")
    if wait:
        row = wait_for_mirror(channel)
    else:
        note(f"the loss is accepted; a sync of {channel} is under way")
    if output is Output.json:
        emit(row, None, output)


@commands.command("set-aside")
def set_aside(channel: ChannelArgument, output: OutputOption = Output.table) -> None:
    """List the upstream's records that are not mirrored, with reasons; the first 200 of each subdir."""
    emit(client().list_items(f"/api/v1/mirrors/{channel}/set-aside"), ("subdir", "fn", "reason"), output)


@commands.command("notes")
def notes(channel: ChannelArgument, output: OutputOption = Output.table) -> None:
    """List the upstream's records that were put in order before they are served; the first 200 of each subdir."""
    emit(client().list_items(f"/api/v1/mirrors/{channel}/notes"), ("subdir", "fn", "note"), output)


@commands.command("delete")
def delete(channel: ChannelArgument) -> None:
    """Stop mirroring; the channel keeps serving its last publication."""
    client().delete(f"/api/v1/mirrors/{channel}")
    note(f"channel {channel} is no longer a mirror")


def wait_for_mirror(channel: str) -> JsonObject:
    """The mirror's row once no sync waits or runs.

    Raises:
        UpstreamError: The sync failed; the last publication stays served.
    """
    row = wait_for_sync(f"/api/v1/mirrors/{channel}", f"sync {channel}")
    if row["state"] == "failed":
        served = "the last publication stays served" if row["last_success_at"] else "nothing is published yet"
        raise UpstreamError(
            f"sync of {channel} failed: {row['last_error']}",
            hint=f"{served}; the next try is at {row['next_sync_at'] or 'the next request'}",
        )
    if row["state"] == "held":
        raise UpstreamError(
            f"sync of {channel} is held back: {row['last_error']}",
            hint=f"if the loss is meant: antivenom mirror accept {channel} --wait",
        )
    note(f"channel {channel} is up to date with {row['upstream']}")
    if row["set_aside"]:
        aside = count_of(row["set_aside"], "records")
        note(f"{aside} set aside (see why with: antivenom mirror set-aside {channel})")
    if row["noted"]:
        note(f"{count_of(row['noted'], 'records')} put in order (see how with: antivenom mirror notes {channel})")
    for text in row["unmet"][:UNMET_SHOWN]:
        note(f"unmet: {text}")
    if row["unmet_total"]:
        note(f"{row['unmet_total']} specs and dependencies in all that nothing of {channel} meets")
    for warning in row["warnings"]:
        note(f"warning: {warning}")
    return row
