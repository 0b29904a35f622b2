"""Errors reach clients as problem documents, people as pages; nobody gets a bare 500."""

from __future__ import annotations

import errno
import io
import logging
import os
from typing import Any

import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from psycopg.errors import DeadlockDetected, DiskFull, SerializationFailure
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from antivenom.core.errors import StorageError, UnavailableError
from antivenom.server.events.progress import explain_failure
from antivenom.server.logs import make_handler
from antivenom.server.web.problems import InternalError, explain, explain_to_client


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


async def test_a_store_that_fails_is_503_for_the_api_too(app_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the soak: plans and findings answered 507 with the bucket's endpoint and a key."""

    async def refuse(*_: Any, **__: Any) -> Any:
        raise StorageError("the bucket refused 'index/0a': http://s3.internal/secret-bucket", hint="check ANTIVENOM_X")

    monkeypatch.setattr("antivenom.server.publications.service.list_channel_summaries", refuse)
    answer = await app_client.get("/api/v1/channels")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert not any(word in answer.text for word in ("bucket", "s3.internal", "index/", "ANTIVENOM_X"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE])
def test_no_room_for_a_file_is_no_bug(number: int) -> None:
    """Found by the soak: a plan on a full disk was 500, since its child process could not be started."""
    told = explain_to_client(OSError(number, os.strerror(number), "/tmp/semaphore"))
    assert (told.status, told.code) == (503, "unavailable")


def test_a_full_disk_of_the_database_is_told_to_clients() -> None:
    told = explain_to_client(OperationalError("INSERT", {}, DiskFull("could not extend file")))
    assert (told.status, "full" in told.message) == (503, True)


def test_a_deadlock_is_no_database_that_is_away() -> None:
    for cause in (DeadlockDetected("deadlock detected"), SerializationFailure("could not serialize")):
        told = explain(OperationalError("UPDATE", {}, cause))
        assert isinstance(told, UnavailableError)
        assert "at that moment" in told.message


def _raised_by(cause: Exception) -> ConnectorException:
    error = ConnectorException()
    error.__cause__ = cause
    return error


REFUSED = psycopg.OperationalError("connection refused")
OUTAGES = [
    REFUSED,
    psycopg.InterfaceError("the connection is closed"),
    OperationalError("SELECT 1", {}, REFUSED),
    InterfaceError("SELECT 1", {}, psycopg.InterfaceError("the connection is closed")),
    PoolTimeoutError("no connection in 30 s"),
    _raised_by(REFUSED),
    ConnectorException(),
    ExceptionGroup("tasks", [OperationalError("SELECT 1", {}, REFUSED)]),
]


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_a_database_that_is_away_is_one_line_of_the_log(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Found by the soak: each job that lost its database left some hundred lines of traces."""
    assert isinstance(explain_failure(error), UnavailableError)
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)]


def test_an_error_of_a_statement_is_a_bug_and_has_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    for error in (ProgrammingError("SELEKT", {}, psycopg.ProgrammingError()), _raised_by(psycopg.ProgrammingError())):
        caplog.clear()
        assert isinstance(explain_failure(error), InternalError)
        assert caplog.records[0].exc_info


def test_the_job_queue_tells_of_its_database_in_one_line() -> None:
    written = io.StringIO()
    queue = logging.Logger("procrastinate.worker")
    queue.addHandler(make_handler("worker", written))
    try:
        raise _raised_by(REFUSED)
    except ConnectorException as error:
        queue.exception("listener error: %s", type(error).__name__)
        queue.error("Job a.b[1]() ended with status: Error", exc_info=error, extra={"action": "job_error"})
        queue.error("Job a.b[1]() ended with status: Error, to retry", extra={"action": "job_error_retry"})
        loop = logging.Logger("asyncio")
        loop.addHandler(make_handler("worker", written))
        loop.error("Task exception was never retrieved", exc_info=error)
    assert [line[9:] for line in written.getvalue().splitlines()] == [
        "worker   error: listener error: ConnectorException",
        "worker   error: Task exception was never retrieved",
    ]
