"""What the soak knows to be accepted, and which answers are therefore right. Any thread may ask and tell."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from tests.soak.world import Source, State

T = TypeVar("T")


class Register(Generic[T]):
    """One value that is changed by requests whose fate may stay unknown.

    `allowed` is what may be read meanwhile: what it was when all was quiet, and everything since that was not refused.
    `final` is what it has to become.
    """

    def __init__(self, value: T) -> None:
        self.settled = value
        self.accepted = value
        self._since: list[T] = []
        self._unknown: list[T] = []
        self._lock = threading.Lock()

    def begin(self, value: T) -> None:
        with self._lock:
            self._since.append(value)

    def accept(self, value: T) -> None:
        with self._lock:
            self.accepted = value

    def refuse(self, value: T) -> None:
        with self._lock:
            if self._since and value in self._since:
                self._since.remove(value)

    def leave_open(self, value: T) -> None:
        with self._lock:
            self._unknown.append(value)

    @property
    def has_open(self) -> bool:
        return bool(self._unknown)

    def is_allowed(self, value: T) -> bool:
        with self._lock:
            return value == self.settled or value in self._since

    def allowed(self) -> list[T]:
        with self._lock:
            return [self.settled, *self._since]

    def settle(self) -> None:
        """All is quiet, and what was accepted is there: nothing else may be read from now on."""
        with self._lock:
            self.settled = self.accepted
            self._since.clear()
            self._unknown.clear()


@dataclass
class Channel:
    """A channel that mirrors one upstream at a time."""

    name: str
    policy: Register[int]
    source: Register[Source]
    revision: int | None = None
    """Of the policy that was accepted last; None: unknown."""
    newest_seen: dict[tuple[int, int], int] = field(default_factory=dict)
    """The newest policy that each server process has served: (port, starts) to number."""


class Allowed(NamedTuple):
    """Each list has what was settled, and all since then that was not refused."""

    policies: list[int]
    sources: list[Source]
    knowledge: list[int]


class Model:
    """Every channel, the feeds' knowledge, and the channels that come and go."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.knowledge: Register[int] = Register(0)
        self.passing: Register[frozenset[str]] = Register(frozenset())
        self.tags: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def allowed(self, channel: Channel) -> Allowed:
        """What may be read from a channel by a request that is made now."""
        return Allowed(channel.policy.allowed(), channel.source.allowed(), self.knowledge.allowed())

    def explain(self, channel: Channel, state: State, before: Allowed) -> str:
        """Why an answer must not be of a state; "" when it may. `before`: what was allowed when it was asked for."""
        now = self.allowed(channel)
        wrong = []
        if state.policy not in before.policies + now.policies:
            wrong.append(f"policy {state.policy} is none of {now.policies[-12:]}")
        if state.source not in before.sources + now.sources:
            wrong.append(f"{state.source} is none of {now.sources[-12:]}")
        if state.knowledge not in before.knowledge + now.knowledge:
            wrong.append(f"knowledge {state.knowledge} is none of {now.knowledge[-12:]}")
        return "; ".join(wrong)

    def check_tag(self, path: str, tag: str, digest: str) -> bool:
        """Whether the bytes under an entity tag of a path are those that it always had."""
        with self._lock:
            return self.tags.setdefault((path, tag), digest) == digest

    def wanted(self, channel: Channel) -> State:
        return State(channel.source.accepted, channel.policy.accepted, self.knowledge.accepted)

    def settle(self) -> None:
        self.knowledge.settle()
        self.passing.settle()
        for channel in self.channels.values():
            channel.policy.settle()
            channel.source.settle()
        with self._lock:
            self.tags.clear()
