"""Lets the kernel send a part of a file over a connection.

A thread with a blocking socket sends the first part of a large body: the kernel then fills the connection without a
round through the event loop for every buffer, which costs a fifth less CPU (docs/dev/serving.md). Threads are few: a
slow client gives its thread back and is served by the loop, and so is a client that finds no thread free.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import cast

SEND_BUFFER_BYTES = 4 * 1024 * 1024  # fewer, larger calls: measured 10-20 % less CPU than the kernel's own choice
CALL_MAX_BYTES = 4 * 1024 * 1024  # per call, so that one client does not hold the loop
STALL_S = 60.0  # a client that reads nothing for this long is disconnected
WATCH_S = 1.0  # how often to look for clients that left or stall
THREADS = 16
THREAD_MIN_BYTES = 2 * SEND_BUFFER_BYTES  # the first calls already send less
PATIENCE_MS = 1000  # limit of one call in a thread: a client below 4 MB/s moves to the loop


class FileSender:
    """Sends files; all connections share its threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="send-file")
        self._free = THREADS

    async def send(self, transport: asyncio.Transport, file: int, offset: int, count: int) -> None:
        """Send `count` bytes of `file` from `offset`. The caller must not read or write the connection meanwhile.

        Raises:
            ConnectionError: The client disconnected, or read nothing for STALL_S seconds; or the file is too short.
        """
        connection = cast("socket.socket", transport.get_extra_info("socket"))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sent = 0
        if count >= THREAD_MIN_BYTES and self._free:
            sent = await self._send_in_thread(connection, file, offset, count)
        if sent < count:
            await _send_in_loop(transport, connection, file, offset + sent, count - sent)

    async def _send_in_thread(self, connection: socket.socket, file: int, offset: int, count: int) -> int:
        """Send while the client is fast enough. Returns the number of bytes sent."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(PATIENCE_MS))
        self._free -= 1
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, _send_while_quick, os.dup(connection.fileno()), os.dup(file), offset, count
        )
        work.add_done_callback(self._release_thread)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # ends the blocking call of the thread
            await asyncio.wait([work])
            raise

    def _release_thread(self, _: asyncio.Future[int]) -> None:
        self._free += 1


def _timeval(milliseconds: int) -> bytes:
    return struct.pack("@ll", milliseconds // 1000, milliseconds % 1000 * 1000)


def _send_while_quick(connection: int, file: int, offset: int, count: int) -> int:
    """Send with the connection in blocking mode, then close both descriptors. Returns the number of bytes sent."""
    os.set_blocking(connection, True)  # applies to every descriptor of the connection
    try:
        return _send_in_calls(connection, file, offset, count)
    finally:
        os.set_blocking(connection, False)
        os.close(connection)
        os.close(file)


def _send_in_calls(connection: int, file: int, offset: int, count: int) -> int:
    position, end = offset, offset + count
    while position < end:
        began_s = time.monotonic()
        try:
            sent = os.sendfile(connection, file, position, min(end - position, CALL_MAX_BYTES))
        except BlockingIOError:  # nothing moved for PATIENCE_MS
            break
        except OSError as error:
            raise ConnectionError(str(error)) from error
        _expect_bytes(sent)
        position += sent
        if time.monotonic() - began_s > PATIENCE_MS / 1000:
            break
    return position - offset


def _expect_bytes(sent: int) -> None:
    if sent == 0:
        raise ConnectionError("the file became shorter")


async def _send_in_loop(
    transport: asyncio.Transport, connection: socket.socket, file: int, offset: int, count: int
) -> None:
    """Send whenever the connection is writable.

    Uses a duplicate of the socket's descriptor, which the loop can watch beside the transport's own.
    """
    loop = asyncio.get_running_loop()
    descriptor = os.dup(connection.fileno())
    done: asyncio.Future[None] = loop.create_future()
    position, end = offset, offset + count
    moved_at = loop.time()

    def finish(error: Exception | None = None) -> None:
        loop.remove_writer(descriptor)
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    def write() -> None:
        nonlocal position, moved_at
        try:
            sent = os.sendfile(descriptor, file, position, min(end - position, CALL_MAX_BYTES))
            _expect_bytes(sent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            finish(ConnectionError(str(error)))
            return
        position += sent
        moved_at = loop.time()
        if position >= end:
            finish()

    async def watch() -> None:
        while not done.done():
            await asyncio.wait([done], timeout=WATCH_S)
            if loop.time() - moved_at >= STALL_S or transport.is_closing():
                finish(ConnectionError("the client disconnected"))

    loop.add_writer(descriptor, write)
    try:
        await watch()
        done.result()
    finally:
        loop.remove_writer(descriptor)
        os.close(descriptor)
