"""A content as the response of a Starlette route."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from antivenom.server.web.answers import Content, RequestHeaders, answer_content, send_answer


class ContentResponse(Response):
    """Answers a request for a content: whole, a range of it, or that it did not change."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = answer_content(self._content, scope["method"], RequestHeaders.of(scope["headers"]))
        # Without the server's own way to send files: what lies between does not know it.
        await send_answer(answer, {**scope, "extensions": {}}, receive, send)
