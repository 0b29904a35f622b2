"""`antivenom feed`: where advisories, exploitation facts and name maps come from, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from antivenom.cli.arguments import EveryOption, OutputOption, parse_interval
from antivenom.cli.client import JsonObject, client
from antivenom.cli.feed_build import build_file
from antivenom.cli.feed_file import export_file, pull_file
from antivenom.cli.output import Output, count_of, emit, note
from antivenom.cli.waiting import WaitOption, wait_for_sync
from antivenom.core.errors import InvalidInputError, UpstreamError

commands = typer.Typer(no_args_is_help=True)

commands.command("pull")(pull_file)
commands.command("export")(export_file)
commands.command("build")(build_file)

COLUMNS = (
    "id", "kind", "state", "entries", "set_aside", "outcome", "location", "every_s", "last_success_at", "last_error",
)  # fmt: skip

FeedId = Annotated[int, typer.Argument(metavar="ID", help="The feed's number; `antivenom feed list` shows it.")]


@commands.command("add")
def add(
    kind: Annotated[str, typer.Argument(help="osv, kev, epss, nvd, cve5, nodejs, name-map, purl-cpe or knowledge.")],
    location: Annotated[str, typer.Argument(metavar="URL|PATH", help="http(s) URL, or path on the server's machine.")],
    every: EveryOption = None,
    wait: WaitOption = True,
    output: OutputOption = Output.table,
) -> None:
    """Add a feed and read it. Its first bytes say what it is: zip, tar, .gz, .zst, JSON, a table, a folder."""
    every_s = parse_interval(every) if every else None
    body = {"kind": kind, "location": absolute(location), "every_s": every_s}
    row = client().post("/api/v1/feeds", json=body)
    note(f"feed {row['id']} added: {row['kind']} from {row['location']}")
    rows = wait_for_feeds([row["id"]]) if wait else [row]
    if output is Output.json:
        emit(rows[0], None, output)
    fail_if_any_failed(rows)


def absolute(location: str) -> str:
    """A path as the server can read it. URLs stay as they are."""
    if "://" in location or location.lower().startswith("file:"):
        return location
    path = Path(location).expanduser()
    if not path.exists():
        raise InvalidInputError(
            f"there is no file {location}", hint="give an http(s) URL, or a path on the machine of the server"
        )
    return str(path.resolve())


@commands.command("sync")
def sync(
    which: Annotated[str, typer.Argument(metavar="[ID|KIND]", help="One feed, one kind; all when absent.")] = "",
    wait: WaitOption = True,
    output: OutputOption = Output.table,
) -> None:
    """Read what changed since the last time."""
    if which.isdigit():
        rows = [client().post(f"/api/v1/feeds/{which}/sync")]
    else:
        rows = client().post("/api/v1/feeds/sync", json={"kind": which or None})["items"]
    if not rows:
        of_kind = f" of kind {which}" if which else ""
        note(f"there is no feed{of_kind} to sync; add one with: antivenom feed add KIND URL")
    if wait:
        rows = wait_for_feeds([row["id"] for row in rows])
    elif rows:
        note(f"sync of {count_of(len(rows), 'feeds')} requested; watch with: antivenom feed list")
    if output is Output.json:
        emit(rows, None, output)
    fail_if_any_failed(rows)


@commands.command("list")
def list_feeds(output: OutputOption = Output.table) -> None:
    """List the feeds: what they hold, and how their last sync went."""
    emit(client().list_items("/api/v1/feeds"), COLUMNS, output)


@commands.command("show")
def show(feed: FeedId, output: OutputOption = Output.table) -> None:
    """Show one feed."""
    emit(client().get(f"/api/v1/feeds/{feed}"), None, output)


@commands.command("remove")
def remove(feed: FeedId) -> None:
    """Remove a feed with everything that only it brought; its findings close."""
    client().delete(f"/api/v1/feeds/{feed}")
    note(f"feed {feed} removed")


@commands.command("set-aside")
def set_aside(feed: FeedId, output: OutputOption = Output.table) -> None:
    """List the entries of the last sync that could not be used, with reasons."""
    emit(client().list_items(f"/api/v1/feeds/{feed}/set-aside"), ("entry", "reason", "at"), output)


def wait_for_feeds(feeds: list[int]) -> list[JsonObject]:
    """The feeds' rows, once none of them waits or is read; progress goes to stderr meanwhile."""
    done: list[JsonObject] = []
    for feed in feeds:
        row = wait_for_sync(f"/api/v1/feeds/{feed}", f"feed {feed}")
        done.append(row)
        note(summary(row))
    return done


def summary(row: JsonObject) -> str:
    """One line on how a sync ended."""
    if row["state"] == "failed":
        return f"feed {row['id']} ({row['kind']}): failed: {row['last_error']}"
    line = f"feed {row['id']} ({row['kind']}): {count_of(row['entries'], 'entries')}; {row['outcome']}"
    flagged = ", ".join(f"{count:,} {flag}" for flag, count in (row["counts"].get("flagged") or {}).items())
    line += f"; flagged: {flagged}" if flagged else ""
    if row["set_aside"]:
        line += f"; {row['set_aside']:,} set aside (see them with: antivenom feed set-aside {row['id']})"
    return line


def fail_if_any_failed(rows: list[JsonObject]) -> None:
    """Return if every feed was read.

    Raises:
        UpstreamError: One or more failed (exit code 3); their earlier entries stay.
    """
    failed = [row for row in rows if row["state"] == "failed"]
    if failed:
        first = failed[0]
        kept = "its earlier entries stay; " if first["last_success_at"] else ""
        raise UpstreamError(
            f"{len(failed)} of {count_of(len(rows), 'feeds')} failed: {first['last_error']}",
            hint=f"{kept}the next try is at {first['next_sync_at'] or 'the next request'}; "
            f"if it is not wanted: antivenom feed remove {first['id']}",
        )
