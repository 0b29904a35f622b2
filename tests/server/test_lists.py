"""Lists of the API: every one is ordered by its service, and a wrong order is refused with the right ones."""

from __future__ import annotations

from typing import Any

import pytest

ORDERS = {
    "/api/v1/channels": ("name", "-withheld"),
    "/api/v1/policies": ("name", "-name"),
    "/api/v1/feeds": ("added", "-kind"),
    "/api/v1/tokens": ("name", "-created"),
    "/api/v1/events": ("-at", "actor"),
}


@pytest.mark.parametrize("path", ORDERS)
async def test_a_list_takes_its_orders_and_refuses_others_with_a_hint(app_client: Any, path: str) -> None:
    for sort in ORDERS[path]:
        assert (await app_client.get(path, params={"sort": sort})).status_code == 200
    refused = await app_client.get(path, params={"sort": "colour"})
    assert refused.status_code == 422
    assert "cannot sort by 'colour'" in refused.json()["detail"]
    assert ORDERS[path][0].removeprefix("-") in refused.json()["hint"]


async def test_channels_and_tokens_are_turned_around_by_a_minus(app_client: Any) -> None:
    for name in ("ash", "birch"):
        assert (await app_client.post("/api/v1/channels", json={"name": name})).status_code == 201
        assert (await app_client.post("/api/v1/tokens", json={"name": name})).status_code == 201
    for path in ("/api/v1/channels", "/api/v1/tokens"):
        names = [item["name"] for item in (await app_client.get(path, params={"sort": "name"})).json()["items"]]
        turned = [item["name"] for item in (await app_client.get(path, params={"sort": "-name"})).json()["items"]]
        assert {"ash", "birch"} <= set(names)
        assert names == sorted(names)
        assert turned == names[::-1]
