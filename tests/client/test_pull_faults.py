"""`feed pull` when something goes wrong: the old file stays good, and the words say what happened."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from antivenom_client import fetching
from antivenom_client import pull as pulling
from antivenom_client.fetching import Limits
from antivenom_client.manifest import fingerprint, signed_bytes, to_document, to_text
from antivenom_client.pull import PullError, Wish, locked, pull
from tests.client.publisher import FileServer, always, break_off, send
from tests.client.test_pull import MANIFEST, NAMES, QUICK, hidden_files, names_in, path, refuse, said, server, wish

__all__ = ["path", "said", "server", "wish"]


def signed(server: FileServer, **changes: Any) -> None:
    """Serve a manifest with any fields, rightly signed."""
    assert server.manifest is not None
    text = json.dumps({**json.loads(to_text(server.manifest)), **changes})
    server.files[MANIFEST] = to_document(text, server.key.sign(signed_bytes(text)))


def test_no_server(path: Path, wish: Wish) -> None:
    with FileServer(path.parent.parent / "server") as gone:
        url = gone.base
    assert "is the address right" in refuse(path, replace(wish, url=url), "the connection to 127.0.0.1:").hint


def test_no_address(path: Path, wish: Wish) -> None:
    refuse(path, replace(wish, url=""), "no server is known")


@pytest.mark.parametrize("url", ["ftp://x/y", "http://", "http://h:port/", "http://a b/", "file:///etc/passwd"])
def test_wrong_address(path: Path, wish: Wish, url: str) -> None:
    refuse(path, replace(wish, url=url), "address")


def test_token_in_the_address_is_refused(path: Path, wish: Wish) -> None:
    refuse(path, replace(wish, url="https://u:secret@host.example/"), "does not belong into the address")


@pytest.mark.parametrize(
    ("status", "body", "match"),
    [
        (500, b"<html>oops", "answered 500"),
        (404, b"", "answered 404"),
        (401, b'{"detail": "this needs a sign-in"}', "answered 401: this needs a sign-in"),
        (403, b"[1]", "answered 403"),
        (204, b"", "answered 204"),
        (200, b"", "no manifest"),
        (200, b"<!doctype html><title>Sign in</title>", "it is a web page"),
        (200, b"\xff\xfe\0", "no manifest"),
        (200, b"[" * 100_000, "no manifest"),
        (200, b"{}", "no manifest"),
        (200, b'{"manifest": "{}", "signature": "x"}', "no manifest"),
        (200, b'{"manifest": "\\ud800", "signature": "' + b"A" * 86 + b'=="}', "no manifest"),
        (200, b" " * (1 << 20) + b"{}", "answers more than"),
    ],
)
def test_wrong_answers(server: FileServer, path: Path, wish: Wish, status: int, body: bytes, match: str) -> None:
    pull(path, wish)
    server.answers[MANIFEST] = always(status, body)
    refuse(path, replace(wish, pin=fingerprint(server.public)), match)
    del server.answers[MANIFEST]
    assert pull(path, wish).way == "unchanged"


def test_manifest_of_a_newer_format_is_refused(server: FileServer, path: Path, wish: Wish) -> None:
    signed(server, format=2, file="something else")
    assert "update" in refuse(path, wish, "has format 2; this antivenom knows 1").hint


def test_file_of_a_newer_format_is_refused(server: FileServer, path: Path, wish: Wish) -> None:
    signed(server, file_format=2)
    assert "update" in refuse(path, wish, "has format 2; this antivenom knows").hint


@pytest.mark.parametrize(
    "changes",
    [
        {"file": None}, {"file": {}}, {"sequence": -1}, {"sequence": True}, {"sequence": "1"}, {"content": "xyz"},
        {"made_at": "yesterday"}, {"key": "AAAA"}, {"key": 7}, {"deltas": [{}]}, {"deltas": 7}, {"rotations": [[]]},
    ],
    ids=str,
)  # fmt: skip
def test_signed_nonsense_is_refused(server: FileServer, path: Path, wish: Wish, changes: dict[str, Any]) -> None:
    signed(server, **changes)
    refuse(path, wish, "lacks something|signature is wrong")


def test_deltas_that_do_not_follow_each_other_are_refused(server: FileServer, path: Path, wish: Wish) -> None:
    manifest = server.publish([*NAMES, "more"])
    server.sign(replace(manifest, deltas=(*manifest.deltas, *manifest.deltas)))
    refuse(path, wish, "do not follow")


def test_download_goes_on_after_a_broken_connection(server: FileServer, path: Path, wish: Wish) -> None:
    place = file_path(server)
    server.answers[place] = break_off(100, times=2)
    assert pull(path, wish).way == "whole"
    assert [asked[1] for asked in server.asked if asked[0] == place] == ["", "bytes=100-", "bytes=200-"]


def test_next_pull_goes_on_where_the_last_one_broke_off(server: FileServer, path: Path, wish: Wish) -> None:
    place = file_path(server)
    server.answers[place] = break_off(100, times=1)
    refuse(path, replace(wish, limits=replace(QUICK, tries=1)), "broke off after 100")
    assert pull(path, wish).way == "whole"
    assert [asked[1] for asked in server.asked if asked[0] == place] == ["", "bytes=100-"]
    assert hidden_files(path) == ["advisories.db.state.json"]


def test_server_without_ranges_sends_all_again(server: FileServer, path: Path, wish: Wish) -> None:
    place = file_path(server)
    server.answers[place] = break_off(100, times=1)
    refuse(path, replace(wish, limits=replace(QUICK, tries=1)), "broke off")
    server.answers[place] = lambda request, data: send(request, 200, data)
    assert pull(path, wish).way == "whole"


def test_part_that_is_refused_is_begun_anew(server: FileServer, path: Path, wish: Wish) -> None:
    place = file_path(server)
    server.answers[place] = break_off(100, times=1)
    refuse(path, replace(wish, limits=replace(QUICK, tries=1)), "broke off")
    server.answers[place] = always(416, b"")
    refuse(path, wish, "answered 416")
    del server.answers[place]
    assert pull(path, wish).way == "whole"
    assert [asked[1] for asked in server.asked if asked[0] == place] == ["", "bytes=100-", ""]


def test_connection_that_always_breaks_is_given_up(server: FileServer, path: Path, wish: Wish) -> None:
    server.answers[file_path(server)] = break_off(0, times=100)
    refuse(path, wish, "broke off after 0")
    assert len(server.asked) == 1 + QUICK.tries


@pytest.mark.parametrize(
    "change", [lambda data: data[:-9] + b"x" * 9, lambda data: data + b"x", lambda data: b"x" * len(data)]
)
def test_file_with_other_bytes_is_refused(server: FileServer, path: Path, wish: Wish, change: Any) -> None:
    place = file_path(server)
    server.answers[place] = lambda request, data: send(request, 200, change(data))
    refuse(path, wish, "other bytes than its manifest|longer than its manifest")
    del server.answers[place]
    assert pull(path, wish).way == "whole"


def test_signed_file_that_is_no_advisory_file_is_refused(server: FileServer, path: Path, wish: Wish) -> None:
    assert server.manifest is not None
    server.sign(replace(server.manifest, file=server.add(b"no gzip", 7, "db")))
    refuse(path, wish, "cannot be unpacked|not the one")


def test_bomb_is_not_unpacked(server: FileServer, path: Path, wish: Wish) -> None:
    import gzip

    assert server.manifest is not None
    server.sign(replace(server.manifest, file=server.add(gzip.compress(bytes(50 << 20)), 1000, "db")))
    refuse(path, wish, "not the one that was signed")


def test_deltas_that_cannot_be_had_are_no_reason_to_fail(
    server: FileServer, path: Path, wish: Wish, said: list[str]
) -> None:
    pull(path, wish)
    server.publish([*NAMES, "more"])
    server.answers[server.path_of(server.deltas[0].blob)] = always(404, b"")
    assert pull(path, wish).way == "whole"
    assert "getting the whole file" in said[-1]
    assert names_in(path) == sorted([*NAMES, "more"])


def test_deltas_that_make_something_else_are_no_reason_to_fail(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish)
    wrong = server.publish([*NAMES, "wrong"]).deltas[0]
    server.deltas.clear()
    manifest = server.publish([*NAMES, "more"])
    lying = replace(wrong, after=manifest.content)
    server.sign(replace(manifest, deltas=(lying,)))
    assert pull(path, wish).way == "whole"
    assert names_in(path) == sorted([*NAMES, "more"])


def file_path(server: FileServer) -> str:
    assert server.manifest is not None
    return server.path_of(server.manifest.file)


def test_slow_server_is_given_up(server: FileServer, path: Path, wish: Wish, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def never(request: BaseHTTPRequestHandler, data: bytes) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data[:10])
        request.wfile.flush()
        ended.wait()
        request.close_connection = True

    server.answers[file_path(server)] = never
    refuse(path, replace(wish, limits=Limits(timeout_s=0.2, tries=1)), "did not answer in time")
    # Whoever sends a little now and then is given up too.
    clock = iter(range(0, 10_000, 50))
    monkeypatch.setattr(fetching, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    server.answers[file_path(server)] = lambda request, data: send(request, 200, data)
    refuse(path, replace(wish, limits=Limits(timeout_s=5, slow_after_s=40, tries=1)), "sends too slowly")
    ended.set()


def test_full_disk_is_told_before_and_while(
    server: FileServer, path: Path, wish: Wish, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(path, wish)
    server.publish([f"other{number}" for number in range(200)])
    with monkeypatch.context() as patch:
        patch.setattr(pulling.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 100, 0))  # type: ignore[attr-defined]
        assert "free some space" in refuse(path, wish, "0 MiB free").hint
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(pulling, "_copy_checked", full)
        assert "free some space" in refuse(path, wish, "No space left on device").hint
    assert pull(path, wish).way == "whole"


def test_folder_that_cannot_be_written_is_told(server: FileServer, tmp_path: Path, wish: Wish) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(PullError, match="cannot write"):
        pull(tmp_path / "file" / "advisories.db", wish)


KILLED = """
import sys, os, signal
from pathlib import Path
from antivenom_client import pull as pulling
real = {name: getattr(pulling, name) for name in ("_put", "write_state", "apply_deltas", "_copy_checked")}
at, when = sys.argv[3], sys.argv[4]
def die(*arguments, **options):
    if when == "after":
        real[at](*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(pulling, at, die)
pulling.pull(Path(sys.argv[1]), pulling.Wish(url=sys.argv[2]))
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", ["_put", "write_state", "apply_deltas", "_copy_checked"])
def test_killed_pull_leaves_a_good_file(server: FileServer, path: Path, wish: Wish, at: str, when: str) -> None:
    pull(path, wish)
    server.publish([*NAMES, "more"] if at == "apply_deltas" else [f"other{number}" for number in range(200)])
    before = names_in(path)
    command = [sys.executable, "-c", KILLED, str(path), server.base, at, when]
    environment = {**os.environ, "PYTHONPATH": str(Path(pulling.__file__).parent.parent)}
    assert subprocess.run(command, env=environment, capture_output=True).returncode == -signal.SIGKILL
    is_put = at == "write_state" or (at, when) == ("_put", "after")
    assert (names_in(path) == before) is not is_put
    pull(path, wish)
    assert names_in(path) != before
    assert hidden_files(path) == ["advisories.db.state.json"]


def test_two_pulls_at_once_wait_for_each_other(server: FileServer, path: Path, wish: Wish, said: list[str]) -> None:
    outcomes: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def wait_then_answer(request: BaseHTTPRequestHandler, data: bytes) -> None:
        begun.set()
        go_on.wait()
        send(request, 200, data)

    server.answers[file_path(server)] = wait_then_answer
    threads = [threading.Thread(target=lambda: outcomes.append(pull(path, wish).way)) for _ in range(2)]
    threads[0].start()
    assert begun.wait()
    is_waiting = threading.Event()
    second = replace(wish, say=lambda text: is_waiting.set())
    threads[1] = threading.Thread(target=lambda: outcomes.append(pull(path, second).way))
    threads[1].start()
    assert is_waiting.wait()
    go_on.set()
    for thread in threads:
        thread.join()
    assert outcomes == ["whole", "unchanged"]


def test_pull_that_never_ends_is_told(path: Path, said: list[str]) -> None:
    path.parent.mkdir()
    with locked(path, said.append), pytest.raises(PullError, match="does not end"):
        with locked(path, said.append, patience_s=0.0):
            pass
    assert said == []


def test_clock_in_the_past_changes_nothing(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish, now=0.0)
    server.publish([*NAMES, "more"])
    assert pull(path, wish, now=-5.0).way == "deltas"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"trusted": {"u": {"key": "zz", "sequence": 1}}}'])
def test_unreadable_state_is_begun_anew(server: FileServer, path: Path, wish: Wish, content: bytes) -> None:
    pull(path, wish)
    pulling.state_path(path).write_bytes(content)
    assert pull(path, wish).way == "unchanged"  # by the content of the file
