"""Upstream addresses as people write them: checked at the door, credentials taken out."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from antivenom import demo
from antivenom.core.errors import InvalidInputError

TOKEN_IN_PATH = re.compile(r"^/t/([^/]+)(/.*)$")
ALIASES = {
    "conda-forge": "https://conda.anaconda.org/conda-forge",
    "bioconda": "https://conda.anaconda.org/bioconda",
    "defaults": "https://repo.anaconda.com/pkgs/main",
}


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """`url` without credentials and without a final slash; `auth` is "", "basic:USER:PASSWORD" or "token:TOKEN"."""

    url: str
    auth: str = ""


def parse_upstream(text: str) -> UpstreamAddress:
    """An upstream channel's address.

    Well-known names (conda-forge, bioconda, defaults) stand for their URLs. Credentials in the URL are moved to `auth`.

    Raises:
        InvalidInputError: Not an http(s) URL of a channel.
    """
    text = ALIASES.get(text.strip(), text.strip())
    if not text.isprintable() or len(text) > 2000:
        raise InvalidInputError("the upstream's address has control characters or is too long", field="upstream")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidInputError(f"{text!r} is not a URL: {error}", field="upstream") from None
    if parts.scheme not in ("http", "https", demo.SCHEME):
        named = f"an upstream cannot be read over {parts.scheme!r}"
        raise InvalidInputError(
            named if parts.scheme else f"{text!r} is neither a URL nor one of {', '.join(sorted(ALIASES))}",
            hint="give an http:// or https:// URL of a conda channel, such as https://conda.anaconda.org/conda-forge",
            field="upstream",
        )
    if not parts.hostname or parts.query or parts.fragment:
        raise InvalidInputError(
            f"{redact(text)!r} is not the URL of a channel: it needs a host, and no query or fragment", field="upstream"
        )
    auth = f"basic:{unquote(parts.username or '')}:{unquote(parts.password or '')}" if parts.username else ""
    path = parts.path.rstrip("/")
    if found := TOKEN_IN_PATH.match(path):
        auth, path = f"token:{found[1]}", found[2]
    host = f"[{parts.hostname}]" if _is_ipv6(parts.hostname) else parts.hostname
    return UpstreamAddress(urlunsplit((parts.scheme, host if port is None else f"{host}:{port}", path, "", "")), auth)


def address_for_request(url: str, auth: str) -> str:
    """The address with the token in its path, as some servers require it. Never stored, never logged."""
    if not auth.startswith("token:"):
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"/t/{auth.removeprefix('token:')}{parts.path}", "", ""))


def artifact_address(
    upstream: str, auth: str, subdir: str, fn: str, *, base_url: str = ""
) -> tuple[str, tuple[str, str] | None]:
    """Where an upstream keeps an artifact, and (user, password) if the request may carry them.

    Credentials go to the upstream's own scheme, host and port only, wherever its index points.

    Args:
        base_url: From the index: relative to it, absolute, or "" (beside the index). Not trusted: the guarded client
            checks it like every other address.

    Source: CEP 15.
    """
    folder = f"{address_for_request(upstream, auth)}/{quote(subdir)}/"
    if base_url:
        folder = urljoin(folder, base_url).partition("?")[0].partition("#")[0]
    url = f"{folder.rstrip('/')}/{quote(fn)}"
    user, _, password = auth.removeprefix("basic:").partition(":")
    is_own = urlsplit(url)[:2] == urlsplit(upstream)[:2]
    return url, (user, password) if is_own and auth.startswith("basic:") else None


def redact(text: str) -> str:
    """The text with everything hidden that stands where credentials stand."""
    return re.sub(r"/t/[^/]+/", "/t/***/", re.sub(r"//[^/@]*@", "//***@", text))


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False
