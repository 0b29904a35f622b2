"""The web process: one ASGI application made of channel files, API and pages, and the server that runs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette_compress import CompressMiddleware

from antivenom import __version__
from antivenom.core.errors import AntivenomError, LostBlobError, UnauthenticatedError
from antivenom.server import demo, pages, rooms
from antivenom.server.advisory_files import files as advisory_files
from antivenom.server.context import Resources
from antivenom.server.distribution import own_channel
from antivenom.server.distribution.channel_files import ChannelFiles
from antivenom.server.events.lost_blobs import tell_lost
from antivenom.server.members.authentication import (
    SESSION_COOKIE,
    authenticate_request,
    find_session_actor,
    require_anybody,
)
from antivenom.server.members.authorization import SIGN_IN_HINT
from antivenom.server.mirrors.artifacts import ArtifactStore
from antivenom.server.readiness import check_readiness, count_sources, list_behind, list_late, list_lost
from antivenom.server.settings import Settings
from antivenom.server.web.metrics import Metrics
from antivenom.server.web.middleware import Guard
from antivenom.server.web.problems import answer_error, explain_to_client
from antivenom.server.web.rendering import STATIC, Visitor
from antivenom.server.web.stopping import answer_when_stopped

log = logging.getLogger("antivenom.web")
STOP_PATIENCE_S = 2
IMMUTABLE = "public, max-age=31536000, immutable"


class Application:
    """The whole server as one ASGI callable. `running` starts and stops its background tasks."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.metrics = Metrics()
        self.artifacts = ArtifactStore(resources)
        self.files = ChannelFiles(resources, open_artifact=self.artifacts.open, explain=explain_to_client)
        self.metrics.show_channel_files(self.files.counts)
        self.site = create_site(resources, self.metrics)
        self._guarded = Guard(
            CompressMiddleware(self.site, minimum_size=1000),
            metrics=self.metrics,
            request_max_bytes=resources.settings.request_max_bytes,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served")
        path: str = scope["path"]
        if path.startswith(("/conda/", "/t/")):
            await answer_when_stopped(self.files, scope, receive, send)
        else:
            await answer_when_stopped(self._guarded, scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Application]:
        await self.files.start()
        try:
            yield self
        finally:
            await self.files.stop()
            await self.artifacts.stop()


def create_site(resources: Resources, metrics: Metrics) -> FastAPI:
    """The application with API and pages of every room, and the routes that belong to none."""
    list(rooms.load("jobs"))  # declare them: services defer jobs by name
    site = FastAPI(
        title="Antivenom",
        version=__version__,
        summary="Self-hosted security manager for conda.",
        openapi_url=None,  # ours asks who wants it
        docs_url=None,  # they would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=dict.fromkeys((AntivenomError, HTTPException, RequestValidationError, Exception), _explain),
    )
    for kind in (AntivenomError, SQLAlchemyError, Exception):
        site.add_exception_handler(kind, explain_error)
    site.add_exception_handler(RequestValidationError, refuse_input)
    site.add_exception_handler(HTTPException, refuse_input)
    site.state.resources = resources
    site.state.find_visitor = find_visitor
    for module in rooms.load("api"):
        site.include_router(module.router, prefix="/api/v1")
    site.include_router(demo.router, prefix="/api/v1")
    site.router.routes.extend(_own_routes(resources, metrics, site))
    site.router.routes.extend(advisory_files.routes)
    site.router.routes.extend(own_channel.routes)
    site.router.routes.extend(pages.routes)
    for module in rooms.load("pages"):
        site.router.routes.extend(module.routes)
    site.router.routes.append(Mount("/static", app=BuiltFiles(directory=STATIC, check_dir=False), name="static"))
    return site


async def _explain(request: Request, error: Exception) -> Response:
    return answer_error(request, error)


async def explain_error(request: Request, error: Exception) -> Response:
    """Explain every error of API and pages; Starlette would answer a bare 500 to what it does not know."""
    if isinstance(error, LostBlobError):
        await tell_lost(request.app.state.resources, error)
    return answer_error(request, error)


async def refuse_input(request: Request, error: Exception) -> Response:
    """Explain a wrong body or parameter to those who are signed in; answer others only that a sign-in is needed.

    FastAPI reads the body before it asks who sent it.
    """
    unreadable = isinstance(error, HTTPException) and error.status_code == 400
    if request.url.path.startswith("/api/") and (unreadable or isinstance(error, RequestValidationError)):
        try:
            actor = await authenticate_request(request)
        except AntivenomError as refusal:
            return answer_error(request, refusal)
        if actor.kind == "anonymous":
            return answer_error(request, UnauthenticatedError("this needs a sign-in", hint=SIGN_IN_HINT))
    return answer_error(request, error)


async def find_visitor(request: Request) -> Visitor | None:
    """The visitor of a page: the member of the session cookie."""
    found = await find_session_actor(request.app.state.resources, request.cookies.get(SESSION_COOKIE, ""))
    return Visitor(found.actor, found.csrf) if found else None


def _own_routes(resources: Resources, metrics: Metrics, site: FastAPI) -> list[Route]:
    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        problems = await check_readiness(resources)
        found = {
            "ready": not problems,
            "problems": problems,
            "behind": [] if problems else await list_behind(resources),
            "late": [] if problems else await list_late(resources),
            "lost": [] if problems else await list_lost(resources),
        }
        return JSONResponse(found, status_code=503 if problems else 200)

    async def show_openapi(request: Request) -> Response:
        if not resources.settings.openapi_public:
            await require_anybody(request)
        return JSONResponse(site.openapi())

    async def show_metrics(request: Request) -> Response:
        if not resources.settings.metrics_public:
            await require_anybody(request)
        return Response(
            await metrics.render(resources, await count_sources(resources)),
            media_type="text/plain; version=0.0.4; charset=utf-8",
        )

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", show_metrics),
        Route("/api/openapi.json", show_openapi),
    ]


class BuiltFiles(StaticFiles):
    """The built frontend. Browsers may keep an address that has the file's digest for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code in (200, 304):
            is_versioned = scope["query_string"].startswith(b"v=") and scope["query_string"] != b"v=dev"
            response.headers["cache-control"] = IMMUTABLE if is_versioned else "no-cache"
        return response


# -- running it --------------------------------------------------------------------------------------------------------


async def run_web(resources: Resources, listening: socket.socket, *, ready: int | None = None) -> None:
    """Serve on a listening socket until SIGTERM or SIGINT; one byte goes to the descriptor `ready` once it answers."""
    import uvicorn

    from antivenom.server.web.uvicorn_protocol import serve_with

    application = Application(resources)
    config = configure(
        application, serve_with(application.files, resources.settings.request_max_bytes), resources.settings
    )
    async with application.running():
        # uvicorn handles both signals while it serves; then it restores the handlers and raises the signal again, which
        # must not end this process before everything is closed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        server = uvicorn.Server(config)
        announced = asyncio.create_task(_announce(server, ready)) if ready is not None else None
        await server.serve(sockets=[listening])
        if announced is not None:
            announced.cancel()


def configure(application: Any, protocol: type[asyncio.Protocol], settings: Settings) -> Any:
    """uvicorn's configuration. Only of trusted proxies it believes for whom they ask."""
    import uvicorn

    return uvicorn.Config(
        application,
        http=protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=STOP_PATIENCE_S,
        timeout_keep_alive=65,
    )


async def _announce(server: Any, ready: int) -> None:
    while not server.started:  # noqa: ASYNC110  # uvicorn offers a flag and no event
        await asyncio.sleep(0.005)
    with contextlib.suppress(OSError):
        os.write(ready, b"1")
