"""What an administrator does on pages: channels, policies, syncs, tokens, feeds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SCREENSHOTS
from tests.conftest import RunningServer
from tests.upstreams import UpstreamServer, make_record, write_channel
from tests.waiting import wait_until

pytestmark = pytest.mark.browser


def count_withheld(page: Page) -> int:
    """What the head of a channel's page says."""
    return int(page.locator("dd a[href$='/withheld']").inner_text().replace(",", ""))


def wait_for_withheld(page: Page, count: int) -> None:
    """Open the demo's withheld records again and again until a job has published so many."""

    def look() -> bool:
        page.goto("/channels/demo/withheld")
        return count_withheld(page) == count

    wait_until(look)


def test_a_channel_is_made_and_deleted_with_its_name_as_the_confirmation(member_page: Page) -> None:
    member_page.goto("/channels")
    member_page.get_by_role("link", name="New channel").click()
    member_page.get_by_label("Name", exact=True).fill("Wrong Name")
    member_page.locator("#name").evaluate("field => field.removeAttribute('pattern')")
    member_page.get_by_role("button", name="Create channel").click()
    expect(member_page.get_by_role("alert")).to_contain_text("cannot name a channel")
    member_page.get_by_label("Name", exact=True).fill("made-by-hand")
    member_page.get_by_role("button", name="Create channel").click()
    expect(member_page.get_by_role("heading", level=1)).to_have_text("made-by-hand")
    expect(member_page.get_by_text("Channel made-by-hand was created.")).to_be_visible()
    member_page.get_by_role("link", name="Settings", exact=True).click()
    member_page.get_by_label("Description").fill("For the data scientists")
    member_page.get_by_label("Who may read it").select_option("authenticated")
    member_page.get_by_role("button", name="Save").click()
    expect(member_page.get_by_text("The settings of made-by-hand are saved.")).to_be_visible()
    expect(member_page.locator("main")).to_contain_text("For the data scientists")
    expect(member_page.locator("main")).to_contain_text("Authenticated")
    member_page.get_by_label("Type the channel's name").fill("made-by-hand")
    member_page.get_by_role("button", name="Delete channel").click()
    expect(member_page.get_by_text("were deleted")).to_be_visible()
    expect(member_page.get_by_role("link", name="made-by-hand")).to_have_count(0)


def test_a_wrong_policy_is_refused_with_its_line_and_nothing_changes(member_page: Page) -> None:
    member_page.goto("/channels/demo/policy/edit")
    member_page.get_by_label("Policy (YAML or JSON)").fill("name: demo\nrules:\n  - {id: x, gate: vulnerabilites}\n")
    member_page.get_by_role("button", name="Apply").click()
    alert = member_page.get_by_role("alert")
    expect(alert).to_contain_text("Line 3")
    expect(alert).to_contain_text("did you mean 'vulnerabilities'?")
    expect(member_page.locator("li[data-wrong]")).to_contain_text("vulnerabilites")
    expect(member_page.get_by_label("Policy (YAML or JSON)")).to_have_value(re.compile("vulnerabilites"))


def test_a_plan_says_what_would_be_released_and_applying_publishes_anew(
    member_page: Page, demo_server: RunningServer
) -> None:
    member_page.goto("/channels/demo/policy/edit")
    editor = member_page.get_by_label("Policy (YAML or JSON)")
    original = editor.input_value()
    withheld = count_withheld(member_page)
    assert withheld > 0
    editor.fill("name: demo\nrules: []\n")
    with member_page.expect_request("**/policy/plan") as asked:
        member_page.get_by_role("button", name="Plan: what would change").click()
    assert asked.value.headers["x-progress"] == "1"
    expect(member_page.get_by_role("heading", name="If you apply this")).to_be_visible()
    expect(member_page.locator("[data-outcome]")).to_be_focused()
    expect(member_page).to_have_url(re.compile("/channels/demo/policy/edit$"))
    expect(member_page.get_by_role("heading", name="Released", exact=True)).to_be_visible()
    member_page.reload()
    try:
        member_page.goto("/channels/demo/policy/edit")
        editor.fill("name: demo\nrules: []\n")
        member_page.get_by_role("button", name="Apply").click()
        expect(member_page.get_by_text("is being republished")).to_be_visible()
        wait_for_withheld(member_page, 0)
        expect(member_page.get_by_text("Nothing is withheld")).to_be_visible()
    finally:
        member_page.goto("/channels/demo/policy/edit")
        editor.fill(original)
        member_page.get_by_role("button", name="Apply").click()
        expect(member_page.get_by_text("is being republished")).to_be_visible()
        wait_for_withheld(member_page, withheld)


