"""Serves the advisory file below `/advisories/`: its manifest, the file, its deltas."""

from __future__ import annotations

import hashlib
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.server.advisory_files import service
from antivenom.server.context import Resources
from antivenom.server.members.authentication import authenticate_request
from antivenom.server.web.answers import JSON, Content
from antivenom.server.web.blob_content import open_blob
from antivenom.server.web.content_response import ContentResponse

GZIP: Final = b"application/gzip"
KEPT: Final = b"private, max-age=31536000, immutable"  # named by its digest
NOT_KEPT: Final = b"private, no-cache"


async def serve_manifest(request: Request) -> Response:
    resources: Resources = request.app.state.resources
    async with resources.context(await authenticate_request(request)) as ctx:
        document = await service.read_manifest(ctx)
    etag = f'"{hashlib.sha256(document).hexdigest()}"'.encode()
    return ContentResponse(Content(etag, JSON, NOT_KEPT, len(document), body=document))


async def serve_file(request: Request) -> Response:
    resources: Resources = request.app.state.resources
    async with resources.context(await authenticate_request(request)) as ctx:
        key = await service.find_blob(ctx, request.path_params["name"])
    etag = f'"{key.removeprefix(service.PREFIX)}"'.encode()
    return ContentResponse(await open_blob(resources.blobs, key, etag=etag, content_type=GZIP, cache_control=KEPT))


routes = [
    Route("/advisories/manifest.json", serve_manifest),
    Route("/advisories/files/{name}", serve_file),
]
