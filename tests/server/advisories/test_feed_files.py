"""Whatever a feed comes in opens by its content; whatever is hostile is refused with a reason."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import unpack
from antivenom.server.advisories.spool import spool_feed

NOW = datetime(2026, 11, 21, tzinfo=UTC).isoformat()


def entry(number: int, **more: object) -> dict[str, object]:
    package = {"ecosystem": "PyPI", "name": f"Demo.Package_{number}"}
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0"}]}]
    return {
        "id": f"PYSEC-2026-{number}",
        "modified": "2026-01-01T00:00:00Z",
        "affected": [{"package": package, "ranges": ranges}],
        **more,
    }


def json_lines(count: int = 3) -> bytes:
    return b"".join(json.dumps(entry(n)).encode() + b"\n" for n in range(count))


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def singles(count: int = 3) -> dict[str, bytes]:
    return {f"PYSEC-2026-{n}.json": json.dumps(entry(n), indent=2).encode() for n in range(count)}


CONTAINERS = {
    "json lines": json_lines(),
    "json lines, gzip": gzip.compress(json_lines()),
    "json lines, zstd": zstandard.compress(json_lines()),
    "json lines, two zstd frames": zstandard.compress(json_lines(2))
    + zstandard.compress(json.dumps(entry(2)).encode()),
    "json lines, bzip2": bz2.compress(json_lines()),
    "json lines, xz": lzma.compress(json_lines()),
    "zip": zipped(singles()),
    "zip in zip": zipped({"inner.zip": zipped(singles())}),
    "array": json.dumps([entry(n) for n in range(3)], indent=1).encode(),
    "with a byte order mark": b"\xef\xbb\xbf" + json_lines(),
}


def spool(tmp_path: Path, data: bytes, kind: str = "osv", name: str = "feed.bin"):
    path = tmp_path / name
    path.write_bytes(data)
    return spool_feed(kind, str(path), str(tmp_path / "rows"), str(path), NOW)


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_same_entries_come_out_of_every_container(tmp_path: Path, container: str) -> None:
    report = spool(tmp_path, CONTAINERS[container])
    assert (report.rows, report.set_aside) == (3, [])
    assert b"pypi/demo-package-2" in (tmp_path / "rows").read_bytes()


def test_a_directory_and_a_single_object_are_feeds(tmp_path: Path) -> None:
    folder = tmp_path / "advisories"
    (folder / "vulns" / "x").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name, data in singles().items():
        (folder / "vulns" / "x" / name).write_bytes(data)
    (folder / "README.md").write_text("not data")
    (folder / ".git" / "index.json").write_text("not data either")
    report = spool_feed("osv", str(folder), str(tmp_path / "rows"), str(folder), NOW)
    assert (report.rows, report.set_aside) == (3, [])
    assert spool(tmp_path, singles(1)["PYSEC-2026-0.json"], name="one.json").rows == 1


@pytest.mark.parametrize(
    "packed", ["json lines, gzip", "json lines, zstd", "json lines, bzip2", "json lines, xz", "zip"]
)
def test_a_truncated_file_is_refused(tmp_path: Path, packed: str) -> None:
    data = CONTAINERS[packed]
    with pytest.raises(InvalidInputError, match="truncated"):
        spool(tmp_path, data[: len(data) * 2 // 3])


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, lambda b: zipped({"bomb.json": b})])
def test_a_decompression_bomb_is_refused(tmp_path: Path, pack) -> None:
    with pytest.raises(InvalidInputError, match="refused"):
        spool(tmp_path, pack(b"[" + b" " * (unpack.RATIO_FREE_BYTES + 8 * 2**20) + b"]"))


def test_a_deep_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        spool(tmp_path, b'{"id": ' * 100_000)


def test_a_huge_line_is_set_aside_and_the_rest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "LINE_MAX_BYTES", 10_000)
    huge = json.dumps(entry(7, details="x" * 50_000)).encode() + b"\n"
    report = spool(tmp_path, json_lines() + huge + json.dumps(entry(8)).encode())
    assert report.rows == 4
    assert "longer than" in report.set_aside[0].reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"id": "PYSEC-2026-77", "affected": [}', "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"id": "\xff\xfe", "affected": []}', "not JSON"),
        (b'{"affected": [], "modified": "2026-01-01T00:00:00Z"}', "id"),
        (b'{"id": "a b; drop table", "modified": ""}', "not an advisory id"),
        (b'{"x": ' * 2000 + b"1" + b"}" * 2000, ""),
    ],
)
def test_a_bad_line_is_set_aside_with_its_reason(tmp_path: Path, bad: bytes, reason: str) -> None:
    report = spool(tmp_path, json_lines() + bad + b"\n" + json.dumps(entry(9)).encode() + b"\n")
    assert report.rows == 4
    assert report.set_aside_count == 1
    assert "line 4" in report.set_aside[0].entry
    assert reason in report.set_aside[0].reason


def test_the_id_of_a_wreck_is_told_so_that_its_advisory_stays(tmp_path: Path) -> None:
    report = spool(tmp_path, json_lines() + b'{"id": "PYSEC-2026-77", "affected": [}\n')
    assert report.ids_set_aside == ["PYSEC-2026-77"]


KEV = {
    "catalogVersion": "1",
    "vulnerabilities": [{"cveID": "CVE-2024-0001", "dateAdded": "2024-01-02", "vulnerabilityName": "x"}],
}
WRONG = {
    "kev": json.dumps(KEV).encode(),
    "epss": b"#model_version:v1,score_date:2026-01-01T00:00:00Z\ncve,epss,percentile\nCVE-2024-0001,0.1,0.2\n",
    "cve5": json.dumps(
        {"dataType": "CVE_RECORD", "cveMetadata": {"cveId": "CVE-2024-0001", "state": "PUBLISHED"}}
    ).encode(),
    "nvd": json.dumps(
        {"format": "NVD_CVE", "totalResults": 1, "vulnerabilities": [{"cve": {"id": "CVE-2024-0001"}}]}
    ).encode(),
    "nodejs": json.dumps({"7": {"cve": ["CVE-2024-0001"], "vulnerable": "20.x", "patched": "^20.3.1"}}).encode(),
    "name-map": b"channel\tconda_name\tpypi_names\nconda-forge\tnumpy\tnumpy\n",
    "knowledge": b"conda\tpypi\tsource\tchecked\npy-foo\tfoo\tus\t2026-11-28\n",
    "purl-cpe": b"purl\tcpe_part:vendor:product\npkg:pypi/django\ta:djangoproject:django\n",
    "osv": json_lines(1),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("content", WRONG)
def test_a_file_of_another_kind_is_refused_and_named(tmp_path: Path, kind: str, content: str) -> None:
    if kind == content:
        assert spool(tmp_path, WRONG[content], kind).rows == 1
        return
    with pytest.raises(InvalidInputError) as refused:
        spool(tmp_path, WRONG[content], kind)
    assert f"not of kind {kind}" in refused.value.message
    assert f"it seems to be a feed of kind {content}" in refused.value.message
    assert f"antivenom feed add {content}" in refused.value.hint


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"{}", b"[]", b"null", b"hello\nworld\n", b"\x00\x01\x02" * 50, b"<html>404</html>"]
)
def test_what_is_no_feed_is_refused(tmp_path: Path, kind: str, data: bytes) -> None:
    with pytest.raises(InvalidInputError):
        spool(tmp_path, data, kind)


def test_a_folder_tells_what_is_wrong_with_a_bad_file_of_its_own_kind(tmp_path: Path) -> None:
    folder = tmp_path / "osv"
    folder.mkdir()
    (folder / "good.json").write_text(json.dumps(entry(1)))
    (folder / "bad.json").write_text(json.dumps(entry(2, id="../../etc/passwd")))
    report = spool_feed("osv", str(folder), str(tmp_path / "rows"), str(folder), NOW)
    (aside,) = report.set_aside
    assert "is not an advisory id" in aside.reason
    assert "seems to be" not in aside.reason


def test_an_odd_value_in_a_json_name_map_is_set_aside_alone(tmp_path: Path) -> None:
    names = {"numpy": "numpy", "cuda": None, "odd": 5, "pytorch": ["torch"], "": "nameless", "list": [1]}
    report = spool(tmp_path, json.dumps(names).encode(), "name-map")
    assert report.rows == 3
    assert {aside.entry.rsplit(": ", 1)[-1] for aside in report.set_aside} == {"odd", "", "list"}


@pytest.mark.parametrize("products", ["a:zlib:zlib", "cpe:2.3:a:zlib:zlib:*:*:*:*:*:*:*:*", "cpe:2.3:a:zlib:zlib"])
def test_a_product_may_be_written_as_a_whole_cpe_name(tmp_path: Path, products: str) -> None:
    report = spool(tmp_path, f"purl\tcpe\npkg:generic/zlib\t{products}\n".encode(), "purl-cpe")
    assert (report.rows, report.set_aside_count) == (1, 0)
    assert "zlib:zlib" in (tmp_path / "rows").read_text()
    assert "cpe" not in (tmp_path / "rows").read_text()
