"""The ASGI middleware of pages and API: explains errors, bounds bodies, sets headers, counts requests."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from antivenom.server.web.metrics import Metrics
from antivenom.server.web.problems import answer_error

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]


class Guard:
    """The outermost layer of pages and API."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, request_max_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        self._request_max_bytes = request_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_at = time.perf_counter()
        status = 0
        is_whole = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, is_whole
            is_whole = message["type"] == "http.response.body" and not message.get("more_body", False)
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message)
            await send(message)

        try:
            await self._app(scope, self._bound(scope, receive), send_with_headers)
        except Exception as error:
            if is_whole:  # Starlette answers an unexpected error and re-raises it; problems.py has logged it
                return
            if status:  # the response has started: breaking it off is all that is left
                raise
            response = answer_error(Request(scope), error)
            await response(scope, receive, send_with_headers)
        finally:
            self._metrics.count_request(scope, status, time.perf_counter() - started_at)

    def _bound(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` with a limit on the size of the body."""
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._request_max_bytes:
            raise self._too_large()
        total = 0

        async def receive_bounded() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self._request_max_bytes:
                raise self._too_large()
            return message

        return receive_bounded

    def _too_large(self) -> HTTPException:
        # An HTTPException: FastAPI takes any other error raised here for a body that does not parse.
        return HTTPException(413, f"the request is larger than {self._request_max_bytes} bytes")


def _add_headers(message: MutableMapping[str, Any]) -> None:
    present = {name.lower() for name, _ in message["headers"]}
    message["headers"] = [*message["headers"], *(pair for pair in SECURITY_HEADERS if pair[0] not in present)]
