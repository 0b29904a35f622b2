"""The upstreams and feeds of the soak on loopback: right most of the time, and faulty in one of many ways on request."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import threading
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import zstandard

from tests.soak import world
from tests.soak.world import Source

USER, PASSWORD = "soak-user", "soak-Upstream-S3cret"
SECRETS = (PASSWORD,)
START = 1_795_132_800  # 2026-11-20
MODES = (
    "slow", "half", "error", "html", "empty", "old", "wrong", "hang", "stale-zst", "reset", "missing", "replaced"
)  # fmt: skip
"""slow: a byte a second; half: half of each body; wrong: other bytes of the right length; hang: no answer; stale-zst:
the compressed index is older than the plain one; missing: 404 for everything; replaced: artifacts alone are wrong."""


@dataclass(frozen=True)
class File:
    """What one path has; `modified` in seconds since 1970."""

    body: bytes
    modified: int = START
    is_index: bool = False

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


@functools.lru_cache(maxsize=16)
def _shards(source: Source, subdir: str, empty: bool) -> tuple[bytes, dict[str, bytes]]:
    """The index of shards, and the shards by digest."""
    by_name: dict[str, dict[str, dict[str, object]]] = {}
    for fn, (record, _) in ({} if empty else world.contents(source, subdir)).items():
        binary = record | {key: bytes.fromhex(record[key]) for key in ("md5", "sha256")}
        by_name.setdefault(record["name"], {})[fn] = binary
    index, shards = {}, {}
    for name, records in by_name.items():
        blob = zstandard.compress(msgspec.msgpack.encode({"packages": {}, "packages.conda": records, "removed": []}), 3)
        digest = hashlib.sha256(blob)
        index[name] = digest.digest()
        shards[digest.hexdigest()] = blob
    info = {"subdir": subdir, "base_url": "", "shards_base_url": "./shards/", "created_at": "2026-11-21T00:00:00Z"}
    document = {"version": 1, "info": info, "shards": index}
    return zstandard.compress(msgspec.msgpack.encode(document), 3), shards


class Upstreams:
    """Every upstream at /NAME/, the feeds at /feeds/. `faults[name]` is the mode of an upstream, or of "feeds"."""

    def __init__(self) -> None:
        self.generation = dict.fromkeys(world.UPSTREAMS, 1)
        self.knowledge = 0
        self.faults: dict[str, str] = {}
        self.asked = 0
        self._gone = threading.Event()
        self._known_shards: dict[tuple[str, str, str], bytes] = {}
        self._servers: dict[str, ThreadingHTTPServer] = {}
        for number, name in enumerate((*world.UPSTREAMS, "feeds"), 1):  # a host each: the server has limits by host
            server = ThreadingHTTPServer((f"127.0.0.{number}", 0), _make_handler(self))
            server.daemon_threads = True
            server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that was killed
            self._servers[name] = server

    def __enter__(self) -> Upstreams:
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._gone.set()
        for server in self._servers.values():
            server.shutdown()
        self.close()

    def close(self) -> None:
        for server in self._servers.values():
            server.server_close()

    def _address(self, name: str) -> str:
        host, port = self._servers[name].server_address[:2]
        return f"{host!s}:{port}"

    def url(self, name: str) -> str:
        """Upstream "a" wants a user and a password."""
        user = f"{USER}:{PASSWORD}@" if name == "a" else ""
        return f"http://{user}{self._address(name)}/{name}"

    def feed_url(self, fn: str) -> str:
        return f"http://{self._address('feeds')}/feeds/{fn}"

    def source(self, name: str) -> Source:
        return Source(name, self.generation[name])

    def find(self, path: str) -> File | None:
        """What a path has, under the fault of its upstream."""
        name, _, below = path.partition("/")
        if name == "feeds":
            files = {"advisories.json": world.advisories_feed(self.knowledge), "names.tsv": world.names_feed()}
            return File(files[below], START + self.knowledge) if below in files else None
        subdir, _, fn = below.partition("/")
        if name not in self.generation or subdir not in world.SUBDIRS:
            return None
        return self._find_in_subdir(name, subdir, fn)

    def _find_in_subdir(self, name: str, subdir: str, fn: str) -> File | None:
        mode, source = self.faults.get(name, ""), self.source(name)
        older = Source(name, max(1, source.generation - 1))
        if mode == "old":
            source = older
        modified = START + 60 * source.generation
        empty = mode == "empty"
        if fn == "repodata.json":
            return File(world.index_bytes(source, subdir, empty=empty), modified, is_index=True)
        if fn == "repodata.json.zst":
            if mode == "stale-zst":
                source, modified = older, START + 60 * older.generation
            return File(zstandard.compress(world.index_bytes(source, subdir, empty=empty), 3), modified, is_index=True)
        if fn == "repodata_shards.msgpack.zst" and mode != "stale-zst":
            index, shards = _shards(source, subdir, empty)
            self._known_shards.update({(name, subdir, digest): blob for digest, blob in shards.items()})
            return File(index, modified, is_index=True)
        if fn.startswith("shards/"):
            blob = self._known_shards.get((name, subdir, fn.removeprefix("shards/").partition(".")[0]))
            return File(blob, is_index=True) if blob is not None else None
        found = world.contents(source, subdir).get(fn)
        return File(found[1], modified) if found else None

    def wait(self, seconds: float) -> bool:
        """Whether the soak ended meanwhile."""
        return self._gone.wait(seconds)


def _make_handler(upstreams: Upstreams) -> type[BaseHTTPRequestHandler]:
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                self._answer(body=True)

        def do_HEAD(self) -> None:
            with contextlib.suppress(OSError):
                self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            upstreams.asked += 1
            path = self.path.split("?")[0].lstrip("/")
            name = path.partition("/")[0]
            if name == "a" and self.headers.get("Authorization") != expected:
                return self._send(401, b"who are you?\n", body=body)
            mode = upstreams.faults.get(name, "")
            if mode == "reset":
                self.close_connection = True
                return None
            while mode == "hang" and upstreams.faults.get(name) == "hang":
                if upstreams.wait(0.2):
                    return None
            file = None if mode == "missing" else upstreams.find(path)
            if mode == "error":
                return self._send(503 if len(path) % 2 else 500, b"out of order\n", body=body)
            if mode == "html":
                return self._send(200, b"<!DOCTYPE html><html><body>Please sign in</body></html>\n", body=body)
            if file is None:
                return self._send(404, b"no such file\n", body=body)
            if self.headers.get("If-None-Match") == file.etag and mode not in ("half", "wrong"):
                return self._send(304, b"", body=False, file=file)
            data = file.body
            if mode == "wrong" or (mode == "replaced" and not file.is_index):
                data = bytes(byte ^ 0x5A for byte in data[:4096]) + data[4096:]
            return self._send(200, data, body=body, file=file, mode=mode)

        def _send(self, status: int, data: bytes, *, body: bool, file: File | None = None, mode: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if file is not None:
                self.send_header("ETag", file.etag)
                self.send_header("Last-Modified", formatdate(file.modified, usegmt=True))
            self.end_headers()
            if not body:
                return
            if mode == "half":
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
                return
            position = 0
            while mode == "slow" and upstreams.faults.get(self._name()) == "slow" and position < len(data):
                self.wfile.write(data[position : position + 1])
                position += 1
                if upstreams.wait(1):
                    return
            self.wfile.write(data[position:])

        def _name(self) -> str:
            return self.path.lstrip("/").partition("/")[0]

        def log_message(self, *args: object) -> None:
            pass

    return Handler
