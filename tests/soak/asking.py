"""Requests to the servers under test, and what may be said of their answers whatever happens to the server."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `status` 0: there was none, or only a part (`reason` says which)."""

    status: int
    body: bytes = b""
    headers: dict[str, str] | None = None
    reason: str = ""

    @property
    def is_unknown(self) -> bool:
        """Whether a change that was asked for may have been made or not."""
        return self.status == 0 or self.status >= 500

    def header(self, name: str) -> str:
        return (self.headers or {}).get(name, "")

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int,
    method: str,
    path: str,
    *,
    token: str = "",
    body: Any = None,
    patience_s: float = PATIENCE_S,
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own. A body that is shorter than it claims is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience_s)
    sent = dict(headers or {})
    if token:
        sent["Authorization"] = f"Bearer {token}"
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        sent["Content-Type"] = "application/json"
    try:
        connection.request(method, path, data, sent)
        response = connection.getresponse()
        content = response.read()
        return Answer(response.status, content, {name.lower(): value for name, value in response.getheaders()})
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, reason=f"{type(error).__name__}: {error}")
    finally:
        connection.close()
