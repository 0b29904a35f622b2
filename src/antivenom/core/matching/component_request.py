"""Components that somebody asks about, as the API takes them: read, matched and answered in their order.

A component that is none is answered in its place with the reason, and refuses none of the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antivenom.core.matching.advisories import Assessment
from antivenom.core.matching.identity import PURL_MAX_CHARACTERS
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom_client.names import channel_name

SUBDIR_MAX_CHARACTERS = 32


class MatchRequest(msgspec.Struct, frozen=True):
    """One component to match; `error` is why it cannot be matched."""

    key: ComponentKey | None
    channel: str = ""
    error: str = ""


def read_component(item: object) -> MatchRequest:
    """One component of a request's body; a wrong one is answered in its place and does not refuse the others."""
    if not isinstance(item, dict):
        return MatchRequest(None, error="a component is an object with type, name and version, or with purl")
    if "purl" in item:
        purl = item["purl"]
        if not isinstance(purl, str) or not purl.strip():
            return MatchRequest(None, error="purl is not a text")
        if len(purl) > PURL_MAX_CHARACTERS:
            return MatchRequest(None, error=f"the purl is longer than {PURL_MAX_CHARACTERS:,} characters")
        return MatchRequest(ComponentKey("purl", purl.strip(), ""), channel_name(_text(item.get("channel"))))
    kind = item.get("type", "conda")
    if kind != "conda":
        return MatchRequest(
            None, error=f"components of type {str(kind)[:40]!r} are not known: use conda, or give a purl"
        )
    name, version = _text(item.get("name")).strip(), item.get("version")
    if not name:
        return MatchRequest(None, error="the component has no name")
    if not isinstance(version, str) or not version.strip():
        return MatchRequest(None, error=f"{name[:128]} has no version (a text)")
    if len(name) > 128 or len(version) > 256:
        return MatchRequest(None, error="the name or the version is longer than any conda package's")
    given = item["purls"] if isinstance(item.get("purls"), list) else []
    purls = tuple(p for p in given if isinstance(p, str) and len(p) <= PURL_MAX_CHARACTERS)
    subdir = _text(item.get("subdir")).strip()
    if len(subdir) > SUBDIR_MAX_CHARACTERS:
        return MatchRequest(None, error="the subdir is longer than any platform's")
    key = ComponentKey("conda", name.lower(), version.strip(), _text(item.get("build")), purls[:20], subdir)
    return MatchRequest(key, channel_name(_text(item.get("channel"))))


def _text(value: object) -> str:
    return value[:1_000] if isinstance(value, str) else ""


def answer(index: MatchIndex, requests: Sequence[MatchRequest], *, include_ignored: bool = False) -> list[Assessment]:
    """What an index knows of each component, in order.

    Args:
        include_ignored: Fill `Assessment.ignored`, too: what rows of knowledge set aside.
    """
    answers = [Assessment(False, request.error) for request in requests]
    by_channel: dict[str, list[int]] = {}
    for place, request in enumerate(requests):
        if request.key is not None:
            by_channel.setdefault(request.channel, []).append(place)
    for channel, places in by_channel.items():
        keys = [key for place in places if (key := requests[place].key) is not None]
        for place, assessment in zip(places, _assess(index, keys, channel, include_ignored), strict=True):
            answers[place] = assessment
    return answers


def _assess(index: MatchIndex, keys: Sequence[ComponentKey], channel: str, include_ignored: bool) -> list[Assessment]:
    found = index.assess(keys, channel)
    if include_ignored:
        listed = zip(found, index.list_ignored(keys, channel), strict=True)
        found = [msgspec.structs.replace(a, ignored=ignored) if ignored else a for a, ignored in listed]
    return found
