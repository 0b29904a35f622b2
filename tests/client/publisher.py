"""A server of advisory files for tests: real files, real signatures, real HTTP, and every way to go wrong."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from antivenom_client import advisory_file
from antivenom_client.content import content_digest
from antivenom_client.delta import write_delta
from antivenom_client.manifest import ROTATED, Blob, Delta, Manifest, Rotation, signed_bytes, to_document, to_text

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


def advisory_rows(names: Iterable[str], *, made_at: str = "2026-11-28T12:00:00Z") -> dict[str, list[Sequence[Any]]]:
    """The rows of a small advisory file that knows these packages."""
    tables: dict[str, list[Sequence[Any]]] = {name: [] for name in advisory_file.TABLES}
    tables["meta"] = [("made_at", made_at)]
    tables["packages"] = [(f"pypi/{name}", hashlib.sha512(name.encode()).digest() * 8) for name in sorted(names)]
    return tables


def write_file(path: Path, names: Iterable[str], **facts: Any) -> Path:
    advisory_file.write(path, advisory_rows(names, **facts))
    return path


class FileServer:
    """Publishes advisory files below a folder and serves them; `base` is the address of the server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = Ed25519PrivateKey.generate()
        self.sequence = 0
        self.rotations: list[Rotation] = []
        self.deltas: list[Delta] = []
        self.files: dict[str, bytes] = {}
        self.manifest: Manifest | None = None
        self.answers: dict[str, Answer] = {}
        """What to do instead of answering a path as it is."""
        self.asked: list[tuple[str, str, str]] = []
        """(path, Range, Authorization) of every request."""
        self._newest: Path | None = None

    def __enter__(self) -> FileServer:
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                publisher.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append((request.path, request.headers.get("Range", ""), request.headers.get("Authorization", "")))
        data = self.files.get(request.path)
        if (special := self.answers.get(request.path)) is not None:
            special(request, data or b"")
        elif data is None:
            send(request, 404, b"")
        else:
            send_file(request, data)

    # -- publishing ----------------------------------------------------------------------------------------------------

    def publish(self, names: Iterable[str], **facts: Any) -> Manifest:
        """Publish a file that knows these packages, and the delta from the one before."""
        self.sequence += 1
        path = write_file(self.folder / f"{self.sequence}.db", names, **facts)
        content, data = content_digest(path), path.read_bytes()
        if self.manifest is not None and self._newest is not None and content != self.manifest.content:
            delta = self.folder / f"{self.sequence}.delta"
            write_delta(self._newest, path, delta, before=self.manifest.content, after=content)
            packed = delta.read_bytes()
            self.deltas.append(
                Delta(self.manifest.content, content, self.add(packed, len(gzip.decompress(packed)), "delta"))
            )
        self._newest = path
        return self.sign(
            Manifest(
                sequence=self.sequence,
                made_at=facts.get("made_at", "2026-11-28T12:00:00Z"),
                file_format=advisory_file.FORMAT,
                content=content,
                file=self.add(gzip.compress(data, 9, mtime=0), len(data), "db"),
                unpacked_sha256=hashlib.sha256(data).hexdigest(),
                key=self.public,
                deltas=tuple(self.deltas),
                rotations=tuple(self.rotations),
            )
        )

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    def add(self, data: bytes, unpacked_size: int, kind: str) -> Blob:
        sha256 = hashlib.sha256(data).hexdigest()
        self.files[f"/advisories/files/{sha256}.{kind}.gz"] = data
        return Blob(f"files/{sha256}.{kind}.gz", sha256, len(data), unpacked_size)

    def sign(self, manifest: Manifest) -> Manifest:
        """Serve a manifest, whatever is in it."""
        self.manifest = manifest
        text = to_text(manifest)
        self.files["/advisories/manifest.json"] = to_document(text, self.key.sign(signed_bytes(text)))
        return manifest

    def rotate(self, *, signed_by: Ed25519PrivateKey | None = None) -> None:
        """Go on with a new key, which the old one signs (or another, to cheat)."""
        old, new = self.public, Ed25519PrivateKey.generate()
        fresh = new.public_key().public_bytes_raw()
        self.rotations.append(Rotation(old, fresh, (signed_by or self.key).sign(ROTATED + old + fresh)))
        self.key = new

    def path_of(self, blob: Blob) -> str:
        return f"/advisories/{blob.url}"


def send(request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def send_file(request: BaseHTTPRequestHandler, data: bytes) -> None:
    """A file with ETag, If-None-Match and Range."""
    etag = f'"{hashlib.sha256(data).hexdigest()}"'
    if request.headers.get("If-None-Match") == etag:
        send(request, 304, b"", ETag=etag)
    elif asked := request.headers.get("Range"):
        start = int(asked.removeprefix("bytes=").partition("-")[0])
        send(request, 206, data[start:], ETag=etag, Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
    else:
        send(request, 200, data, ETag=etag)


def break_off(after: int, times: int = 1) -> Answer:
    """Sends the headers of the whole, and only so many bytes of it, the first `times`; then all that is asked for."""
    left = [times]

    def answer(request: BaseHTTPRequestHandler, data: bytes) -> None:
        if not left[0]:
            send_file(request, data)
            return
        left[0] -= 1
        start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        request.wfile.write(data[start : start + after])
        request.close_connection = True

    return answer


def always(status: int, body: bytes, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler, _: bytes) -> None:
        send(request, status, body, **headers)

    return answer
