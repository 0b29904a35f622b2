"""The only way out: where it goes, what it takes, when it gives up."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.errors import OutboundRefusedError, StorageError, UpstreamError
from antivenom.server.adapters.addresses import AllowList, is_public, parse_address
from antivenom.server.adapters.http import OutboundClient

LONG_S = 600.0  # longer than any test may take

# -- where it may go ---------------------------------------------------------------------------------------------------

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.2.3", "240.0.0.1",
    "255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:a00:1::1", "100::1", "fec0::1",
    "168.63.129.16", "192.0.0.192", "192.88.99.1", "192.31.196.1", "192.52.193.1", "192.175.48.1", "100.100.100.200",
    "3fff::1", "3fff:fff::1", "5f00::1", "100:0:0:1::1", "2001:2::1", "2001:20::1", "2001:4:112::1", "fd00:ec2::254",
    "::ffff:168.63.129.16", "64:ff9b::a83f:8110",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "151.101.1.63",
    "2606:4700:4700::1111",
    "2a04:4e42::319",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("text", PRIVATE)
def test_address_that_is_not_on_the_internet_is_not_public(text: str):
    address = parse_address(text)
    assert address is not None
    assert not is_public(address)


@pytest.mark.parametrize("text", PUBLIC)
def test_address_on_the_internet_is_public(text: str):
    address = parse_address(text)
    assert address is not None
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_address_inside_an_ipv6_address_counts_as_itself(address: ipaddress.IPv4Address):
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        inside = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(address))
        assert is_public(inside) == is_public(address)


REFUSED_URLS = [
    "ftp://example.org/x", "file:///etc/passwd", "gopher://example.org", "//example.org/x", "example.org", "", "http://",
    "http://127.0.0.1/x", "http://localhost/x", "http://LOCALHOST/x", "http://api.localhost/", "http://[::1]/", "http://[::ffff:127.0.0.1]/",
    "http://169.254.169.254/latest/meta-data/", "http://user:pw@127.0.0.1/", "http://0.0.0.0:8080/", "https://[fe80::1%25eth0]/",
    "http://example.org:99999/", "http://[::1",
    "http://127\u30020\u30020\u30021/x", "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", "http://\uff11\uff12\uff17.0.0.1/", "http://\u24dbocalhost/",
    "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://0/", "http://8.8/x",
    "http://127.0.0.1./", "http://localhost./", "http://169\uff0e254\uff0e169\uff0e254/", "http://127.0.0.1\\@example.org/", "http://xn--/",
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_address_is_refused_before_anything_is_sent(url: str):
    with pytest.raises(OutboundRefusedError):
        OutboundClient().check_address(url)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "017700000001"])
async def test_odd_spelling_of_a_private_address_is_refused(host: str):
    client = OutboundClient(attempts=1)
    try:
        with pytest.raises(UpstreamError):
            await client.get(f"http://{host}:9/x", max_bytes=10, timeout_s=LONG_S)
    finally:
        await client.close()


async def test_name_that_resolves_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch):
    async def resolve(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    client = OutboundClient(attempts=1)
    try:
        with pytest.raises(OutboundRefusedError, match=r"rebound\.example"):
            await client.get("http://rebound.example/x", max_bytes=10, timeout_s=LONG_S)
    finally:
        await client.close()


async def test_only_the_public_ones_of_several_addresses_are_used(monkeypatch: pytest.MonkeyPatch):
    async def resolve(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("10.1.2.3", "8.8.8.8", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    found = await OutboundClient()._resolve("mixed.example", 80, socket.AF_INET)
    assert [entry["host"] for entry in found] == ["8.8.8.8"]


ALLOWED = [
    ("127.0.0.1", "http://127.0.0.1:1234/x", True),
    ("127.0.0.1:1234", "http://127.0.0.1:1234/x", True),
    ("127.0.0.1:1234", "http://127.0.0.1:1235/x", False),
    ("127.0.0.0/8", "http://127.9.9.9/x", True),
    ("10.0.0.0/8", "http://127.0.0.1/x", False),
    ("10.0.0.0/8", "http://[::ffff:10.1.1.1]/x", True),
    ("localhost", "http://localhost:99/x", True),
    ("localhost", "http://127.0.0.1/x", False),
    ("127.0.0.1", "http://localhost/x", True),
    ("::1", "http://[::1]:80/x", True),
    ("[::1]:80", "http://[::1]:80/x", True),
    ("[::1]:80", "http://[::1]:81/x", False),
]


@pytest.mark.parametrize(("entry", "url", "allowed"), ALLOWED)
def test_allow_list_lets_through_what_it_names_and_nothing_else(entry: str, url: str, allowed: bool):
    client = OutboundClient((entry,))
    if allowed:
        client.check_address(url)
    else:
        with pytest.raises(OutboundRefusedError):
            client.check_address(url)


def test_wildcard_names_every_host_below():
    allow = AllowList(("*.corp.example",))
    assert allow.has_host("mirror.corp.example", 443)
    assert allow.has_host("A.B.corp.example.", 443)
    assert not allow.has_host("corp.example", 443)
    assert not allow.has_host("evilcorp.example", 443)


# -- a server that answers as a test tells it -------------------------------------------------------------------------


class Answers:
    """Answers by path, and what was asked."""

    def __init__(self) -> None:
        self.by_path: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        answers = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                answers.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                answers.by_path[self.path.partition("?")[0]](self)

            def log_message(self, *args: object) -> None:
                pass

        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def say(self, path: str, status: int = 200, body: bytes = b"", **headers: str) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        self.by_path[path] = answer

    def be_silent(self, path: str) -> None:
        """Take requests for `path` and never answer."""
        self.by_path[path] = lambda _: self._closing.wait()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Answers]:
    answers = Answers()
    yield answers
    answers.close()


@pytest.fixture
async def client() -> OutboundClient:
    opened = OutboundClient(("127.0.0.1",), attempts=3, idle_timeout_s=LONG_S)
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antivenom.server.adapters.http.BACKOFF_FIRST_S", 0.01)


async def test_answer_has_body_digest_and_lower_case_headers(server, client):
    server.say("/x", body=b"hello", ETag='"1"')
    answer = await client.get(f"{server.url}/x", max_bytes=100, timeout_s=LONG_S)
    assert (answer.status, answer.body, answer.headers["etag"]) == (200, b"hello", '"1"')
    assert answer.sha256 == hashlib.sha256(b"hello").hexdigest()


async def test_conditional_request_carries_what_is_known(server, client):
    server.say("/x", status=304)
    answer = await client.get(f"{server.url}/x", max_bytes=100, timeout_s=LONG_S, etag='"1"', last_modified="yesterday")
    assert answer.status == 304
    headers = server.asked[0][1]
    assert (headers["if-none-match"], headers["if-modified-since"]) == ('"1"', "yesterday")


async def test_download_lands_whole_in_its_file_with_progress(server, client, tmp_path: Path):
    body = os.urandom(3_000_000)
    server.say("/x", body=body)
    seen: list[tuple[int, int | None]] = []
    answer = await client.get(
        f"{server.url}/x", max_bytes=10**7, timeout_s=LONG_S, to=tmp_path / "x", on_progress=lambda *n: seen.append(n)
    )
    assert (tmp_path / "x").read_bytes() == body
    assert (answer.path, answer.body, answer.size_bytes) == (tmp_path / "x", b"", len(body))
    assert seen[-1] == (len(body), len(body))
    assert seen == sorted(seen)


async def test_body_larger_than_allowed_is_refused_and_leaves_no_file(server, client, tmp_path: Path):
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            for _ in range(1000):
                handler.wfile.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        except OSError:
            pass

    server.by_path["/endless"] = endless
    server.say("/declared", body=b"x" * 2000)
    for path in ("/endless", "/declared"):
        with pytest.raises(UpstreamError, match="accepted") as raised:
            await client.get(f"{server.url}{path}", max_bytes=1000, timeout_s=LONG_S, to=tmp_path / "x")
        assert raised.value.permanent
    assert list(tmp_path.iterdir()) == []


async def test_answer_that_breaks_off_is_tried_again_and_then_an_error(server, client, tmp_path: Path):
    def broken(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"x" * 10)
        handler.close_connection = True

    server.by_path["/x"] = broken
    with pytest.raises(UpstreamError, match="broke off"):
        await client.get(f"{server.url}/x", max_bytes=10_000, timeout_s=LONG_S, to=tmp_path / "x")
    assert len(server.asked) == 3
    assert list(tmp_path.iterdir()) == []


async def test_passing_failure_is_tried_again(server, client):
    tries = 0

    def flaky(handler: BaseHTTPRequestHandler) -> None:
        nonlocal tries
        tries += 1
        handler.send_response(503 if tries < 3 else 200)
        handler.send_header("Retry-After", "0")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.by_path["/x"] = flaky
    assert (await client.get(f"{server.url}/x", max_bytes=10, timeout_s=LONG_S)).status == 200


async def test_lasting_failure_is_answered_as_it_is(server, client):
    server.say("/x", status=500, body=b"oops", Retry_After="0")
    answer = await client.get(f"{server.url}/x", max_bytes=100, timeout_s=LONG_S)
    assert (answer.status, len(server.asked)) == (500, 3)
    server.say("/y", status=404)
    assert (await client.get(f"{server.url}/y", max_bytes=100, timeout_s=LONG_S)).status == 404


async def test_silent_server_is_given_up(server):
    server.be_silent("/x")
    client = OutboundClient(("127.0.0.1",), attempts=2, idle_timeout_s=0.1)
    try:
        with pytest.raises(UpstreamError, match="in time"):
            await client.get(f"{server.url}/x", max_bytes=100, timeout_s=LONG_S)
    finally:
        await client.close()


async def test_whole_request_has_a_time_limit(server, client):
    server.be_silent("/x")
    with pytest.raises(UpstreamError, match=r"longer than 0\.3 s"):
        await client.get(f"{server.url}/x", max_bytes=100, timeout_s=0.3)


async def test_redirect_is_followed_and_checked(server, client):
    server.say("/here", status=302, Location="/there")
    server.say("/there", body=b"found")
    server.say("/out", status=302, Location="http://127.0.0.2:1/x")
    server.say("/file", status=301, Location="file:///etc/passwd")
    server.say("/loop", status=302, Location="/loop")
    assert (await client.get(f"{server.url}/here", max_bytes=100, timeout_s=LONG_S)).body == b"found"
    for path in ("/out", "/file"):
        with pytest.raises(OutboundRefusedError):
            await client.get(f"{server.url}{path}", max_bytes=100, timeout_s=LONG_S)
    with pytest.raises(UpstreamError, match="redirects more"):
        await client.get(f"{server.url}/loop", max_bytes=100, timeout_s=LONG_S)


LOOPBACK_SPELLINGS = [
    "127.0.0.1", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "\uff11\uff12\uff17.0.0.1", "2130706433", "127.1", "[::ffff:127.0.0.1]",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
async def test_loopback_is_reached_by_no_spelling_in_a_redirect(server, host: str):
    """The public name is the one that the test allows; what it redirects to is not."""
    server.say("/start", status=302, Location=f"http://{host}:{server.port}/secret".encode().decode("latin-1"))
    server.say("/secret", body=b"inside")
    client = OutboundClient(("localhost",), attempts=1)
    try:
        with pytest.raises(UpstreamError):
            await client.get(f"http://localhost:{server.port}/start", max_bytes=100, timeout_s=10)
    finally:
        await client.close()
    assert [path for path, _ in server.asked] == ["/start"]


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
async def test_socket_is_refused_even_when_the_spelling_passed(server, host: str, monkeypatch: pytest.MonkeyPatch):
    """What is connected to counts: the last check does not depend on those before it."""
    server.say("/secret", body=b"inside")
    monkeypatch.setattr(OutboundClient, "check_address", lambda *_: None)
    client = OutboundClient(attempts=1)
    try:
        with pytest.raises(UpstreamError):
            await client.get(f"http://{host}:{server.port}/secret", max_bytes=100, timeout_s=10)
    finally:
        await client.close()
    assert server.asked == []


async def test_credentials_go_into_a_header_and_never_to_another_host(server, client):
    other = Answers()
    try:
        other.say("/there")
        server.say("/here", status=302, Location=f"{other.url}/there")
        url = f"http://ana:geheim@127.0.0.1:{server.port}/here"
        await client.get(url, max_bytes=100, timeout_s=LONG_S)
        assert server.asked[0][1]["authorization"].startswith("Basic ")
        assert "authorization" not in other.asked[0][1]
        assert "geheim" not in server.asked[0][0]
    finally:
        other.close()


async def test_secrets_of_an_address_reach_neither_message_nor_log(client, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        port = closed.getsockname()[1]
        with pytest.raises(UpstreamError) as raised:
            await client.get(f"http://ana:geheim@127.0.0.1:{port}/t/tk-123/x?key=abc", max_bytes=100, timeout_s=LONG_S)
    text = str(raised.value) + raised.value.hint + caplog.text
    for secret in ("geheim", "tk-123", "abc"):
        assert secret not in text
    assert "refused" in str(raised.value)


async def test_disk_that_refuses_is_a_storage_error(server, client, tmp_path: Path):
    server.say("/x", body=b"hello")
    with pytest.raises(StorageError):
        await client.get(f"{server.url}/x", max_bytes=100, timeout_s=LONG_S, to=tmp_path / "absent" / "x")


async def test_stream_hands_on_what_arrives_before_the_end(server, client):
    gate = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(b"first")
        gate.wait()
        handler.wfile.write(b"again")

    server.by_path["/x"] = slow
    received = []
    async with client.stream(f"{server.url}/x", max_bytes=100, timeout_s=LONG_S) as stream:
        assert stream.status == 200
        async for chunk in stream.chunks:
            received.append(chunk)
            gate.set()
    assert b"".join(received) == b"firstagain"
    assert received[0] == b"first"


async def test_compressed_body_counts_unpacked(server, client):
    import gzip

    bomb = gzip.compress(b"0" * 10_000_000)
    server.say("/x", body=bomb, Content_Encoding="gzip")
    with pytest.raises(UpstreamError, match="larger than"):
        await client.get(f"{server.url}/x", max_bytes=9_999_999, timeout_s=LONG_S)
    answer = await client.get(f"{server.url}/x", max_bytes=10_000_000, timeout_s=LONG_S)
    assert (answer.body, answer.size_bytes) == (b"0" * 10_000_000, 10_000_000)


async def test_compressed_file_that_its_server_calls_compressed_stays_as_it_is(server, client):
    import gzip

    body = gzip.compress(b"0" * 10_000)
    server.say("/x.csv.gz", body=body, Content_Encoding="gzip")
    assert (await client.get(f"{server.url}/x.csv.gz", max_bytes=len(body), timeout_s=LONG_S)).body == body


# -- through a proxy ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def proxied(server) -> OutboundClient:
    opened = OutboundClient(attempts=1, idle_timeout_s=LONG_S, proxy=server.url)
    yield opened
    await opened.close()


async def test_proxy_is_asked_for_hosts_that_only_it_can_resolve(server, proxied):
    server.say("http://mirror.invalid/x", body=b"hello")
    answer = await proxied.get("http://mirror.invalid/x", max_bytes=100, timeout_s=LONG_S)
    assert answer.body == b"hello"
    assert [path for path, _ in server.asked] == ["http://mirror.invalid/x"]


async def test_proxy_is_never_asked_for_a_private_address(server, proxied):
    with pytest.raises(OutboundRefusedError):
        await proxied.get("http://169.254.169.254/latest", max_bytes=100, timeout_s=LONG_S)
    server.say("http://mirror.invalid/x", status=302, Location="http://127.0.0.1/secret")
    with pytest.raises(OutboundRefusedError):
        await proxied.get("http://mirror.invalid/x", max_bytes=100, timeout_s=LONG_S)
    assert [path for path, _ in server.asked] == ["http://mirror.invalid/x"]


async def test_proxy_that_is_away_is_named_without_its_password(caplog: pytest.LogCaptureFixture):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        client = OutboundClient(attempts=1, proxy=f"http://ana:hunter2@127.0.0.1:{closed.getsockname()[1]}")
        try:
            with caplog.at_level(logging.DEBUG), pytest.raises(UpstreamError) as refusal:
                await client.get("http://mirror.invalid/x", max_bytes=100, timeout_s=LONG_S)
        finally:
            await client.close()
    assert "mirror.invalid" in refusal.value.message
    assert "hunter2" not in f"{refusal.value} {refusal.value.hint} {caplog.text}"
