"""Upstream channels for tests: written to a folder, served on loopback, with faults on request."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import zstandard

NOW_MS = 1_795_219_200_000  # 2026-11-21


def make_record(
    name: str, version: str, build: str = "h0_0", *, subdir: str = "linux-64", **fields: Any
) -> tuple[str, dict[str, Any]]:
    """File name and record of a made-up artifact; hashes are of its file name."""
    fn = f"{name}-{version}-{build}{fields.pop('ext', '.conda')}"
    record = {
        "build": build,
        "build_number": int(build.rsplit("_", 1)[-1]) if build.rsplit("_", 1)[-1].isdigit() else 0,
        "depends": [],
        "license": "MIT",
        "md5": hashlib.md5(fn.encode()).hexdigest(),
        "name": name,
        "sha256": hashlib.sha256(fn.encode()).hexdigest(),
        "size": 1000,
        "subdir": subdir,
        "timestamp": 1_640_000_000_000,
        "version": version,
    } | fields
    return fn, record


def write_channel(
    folder: Path,
    subdirs: dict[str, Iterable[tuple[str, dict[str, Any]]]],
    *,
    shards: bool = False,
    removed: tuple[str, ...] = (),
    shards_base_url: str = "./shards/",
) -> Path:
    """A channel tree as an upstream serves it: repodata.json, .zst, and shards if asked."""
    for subdir, records in ({"noarch": ()} | subdirs).items():
        target = folder / subdir
        target.mkdir(parents=True, exist_ok=True)
        sections: dict[str, dict[str, Any]] = {"packages": {}, "packages.conda": {}}
        for fn, record in records:
            sections["packages.conda" if fn.endswith(".conda") else "packages"][fn] = record
        document = {"info": {"subdir": subdir}, **sections, "removed": list(removed), "repodata_version": 1}
        raw = json.dumps(document).encode()
        (target / "repodata.json").write_bytes(raw)
        (target / "repodata.json.zst").write_bytes(zstandard.compress(raw, 3))
        if shards:
            write_shards(target, subdir, sections, shards_base_url)
    return folder


def write_shards(
    target: Path, subdir: str, sections: dict[str, dict[str, Any]], shards_base_url: str = "./shards/"
) -> None:
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    for section, records in sections.items():
        for fn, record in records.items():
            binary = record | {k: bytes.fromhex(record[k]) for k in ("md5", "sha256") if k in record}
            by_name.setdefault(record["name"], {"packages": {}, "packages.conda": {}})[section][fn] = binary
    (target / "shards").mkdir(exist_ok=True)
    index: dict[str, bytes] = {}
    for name, shard in by_name.items():
        blob = zstandard.compress(msgspec.msgpack.encode({**shard, "removed": []}), 3)
        digest = hashlib.sha256(blob)
        index[name] = digest.digest()
        (target / "shards" / f"{digest.hexdigest()}.msgpack.zst").write_bytes(blob)
    info = {"subdir": subdir, "base_url": "", "shards_base_url": shards_base_url, "created_at": "2026-11-21T00:00:00Z"}
    document = {"version": 1, "info": info, "shards": index}
    (target / "repodata_shards.msgpack.zst").write_bytes(zstandard.compress(msgspec.msgpack.encode(document), 3))


class UpstreamServer:
    """Serves a folder on loopback.

    `faults[path]` is one of: a status, "truncate", "garbage"; `requests` is the log of (method, path, status) of what
    was answered, `asked` that of the paths that were asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, int | str] = {}
        self.requests: list[tuple[str, str, int]] = []
        self.asked: list[str] = []
        self._gates: dict[str, threading.Event] = {}
        self.credentials: set[str] = set()
        self.conditional = True
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> UpstreamServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def holding(self, path: str) -> Iterator[None]:
        """Who asks for `path` gets no answer before the block ends."""
        gate = self._gates[path] = threading.Event()
        try:
            yield
        finally:
            del self._gates[path]
            gate.set()

    def _handler(upstream) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(body=True)

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def _answer(self, *, body: bool) -> None:
                path = self.path.split("?")[0].lstrip("/")
                if credentials := self.headers.get("Authorization"):
                    upstream.credentials.add(credentials)
                upstream.asked.append(path)
                if gate := upstream._gates.get(path):
                    gate.wait()
                fault = upstream.faults.get(path)
                file = upstream.folder / path
                if isinstance(fault, int):
                    return self._reply(fault, b"fault\n", body=body)
                if not file.is_file():
                    return self._reply(404, b"no such file\n", body=body)
                data = b"\x00garbage\xff" * 50 if fault == "garbage" else file.read_bytes()
                etag = '"' + hashlib.sha256(data).hexdigest()[:32] + '"'
                if upstream.conditional and self.headers.get("If-None-Match") == etag:
                    return self._reply(304, b"", body=False, etag=etag)
                cut = len(data) // 2 if fault == "truncate" else None
                modified = formatdate(file.stat().st_mtime, usegmt=True)
                return self._reply(200, data, body=body, etag=etag, cut=cut, modified=modified)

            def _reply(
                self,
                status: int,
                data: bytes,
                *,
                body: bool,
                etag: str = "",
                cut: int | None = None,
                modified: str = "",
            ) -> None:
                upstream.requests.append((self.command, self.path, status))
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if etag and upstream.conditional:
                    self.send_header("ETag", etag)
                    if modified:
                        self.send_header("Last-Modified", modified)
                self.end_headers()
                if body:
                    self.wfile.write(data if cut is None else data[:cut])
                if cut is not None:
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        return Handler
