"""Fixtures of the mirror tests, for those that need no process of their own beside a real client."""

from tests.server.mirrors.conftest import ask, person, upstream  # noqa: F401  # fixtures
