"""What holds of every page: nothing for axe to say, nothing too wide for a phone, no request to another host."""

from __future__ import annotations

from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import NARROW, SCREENSHOTS, WIDE, NewContext, Watch, show
from tests.browser.places import PLACES
from tests.conftest import RunningServer

pytestmark = pytest.mark.browser
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
COLOURS = {
    "runOnly": ["color-contrast", "link-in-text-block"]
}  # what may differ between themes; the rest is looked at once


@pytest.mark.parametrize("name", PLACES)
def test_axe_finds_nothing(open_context: NewContext, name: str) -> None:
    # axe is injected as an inline script, which the pages' policy forbids; everything else is tested under it.
    page = open_context(bypass_csp=True).new_page()
    show(page, PLACES[name])
    page.locator("main details").evaluate_all("elements => elements.forEach(element => { element.open = true })")
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        found = Axe().run(page, options=None if theme == "light" else COLOURS).response["violations"]
        assert [(theme, v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in found] == []


@pytest.mark.parametrize("name", PLACES)
def test_it_keeps_to_its_host_and_policy_and_fits_a_phone(
    open_context: NewContext, demo_server: RunningServer, name: str
) -> None:
    page = open_context(viewport=WIDE).new_page()
    watch = Watch(demo_server.url)
    watch.attach(page)
    show(page, PLACES[name])
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        page.screenshot(path=SCREENSHOTS / f"{name}-{theme}.png", full_page=True)
    assert page.locator("h1").count() == 1
    # A screenshot leaves style="", and charts.js reads colours off a hidden element.
    styled = page.locator('[style]:not([style=""], [hidden], canvas, .chart-canvas, .chart-canvas *)')
    assert styled.evaluate_all("elements => elements.map(element => element.outerHTML.slice(0, 200))") == []
    page.set_viewport_size(NARROW)
    page.screenshot(path=SCREENSHOTS / f"{name}-phone.png", full_page=True)
    for width in (NARROW["width"], 768, 1024):  # a phone, a tablet, a small laptop with the side bar
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watch.problems == []


@pytest.mark.parametrize("name", PLACES)
def test_htmx_gets_the_same_region_alone(open_context: NewContext, name: str) -> None:
    context = open_context(script=False)
    page = context.new_page()
    page.goto(PLACES[name])
    if not page.locator("#results").count():
        return
    whole = page.locator("#results tbody tr, #results nav").all_inner_texts()
    answer = context.request.get(PLACES[name], headers={"hx-request": "true", "hx-request-type": "partial"})
    assert answer.status == 200
    assert "<html" not in answer.text()
    page.set_content(answer.text())
    assert len(page.locator("#results tbody tr, #results nav").all_inner_texts()) == len(whole)


@pytest.mark.parametrize("name", ["channel-packages", "channel-withheld", "package", "policy", "channels"])
def test_other_peoples_long_words_do_not_break_a_page(open_context: NewContext, name: str) -> None:
    page = open_context().new_page()
    show(page, PLACES[name])
    texts = "main :is(h1, .row-link, .text-link, .spec, .badge-soft[title^=gate], .chip)"
    page.locator(texts).evaluate_all("found => found.forEach(element => { element.append('a'.repeat(300)) })")
    for width in (1440, 768, NARROW["width"]):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_sign_in_page_too(open_context: NewContext, demo_server: RunningServer) -> None:
    for theme in THEMES:
        context = open_context(theme=theme, bypass_csp=True)
        context.clear_cookies()
        page = context.new_page()
        show(page, "/sign-in")
        page.screenshot(path=SCREENSHOTS / f"sign-in-{theme}.png")
        assert [v["id"] for v in Axe().run(page).response["violations"]] == []
