"""A mirror of real artifacts, and applications to ask for their files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from antivenom.server.app import Application
from antivenom.server.context import Resources
from tests.server.asking import Asker
from tests.server.mirrors.conftest import ask, person, upstream  # noqa: F401  # fixtures

Opens = Callable[[], AbstractAsyncContextManager[Asker]]


@pytest.fixture
def opened(resources: Resources) -> Opens:
    """`async with opened() as ask`: an application that starts when the test says so."""

    @asynccontextmanager
    async def open_application() -> AsyncIterator[Asker]:
        async with Application(resources).running() as application:
            yield Asker(application)

    return open_application
