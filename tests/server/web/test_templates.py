"""Each template lies in the room whose page renders it, or in a lower one that several rooms share; none is left over."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from antivenom.server import rooms
from antivenom.server.web.rendering import HERE

SHARED = {"base.html", "components.html", "error.html"}
"""Templates that rendering.py itself names, or that all others extend."""


def templates() -> dict[str, Path]:
    """The files by the name under which they are rendered."""
    found = {path.name: path for path in (HERE / "templates").glob("*.html")}
    found |= {f"{path.parents[1].name}/{path.name}": path for path in HERE.glob("*/templates/*.html")}
    return found


def uses() -> dict[str, set[str]]:
    """By template: the rooms whose code or templates name it ("" is the server's own folder)."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in [*HERE.rglob("*.py"), *HERE.rglob("*.html")]:
        parts = path.relative_to(HERE).parts
        room = parts[0] if len(parts) > 1 and parts[0] in rooms.ROOMS else ""
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"[\"']([a-z_]+/[a-z_]+\.html|[a-z_]+\.html)[\"']", text):
            found[name].add(room)
        if "_render_tab(" in text:
            tabs = re.findall(r"_render_tab\(request, ctx, \"([a-z]+)\"", text)
            for tab in tabs:
                found[f"{room}/{tab}.html"].add(room)
    return found


def test_every_template_is_rendered_extended_or_included() -> None:
    assert sorted(templates().keys() - uses().keys() - SHARED) == []


def test_every_template_that_is_named_exists() -> None:
    assert sorted(uses().keys() - templates().keys()) == []


def test_a_template_lies_in_the_lowest_room_that_uses_it() -> None:
    for name, users in uses().items():
        room, _, file = name.rpartition("/")
        if not room or file == "channel.html":  # the head of a channel's tabs: below every room that has one
            continue
        lowest = min(users, key=rooms.ROOMS.index) if "" not in users else room
        assert room == lowest, f"{name} is used by {sorted(users)}"


def test_every_risk_on_a_page_says_whether_it_is_estimated() -> None:
    shown = {
        f"{path.name}: {arguments}"
        for path in HERE.rglob("*.html")
        for arguments in re.findall(r"ui\.risk\(([^)]*)\)", path.read_text())
    }
    assert len(shown) >= 5
    assert [one for one in shown if "risk_estimated" not in one] == []
