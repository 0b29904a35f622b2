"""Lists as the API answers them: one page as JSON, or every row as a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import StreamingResponse

from antivenom.server.db.paging import Page

STREAM_CHUNK_ROWS = 200


def page_answer(page: Page[Any], items: Iterable[Any] | None = None) -> dict[str, Any]:
    listed = list(page.items if items is None else items)
    return {"items": listed, "total": page.total, "page": page.page, "page_size": page.page_size}


def stream_answer(rows: Iterable[dict[str, Any]]) -> StreamingResponse:
    """Rows as NDJSON, a line each, made in a thread while they are sent."""

    def chunks() -> Iterator[bytes]:
        buffer: list[bytes] = []
        for row in rows:
            buffer.append(msgspec.json.encode(row))
            if len(buffer) == STREAM_CHUNK_ROWS:
                yield b"\n".join(buffer) + b"\n"
                buffer.clear()
        if buffer:
            yield b"\n".join(buffer) + b"\n"

    return StreamingResponse(iterate_in_threadpool(chunks()), media_type="application/x-ndjson")
