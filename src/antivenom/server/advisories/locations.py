"""Feed locations as people write them: http(s) URLs, credentials taken out, or paths on the server's machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from antivenom import demo
from antivenom.core.errors import InvalidInputError
from antivenom.core.redaction import HIDDEN, redact_url
from antivenom.server.adapters.stored_urls import RequestUrl, request_url, store_url

LOCATION_MAX_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Location:
    """`text` is a path, or a URL without its secrets; `auth` as in `StoredUrl`."""

    text: str
    auth: str = ""

    @property
    def is_path(self) -> bool:
        return is_path(self.text)

    @property
    def request(self) -> RequestUrl:
        """Where to ask. Never stored, never logged."""
        return request_url(self.text, self.auth)


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
        host, port = parts.hostname, parts.port
    except ValueError:
        wrong = f"{redact_url(text)!r} is not a URL: its host or port is wrong"
        raise InvalidInputError(wrong, field="location") from None
    if parts.scheme not in ("http", "https", demo.SCHEME):
        hint = "give an http:// or https:// URL"
        if parts.scheme == "file":
            hint = "give the path itself, without file://, on the server's machine"
        raise InvalidInputError(f"a feed cannot be read over {parts.scheme}:", hint=hint, field="location")
    if not host:
        raise InvalidInputError(f"{redact_url(text)!r} names no host", field="location")
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{host}]" if ":" in host else host
    netloc = f"{user}{at}{host}" if port is None else f"{user}{at}{host}:{port}"
    shown, auth = store_url(urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")))
    if HIDDEN in shown and not auth:
        raise InvalidInputError(
            f"{shown!r} has {HIDDEN} where a secret stood", hint="give the whole URL", field="location"
        )
    return Location(shown, auth)
