"""`antivenom feed build`: an advisory file of feeds, for people without any server."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from antivenom import __version__
from antivenom.cli.output import ShowProgress, count_of, note, progress, size_of
from antivenom.core.errors import InvalidInputError, StorageError, UpstreamError
from antivenom_client.fetching import DiskError, FetchError, Progress, check_url, save
from antivenom_client.places import default_advisories
from antivenom_client.pull import PullError, locked, sync_folder

if TYPE_CHECKING:
    from antivenom.core.advisory_file import FeedDate
    from antivenom.feeds.building import FeedCollection
    from antivenom.feeds.reading import FeedReport

FEED_MAX_BYTES = 4 * 2**30  # packed: what a server takes


@dataclass(frozen=True)
class FeedSource:
    """One `--from`: a kind of feed, and where it is read from (a URL or a path)."""

    kind: str
    location: str

    @property
    def is_url(self) -> bool:
        return "://" in self.location


def build_file(
    sources: Annotated[
        list[str],
        typer.Option(
            "--from",
            metavar="KIND:PATH-OR-URL",
            help="A feed: osv, kev, epss, nvd, cve5, nodejs, name-map, purl-cpe or knowledge, and where it is. "
            "osv:PyPI is an ecosystem of OSV; a kind alone is where most people read it from. May be given again.",
        ),
    ],
    to: Annotated[
        str,
        typer.Option("-o", "--to", metavar="FILE", help="Write it there instead of where `antivenom scan` looks."),
    ] = "",
) -> None:
    """Build an advisory file of feeds, as a server would of the same, and without one.

    Files may be JSON, tables, archives or folders, packed or not. What is built in is part of it. Nobody signs it.
    """
    wanted = [parse_source(text) for text in sources]
    path = Path(to).expanduser() if to else Path(default_advisories())
    with _errors_of(path), progress("advisory file") as show:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="antivenom-build-") as folder, locked(path, note):
            size, vulnerabilities = build(wanted, path, Path(folder), show, datetime.now(UTC))
    note(f"{path}: {count_of(vulnerabilities, 'vulnerabilities')}, {size_of(size)}; it is not signed by anybody")


def parse_source(text: str) -> FeedSource:
    """What a `--from` means.

    Raises:
        InvalidInputError: It names no kind, no such file, or no address.
    """
    from antivenom.core.feeds import osv
    from antivenom.core.feeds.registry import find_source
    from antivenom.core.feeds.unpack import is_data_file

    kind, _, location = text.partition(":")
    usual = find_source(kind).USUAL_LOCATION
    if not location:
        if not usual:
            raise InvalidInputError(f"--from {text} does not say where it is", hint=f"--from {kind}:PATH-OR-URL")
        location = usual
    path = Path(location).expanduser()
    is_plain = "/" not in location and os.sep not in location
    if kind == osv.KIND and is_plain and not (path.is_file() and is_data_file(location)):
        if not osv.ECOSYSTEM.fullmatch(location):
            raise InvalidInputError(f"{location!r} is neither an ecosystem nor a file", hint="such as osv:PyPI")
        return FeedSource(kind, osv.location_of(location))
    if "://" in location:
        try:
            check_url(location)
        except FetchError as error:
            raise InvalidInputError(error.message, hint=error.hint) from None
        if kind == "nvd" and urlsplit(location).path.rstrip("/").endswith("/2.0"):
            raise InvalidInputError(
                "NVD's API is read page by page, which takes a server hours", hint="give files of NVD, or cve5"
            )
        return FeedSource(kind, _archive_of_bucket(location) if kind == osv.KIND else location)
    if not path.exists():
        raise InvalidInputError(f"there is no file {location}", hint="give a path or an http(s) URL")
    return FeedSource(kind, str(path))


def _archive_of_bucket(url: str) -> str:
    """The whole archive of an OSV bucket that is named by its folder or its list of changes."""
    parts = urlsplit(url)
    folder, _, last = parts.path.rpartition("/")
    return parts._replace(path=f"{folder}/all.zip").geturl() if last in ("", "modified_id.csv") else url


def build(sources: list[FeedSource], path: Path, folder: Path, show: ShowProgress, now: datetime) -> tuple[int, int]:
    """Build an advisory file of feeds; (its size in bytes, how many vulnerabilities it knows).

    Raises:
        InvalidInputError: A feed is not what it should be.
        UpstreamError: One cannot be fetched.
    """
    from antivenom.core import advisory_file
    from antivenom.core.advisory_file import About
    from antivenom.core.matching.match import MatchIndex
    from antivenom.feeds.building import FeedCollection
    from antivenom.knowledge import built_in

    made_at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    with FeedCollection.open(folder / "rows.db") as rows:
        dates = [_read(rows, number, source, folder, show, now) for number, source in enumerate(sources, start=1)]
        show({"phase": "compile"})
        data = rows.compile()
    show({"phase": "write"})
    index = MatchIndex.load(data, built_in())
    del data
    advisory_file.write(index, path, about=About(made_at, __version__, tuple(dates)))
    sync_folder(path.parent)
    return path.stat().st_size, index.vulnerability_count


def _read(
    rows: FeedCollection, number: int, source: FeedSource, folder: Path, show: ShowProgress, now: datetime
) -> FeedDate:
    """Read one feed; what the file says of it."""
    from antivenom.core.advisory_file import FeedDate
    from antivenom.feeds.reading import read_feed

    place = Path(source.location)
    if source.is_url:
        place = folder / (urlsplit(source.location).path.rpartition("/")[2] or "feed")
        show({"phase": f"download {source.kind}"})
        _download(
            source,
            place,
            lambda done, total: show({"phase": f"download {source.kind}", "done": done, "total": total}),
        )
    report = read_feed(
        source.kind,
        place,
        source.location,
        now,
        lambda row: rows.add(number, row),
        on_progress=lambda done, _: show({"phase": f"read {source.kind}", "done": done, "total": 0}),
    )
    if source.is_url:
        place.unlink()
    note(_told(source, report))
    return FeedDate(f"{source.kind} {number}", source.kind, now.strftime("%Y-%m-%dT%H:%M:%SZ"), report.rows)


def _download(source: FeedSource, place: Path, progress: Progress) -> None:
    """Save a feed; of an address of OSV that names no file, the archive of the bucket, or what else is there."""
    last = urlsplit(source.location).path.rpartition("/")[2]
    if source.kind == "osv" and "." not in last:
        try:
            save(f"{source.location}/all.zip", place, max_bytes=FEED_MAX_BYTES, progress=progress)
            return
        except FetchError as error:
            if error.is_passing or isinstance(error, DiskError):
                raise
    save(source.location, place, max_bytes=FEED_MAX_BYTES, progress=progress)


def _told(source: FeedSource, report: FeedReport) -> str:
    line = f"{source.kind} from {source.location}: {count_of(report.rows, 'entries')}"
    if report.set_aside_count:
        first = report.set_aside[0]
        line += f"; {report.set_aside_count:,} set aside, the first: {first.entry}: {first.reason}"
    return line


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except DiskError as error:
        raise StorageError(error.message, hint=error.hint) from None
    except (FetchError, PullError) as error:
        raise UpstreamError(error.message, hint=error.hint) from None
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}", hint="free some space, or name another place with -o"
        ) from None
