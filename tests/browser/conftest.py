"""A real server with the demo, a real browser, and a watch over what pages must never do."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from antivenom.server.web.rendering import STATIC
from tests.conftest import RunningServer, launch_server
from tests.waiting import wait_until

PASSWORD = "correct-horse-battery"
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SCREENSHOTS = Path(__file__).parent / "screenshots"
WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
PATIENCE_MS = 240_000  # less than a test's own time, so that what was waited for is named
expect.set_options(timeout=PATIENCE_MS)


# Package scope, and none of the plugin's own fixtures: while Playwright's synchronous interface is open, this thread has a
# running event loop, and no asynchronous test could run after these.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's chromium."""
    if not Path(CHROMIUM).exists():
        pytest.skip("the browser tests drive Debian's chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="package")
def demo_server() -> Iterator[RunningServer]:
    """`antivenom up` with the demo published, and the member `admin`."""
    assert (STATIC / "manifest.json").exists(), "the frontend is not built: run `make setup`"
    folder = Path(tempfile.mkdtemp(prefix="antivenom-browser-"))
    folder.chmod(0o755)
    server = launch_server(folder / "home", admin_password=PASSWORD)
    try:
        _wait_for_demo(server)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_demo(server: RunningServer) -> None:
    """Until the demo is published with findings: its feeds may be read after its mirror."""

    def has_findings() -> bool:
        shown = server.cli("channel", "show", "demo", "--output", "json", check=False)
        return shown.returncode == 0 and bool(json.loads(shown.stdout)["counts"].get("exploited"))

    wait_until(has_findings)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A test that failed shows what the server said last."""
    report = yield
    server = getattr(item, "funcargs", {}).get("demo_server")
    if report.failed and server is not None:
        report.sections.append(("the server's log", "\n".join(server.log_text().splitlines()[-60:])))
    return report


@dataclass
class Watch:
    """What a page did that it must not: errors in its console, requests to other hosts."""

    allowed_host: str
    problems: list[str] = field(default_factory=list)

    def attach(self, page: Page) -> None:
        page.on("console", lambda message: self._note(f"console: {message.text}") if message.type == "error" else None)
        page.on("pageerror", lambda error: self._note(f"script error: {error}"))
        page.on("request", self._check_request)

    def _check_request(self, request: Request) -> None:
        if not request.url.startswith((self.allowed_host, "data:", "blob:")):
            self._note(f"request to another host: {request.url}")

    def _note(self, text: str) -> None:
        # A refused form answers 4xx, and the browser logs that as an error of its own.
        if "the server responded with a status of 4" not in text:
            self.problems.append(text)


@pytest.fixture(scope="package")
def signed_in_state(demo_server: RunningServer, browser: Browser) -> Any:
    """The cookies of the member `admin`, from signing in once through the page."""
    context = browser.new_context(base_url=demo_server.url)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/sign-in")
    page.get_by_label("Name", exact=True).fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{demo_server.url}/")
    state = context.storage_state()
    context.close()
    return state


NewContext = Callable[..., BrowserContext]


@pytest.fixture
def open_context(demo_server: RunningServer, browser: Browser, signed_in_state: Any) -> Iterator[NewContext]:
    """`open_context(theme="dark", viewport=NARROW, script=False, bypass_csp=True)`: a signed-in browser window."""
    opened: list[BrowserContext] = []

    def make(
        *, theme: Any = "light", viewport: Any = WIDE, script: bool = True, bypass_csp: bool = False
    ) -> BrowserContext:
        context = browser.new_context(
            base_url=demo_server.url,
            storage_state=signed_in_state,
            color_scheme=theme,
            viewport=viewport,
            java_script_enabled=script,
            bypass_csp=bypass_csp,
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE_MS)
        opened.append(context)
        return context

    yield make
    for context in opened:
        context.close()


def show(page: Page, address: str) -> None:
    """Open a page and wait for what it draws and loads by itself."""
    page.goto(address)
    expect(page.locator("[hx-trigger=load]")).to_have_count(0)
    expect(page.locator("figure[data-chart]:not(:has(canvas))")).to_have_count(0)


@pytest.fixture
def member_page(open_context: NewContext, demo_server: RunningServer) -> Iterator[Page]:
    """A signed-in page under the server's own content security policy; the test fails when it did what it must not."""
    page = open_context().new_page()
    watch = Watch(demo_server.url)
    watch.attach(page)
    yield page
    assert watch.problems == []
