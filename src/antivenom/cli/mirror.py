"""`antivenom mirror`: fill channels from upstreams."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from antivenom.cli.channel import ChannelName, OutputOption, all_items, parse_switch
from antivenom.cli.client import client
from antivenom.cli.output import Output, count_of, emit, note, progress
from antivenom.core.errors import InvalidInputError, UpstreamError

commands = typer.Typer(help="Mirrors: fill a channel from an upstream, under a policy.", no_args_is_help=True)

COLUMNS = ("channel", "state", "upstream", "mode", "subdirs", "last_success_at", "next_sync_at", "last_error")
INTERVAL = re.compile(r"(\d+)\s*([smhdw]?)")
UNITS_S = {"s": 1, "": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
POLL_S = 0.2


def parse_interval(text: str) -> int:
    """Seconds of an interval such as 30m, 1h, 1d.

    Raises:
        InvalidInputError: It is none.
    """
    found = INTERVAL.fullmatch(text.strip().lower())
    if not found:
        raise InvalidInputError(
            f"{text!r} is not an interval", hint="give a number and a unit, such as 30m, 12h, 1d or 1w", field="every"
        )
    return int(found[1]) * UNITS_S[found[2]]


def read_policy(path: Path) -> str:
    """A policy file's text; what is in it is checked by the server."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"cannot read the policy {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"the policy {path} is not UTF-8 text: {error.reason} at byte {error.start}") from None


@commands.command("create")
def create(
    channel: ChannelName,
    upstream: Annotated[str, typer.Option(help="URL of a conda channel, or conda-forge, bioconda, defaults.")],
    mode: Annotated[str, typer.Option(help="passive: files on first request. active: all files now.")] = "passive",
    subdir: Annotated[
        list[str] | None, typer.Option(help="Repeat for several. Default: all that the upstream has.")
    ] = None,
    spec: Annotated[list[str] | None, typer.Option(help="Only what matches. Repeat for several.")] = None,
    policy: Annotated[Path | None, typer.Option(help="The policy to publish under.")] = None,
    every: Annotated[str | None, typer.Option(help="Sync again after this long: 30m, 1h, 1d.")] = None,
    closure: Annotated[str, typer.Option(help="on: withhold what needs something withheld. off: don't.")] = "on",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the first sync.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Fill CHANNEL from an upstream. The channel is made if it does not exist; the first sync starts at once."""
    body = {
        "channel": channel,
        "upstream": upstream,
        "mode": mode,
        "subdirs": split_commas(subdir),
        "specs": spec or [],
        "policy": read_policy(policy) if policy else None,
        "every_s": parse_interval(every) if every else None,
        "closure": parse_switch(closure, "--closure"),
    }
    row = client().post("/api/v1/mirrors", json=body)
    note(f"mirror of {row['upstream']} created; the first sync is under way")
    if wait:
        row = wait_for_sync(channel)
    if output is Output.json:
        emit(row, None, output)


def split_commas(values: list[str] | None) -> list[str]:
    return [part.strip() for value in values or [] for part in value.split(",") if part.strip()]


@commands.command("list")
def list_mirrors(output: OutputOption = Output.table) -> None:
    """List the mirrors and how their last sync went."""
    emit(client().get("/api/v1/mirrors")["items"], COLUMNS, output)


@commands.command("show")
def show(channel: ChannelName, output: OutputOption = Output.table) -> None:
    """Show one mirror."""
    emit(client().get(f"/api/v1/mirrors/{channel}"), None, output)


@commands.command("edit")
def edit(
    channel: ChannelName,
    upstream: Annotated[str | None, typer.Option(help="Another URL or well-known name.")] = None,
    mode: Annotated[str | None, typer.Option(help="passive or active.")] = None,
    subdir: Annotated[list[str] | None, typer.Option(help="These instead; all: what the upstream has.")] = None,
    spec: Annotated[list[str] | None, typer.Option(help="These instead; '*': everything.")] = None,
    every: Annotated[str | None, typer.Option(help="30m, 1h, 1d; never: only when asked.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the sync that follows.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Change a mirror; what is not given stays. A sync follows at once."""
    body: dict[str, Any] = {}
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
    if not body:
        raise InvalidInputError("nothing to change was given", hint="antivenom mirror edit --help lists what can be")
    row = client().patch(f"/api/v1/mirrors/{channel}", json=body)
    note(f"mirror {channel} changed; a sync is under way")
    if wait:
        row = wait_for_sync(channel)
    if output is Output.json:
        emit(row, None, output)


@commands.command("sync")
def sync(
    channel: ChannelName,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is done; exit 3 when it fails.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Fetch what changed upstream and publish it."""
    row = client().post(f"/api/v1/mirrors/{channel}/sync")
    if wait:
        row = wait_for_sync(channel)
    else:
        note(f"sync of {channel} asked for; watch it with: antivenom mirror show {channel}")
    if output is Output.json:
        emit(row, None, output)


@commands.command("set-aside")
def set_aside(channel: ChannelName, output: OutputOption = Output.table) -> None:
    """List the upstream's records that are not mirrored, with reasons; the first 200 of each subdir."""
    emit(all_items(f"/api/v1/mirrors/{channel}/set-aside"), ("subdir", "fn", "reason"), output)


@commands.command("delete")
def delete(channel: ChannelName) -> None:
    """Stop mirroring; the channel keeps serving its last publication."""
    client().delete(f"/api/v1/mirrors/{channel}")
    note(f"channel {channel} is no mirror any more")


def wait_for_sync(channel: str) -> dict[str, Any]:
    """The mirror's row once no sync waits or runs.

    Raises:
        UpstreamError: The sync failed; the last publication keeps serving.
    """
    with progress(f"sync {channel}") as show_progress:
        while (row := client().get(f"/api/v1/mirrors/{channel}"))["state"] in ("queued", "syncing", "new"):
            show_progress(row["progress"])
            time.sleep(POLL_S)
    if row["state"] == "failed":
        served = "the last publication keeps serving" if row["last_success_at"] else "nothing is published yet"
        raise UpstreamError(
            f"sync of {channel} failed: {row['last_error']}",
            hint=f"{served}; the next try is at {row['next_sync_at'] or 'the next request'}",
        )
    note(f"channel {channel} is in step with {row['upstream']}")
    if row["set_aside"]:
        aside = count_of(row["set_aside"], "records")
        note(f"{aside} set aside (see why with: antivenom mirror set-aside {channel})")
    return dict(row)
