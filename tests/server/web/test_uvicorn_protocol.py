"""The protocol under uvicorn: what it answers at once, what it leaves alone, and how it sends files. Raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from antivenom.server.web import sendfile
from antivenom.server.web.answers import Answer, FilePart, RequestHeaders, send_answer
from antivenom.server.web.uvicorn_protocol import ChannelProtocol, parse_plain_head, serve_with
from tests.waiting import until

HOT_PATH = b"/conda/main/noarch/shards/hot"
HEAD_END = b" HTTP/1.1\r\nHost: x\r\n\r\n"
BIG = 9_000_000
KEEP_ALIVE_S = 1000
BODY_MAX = 1_000_000


class Files:
    """Knows one hot file; the application answers everything else."""

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
    """One connection, whose kernel keeps little of what is not read: a large answer stays unfinished until it is."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Client:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        self.reader, self.writer = await asyncio.open_connection(sock=connection)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def ask(self, raw: bytes) -> tuple[int, bytes]:
        self.writer.write(raw)
        return await self.answer()

    async def answer(self) -> tuple[int, bytes]:
        status, length = await self.head()
        return status, await self.reader.readexactly(length)

    async def head(self) -> tuple[int, int]:
        """Status of an answer, and how many bytes of it follow."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        status = int(lines[0].split()[1])
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)
        assert any(line.startswith(b"date: ") for line in lines) or status == 400
        return status, 0 if status == 304 else length

    def pause(self) -> None:
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Files, int, uvicorn.Server]]:
    files = Files(tmp_path)
    config = uvicorn.Config(
        files, http=serve_with(files, BODY_MAX), ws="none", loop="asyncio", lifespan="off", port=0, log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=1, access_log=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    yield files, server.servers[0].sockets[0].getsockname()[1], server
    server.should_exit = True
    await task


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What has arrived at the server, piece by piece."""
    pieces: list[bytes] = []
    take = ChannelProtocol.data_received

    def note(protocol: ChannelProtocol, data: bytes) -> None:
        take(protocol, data)
        pieces.append(data)

    monkeypatch.setattr(ChannelProtocol, "data_received", note)
    return pieces


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
        assert (await client.answer())[1] == b"long"  # in one chunk, so the slow path
        assert len((await client.answer())[1]) == 100_000


async def test_a_hot_request_behind_an_unfinished_one_waits_for_it(served: Any) -> None:
    _, port, _ = served
    async with Client(port) as client:
        client.writer.write(get(b"/conda/big"))
        _, length = await client.head()
        client.writer.write(get(HOT_PATH))
        assert length == BIG // 256 * 256 + 3
        await client.reader.readexactly(length)
        assert (await client.answer())[0] == 200


async def test_a_request_that_comes_in_pieces_is_understood(served: Any, received: list[bytes]) -> None:
    _, port, _ = served
    raw = get(HOT_PATH)
    async with Client(port) as client:
        for cut in (1, 5, len(raw) - 1):
            received.clear()
            client.writer.write(raw[:cut])
            await until(lambda: received)
            assert (await client.ask(raw[cut:]))[0] == 200
            assert received == [raw[:cut], raw[cut:]]


