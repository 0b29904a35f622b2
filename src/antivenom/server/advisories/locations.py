"""Feed locations as people write them: http(s) URLs, credentials taken out, or paths on the server's machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from antivenom import demo
from antivenom.core.errors import InvalidInputError

LOCATION_MAX_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Location:
    """`text` without credentials; `auth` "" or "basic:USER:PASSWORD"."""

    text: str
    auth: str = ""

    @property
    def is_path(self) -> bool:
        return is_path(self.text)

    @property
    def basic_auth(self) -> tuple[str, str] | None:
        user, _, password = self.auth.removeprefix("basic:").partition(":")
        return (user, password) if self.auth else None


def is_path(location: str) -> bool:
    return "://" not in location


def parse_location(text: str) -> Location:
    """A feed's location.

    Raises:
        InvalidInputError: Neither an http(s) URL nor an absolute path.
    """
    text = text.strip()
    if not text or not text.isprintable() or len(text) > LOCATION_MAX_CHARACTERS:
        raise InvalidInputError("the feed's location is empty, too long or has control characters", field="location")
    if is_path(text) and not text.lower().startswith("file:"):
        path = Path(text)
        if not path.is_absolute():
            raise InvalidInputError(
                f"{text!r} is neither a URL nor an absolute path", hint="give the whole path", field="location"
            )
        return Location(str(path))
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidInputError(f"{text[:200]!r} is not a URL: {error}", field="location") from None
    if parts.scheme not in ("http", "https", demo.SCHEME):
        hint = "give an http:// or https:// URL"
        if parts.scheme == "file":
            hint = "give the path itself, without file://, on the server's machine"
        raise InvalidInputError(f"a feed cannot be read over {parts.scheme}:", hint=hint, field="location")
    if not parts.hostname:
        raise InvalidInputError(f"{text[:200]!r} names no host", field="location")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    auth = f"basic:{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    netloc = host if port is None else f"{host}:{port}"
    return Location(urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")), auth)
