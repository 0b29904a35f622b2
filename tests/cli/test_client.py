"""How the command line talks to a server."""

from __future__ import annotations

from typing import Any

import pytest

from antivenom.cli import client as module
from antivenom.cli.client import Client


class PagedServer(Client):
    """A server with so many rows; it keeps what was asked."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.asked: list[dict[str, Any]] = []

    def ask(self, method: str, path: str, **options: Any) -> Any:
        params = options["params"]
        self.asked.append(params)
        start = (params["page"] - 1) * params["page_size"]
        items = [{"number": n} for n in range(start, min(start + params["page_size"], self.rows))]
        return {"items": items, "total": self.rows}


@pytest.mark.parametrize(("rows", "pages"), [(0, 1), (1, 1), (3, 1), (4, 2), (7, 3)])
def test_listing_is_asked_for_page_after_page(monkeypatch: pytest.MonkeyPatch, rows: int, pages: int) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 3)
    server = PagedServer(rows)
    assert [row["number"] for row in server.list_items("/api/v1/things", params={"q": "x"})] == list(range(rows))
    assert [(asked["q"], asked["page"]) for asked in server.asked] == [("x", page) for page in range(1, pages + 1)]


def test_listing_that_shrinks_meanwhile_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 3)
    server = PagedServer(6)
    items = server.list_items("/api/v1/things")
    assert next(items) == {"number": 0}
    server.rows = 3
    assert len(list(items)) == 2
