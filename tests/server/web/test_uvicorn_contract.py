"""The members of uvicorn that web/uvicorn_protocol.py overrides and uses, most of them private.

When this fails after an upgrade: read what changed in uvicorn's httptools_impl.py, adapt web/uvicorn_protocol.py and the
tables here, and only then raise the upper bound of uvicorn in pyproject.toml.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.metadata
import inspect
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from antivenom.server.web import uvicorn_protocol
from antivenom.server.web.sendfile import FileSender
from antivenom.server.web.uvicorn_protocol import ChannelProtocol

REPO = Path(__file__).parents[3]
VERSION = importlib.metadata.version("uvicorn")
ADAPT = f"uvicorn {VERSION} is not the one that web/uvicorn_protocol.py was written for"

PARAMETERS = {
    "__init__": ["self", "config", "server_state", "app_state", "_loop"],
    "connection_made": ["self", "transport"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "on_message_begin": ["self"],
    "on_headers_complete": ["self"],
    "on_body": ["self", "body"],
    "on_message_complete": ["self"],
    "timeout_keep_alive_handler": ["self"],
    "_start_asgi_task": ["self", "cycle", "app"],
}
"""The methods that ChannelProtocol overrides, each calling uvicorn's own, by their parameters."""

ATTRIBUTES = {
    "protocol": {
        "cycle", "flow", "headers", "loop", "pipeline", "scheme", "scope", "server_state", "timeout_keep_alive",
        "timeout_keep_alive_task", "transport",
    },
    "cycle": {"disconnected", "expected_content_length", "response_complete", "response_started", "scope", "send"},
    "flow": {"drain", "pause_reading", "read_paused", "write_paused"},
    "server_state": {"default_headers", "total_requests"},
}  # fmt: skip


class RecordingTransport(asyncio.Transport):
    """Takes what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass


class NothingCached:
    def answer_from_cache(self, path: bytes, request: object) -> None:
        return None


async def answer_hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def serve_one_request() -> tuple[ChannelProtocol, RequestResponseCycle, RecordingTransport]:
    """A protocol that has answered one request, its cycle, and what went out."""
    config = uvicorn.Config(answer_hello, lifespan="off", ws="none", log_config=None, access_log=False)
    protocol = ChannelProtocol(cast(Any, NothingCached()), FileSender(), 1000, config, ServerState(), {})
    transport = RecordingTransport()
    protocol.connection_made(transport)
    protocol.data_received(b"GET /channels HTTP/1.1\r\nHost: x\r\n\r\n")
    cycle = protocol.cycle
    await asyncio.gather(*protocol.server_state.tasks)
    return protocol, cycle, transport


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_a_method_that_we_override_has_the_parameters_that_we_pass_on(name: str, parameters: list[str]) -> None:
    method = getattr(HttpToolsProtocol, name, None)
    assert method is not None, f"{ADAPT}: HttpToolsProtocol.{name} is gone"
    found = list(inspect.signature(method).parameters)
    assert found == parameters, f"{ADAPT}: HttpToolsProtocol.{name} takes {found}, we pass {parameters}"


async def test_every_attribute_that_we_use_exists() -> None:
    protocol, cycle, _ = await serve_one_request()
    holders = {"protocol": protocol, "cycle": cycle, "flow": protocol.flow, "server_state": protocol.server_state}
    missing = [
        f"{holder}.{name}" for holder, names in ATTRIBUTES.items() for name in sorted(names) if not hasattr(holders[holder], name)
    ]  # fmt: skip
    assert not missing, f"{ADAPT}: {', '.join(missing)} no longer exist"


async def test_a_request_runs_through_what_we_override() -> None:
    seen: list[str] = []

    class Watched(ChannelProtocol):
        def on_message_begin(self) -> None:
            seen.append("on_message_begin")
            super().on_message_begin()

        def on_message_complete(self) -> None:
            seen.append("on_message_complete")
            super().on_message_complete()

        def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
            seen.append("_start_asgi_task")
            super()._start_asgi_task(cycle, app)

    config = uvicorn.Config(answer_hello, lifespan="off", ws="none", log_config=None, access_log=False)
    protocol = Watched(cast(Any, NothingCached()), FileSender(), 1000, config, ServerState(), {})
    protocol.connection_made(RecordingTransport())
    protocol.data_received(b"GET /channels HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.gather(*protocol.server_state.tasks)
    assert sorted(seen) == ["_start_asgi_task", "on_message_begin", "on_message_complete"], f"{ADAPT}: it called {seen}"


async def test_a_finished_response_is_counted_and_arms_the_keep_alive_timer() -> None:
    protocol, cycle, transport = await serve_one_request()
    assert transport.written.endswith(b"\r\n\r\nhello")
    assert cycle.response_complete, f"{ADAPT}: response_complete stays false"
    assert cycle.expected_content_length == 0, f"{ADAPT}: expected_content_length is not what is left to send"
    assert protocol.server_state.total_requests == 1, f"{ADAPT}: total_requests does not count responses"
    timer = protocol.timeout_keep_alive_task
    assert timer is not None, f"{ADAPT}: no timer is armed after a response"
    timer.cancel()


async def test_the_servers_own_headers_are_a_new_list_when_the_date_changes() -> None:
    server = uvicorn.Server(uvicorn.Config(answer_hello, lifespan="off", log_config=None))
    server.config.load()
    lists = []
    for _ in range(2):
        await server.on_tick(0)
        lists.append(server.server_state.default_headers)
    assert lists[0] is not lists[1], (
        f"{ADAPT}: default_headers is changed in place, so a cached Date would never change"
    )


def test_the_tables_name_everything_that_the_protocol_uses() -> None:
    """Whoever uses another member of uvicorn's adds it here."""
    tree = ast.parse(Path(uvicorn_protocol.__file__).read_text(encoding="utf-8"))
    [ours] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "ChannelProtocol"]
    defined = {node.name for node in ours.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    of_self = [n for n in ast.walk(ours) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "self"]
    [start] = [node for node in ours.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    assigned = {n.attr for n in ast.walk(start) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    used = {n.attr for n in of_self} - defined - assigned
    assert used == ATTRIBUTES["protocol"]
    overridden = {name for name in defined if hasattr(HttpToolsProtocol, name)}
    assert overridden == PARAMETERS.keys()
    for holder in ("cycle", "flow", "server_state"):
        of_holder = {
            n.attr
            for n in ast.walk(ours)
            if isinstance(n, ast.Attribute) and ast.unparse(n.value) in (holder, f"self.{holder}")
        }
        assert of_holder == ATTRIBUTES[holder], holder


def test_pyproject_admits_only_versions_whose_members_are_known() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [bound] = [text for text in project["optional-dependencies"]["server"] if text.startswith("uvicorn")]
    major, minor = VERSION.split(".")[:2]
    assert bound == f"uvicorn>={major}.{minor},<{major}.{int(minor) + 1}", f"{ADAPT}: pyproject.toml says {bound}"
