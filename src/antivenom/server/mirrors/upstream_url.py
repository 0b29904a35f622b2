"""Upstream addresses as people write them: checked at the door, credentials taken out."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from antivenom import demo
from antivenom.core.errors import InvalidInputError
from antivenom.core.redaction import HIDDEN, redact, redact_url
from antivenom.server.adapters.stored_urls import RequestUrl, StoredUrl, request_url, store_url

TOKEN_BEFORE_PATH = re.compile(r"/t/[^/]+(?=/|$)")
ALIASES = {
    "conda-forge": "https://conda.anaconda.org/conda-forge",
    "bioconda": "https://conda.anaconda.org/bioconda",
    "defaults": "https://repo.anaconda.com/pkgs/main",
}


def parse_upstream(text: str) -> StoredUrl:
    """An upstream channel's address, without a final slash.

    Well-known names (conda-forge, bioconda, defaults) stand for their URLs. A token before the path is left out of what
    is shown, as conda leaves it out of a channel's name; elsewhere `***` stands in its place.

    Raises:
        InvalidInputError: Not an http(s) URL of a channel.
    """
    text = ALIASES.get(text.strip(), text.strip())
    if not text.isprintable() or len(text) > 2000:
        raise InvalidInputError("the upstream's address has control characters or is too long", field="upstream")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidInputError(
            f"{redact_url(text)!r} is not a URL: its host or port is wrong", field="upstream"
        ) from None
    if parts.scheme not in ("http", "https", demo.SCHEME):
        named = f"an upstream cannot be read over {parts.scheme!r}"
        raise InvalidInputError(
            named
            if parts.scheme
            else f"{redact(text.rpartition('@')[2])!r} is neither a URL nor one of {', '.join(sorted(ALIASES))}",
            hint="give an http:// or https:// URL of a conda channel, such as https://conda.anaconda.org/conda-forge",
            field="upstream",
        )
    if not host or parts.query or parts.fragment:
        raise InvalidInputError(
            f"{redact_url(text)!r} is not the URL of a channel: it needs a host, and no query or fragment",
            field="upstream",
        )
    user, at, _ = parts.netloc.rpartition("@")
    shown, auth = store_url(
        urlunsplit((parts.scheme, f"{user}{at}{_host_and_port(parts)}", parts.path.rstrip("/"), "", ""))
    )
    if TOKEN_BEFORE_PATH.match(parts.path):
        path = TOKEN_BEFORE_PATH.sub("", urlsplit(shown).path, count=1)
        shown = urlunsplit((parts.scheme, _host_and_port(parts), path, "", ""))
    return StoredUrl(shown, auth)


def is_incomplete(address: StoredUrl) -> bool:
    """Whether `***` stands where a secret stood: an address as it is shown, not as it can be asked."""
    return HIDDEN in address.shown and not address.auth


def artifact_address(upstream: str, auth: str, subdir: str, fn: str, *, base_url: str = "") -> RequestUrl:
    """Where an upstream keeps an artifact, with user and password if the request may carry them.

    Credentials go to the upstream's own scheme, host and port only, wherever its index points.

    Args:
        base_url: From the index: relative to it, absolute, or "" (beside the index). Not trusted: the guarded client
            checks it like every other address.

    Source: CEP 15.
    """
    asked, basic_auth = request_url(upstream, auth)
    folder = f"{asked}/{quote(subdir)}/"
    if base_url:
        folder = urljoin(folder, base_url).partition("?")[0].partition("#")[0]
    url = f"{folder.rstrip('/')}/{quote(fn)}"
    is_own = urlsplit(url)[:2] == urlsplit(asked)[:2]
    return RequestUrl(url, basic_auth if is_own else None)


def _host_and_port(parts: SplitResult) -> str:
    """Host and port as they are connected to: the host in lower case, an IPv6 address in brackets."""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port is None else f"{host}:{parts.port}"
