"""Passwords (argon2id), tokens, and their digests."""

from __future__ import annotations

import hashlib
import secrets
from functools import cache
from typing import TYPE_CHECKING

from antivenom.core.errors import InvalidInputError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

PASSWORD_MIN = 10
PASSWORD_MAX = 1024
TOKEN_PREFIX = "av-"  # noqa: S105  # marks a token of ours; conda takes only letters, digits and "-" in /t/TOKEN/
SECRET_BYTES = 32


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()  # RFC 9106, the low-memory profile: 64 MiB, 3 passes, 4 lanes


@cache
def _hash_of_nothing() -> str:
    return _hasher().hash(secrets.token_hex(16))


def check_new_password(password: str) -> None:
    """Return if the text may become a password.

    Raises:
        InvalidInputError: It is too short, too long, or has fewer than three different characters.

    Source: NIST SP 800-63B (length counts, rules on composition do not help).
    """
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX or len(set(password)) < 3:
        raise InvalidInputError(
            f"the password needs {PASSWORD_MIN} to {PASSWORD_MAX} characters that are not all alike", field="password"
        )


def hash_password(password: str) -> str:
    return _hasher().hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether the password is right. Without a hash (no such member) it is wrong, after the same time."""
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return (
            _hasher().verify(password_hash or _hash_of_nothing(), password[:PASSWORD_MAX]) and password_hash is not None
        )
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False


def make_password() -> str:
    """A password that can be read aloud and typed: 20 characters, 100 bits, no l, o, 0 or 1."""
    letters = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


def make_token() -> str:
    return TOKEN_PREFIX + secrets.token_hex(SECRET_BYTES)


def digest(secret: str) -> bytes:
    """The sha256 of a random secret, which is what is stored: nobody can guess 256 random bits."""
    return hashlib.sha256(secret.encode()).digest()
