"""A web server on loopback whose files a test writes, counting what is asked of it."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class FeedServer:
    """Serves a folder; `asked` lists request paths in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self._written = 0
        handler = functools.partial(_Handler, self)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._written += 1  # Last-Modified counts in seconds: two versions within one would look the same
        os.utime(path, (1_700_000_000 + self._written,) * 2)
        return f"{self.url}/{name}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, feeds: FeedServer, *args: object) -> None:
        self.feeds = feeds
        super().__init__(*args, directory=str(feeds.folder))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.feeds.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class EtagServer:
    """Serves one body under its ETag and without a date; `answers` lists (If-None-Match, status) in order."""

    def __init__(self) -> None:
        self.body = b""
        self.answers: list[tuple[str | None, int]] = []
        feeds = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.headers.get("If-None-Match")
                status = 304 if known == feeds.etag else 200
                feeds.answers.append((known, status))
                body = feeds.body if status == 200 else b""
                self.send_response(status)
                self.send_header("ETag", feeds.etag)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def etag_server() -> Iterator[EtagServer]:
    server = EtagServer()
    yield server
    server.close()


@pytest.fixture
def feed_server(tmp_path: Path) -> Iterator[FeedServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    server = FeedServer(folder)
    yield server
    server.close()
