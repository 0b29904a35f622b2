"""An advisory file of feeds is what a server makes of the same feeds, and refuses what a server refuses."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from antivenom.cli import feed
from antivenom.cli.feed_build import build, parse_source
from antivenom.core import advisory_file
from antivenom.core.errors import AntivenomError, InvalidInputError, UpstreamError
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.feeds.building import FeedCollection
from antivenom.feeds.reading import read_feed
from antivenom.server.context import SYSTEM, Resources
from antivenom_client.advisory_file import AdvisoryFile
from tests.client.publisher import FileServer, always
from tests.server.advisories.test_feed_forms import PUBLISHED

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def osv(id_: str, package: str, fixed: str, *, modified: str = "2026-01-01T00:00:00Z", **more: Any) -> bytes:
    affected = {
        "package": {"ecosystem": "PyPI", "name": package},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
    }
    return json.dumps({"id": id_, "modified": modified, "affected": [affected], **more}).encode() + b"\n"


def epss(date: str, **scores: float) -> bytes:
    lines = [f"CVE-2024-{number[1:]},{score},0.5" for number, score in scores.items()]
    return "\n".join([f"#model_version:v1,score_date:{date}T00:00:00Z", "cve,epss,percentile", *lines, ""]).encode()


ALIASED = {
    "aliases": ["CVE-2024-0001"],
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
}
FEEDS: list[tuple[str, bytes]] = [
    *((kind, data) for kind, published in PUBLISHED.items() for data in published.files.values()),
    # One advisory twice in a feed: the newest counts, of equally new ones the later.
    (
        "osv",
        osv("PYSEC-1", "acme", "2.0", modified="2026-02-01T00:00:00Z", **ALIASED)
        + osv("PYSEC-1", "acme", "1.0")
        + osv("PYSEC-2", "acme", "1.0")
        + osv("PYSEC-2", "acme", "3.0", details="A part of it is told."),
    ),
    (
        "osv",
        osv("PYSEC-1", "acme", "9.0", modified="2020-01-01T00:00:00Z") + osv("PYSEC-3", "zope", "1.0", withdrawn="x"),
    ),
    # What a description tells of platforms counts at its beginning, and only there.
    ("osv", osv("PYSEC-4", "gadget", "2.0", details="A flaw on Windows lets an attacker in.")),
    ("osv", osv("PYSEC-5", "gadget", "2.0", details="A flaw. " + "x" * 1_000 + " It only affects Windows.")),
    # The newest date wins, whatever the order.
    ("epss", epss("2026-03-01", n0001=0.9, n0002=0.8)),
    ("epss", epss("2026-02-01", n0001=0.1, n0002=0.2)),
    ("name-map", b"channel\tconda_name\tpypi_names\nconda-forge\tacme-tool\tacme\n"),
    ("name-map", b"channel\tconda_name\tpypi_names\nconda-forge\tacme-tool\tacme,zope\n"),
    ("knowledge", b"conda\tpypi\tsource\tchecked\npy-acme\tacme\tus\t2026-11-28\n"),
    ("knowledge", b"conda\tpypi\tsource\tchecked\npy-zope\tzope\tus\t2026-11-28\n"),
]


@pytest.fixture
def paths(tmp_path: Path) -> list[tuple[str, Path]]:
    found = []
    for number, (kind, data) in enumerate(FEEDS):
        path = tmp_path / f"{number}-{kind}.data.txt"
        path.write_bytes(data)
        found.append((kind, path))
    return found


def compiled(folder: Path, paths: list[tuple[str, Path]]) -> bytes:
    with FeedCollection.open(folder / "rows.db") as rows:
        for number, (kind, path) in enumerate(paths, start=1):
            read_feed(kind, path, str(path), NOW, lambda row, number=number: rows.add(number, row))
        return rows.compile()


async def test_index_is_that_of_a_server_with_the_same_feeds(
    resources: Resources, app_client: Any, run_jobs: Any, tmp_path: Path, paths: list[tuple[str, Path]]
) -> None:
    for kind, path in paths:
        answer = await app_client.post("/api/v1/feeds", json={"kind": kind, "location": str(path)})
        assert answer.status_code == 201, answer.text
        assert await run_jobs(resources) == []
    async with resources.context(SYSTEM) as ctx:
        key = await ctx.session.scalar(text("SELECT index_key FROM knowledge_revision ORDER BY id DESC LIMIT 1"))
    assert compiled(tmp_path, paths) == await resources.blobs.get(str(key))


def test_what_descriptions_tell_of_platforms_is_compiled(tmp_path: Path, paths: list[tuple[str, Path]]) -> None:
    index = MatchIndex.load(compiled(tmp_path, paths))
    [found] = index.assess([ComponentKey("conda", "gadget", "1.0", purls=("pkg:pypi/gadget@1.0",))])
    assert {finding.ids[0]: finding.told_on for finding in found.findings} == {"PYSEC-4": ("windows",), "PYSEC-5": ()}


def test_file_answers_what_the_feeds_say(tmp_path: Path, paths: list[tuple[str, Path]]) -> None:
    path = tmp_path / "advisories.db"
    sources = [parse_source(f"{kind}:{place}") for kind, place in paths]
    size, vulnerabilities = build(sources, path, tmp_path, lambda _: None, NOW)
    file = AdvisoryFile.open(path)
    assert (size, vulnerabilities) == (path.stat().st_size, len(file.rows("SELECT * FROM vulnerabilities")))
    assert file.meta()["made_at"] == "2026-11-28T12:00:00Z"
    assert [kind for _, kind, _, _ in file.feeds()] == sorted(kind for kind, _ in paths)
    component = ComponentKey("conda", "acme-tool", "1.5", purls=("pkg:pypi/acme@1.5",))
    found = {finding.ids for finding in advisory_file.open(path).assess([component])[0].findings}
    assert {ids[0] for ids in found} == {"CVE-2024-0001", "PYSEC-2"}


@pytest.mark.parametrize(
    ("text_", "kind", "location"),
    [
        ("osv:PyPI", "osv", "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"),
        ("osv:crates.io", "osv", "https://osv-vulnerabilities.storage.googleapis.com/crates.io/all.zip"),
        ("osv:Rocky Linux", "osv", "https://osv-vulnerabilities.storage.googleapis.com/Rocky%20Linux/all.zip"),
        ("osv:https://host.example/PyPI/", "osv", "https://host.example/PyPI/all.zip"),
        ("osv:https://host.example/PyPI/modified_id.csv", "osv", "https://host.example/PyPI/all.zip"),
        ("osv:https://host.example/x.zip", "osv", "https://host.example/x.zip"),
        ("kev:https://host.example:8443/kev.json", "kev", "https://host.example:8443/kev.json"),
        ("kev", "kev", "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"),
    ],
)
def test_what_a_source_means(text_: str, kind: str, location: str) -> None:
    source = parse_source(text_)
    assert (source.kind, source.location, source.is_url) == (kind, location, True)


def test_file_in_the_folder_is_no_ecosystem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("all.zip").write_bytes(b"")
    assert parse_source("osv:all.zip").location == "all.zip"


@pytest.mark.parametrize(
    ("text_", "match"),
    [
        ("osw:x", "is not a kind of feed"),
        ("", "is not a kind of feed"),
        ("purl-cpe", "does not say where it is"),
        ("osv:../x\0", "there is no file|neither"),
        ("osv:no$ecosystem", "neither an ecosystem nor a file"),
        ("kev:nowhere.json", "there is no file"),
        ("kev:ftp://host.example/x", "no http"),
        ("kev:https://user:secret@host.example/x", "does not belong"),
        ("nvd", "page by page"),
    ],
)
def test_sources_that_are_refused(text_: str, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        parse_source(text_)


def refused(tmp_path: Path, source: str) -> AntivenomError:
    """What a build says that fails; the file that was there stays."""
    path = tmp_path / "advisories.db"
    path.write_bytes(b"what was there")
    done = CliRunner().invoke(feed.commands, ["build", "--from", source, "-o", str(path)])
    assert path.read_bytes() == b"what was there"
    assert isinstance(done.exception, AntivenomError), done.output
    return done.exception


def packed(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("all.jsonl", data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"<!doctype html><title>Sign in</title>", "a web page"),
        (packed(osv("PYSEC-1", "acme", "1.0"))[:-30], ""),
        (gzip.compress(osv("PYSEC-1", "acme", "1.0"))[:-9], ""),
        (gzip.compress(bytes(100 << 20)), "refused"),
        (b"", ""),
        (FEEDS[-1][1], "it seems to be a feed of kind knowledge"),
    ],
    ids=["page", "zip", "gzip", "bomb", "empty", "kind"],
)
def test_files_that_are_refused(tmp_path: Path, data: bytes, match: str) -> None:
    (tmp_path / "feed.bin").write_bytes(data)
    assert match in refused(tmp_path, f"osv:{tmp_path}/feed.bin").message


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FileServer]:
    with FileServer(tmp_path) as server:
        yield server


def test_feed_at_an_address_is_read(web: FileServer, tmp_path: Path) -> None:
    web.files["/PyPI/all.zip"] = packed(osv("PYSEC-1", "acme", "2.0"))
    path = tmp_path / "data" / "advisories.db"
    done = CliRunner().invoke(feed.commands, ["build", "--from", f"osv:{web.base}/PyPI/", "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert "1 vulnerability" in done.output
    assert "not signed by anybody" in done.output
    assert AdvisoryFile.open(path).rows("SELECT ids FROM vulnerabilities") == [("PYSEC-1",)]


@pytest.mark.parametrize("place", ["/PyPI", "/PyPI/all.zip"])
def test_bucket_that_is_named_without_a_file(web: FileServer, tmp_path: Path, place: str) -> None:
    web.files[place] = packed(osv("PYSEC-1", "acme", "2.0"))
    path = tmp_path / "data" / "advisories.db"
    done = CliRunner().invoke(feed.commands, ["build", "--from", f"osv:{web.base}/PyPI", "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert AdvisoryFile.open(path).rows("SELECT ids FROM vulnerabilities") == [("PYSEC-1",)]


def test_address_without_a_feed(web: FileServer, tmp_path: Path) -> None:
    web.answers["/down"] = always(500, b"")
    for place, match in (("/nothing", "answered 404"), ("/down", "answered 500")):
        error = refused(tmp_path, f"kev:{web.base}{place}")
        assert isinstance(error, UpstreamError)
        assert match in error.message
