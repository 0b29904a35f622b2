"""Turns an error into an answer: RFC 9457 for programs, a page for people. Never a stack trace, never a secret."""

from __future__ import annotations

import errno
import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from fastapi.exceptions import RequestValidationError
from procrastinate.exceptions import ConnectorException
from psycopg.errors import DeadlockDetected, DiskFull, SerializationFailure
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from antivenom.core.errors import (
    AntivenomError,
    ConflictError,
    InvalidInputError,
    LostBlobError,
    NotFoundError,
    StorageError,
    TooLargeError,
    UnavailableError,
)
from antivenom.server.context import utc_now
from antivenom.server.web.rendering import render_error

log = logging.getLogger("antivenom.web")
PROBLEM_JSON = "application/problem+json"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE}
MACHINE_PATHS = ("/api", "/conda/", "/t/", "/healthz", "/readyz", "/metrics", "/static/")


class InternalError(AntivenomError):
    """A bug of Antivenom. The log has the details under `data["reference"]`."""

    code = "internal"
    status = 500


class MethodNotAllowedError(AntivenomError):
    """The address exists, but does not accept this method."""

    code = "method-not-allowed"
    status = 405
    exit_code = 2


def explain(error: Exception) -> AntivenomError:
    """The AntivenomError for any error. Logs an unexpected one under a reference."""
    if isinstance(error, AntivenomError):
        return error
    if isinstance(error, RequestValidationError):
        return _explain_validation(error)
    if isinstance(error, HTTPException):
        return _explain_status(error)
    if isinstance(error, DataError):
        return InvalidInputError("the input has a number or a character that cannot be stored")
    if isinstance(error, IntegrityError):
        return ConflictError("somebody else changed the same thing at the same time", hint="reload it, then try again")
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return StorageError(f"files could not be written: {error.strerror}", hint="is the disk full?")
    if isinstance(_database_error(error), DiskFull):
        return StorageError(
            "the disk of the database is full; nothing was changed", hint="free some space on it", is_of_database=True
        )
    if isinstance(_database_error(error), DeadlockDetected | SerializationFailure):  # one of two had to give way
        log.warning("a transaction gave way: %s", str(error).partition("\n")[0])
        return UnavailableError(
            "somebody else changed the same things at that moment", hint="try again in some seconds"
        )
    if _is_outage(error):
        log.warning("the database does not answer: %s", str(error).partition("\n")[0])
        return UnavailableError("the database does not answer at the moment", hint="try again in some seconds")
    reference = secrets.token_hex(4)
    log.error("unexpected error, reference %s", reference, exc_info=error)
    return InternalError(
        "something went wrong on the server",
        hint=f"the server's log says more under the reference {reference}",
        reference=reference,
    )


def explain_to_client(unexplained: Exception) -> AntivenomError:
    """The same for clients: of a failure of the store, when to come back, and neither bucket, endpoint nor key."""
    error = explain(unexplained)
    if not isinstance(error, StorageError):
        return error
    if error.data.get("is_of_database"):
        return UnavailableError(error.message, hint=error.hint)
    log.warning("%s", error.message)
    if isinstance(error, LostBlobError):
        return UnavailableError(
            "what this needs is missing or damaged on this server", hint="it is mended where that can be done"
        )
    return UnavailableError("the store of this server does not answer at the moment", hint="try again in some seconds")


def _database_error(error: BaseException) -> BaseException | None:
    """What the database's driver said, under what SQLAlchemy and the job queue make of it."""
    if isinstance(error, DBAPIError):
        return error.orig
    return error.__cause__ if isinstance(error, ConnectorException) else error


def _is_outage(error: Exception) -> bool:
    """Whether the database is away, or has no connection left."""
    if isinstance(error, PoolTimeoutError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return True
    found = _database_error(error)
    return isinstance(found, psycopg.OperationalError | psycopg.InterfaceError) or (
        isinstance(error, ConnectorException) and found is None
    )


def _explain_validation(error: RequestValidationError) -> InvalidInputError:
    problems = [_explain_field(item) for item in error.errors()]
    first = problems[0] if problems else {"field": "", "message": "the request is invalid"}
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidInputError(f"{first['field']}: {first['message']}{more}", field=first["field"], problems=problems)


def _explain_field(item: Mapping[str, Any]) -> dict[str, str]:
    where = item["loc"]
    if item["type"] == "json_invalid":
        return {"field": str(where[0]), "message": f"not JSON at character {where[-1]}: {item['ctx']['error']}"}
    return {"field": ".".join(str(part) for part in where[1:]) or str(where[0]), "message": item["msg"]}


def _explain_status(error: HTTPException) -> AntivenomError:
    if error.status_code == 404:
        return NotFoundError("there is nothing at this address")
    if error.status_code == 405:
        return MethodNotAllowedError("this address does not accept that method")
    if error.status_code == 413:
        return TooLargeError(
            str(error.detail), hint="send less at once, or raise ANTIVENOM_REQUEST_MAX_BYTES on the server"
        )
    if error.status_code < 500:
        return InvalidInputError(str(error.detail))
    return UnavailableError(str(error.detail))


def problem_document(error: AntivenomError, instance: str) -> dict[str, Any]:
    """The RFC 9457 members, then our own: `code`, `hint` and the error's data."""
    document: dict[str, Any] = {
        "type": f"urn:antivenom:error:{error.code}",
        "title": error.code.replace("-", " ").capitalize(),
        "status": error.status,
        "detail": error.message,
        "instance": instance,
        "code": error.code,
    }
    if error.hint:
        document["hint"] = error.hint
    document.update({name: _plain(value) for name, value in error.data.items() if name not in document})
    return document


def _plain(value: Any) -> Any:
    """A value of an error's data as JSON; objects become text."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [_plain(item) for item in value]
    return str(value)


def problem_headers(error: AntivenomError) -> dict[str, str]:
    headers = {"cache-control": "no-store"}
    if error.status == 401:
        headers["www-authenticate"] = 'Bearer realm="antivenom"'
    if error.status == 503:
        headers["retry-after"] = "5"
    if after_s := error.data.get("retry_after_s"):
        headers["retry-after"] = str(after_s)
    return headers


def problem_response(error: AntivenomError, instance: str) -> Response:
    body = json.dumps(problem_document(error, instance), ensure_ascii=False).encode()
    return Response(body, status_code=error.status, media_type=PROBLEM_JSON, headers=problem_headers(error))


def answer_error(request: Request, error: Exception) -> Response:
    """The answer to a failed request: a page if the client accepts HTML, else a problem document."""
    explained = explain_to_client(error)
    path = request.url.path
    if path.startswith(MACHINE_PATHS) or "text/html" not in request.headers.get("accept", ""):
        return problem_response(explained, path)
    try:
        response = render_error(request, explained, utc_now())
        response.headers.update(problem_headers(explained))
        return response
    except Exception:
        log.exception("the error page itself failed")
        return PlainTextResponse(f"{explained.message}\n", status_code=explained.status)