def test_a_sync_shows_its_progress_and_its_end(member_page: Page, demo_server: RunningServer, tmp_path: Path) -> None:
    write_channel(tmp_path, {"linux-64": [make_record("alpha", "1.0")]})
    with UpstreamServer(tmp_path) as upstream:
        demo_server.cli("mirror", "create", "watched", "--upstream", upstream.url, "--subdir", "linux-64", "--wait")
        try:
            member_page.goto("/channels/watched/mirror")
            with upstream.holding("linux-64/repodata.json.zst"):
                member_page.locator("summary", has_text="Sync now").click()
                member_page.get_by_role("button", name="Sync now").click()
                expect(member_page.locator("#sync")).to_contain_text("Syncing")
                expect(member_page.get_by_role("progressbar", name="Progress of the sync")).to_be_visible()
            expect(member_page.locator("#sync")).to_contain_text("Done.")
        finally:
            demo_server.cli("channel", "delete", "watched", "--yes", check=False)


def test_an_earlier_publication_is_served_again(member_page: Page) -> None:
    member_page.goto("/channels/demo/history")
    first = member_page.locator("tbody tr").filter(has_text=re.compile(r"#1(?!\d)")).first
    if first.locator("summary").count() == 0:
        pytest.fail("the demo has one publication only: policy edits before this test make more")
    first.locator("summary").click()
    first.get_by_role("button", name="Serve #1").click()
    expect(member_page.get_by_text("Clients get publication #1 of demo again.")).to_be_visible()
    expect(first).to_contain_text("Served now")
    # For the other tests: #1 may be older than the first findings.
    member_page.goto("/channels/demo/history")
    newest = member_page.locator("tbody tr").filter(has=member_page.locator("summary")).first
    newest.locator("summary").click()
    newest.get_by_role("button", name="Serve #").click()
    expect(member_page.get_by_text("of demo again.")).to_be_visible()


def test_a_mirror_is_edited_and_wrong_fields_say_so_in_place(member_page: Page) -> None:
    member_page.goto("/channels/demo/mirror")
    member_page.get_by_role("link", name="Edit", exact=True).click()
    member_page.get_by_label("Subdirs").fill("noarch ../etc")
    member_page.get_by_role("button", name="Save and sync").click()
    expect(member_page.get_by_role("alert")).to_contain_text("is not a conda subdir")
    expect(member_page.get_by_label("Subdirs")).to_have_value("noarch ../etc")
    member_page.get_by_label("Subdirs").fill("noarch linux-64 osx-arm64 win-64")
    member_page.get_by_label("Sync", exact=True).select_option("86400")
    member_page.get_by_role("button", name="Save and sync").click()
    expect(member_page.get_by_text("The mirror is changed")).to_be_visible()
    expect(member_page.locator("main")).to_contain_text("every 1 d")
    expect(member_page.locator("#sync progress")).to_have_count(0)
    expect(member_page.locator("#sync")).not_to_contain_text("failed")


