"""A cache of answers, ready to send; bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

CACHE_MAX_BYTES = 64 * 1024 * 1024
ENTRY_MAX_BYTES = 1024 * 1024  # the kernel sends a larger body from its file instead
ENTRY_OVERHEAD_BYTES = 600


class CachedAnswer(NamedTuple):
    """A 200 as it is sent: everything after the status line and the server's own headers.

    `publication_id` is what the channel served when this was answered; None: it had published nothing. `is_immutable`
    says that the bytes never change (shards). `etag` is quoted; `not_modified` are the headers of a 304; `kind` is the
    kind of file, for counting.
    """

    wire: bytes
    not_modified: bytes
    etag: bytes
    publication_id: int | None
    is_immutable: bool
    kind: str

    def holds_for(self, publication_id: int | None) -> bool:
        """Whether it is also the answer of a channel that serves that publication."""
        return self.is_immutable or self.publication_id == publication_id


class AnswerCache:
    """The most recently used answers of all channels, by (channel, path below the channel)."""

    def __init__(self, max_bytes: int = CACHE_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._answers: OrderedDict[tuple[bytes, bytes], CachedAnswer] = OrderedDict()
        self.size_bytes = 0

    def get(self, channel: bytes, path: bytes) -> CachedAnswer | None:
        answer = self._answers.get((channel, path))
        if answer is not None:
            self._answers.move_to_end((channel, path))
        return answer

    def put(self, channel: bytes, path: bytes, answer: CachedAnswer) -> None:
        """Cache an answer unless it is too large; drops the least recently used ones."""
        if len(answer.wire) > ENTRY_MAX_BYTES:
            return
        self._forget((channel, path))
        self._answers[channel, path] = answer
        self.size_bytes += _cost(answer)
        while self.size_bytes > self._max_bytes:
            self._forget(next(iter(self._answers)))

    def forget_channel(self, channel: bytes) -> None:
        for key in [key for key in self._answers if key[0] == channel]:
            self._forget(key)

    def _forget(self, key: tuple[bytes, bytes]) -> None:
        if (answer := self._answers.pop(key, None)) is not None:
            self.size_bytes -= _cost(answer)

    def __len__(self) -> int:
        return len(self._answers)


def _cost(answer: CachedAnswer) -> int:
    return len(answer.wire) + ENTRY_OVERHEAD_BYTES
