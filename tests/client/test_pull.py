"""`feed pull`: what it brings, what it trusts, and that the old file stays good whatever happens."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from antivenom_client import pull as pulling
from antivenom_client.advisory_file import AdvisoryFile
from antivenom_client.fetching import Limits
from antivenom_client.manifest import Manifest, fingerprint, to_document, to_text
from antivenom_client.pull import PullError, Wish, pull, read_state
from tests.client.publisher import FileServer, always

MANIFEST = "/advisories/manifest.json"
QUICK = Limits(timeout_s=5, slow_after_s=5, tries=3, pause_s=0)
NAMES = [f"package{number}" for number in range(200)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    (tmp_path / "server").mkdir()
    with FileServer(tmp_path / "server") as publisher:
        publisher.publish(NAMES)
        yield publisher


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "advisories.db"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def wish(server: FileServer, said: list[str]) -> Wish:
    return Wish(url=server.base, limits=QUICK, say=said.append)


def names_in(path: Path) -> list[str]:
    opened = AdvisoryFile.open(path)
    found = [key.removeprefix("pypi/") for (key,) in opened.rows("SELECT key FROM packages ORDER BY key")]
    opened.close()
    return found


def hidden_files(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if p.name not in (path.name, f".{path.name}.lock"))


def refuse(path: Path, wish: Wish, match: str) -> PullError:
    """A pull that fails and leaves what was there as it was."""
    before = path.read_bytes() if path.exists() else None
    state = read_state(path)
    with pytest.raises(PullError, match=match) as refusal:
        pull(path, wish)
    assert (path.read_bytes() if path.exists() else None) == before
    assert read_state(path) == state
    return refusal.value


# -- what it brings ----------------------------------------------------------------------------------------------------


def test_it_works(server: FileServer, path: Path, wish: Wish, said: list[str]) -> None:
    done = pull(path, wish, now=7.0)
    assert done.way == "whole"
    assert done.manifest_made_at == "2026-11-28T12:00:00Z"
    assert names_in(path) == sorted(NAMES)
    assert said == [
        f"trusting the key {fingerprint(server.public)} of {server.base}{MANIFEST} from now on; "
        "compare it with: antivenom admin advisory-key"
    ]
    assert read_state(path).pulled_at == 7.0
    assert hidden_files(path) == ["advisories.db.state.json"]


def test_second_pull_asks_for_the_manifest_alone(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish)
    server.asked.clear()
    assert pull(path, replace(wish, url=""), now=9.0).way == "unchanged"
    assert [asked[0] for asked in server.asked] == [MANIFEST]
    assert read_state(path).pulled_at == 9.0


def test_small_change_comes_as_deltas(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish)
    server.publish([*NAMES, "more"])
    newest = server.publish([*NAMES[1:], "more"], made_at="2026-11-29T00:00:00Z")
    server.asked.clear()
    done = pull(path, wish)
    assert (done.way, done.deltas) == ("deltas", 2)
    assert done.received == sum(delta.blob.size for delta in server.deltas) < newest.file.size / 10
    assert names_in(path) == sorted([*NAMES[1:], "more"])
    assert server.path_of(newest.file) not in [asked[0] for asked in server.asked]
    assert read_state(path).content == newest.content
    assert hidden_files(path) == ["advisories.db.state.json"]


def test_large_change_comes_whole(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish)
    server.publish([f"other{number}" for number in range(200)])
    assert pull(path, wish).way == "whole"


def test_unknown_content_comes_whole(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish)
    manifest = server.publish([*NAMES, "more"])
    server.sign(replace(manifest, deltas=()))
    assert pull(path, wish).way == "whole"


def test_way_back_to_an_earlier_content_is_found(server: FileServer, path: Path, wish: Wish) -> None:
    server.publish([*NAMES, "more"])
    server.publish(NAMES)
    pull(path, wish)
    server.publish([*NAMES, "more"])
    assert (pull(path, wish).deltas, names_in(path)) == (1, sorted([*NAMES, "more"]))


def test_file_that_was_spoilt_or_removed_comes_again(server: FileServer, path: Path, wish: Wish) -> None:
    for spoil in (lambda: path.unlink(), lambda: path.write_bytes(b"x"), lambda: path.write_bytes(b"")):
        pull(path, wish)
        spoil()
        assert pull(path, wish).way == "whole"
        assert names_in(path) == sorted(NAMES)


def test_file_that_was_only_copied_is_recognised(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish)
    os.utime(path, (1, 1))
    server.asked.clear()
    assert pull(path, wish).way == "unchanged"
    assert [asked[0] for asked in server.asked] == [MANIFEST]


def test_damaged_base_of_a_delta_comes_whole(server: FileServer, path: Path, wish: Wish, said: list[str]) -> None:
    pull(path, wish)
    facts, data = path.stat(), bytearray(path.read_bytes())
    place = data.index(b"pypi/package7")
    data[place + 5] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    server.publish([*NAMES, "more"])
    assert pull(path, wish).way == "whole"
    assert "the changes alone cannot be used" in said[-1]
    assert names_in(path) == sorted([*NAMES, "more"])


def test_reader_of_the_old_file_goes_on(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish)
    opened = AdvisoryFile.open(path)
    server.publish([f"other{number}" for number in range(200)])
    pull(path, wish)
    assert len(opened.rows("SELECT * FROM packages WHERE key GLOB 'pypi/package*'")) == 200
    opened.close()
    assert names_in(path)[0] == "other0"


def test_exported_file_can_be_pulled_where_no_network_is(
    server: FileServer, tmp_path: Path, path: Path, wish: Wish
) -> None:
    stick = tmp_path / "stick" / "advisories.db"
    pull(stick, wish)
    stick.with_name("advisories.db.manifest.json").write_bytes(server.files[MANIFEST])
    assert pull(path, replace(wish, url=str(stick))).way == "whole"
    assert names_in(path) == sorted(NAMES)
    assert pull(path, replace(wish, url="")).way == "unchanged"
    stick.write_bytes(stick.read_bytes()[:-1])
    path.unlink()
    refuse(path, wish=replace(wish, url=str(stick)), match="not the one that was signed")


# -- whom it trusts ----------------------------------------------------------------------------------------------------


def test_pinned_key_is_trusted_without_a_word(server: FileServer, path: Path, wish: Wish, said: list[str]) -> None:
    pull(path, replace(wish, pin=fingerprint(server.public)))
    assert said == []
    assert names_in(path)


def test_other_key_than_the_pinned_one_is_refused(server: FileServer, path: Path, wish: Wish) -> None:
    refuse(path, replace(wish, pin=fingerprint(bytes(32))), "is signed with the key SHA256:")
    pull(path, wish)
    refuse(path, replace(wish, pin=fingerprint(bytes(32))), "is signed with the key SHA256:")


def test_changed_key_is_refused_until_it_is_pinned(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish)
    server.key = Ed25519PrivateKey.generate()
    server.publish([*NAMES, "more"])
    refusal = refuse(path, wish, "signed with another key than before")
    assert fingerprint(server.public) in refusal.hint
    pull(path, replace(wish, pin=fingerprint(server.public)))
    server.publish(NAMES)
    pull(path, wish)
    assert names_in(path) == sorted(NAMES)


def test_key_that_the_old_one_signed_is_trusted(server: FileServer, path: Path, wish: Wish, said: list[str]) -> None:
    pull(path, wish)
    for _ in range(2):
        server.rotate()
    server.publish([*NAMES, "more"])
    pull(path, wish)
    assert "was replaced by" in said[-1]
    assert read_state(path).trusted[server.base + MANIFEST].key == server.public.hex()


def test_key_that_signed_itself_is_refused(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish)
    server.rotate(signed_by=Ed25519PrivateKey.generate())
    server.publish([*NAMES, "more"])
    refuse(path, wish, "signed with another key")


def test_old_key_may_sign_no_more(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish)
    old = server.key
    server.rotate()
    server.publish([*NAMES, "more"])
    pull(path, wish)
    server.key = old
    server.publish(NAMES)
    refuse(path, wish, "signed with another key")


def test_older_manifest_is_refused_unless_wished_for(server: FileServer, path: Path, wish: Wish) -> None:
    older = server.files[MANIFEST]
    server.publish([*NAMES, "more"])
    pull(path, wish)
    server.files[MANIFEST] = older
    refuse(path, wish, "offers an older advisory file")
    pull(path, replace(wish, may_be_older=True))
    assert names_in(path) == sorted(NAMES)


def test_older_manifest_is_refused_even_when_the_file_is_gone(server: FileServer, path: Path, wish: Wish) -> None:
    older = server.files[MANIFEST]
    server.publish([*NAMES, "more"])
    pull(path, wish)
    path.unlink()
    server.files[MANIFEST] = older
    refuse(path, wish, "offers an older advisory file")


@pytest.mark.parametrize("field", ["sequence", "made_at", "content", "key", "deltas", "rotations"])
def test_changed_manifest_is_refused(server: FileServer, path: Path, wish: Wish, field: str) -> None:
    document = json.loads(server.files[MANIFEST])
    manifest = json.loads(document["manifest"])
    manifest[field] = {
        "sequence": 99, "made_at": "2027-01-01T00:00:00Z", "content": "0" * 64,
        "key": "A" * 43 + "=", "deltas": [], "rotations": [],
    }[field]  # fmt: skip
    document["manifest"] = json.dumps(manifest) + " "
    server.files[MANIFEST] = json.dumps(document).encode()
    refuse(path, wish, "signature is wrong")


def test_signature_of_another_text_is_refused(server: FileServer, path: Path, wish: Wish) -> None:
    assert server.manifest is not None
    text = to_text(server.manifest)
    server.files[MANIFEST] = to_document(text, server.key.sign(text.encode()))  # without what it is a signature of
    refuse(path, wish, "signature is wrong")


# -- tokens, redirects, proxies ----------------------------------------------------------------------------------------


def test_token_goes_in_a_header(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, replace(wish, token="secret"))
    assert {asked[2] for asked in server.asked} == {"Bearer secret"}
    assert "secret" not in pulling.state_path(path).read_text()


def test_token_does_not_follow_a_redirect_to_another_server(
    server: FileServer, tmp_path: Path, path: Path, wish: Wish
) -> None:
    with FileServer(tmp_path / "server") as other:
        other.files = server.files
        for place in server.files:
            server.answers[place] = always(302, b"", Location=other.base + place)
        pull(path, replace(wish, token="secret"))
        assert {asked[2] for asked in server.asked} == {"Bearer secret"}
        assert {asked[2] for asked in other.asked} == {""}


def test_token_goes_to_no_other_server_that_a_manifest_names(
    server: FileServer, tmp_path: Path, path: Path, wish: Wish
) -> None:
    with FileServer(tmp_path / "server") as other:
        other.files = server.files
        assert server.manifest is not None
        there = replace(server.manifest.file, url=f"{other.base}/advisories/{server.manifest.file.url}")
        server.sign(replace(server.manifest, file=there))
        pull(path, replace(wish, token="secret"))
        assert [asked[2] for asked in other.asked] == [""]


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://host.example/x", "gopher://x"])
def test_redirect_elsewhere_is_not_followed(server: FileServer, path: Path, wish: Wish, to: str) -> None:
    server.answers[MANIFEST] = always(302, b"", Location=to)
    refuse(path, wish, "not followed|answered 302")


def test_endless_redirects_end(server: FileServer, path: Path, wish: Wish) -> None:
    server.answers[MANIFEST] = always(302, b"", Location=server.base + MANIFEST)
    refuse(path, wish, "answered 302")


def test_proxy_of_the_environment_is_asked(
    server: FileServer, path: Path, wish: Wish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.base)
    monkeypatch.setenv("no_proxy", "")
    asked = "http://advisories.example/advisories/"
    server.files = {asked + place.removeprefix("/advisories/"): data for place, data in server.files.items()}
    pull(path, replace(wish, url="http://advisories.example"))
    assert names_in(path)


def test_manifest_survives_its_own_text(server: FileServer) -> None:
    server.rotate()
    manifest: Manifest = server.publish([*NAMES, "more"])
    from antivenom_client.manifest import read_document

    assert read_document(server.files[MANIFEST]) == manifest


def test_time_is_that_of_the_pull(server: FileServer, path: Path, wish: Wish) -> None:
    before = time.time()
    pull(path, wish)
    assert before <= read_state(path).pulled_at <= time.time()


def test_state_of_another_release_is_read(server: FileServer, path: Path, wish: Wish) -> None:
    pull(path, wish)
    place = pulling.state_path(path)
    state = read_state(path)
    place.write_text(json.dumps({**json.loads(place.read_text()), "more": 7}))
    assert read_state(path) == state
    fields = json.loads(place.read_text())
    del fields["mtime_ns"]
    place.write_text(json.dumps(fields))
    assert read_state(path).trusted == state.trusted
