"""`antivenom feed pull`, `feed export`: the advisory file, with which a scan needs no server."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from antivenom.cli.arguments import OutputOption
from antivenom.cli.client import JsonObject, find_server
from antivenom.cli.output import Output, count_of, emit, note, progress, size_of
from antivenom.core.errors import NotFoundError, UnavailableError, UpstreamError
from antivenom_client.advisory_file import AdvisoryFile, UnusableFile
from antivenom_client.age import tell_age
from antivenom_client.fetching import origin
from antivenom_client.manifest import fingerprint
from antivenom_client.places import default_advisories
from antivenom_client.pull import (
    PLACE,
    Pulled,
    PullError,
    State,
    Wish,
    export,
    is_as_left,
    is_path,
    manifest_url,
    pull,
    read_state,
)

KeyOption = Annotated[
    str, typer.Option("--key", metavar="FINGERPRINT", help="Accept this key alone: SHA256:…, as the server shows it.")
]
ToOption = Annotated[
    str, typer.Option("--to", metavar="FILE", help="Keep it there instead of where `antivenom scan` looks.")
]


def pull_file(
    source: Annotated[
        str,
        typer.Argument(
            metavar="[URL|FILE]",
            help="A server, the manifest of a copy of its files, or an exported file. Default: that of the last time.",
        ),
    ] = "",
    to: ToOption = "",
    key: KeyOption = "",
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Accept a file that is older than one that was offered before.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Only say what is there.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Get the advisory file of a server, or bring it up to date; `antivenom scan` then needs no server.

    It is verified before it is used: the first pull trusts the key that signs and shows it, later ones refuse another.
    Only what changed is fetched where that is less. The token is that of ANTIVENOM_TOKEN. Whatever fails, the file that
    was there stays as it is.
    """
    path = Path(to).expanduser() if to else Path(default_advisories())
    if status:
        show(describe(path), output)
        return
    with _showing(Wish(pin=key, may_be_older=allow_older), source or read_state(path).url) as wish:
        done = pull(path, wish)
    if output is Output.json:
        emit(describe(path), None, output)
        return
    note(f"{path}: {_told(done)}")
    for line in tell_age(str(path), done.manifest_made_at, time.time()):
        note(line)


def export_file(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Where to write it.")] = Path("advisories.db"),
    key: KeyOption = "",
) -> None:
    """Write the server's advisory file, verified, and beside it FILE.manifest.json with its signature.

    Carry both to a machine without a network, and there: antivenom feed pull FILE.
    """
    with _showing(Wish(pin=key), "") as wish:
        done = export(file, wish)
    note(f"{file}: {_told(done)}; pull it elsewhere with: antivenom feed pull {file}")


def show(described: JsonObject, output: Output) -> None:
    """Print what is known of a file: for people its feeds as a table of their own."""
    if output is Output.json:
        emit(described, None, output)
        return
    emit({name: value for name, value in described.items() if name != "feeds"}, None, output)
    note("", to_stdout=True)
    emit(described["feeds"], ("name", "entries", "synced_at"), output)


def describe(path: Path) -> JsonObject:
    """What is known of the advisory file at a path.

    Raises:
        NotFoundError: There is none, or none that can be read.
    """
    try:
        file = AdvisoryFile.open(path)
        meta, feeds = file.meta(), file.feeds()
        file.close()
    except UnusableFile as error:
        raise NotFoundError(error.message, hint=error.hint) from None
    state = read_state(path)
    if not is_as_left(path, state):  # built here, or copied: nobody's signature was checked
        state = State()
    trusted = state.trusted.get(state.url)
    return {
        "file": str(path),
        "size_bytes": path.stat().st_size,
        "made_at": meta.get("made_at", ""),
        "made_by": meta.get("engine", ""),
        "from": state.url,
        "signed_by": fingerprint(bytes.fromhex(trusted.key)) if trusted else "",
        "pulled_at": datetime.fromtimestamp(state.pulled_at, UTC).isoformat() if state.pulled_at > 0 else "",
        "feeds": [
            {"name": name, "kind": kind, "synced_at": at, "entries": entries} for name, kind, at, entries in feeds
        ],
    }


@contextlib.contextmanager
def _showing(wish: Wish, source: str) -> Iterator[Wish]:
    """The wish with its source and token, and progress on stderr; what fails becomes one of our errors.

    Raises:
        UpstreamError: The file could not be had.
        UnavailableError: No server is named and none runs here.
    """
    with progress("advisory file") as show, _as_ours():
        url, token = _source_and_token(source)

        def showing(done: int, total: int) -> None:
            show({"phase": "download", "done": done, "total": total})

        yield Wish(url, token, wish.pin, wish.may_be_older, wish.limits, note, showing)


@contextlib.contextmanager
def _as_ours() -> Iterator[None]:
    try:
        yield
    except PullError as error:
        raise UpstreamError(error.message, hint=error.hint) from None


def _source_and_token(source: str) -> tuple[str, str]:
    """Where to pull from, and the token for it: ANTIVENOM_TOKEN is that of ANTIVENOM_URL, if that is set."""
    if source and is_path(source):
        return source, ""
    if source:
        manifest_url(source)  # refuses what is no address before anybody is asked
    try:
        url, token = find_server(source.removesuffix(PLACE))  # the address of a manifest is that of its server
    except UnavailableError as error:
        raise UnavailableError(error.message, hint="name a server: antivenom feed pull URL") from None
    named = os.environ.get("ANTIVENOM_URL", "")
    is_of_other = named and origin(url) != origin(named)
    is_local_home = token and token != os.environ.get("ANTIVENOM_TOKEN", "")
    return source or url, "" if is_of_other and not is_local_home else token


def _told(done: Pulled) -> str:
    """What a pull did, in words."""
    if done.way == "unchanged":
        return "nothing is new"
    what = count_of(done.deltas, "deltas") if done.way == "deltas" else "the whole file"
    return f"got {what} ({size_of(done.received)}), signed with {done.key}"
