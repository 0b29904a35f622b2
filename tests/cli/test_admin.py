"""`antivenom admin gc` and `antivenom admin verify`: what they print and how they exit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer

from antivenom.cli import admin, waiting
from antivenom.cli.admin import describe_lost, storage_row
from antivenom.cli.output import size_of

ROW = {"key": "pack/a", "problem": "missing", "needed_by": "main/noarch, publication 1", "plan": "fetched again"}


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_550_000, "1.6 MB"), (2e15, "2000.0 TB")]
)
def test_size_is_short(size_bytes: int, text: str):
    assert size_of(size_bytes) == text


@pytest.mark.parametrize(
    ("lost", "repair", "text"),
    [
        ([], False, "nothing is missing or damaged"),
        ([ROW], False, "1 blob missing or damaged; hint: antivenom admin verify --repair"),
        ([ROW], True, "1 blob missing or damaged; mending has begun"),
        (
            [ROW, {**ROW, "plan": ""}],
            True,
            "2 blobs missing or damaged; of which 1 blob cannot be mended: restore from a backup; mending has begun",
        ),
        (
            [{**ROW, "plan": ""}],
            False,
            "1 blob missing or damaged; of which 1 blob cannot be mended: restore from a backup",
        ),
    ],
)
def test_verification_says_what_is_left_to_do(lost: list[dict[str, str]], repair: bool, text: str):
    assert describe_lost({"lost": lost, "lost_count": len(lost)}, repair=repair) == text


def test_kind_that_is_only_freed_has_a_row():
    report = {"stored": {}, "freed": {"scratch": {"count": 2, "size_bytes": 5}}}
    assert storage_row("scratch", report) == {
        "kind": "scratch", "stored": 0, "size": "0 B", "freed": 2, "freed_size": "5 B",
    }  # fmt: skip


class StoreWithLosses:
    """A server whose list of lost blobs gets shorter from look to look, then stays as it is."""

    def __init__(self, lost: list[dict[str, str]], *looks: set[str]) -> None:
        self.report = {"lost": lost, "lost_count": len(lost), "notes": [], "checked": {"count": 9, "size_bytes": 90}}
        self.looks = list(looks)

    def post(self, path: str, json: object) -> dict[str, object]:
        return {"id": 1, "state": "done", "report": self.report}

    def list_items(self, path: str) -> Iterator[dict[str, str]]:
        assert path == "/api/v1/storage/lost"
        yield from ({"key": key} for key in (self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]))


@pytest.mark.parametrize(
    ("plans", "looks", "code", "told"),
    [
        ({"a": "x", "b": "x"}, [{"a", "b"}, {"b"}, set()], 0, "2 blobs missing or damaged; mended all that can be"),
        ({"a": "x", "b": "x"}, [{"a", "b"}, {"b", "later"}], 3, "2 blobs missing or damaged; mended all but 1 blob"),
        ({"a": "x", "b": ""}, [{"b"}], 3, "of which 1 blob cannot be mended: restore from a backup; mended all that"),
        ({"b": ""}, [{"b"}], 3, "of which 1 blob cannot be mended"),
    ],
)
def test_repair_waits_until_all_is_mended_that_can_be(
    plans: dict[str, str],
    looks: list[set[str]],
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    server = StoreWithLosses([{**ROW, "key": key, "plan": plan} for key, plan in plans.items()], *looks)
    seconds = iter(range(100_000))
    monkeypatch.setattr(admin, "client", lambda: server)
    monkeypatch.setattr(waiting, "client", lambda: server)
    monkeypatch.setattr(waiting.time, "sleep", lambda pause_s: None)
    monkeypatch.setattr(waiting.time, "monotonic", lambda: float(next(seconds)))
    try:
        admin.verify(repair=True, wait=True)
        ended = 0
    except typer.Exit as error:
        ended = error.exit_code
    assert ended == code
    assert told in capsys.readouterr().err