def test_a_mirror_is_stopped_by_keyboard_after_a_question(member_page: Page, demo_server: RunningServer) -> None:
    demo_server.cli("mirror", "create", "short-lived", "--upstream", "demo://channel")
    try:
        member_page.goto("/channels/short-lived/mirror")
        member_page.locator("summary", has_text="Stop mirroring").focus()
        member_page.keyboard.press("Enter")
        expect(member_page.get_by_text("keeps serving its last publication and is synced no more")).to_be_visible()
        member_page.get_by_role("button", name="Stop mirroring").focus()
        member_page.keyboard.press("Enter")
        expect(member_page.get_by_text("short-lived is no longer a mirror")).to_be_visible()
        expect(member_page.get_by_text("This channel has no upstream")).to_be_visible()
    finally:
        demo_server.cli("channel", "delete", "short-lived", "--yes", check=False)


def test_a_policy_is_written_planned_and_attached_to_the_channels_that_are_ticked(
    member_page: Page, demo_server: RunningServer
) -> None:
    for name in ("first", "second"):
        demo_server.cli("channel", "create", name)
    try:
        member_page.goto("/policies")
        member_page.get_by_role("link", name="New policy").click()
        member_page.get_by_label("Policy (YAML or JSON)").fill("name: strict\nrules:\n  - {id: x, gat: packages}\n")
        member_page.get_by_role("button", name="Plan: what would change").click()
        expect(member_page.get_by_role("alert")).to_contain_text("Line 3")
        rule = '{id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["numpy"]}}'
        member_page.get_by_label("Policy (YAML or JSON)").fill(f"name: strict\nrules:\n  - {rule}\n")
        member_page.get_by_role("checkbox", name=re.compile("^demo ")).check()
        member_page.get_by_role("button", name="Plan: what would change").click()
        plan = member_page.get_by_role("region", name="If you apply this to demo")
        expect(plan.get_by_role("row", name=re.compile("^banned"))).to_contain_text("+18")
        expect(plan.get_by_role("list", name="Newly withheld in demo")).to_contain_text("numpy")
        member_page.get_by_role("checkbox", name=re.compile("^demo ")).uncheck()
        for name in ("first", "second"):
            member_page.get_by_role("checkbox", name=re.compile(f"^{name} ")).check()
        member_page.get_by_role("button", name="Apply").click()
        expect(
            member_page.get_by_text("Revision 1 of strict is saved; first, second are being republished")
        ).to_be_visible()
        under = member_page.get_by_role("region", name="Channels under it")
        expect(under.get_by_role("listitem")).to_have_count(2)
        edit_everywhere(member_page)
        expect(under.get_by_role("listitem")).to_have_count(2)
        expect(under).not_to_contain_text("revision 1")
    finally:
        for name in ("first", "second"):
            demo_server.cli("channel", "delete", name, "--yes", check=False)


def edit_everywhere(page: Page) -> None:
    """From the policy tab of one channel, an edit for every channel under the policy."""
    page.goto("/channels/first/policy/edit")
    page.get_by_label("Policy (YAML or JSON)").fill("name: strict\ndescription: Softer.\nrules: []\n")
    page.get_by_role("button", name="Apply to all 2 channels").click()
    expect(page.get_by_text("Revision 2 is attached to first, second")).to_be_visible()
    page.goto("/policies/strict")


