"""A mirror of real artifacts, and applications to ask for their files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from antivenom.server.app import Application
from antivenom.server.context import Resources
from tests.s3_service import run_s3_service
from tests.server.asking import Asker
from tests.server.mirrors.conftest import ask, person, upstream  # noqa: F401  # fixtures


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One real S3 service for all tests, with the bucket `antivenom`; use a prefix of your own."""
    with run_s3_service(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


Opens = Callable[[], AbstractAsyncContextManager[Asker]]


@pytest.fixture
def opened(resources: Resources) -> Opens:
    """`async with opened() as ask`: an application that starts when the test says so."""

    @asynccontextmanager
    async def open_application() -> AsyncIterator[Asker]:
        async with Application(resources).running() as application:
            yield Asker(application)

    return open_application
