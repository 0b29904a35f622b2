"""Errors reach clients as problem documents, people as pages; nobody gets a bare 500."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.errors import DiskFull
from sqlalchemy.exc import OperationalError

from antivenom.core.errors import StorageError, UnavailableError
from antivenom.server.web.problems import explain


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/v1/channels/nope", None, 404, "not-found"),
        ("GET", "/api/v1/channels/nope/withheld?stream=1", None, 404, "not-found"),
        ("POST", "/api/v1/channels", {"name": "Not A Name"}, 422, "invalid-input"),
        ("POST", "/api/v1/channels", {"nome": "x"}, 422, "invalid-input"),
        ("GET", "/api/v1/nothing", None, 404, "not-found"),
        ("DELETE", "/api/v1/match", None, 405, "method-not-allowed"),
    ],
)
async def test_api_errors_are_problem_documents(
    app_client: Any, method: str, path: str, body: Any, status: int, code: str
) -> None:
    answer = await app_client.request(method, path, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["code"] == code


async def test_a_body_that_is_not_json_is_told_where(app_client: Any) -> None:
    answer = await app_client.post(
        "/api/v1/match", content=b'{"components": ]', headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("body: not JSON at character 15")


async def test_a_person_gets_a_page(app_client: Any) -> None:
    answer = await app_client.get("/nothing/here", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


def test_a_full_disk_of_the_database_is_no_database_that_is_away() -> None:
    told = explain(OperationalError("INSERT", {}, DiskFull("could not extend file: No space left on device")))
    assert isinstance(told, StorageError)
    assert "full" in told.message
    away = explain(OperationalError("SELECT 1", {}, psycopg.OperationalError("connection refused")))
    assert isinstance(away, UnavailableError)
