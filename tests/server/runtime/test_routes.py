"""Every address needs somebody who may use it, but for a list; and every answer has its headers."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from antivenom.server.context import LOCAL
from antivenom.server.members.service import create_token

OPEN = {
    "/healthz": "says only that the process runs",
    "/readyz": "says only whether it can work",
    "/api/v1/me": "says who one is, anonymous too",
    "/sign-in": "where one becomes somebody",
    "/antivenom/x": "the built-in channel: our own packages, which nobody can change",
}
"""What strangers may use, and why."""
EXAMPLES = {"name": "x", "channel": "x", "c": "x", "number": "1", "id": "1", "feed_id": "1"}


def walk(app: Any, *, fill: bool = True) -> list[tuple[str, str]]:
    """(method, address) of every route of API and pages; to `fill` in puts an example for each parameter."""
    found = []
    for route in app.site.routes:
        # FastAPI keeps an included router whole and tells its routes' full addresses on request.
        for known in route.effective_route_contexts() if hasattr(route, "effective_route_contexts") else [route]:
            if not hasattr(known, "methods"):
                continue  # static files
            path = known.path
            if fill:
                path = re.sub(r"\{(\w+)(:\w+)?\}", lambda match: EXAMPLES.get(match[1], "x"), path)
            found += [(method, path) for method in sorted(known.methods or {"GET"}) if method != "HEAD"]
    return found


async def test_strangers_are_turned_away_everywhere_else(app, anonymous_client):
    routes = walk(app)
    assert len([path for _, path in routes if path.startswith("/api/v1/")]) > 20
    assert len([path for _, path in routes if not path.startswith("/api/")]) > 15
    let_in = []
    for method, path in routes:
        if path in OPEN:
            continue
        body: dict[str, Any] = {"json": {}} if path.startswith("/api/") else {"data": {}}
        answer = await anonymous_client.request(method, path, **({} if method in ("GET", "DELETE") else body))
        is_sent_to_sign_in = answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")
        if not (answer.status_code in (401, 403) or is_sent_to_sign_in):
            let_in.append((method, path, answer.status_code))
    assert let_in == []


async def test_a_complete_request_of_a_stranger_is_turned_away_too(anonymous_client):
    requests = [
        ("POST", "/api/v1/tokens", {"name": "x"}),
        ("POST", "/api/v1/channels", {"name": "x"}),
        ("POST", "/api/v1/mirrors", {"channel": "x", "upstream": "https://example.org/x"}),
        ("POST", "/api/v1/match", {"components": []}),
        ("POST", "/api/v1/feeds", {"kind": "osv", "location": "https://example.org/x"}),
        ("POST", "/api/v1/members/admin/password", {}),
        ("DELETE", "/api/v1/channels/x", None),
    ]
    for method, path, body in requests:
        answer = await anonymous_client.request(method, path, **({"json": body} if body is not None else {}))
        assert answer.status_code == 401, (method, path, answer.text)


@pytest.mark.parametrize("body", [b"{bad", b"[]", b'{"components": 7}', b"\xff"])
async def test_what_a_stranger_sends_is_not_discussed_with_them(anonymous_client, body: bytes):
    answer = await anonymous_client.post("/api/v1/match", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    wrong_token = {"Content-Type": "application/json", "Authorization": "Bearer av-" + "0" * 64}
    answer = await anonymous_client.post("/api/v1/match", content=body, headers=wrong_token)
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/", "/sign-in", "/api/v1/me", "/nothing-here", "/static/none.css", "/healthz"])
async def test_every_answer_has_the_security_headers(anonymous_client, path: str):
    answer = await anonymous_client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/metrics", "/api/openapi.json"])
async def test_numbers_and_description_are_public_only_by_setting(
    resources, anonymous_client, app_client, path: str, local_token: str
):
    refused = await anonymous_client.get(path)
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    async with resources.context(LOCAL) as ctx:
        scraper = await create_token(ctx, "prometheus", role="member")
    scraped = await anonymous_client.get(path, headers={"Authorization": f"Bearer {scraper.value}"})
    assert scraped.status_code == 200
    assert (await anonymous_client.get(path, headers={"Authorization": "Bearer av-wrong"})).status_code == 401
    for setting in ("metrics_public", "openapi_public"):
        object.__setattr__(resources.settings, setting, True)
    assert (await anonymous_client.get(path)).status_code == 200


async def test_description_of_the_api_is_openapi_3_1(app_client):
    document = (await app_client.get("/api/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert "/api/v1/tokens" in document["paths"]


async def test_metrics_count_by_route_and_not_by_address(app_client):
    await app_client.get("/api/v1/mirrors/one")
    await app_client.get("/api/v1/mirrors/two")
    text = (await app_client.get("/metrics")).text
    assert 'antivenom_http_requests_total{method="GET",route="/api/v1/mirrors/{channel}",status="404"} 2.0' in text
    assert 'antivenom_jobs{state="todo"}' in text


async def test_body_beyond_the_limit_is_refused(app, app_client):
    app._guarded._request_max_bytes = 1000
    for body in (b"x" * 5000, chunks()):
        answer = await app_client.post("/api/v1/match", content=body)
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
        assert "larger than 1000 bytes" in answer.json()["detail"]


async def chunks():  # type: ignore[no-untyped-def]
    for _ in range(50):
        yield b"x" * 100


async def test_unexpected_error_has_a_reference_and_no_trace(app, app_client, caplog, monkeypatch):
    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("antivenom.server.members.service.list_tokens", fail)
    answer = await app_client.get("/api/v1/tokens")
    assert answer.status_code == 500
    problem = answer.json()
    assert "secret detail" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert problem["reference"] in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_lost_database_is_503_and_says_so(app_client, resources, monkeypatch):
    from sqlalchemy.exc import OperationalError

    async def fail(*_: object, **__: object) -> None:
        raise OperationalError("SELECT secret", {}, psycopg.OperationalError("connection refused"))

    monkeypatch.setattr("antivenom.server.members.service.list_tokens", fail)
    answer = await app_client.get("/api/v1/tokens")
    assert answer.status_code == 503
    assert "SELECT" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/channels/%00",
        "/api/v1/advisories/%00",
        "/api/v1/events?kind=%00",
        "/api/v1/tokens?page=99999999999999999999",
    ],
)
async def test_characters_and_numbers_that_cannot_be_stored_are_no_fault_of_ours(app_client, path: str):
    answer = await app_client.get(path)
    assert 400 <= answer.status_code < 500, answer.text
