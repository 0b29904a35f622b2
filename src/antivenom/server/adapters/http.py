"""The only way out: a client that knows where it may go, how much it may take and when to give up.

What counts is the address that a socket is about to be connected to, however it was spelled: the URL is read by the
library that connects, names are checked after resolution, and the last check is of the socket's own target. So
neither a spelling that is normalized later (fullwidth or circled digits) nor a name that resolves differently a moment
later (DNS rebinding) gains anything. Every redirect is checked again.
"""

from __future__ import annotations

import asyncio
import base64
import random
import re
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from antivenom import __version__
from antivenom.core.errors import OutboundRefusedError, UpstreamError
from antivenom.core.redaction import redact_url
from antivenom.server.adapters.addresses import Address, AllowList, is_public, parse_address
from antivenom.server.adapters.http_answers import MinimumRate, OnProgress, Response, Stream, collect, read_answer
from antivenom.server.adapters.stored_urls import split_credentials

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import ResolveResult

    from antivenom.server.settings import Settings

CHUNK_BYTES = 1 << 18
REDIRECTS_MAX = 5
CONNECT_TIMEOUT_S = 10.0
TRUSTED_KEPT = 1_000  # addresses of allowed names; a name resolves anew for each connection
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
CONDITIONS = frozenset(("If-None-Match", "If-Modified-Since"))
RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
_LEGACY_ADDRESS = re.compile(r"(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+))*\.?", re.IGNORECASE)
USER_AGENT = f"antivenom/{__version__}"

BasicAuth = tuple[str, str]


