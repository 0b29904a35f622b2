"""The feed kinds, and what a file of the wrong kind seems to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Protocol, cast

import msgspec

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import cve5, epss, kev, name_map, nvd, osv, purl_cpe, unpack
from antivenom.core.feeds.entry import Reading, Row, SetAside


class Source(Protocol):
    """The names that every `sources/<kind>.py` has."""

    KIND: str
    TITLE: str
    TABLE: str
    USUAL_LOCATION: str

    def recognizes(self, entry: dict[str, Any]) -> bool:
        """Whether a JSON object is of this kind."""

    def read(self, member: unpack.Member, reading: Reading) -> Iterator[Row | SetAside]:
        """The rows of one unpacked file, and what had to be set aside."""


_MODULES: tuple[ModuleType, ...] = (osv, kev, epss, nvd, cve5, name_map, purl_cpe)
SOURCES: dict[str, Source] = {m.KIND: cast(Source, m) for m in _MODULES}
KINDS = tuple(SOURCES)

# Files that people have beside their feeds, and why they are none: (keys that tell it, what it is).
STRANGERS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"formulae", "meta"}), "a map of Homebrew formulae to distribution packages, which no conda name is in"),
    (frozenset({"packages", "info"}), "a conda channel's repodata"),
    (frozenset({"bomFormat"}), "a CycloneDX SBOM"),
    (frozenset({"spdxVersion"}), "an SPDX SBOM"),
    (frozenset({"document", "vulnerabilities"}), "a CSAF document"),
    (frozenset({"@context", "statements"}), "an OpenVEX document"),
)


def find_source(kind: str) -> Source:
    """The source of that kind.

    Raises:
        InvalidInputError: There is none.
    """
    if kind in SOURCES:
        return SOURCES[kind]
    near = difflib.get_close_matches(kind, KINDS, n=1)
    raise InvalidInputError(
        f"{kind[:60]!r} is not a kind of feed",
        hint=f"did you mean {near[0]}?" if near else f"the kinds are {', '.join(KINDS)}",
        field="kind",
    )


def identify(head: bytes) -> str:
    """What a file that begins with `head` seems to be: "a kev feed", "a CycloneDX SBOM"; "" if nothing known."""
    first_line = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    for module in _MODULES:
        if hasattr(module, "recognizes_table") and module.recognizes_table(first_line):
            return _feed_of(module.KIND)
    entry = _first_object(head)
    if not entry:
        return ""
    # name-map comes late: its JSON is so plain that others would pass for it.
    for source in (*(s for s in SOURCES.values() if s.KIND != name_map.KIND), SOURCES[name_map.KIND]):
        if source.recognizes(entry):
            return _feed_of(source.KIND)
    for keys, what in STRANGERS:
        if keys <= entry.keys():
            return what
    if all(isinstance(v, dict) and {"vulnerable", "patched"} <= v.keys() for v in list(entry.values())[:20]):
        return "Node.js's own list of core vulnerabilities, whose ranges name release lines of Node.js alone"
    return ""


def _feed_of(kind: str) -> str:
    return f"{'an' if kind in ('osv', 'epss', 'nvd') else 'a'} {kind} feed"


def _first_object(head: bytes) -> dict[str, Any]:
    """The first JSON object of a document or of JSON lines; {} when there is none."""
    trimmed = head.removeprefix(b"\xef\xbb\xbf").strip()
    for candidate in (trimmed, trimmed.split(b"\n", 1)[0]):
        try:
            value = msgspec.json.decode(candidate)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue
        if isinstance(value, list):
            value = value[0] if value else {}
        return value if isinstance(value, dict) else {}
    return {}


def wrong_kind(kind: str, name: str, head: bytes, reason: str = "") -> InvalidInputError:
    """The refusal of a file that is not of the feed's kind, with what it seems to be."""
    seems = identify(head)
    hint = f"files of kind {kind}: docs/reference/feeds.md"
    for other in KINDS:
        if seems.endswith(f" {other} feed") and other != kind:
            hint = f"add it as what it is: antivenom feed add {other} LOCATION"
    is_other = seems and seems != _feed_of(kind)
    detail = f"it seems to be {seems}" if is_other else reason or "nothing in it could be read"
    return InvalidInputError(f"{name} is not of kind {kind}: {detail}", hint=hint)
