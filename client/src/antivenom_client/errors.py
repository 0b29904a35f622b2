"""What every refusal of the client is: words for people, and what helps."""

from __future__ import annotations


class ClientError(Exception):
    """Something cannot be done: `message` says why, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