def test_the_audit_trail_says_who_did_it_and_gives_it_away_as_a_file(member_page: Page) -> None:
    member_page.goto("/audit")
    member_page.get_by_label("What").select_option("member.signed_in")
    expect(member_page).to_have_url(re.compile("kind=member.signed_in"))
    expect(member_page.locator("#results tbody tr").first).to_contain_text("Member signed in")
    member_page.get_by_role("link", name="Only events about member:admin").first.click()
    expect(member_page).to_have_url(re.compile("subject=member%3Aadmin"))
    member_page.reload()
    with member_page.expect_download() as download:
        member_page.get_by_role("link", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "id,at,actor,kind,subject,data"
    assert all("member.signed_in,member:admin" in line for line in lines[1:])
    assert len(lines) > 1


def test_a_token_is_shown_once_and_can_be_revoked(member_page: Page) -> None:
    member_page.goto("/tokens")
    member_page.get_by_label("Name", exact=True).fill("browser-test")
    member_page.get_by_role("button", name="Create token").click()
    value = member_page.locator("#token-value").inner_text()
    assert len(value) > 30
    member_page.goto("/tokens")
    expect(member_page.locator("body")).not_to_contain_text(value)
    row = member_page.locator("tbody tr").filter(has_text="browser-test")
    row.locator("summary").click()
    row.get_by_role("button", name="Revoke token").click()
    expect(row).to_contain_text("Revoked")


def test_a_feed_that_may_not_be_read_is_refused_in_place(member_page: Page) -> None:
    member_page.goto("/feeds")
    member_page.get_by_label("Address", exact=True).fill("http://169.254.169.254/latest")
    member_page.get_by_role("button", name="Add feed").click()
    expect(member_page.get_by_role("alert")).to_be_visible()
    expect(member_page.get_by_label("Address", exact=True)).to_have_value("http://169.254.169.254/latest")


def test_a_form_is_sent_once_however_often_one_clicks(member_page: Page) -> None:
    member_page.goto("/tokens")
    sent: list[str] = []
    member_page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    member_page.get_by_label("Name", exact=True).fill("clicked-twice")
    member_page.get_by_role("button", name="Create token").dblclick()
    expect(member_page.locator("#token-value")).to_be_visible()
    assert len(sent) == 1


def test_an_id_in_the_search_leads_to_the_advisory(member_page: Page) -> None:
    member_page.goto("/")
    member_page.keyboard.press("/")
    member_page.keyboard.type("CVE-2023-4863")
    member_page.keyboard.press("Enter")
    expect(member_page.get_by_role("heading", level=1)).to_have_text("CVE-2023-4863")
    expect(member_page.get_by_role("heading", name="Affected in my channels")).to_be_visible()


def test_a_withheld_package_says_which_rule_and_with_what_evidence(member_page: Page) -> None:
    member_page.goto("/channels/demo/withheld")
    member_page.locator("#results tbody th a").first.click()
    expect(member_page.get_by_role("heading", name="Versions")).to_be_visible()
    expect(member_page.locator("main")).to_contain_text("Withheld")
    expect(member_page.get_by_role("heading", name="Licences")).to_be_visible()


def test_what_is_wrong_is_corrected_from_the_finding_with_its_effect_shown_first(member_page: Page) -> None:
    member_page.goto("/channels/demo/packages/openssl")
    member_page.get_by_role("link", name="This is wrong").first.click()
    expect(member_page.get_by_role("heading", level=1)).to_have_text("This is wrong")
    member_page.get_by_role("link", name="Not affected").click()
    member_page.get_by_label("Why").fill("Our build leaves that code out")
    member_page.get_by_role("button", name="Show the effect").click()
    effect = member_page.get_by_role("region", name="What would change")
    expect(effect).to_contain_text("Channel demo")
    expect(effect).to_contain_text("kept as ignored by affected/openssl/CVE-")
    for theme in ("light", "dark"):
        member_page.emulate_media(color_scheme=theme)
        member_page.screenshot(path=SCREENSHOTS / f"correction-effect-{theme}.png", full_page=True)
    expect(member_page.get_by_label("Why")).to_have_value("Our build leaves that code out")
    member_page.get_by_role("button", name="Propose").click()
    expect(member_page.get_by_text("The correction waits for an administrator.")).to_be_visible()
    expect(member_page.get_by_role("heading", name="If it is applied")).to_be_visible()
    member_page.get_by_text("Decline", exact=True).first.click()
    member_page.locator("form[action$='/decline']").get_by_role("button", name="Decline").click()
    expect(member_page.get_by_text("The correction was declined.")).to_be_visible()
    member_page.goto("/corrections?q=openssl")
    expect(member_page.locator("main")).to_contain_text("Our build leaves that code out")