class OutboundClient:
    """GET requests to other servers, guarded. One per process; the session is opened by the first request."""

    def __init__(
        self,
        allow: tuple[str, ...] = (),
        *,
        attempts: int = 4,
        idle_timeout_s: float = 30.0,
        min_rate: int = 0,
        proxy: str = "",
    ) -> None:
        self._allow = AllowList(allow)
        self._attempts = attempts
        self._idle_timeout_s = idle_timeout_s
        self._minimum = MinimumRate(min_rate, idle_timeout_s)
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None
        self._trusted: OrderedDict[tuple[str, int], None] = OrderedDict()  # addresses of names that are allowed

    @classmethod
    def from_settings(cls, settings: Settings) -> OutboundClient:
        return cls(
            settings.outbound_allow,
            attempts=settings.outbound_attempts,
            idle_timeout_s=settings.outbound_idle_timeout_s,
            min_rate=settings.outbound_min_rate,
            proxy=settings.outbound_proxy,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # -- where it may go ---------------------------------------------------------------------------------------------

    def check_address(self, url: str) -> None:
        """Check what needs no name server: the scheme, and hosts that are addresses or localhost.

        Raises:
            OutboundRefusedError: The URL may not be read.
        """
        self._check_network_address(url)

    def _check_network_address(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise OutboundRefusedError("not a URL: its host or port is wrong", permanent=True) from None
        if parts.scheme not in ("http", "https"):
            raise OutboundRefusedError(
                f"{parts.scheme or 'no scheme'}: is not read over the network: only http:// and https://",
                permanent=True,
            )
        try:
            host = _host_of(url)
        except ValueError as error:
            raise OutboundRefusedError(f"{redact_url(url)} names no host: {error}", permanent=True) from None
        if not host:
            raise OutboundRefusedError(f"{redact_url(url)} names no host", permanent=True)
        if self._allow.has_host(host, port):
            return
        address = parse_address(host)
        if address is None and _LEGACY_ADDRESS.fullmatch(host):
            raise OutboundRefusedError(
                f"{host} is an address in a form that is not read",
                hint="write it in full, such as 192.0.2.7, or as a name",
                permanent=True,
            )
        if address is not None and not self._may_reach(address):
            raise self._refusal(host)
        if host == "localhost" or host.endswith(".localhost"):
            loopback = map(parse_address, ("127.0.0.1", "::1"))
            if not any(self._allow.has_address(a) for a in loopback if a):
                raise self._refusal(host)

    def _may_reach(self, address: Address) -> bool:
        return is_public(address) or self._allow.has_address(address)

    def _refusal(self, host: str) -> OutboundRefusedError:
        return OutboundRefusedError(
            f"{host} is a private, loopback or link-local address: requests to it are refused",
            permanent=True,
            hint=f"if that is meant, start the server with ANTIVENOM_OUTBOUND_ALLOW={host} (hosts or CIDRs, by commas)",
        )

    async def _resolve(self, host: str, port: int, family: int) -> list[ResolveResult]:
        """The addresses that a connection to `host` may use."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        trusted = self._allow.has_host(host, port)
        results: list[ResolveResult] = []
        for kind, _, protocol, _, target in found:
            address = parse_address(str(target[0]))
            if address is None or not (trusted or self._may_reach(address)):
                continue
            if trusted:
                self._trust(str(target[0]), int(target[1]))
            results.append(
                {
                    "hostname": host,
                    "host": str(target[0]),
                    "port": int(target[1]),
                    "family": kind,
                    "proto": protocol,
                    "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                }
            )
        if not results:
            raise self._refusal(host)
        return results

    def _trust(self, host: str, port: int) -> None:
        self._trusted[host, port] = None
        self._trusted.move_to_end((host, port))
        while len(self._trusted) > TRUSTED_KEPT:
            self._trusted.popitem(last=False)

    def _open_socket(self, target: tuple[Any, ...]) -> socket.socket:
        """A socket for `target` (what getaddrinfo answers), if it may be connected there.

        Raises:
            OutboundRefusedError: The address is not public and nobody allowed it.
        """
        family, kind, protocol, _, place = target
        host, port = str(place[0]), int(place[1])
        address = parse_address(host)
        is_allowed = (host, port) in self._trusted or self._allow.has_host(host, port)
        if address is None or not (is_allowed or self._may_reach(address)):
            raise self._refusal(host)
        return socket.socket(family, kind, protocol)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp
            from aiohttp.abc import AbstractResolver

            client = self

            class CheckedResolver(AbstractResolver):
                async def resolve(
                    self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
                ) -> list[ResolveResult]:
                    return await client._resolve(host, port, family)

                async def close(self) -> None:
                    """Nothing is held."""

            # A proxy is the administrator's own choice and resolves names itself: they cannot be checked here.
            resolver, open_socket = (None, None) if self._proxy else (CheckedResolver(), self._open_socket)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    # No limits here: the slow answers of one host must not keep others from being asked. Who reads has
                    # a limit for each upstream (shards, artifacts, syncs).
                    resolver=resolver,
                    socket_factory=open_socket,
                    limit=0,
                    limit_per_host=0,
                    ttl_dns_cache=10,
                ),
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=CHUNK_BYTES,
            )
        return self._session

    # -- requests ----------------------------------------------------------------------------------------------------

    async def get(
        self,
        url: str,
        *,
        max_bytes: int,
        timeout_s: float,
        etag: str | None = None,
        last_modified: str | None = None,
        basic_auth: BasicAuth | None = None,
        headers: Mapping[str, str] | None = None,
        to: Path | None = None,
        on_progress: OnProgress | None = None,
    ) -> Response:
        """The whole answer, whatever its status; the body goes to the file `to` (whole or not at all) or to memory.

        A Content-Encoding is undone; `max_bytes`, `sha256` and `size_bytes` are of what it held. `etag` and
        `last_modified` make the request conditional. Failures that may pass (connection lost, 429, 5xx) are tried again
        with growing pauses; the last answer is returned as it is.

        Raises:
            OutboundRefusedError: The address, or one that it redirects to, may not be read.
            UpstreamError: No answer, one that broke off, one larger than `max_bytes`, or "not modified" unasked.
            StorageError: `to` cannot be written.
        """
        sent = dict(headers or {})
        if etag:
            sent["If-None-Match"] = etag
        if last_modified:
            sent["If-Modified-Since"] = last_modified
        try:
            async with asyncio.timeout(timeout_s):
                return await self._get_with_retries(url, sent, basic_auth, max_bytes, to, on_progress)
        except TimeoutError:
            raise UpstreamError(
                f"{redact_url(url)} took longer than {timeout_s:g} s", hint="it will be tried again"
            ) from None

    async def _get_with_retries(
        self,
        url: str,
        headers: dict[str, str],
        basic_auth: BasicAuth | None,
        max_bytes: int,
        to: Path | None,
        on_progress: OnProgress | None,
    ) -> Response:
        for attempt in range(1, self._attempts + 1):
            is_last = attempt == self._attempts
            try:
                async with self._open(url, headers, basic_auth, max_bytes) as stream:
                    if stream.status == 304 and not headers.keys() & CONDITIONS:
                        if "Cache-Control" in headers:
                            raise _not_modified(url)
                        headers = {**headers, "Cache-Control": "no-cache"}  # some cache on the way mixed us up
                    elif is_last or stream.status not in RETRIED:
                        return await collect(stream, to, on_progress)
                    pause_s = _retry_after(stream.headers)
            except UpstreamError as error:
                if error.permanent or is_last:
                    raise
                pause_s = None
            await asyncio.sleep(_backoff(attempt) if pause_s is None else pause_s)
        raise _not_modified(url)

    @asynccontextmanager
    async def stream(
        self,
        url: str,
        *,
        max_bytes: int,
        timeout_s: float,
        basic_auth: BasicAuth | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Stream]:
        """One answer while it arrives; one attempt only. Raises as `get` does, also while `chunks` is read."""
        try:
            async with asyncio.timeout(timeout_s):
                async with self._open(url, dict(headers or {}), basic_auth, max_bytes) as stream:
                    yield stream
        except TimeoutError:
            raise UpstreamError(
                f"{redact_url(url)} took longer than {timeout_s:g} s", hint="it will be tried again"
            ) from None

    @asynccontextmanager
    async def _open(
        self, url: str, headers: dict[str, str], basic_auth: BasicAuth | None, max_bytes: int
    ) -> AsyncIterator[Stream]:
        """The answer after redirects, its body not yet read."""
        import aiohttp

        url, basic_auth = _split_credentials(url, basic_auth)
        asked = urlsplit(url).path
        session = self._open_session()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=self._idle_timeout_s)
        try:
            for _ in range(REDIRECTS_MAX + 1):
                self._check_network_address(url)
                sent = {**headers, **_basic_header(basic_auth)}
                asked_for = session.get(
                    _encoded(url), headers=sent, allow_redirects=False, timeout=timeout, proxy=self._proxy or None
                )
                async with self._answer_in_time(asked_for, url) as answer:
                    location = answer.headers.get("Location")
                    if answer.status not in (301, 302, 303, 307, 308) or not location:
                        yield read_answer(answer, asked, max_bytes, redact_url(url), self._minimum)
                        return
                    target, own_auth = _split_credentials(urljoin(url, location), None)
                    if _origin(target) != _origin(url):  # never carry credentials to somebody else
                        basic_auth = None
                        headers = {n: v for n, v in headers.items() if n.lower() != "authorization"}
                    url, basic_auth = target, own_auth or basic_auth
            raise UpstreamError(f"{redact_url(url)} redirects more than {REDIRECTS_MAX} times", permanent=True)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ServerTimeoutError):
                raise
            if isinstance(error, aiohttp.InvalidURL):
                hint = "write the host as a name, or as an address in full, such as 192.0.2.7 or [2001:db8::7]"
                raise UpstreamError(f"{redact_url(url)} cannot be asked", permanent=True, hint=hint) from None
            raise UpstreamError(f"{redact_url(url)}: {_reason(error)}", hint="it will be tried again") from None

    @asynccontextmanager
    async def _answer_in_time(
        self, asked_for: AbstractAsyncContextManager[aiohttp.ClientResponse], url: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer once its head is there. A head that comes byte by byte is none that arrives.

        Raises:
            UpstreamError: It is not there in time.
        """
        limit = asyncio.timeout(CONNECT_TIMEOUT_S + self._idle_timeout_s)
        try:
            async with limit, asked_for as answer:
                limit.reschedule(None)  # of its body, each part has a limit of its own
                yield answer
        except TimeoutError:
            if not limit.expired():
                raise
            raise UpstreamError(
                f"{redact_url(url)}: no whole answer came in time", hint="it will be tried again"
            ) from None


def _not_modified(url: str) -> UpstreamError:
    return UpstreamError(
        f"{redact_url(url)} answered 304 (not modified) to a request that had no condition",
        hint="a cache on the way may be at fault; it will be tried again",
    )


def _split_credentials(url: str, given: BasicAuth | None) -> tuple[str, BasicAuth | None]:
    """The URL without user and password, which then travel in a header."""
    try:
        clean, own = split_credentials(url)
    except ValueError:
        raise OutboundRefusedError("not a URL: its host or port is wrong", permanent=True) from None
    return clean, given or own


def _basic_header(auth: BasicAuth | None) -> dict[str, str]:
    """RFC 7617, in UTF-8."""
    if auth is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(auth).encode()).decode("ascii")}


