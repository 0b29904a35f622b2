"""Deltas between advisory files: what they do, and hostile ones."""

from __future__ import annotations

import gzip
import itertools
import random
import sqlite3
from pathlib import Path

import pytest

from antivenom_client import advisory_file, delta
from antivenom_client.content import RowError, content_digest, encode_row, open_rows, read_row
from antivenom_client.delta import BEGINNING, DeltaError, apply_deltas, write_delta
from tests.client.publisher import advisory_rows, write_file


def text(value: str) -> bytearray:
    return bytearray(value.encode())


def make_delta(folder: Path, old: Path, new: Path) -> tuple[Path, str, str]:
    before, after = content_digest(old), content_digest(new)
    path = folder / f"{before[:8]}-{after[:8]}.delta"
    write_delta(old, new, path, before=before, after=after)
    return path, before, after


def hostile(folder: Path, *rows: bytes, before: str = "b" * 64, after: str = "a" * 64) -> list[tuple[Path, str, str]]:
    path = folder / "hostile.delta"
    path.write_bytes(gzip.compress(BEGINNING + encode_row([text(before), text(after)]) + b"".join(rows)))
    return [(path, before, after)]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_file(tmp_path / "old.db", ["flask", "numpy", "django"])


@pytest.mark.parametrize("names", [["flask", "numpy", "django"], ["flask"], [], ["a", "flask", "numpy", "zope"]])
def test_file_with_the_delta_says_what_the_new_file_says(tmp_path: Path, old: Path, names: list[str]) -> None:
    new = write_file(tmp_path / "new.db", names, made_at="2026-11-29T00:00:00Z")
    apply_deltas(old, [make_delta(tmp_path, old, new)])
    assert content_digest(old) == content_digest(new)
    assert advisory_file.AdvisoryFile.open(old).meta() == {"made_at": "2026-11-29T00:00:00Z"}


def test_random_changes_one_after_another_lead_to_the_newest_file(tmp_path: Path) -> None:
    rng = random.Random(7)
    files = [write_file(tmp_path / f"{number}.db", {f"p{rng.randrange(60)}" for _ in range(40)}) for number in range(6)]
    deltas = [make_delta(tmp_path, old, new) for old, new in itertools.pairwise(files)]
    wanted = content_digest(files[-1])
    apply_deltas(files[0], deltas)
    assert content_digest(files[0]) == wanted


def test_every_kind_of_value_survives(tmp_path: Path) -> None:
    paths = [tmp_path / "one.db", tmp_path / "two.db"]
    values = [(1, None), (2, 0.1), (3, -(2**63)), (4, "naïve\0\u2028"), (5, b"\0\xff"), (6, ""), (7, b""), (8, -0.0)]
    for path, rows in zip(paths, (values[:2], [(1, 2.5), *values[1:]]), strict=True):
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE things (number INTEGER PRIMARY KEY, value BLOB)")
            connection.executemany("INSERT INTO things VALUES (?, ?)", rows)
        connection.close()
    apply_deltas(paths[0], [make_delta(tmp_path, *paths)])
    assert content_digest(paths[0]) == content_digest(paths[1])


def test_content_is_the_same_whatever_the_order_of_writing(tmp_path: Path, old: Path) -> None:
    rows = advisory_rows(["flask", "numpy", "django"])
    rows["packages"].reverse()
    other = tmp_path / "other.db"
    advisory_file.write(other, rows)
    assert content_digest(other) == content_digest(old)


def test_content_differs_by_anything(tmp_path: Path, old: Path) -> None:
    def changed(statement: str) -> str:
        path = tmp_path / "changed.db"
        path.write_bytes(old.read_bytes())
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()
        return content_digest(path)

    statements = [
        "UPDATE meta SET value = 'x'",
        "DELETE FROM packages WHERE key = 'pypi/flask'",
        "INSERT INTO products VALUES ('pypi/a', '')",
        "UPDATE packages SET packages = CAST(packages AS TEXT)",
        "CREATE TABLE more (key TEXT PRIMARY KEY)",
        "CREATE INDEX more ON packages (packages)",
        "PRAGMA user_version = 77",
        "PRAGMA application_id = 77",
    ]
    assert len({content_digest(old), *map(changed, statements)}) == 1 + len(statements)


