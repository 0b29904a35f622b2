"""Lists: the address says what they show, going back goes back, and none of it needs a script."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NARROW, NewContext

pytestmark = pytest.mark.browser


def names(page: Page) -> list[str]:
    return page.locator("#results tbody th").all_inner_texts()


def test_typing_narrows_the_list_and_the_address_follows(member_page: Page) -> None:
    member_page.goto("/channels/demo")
    before = len(names(member_page))
    member_page.get_by_role("searchbox", name="Find packages by name").fill("openssl")
    expect(member_page).to_have_url(re.compile(r"/channels/demo\?q=openssl$"))
    expect(member_page.locator("#results tbody tr")).to_have_count(1)
    assert before > 1
    assert names(member_page) == ["openssl"]


def test_going_back_shows_the_list_as_it_was(member_page: Page) -> None:
    member_page.goto("/channels/demo")
    before = names(member_page)
    member_page.get_by_role("link", name="Records", exact=True).click()
    expect(member_page).to_have_url(re.compile("sort=-records"))
    expect(member_page.locator("th[aria-sort=descending]")).to_contain_text("Records")
    member_page.go_back()
    expect(member_page).to_have_url(re.compile("/channels/demo$"))
    expect(member_page.locator("th[aria-sort=ascending]")).to_contain_text("Package")
    assert names(member_page) == before


def test_a_filter_and_an_order_survive_a_reload(member_page: Page) -> None:
    member_page.goto("/channels/demo")
    member_page.get_by_role("group", name="Withheld").get_by_role("link", name="Some").click()
    expect(member_page).to_have_url(re.compile("withheld=yes"))
    member_page.get_by_role("link", name="Withheld", exact=True).last.click()
    expect(member_page).to_have_url(re.compile("sort=-withheld"))
    shown = names(member_page)
    member_page.reload()
    assert names(member_page) == shown
    assert shown


def test_the_same_filter_works_without_a_script(open_context: NewContext) -> None:
    page = open_context(script=False).new_page()
    page.goto("/channels/demo")
    page.get_by_role("searchbox", name="Find packages by name").fill("openssl")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url(re.compile(r"q=openssl"))
    assert names(page) == ["openssl"]
    page.get_by_role("group", name="Withheld").get_by_role("link", name="Some").click()
    expect(page).to_have_url(re.compile(r"q=openssl&withheld=yes"))


def test_a_search_without_hits_offers_the_whole_list(member_page: Page) -> None:
    member_page.goto("/channels/demo?q=no-such-package")
    expect(member_page.get_by_text("No packages match")).to_be_visible()
    member_page.get_by_role("link", name="Show all packages").click()
    expect(member_page).to_have_url(re.compile("/channels/demo$"))
    assert names(member_page)


def test_half_a_match_spec_is_explained_in_place(member_page: Page) -> None:
    member_page.goto("/channels/demo/withheld?q=openssl+%5B")
    expect(member_page.get_by_role("alert")).to_be_visible()
    expect(member_page.get_by_role("searchbox", name="Find withheld records by name or match spec")).to_have_value(
        "openssl ["
    )


def test_advisories_can_be_narrowed_to_what_is_exploited(member_page: Page) -> None:
    member_page.goto("/advisories")
    member_page.get_by_role("group", name="Exploited").get_by_role("link", name="Yes").click()
    expect(member_page).to_have_url(re.compile("kev=yes"))
    rows = member_page.locator("#results tbody tr")
    expect(rows.first).to_be_visible()
    for row in rows.all():
        expect(row).to_contain_text("Exploited")


def test_a_phone_sorts_too(open_context: NewContext) -> None:
    page = open_context(viewport=NARROW).new_page()
    page.goto("/channels/demo/findings")
    page.get_by_role("link", name="Severity").click()
    expect(page).to_have_url(re.compile("sort=-severity"))
    expect(page.locator("#results tbody tr").first).to_contain_text("Critical")


def test_findings_say_what_is_served_all_the_same(member_page: Page) -> None:
    member_page.goto("/channels/demo/findings")
    member_page.get_by_role("group", name="Served").get_by_role("link", name="Yes").click()
    expect(member_page).to_have_url(re.compile("served=yes"))
    rows = member_page.locator("#results tbody tr")
    expect(rows.first).to_contain_text("served")
    for row in rows.all():
        expect(row).not_to_contain_text("withheld")


@pytest.mark.parametrize(
    ("address", "head", "key"),
    [
        ("/channels", "Withheld", "-withheld"),
        ("/policies", "Revised", "-revised"),
        ("/feeds", "Entries", "-entries"),
        ("/channels/demo/history", "Served", "-kept"),
        ("/advisories/CVE-2023-4863", "Records", "-served"),
    ],
)
def test_every_list_is_put_in_order_by_its_heads(member_page: Page, address: str, head: str, key: str) -> None:
    member_page.goto(address)
    member_page.locator("#results thead").get_by_role("link", name=head).click()
    expect(member_page).to_have_url(re.compile(f"sort={key}$"))
    expect(member_page.locator("th[aria-sort=descending]")).to_contain_text(head)
    assert member_page.locator("#results tbody tr").count()


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "page=99999999999", "sort=%00", "severity=worst", "q=" + "%F0%9F%90%8D" * 60]
)
def test_a_wrong_address_is_a_page_that_says_so(member_page: Page, query: str) -> None:
    answer = member_page.goto(f"/channels/demo?{query}")
    assert answer is not None
    assert answer.status in (200, 422)
    expect(member_page.locator("h1")).to_be_visible()


def test_a_rule_of_either_list_shows_what_it_concerns(member_page: Page) -> None:
    member_page.goto("/channels/demo/withheld")
    member_page.get_by_role("group", name="Warned by").get_by_role("link", name=re.compile("^high")).click()
    expect(member_page).to_have_url(re.compile("show=warned&rule=high"))
    warned = member_page.get_by_role("group", name="Warned by").get_by_role("link", name=re.compile("^high"))
    total = warned.locator(".count").inner_text()
    expect(member_page.get_by_role("navigation", name="Pages of this list")).to_contain_text(f"{total} records")
    member_page.get_by_role("group", name="Withheld by").get_by_role("link", name=re.compile("^banned")).click()
    expect(member_page).to_have_url(re.compile("rule=banned$"))
    expect(member_page.locator("#results tbody tr").first).to_contain_text("is denied")


def test_withheld_records_are_found_by_a_part_of_their_name_and_ordered(member_page: Page) -> None:
    member_page.goto("/channels/demo/withheld?q=opens")
    assert names(member_page)
    assert all(name.startswith("openssl") for name in names(member_page))
    member_page.get_by_role("link", name="Severity").click()
    expect(member_page).to_have_url(re.compile("sort=-severity"))
    expect(member_page.locator("#results tbody tr").first).to_contain_text("Critical")
