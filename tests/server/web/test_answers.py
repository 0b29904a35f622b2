"""Conditions and ranges: what GET and HEAD answer about one content."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.server.web.answers import (
    Content,
    FilePart,
    RequestHeaders,
    answer_content,
    parse_range,
    problem,
    send_answer,
)

BODY = bytes(range(256)) * 4
ETAG = b'"abc"'
DATE = b"Sat, 21 Nov 2026 09:00:00 GMT"
CONTENT = Content(ETAG, b"application/zstd", b"public, max-age=60", len(BODY), body=BODY, last_modified=DATE)


def ask(content: Content = CONTENT, method: str = "GET", **headers: bytes) -> Any:
    return answer_content(content, method, RequestHeaders(**headers))


def test_it_answers_the_whole_with_its_length_and_tag() -> None:
    answer = ask()
    assert (answer.status, answer.body) == (200, BODY)
    headers = dict(answer.headers)
    assert headers[b"content-length"] == b"1024"
    assert headers[b"etag"] == ETAG
    assert headers[b"accept-ranges"] == b"bytes"


def test_head_has_the_headers_of_get_and_no_body() -> None:
    assert ask(method="HEAD").headers == ask().headers
    assert ask(method="HEAD").body == b""


@pytest.mark.parametrize("tag", [ETAG, b"*", b'W/"abc"', b'"other", "abc"', b'"other",W/"abc"'])
def test_a_known_tag_is_not_sent_again(tag: bytes) -> None:
    answer = ask(if_none_match=tag)
    assert (answer.status, answer.body) == (304, b"")
    assert dict(answer.headers)[b"cache-control"] == b"public, max-age=60"


def test_another_tag_beats_an_equal_date() -> None:
    assert ask(if_none_match=b'"other"', if_modified_since=DATE).status == 200


def test_only_the_very_same_date_is_not_sent_again() -> None:
    assert ask(if_modified_since=DATE).status == 304
    assert ask(if_modified_since=b"Sun, 22 Nov 2026 09:00:00 GMT").status == 200


@pytest.mark.parametrize(
    ("asked", "start", "length"),
    [(b"bytes=0-9", 0, 10), (b"bytes=1000-", 1000, 24), (b"bytes=-1", 1023, 1), (b"bytes=5-99999", 5, 1019)],
)
def test_a_range_is_a_part(asked: bytes, start: int, length: int) -> None:
    answer = ask(range=asked)
    assert (answer.status, answer.body) == (206, BODY[start : start + length])
    assert dict(answer.headers)[b"content-range"] == b"bytes %d-%d/1024" % (start, start + length - 1)


@pytest.mark.parametrize("asked", [b"bytes=1024-", b"bytes=99999-100000", b"bytes=-0"])
def test_a_range_outside_is_416_with_the_size(asked: bytes) -> None:
    answer = ask(range=asked)
    assert answer.status == 416
    assert dict(answer.headers)[b"content-range"] == b"bytes */1024"


@pytest.mark.parametrize(
    "asked", [b"bytes=5-1", b"bytes=0-1,4-5", b"lines=1-2", b"bytes=", b"bytes=a-b", b"", b"bytes=-"]
)
def test_what_is_not_understood_is_ignored(asked: bytes) -> None:
    assert ask(range=asked).status == 200


def test_if_range_holds_for_the_same_content_only() -> None:
    assert ask(range=b"bytes=0-9", if_range=ETAG).status == 206
    assert ask(range=b"bytes=0-9", if_range=DATE).status == 206
    assert ask(range=b"bytes=0-9", if_range=b'"other"').status == 200
    assert ask(range=b"bytes=0-9", if_range=b'W/"abc"').status == 200


def test_a_range_does_not_change_head() -> None:
    assert ask(method="HEAD", range=b"bytes=0-9").status == 200


def test_a_part_of_a_file_is_counted_from_its_own_offset() -> None:
    content = Content(ETAG, b"a/b", b"", 100, file=FilePart(Path("f"), 1000, 100))
    assert ask(content, range=b"bytes=10-19").file == FilePart(Path("f"), 1010, 10)


@given(st.binary(max_size=40), st.integers(0, 10**12))
def test_every_range_lies_inside_the_file(asked: bytes, size: int) -> None:
    for field in (asked, b"bytes=" + asked):
        wanted = parse_range(field, size)
        if wanted is not None and wanted[1]:
            assert 0 <= wanted[0] <= wanted[0] + wanted[1] <= size


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_a_range_answers_what_slicing_does(start: int, end: int) -> None:
    answer = ask(range=b"bytes=%d-%d" % (start, end))
    expected = {206: BODY[start : end + 1], 200: BODY}
    assert answer.status == 416 or answer.body == expected[answer.status]


def test_a_problem_is_a_document_that_conda_prints() -> None:
    answer = problem(403, "withheld", code="blocked-by-policy", extension={"policy": "baseline"})
    document = json.loads(answer.body)
    assert document["detail"] == "withheld"
    assert document["status"] == 403
    assert document["policy"] == "baseline"
    assert dict(answer.headers)[b"content-type"] == b"application/problem+json"


async def send_all(answer: Any, method: str = "GET") -> tuple[int, bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await send_answer(answer, {"method": method, "extensions": {}}, _never, send)
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])


async def _never() -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
async def test_a_file_is_sent_whole_by_servers_without_extensions(tmp_path: Path, size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    (tmp_path / "f").write_bytes(data)
    content = Content(ETAG, b"a/b", b"", size, file=FilePart(tmp_path / "f", 0, size))
    assert await send_all(ask(content)) == (200, data)


async def test_a_stream_is_sent_to_its_end() -> None:
    async def read(start: int, length: int) -> Any:
        for position in range(start, start + length):
            yield BODY[position : position + 1]

    content = Content(ETAG, b"a/b", b"", len(BODY), read=read)
    assert await send_all(ask(content, range=b"bytes=10-19")) == (206, BODY[10:20])


@pytest.mark.parametrize("leaves_after", [0, 3])
async def test_a_stream_ends_when_its_client_leaves_also_before_the_first_byte(leaves_after: int) -> None:
    waits, is_closed, sent = asyncio.Event(), asyncio.Event(), []

    async def read(start: int, length: int) -> Any:
        try:
            for _ in range(leaves_after):
                yield b"x"
            waits.set()
            await asyncio.Event().wait()  # an upstream that sends nothing more
        finally:
            is_closed.set()

    async def receive() -> Any:
        await waits.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await send_answer(ask(Content(ETAG, b"a/b", b"", 100, read=read)), {"method": "GET"}, receive, send)
    assert is_closed.is_set()
    assert len(sent) == (leaves_after + 1 if leaves_after else 0)
