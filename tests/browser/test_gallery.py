"""Every macro from literal data: what the demo never shows (failures, ransomware, all severities) is looked at here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pytest
from axe_playwright_python.sync_playwright import Axe

from antivenom.server.db.paging import Page
from antivenom.server.web.rendering import ListState, environment, render_text
from tests.browser.conftest import SCREENSHOTS, NewContext, show

pytestmark = pytest.mark.browser


@pytest.fixture
def gallery(monkeypatch: pytest.MonkeyPatch) -> str:
    own = jinja2.FileSystemLoader(Path(__file__).parent)
    monkeypatch.setattr(environment(), "loader", jinja2.ChoiceLoader([environment().loader or own, own]))
    state = ListState("/gallery", "", "name", 1, 50, (("severity", "high"),), "name")
    values = {"path": "/gallery", "visitor": None, "theme": "", "flash": ("go", "Done."), "state": state}
    now = datetime(2026, 11, 21, tzinfo=UTC)
    return render_text("gallery.html", {**values, "found": Page([1, 2, 3], 312)}, now=now)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_any_component(open_context: NewContext, gallery: str, theme: str) -> None:
    page = open_context(theme=theme, bypass_csp=True).new_page()
    page.route("**/gallery", lambda route: route.fulfill(body=gallery, content_type="text/html; charset=utf-8"))
    show(page, "/gallery")
    page.screenshot(path=SCREENSHOTS / f"gallery-{theme}.png", full_page=True)
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in found] == []
