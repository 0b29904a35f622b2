"""The one place that knows where secrets stand in texts, and hides them.

A URL may carry one as user and password, as a token in its path (`/t/TOKEN/`, at any depth), as a path segment that
looks like one, in its query and in its fragment. What helps a reader stays: scheme, host, the rest of the path, the
names of the query's parameters.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"
_PARAMETERS = re.compile(r"(?s);.+|[,&][^=]*=.*")
URL = re.compile(r"(?:\b[A-Za-z][A-Za-z0-9+.\-]{1,30}:)?//(?:[^\s/]*@)?[^\s\"'<>`]+")
URL_PARTS = re.compile(
    r"(?s)(?P<scheme>[^/?#]*//)(?P<host>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
TOKEN_RUN = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{16,}")
"""Letters and digits mixed, too long for a word or a version: API keys and entitlement tokens."""
UUID = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])")
JSON_WEB_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
MARKERS = frozenset(
    {"t", "token", "tokens", "auth", "key", "apikey", "api-key", "api_key", "access-token", "access_token"}
)
"""Path segments after which a secret stands: conda's own, and those of package servers."""
OWN_TOKEN = re.compile(r"\b(av-|avlocal-)[A-Za-z0-9_-]{8,}")
NAMED = (
    (re.compile(r"(?i)(/t/)[^/\s'\",?#]+"), r"\1***"),
    (re.compile(r"(?i)\b(authorization|cookie|set-cookie|x-csrf-token)(['\"]?\s*[:=]\s*)[^\r\n]+"), r"\1\2***"),
    (re.compile(r"(?i)\b(password|secret)(['\"]?\s*[:=]\s*['\"]?)[^\s'\",)]+"), r"\1\2***"),
)


def redact_url(url: str) -> str:
    """The URL without user and password, and with `***` for every other part that is, or looks like, a secret.

    Any text is taken, also one that is no valid URL. A URL without secrets comes back as it was.
    """
    found = URL_PARTS.fullmatch(url)
    if found is None:
        return url
    host, path = _without_user(found["host"], found["path"])
    query = "?" + "&".join(map(_redact_parameter, found["query"][1:].split("&"))) if found["query"] else ""
    fragment = f"#{HIDDEN}" if len(found["fragment"] or "") > 1 else found["fragment"] or ""
    return f"{found['scheme']}{host}{_redact_path(path)}{query}{fragment}"


def redact_urls(text: str) -> str:
    """The text with the secrets of every URL in it hidden, and Antivenom's own tokens wherever they stand."""
    if "//" in text:
        text = URL.sub(lambda found: redact_url(found[0]), text)
    return OWN_TOKEN.sub(rf"\1{HIDDEN}", text)


def redact(text: str) -> str:
    """As `redact_urls`; paths without a host and what is named a header, a password or a secret too. For logs."""
    text = redact_urls(text)
    for pattern, replacement in NAMED:
        text = pattern.sub(replacement, text)
    return text


def _without_user(host: str, path: str) -> tuple[str, str]:
    """Host and path without user and password; a `/` that was not encoded in a password is no path's beginning."""
    if "@" in host:
        return host.rpartition("@")[2], path
    port = host.rpartition("]")[2].partition(":")[2]
    if port and not port.isdigit() and "@" in path:
        host, slash, path = path.rpartition("@")[2].partition("/")
        return host, slash + path
    return host, path


def _redact_path(path: str) -> str:
    shown, last = [], ""
    for segment in path.split("/"):
        plain = unquote(segment)
        shown.append(HIDDEN if plain not in ("", ".") and last in MARKERS else _redact_segment(segment))
        last = last if plain in ("", ".") else plain.lower()
    return "/".join(shown)


def _redact_segment(segment: str) -> str:
    """A path segment, hidden if it looks like a token and has no suffix; so are parameters behind `;`, `,` or `&`."""
    if "/" in (plain := unquote(segment)):  # a slash that is written %2F
        return segment if _redact_path(plain) == plain else HIDDEN
    if found := _PARAMETERS.search(segment):
        return f"{_redact_segment(segment[: found.start()])}{found[0][0]}{HIDDEN}"
    has_run = "." not in segment and " " not in segment and TOKEN_RUN.search(segment)
    return HIDDEN if has_run or UUID.search(segment) or JSON_WEB_TOKEN.search(segment) else segment


def _redact_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if equals:
        return f"{name}={HIDDEN}" if value else parameter
    return HIDDEN if name else ""
