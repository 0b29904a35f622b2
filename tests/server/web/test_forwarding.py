"""For whom a request is made: a proxy is believed only when a setting trusts it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antivenom.server.app import configure
from antivenom.server.settings import load_settings

PROXY, CLIENT = "10.1.2.3", "203.0.113.7"


@pytest.mark.parametrize(
    ("trusted", "seen"), [("", PROXY), ("192.0.2.0/24", PROXY), ("10.0.0.0/8", CLIENT), (PROXY, CLIENT)]
)
async def test_forwarded_addresses_count_from_trusted_proxies_alone(trusted: str, seen: str) -> None:
    scopes: list[Any] = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        scopes.append(scope)

    config = configure(application, asyncio.Protocol, load_settings({"ANTIVENOM_TRUSTED_PROXIES": trusted}))
    config.load()
    headers = [(b"x-forwarded-for", CLIENT.encode()), (b"x-forwarded-proto", b"https")]
    scope = {"type": "http", "client": (PROXY, 1), "scheme": "http", "headers": headers}
    await config.loaded_app(scope, None, None)
    assert (scopes[0]["client"][0], scopes[0]["scheme"]) == (seen, "https" if seen == CLIENT else "http")
