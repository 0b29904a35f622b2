"""The protocol under uvicorn: what it answers at once, what it leaves alone, and how it sends files. Raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from antivenom.server.web import sendfile
from antivenom.server.web.answers import Answer, FilePart, RequestHeaders, send_answer
from antivenom.server.web.uvicorn_protocol import parse_plain_head, serve_with

HOT_PATH = b"/conda/main/noarch/shards/hot"
HEAD_END = b" HTTP/1.1\r\nHost: x\r\n\r\n"
BIG = 9_000_000


class Files:
    """Knows one hot file; everything else is asked the long way."""

    def __init__(self, folder: Path) -> None:
        self.big = folder / "big"
        self.big.write_bytes(bytes(range(256)) * (BIG // 256) + b"end")
        self.asked: list[bytes] = []
        self.calls: list[str] = []

    def answer_from_cache(self, path: bytes, request: RequestHeaders) -> tuple[bytes, bytes] | None:
        self.asked.append(path)
        if path != HOT_PATH or request.authorization == b"Bearer unknown":
            return None
        if request.if_none_match == b'"hot"':
            return b"HTTP/1.1 304 Not Modified\r\n", b'etag: "hot"\r\n\r\n'
        return b"HTTP/1.1 200 OK\r\n", b"content-length: 3\r\n\r\nhot"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls.append(scope["path"])
        answer = Answer(200, [(b"content-length", b"4")], b"long")
        if scope["path"] == "/conda/big":
            size = self.big.stat().st_size
            answer = Answer(200, [(b"content-length", b"%d" % size)], file=FilePart(self.big, 0, size))
        if scope["path"] == "/conda/part":
            answer = Answer(206, [(b"content-length", b"100000")], file=FilePart(self.big, 7, 100_000))
        if scope["path"] == "/conda/short":
            answer = Answer(200, [(b"content-length", b"99999999")], file=FilePart(self.big, 0, 99_999_999))
        body = b""
        while scope["method"] == "POST" and (message := await receive()).get("more_body", False) | bool(
            message["body"]
        ):
            body += message["body"]
            if not message.get("more_body"):
                answer = Answer(200, [(b"content-length", b"%d" % len(body))], body)
                break
        await send_answer(answer, scope, receive, send)


class Client:
    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def ask(self, raw: bytes) -> tuple[int, bytes]:
        self.writer.write(raw)
        return await self.answer()

    async def answer(self) -> tuple[int, bytes]:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        lines = head.lower().split(b"\r\n")
        status = int(lines[0].split()[1])
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)
        assert any(line.startswith(b"date: ") for line in lines) or status == 400
        return status, await asyncio.wait_for(self.reader.readexactly(0 if status == 304 else length), 30)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Files, int, uvicorn.Server]]:
    files = Files(tmp_path)
    config = uvicorn.Config(
        files, http=serve_with(files), ws="none", loop="asyncio", lifespan="off", port=0, log_config=None,
        timeout_keep_alive=1, timeout_graceful_shutdown=1, access_log=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    for _ in range(500):
        await asyncio.sleep(0.01)
        if server.started:
            break
    yield files, server.servers[0].sockets[0].getsockname()[1], server
    server.should_exit = True
    await asyncio.wait_for(task, 10)


def get(path: bytes, *lines: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in (b"Host: x", *lines)) + b"\r\n"


async def test_a_hot_file_is_answered_without_the_application(served: Any) -> None:
    files, port, _ = served
    async with Client(port) as client:
        for _ in range(3):
            assert await client.ask(get(HOT_PATH)) == (200, b"hot")
        assert await client.ask(get(HOT_PATH, b'If-None-Match: "hot"')) == (304, b"")
        assert await client.ask(get(HOT_PATH, b"Authorization: Bearer unknown")) == (200, b"long")
    assert files.calls == [HOT_PATH.decode()]


async def test_hot_and_other_requests_take_turns_on_one_connection(served: Any) -> None:
    files, port, _ = served
    async with Client(port) as client:
        for _ in range(3):
            assert await client.ask(get(HOT_PATH)) == (200, b"hot")
            assert await client.ask(get(b"/conda/other")) == (200, b"long")
    assert files.calls == ["/conda/other"] * 3


async def test_pipelined_requests_are_answered_in_order(served: Any) -> None:
    _, port, _ = served
    async with Client(port) as client:
        client.writer.write(get(b"/conda/other") + get(HOT_PATH) + get(b"/conda/part"))
        assert await client.answer() == (200, b"long")
        assert (await client.answer())[1] == b"long"  # in one chunk, so the long way
        assert len((await client.answer())[1]) == 100_000


async def test_a_hot_request_behind_an_unfinished_one_waits_for_it(served: Any) -> None:
    _, port, _ = served
    async with Client(port) as client:
        client.writer.write(get(b"/conda/big"))
        await client.writer.drain()
        await asyncio.sleep(0.05)
        client.writer.write(get(HOT_PATH))
        assert len((await client.answer())[1]) == BIG // 256 * 256 + 3
        assert (await client.answer())[0] == 200


async def test_a_request_that_comes_in_pieces_is_understood(served: Any) -> None:
    _, port, _ = served
    raw = get(HOT_PATH)
    async with Client(port) as client:
        for cut in (1, 5, len(raw) - 1):
            client.writer.write(raw[:cut])
            await client.writer.drain()
            await asyncio.sleep(0.02)
            assert (await client.ask(raw[cut:]))[0] == 200


async def test_the_body_of_a_post_is_never_taken_for_a_request(served: Any) -> None:
    files, port, _ = served
    inner = get(HOT_PATH)
    async with Client(port) as client:
        client.writer.write(b"POST /conda/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner))
        await client.writer.drain()
        await asyncio.sleep(0.05)
        assert await client.ask(inner) == (200, inner)
    assert files.asked == []


UNUSUAL = (
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Range: bytes=0-1",
    b"Expect: 100-continue",
    b"Upgrade: h2c",
    b"Host: y",
    b"If-Modified-Since: x",
    b"Bad Header: x",
    b"X:\x00y",
)


@pytest.mark.parametrize("line", UNUSUAL)
def test_an_unusual_head_goes_the_long_way(line: bytes) -> None:
    assert parse_plain_head(b"\r\nHost: x\r\n" + line + b"\r\n\r\n") is None


MALFORMED = (
    b"\r\n\r\n",
    b"\r\nHost: x\r\n",
    b"\r\nHost: x\r\n\r\nGET ",
    b"\r\nHost: x\r\n folded\r\n\r\n",
    b"\nHost: x\n\n",
)


@pytest.mark.parametrize("tail", MALFORMED)
def test_an_incomplete_or_malformed_head_goes_the_long_way(tail: bytes) -> None:
    assert parse_plain_head(tail) is None


def test_a_plain_head_gives_its_credentials_and_condition() -> None:
    tail = b'\r\nhost: x\r\nUser-Agent: conda/24.7.1\r\nAUTHORIZATION:  Bearer t \r\nIf-None-Match: "e"\r\n\r\n'
    assert parse_plain_head(tail) == RequestHeaders(authorization=b"Bearer t", if_none_match=b'"e"')


async def test_a_large_file_arrives_whole_and_the_connection_goes_on(served: Any) -> None:
    files, port, _ = served
    async with Client(port) as client:
        for _ in range(2):
            status, body = await client.ask(get(b"/conda/big"))
            assert status == 200
            assert hashlib.sha256(body).digest() == hashlib.sha256(files.big.read_bytes()).digest()
        assert await client.ask(get(b"/conda/part")) == (206, files.big.read_bytes()[7:100_007])
        assert await client.ask(get(HOT_PATH)) == (200, b"hot")


async def test_a_slow_reader_does_not_keep_others_waiting(served: Any) -> None:
    _, port, _ = served
    async with Client(port) as slow, Client(port) as quick:
        slow.writer.write(get(b"/conda/big"))
        await asyncio.sleep(0.1)
        assert await quick.ask(get(b"/conda/other")) == (200, b"long")
        assert len((await slow.answer())[1]) > BIG - 256


async def test_more_clients_than_threads_are_all_served_whether_they_are_slow_or_quick(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, port, server = served
    monkeypatch.setattr(sendfile, "PATIENCE_MS", 50)
    monkeypatch.setattr(sendfile, "SEND_BUFFER_BYTES", 65_536)
    digest = hashlib.sha256(files.big.read_bytes()).digest()

    async def download(pause_s: float) -> bytes:
        async with Client(port) as client:
            client.writer.write(get(b"/conda/big"))
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(pause_s)
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            return hashlib.sha256((await client.answer())[1]).digest()

    pauses_s = [0.3 * (i % 2) for i in range(sendfile.THREADS * 2)]
    assert await asyncio.gather(*map(download, pauses_s)) == [digest] * len(pauses_s)
    async with Client(port) as client:  # the connection of a slow client does not block the loop afterwards
        assert await client.ask(get(HOT_PATH)) == (200, b"hot")
    assert len(server.server_state.tasks) == 0


async def test_a_second_request_during_a_large_body_is_answered_after_it(served: Any) -> None:
    files, port, _ = served
    async with Client(port) as client:
        client.writer.write(get(b"/conda/big"))
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.write(b"NONSENSE\r\n\r\n")
        assert await client.reader.readexactly(files.big.stat().st_size) == files.big.read_bytes()
        assert (await client.answer())[0] == 400


async def test_a_server_that_stops_lets_go_of_a_client_in_the_middle_of_a_file(served: Any) -> None:
    _, port, server = served
    async with Client(port) as client:
        client.writer.write(get(b"/conda/big"))
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.1)
        for task in list(server.server_state.tasks):
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*server.server_state.tasks, return_exceptions=True), 2)
        assert len(server.server_state.tasks) == 0


async def test_a_client_that_leaves_in_the_middle_harms_nobody(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    _, port, server = served
    for _ in range(3):
        async with Client(port) as client:
            client.writer.write(get(b"/conda/big"))
            await client.reader.readexactly(1000)
            client.writer.transport.abort()
    async with Client(port) as client:
        assert await client.ask(get(HOT_PATH)) == (200, b"hot")
    for _ in range(300):
        if len(server.server_state.tasks) == 0:
            break
        await asyncio.sleep(0.01)
    assert len(server.server_state.tasks) == 0
    assert "Traceback" not in caplog.text


async def test_a_client_that_takes_nothing_is_let_go(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, port, server = served
    monkeypatch.setattr(sendfile, "STALL_S", 0.2)
    monkeypatch.setattr(sendfile, "WATCH_S", 0.05)
    monkeypatch.setattr(sendfile, "PATIENCE_MS", 100)
    monkeypatch.setattr(sendfile, "SEND_BUFFER_BYTES", 65_536)
    async with Client(port) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(get(b"/conda/big"))
        await asyncio.sleep(1.0)
        assert len(server.server_state.tasks) == 0


async def test_a_file_shorter_than_promised_breaks_the_connection(served: Any) -> None:
    _, port, _ = served
    async with Client(port) as client:
        client.writer.write(get(b"/conda/short"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()


async def test_an_idle_connection_is_closed_and_hot_answers_keep_it_open(served: Any) -> None:
    _, port, _ = served
    async with Client(port) as client:
        for _ in range(4):
            assert await client.ask(get(HOT_PATH)) == (200, b"hot")
            await asyncio.sleep(0.5)
        assert await asyncio.wait_for(client.reader.read(), 3) == b""


async def test_nonsense_is_refused(served: Any) -> None:
    _, port, _ = served
    async with Client(port) as client:
        assert (await client.ask(b"GET /conda/ \x00\r\n\r\n"))[0] == 400
