"""An event for people: what happened, to what (with the page that shows it), and the facts that came with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from antivenom.server.events.models import Event

PAGES = {
    "channel": "/channels/{}",
    "policy": "/policies/{}",
    "feed": "/feeds/{}",
    "correction": "/corrections/{}",
    "token": "/tokens",
    "member": "/members/{}",
    "group": "/groups/{}",
    "role": "/roles/{}",
}
ACTORS = {"local": "command line", "system": "Antivenom"}
HIDDEN = ("index_key", "feed_kind")  # a blob's key means nothing to people; a feed's kind is in its name
LONG_TEXT = 160
LONG_LIST = 6
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class EventDescription:
    """One line of the audit trail."""

    id: int
    at: datetime
    actor: str  # as stored: "member:ana"
    actor_name: str
    noun: str  # what stands before the dot of the kind
    what: str
    subject: str  # as stored: "channel:main"
    subject_name: str
    href: str  # "" when no page shows the subject
    facts: list[tuple[str, str]]
    is_failure: bool


def describe_event(event: Event) -> EventDescription:
    """The event in words, without numbers that are 0 and keys that mean nothing to people; the export has them."""
    noun = event.kind.partition(".")[0]
    kind, _, name = event.subject.partition(":")
    address = PAGES.get(kind, "")
    return EventDescription(
        id=event.id,
        at=event.at,
        actor=event.actor,
        actor_name=describe_actor(event.actor),
        noun=noun,
        what=describe_kind(event.kind),
        subject=event.subject,
        subject_name=_subject_name(kind, name, event.data),
        href=address.format(quote(name, safe="")) if name else "",
        facts=list(_facts(event.data)),
        is_failure=event.kind.endswith(".failed"),
    )


def _subject_name(kind: str, name: str, data: Mapping[str, Any]) -> str:
    """A name where the subject has one, else what it is and its number."""
    if kind == "feed":
        return f"{data.get('feed_kind') or 'feed'} (feed {name})"
    if kind == "correction":
        return f"{data.get('package') or 'correction'} (correction {name})"
    if kind == "knowledge":
        return f"knowledge revision {name}"
    return _short_digests(name) or kind


def describe_kind(kind: str) -> str:
    """ "policy.revised" is "Policy revised"."""
    return kind.replace(".", " ").replace("_", " ").capitalize()


def describe_actor(actor: str) -> str:
    """Who an actor's label names: members and tokens by their name."""
    return ACTORS.get(actor, actor.partition(":")[2] or actor)


def _facts(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _facts(value)
        elif name not in HIDDEN and (value or value is False):
            yield name.replace("_", " "), _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}"
    if isinstance(value, list):
        more = f" and {len(value) - LONG_LIST:,} more" if len(value) > LONG_LIST else ""
        return ", ".join(str(item) for item in value[:LONG_LIST]) + more
    text = str(value)
    if DIGEST.search(text):
        return _short_digests(text)
    return text if len(text) <= LONG_TEXT else f"{text[: LONG_TEXT - 1]}…"


def _short_digests(text: str) -> str:
    return DIGEST.sub(lambda found: f"{found[0][:12]}…", text)
