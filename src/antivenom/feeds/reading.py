"""Reads a feed's files, entry by entry: what a server stores and what `antivenom feed build` puts together.

Every refusal is decided here, so that both take and refuse the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import unpack
from antivenom.core.feeds.entry import Reading, Row, SetAside
from antivenom.core.feeds.registry import Source, find_source, identify, wrong_kind
from antivenom.core.matching.advisories import Advisory
from antivenom.feeds import files
from antivenom.knowledge import built_in

SET_ASIDE_KEPT = 1_000  # entries shown with their reasons; more are only counted
WRONG_KIND_AFTER = 20  # a file whose first entries are all refused is of another kind
PROGRESS_EVERY = 2_000  # entries

UseRow = Callable[[Row], object]
ShowProgress = Callable[[int, int], None]
"""(rows so far, entries set aside so far)"""


@dataclass(slots=True)
class FeedReport:
    """What came of reading: how many rows, how many entries were set aside, and the first of those."""

    rows: int = 0
    set_aside_count: int = 0
    set_aside: list[SetAside] = field(default_factory=list)
    flagged: dict[str, int] = field(default_factory=dict)  # flag -> advisories

    ids_set_aside: list[str] = field(default_factory=list)  # of wrecks: these did not disappear from the feed

    def count(self, row: Row) -> None:
        self.rows += 1
        for flag in row.flags if isinstance(row, Advisory) else ():
            self.flagged[flag] = self.flagged.get(flag, 0) + 1

    def put_aside(self, entry: SetAside) -> None:
        self.set_aside_count += 1
        if entry.id:
            self.ids_set_aside.append(entry.id)
        if len(self.set_aside) < SET_ASIDE_KEPT:
            self.set_aside.append(SetAside(entry.entry[:300], entry.reason[:500], entry.id))


def read_feed(
    kind: str,
    path: Path,
    location: str,
    now: datetime,
    use: UseRow,
    *,
    may_be_empty: bool = False,
    on_progress: ShowProgress | None = None,
) -> FeedReport:
    """Read every entry below `path`, and hand its row to `use`.

    Args:
        location: Where the feed came from.
        now: Dates beyond it are flagged.
        may_be_empty: An increment may bring nothing; a whole feed that does is refused.

    Raises:
        InvalidInputError: Damaged, a bomb, of another kind, or without a single usable entry. What `use` got is then
            not the feed.
    """
    source = find_source(kind)
    reading = Reading(now, location, built_in().python_names)
    report = FeedReport()
    count, refusal = 0, None
    for count, member in enumerate(files.members(path), start=1):  # noqa: B007
        try:
            _read_member(source, member, reading, report, use, on_progress)
        except unpack.UnreadableFileError:
            raise
        except InvalidInputError as error:  # among others, a file of another kind is only set aside
            refusal = error
            report.put_aside(SetAside(member.name, error.message, Path(member.name).stem))
    if refusal is not None and count == 1 and not report.rows and path.is_file():
        raise refusal
    if not report.rows and not may_be_empty:
        raise _nothing_usable(kind, path.name, report, count)
    return report


def _read_member(
    source: Source,
    member: unpack.Member,
    reading: Reading,
    report: FeedReport,
    use: UseRow,
    on_progress: ShowProgress | None,
) -> None:
    """Hand over one file's rows.

    Raises:
        InvalidInputError: It is of another kind: its first entries are all refused.
    """
    head = member.head()
    rows = 0
    refused: list[SetAside] = []  # while no row came: perhaps the file is of another kind
    try:
        for row in source.read(member, reading):
            if isinstance(row, SetAside):
                if rows:
                    report.put_aside(row)
                elif len(refused) < WRONG_KIND_AFTER:
                    refused.append(row)
                elif identify(head).kind == source.KIND:  # of this kind, only its beginning is bad
                    report.put_aside(row)
                else:
                    raise InvalidInputError(_told(member.name, refused[0]))
                continue
            use(row)
            rows += 1
            report.count(row)
            if on_progress is not None and report.rows % PROGRESS_EVERY == 0:
                on_progress(report.rows, report.set_aside_count)
        if refused and not rows:
            raise InvalidInputError(_told(member.name, refused[0]))
    except unpack.UnreadableFileError:
        raise
    except InvalidInputError as error:
        raise error if rows else wrong_kind(source.KIND, member.name, head, error.message) from None
    for entry in refused:
        report.put_aside(entry)


def _told(name: str, entry: SetAside) -> str:
    """Why an entry was refused, with its place in the file."""
    place = entry.entry
    for prefix in (f"{name}: ", f"{name} ", name):
        place = place.replace(prefix, "", 1)
    place = place.replace("()", "").strip()
    return f"{place}: {entry.reason}" if place else f"it {entry.reason}"


def _nothing_usable(kind: str, name: str, report: FeedReport, count: int) -> InvalidInputError:
    if not count:
        return InvalidInputError(
            f"{name} holds no data file",
            hint=f"files are read whose names end in one of {' '.join(unpack.DATA_SUFFIXES)}; hidden ones are not",
        )
    if report.set_aside:
        first = report.set_aside[0]
        of = f" (the first of {count:,} files)" if count > 1 else ""
        return InvalidInputError(
            f"nothing of {name} could be read as {kind}: {first.entry}{of}: {first.reason}",
            hint="is it the right file?",
        )
    return InvalidInputError(
        f"there is no entry of kind {kind} in {name}", hint="an empty feed is refused: it would remove everything"
    )
