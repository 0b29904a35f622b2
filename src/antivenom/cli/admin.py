"""`antivenom admin`: passwords, the audit trail, the state of the server."""

from __future__ import annotations

import itertools
from typing import Annotated

import typer

from antivenom.cli.arguments import OutputOption, parse_name
from antivenom.cli.client import JsonObject, client
from antivenom.cli.output import Output, count_of, emit, note, size_of
from antivenom.cli.waiting import wait_for_run, wait_until_mended

commands = typer.Typer(no_args_is_help=True)


@commands.command("reset-password")
def reset_password(
    name: Annotated[str, typer.Argument(parser=parse_name, help="The member.")] = "admin",
    output: OutputOption = Output.table,
) -> None:
    """Give a member a new random password, print it, and end their sessions."""
    answer = client().post(f"/api/v1/members/{name}/password", json={})
    if output is Output.json:
        emit(answer, None, output)
        return
    note(answer["password"], to_stdout=True)
    note(f"new password of {name}; it is shown this once")


@commands.command("events")
def events(
    kind: Annotated[str, typer.Option(help="Only this kind, such as policy.revised.")] = "",
    subject: Annotated[str, typer.Option(help="Only this subject, such as channel:main.")] = "",
    actor: Annotated[str, typer.Option(help="Only this actor, such as token:ci.")] = "",
    text: Annotated[str, typer.Option(help="Only those with this text anywhere.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 100,
    output: OutputOption = Output.table,
) -> None:
    """List what happened, to what and by whom, the newest first."""
    filters = {"kind": kind, "subject": subject, "actor": actor, "q": text}
    rows = itertools.islice(client().list_items("/api/v1/events", params=filters), limit)
    emit(rows, ("at", "actor", "kind", "subject", "data"), output)


@commands.command("status")
def status(output: OutputOption = Output.table) -> None:
    """Show which server answers, its version, and who you are to it."""
    me = client().get("/api/v1/me")
    emit({"url": client().url, "version": me["version"], "you": f"{me['kind']} ({me['role']})"}, None, output)


@commands.command("gc")
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    min_age: Annotated[int, typer.Option(min=0, help="Keep what is younger than so many seconds.")] = 60,
    output: OutputOption = Output.table,
) -> None:
    """Delete the stored blobs that nothing names, and what dead processes left; by itself this happens every hour.

    Waits until syncs and publications that run have ended, and fails if they go on for too long.
    """
    run = wait_for_run(client().post("/api/v1/storage/collections", json={"dry_run": dry_run, "min_age_s": min_age}))
    report = run["report"]
    if output is Output.json:
        emit(report, None, output)
        return
    kinds = sorted({*report["stored"], *report["freed"]})
    emit((storage_row(kind, report) for kind in kinds), None, output)
    for text in report["notes"]:
        note(text)
    freed = report["freed"].values()
    total = f"{count_of(sum(t['count'] for t in freed), 'files')}, {size_of(sum(t['size_bytes'] for t in freed))}"
    note(f"{'would free' if dry_run else 'freed'} {total}")


@commands.command("verify")
def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Fetch or make again what is lost, where that can be done.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="With --repair: wait until it is mended. --no-wait: only begin.")
    ] = True,
    output: OutputOption = Output.table,
) -> None:
    """Read every stored blob, and list those that are missing or damaged, who needs them, and what mends them.

    Exits 3 when something is lost, or still is after --repair.
    """
    report = wait_for_run(client().post("/api/v1/storage/verifications", json={"repair": repair}))["report"]
    left: set[str] | None = None
    if repair and wait and report["lost"]:
        left = wait_until_mended({row["key"] for row in report["lost"] if row["plan"]})
    if output is Output.json:
        emit(report, None, output)
    else:
        if report["lost"]:
            emit(report["lost"], ("problem", "needed_by", "plan", "key"), output)
        for text in report["notes"]:
            note(text)
        checked = report["checked"]
        note(f"read {count_of(checked['count'], 'blobs')}, {size_of(checked['size_bytes'])}")
        note(describe_lost(report, repair=repair, left=left))
    beyond = any(not row["plan"] for row in report["lost"])
    if report["lost_count"] if left is None else left or beyond:
        raise typer.Exit(3)


def describe_lost(report: JsonObject, *, repair: bool, left: set[str] | None = None) -> str:
    """What a verification found, in a line. `left`: what is still lost of what was to be mended, if that is known."""
    count = report["lost_count"]
    if not count:
        return "nothing is missing or damaged"
    beyond = sum(not row["plan"] for row in report["lost"])
    parts = [f"{count_of(count, 'blobs')} missing or damaged"]
    if beyond:
        parts.append(f"of which {count_of(beyond, 'blobs')} cannot be mended: restore from a backup")
    if left is not None:
        parts.append(f"mended all but {count_of(len(left), 'blobs')}" if left else "mended all that can be")
    elif count > beyond:
        parts.append("mending has begun" if repair else "hint: antivenom admin verify --repair")
    return "; ".join(parts)


def storage_row(kind: str, report: JsonObject) -> JsonObject:
    """What is stored and was freed of one kind."""
    stored, freed = report["stored"].get(kind, {}), report["freed"].get(kind, {})
    return {
        "kind": kind,
        "stored": stored.get("count", 0),
        "size": size_of(stored.get("size_bytes", 0)),
        "freed": freed.get("count", 0),
        "freed_size": size_of(freed.get("size_bytes", 0)),
    }


@commands.command("advisory-key")
def advisory_key(
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Sign with a new key from now on, which the old one vouches for.")
    ] = False,
    output: OutputOption = Output.table,
) -> None:
    """Show the fingerprint of the key that signs the advisory file; `feed pull` shows it too.

    Whoever pulled before --rotate goes on without a question. Rotate when others may have seen the database or a backup
    of it; then tell people to pull with --key, for who has the old key can vouch for one of their own.
    """
    path = "/api/v1/advisory-file"
    shown = client().post(f"{path}/keys") if rotate else client().get(path)
    if output is Output.json:
        emit(shown, None, output)
        return
    *older, newest = shown["keys"]
    note(newest["fingerprint"], to_stdout=True)
    note(f"signs since {newest['since'][:10]}" + (f"; before: {older[-1]['fingerprint']}" if older else ""))


@commands.command("remove-demo")
def remove_demo(output: OutputOption = Output.table) -> None:
    """Remove the demo: its channel, its feeds with their advisories, its policy."""
    removed = client().delete("/api/v1/demo")
    if output is Output.json:
        emit(removed, None, output)
        return
    parts = ", ".join(count_of(count, what) for what, count in removed.items())
    note(f"removed the demo: {parts}" if any(removed.values()) else "there is no demo on this server")
