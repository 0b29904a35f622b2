"""The files in a home by which programs of one machine find and trust each other."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from antivenom.core.errors import InvalidInputError

LOCAL_TOKEN = "local-token"  # noqa: S105  # a file's name
SERVER_FACTS = "server.json"
ADMIN_PASSWORD = "admin-password"  # noqa: S105  # a file's name
LOCAL_PREFIX = "avlocal-"
DEMO_WANTED = "demo-wanted"  # written at the first start, removed once the demo is set up


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Where the server of a home answers."""

    url: str
    pid: int


def make_home(home: Path) -> None:
    """Create the home if it does not exist.

    Raises:
        InvalidInputError: It cannot be created or written to.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".probe-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InvalidInputError(
            f"the home {home} cannot be used: {error.strerror or error}",
            hint="choose another with --home or ANTIVENOM_HOME",
        ) from None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; it appears whole or not at all."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)
    partial.replace(path)


def write_local_token(home: Path) -> str:
    """The token that makes whoever can read this home the local administrator; made if there is none."""
    path = home / LOCAL_TOKEN
    try:
        known = path.read_text().strip()
        if known.startswith(LOCAL_PREFIX):
            return known
    except OSError:
        pass
    token = LOCAL_PREFIX + secrets.token_hex(32)
    write_private(path, token + "\n")
    return token


def write_server_facts(home: Path, facts: ServerFacts) -> None:
    write_private(home / SERVER_FACTS, json.dumps({"url": facts.url, "pid": facts.pid}) + "\n")


def remove_server_facts(home: Path) -> None:
    (home / SERVER_FACTS).unlink(missing_ok=True)


def remove_first_password(home: Path) -> None:
    """Remove the file with the first password, which is no longer valid."""
    (home / ADMIN_PASSWORD).unlink(missing_ok=True)