def test_table_without_key_has_no_content_digest(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("CREATE TABLE things (value)")
    connection.close()
    with pytest.raises(RowError, match="primary key"):
        content_digest(tmp_path / "x.db")


def test_equal_deltas_have_equal_bytes(tmp_path: Path, old: Path) -> None:
    new = write_file(tmp_path / "new.db", ["flask", "zope"])
    first = make_delta(tmp_path, old, new)[0].read_bytes()
    assert make_delta(tmp_path, old, new)[0].read_bytes() == first


def test_files_with_other_tables_have_no_delta(tmp_path: Path, old: Path) -> None:
    new = write_file(tmp_path / "new.db", ["flask"])
    with sqlite3.connect(new) as connection:
        connection.execute("CREATE TABLE more (key TEXT PRIMARY KEY)")
    connection.close()
    with pytest.raises(DeltaError, match="other tables"):
        make_delta(tmp_path, old, new)


def test_delta_of_other_files_is_refused(tmp_path: Path, old: Path) -> None:
    path, before, after = make_delta(tmp_path, old, write_file(tmp_path / "new.db", ["flask"]))
    for digests in (("0" * 64, after), (before, "0" * 64)):
        with pytest.raises(DeltaError, match="of other files"):
            apply_deltas(old, [(path, *digests)])


def test_delta_cut_anywhere_is_refused(tmp_path: Path, old: Path) -> None:
    path, before, after = make_delta(tmp_path, old, write_file(tmp_path / "new.db", ["flask", "zope", "six"]))
    packed, plain = path.read_bytes(), gzip.decompress(path.read_bytes())
    cuts = [packed[:length] for length in range(0, len(packed), 17)]
    cuts += [gzip.compress(plain[:length], 1) for length in range(0, len(plain), 37)]
    for cut in cuts:
        path.write_bytes(cut)
        copy = tmp_path / "copy.db"
        copy.write_bytes(old.read_bytes())
        with pytest.raises(DeltaError):
            apply_deltas(copy, [(path, before, after)])


@pytest.mark.parametrize(
    "rows",
    [
        [[text("t"), text("nowhere")]],
        [[text("t"), text("sqlite_schema")]],
        [[text("t"), text("packages; DROP TABLE meta")]],
        [[text("t")]],
        [[text("t"), 7]],
        [[text("-"), text("pypi/flask")]],  # of no table
        [[text("t"), text("packages")], [text("-")]],
        [[text("t"), text("packages")], [text("-"), text("a"), text("b")]],
        [[text("t"), text("packages")], [text("+"), text("a")]],
        [[text("t"), text("packages")], [text("+"), text("a"), b"", None]],
        [[text("t"), text("packages")], [text("+"), None, None]],  # NOT NULL
        [[text("t"), text("packages")], [text("+"), bytearray(b"\xff"), b""]],
        [[text("x"), text("packages")]],
        [[b"t", text("packages")]],
        [[None]],
        [[]],
        [[text("."), text("more")]],
    ],
    ids=repr,
)
def test_hostile_rows_are_refused(tmp_path: Path, old: Path, rows: list[list[object]]) -> None:
    with pytest.raises(DeltaError):
        apply_deltas(old, hostile(tmp_path, *map(encode_row, rows), encode_row([text(".")])))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"s",
        b"s5:ab",
        b"s-1:",
        b"s99999999999:",
        b"i:",
        b"i1",
        b"i1-1:",
        b"i9223372036854775808:\n",
        b"f123",
        b"i" * 99,
    ],
)
def test_bytes_that_are_no_rows_are_refused(tmp_path: Path, old: Path, data: bytes) -> None:
    with pytest.raises(DeltaError):
        apply_deltas(old, hostile(tmp_path, data))


def test_what_follows_the_end_is_refused(tmp_path: Path, old: Path) -> None:
    with pytest.raises(DeltaError):
        apply_deltas(old, hostile(tmp_path, encode_row([text(".")]), b"\n"))


def test_bomb_is_refused(tmp_path: Path, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "UNPACKED_MAX_BYTES", 1 << 20)
    row = encode_row([text("+"), text("key"), bytes(4096)])
    with pytest.raises(DeltaError, match="larger"):
        apply_deltas(old, hostile(tmp_path, encode_row([text("t"), text("packages")]), row * 2000))


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [[text("a"), b"\0\n", None, -5, 1.5], [], [0]]
    path = tmp_path / "rows"
    path.write_bytes(b"".join(map(encode_row, rows)))  # type: ignore[arg-type]
    with path.open("rb") as file:
        assert [read_row(file) for _ in range(4)] == [*rows, None]


def test_nothing_of_the_file_is_executed(tmp_path: Path) -> None:
    """A view or trigger in a file that pretends to be ours does not run when its rows are counted."""
    path = write_file(tmp_path / "x.db", ["flask"])
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE VIEW evil AS SELECT load_extension('x')")
    connection.close()
    with open_rows(path) as opened:
        assert opened.execute("PRAGMA trusted_schema").fetchone() == (0,)
    assert content_digest(path)