def _host_of(url: str) -> str:
    """The host as the connecting library reads it: normalized (NFKC, IDNA), lower case, without brackets.

    Raises:
        ValueError: The library refuses the URL.
    """
    return (_encoded(url).host or "").rstrip(".").lower()


def _encoded(url: str) -> Any:
    from yarl import URL

    return URL(url, encoded="%" in url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _backoff(attempt: int) -> float:
    longest: float = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # spreads clients; no secret depends on it


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "")
    return min(float(text), BACKOFF_MAX_S) if re.fullmatch(r"\d{1,6}", text) else None


def _reason(error: Exception) -> str:
    """What went wrong in words that hold no URL (URLs may hold secrets)."""
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, socket.gaierror):
        return "the host's name cannot be resolved"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    words = {
        "ClientPayloadError": "the answer broke off",
        "ServerDisconnectedError": "the connection was closed",
        "ServerTimeoutError": "no byte came in time",
        "SocketTimeoutError": "no byte came in time",
        "ConnectionTimeoutError": "the connection could not be made in time",
        "ClientConnectorCertificateError": "its certificate is not trusted",
        "ClientConnectorDNSError": "the host's name cannot be resolved",
    }
    named = words.get(type(error).__name__)
    return named or (
        cause.strerror if isinstance(cause, OSError) and cause.strerror else f"not understood ({type(error).__name__})"
    )
