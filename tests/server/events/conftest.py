"""Fixtures of other rooms: a mirror's upstream and person, a member's client."""

from tests.server.mirrors.conftest import person, upstream  # noqa: F401  # fixtures
from tests.server.test_pages import member_client, stranger  # noqa: F401  # fixtures
