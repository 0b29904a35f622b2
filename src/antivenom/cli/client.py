"""Requests to a server: which one, with which token, and its refusals as errors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from antivenom.core import errors
from antivenom.core.errors import AntivenomError, InvalidInputError, UnavailableError

if TYPE_CHECKING:
    import httpx2

CONNECT_TIMEOUT_S = 10.0
TIMEOUT_S = 300.0
DEFAULT_HOME = "~/.local/share/antivenom"
PAGE_SIZE = 500
JsonObject = dict[str, Any]
"""An object as the API answers it, described by the server's OpenAPI document."""
_KEPT = frozenset(("type", "title", "status", "detail", "instance", "code", "hint"))


def home() -> Path:
    """The home of this machine's server."""
    return Path(os.environ.get("ANTIVENOM_HOME") or DEFAULT_HOME).expanduser()


def find_server(named: str = "") -> tuple[str, str]:
    """URL and token: ANTIVENOM_URL and ANTIVENOM_TOKEN, else what the server of this machine's home wrote.

    The local token is sent only to the server that wrote it.

    Args:
        named: A URL that goes before ANTIVENOM_URL.

    Raises:
        UnavailableError: No server is named and none runs here.
    """
    url, token = (named or os.environ.get("ANTIVENOM_URL", "")).rstrip("/"), os.environ.get("ANTIVENOM_TOKEN", "")
    local = _read_local()
    if not url:
        if local is None:
            raise UnavailableError(
                f"no server runs in {home()}",
                hint="start it with: antivenom up  (or name another with ANTIVENOM_URL and ANTIVENOM_TOKEN)",
            )
        url = local[0]
    elif not url.startswith(("http://", "https://")):
        raise InvalidInputError(f"{'' if named else 'ANTIVENOM_URL='}{url} is no http:// or https:// address")
    if not token and local is not None and url == local[0]:
        token = local[1]
    return url, token


def _read_local() -> tuple[str, str] | None:
    try:
        facts = json.loads((home() / "server.json").read_text())
        return str(facts["url"]), (home() / "local-token").read_text().strip()
    except PermissionError:
        raise InvalidInputError(
            f"the server in {home()} belongs to another user", hint="set ANTIVENOM_URL and ANTIVENOM_TOKEN"
        ) from None
    except (OSError, ValueError, KeyError):
        return None


class Client:
    """JSON over HTTP. Every refusal becomes the error that the server raised."""

    def __init__(self, url: str, token: str) -> None:
        import httpx2

        self.url = url
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        timeout = httpx2.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._http = httpx2.Client(
            base_url=url, headers=headers, timeout=timeout, follow_redirects=False, trust_env=False
        )

    def get(self, path: str, *, params: Mapping[str, Any] | None = None) -> Any:
        return self.ask("GET", path, params=params)

    def post(self, path: str, *, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        return self.ask("POST", path, json=json, params=params)

    def put(self, path: str, *, json: Any = None) -> Any:
        return self.ask("PUT", path, json=json)

    def patch(self, path: str, *, json: Any = None) -> Any:
        return self.ask("PATCH", path, json=json)

    def delete(self, path: str) -> Any:
        return self.ask("DELETE", path)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON; None when it has no body.

        Raises:
            AntivenomError: The server refused: its own class, message and hint.
            UnavailableError: There is no server.
        """
        answer = self._answer(method, path, **options)
        return answer.json() if answer.content else None

    def get_text(self, path: str) -> str:
        """The answer as text; see `ask`."""
        return self._answer("GET", path).text

    def _answer(self, method: str, path: str, **options: Any) -> httpx2.Response:
        with _connection_errors(self.url):
            answer = self._http.request(method, path, **options)
        if answer.status_code >= 400:
            raise rebuild_error(answer)
        return answer

    def list_items(self, path: str, *, params: Mapping[str, Any] | None = None) -> Iterator[JsonObject]:
        """The items of a listing, fetched page after page."""
        page, seen = 1, 0
        while True:
            answer = self.get(path, params={**(params or {}), "page": page, "page_size": PAGE_SIZE})
            yield from answer["items"]
            seen += len(answer["items"])
            if seen >= answer["total"] or not answer["items"]:
                return
            page += 1

    def stream(self, path: str, *, params: Mapping[str, Any] | None = None) -> Iterator[JsonObject]:
        """The items of a listing as the server streams them (one JSON text a line)."""
        asked = {**(params or {}), "stream": "1"}
        with _connection_errors(self.url), self._http.stream("GET", path, params=asked) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise rebuild_error(answer)
            for line in answer.iter_lines():
                if line.strip():
                    yield json.loads(line)


@cache
def client() -> Client:
    """The client of this process."""
    return Client(*find_server())


class _connection_errors:
    """Raises httpx2's errors as ours."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import httpx2

        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            named = os.environ.get("ANTIVENOM_URL")
            hint = "is ANTIVENOM_URL right, and the server up?" if named else "start it with: antivenom up"
            raise UnavailableError(f"no server answers at {self._url}", hint=hint) from None
        if isinstance(error, httpx2.TimeoutException):
            raise UnavailableError(
                f"the server at {self._url} did not answer in time", hint="look into its log"
            ) from None
        if isinstance(error, httpx2.HTTPError):
            raise UnavailableError(
                f"the connection to {self._url} broke: {type(error).__name__}", hint="is the server still running?"
            ) from None


def rebuild_error(answer: httpx2.Response) -> AntivenomError:
    """The error that the server raised, from its problem document; for another answer, one that names its status."""
    try:
        problem = answer.json()
        code, detail = problem["code"], str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return UnavailableError(
            f"{answer.request.url.host} answered {answer.status_code} and no explanation",
            hint="is ANTIVENOM_URL an Antivenom server?",
        )
    kind = _classes().get(code)
    error = AntivenomError(detail, hint=str(problem.get("hint", "")))
    if kind is not None:
        error = kind.__new__(kind, detail)
        error.__dict__.update(message=detail, hint=str(problem.get("hint", "")), permanent=True)
    error.data = {name: value for name, value in problem.items() if name not in _KEPT}
    return error


@cache
def _classes() -> dict[str, type[AntivenomError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, AntivenomError)]
    return {kind.code: kind for kind in found}
