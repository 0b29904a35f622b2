"""The pictures that the README shows, made from the demo. `ANTIVENOM_PICTURES=docs/images` writes them there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser.conftest import SCREENSHOTS, NewContext, show
from tests.conftest import REPO

pytestmark = pytest.mark.browser

PICTURES = {"dashboard": "/", "withheld": "/channels/demo/withheld"}
BYTES_MAX = 300_000


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_small_enough_for_the_repository(open_context: NewContext, name: str) -> None:
    wanted = os.environ.get("ANTIVENOM_PICTURES")
    folder = REPO / wanted if wanted else SCREENSHOTS
    folder.mkdir(parents=True, exist_ok=True)
    page = open_context(viewport={"width": 1280, "height": 820}).new_page()
    show(page, PICTURES[name])
    picture: Path = folder / f"{name}.png"
    page.screenshot(path=picture)
    assert 10_000 < picture.stat().st_size < BYTES_MAX
