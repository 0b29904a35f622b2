"""Lists as the API answers them: one page as JSON, or every row as a stream of lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import StreamingResponse

from antivenom.server.db.paging import Page

STREAM_CHUNK_ROWS = 200
NDJSON = "application/x-ndjson"

T = TypeVar("T")


class Listing(BaseModel, Generic[T]):
    """One page of a list: `total` counts the items of all pages, `page` starts at 1."""

    items: list[T]
    total: int
    page: int
    page_size: int

    @classmethod
    def of(cls, page: Page[T]) -> Listing[T]:
        """The page as the API answers it."""
        return cls(items=list(page.items), total=page.total, page=page.page, page_size=page.page_size)

    @classmethod
    def whole(cls, items: list[T]) -> Listing[T]:
        """A list that is answered whole: its one page holds every item."""
        return cls(items=items, total=len(items), page=1, page_size=max(1, len(items)))


def streamed(row: type) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers a page, or with `stream=true` every row: OpenAPI's words for the stream.

    The page's own schema must name `row`, since this only refers to it.
    """
    schema = {"$ref": f"#/components/schemas/{row.__name__}"}
    return {
        200: {
            "description": "One page; with `stream=true` every row, one JSON object a line",
            "content": {NDJSON: {"schema": schema}},
        }
    }


def stream_answer(rows: Iterable[Any]) -> StreamingResponse:
    """Rows as NDJSON, one line each, encoded in a thread while the response is sent."""
    encode = msgspec.json.Encoder().encode

    def chunks() -> Iterator[bytes]:
        buffer: list[bytes] = []
        for row in rows:
            buffer.append(encode(row))
            if len(buffer) == STREAM_CHUNK_ROWS:
                yield b"\n".join(buffer) + b"\n"
                buffer.clear()
        if buffer:
            yield b"\n".join(buffer) + b"\n"

    return StreamingResponse(iterate_in_threadpool(chunks()), media_type=NDJSON)
