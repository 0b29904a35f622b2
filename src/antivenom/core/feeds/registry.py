"""The kinds of feeds, and what a file of the wrong kind seems to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import cve5, epss, kev, knowledge, name_map, nodejs, nvd, osv, purl_cpe, unpack
from antivenom.core.feeds.beginnings import name_format, name_other, read_beginning
from antivenom.core.feeds.entry import Beginning, Reading, Row, SetAside


class Source(Protocol):
    """What every file of a feed kind has; a file with all of it is a kind once it is listed in `SOURCES`."""

    KIND: str
    """The word of `antivenom feed add`."""
    TITLE: str
    """The words of the page that adds feeds."""
    TABLE: str
    """Where its rows are stored: a key of `STAGING` in server/advisories/storing.py."""
    USUAL_LOCATION: str
    """Where most people read it from."""

    def recognizes(self, beginning: Beginning) -> bool:
        """Whether a file that begins so is of this kind."""

    def read(self, member: unpack.Member, reading: Reading) -> Iterator[Row | SetAside]:
        """The rows of one unpacked file, and the entries that cannot be used, each with its reason.

        Raises:
            InvalidInputError: The file is of another kind, or damaged.
        """


# name-map comes last: its JSON is so plain that other kinds would pass for it.
SOURCES: dict[str, Source] = {
    source.KIND: source for source in (osv, kev, epss, nvd, cve5, nodejs, purl_cpe, knowledge, name_map)
}
KINDS = tuple(SOURCES)


class Guess(NamedTuple):
    """What a file seems to be: which kind of feed ("" for none), and that in words ("" for nothing known)."""

    kind: str
    words: str


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


def identify(head: bytes) -> Guess:
    """What a file that begins with `head` seems to be."""
    beginning = read_beginning(head)
    if words := name_format(head) or name_other(beginning.entry):
        return Guess("", words)
    for source in SOURCES.values():
        if source.recognizes(beginning):
            return Guess(source.KIND, f"a feed of kind {source.KIND}")
    return Guess("", "")


def wrong_kind(kind: str, name: str, head: bytes, reason: str = "") -> InvalidInputError:
    """The refusal of a file that is not of the feed's kind, with what it seems to be."""
    guess = identify(head)
    hint = f"files of kind {kind}: docs/reference/feeds.md"
    if guess.kind not in ("", kind):
        hint = f"add it as what it is: antivenom feed add {guess.kind} LOCATION"
    if guess.words and guess.kind != kind:
        return InvalidInputError(f"{name} is not of kind {kind}: it seems to be {guess.words}", hint=hint)
    reason = reason.removeprefix(f"{name} ") or "nothing in it could be read"
    if guess.kind == kind:
        return InvalidInputError(f"nothing of {name} could be read, though it is of kind {kind}: {reason}", hint=hint)
    return InvalidInputError(f"{name} is not of kind {kind}: {reason}", hint=hint)
