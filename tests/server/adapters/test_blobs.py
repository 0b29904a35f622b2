"""One contract for every blob store: a folder, and a real S3 service."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.errors import DamagedBlobError, InvalidInputError, NotFoundError, StorageError
from antivenom.core.source.packs import content_key
from antivenom.server.adapters.blobs import BlobStore, FolderStore
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.adapters.scratch import lock_in_use
from antivenom.server.settings import load_settings
from tests.s3_service import ACCESS, free_port


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    if request.param == "folder":
        return BlobStore.open(str(tmp_path / "blobs with a space"))
    endpoint = request.getfixturevalue("s3_endpoint")
    for name, value in ACCESS.items():
        monkeypatch.setenv(name, value)
    return BlobStore.open(f"s3://antivenom/{tmp_path.name.lower()}?endpoint={endpoint}")


# -- the contract ------------------------------------------------------------------------------------------------------


async def test_what_was_put_is_got(store: BlobStore):
    await store.put("pack/ab12", b"hello")
    assert await store.get("pack/ab12") == b"hello"
    assert await store.size("pack/ab12") == 5


async def test_empty_blob_is_a_blob(store: BlobStore):
    await store.put("pack/empty", b"")
    assert await store.get("pack/empty") == b""
    assert await store.size("pack/empty") == 0


async def test_second_put_of_the_same_bytes_writes_nothing(store: BlobStore):
    key = content_key("pack", b"data")
    await store.put(key, b"data")
    before = list(store.list_sync("pack"))
    await store.put(key, b"data")
    assert list(store.list_sync("pack")) == before


@pytest.mark.parametrize("damage", [b"hellO", b"hell", b"", b"hello!"])
@pytest.mark.parametrize("as_file", [False, True])
async def test_put_over_a_damaged_blob_mends_it(store: BlobStore, tmp_path: Path, damage: bytes, as_file: bool):
    key = content_key("pack", b"hello")
    await put_anyhow(store, key, damage, tmp_path)
    if as_file:
        (tmp_path / "file").write_bytes(b"hello")
        await store.put_file(key, tmp_path / "file")
    else:
        await store.put(key, b"hello")
    assert await store.get(key) == b"hello"


async def put_anyhow(store: BlobStore, key: str, data: bytes, folder: Path) -> None:
    """Leave these bytes under a key, as a failing disk or a careless hand would."""
    if (path := store.local_path(key)) is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return
    (folder / "damage").write_bytes(data)
    await store.put_file(key, folder / "damage")


KINDS = {
    "index": lambda data: content_key("index", data),
    "pack": lambda data: content_key("pack", data),
    "knowledge": lambda data: f"knowledge/{hashlib.sha256(data).hexdigest()}",
    "upstream": lambda data: f"upstream/{hashlib.sha256(data).hexdigest()[:2]}/{hashlib.sha256(data).hexdigest()}",
    "artifact": lambda data: f"artifact/{hashlib.sha256(data).hexdigest()[:2]}/{hashlib.sha256(data).hexdigest()}",
    "artifact/md5": lambda data: f"artifact/md5/{hashlib.md5(data).hexdigest()}",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [b"hellO", b"hell", b"", b"hello!"])
async def test_damaged_blob_is_never_read_as_a_good_one(store: BlobStore, tmp_path: Path, kind: str, damage: bytes):
    key = KINDS[kind](b"hello")
    await store.put(key, b"hello")
    assert (await store.get(key), store.verify_sync(key), await store.check_opened(key)) == (b"hello", 5, 5)
    await put_anyhow(store, key, damage, tmp_path)
    with pytest.raises(DamagedBlobError):
        await store.get(key)
    with pytest.raises(DamagedBlobError):
        store.verify_sync(key)


@pytest.mark.parametrize("damage", [b"hellO", b"hell", b"", b"hello!"])
async def test_file_that_changed_is_read_again_before_it_is_opened(tmp_path: Path, damage: bytes):
    store, key = BlobStore.open(str(tmp_path / "blobs")), content_key("pack", b"hello")
    await store.put(key, b"hello")
    assert await store.get_range(key, 1, 2) == b"el"
    await put_anyhow(store, key, damage, tmp_path)
    for call in (store.get_range(key, 0, 1), store.check_opened(key)):
        with pytest.raises(DamagedBlobError):
            await call
    assert await store.get_range(key, 0, 1, checked=False) == damage[:1]


@pytest.mark.parametrize("length", [6, 100])
def test_range_of_a_pack_that_is_cut_short_is_damage(store: BlobStore, length: int):
    store.put_sync("pack/ab12", b"hello")
    with pytest.raises(DamagedBlobError):
        StoreBlobs(store).get_range("pack/ab12", 0, length)


def test_what_a_dead_put_left_is_swept(tmp_path: Path):
    store = BlobStore.open(str(tmp_path))
    store.put_sync("pack/ab12", b"hello")
    (tmp_path / "pack" / ".partial-dead").write_bytes(b"123")
    with (tmp_path / "pack" / ".partial-alive").open("wb") as alive:
        lock_in_use(alive.fileno())
        assert store.sweep_sync(young_s=-1, dry_run=True) == store.sweep_sync(young_s=-1) == (1, 3)
    assert sorted(path.name for path in (tmp_path / "pack").iterdir()) == [".partial-alive", "ab12"]
    assert store.sweep_sync() == (0, 0)  # too young to tell


async def test_ranges_end_with_the_blob(store: BlobStore):
    await store.put("pack/ab12", bytes(range(100)))
    assert await store.get_range("pack/ab12", 10, 5) == bytes(range(10, 15))
    assert await store.get_range("pack/ab12", 90, 50) == bytes(range(90, 100))
    assert await store.get_range("pack/ab12", 100, 10) == b""
    assert await store.get_range("pack/ab12", 0, 0) == b""


async def test_what_is_not_there_is_said_to_be_missing(store: BlobStore):
    assert await store.size("pack/none") is None
    with pytest.raises(NotFoundError):
        await store.get("pack/none")
    with pytest.raises(NotFoundError):
        await store.get_range("pack/none", 0, 10)
    await store.delete("pack/none")


async def test_deleted_blob_is_gone_and_may_be_put_again(store: BlobStore):
    await store.put("pack/ab12", b"one")
    await store.delete("pack/ab12")
    assert await store.size("pack/ab12") is None
    await store.put("pack/ab12", b"two")
    assert await store.get("pack/ab12") == b"two"


@pytest.mark.parametrize("move", [False, True])
async def test_file_is_stored_and_moved_away_if_asked(store: BlobStore, tmp_path: Path, move: bool):
    file = tmp_path / "artifact"
    file.write_bytes(os.urandom(3_000_000))
    expected = file.read_bytes()
    await store.put_file("artifact/ab/cd.conda", file, move=move)
    assert await store.get("artifact/ab/cd.conda") == expected
    assert file.exists() is not move


async def test_stored_file_does_not_change_with_its_source(store: BlobStore, tmp_path: Path):
    file = tmp_path / "artifact"
    file.write_bytes(b"as it was")
    await store.put_file("artifact/ab/cd", file)
    file.write_bytes(b"otherwise")
    assert await store.get("artifact/ab/cd") == b"as it was"


async def test_url_opens_the_same_store(store: BlobStore):
    await store.put("index/x", b"same")
    assert BlobStore.open(store.url).get_sync("index/x") == b"same"


async def test_listing_names_every_blob_below_a_prefix(store: BlobStore):
    for key in ("index/one", "index/two", "pack/three"):
        await store.put(key, b"data")
    listed = {(key, size) for key, size, _ in store.list_sync("index")}
    assert listed == {("index/one", 4), ("index/two", 4)}
    assert all(abs(at - time.time()) < 3600 for _, _, at in store.list_sync("index"))


HOSTILE_KEYS = [
    "../x",
    "/etc/passwd",
    "a/../b",
    "a//b",
    "",
    "a/",
    ".hidden",
    "a/.partial",
    "A b",
    "a\x00b",
    "a" * 400,
    "é",
]


@pytest.mark.parametrize("key", HOSTILE_KEYS)
async def test_key_that_could_lead_elsewhere_is_refused(store: BlobStore, key: str):
    for call in (store.put(key, b""), store.get(key), store.size(key), store.delete(key), store.get_range(key, 0, 1)):
        with pytest.raises(InvalidInputError):
            await call
    with pytest.raises(InvalidInputError):
        store.local_path(key)


# -- a folder's own ----------------------------------------------------------------------------------------------------


@given(st.text(max_size=30))
def test_every_accepted_key_stays_in_the_folder(key: str):
    try:
        path = FolderStore(Path("/store")).local_path(key)
    except InvalidInputError:
        return
    assert path is not None
    assert Path(os.path.normpath(path)) == path
    assert path.is_relative_to("/store")
    assert path != Path("/store")


def _fill(folder: str, bytes_allowed: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_allowed, bytes_allowed))
    try:
        BlobStore.open(folder).put_sync("pack/big", b"x" * (bytes_allowed + 1))
    except StorageError as error:
        print(error, "|", error.hint)
        sys.exit(7)


def test_write_that_the_disk_refuses_leaves_nothing(tmp_path: Path):
    code = f"from tests.server.adapters.test_blobs import _fill; _fill({str(tmp_path)!r}, 100_000)"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 7, done.stderr
    assert "free some space" in done.stdout
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tiny"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"a full disk needs the right to mount: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_full_disk_is_said_so_and_what_was_stored_stays(tiny_disk: Path, tmp_path: Path):
    store = BlobStore.open(str(tiny_disk / "blobs"))
    await store.put("pack/small", b"kept")
    big = tmp_path / "big"
    big.write_bytes(b"x" * 2_000_000)
    for attempt in (store.put("pack/big", b"x" * 2_000_000), store.put_file("pack/big", big, move=True)):
        with pytest.raises(StorageError, match="No space left") as raised:
            await attempt
        assert "free some space" in raised.value.hint
    assert big.exists(), "a file that could not be stored is not lost"
    assert await store.get("pack/small") == b"kept"
    assert await store.size("pack/big") is None
    assert sorted(p.name for p in tiny_disk.rglob("*") if p.is_file()) == ["small"]


def test_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="pack/x"):
        BlobStore.open(str(tmp_path / "file")).put_sync("pack/x", b"data")


def test_s3_without_a_server_is_an_error_without_a_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    settings = load_settings(
        {
            "ANTIVENOM_BLOB_URL": "s3://bucket/prefix",
            "ANTIVENOM_S3_ENDPOINT": f"http://127.0.0.1:{free_port()}",
            "ANTIVENOM_S3_ACCESS_KEY_ID": "id",
            "ANTIVENOM_S3_SECRET_ACCESS_KEY": "very-secret",
        }
    )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    store = BlobStore.from_settings(settings)
    assert "very-secret" not in store.url
    with pytest.raises(StorageError) as raised:
        store.get_sync("pack/x")
    assert "very-secret" not in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)
