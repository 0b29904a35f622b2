"""URLs with secrets in them: what is shown, what is stored beside it, and what is sent."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from antivenom.core.redaction import redact_url


class StoredUrl(NamedTuple):
    """`shown` has no secret; `auth` is "" or the URL as it was given, with all its secrets.

    Rows of earlier releases have "basic:USER:PASSWORD" or "token:TOKEN" (behind `/t/` before the path) in `auth`.
    """

    shown: str
    auth: str = ""


class RequestUrl(NamedTuple):
    """Where to ask, and (user, password) for a header. Never stored, never logged."""

    url: str
    basic_auth: tuple[str, str] | None = None


def store_url(url: str) -> StoredUrl:
    """The two columns of a valid URL."""
    shown = redact_url(url)
    return StoredUrl(shown, url if shown != url else "")


def request_url(shown: str, auth: str) -> RequestUrl:
    """The request for the two columns of a URL."""
    kind, _, secret = auth.partition(":")
    if not auth:
        return RequestUrl(shown)
    if kind == "basic":
        user, _, password = secret.partition(":")
        return RequestUrl(shown, (user, password))
    if kind == "token":
        parts = urlsplit(shown)
        return RequestUrl(urlunsplit((parts.scheme, parts.netloc, f"/t/{secret}{parts.path}", "", "")))
    return split_credentials(auth)


def split_credentials(url: str) -> RequestUrl:
    """A URL without its user and password, and these.

    Raises:
        ValueError: It is no URL.
    """
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return RequestUrl(url)
    clean = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
    return RequestUrl(clean, (unquote(parts.username or ""), unquote(parts.password or "")))
