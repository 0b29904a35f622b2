"""Fixtures of the mirror tests: an upstream on loopback, and the calls that a person would make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from antivenom.server.app import Application
from antivenom.server.catalog import service as catalog
from antivenom.server.channel_policies import service as channel_policies
from antivenom.server.context import LOCAL, Resources
from antivenom.server.mirrors import service as mirrors
from antivenom.server.mirrors.models import Mirror
from antivenom.server.publications.reasons import ReasonView
from tests.server.asking import Asker
from tests.upstreams import UpstreamServer


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[UpstreamServer]:
    folder = tmp_path / "upstream"
    folder.mkdir()
    with UpstreamServer(folder) as server:
        yield server


class Person:
    """What an administrator does, each step in a transaction of its own."""

    def __init__(self, resources: Resources, run_jobs: Callable[..., Awaitable[Any]]) -> None:
        self.resources = resources
        self.run_jobs = run_jobs

    async def mirror(
        self,
        channel: str,
        upstream: UpstreamServer,
        *,
        policy_text: str | None = None,
        closure: bool = True,
        **settings: Any,
    ) -> Mirror:
        async with self.resources.context(LOCAL) as ctx:
            wanted = mirrors.MirrorSettings(upstream.url, **settings)
            await mirrors.create_mirror(ctx, channel, wanted, policy_text=policy_text, closure=closure)
        await self.run_jobs(self.resources)
        return await self.look(channel)

    async def sync(self, channel: str) -> Mirror:
        async with self.resources.context(LOCAL) as ctx:
            await mirrors.request_sync(ctx, channel)
        await self.run_jobs(self.resources)
        return await self.look(channel)

    async def look(self, channel: str) -> Mirror:
        async with self.resources.context(LOCAL) as ctx:
            return await mirrors.get_mirror(ctx, channel)

    async def set_policy(self, channel: str, text: str) -> None:
        async with self.resources.context(LOCAL) as ctx:
            await channel_policies.set_policy(ctx, channel, text)
        await self.run_jobs(self.resources)

    async def ask(self, function: Callable[..., Awaitable[Any]], channel: str, *args: Any, **options: Any) -> Any:
        async with self.resources.context(LOCAL) as ctx:
            return await function(ctx, channel, *args, **options)

    async def kept(self, channel: str) -> set[str]:
        """File names of a channel that are admitted."""
        async with self.resources.context(LOCAL) as ctx:
            names = [p.name for p in (await catalog.list_packages(ctx, channel, page_size=500)).items]
            rows = [row for name in names for row in (await catalog.get_package(ctx, channel, name)).records]
        return {row.fn for row in rows if row.decision != "withheld"}

    async def withheld(self, channel: str) -> dict[str, list[ReasonView]]:
        """Reasons by file name of what a channel withholds."""
        page = await self.ask(catalog.list_withheld, channel, page_size=500)
        return {row.fn: row.reasons for row in page.items}


@pytest.fixture
def person(resources: Resources, run_jobs: Callable[..., Awaitable[Any]]) -> Person:
    return Person(resources, run_jobs)


@pytest.fixture
async def ask(app: Application) -> Asker:
    return Asker(app)
