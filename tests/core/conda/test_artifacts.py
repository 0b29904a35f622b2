"""Reading info/ out of artifacts: real ones, and every kind of hostile one."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Iterable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.core.conda import artifacts
from antivenom.core.conda.artifact_index import ArtifactIndex
from antivenom.core.conda.artifacts import read_artifact_info
from antivenom.core.errors import InvalidInputError

SECURITY = json.dumps({"vulns_cleared": [{"id": "CVE-2024-0001"}]}).encode()
INDEX = b'{"name": "a", "version": "1"}'
Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), link
    return info, data


def make_tar(members: Iterable[Member], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_conda(members: Iterable[Member], **extra: bytes) -> bytes:
    return wrap_conda(zstandard.compress(make_tar(members)), **extra)


def wrap_conda(info: bytes, **extra: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("metadata.json", b'{"conda_pkg_format_version": 2}')
        archive.writestr("info-a-1-0.tar.zst", info)
        for name, data in extra.items():
            archive.writestr(name, data)
    return out.getvalue()


def read(data: bytes, fn: str = "a-1-0.conda") -> artifacts.ArtifactInfo:
    return read_artifact_info(io.BytesIO(data), fn)


GOOD = [
    member("info/index.json", INDEX),
    member("info/security.json", SECURITY),
    member("info/run_exports.json", b"{}"),
]


def test_documents_of_a_conda_artifact_are_found() -> None:
    info = read(make_conda(GOOD))
    assert info.security == SECURITY
    assert info.index == ArtifactIndex("a", "1")


def test_documents_of_a_tar_bz2_artifact_are_found_before_and_after_its_files() -> None:
    payload = member("lib/libx.so", b"\x7fELF" * 100)
    for members in ([*GOOD, payload], [payload, *GOOD]):
        assert read(make_tar(members, "w:bz2"), "a-1-0.tar.bz2").security == SECURITY


def test_a_leading_dot_slash_is_the_same_name() -> None:
    assert read(make_conda([member("./info/security.json", SECURITY)])).security == SECURITY


def test_an_artifact_without_the_documents_says_nothing() -> None:
    assert read(make_conda([member("info/about.json", b"{}")])) == artifacts.ArtifactInfo()


@pytest.mark.parametrize(
    "name", ["../info/security.json", "/info/security.json", "info/../info/security.json", "info//security.json"]
)
def test_other_spellings_of_the_path_are_not_the_document(name: str) -> None:
    assert read(make_conda([member(name, SECURITY)])).security is None


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_a_link_or_device_in_place_of_the_document_is_ignored(kind: bytes) -> None:
    hostile = member("info/security.json", b"", kind, "/etc/passwd")
    assert read(make_conda([hostile])).security is None


def test_the_first_of_two_documents_counts() -> None:
    twice = [member("info/security.json", SECURITY), member("info/security.json", b"{}")]
    assert read(make_conda(twice)).security == SECURITY


def test_a_document_that_is_too_large_is_refused() -> None:
    large = member("info/security.json", b" " * (artifacts.DOCUMENT_MAX_BYTES + 1))
    with pytest.raises(InvalidInputError, match="larger than"):
        read(make_conda([large]))


def test_a_zstd_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "INFO_MAX_BYTES", 1 << 20)
    bomb = make_conda([member("info/a", bytes(64 << 20)), *GOOD])
    assert len(bomb) < 100_000
    with pytest.raises(InvalidInputError, match="larger inside"):
        read(bomb)


def test_a_bzip2_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "TAR_MAX_BYTES", 1 << 20)
    with pytest.raises(InvalidInputError, match="larger inside"):
        read(make_tar([member("lib/zeros", bytes(32 << 20)), *GOOD], "w:bz2"), "a-1-0.tar.bz2")


def test_a_zip_directory_with_too_many_members_is_refused_unread() -> None:
    with pytest.raises(InvalidInputError, match="zip directory"):
        read(make_conda(GOOD, **{f"f{i}": b"" for i in range(100)}))


def test_a_zip_directory_that_claims_gigabytes_is_refused_unread() -> None:
    data = bytearray(make_conda(GOOD))
    struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 12, 0xF0000000)
    with pytest.raises(InvalidInputError):
        read(bytes(data))


def test_an_extended_header_that_claims_gigabytes_is_refused() -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 3 << 30
    hostile = header.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 16)
    with pytest.raises(InvalidInputError, match="extended header"):
        read(wrap_conda(zstandard.compress(hostile)))


def test_a_window_larger_than_conda_itself_reads_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(InvalidInputError):
        read(wrap_conda(stream.compress(make_tar(GOOD)) + stream.flush()))


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x05\x06", b"not an archive", b"\x00" * 4096, b"PK\x05\x06" + b"\xff" * 18, b"BZh9" + b"\x00" * 50],
)
@pytest.mark.parametrize("fn", ["a-1-0.conda", "a-1-0.tar.bz2"])
def test_what_is_no_archive_is_a_clear_error(data: bytes, fn: str) -> None:
    with pytest.raises(InvalidInputError, match="a-1-0"):
        read(data, fn)


BASES = (make_conda(GOOD), make_tar(GOOD, "w:bz2"))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from((0, 1)), st.data())
def test_a_damaged_artifact_is_read_or_refused_but_never_crashes(which: int, data: st.DataObject) -> None:
    damaged = bytearray(BASES[which])
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    with contextlib.suppress(InvalidInputError):
        read(bytes(damaged), ("a-1-0.conda", "a-1-0.tar.bz2")[which])
