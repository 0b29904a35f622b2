"""Paths of channel files: the token in them, their parts, what kind of file they name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from antivenom.server.distribution.channel_directory import PublishedChannel, http_date
from antivenom.server.distribution.channel_files import cache_control, content_type, file_kind, split_path, split_token


@pytest.mark.parametrize(
    ("path", "token", "rest"),
    [
        (b"/conda/main/noarch/a.conda", b"", b"/conda/main/noarch/a.conda"),
        (b"/t/av-1/conda/main/a", b"av-1", b"/conda/main/a"),
        (b"/conda/t/av-1/main/a", b"av-1", b"/conda/main/a"),
        (b"/t/av-1", b"av-1", b"/"),
        (b"/t//conda/main/a", b"", b"/conda/main/a"),
        (b"/tt/av-1/conda/main", b"", b"/tt/av-1/conda/main"),
        (b"/conda/tt/a/b", b"", b"/conda/tt/a/b"),
    ],
)
def test_a_token_is_taken_out_of_a_path(path: bytes, token: bytes, rest: bytes) -> None:
    assert split_token(path) == (token, rest)


@pytest.mark.parametrize(
    ("path", "token", "parts"),
    [
        (b"/conda/main/noarch/a.conda", b"", ["main", "noarch", "a.conda"]),
        (b"/conda/main/noarch/a.conda?x=/conda/b", b"", ["main", "noarch", "a.conda"]),
        (b"/t/av%2D1/conda/main/a%2Bb", b"av-1", ["main", "a+b"]),
        (b"/conda/main/a%252Fb", b"", ["main", "a%2Fb"]),
        (b"/conda/main/a%2Fb", b"", []),
        (b"/conda/main/../a", b"", []),
        (b"/conda/main/%2e%2e/a", b"", []),
        (b"/conda/main//a", b"", []),
        (b"/conda/main/%ff", b"", []),
        (b"/t/av-1/other/main", b"av-1", []),
        (b"/condas/main/a", b"", []),
    ],
)
def test_a_path_is_decoded_once_and_part_by_part(path: bytes, token: bytes, parts: list[str]) -> None:
    assert split_path(path) == (token, parts)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/conda/m/noarch/a-1-0.conda", "artifact"), ("m/noarch/a-1-0.tar.bz2?x=1", "artifact"),
        ("noarch/repodata_shards.msgpack.zst", "shards_index"), ("noarch/shards/00.msgpack.zst", "shard"),
        ("repodata.json", "repodata"), ("noarch/repodata.json.zst", "repodata"), ("a/current_repodata.json", "current_repodata"),
        ("a/current_repodata.json.zst", "current_repodata"), ("a/run_exports.json", "run_exports"),
        ("a/run_exports.json.zst", "run_exports"), ("a/patch_instructions.json", "patch_instructions"),
        ("channeldata.json", "channeldata"), ("notices.json", "notices"), ("a/repodata.json/", "other"), ("", "other"),
    ],
)  # fmt: skip
def test_every_path_is_of_a_kind(path: str, kind: str) -> None:
    assert file_kind(path) == kind


def test_the_type_is_that_of_the_bytes_and_shared_caches_keep_public_files_only() -> None:
    assert content_type("repodata.json") == b"application/json"
    assert content_type("repodata.json.zst") == b"application/zstd"
    public, closed = PublishedChannel(1, "main", True), PublishedChannel(1, "main", False)
    assert cache_control(public, "max-age=60") == b"public, max-age=60"
    assert cache_control(closed, "max-age=60") == b"private, max-age=60"


def test_times_are_told_in_greenwich_time() -> None:
    east = timezone(timedelta(hours=2))
    assert http_date(datetime(2026, 11, 21, 14, 0, 5, tzinfo=east)) == b"Sat, 21 Nov 2026 12:00:05 GMT"
    assert http_date(datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)) == b"Sat, 21 Nov 2026 12:00:05 GMT"
    assert http_date(None) == b""
