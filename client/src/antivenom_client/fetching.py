"""Gets files over HTTP with the standard library: bounded, resumable, and no token goes to anybody else.

Proxies are those of the environment (http_proxy, https_proxy, no_proxy), as urllib reads them.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from antivenom_client import __version__
from antivenom_client.errors import ClientError

TIMEOUT_S = 30.0  # for a connection, and for each piece of an answer
SLOWEST_BYTES_PER_S = 1_000
SLOW_AFTER_S = 60.0  # whoever sends less than that, on average, for so long, is given up
TRIES = 5  # of one download, as long as none of them brings anything
PAUSE_S = 1.0  # before the second try; then twice as long each time
CHUNK_BYTES = 1 << 16
ANSWER_MAX_BYTES = 1 << 16  # of a refusal

Progress = Callable[[int, int], None]
"""(bytes so far, bytes in all)"""


class FetchError(ClientError):
    """Something could not be fetched. `is_passing`: it may help to try again."""

    def __init__(self, message: str, hint: str = "", *, is_passing: bool = False) -> None:
        super().__init__(message, hint)
        self.is_passing = is_passing


class DiskError(FetchError):
    """What came could not be written."""


@dataclass(frozen=True)
class Limits:
    """How patient a fetch is."""

    timeout_s: float = TIMEOUT_S
    slow_after_s: float = SLOW_AFTER_S
    tries: int = TRIES
    pause_s: float = PAUSE_S


@dataclass(frozen=True)
class Answer:
    """A small answer. `status` is 200 or 304."""

    status: int
    body: bytes
    etag: str


def get_small(url: str, *, token: str, max_bytes: int, etag: str = "", limits: Limits = Limits()) -> Answer:
    """The body of a 200, or a 304 to `etag`.

    Raises:
        FetchError: There is no such answer, or it is longer than `max_bytes`.
    """
    headers = {"If-None-Match": etag} if etag else {}
    with _connection(url, token, headers, limits) as response:
        if response.status == 304:
            return Answer(304, b"", etag)
        body = b"".join(_pieces(response, url, max_bytes + 1, limits))
        if len(body) > max_bytes:
            raise FetchError(f"{shown(url)} answers more than {max_bytes:,} bytes", "is it the right address?")
        _check_whole(response, len(body), url)
        return Answer(200, body, response.headers.get("ETag", ""))


def download(
    url: str,
    to: Path,
    *,
    size: int,
    sha256: str,
    token: str,
    limits: Limits = Limits(),
    progress: Progress | None = None,
) -> None:
    """Bring a file into place whose size and digest are known. What an interrupted download left there is gone on with.

    Raises:
        FetchError: It cannot be had, or its bytes are others; only a broken connection leaves a part of it behind.
    """
    failures = 0
    while (have := _size(to)) != size:
        if have > size:
            to.unlink()
            continue
        try:
            _download_more(url, to, have, size, token, limits, progress)
        except FetchError as error:
            failures = 1 if _size(to) > have else failures + 1
            if not error.is_passing and have and not isinstance(error, DiskError):
                to.unlink(missing_ok=True)  # the next try begins anew: perhaps its part is what was refused
            if not error.is_passing or failures >= limits.tries:
                raise
            time.sleep(limits.pause_s * 2 ** (failures - 1))
    if _sha256(to) != sha256:
        to.unlink()
        raise FetchError(
            f"{shown(url)} has other bytes than its manifest promises", "nothing was changed; pull again in a while"
        )


def _download_more(
    url: str, to: Path, have: int, size: int, token: str, limits: Limits, progress: Progress | None
) -> None:
    headers = {"Range": f"bytes={have}-"} if have else {}
    with _connection(url, token, headers, limits) as response:
        goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        start = have if goes_on else 0
        with _disk_errors(to), to.open("r+b" if start else "wb") as file:
            file.seek(start)
            for piece in _pieces(response, url, size - start + 1, limits):
                start += len(piece)
                if start > size:
                    raise FetchError(f"{shown(url)} is longer than its manifest says", "pull again in a while")
                file.write(piece)
                if progress is not None:
                    progress(start, size)
        if start < size:
            raise FetchError(f"{shown(url)} broke off after {start:,} of {size:,} bytes", is_passing=True)


def save(url: str, to: Path, *, max_bytes: int, limits: Limits = Limits(), progress: Progress | None = None) -> None:
    """Save what an address answers, whose size and digest nobody knows before; a broken connection starts again.

    Raises:
        FetchError: It cannot be had, or has more than `max_bytes`.
    """
    failures = 0
    while True:
        try:
            _save_once(url, to, max_bytes, limits, progress)
            return
        except FetchError as error:
            failures += 1
            if not error.is_passing or failures >= limits.tries:
                raise
            time.sleep(limits.pause_s * 2 ** (failures - 1))


def _save_once(url: str, to: Path, max_bytes: int, limits: Limits, progress: Progress | None) -> None:
    with _connection(url, "", {}, limits) as response:
        promised, count = response.headers.get("Content-Length", ""), 0
        with _disk_errors(to), to.open("wb") as file:
            for piece in _pieces(response, url, max_bytes + 1, limits):
                count += len(piece)
                file.write(piece)
                if progress is not None:
                    progress(count, int(promised) if promised.isdigit() else 0)
        if count > max_bytes:
            raise FetchError(f"{shown(url)} has more than {max_bytes:,} bytes", "is it the right address?")
        _check_whole(response, count, url)


@contextlib.contextmanager
def _disk_errors(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(to, error) from None


def disk_error(path: Path, error: OSError) -> DiskError:
    """Why a file could not be written."""
    return DiskError(f"cannot write {path}: {error.strerror or error}", "free some space, or allow writing there")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return hasher.hexdigest()


# -- one request -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _connection(url: str, token: str, headers: dict[str, str], limits: Limits) -> Iterator[Any]:
    """The answer to a GET: 200, 206 or 304; everything else is an error that says what to do."""
    check_url(url)
    sent = {"User-Agent": f"antivenom/{__version__}", "Accept-Encoding": "identity", **headers}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    opener = urllib.request.build_opener(_Redirects())
    try:
        response = opener.open(urllib.request.Request(url, headers=sent), timeout=limits.timeout_s)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == 304:
            with contextlib.closing(error):
                yield error
            return
        raise _refusal(url, error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _broken(url, error) from None
    with contextlib.closing(response):
        if response.status not in (200, 206):
            raise FetchError(f"{shown(url)} answered {response.status}", "is it the right address?")
        yield response


def check_url(url: str) -> None:
    """Return if a URL can be fetched.

    Raises:
        FetchError: It is none of http or https, or has a secret in it.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise FetchError(f"{url[:200]!r} is no address") from None
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise FetchError(f"{url[:200]!r} is no http:// or https:// address")
    if parts.username or parts.password:
        raise FetchError("a token does not belong into the address", "put it into ANTIVENOM_TOKEN")


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL: to whom a token goes."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def shown(url: str) -> str:
    """The URL without its query, which may hold a secret."""
    return url.partition("?")[0]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only, never from https to http, and takes no token to another origin."""

    max_redirections = 5

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        to = urllib.parse.urlsplit(newurl).scheme
        if to not in ("http", "https") or (to == "http" and req.type == "https"):
            raise FetchError(f"{shown(req.full_url)} leads to {to}:, which is not followed")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and origin(newurl) != origin(req.full_url):
            request.headers = {k: v for k, v in request.headers.items() if k.lower() != "authorization"}
        return request


def _pieces(response: BinaryIO, url: str, at_most: int, limits: Limits) -> Iterator[bytes]:
    """The body piece by piece, `at_most` bytes of it.

    Raises:
        FetchError: The connection breaks, or is too slow.
    """
    began, count = time.monotonic(), 0
    while count < at_most:
        try:
            piece = response.read1(min(CHUNK_BYTES, at_most - count))  # type: ignore[attr-defined]
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _broken(url, error) from None
        if not piece:
            return
        count += len(piece)
        yield piece
        elapsed = time.monotonic() - began
        if elapsed > limits.slow_after_s and count < elapsed * SLOWEST_BYTES_PER_S:
            raise FetchError(
                f"{shown(url)} sends too slowly: {count:,} bytes in {elapsed:.0f} s",
                "pull again later",
                is_passing=True,
            )


def _check_whole(response: Any, length: int, url: str) -> None:
    promised = response.headers.get("Content-Length", "")
    if promised.isdigit() and int(promised) > length:
        raise FetchError(f"{shown(url)} broke off after {length:,} of {int(promised):,} bytes", is_passing=True)


def _broken(url: str, error: Exception) -> FetchError:
    """The failure of a connection, in words."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    host = urllib.parse.urlsplit(url).netloc
    if isinstance(error, FetchError):
        return error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return FetchError(f"the certificate of {host} is not trusted: {reason.verify_message}", "set SSL_CERT_FILE")
    if isinstance(reason, TimeoutError):
        return FetchError(f"{host} did not answer in time", "is the network up? Pull again later", is_passing=True)
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return FetchError(
        f"the connection to {host} failed: {words}", "is the address right, and the network up?", is_passing=True
    )


def _refusal(url: str, error: urllib.error.HTTPError) -> FetchError:
    """A status that is an error, with the server's own words where it has some."""
    with contextlib.closing(error):
        told = _told(error)
    hint = {
        401: "put a token of that server into ANTIVENOM_TOKEN (antivenom token create --name NAME)",
        403: "ask who runs the server for a token that may read advisories",
        404: "is it the address of an Antivenom server?",
    }.get(error.code, "pull again later" if error.code >= 500 else "is it the right address?")
    words = f": {told}" if told else ""
    return FetchError(f"{shown(url)} answered {error.code}{words}", hint, is_passing=error.code in (429, 502, 503, 504))


def _told(error: urllib.error.HTTPError) -> str:
    """The `detail` of a problem document; "" for anything else, such as a web page."""
    try:
        detail = json.loads(error.read(ANSWER_MAX_BYTES))["detail"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return detail[:500] if isinstance(detail, str) and detail.isprintable() else ""
