"""`demo://` addresses: answered out of the package, by nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from antivenom import demo
from antivenom.core.errors import OutboundRefusedError
from antivenom.server.adapters.demo_upstream import DemoOutboundClient
from antivenom.server.adapters.http import OutboundClient
from tests.server.adapters.test_http import Answers, server

__all__ = ["server"]  # the fixture


@pytest.fixture
async def client() -> AsyncIterator[DemoOutboundClient]:
    opened = DemoOutboundClient(("127.0.0.1",), attempts=1)
    yield opened
    await opened.close()


async def test_the_demo_is_read_without_a_network(client: DemoOutboundClient) -> None:
    client.check_address(demo.CHANNEL_URL)
    url = f"{demo.CHANNEL_URL}/noarch/repodata.json"
    answer = await client.get(url, max_bytes=10**7, timeout_s=10)
    assert (answer.status, answer.body) == (200, demo.read("channel/noarch/repodata.json"))
    assert (await client.get(f"{demo.CHANNEL_URL}/no-such", max_bytes=10, timeout_s=10)).status == 404
    async with client.stream(url, max_bytes=10**7, timeout_s=10) as stream:
        assert b"".join([chunk async for chunk in stream.chunks]) == answer.body


async def test_other_addresses_are_checked_as_ever(client: DemoOutboundClient, server: Answers) -> None:
    for url in ("http://127.0.0.2/x", "file:///etc/passwd", "demos://channel"):
        with pytest.raises(OutboundRefusedError):
            client.check_address(url)
    server.say("/out", status=302, Location="http://127.0.0.2:1/x")
    with pytest.raises(OutboundRefusedError):
        await client.get(f"{server.url}/out", max_bytes=100, timeout_s=10)


async def test_nobody_is_redirected_into_the_demo(client: DemoOutboundClient, server: Answers) -> None:
    server.say("/in", status=302, Location=f"{demo.CHANNEL_URL}/noarch/repodata.json")
    with pytest.raises(OutboundRefusedError):
        await client.get(f"{server.url}/in", max_bytes=10**7, timeout_s=10)


def test_the_guard_itself_knows_no_demo() -> None:
    with pytest.raises(OutboundRefusedError):
        OutboundClient().check_address(demo.CHANNEL_URL)
