"""Every kind of feed in every form that somebody may download: read alike, or refused with a reason that helps."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import resource
import tarfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import tar, unpack
from antivenom.core.feeds.registry import KINDS, identify
from antivenom.feeds import files as feed_files
from antivenom.feeds.reading import FeedReport
from antivenom.server.advisories import spool
from antivenom.server.advisories.service import check_kind
from antivenom.server.advisories.spool import spool_feed
from tests.server.advisories.test_feed_files import entry, zipped

NOW = datetime(2026, 11, 21, tzinfo=UTC).isoformat()
Data = bytes | dict[str, bytes]  # a file, or a folder of files


def dump(value: object, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent).encode()


def table(rows: list[list[str]], separator: str = "\t") -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


# -- two entries of each kind, as each kind is published ------------------------------------------------------------

OSV = [entry(1), entry(2)]
KEV = [
    {"cveID": f"CVE-2024-000{n}", "dateAdded": "2024-01-02", "dueDate": "", "vulnerabilityName": 'a, "quoted"\nname',
     "knownRansomwareCampaignUse": "Known"} for n in (1, 2)
]  # fmt: skip
EPSS = [{"cve": f"CVE-2024-000{n}", "epss": "0.5", "percentile": "0.9", "date": "2026-01-01"} for n in (1, 2)]
NVD = [{"id": f"CVE-2024-000{n}", "sourceIdentifier": "x@y", "vulnStatus": "Analyzed"} for n in (1, 2)]
CVE5 = [{"dataType": "CVE_RECORD", "cveMetadata": {"cveId": f"CVE-2024-000{n}", "state": "PUBLISHED"}} for n in (1, 2)]
NODEJS = [{"cve": [f"CVE-2024-000{n}"], "vulnerable": "18.x || 20.x", "patched": "^20.3.1"} for n in (1, 2)]
NAMES = {"pytorch": "torch", "numpy": ["numpy"]}
ASSOCIATED = {
    "ripgrep": {"purl": "pkg:cargo/ripgrep", "status": "verified"},
    "ncurses": {"purl": None, "status": "verified", "cpes": ["cpe:2.3:a:gnu:ncurses"]},
}
PRODUCTS = {"pypi": {"django": ["cpe:2.3:a:djangoproject:django:*:*:*:*:*:*:*:*"], "torch": ["cpe:2.3:a:a:torch:*"]}}
KNOWLEDGE = table(
    [["conda", "pypi", "source", "checked"], *([f"py-{n}", n, "us", "2026-11-28"] for n in ("foo", "bar"))]
)


@dataclass(frozen=True)
class Published:
    """How a kind is published: whole files by name, and single records where it has some."""

    files: dict[str, bytes]
    records: tuple[object, ...] = ()


PUBLISHED = {
    "osv": Published({"list.json": dump(OSV, 1), "query.json": dump({"vulns": OSV})}, tuple(OSV)),
    "kev": Published(
        {
            "kev.json": dump({"catalogVersion": "2024.01.02", "count": 2, "vulnerabilities": KEV}, 4),
            "kev.csv": table([list(KEV[0]), *(list(map(str, row.values())) for row in KEV)], ","),
        },
        tuple(KEV),
    ),
    "epss": Published(
        {
            "scores.csv": b"#model_version:v1,score_date:2026-01-01T00:00:00Z\ncve,epss,percentile\n"
            b"CVE-2024-0001,0.5,0.9\nCVE-2024-0002,0.5,0.9\n",
            "answer.json": dump({"status": "OK", "total": 2, "data": EPSS}),
        },
        tuple(EPSS),
    ),
    "nvd": Published(
        {
            "page.json": dump({"totalResults": 2, "vulnerabilities": [{"cve": item} for item in NVD]}),
            "year.json": dump({"format": "NVD_CVE", "vulnerabilities": [{"cve": item} for item in NVD]}, 2),
            "mirror.json": dump({"timestamp": "2024", "cve_items": NVD}),
        },
        tuple(NVD),
    ),
    "cve5": Published({"list.json": dump({"cveRecords": CVE5})}, tuple(CVE5)),
    "nodejs": Published({"index.json": dump({"1": NODEJS[0], "2": NODEJS[1]}, 2)}, tuple(NODEJS)),
    "name-map": Published(
        {
            "map.json": dump(NAMES),
            "map.tsv": b"channel\tconda_name\tpypi_names\nconda-forge\tpytorch\ttorch\nconda-forge\tnumpy\tnumpy\n",
            "mappings.json": dump({"schema_version": 4, "channel": "conda-forge", "packages": ASSOCIATED}, 2),
            "map.csv": b"conda_name,pypi_name\npytorch,torch\nnumpy,numpy\n",
        },
        tuple({"conda_name": conda, "pypi_name": python} for conda, python in (("pytorch", "torch"), ("a", "b"))),
    ),
    "purl-cpe": Published(
        {
            "map.tsv": b"purl\tcpe_part:vendor:product\npkg:pypi/django\ta:djangoproject:django\npkg:pypi/a\ta:a:a\n",
            "index.json": dump(PRODUCTS),
        }
    ),
    "knowledge": Published({"ours.tsv": KNOWLEDGE}),
}

# -- the forms ------------------------------------------------------------------------------------------------------


def tarred(files: dict[str, bytes], pack: str = "", format: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive as `git archive` makes it: a global header, folders, files, and a link that leads out of it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{pack}", format=format, pax_headers={"comment": "0" * 40}) as archive:
        folder = tarfile.TarInfo("repository-main")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        link = tarfile.TarInfo("repository-main/link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../../etc/passwd"
        archive.addfile(link)
        for name, data in files.items():
            info = tarfile.TarInfo(f"repository-main/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def beside(name: str, data: bytes) -> dict[str, bytes]:
    """The file among others that a repository has, which are no entries."""
    deep = f"advisories/2026/{'long-' * 30}/{name}"
    return {".github/settings.json": b'{"a": 1}', "README.md": b"# x", "__MACOSX/._x.json": b"\0\5\x16", deep: data}


FORMS: dict[str, Callable[[str, bytes], tuple[str, Data]]] = {
    "as it is": lambda name, data: (name, data),
    "without a suffix": lambda name, data: ("feed", data),
    "byte order mark": lambda name, data: (name, b"\xef\xbb\xbf" + data),
    "Windows' line ends": lambda name, data: (name, data.replace(b"\n", b"\r\n")),
    "gzip": lambda name, data: (f"{name}.gz", gzip.compress(data)),
    "gzip, wrongly named": lambda name, data: (name, gzip.compress(data)),
    "two gzip members": lambda name, data: (f"{name}.gz", gzip.compress(data[:40]) + gzip.compress(data[40:])),
    "zstd": lambda name, data: (f"{name}.zst", zstandard.compress(data)),
    "bzip2": lambda name, data: (f"{name}.bz2", bz2.compress(data)),
    "xz": lambda name, data: (f"{name}.xz", lzma.compress(data)),
    "zip": lambda name, data: ("feed.zip", zipped({name: data})),
    "zip of a repository": lambda name, data: ("main.zip", zipped(beside(name, data))),
    "zip in a zip": lambda name, data: ("main.zip", zipped({"inner.zip": zipped({name: data})})),
    "zip of packed files": lambda name, data: ("main.zip", zipped({f"{name}.gz": gzip.compress(data)})),
    "tar": lambda name, data: ("main.tar", tarred(beside(name, data))),
    "tar, GNU": lambda name, data: ("main.tar", tarred(beside(name, data), format=tarfile.GNU_FORMAT)),
    "tar.gz": lambda name, data: ("main.tar.gz", tarred(beside(name, data), "gz")),
    "tar.gz of packed files": lambda name, data: ("main.tgz", tarred({f"{name}.xz": lzma.compress(data)}, "gz")),
    "tar.gz of a zip": lambda name, data: ("main.tgz", tarred({"inner.zip": zipped({name: data})}, "gz")),
    "tar.bz2": lambda name, data: ("main.tar.bz2", tarred(beside(name, data), "bz2")),
    "tar.xz": lambda name, data: ("main.tar.xz", tarred(beside(name, data), "xz")),
    "tar.zst": lambda name, data: ("main.tar.zst", zstandard.compress(tarred(beside(name, data)))),
    "folder": lambda name, data: ("folder", beside(name, data)),
    "folder of packed files": lambda name, data: ("folder", {f"{name}.zst": zstandard.compress(data)}),
    "folder of a tar.gz": lambda name, data: ("folder", {"main.tar.gz": tarred(beside(name, data), "gz")}),
}
OF_RECORDS: dict[str, Callable[[list[bytes]], tuple[str, Data]]] = {
    "array": lambda records: ("all.json", b"[" + b", ".join(records) + b"]"),
    "array, one a line": lambda records: ("all.json", b"[\n" + b",\n".join(records) + b"\n]\n"),
    "JSON lines": lambda records: ("all.jsonl", b"\n".join(records)),
    "JSON lines, empty ones between": lambda records: ("all.ndjson", b"\n\n".join(records) + b"\n\n"),
    "one after another, indented": lambda records: ("all.json", b"\n".join(dump(json.loads(r), 2) for r in records)),
    "one after another, without line ends": lambda records: ("all.json", b"".join(records)),
    "folder": lambda records: ("folder", {f"a/{n}/{n}.json": r for n, r in enumerate(records)}),
    "zip": lambda records: ("feed.zip", zipped({f"a/{n}/{n}.json": r for n, r in enumerate(records)})),
    "tar.gz": lambda records: ("feed.tgz", tarred({f"a/{n}/{n}.json": r for n, r in enumerate(records)}, "gz")),
}


def put(tmp_path: Path, name: str, data: Data) -> Path:
    path = tmp_path / "put" / name
    path.parent.mkdir()
    if isinstance(data, bytes):
        path.write_bytes(data)
        return path
    for inner, inner_data in data.items():
        (path / inner).parent.mkdir(parents=True, exist_ok=True)
        (path / inner).write_bytes(inner_data)
    return path


def read(tmp_path: Path, kind: str, path: Path) -> FeedReport:
    check_kind(kind, path)
    return spool_feed(kind, str(path), str(tmp_path / "rows"), str(path), NOW)


WHOLE = [(kind, name, form) for kind in KINDS for name in PUBLISHED[kind].files for form in FORMS]


@pytest.mark.parametrize(("kind", "name", "form"), WHOLE, ids=[" | ".join(c) for c in WHOLE])
def test_a_kind_is_read_in_every_form(tmp_path: Path, kind: str, name: str, form: str) -> None:
    plain = PUBLISHED[kind].files[name]
    read(tmp_path, kind, put(tmp_path, name, plain))
    rows = (tmp_path / "rows").read_bytes()
    assert rows.count(b"\n") == 2
    (tmp_path / "again").mkdir()
    report = read(tmp_path, kind, put(tmp_path / "again", *FORMS[form](name, plain)))
    assert (report.rows, (tmp_path / "rows").read_bytes()) == (2, rows)


SINGLE = [(kind, form) for kind in KINDS if PUBLISHED[kind].records for form in ("one record", *OF_RECORDS)]


@pytest.mark.parametrize(("kind", "form"), SINGLE, ids=[" | ".join(c) for c in SINGLE])
def test_records_are_read_in_every_form(tmp_path: Path, kind: str, form: str) -> None:
    records = [dump(record) for record in PUBLISHED[kind].records]
    if form == "one record":
        report = read(tmp_path, kind, put(tmp_path, "one.json", dump(PUBLISHED[kind].records[0], 2)))
        assert (report.rows, report.set_aside) == (1, [])
        return
    report = read(tmp_path, kind, put(tmp_path, *OF_RECORDS[form](records)))
    assert (report.rows, report.set_aside) == (len(records), [])


# -- what is refused ------------------------------------------------------------------------------------------------

FOREIGN: dict[str, tuple[bytes, str]] = {
    "web page": (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "a web page"),
    "XML": (b'<?xml version="1.0"?><rss/>', "XML"),
    "YAML": (b"id: PYSEC-2026-1\nmodified: 2026-01-01\n", "YAML"),
    "YAML with its mark": (b"# names\n---\n- conda_name: a\n", "YAML"),
    "UTF-16": ('{"id": "PYSEC-2026-1"}'.encode("utf-16"), "UTF-16"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(50), "7z archive"),
    "RAR": (b"Rar!\x1a\x07\x01\x00" + bytes(50), "RAR archive"),
    "SQLite": (b"SQLite format 3\0" + bytes(50), "SQLite database"),
    "PDF": (b"%PDF-1.7\n", "PDF"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
    "NVD 1.1": (dump({"CVE_data_type": "CVE", "CVE_Items": []}), "NVD 1.1"),
    "repodata": (dump({"info": {"subdir": "noarch"}, "packages": {}}), "repodata"),
    "OCI": (dump({"schemaVersion": 2, "mediaType": "x", "layers": []}), "OCI image"),
    "GitHub's API": (dump([{"ghsa_id": "GHSA-a", "cve_id": None, "vulnerabilities": []}]), "OSV format"),
    "a scanner's report": (dump({"SchemaVersion": 2, "ArtifactName": "x", "Results": []}), "a report of trivy"),
    "an error": (dump({"message": "Not Found", "documentation_url": "x"}), "GitHub's API"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", FOREIGN)
def test_what_people_download_by_mistake_is_named(tmp_path: Path, kind: str, content: str) -> None:
    data, words = FOREIGN[content]
    path = put(tmp_path, "feed", data)
    for refuse in (
        lambda: check_kind(kind, path),
        lambda: spool_feed(kind, str(path), str(tmp_path / "rows"), str(path), NOW),
    ):
        with pytest.raises(InvalidInputError) as refused:
            refuse()
        assert words in refused.value.message
        assert "feed" in refused.value.message


@pytest.mark.parametrize(
    ("kind", "name", "data", "told"),
    [
        ("osv", "a.json", dump(entry(1, id="../x")), r"a\.json .*though it is of kind osv: it .*'\.\./x' is not an advisory id"),
        ("osv", "a.jsonl", b"{\n" + b'{"id": \n' * 3, r"a\.jsonl is not"),
        ("osv", "all.json", dump([entry(1, id=""), entry(2, id="a b")]), r"of kind osv: entry 1: has no id"),
        ("kev", "kev.json", dump({"catalogVersion": 1, "vulnerabilities": [{"cveID": "x"}]}), r"kind kev: x \(entry 1\): 'X' is not a CVE"),
        ("kev", "kev.csv", table([list(KEV[0]), ["CVE-1"]], ","), r"kind kev: line 2: 'CVE-1' is not a CVE id"),
        ("epss", "e.csv", b"cve,epss,percentile\nCVE-2024-0001,high,0\n", r"kind epss: line 2: 'high' is not a number"),
        ("purl-cpe", "p.tsv", b"purl\tcpe\npkg:pypi/a\tx\n", r"line 2: pkg:pypi/a: names no application"),
        ("nodejs", "index.json", dump({"7": {"cve": [], "vulnerable": "soon", "patched": "1.x"}}), r"nodejs: 7: .*'soon'"),
        ("name-map", "m.json", dump({"schema_version": 1, "packages": {"a": {"cpes": ["x"]}}}), r"name-map: a: 'x' is not a"),
        ("knowledge", "k.tsv", KNOWLEDGE.split(b"\n")[0] + b"\npy-foo\n", r"kind knowledge: line 2: has 1 columns"),
    ],
)  # fmt: skip
def test_a_bad_file_of_the_right_kind_says_what_stands_where(
    tmp_path: Path, kind: str, name: str, data: bytes, told: str
) -> None:
    path = put(tmp_path, name, data)
    with pytest.raises(InvalidInputError, match=told):
        spool_feed(kind, str(path), str(tmp_path / "rows"), str(path), NOW)


def test_a_file_of_the_right_kind_with_a_bad_beginning_is_read(tmp_path: Path) -> None:
    path = put(
        tmp_path, "all.jsonl", b"\n".join(dump(entry(n, id=f"bad id {n}")) for n in range(30)) + b"\n" + dump(OSV[0])
    )
    report = spool_feed("osv", str(path), str(tmp_path / "rows"), str(path), NOW)
    assert (report.rows, report.set_aside_count) == (1, 30)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_document_of_another_kind_is_named_too(tmp_path: Path, kind: str) -> None:
    long = [entry(n, details="x" * 1_000) for n in range(400)]
    path = put(tmp_path, "feed.json", dump({"vulns": long}) if kind == "name-map" else dump(long))
    assert len(path.read_bytes()) > unpack.CHUNK_BYTES
    if kind == "osv":
        return check_kind(kind, path)
    if kind == "name-map":  # an object whose first key says nothing is refused when it is read
        return None
    with pytest.raises(InvalidInputError, match="a feed of kind osv"):
        check_kind(kind, path)
    return None


def test_a_repository_is_accepted_although_its_first_files_are_of_another_kind(tmp_path: Path) -> None:
    files = {"a/settings.json": dump(NAMES), "b/page.json": dump({"catalogVersion": 1, "vulnerabilities": []})}
    for name, data in {
        "main.zip": zipped({**files, "c/entry.json": dump(OSV[0])}),
        "main.tgz": tarred({**files, "c/entry.json": dump(OSV[0])}, "gz"),
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        report = read(tmp_path, "osv", path)
        assert report.rows == 1
        assert len(report.set_aside) == 2
        assert all("settings.json" in aside.entry or "page.json" in aside.entry for aside in report.set_aside)
        assert all("it seems to be" in aside.reason for aside in report.set_aside)


def test_a_repository_without_an_entry_of_the_kind_is_refused_with_its_first_file(tmp_path: Path) -> None:
    path = put(tmp_path, "main.zip", zipped({f"a/{n}.json": dump(KEV[0]) for n in range(3)}))
    with pytest.raises(InvalidInputError, match=r"a/0\.json is not of kind osv.*kind kev"):
        check_kind("osv", path)
    with pytest.raises(InvalidInputError, match=r"nothing of main\.zip.*the first of 3 files.*kind kev"):
        spool_feed("osv", str(path), str(tmp_path / "rows"), str(path), NOW)


def test_an_archive_without_data_files_says_which_names_are_read(tmp_path: Path) -> None:
    path = put(tmp_path, "main.tgz", tarred({"vulns/a/PYSEC-2026-1.yaml": b"id: PYSEC-2026-1\n"}, "gz"))
    with pytest.raises(InvalidInputError, match=r"main\.tgz holds no data file") as refused:
        spool_feed("osv", str(path), str(tmp_path / "rows"), str(path), NOW)
    assert ".json" in refused.value.hint


def test_links_and_hidden_files_of_a_folder_are_passed_over(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_bytes(dump(OSV[1]))
    folder = put(tmp_path, "folder", {"a/b/one.json": dump(OSV[0]), ".git/x.json": b"{", "a/.hidden/x.json": b"{"})
    (folder / "link.json").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    assert [m.name for m in feed_files.members(folder)] == ["a/b/one.json"]


def test_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(dump(OSV[0]),))
    writer.start()
    assert spool_feed("osv", str(pipe), str(tmp_path / "rows"), str(pipe), NOW).rows == 1
    writer.join()


def test_a_device_is_no_feed() -> None:
    with pytest.raises(InvalidInputError, match="neither a file nor a folder"):
        next(feed_files.members(Path("/dev/null")))


# -- hostile tar archives -------------------------------------------------------------------------------------------


def header(size: int | bytes = 0, kind: bytes = b"0", name: bytes = b"a.json") -> bytearray:
    block = bytearray(tar.BLOCK_BYTES)
    block[: len(name)] = name
    block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    block[156:157] = kind
    return signed(block)


def signed(block: bytearray) -> bytearray:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return block


def extended(*records: bytes) -> bytes:
    text = b"".join(records)
    return bytes(header(len(text), b"x")) + text + bytes(-len(text) % tar.BLOCK_BYTES)


END = bytes(2 * tar.BLOCK_BYTES)
ONE = bytes(header(len(dump(OSV[0])))) + dump(OSV[0]) + bytes(-len(dump(OSV[0])) % tar.BLOCK_BYTES)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "ends in a file": (ONE[:600], "truncated"),
    "ends between files": (ONE, "truncated"),
    "ends in a header": (ONE + bytes(header())[:100], "truncated"),
    "broken header": (ONE + b"x" * tar.BLOCK_BYTES + END, "header of the archive is damaged"),
    "a size that is no number": (ONE + bytes(header(b"99999999999\0")) + END, "header of the archive is damaged"),
    "endless size": (bytes(header(b"\xff" * 12)) + dump(OSV[0]), "truncated"),
    "long name of a gigabyte": (bytes(header(2**30, b"L")) + b"x" * 5_000, "longer than any real one"),
    "extended headers of a gigabyte": (bytes(header(2**30, b"x")) + b"x" * 5_000, "longer than any real one"),
    "broken extended header": (extended(b"99 path=x\n") + ONE + END, "extended header"),
    "extended header of length 0": (extended(b"0 path=x\n") + ONE + END, "extended header"),
    "extended header that never ends": (extended(b"9" * 600 + b" path=x\n") + ONE + END, "extended header"),
    "size as a text": (extended(b"13 size=1e99\n") + ONE + END, "extended header"),
    "size below zero": (extended(b"11 size=-5\n") + ONE + END, "extended header"),
    "with holes": (bytes(header(0, b"S")) + END, "with holes"),
    "with holes, new": (extended(b"22 GNU.sparse.major=1\n") + ONE + END, "with holes"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tar_is_refused(tmp_path: Path, name: str) -> None:
    data, reason = HOSTILE[name]
    for packed, suffix in ((data, ""), (gzip.compress(data), ".gz")):
        path = tmp_path / f"main.tar{suffix}"
        path.write_bytes(packed)
        with pytest.raises(unpack.UnreadableFileError, match=reason):
            spool_feed("osv", str(path), str(tmp_path / "rows"), str(path), NOW)


def test_names_in_an_archive_lead_nowhere(tmp_path: Path) -> None:
    path = put(tmp_path, "main.tar", tarred({"../../../x.json": dump(OSV[0]), "./y.json": dump(OSV[1])}))
    assert read(tmp_path, "osv", path).rows == 2
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"main.tar", "rows"}


@pytest.mark.parametrize("pack", ["gz", "xz"])
def test_a_tar_that_unpacks_to_far_more_than_it_has_is_refused(tmp_path: Path, pack: str) -> None:
    data = tarred({"bomb.json": b"[" + b" " * (unpack.RATIO_FREE_BYTES + 2**20) + b"]"}, pack)
    with pytest.raises(InvalidInputError, match=r"refused: .* packed bytes unpack to more"):
        spool_feed("osv", str(put(tmp_path, "main.tar", data)), str(tmp_path / "rows"), "x", NOW)


def test_too_many_files_and_archives_in_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tarred({"a.tar": tarred({"b.tar": tarred({"c.json": dump(OSV[0])})})})
    path = put(tmp_path, "main.tar", deep)
    with pytest.raises(unpack.UnreadableFileError, match="packed more than"):
        spool_feed("osv", str(path), str(tmp_path / "rows"), "x", NOW)
    monkeypatch.setattr(unpack, "MEMBERS_MAX", 3)
    path.write_bytes(tarred({f"{n}.json": dump(OSV[0]) for n in range(4)}))
    with pytest.raises(unpack.UnreadableFileError, match="more than 3 members"):
        spool_feed("osv", str(path), str(tmp_path / "rows"), "x", NOW)


MANY = 3_000_000
HUNGRY = {
    "array of nothings": b"[" + b"{}," * MANY + b"{}]",
    "texts one after another": b"{}" * MANY,
    "an entry of many versions": b'{"id": "PYSEC-2026-1", "affected": [{"versions": ['
    + b'"1",' * 2 * MANY
    + b'"1"]}]}',
    "an object of many keys": b"{" + b",".join(b'"%x":[]' % n for n in range(MANY)) + b"}",
}


@pytest.mark.parametrize("kind", ["osv", "name-map", "nodejs"])
@pytest.mark.parametrize("content", HUNGRY)
def test_what_takes_far_more_memory_than_it_has_bytes_is_refused(
    tmp_path: Path, kind: str, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "feed.json.gz", gzip.compress(HUNGRY[content], 1))
    limits = resource.getrlimit(resource.RLIMIT_AS)
    monkeypatch.setattr(spool, "READ_MEMORY_BYTES", 96 * 2**20)
    with pytest.raises(InvalidInputError) as refused:
        spool_feed(kind, str(path), str(tmp_path / "rows"), str(path), NOW)
    assert "feed.json" in refused.value.message
    assert resource.getrlimit(resource.RLIMIT_AS) == limits


def test_the_kind_of_a_document_is_told_by_its_beginning() -> None:
    whole = dump({"catalogVersion": "1", "title": "a, [b] {c", "vulnerabilities": KEV * 2_000})
    assert identify(whole[: unpack.CHUNK_BYTES]).kind == "kev"
    assert identify(whole[:4_000]).kind == "kev"
