"""Signing in and out."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD, NewContext

pytestmark = pytest.mark.browser


def test_a_stranger_is_asked_to_sign_in_and_then_sees_the_page_they_wanted(open_context: NewContext) -> None:
    context = open_context()
    context.clear_cookies()
    page = context.new_page()
    page.goto("/channels/demo/withheld?q=openssl")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.get_by_label("Name", exact=True).fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/channels/demo/withheld\?q=openssl"))


def test_a_wrong_password_is_said_and_the_name_stays(open_context: NewContext) -> None:
    context = open_context()
    context.clear_cookies()
    page = context.new_page()
    page.goto("/sign-in")
    page.get_by_label("Name", exact=True).fill("somebody")
    page.get_by_label("Password", exact=True).fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("name or password are wrong")
    expect(page.get_by_label("Name", exact=True)).to_have_value("somebody")
    expect(page.get_by_label("Password", exact=True)).to_have_value("")


def test_after_signing_out_pages_ask_again(open_context: NewContext) -> None:
    context = open_context()
    context.clear_cookies()
    page = context.new_page()
    page.goto("/sign-in")
    page.get_by_label("Name", exact=True).fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.goto("/channels")
    expect(page).to_have_url(re.compile("/sign-in"))