async def test_the_body_of_a_post_is_never_taken_for_a_request(served: Any, received: list[bytes]) -> None:
    files, port, _ = served
    inner = get(HOT_PATH)
    async with Client(port) as client:
        client.writer.write(b"POST /conda/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner))
        await until(lambda: received)
        assert await client.ask(inner) == (200, inner)
        assert received[-1] == inner
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


LONG = 1 << 18  # what one packet may hold: read twice for each of its bytes, it would stop the server for minutes


@pytest.mark.parametrize("value", [b"a" + b" " * LONG + b"b", b"a" + b"\t" * LONG, b" " * LONG + b"\x01"])
def test_a_field_of_any_length_is_read_at_once(value: bytes) -> None:
    head = parse_plain_head(b"\r\nHost: x\r\nIf-None-Match: " + value + b"\r\n\r\n")
    expected = None if b"\x01" in value else RequestHeaders(authorization=b"", if_none_match=value.strip())
    assert head == expected


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
    _, port, server = served
    async with Client(port) as slow, Client(port) as quick:
        slow.writer.write(get(b"/conda/big"))
        _, length = await slow.head()
        assert await quick.ask(get(b"/conda/other")) == (200, b"long")
        assert len(server.server_state.tasks) == 1
        await slow.reader.readexactly(length)


async def test_more_clients_than_threads_are_all_served_whether_they_are_slow_or_quick(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, port, server = served
    monkeypatch.setattr(sendfile, "PATIENCE_MS", 50)
    monkeypatch.setattr(sendfile, "STALL_S", 3600.0)
    monkeypatch.setattr(sendfile, "SEND_BUFFER_BYTES", 65_536)
    digest = hashlib.sha256(files.big.read_bytes()).digest()

    async def download(start: asyncio.Event) -> bytes:
        async with Client(port) as client:
            client.writer.write(get(b"/conda/big"))
            client.pause()
            await start.wait()
            client.resume()
            return hashlib.sha256((await client.answer())[1]).digest()

    go, quick_ones_are_done = asyncio.Event(), asyncio.Event()
    slow = [asyncio.create_task(download(quick_ones_are_done)) for _ in range(sendfile.THREADS)]
    await until(lambda: len(files.calls) == len(slow))
    go.set()
    assert await asyncio.gather(*(download(go) for _ in slow)) == [digest] * len(slow)
    assert not any(task.done() for task in slow)
    quick_ones_are_done.set()
    assert await asyncio.gather(*slow) == [digest] * len(slow)
    async with Client(port) as client:  # the connection of a slow client does not block the loop afterwards
        assert await client.ask(get(HOT_PATH)) == (200, b"hot")
    await until(lambda: len(server.server_state.tasks) == 0)


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
        await client.head()
        client.pause()
        (task,) = server.server_state.tasks
        task.cancel()
        await until(lambda: len(server.server_state.tasks) == 0)


async def test_a_client_that_leaves_in_the_middle_harms_nobody(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    _, port, server = served
    for _ in range(3):
        async with Client(port) as client:
            client.writer.write(get(b"/conda/big"))
            await client.reader.readexactly(1000)
            client.writer.transport.abort()
    async with Client(port) as client:
        assert await client.ask(get(HOT_PATH)) == (200, b"hot")
    await until(lambda: len(server.server_state.tasks) == 0)
    assert "Traceback" not in caplog.text


async def test_a_client_that_takes_nothing_is_let_go(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    files, port, server = served
    monkeypatch.setattr(sendfile, "STALL_S", 0.2)
    monkeypatch.setattr(sendfile, "WATCH_S", 0.05)
    monkeypatch.setattr(sendfile, "PATIENCE_MS", 100)
    monkeypatch.setattr(sendfile, "SEND_BUFFER_BYTES", 65_536)
    async with Client(port) as client:
        client.pause()
        client.writer.write(get(b"/conda/big"))
        await until(lambda: files.calls)
        await until(lambda: len(server.server_state.tasks) == 0)
        client.resume()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()


async def test_a_file_shorter_than_promised_breaks_the_connection(served: Any) -> None:
    _, port, _ = served
    async with Client(port) as client:
        client.writer.write(get(b"/conda/short"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()


class Clock:
    """A loop's time in the test's hands, and the timers that were set by it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, call: Callable[[], None]) -> object:
        self.timers.append((self.now_s + delay_s, call))
        return object()

    def go_on(self, seconds: float) -> None:
        self.now_s += seconds
        due = [call for at_s, call in self.timers if at_s <= self.now_s]
        self.timers = [(at_s, call) for at_s, call in self.timers if at_s > self.now_s]
        for call in due:
            call()


async def test_an_idle_connection_is_closed_and_hot_answers_keep_it_open(served: Any) -> None:
    _, port, server = served
    clock = Clock()
    async with Client(port) as client:
        (protocol,) = await until(lambda: server.server_state.connections)
        protocol.loop = clock
        for _ in range(4):
            assert await client.ask(get(HOT_PATH)) == (200, b"hot")
            clock.go_on(KEEP_ALIVE_S * 0.6)
        clock.go_on(KEEP_ALIVE_S * 0.3)
        assert await client.ask(get(HOT_PATH)) == (200, b"hot")
        clock.go_on(KEEP_ALIVE_S)
        assert await client.reader.read() == b""


async def test_nonsense_is_refused(served: Any) -> None:
    _, port, _ = served
    async with Client(port) as client:
        assert (await client.ask(b"GET /conda/ \x00\r\n\r\n"))[0] == 400


# -- requests that hardly arrive, and those that are too large ---------------------------------------------------------


class Timers:
    """The protocols' timers, which go off when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.armed: dict[ChannelProtocol, Callable[[], None]] = {}
        arm, disarm = ChannelProtocol._await_arrival, ChannelProtocol._note_arrival

        def note_armed(protocol: ChannelProtocol, delay_s: float, late: Callable[[], None]) -> None:
            arm(protocol, delay_s, late)
            self.armed[protocol] = late

        def note_disarmed(protocol: ChannelProtocol) -> None:
            disarm(protocol)
            self.armed.pop(protocol, None)

        monkeypatch.setattr(ChannelProtocol, "_await_arrival", note_armed)
        monkeypatch.setattr(ChannelProtocol, "_note_arrival", note_disarmed)

    def go_off(self) -> None:
        (late,) = self.armed.values()
        late()


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    return Timers(monkeypatch)


@pytest.mark.parametrize("begun", [b"GET /chan", b"GET /x HTTP/1.1\r\nHost: x\r\nX-A: ", b"GET /conda/main/no"])
@pytest.mark.parametrize("earlier", [None, b"/channels", HOT_PATH])
async def test_head_that_does_not_arrive_ends_with_408(
    served: Any, timers: Timers, received: list[bytes], begun: bytes, earlier: bytes | None
):
    async with Client(served[1]) as client:
        if earlier:
            assert (await client.ask(get(earlier)))[0] == 200
        client.writer.write(begun)
        await until(lambda: begun in received)
        timers.go_off()
        assert (await client.answer())[0] == 408
        assert await client.reader.read() == b""


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
async def test_connection_on_which_nothing_is_asked_is_closed(
    served: Any, timers: Timers, received: list[bytes], sent: bytes
):
    async with Client(served[1]) as client:
        client.writer.write(sent)
        await until(lambda: timers.armed and received == ([sent] if sent else []))
        timers.go_off()
        assert await client.reader.read() == b""


async def test_body_that_hardly_arrives_ends_with_408_and_one_that_arrives_does_not(
    served: Any, timers: Timers, received: list[bytes]
):
    async with Client(served[1]) as client:
        head = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
        client.writer.write(head + b"a" * 20_000)
        await until(lambda: sum(map(len, received)) == len(head) + 20_000)
        timers.go_off()  # enough for one window
        client.writer.write(b"b")
        await until(lambda: sum(map(len, received)) == len(head) + 20_001)
        timers.go_off()
        assert (await client.answer())[0] == 408
        assert await client.reader.read() == b""


async def test_slow_application_is_no_slow_client(served: Any, timers: Timers, received: list[bytes]):
    """The body is read no further while the application has enough of it."""
    _, port, server = served
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def reads_late(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        await go_on.wait()
        body = 0
        while (message := await receive()).get("more_body"):
            body += len(message["body"])
        body += len(message["body"])
        await send_answer(Answer(200, [(b"content-length", b"6")], b"%06d" % body), scope, receive, send)

    server.config.loaded_app = reads_late
    async with Client(port) as client:
        client.writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n")
        client.writer.write(b"a" * 900_000)
        await entered.wait()
        await until(lambda: timers.armed and next(iter(timers.armed)).flow.read_paused)
        timers.go_off()
        timers.go_off()
        go_on.set()
        assert await client.answer() == (200, b"900000")


@pytest.mark.parametrize("path", [b"/x", b"/conda/main/noarch/repodata.json", HOT_PATH, b"/t/secret/conda/x/y"])
@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT"])
async def test_body_that_is_declared_too_large_is_413_before_it_is_sent(served: Any, method: bytes, path: bytes):
    files, port, _ = served
    async with Client(port) as client:
        lines = b" HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (BODY_MAX + 1)
        status, body = await client.ask(method + b" " + path + lines)
        assert (status, b"larger than 1000000 bytes" in body) == (413, True)
        assert await client.reader.read() == b""
    assert files.calls == []


async def test_chunked_body_is_413_as_soon_as_it_is_too_large(served: Any):
    async with Client(served[1]) as client:
        client.writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(BODY_MAX // 50_000 + 1):
            client.writer.write(b"%x\r\n%b\r\n" % (50_000, b"a" * 50_000))
        assert (await client.answer())[0] == 413
        with contextlib.suppress(ConnectionError):
            assert await client.reader.read() == b""


async def test_body_that_goes_on_after_the_answer_ends_the_connection(served: Any):
    async with Client(served[1]) as client:
        client.writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await client.answer())[0] == 200
        with contextlib.suppress(ConnectionError):
            while not client.reader.at_eof():
                client.writer.write(b"%x\r\n%b\r\n" % (50_000, b"a" * 50_000))
                await client.writer.drain()
                await asyncio.sleep(0)
            assert await client.reader.read() == b""


async def test_request_that_follows_a_refused_one_in_one_piece_is_not_begun(served: Any):
    files, port, _ = served
    async with Client(port) as client:
        large = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (BODY_MAX + 1)
        client.writer.write(large + b"b" * (BODY_MAX + 1) + get(b"/smuggled"))
        assert (await client.answer())[0] == 413
        with contextlib.suppress(ConnectionError):
            assert await client.reader.read() == b""
    assert files.calls == []
