"""What can name a member, a group or a token."""

from __future__ import annotations

import re

from antivenom.core.errors import InvalidInputError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def check_name(name: str, what: str) -> None:
    """Return if it can name `what`, such as "a member".

    Raises:
        InvalidInputError: It cannot.
    """
    if not NAME.fullmatch(name):
        raise InvalidInputError(
            f"{name[:80]!r} cannot name {what}",
            hint="letters, digits and . _ @ -, beginning with a letter or digit, 64 characters at most",
            field="name",
        )
