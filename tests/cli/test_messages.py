"""Every command that a message of the server or the command line names exists, with its options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documented_names import REPO, check_span

SOURCE = REPO / "src" / "antivenom"
COMMAND = re.compile(r"antivenom((?: (?:--?)?[a-z][a-z-]*| [A-Z_]+| \N{BULLET}+)+)")
PROSE = {"import", "as", "knowledge"}  # `from antivenom import …`, antivenom as a service
PROCESS_NAMES = re.compile(r"antivenom (jobs|listen|locks|web)")  # of connections to PostgreSQL


def texts(path: Path) -> Iterator[str]:
    """The texts of a module, with a bullet for what is filled in; a template as it is."""
    if path.suffix == ".html":
        yield re.sub(r"{{.*?}}", "\N{BULLET}", path.read_text(encoding="utf-8"))
        return
    inside: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "\N{BULLET}" for part in node.values]
            inside |= {id(part) for part in node.values}
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def named_commands() -> list[tuple[str, str]]:
    paths = [*SOURCE.rglob("*.py"), *(SOURCE / "server").rglob("templates/*.html")]
    return sorted(
        {
            (path.relative_to(SOURCE).as_posix(), f"antivenom{found[1]}")
            for path in paths
            for text in texts(path)
            for found in COMMAND.finditer(text)
            if found[1].split()[0] not in PROSE and not PROCESS_NAMES.fullmatch(text)
            if not found[1].startswith(" \N{BULLET}")  # a group that is filled in
        }
    )


def wrong(command: str) -> str | None:
    """What is wrong with a command: its first words, and the options that follow before the sentence goes on."""
    words = command.split()
    kept = [word for word in words if not word.startswith("\N{BULLET}") and not word.isupper()]
    return check_span(" ".join(kept))


def test_messages_name_commands():
    assert len(named_commands()) > 30


@pytest.mark.parametrize(("path", "command"), named_commands())
def test_command_that_a_message_names_exists(path: str, command: str):
    assert wrong(command) is None, path


@pytest.mark.parametrize(
    "command", ["antivenom channel republish", "antivenom publish", "antivenom mirror sync \N{BULLET} --now"]
)
def test_command_that_does_not_exist_is_found(command: str):
    assert wrong(command) is not None
