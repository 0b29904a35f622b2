"""Every reason for which Antivenom refuses or fails, one class for each.

A class holds data; `server/web/problems.py` alone maps it to HTTP, to pages and to exit codes. `code` is stable and
listed in docs/reference/errors.md (a test compares them).
"""

from __future__ import annotations

from typing import Any, ClassVar

from antivenom.core.redaction import redact_urls


class AntivenomError(Exception):
    """Something that Antivenom can explain: a stable code, a message for people and a hint with what helps.

    Secrets in URLs are hidden here, once for all messages: they end up on pages, in events, in logs and in terminals.
    """

    code: ClassVar[str] = "antivenom"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, hint: str = "", **data: Any) -> None:
        self.message = redact_urls(message)
        self.hint = redact_urls(hint)
        self.data: dict[str, Any] = {name: _without_secrets(value) for name, value in data.items()}
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own would call __init__ with `args` alone: keyword-only data would be lost between processes.
        return _rebuild, (type(self), self.args, self.__dict__)


def _without_secrets(value: Any) -> Any:
    return redact_urls(value) if isinstance(value, str) else value


def _rebuild(kind: type[AntivenomError], args: tuple[Any, ...], state: dict[str, Any]) -> AntivenomError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class InvalidInputError(AntivenomError):
    """The input is wrong; nothing was changed. `data` may have `line`, `column` (1-based) and `field`."""

    code = "invalid-input"
    status = 422
    exit_code = 2


class TooManyRequestsError(AntivenomError):
    """The actor asked too often. `data`: `retry_after_s`."""

    code = "too-many-requests"
    status = 429
    exit_code = 3


class TooLargeError(AntivenomError):
    """The request is larger than the server takes; it was not read to its end."""

    code = "too-large"
    status = 413
    exit_code = 2


class TooExpensiveError(AntivenomError):
    """The work takes more computing than anybody may ask for; it was ended and nothing was changed."""

    code = "too-expensive"
    status = 422
    exit_code = 2


SIMPLER_POLICY = "use fewer loops, loop over shorter lists"
"""The hint where a policy's expressions are too expensive."""


class NotFoundError(AntivenomError):
    """The named thing does not exist, or the actor may not know that it does."""

    code = "not-found"
    status = 404
    exit_code = 2


class ConflictError(AntivenomError):
    """The thing exists already, or changed meanwhile."""

    code = "conflict"
    status = 409
    exit_code = 2


class UnauthenticatedError(AntivenomError):
    """The request does not prove who sent it."""

    code = "unauthenticated"
    status = 401
    exit_code = 2


class ForbiddenError(AntivenomError):
    """The actor is known and may not do this."""

    code = "forbidden"
    status = 403
    exit_code = 2


class BlockedByPolicyError(AntivenomError):
    """A policy withholds the artifact. `data`: `policy`, `reasons`, `allowed_version`."""

    code = "blocked-by-policy"
    status = 403
    exit_code = 1


class UpstreamError(AntivenomError):
    """Another server failed us. `permanent` says that trying again cannot help."""

    code = "upstream"
    status = 502
    exit_code = 3

    def __init__(self, message: str, *, permanent: bool = False, hint: str = "", **data: Any) -> None:
        super().__init__(message, hint=hint, **data)
        self.permanent = permanent


class DigestMismatchError(UpstreamError):
    """Bytes do not have the digest that their index promised; they were thrown away."""

    code = "digest-mismatch"

    def __init__(self, subject: str, *, expected: str, actual: str) -> None:
        super().__init__(
            f"{subject}: expected sha256 {expected}, got {actual}",
            permanent=True,
            hint="the upstream index and its file disagree; sync again, and ask the upstream's owner if it stays",
            expected=expected,
            actual=actual,
        )


class ArtifactMismatchError(UpstreamError):
    """An artifact says that it is another package than its index lists; it is not served."""

    code = "artifact-mismatch"

    def __init__(self, fn: str, mismatch: str) -> None:
        super().__init__(
            f"{fn} is not what the index lists: it says {mismatch}",
            permanent=True,
            hint="the upstream lists one package and has another; ask its owner",
        )


class OutboundRefusedError(UpstreamError):
    """The guarded client refused an address (private, loopback, link-local) or a scheme."""

    code = "outbound-refused"
    status = 422
    exit_code = 2


class StorageError(AntivenomError):
    """The blob store or the disk refused a write; the last publication keeps serving."""

    code = "storage"
    status = 507
    exit_code = 3


class LostBlobError(StorageError):
    """A stored blob is missing, or its bytes are not those that its name promises. `key` is its key.

    It is told to the administrator and mended by a job, where that can be done.
    """

    code = "blob-lost"
    status = 503

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(
            f"the blob {key} {problem}",
            hint="the server mends what it can; see antivenom admin verify",
        )
        self.key = key


class MissingBlobError(LostBlobError, NotFoundError):
    """There is no such blob."""

    code = "blob-missing"
    status = 503
    exit_code = 3

    def __init__(self, key: str) -> None:
        super().__init__(key, "is missing")


class DamagedBlobError(LostBlobError):
    """A blob is cut short, or has other bytes than those that were stored."""

    code = "blob-damaged"

    def __init__(self, key: str) -> None:
        super().__init__(key, "is damaged")


class UnavailableError(AntivenomError):
    """A part of the server is not there at the moment (database starting, worker away)."""

    code = "unavailable"
    status = 503
    exit_code = 3


class AlreadyRunningError(AntivenomError):
    """Another server already runs in the same home."""

    code = "already-running"
    status = 503
    exit_code = 3
