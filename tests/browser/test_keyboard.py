"""Keyboards, themes and screen readers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewContext

pytestmark = pytest.mark.browser


def test_the_first_tab_offers_to_skip_to_the_content(member_page: Page) -> None:
    member_page.goto("/channels")
    member_page.keyboard.press("Tab")
    expect(member_page.get_by_role("link", name="Skip to content")).to_be_focused()
    member_page.keyboard.press("Enter")
    expect(member_page.locator("main")).to_be_focused()


def test_slash_focuses_the_list_search(member_page: Page) -> None:
    member_page.goto("/channels/demo")
    member_page.keyboard.press("/")
    search = member_page.get_by_role("searchbox", name="Find packages by name")
    expect(search).to_be_focused()
    member_page.keyboard.type("/")
    expect(search).to_have_value("/")


def test_escape_closes_a_question_and_gives_the_focus_back(member_page: Page) -> None:
    member_page.goto("/channels/demo/mirror")
    opener = member_page.locator("summary", has_text="Sync now")
    opener.focus()
    member_page.keyboard.press("Enter")
    expect(member_page.get_by_role("button", name="Sync now")).to_be_visible()
    member_page.keyboard.press("Escape")
    expect(member_page.get_by_role("button", name="Sync now")).to_be_hidden()
    expect(opener).to_be_focused()


def test_the_theme_switch_is_remembered(member_page: Page) -> None:
    member_page.goto("/")
    member_page.get_by_role("button", name="Switch between light and dark").click()
    expect(member_page.locator("html")).to_have_attribute("data-theme", "antivenom-dark")
    member_page.goto("/channels")
    expect(member_page.locator("html")).to_have_attribute("data-theme", "antivenom-dark")


def test_paper_is_white_and_has_no_buttons(open_context: NewContext) -> None:
    page = open_context(theme="dark").new_page()
    page.goto("/channels/demo/withheld")
    page.emulate_media(media="print")
    panel = page.locator("#results")
    assert panel.evaluate("element => getComputedStyle(element).backgroundColor") == "rgb(255, 255, 255)"
    assert panel.evaluate("element => getComputedStyle(element).color") == "rgb(20, 33, 31)"
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    expect(page.get_by_role("button", name="Search")).to_be_hidden()
    expect(panel.locator("tbody tr").first).to_be_visible()


def test_every_chart_has_its_numbers_as_a_table(member_page: Page) -> None:
    member_page.goto("/")
    charts = member_page.locator("figure[data-chart]")
    expect(charts.first.locator("canvas")).to_be_visible()
    assert charts.count() == 3
    for chart in charts.all():
        chart.locator("summary").click()
        expect(chart.locator("table tbody tr").first).to_be_visible()
        expect(chart.locator("caption")).not_to_be_empty()
