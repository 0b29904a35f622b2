"""Artifacts that an upstream, a proxy or a mirror in between got wrong, as reported in public (docs/dev/bug-reports.md)."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest

from antivenom.server.context import LOCAL
from antivenom.server.mirrors import queries
from tests.e2e.upstream_channel import Package, make_artifact, write_upstream
from tests.reports.odd_upstream import OddUpstream, Reply
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.upstreams import make_record, write_channel

ALPHA = Package("alpha", "1.0")
PATH = f"noarch/{ALPHA.fn}"
HTML = b"<!DOCTYPE html><html><title>Sign in</title></html>"

# What a client must never be given as the artifact, by the report that saw it.
WRONG: dict[str, Callable[[bytes], Reply]] = {
    "mamba#947: a sign-in page": lambda data: Reply(200, HTML, {"Content-Type": "text/html"}),
    "conda#3776: an end that a proxy's time limit cut off": lambda data: Reply(200, data[:-5], length=len(data)),
    "anaconda-issues#795: fewer bytes, and a length that agrees": lambda data: Reply(200, data[:-5]),
    "conda-infrastructure#1067: one flipped byte": lambda data: Reply(200, bytes([data[0] ^ 1]) + data[1:]),
    "pip#14131: a part that nobody asked for": lambda data: Reply(206, data, {"Content-Range": "bytes 5-9/10"}),
    "conda-infrastructure#797: nothing": lambda data: Reply(200, b""),
    "conda#2367: the file of another platform": lambda data: Reply(200, make_artifact(Package("alpha", "1.1"))),
    "conda-build#1134: a listed file that is not there yet": lambda data: Reply(404),
}


@pytest.mark.parametrize("reply", WRONG.values(), ids=WRONG)
async def test_a_wrong_artifact_is_never_given_and_the_right_one_is_as_soon_as_it_is_there(
    person: Person, odd: OddUpstream, ask: Asker, reply: Callable[[bytes], Reply]
) -> None:
    right = write_upstream(odd.folder, [ALPHA])[ALPHA.fn]
    await person.mirror("main", odd, subdirs=["linux-64"])
    odd.replies[PATH] = reply(right)
    answer = await ask(f"/conda/main/{PATH}")
    assert (answer.status, answer.headers["cache-control"]) == (502, "no-store")
    del odd.replies[PATH]
    assert (await ask(f"/conda/main/{PATH}")).body == right
    await ask.application.artifacts.finish_recording()


async def test_a_failed_download_is_not_joined_while_its_failure_is_being_noted(
    person: Person, odd: OddUpstream, ask: Asker
) -> None:
    """conda#2128: whoever asks again at once is told of the failure before."""
    right = write_upstream(odd.folder, [ALPHA])[ALPHA.fn]
    await person.mirror("main", odd, subdirs=["linux-64"])
    odd.replies[PATH] = Reply(404)
    async with person.resources.context(LOCAL) as ctx:
        await queries.find_mirror(ctx.session, "main", lock=True)  # so the note has to wait
        assert (await ask(f"/conda/main/{PATH}")).status == 502
        del odd.replies[PATH]
        assert (await ask(f"/conda/main/{PATH}")).body == right
    await ask.application.artifacts.finish_recording()
    assert PATH in (await person.look("main")).last_error


async def test_one_damaged_artifact_does_not_keep_others_from_an_active_mirror(
    person: Person, odd: OddUpstream, ask: Asker
) -> None:
    """conda-incubator/conda-mirror#100, devpi#489: one file ends the whole run."""
    packages = [Package("alpha", f"{n}.0") for n in range(5)]
    write_upstream(odd.folder, packages)
    odd.replies[f"noarch/{packages[0].fn}"] = Reply(200, b"x", length=500)
    odd.replies[f"noarch/{packages[3].fn}"] = Reply(404)
    mirror = await person.mirror("main", odd, subdirs=["linux-64"], mode="active")
    assert (mirror.state, "2 of 5 artifacts" in mirror.last_error) == ("ok", True)
    odd.replies.update({f"noarch/{package.fn}": Reply(500) for package in packages})
    found = [(await ask(f"/conda/main/noarch/{package.fn}")).status for package in (packages[1], *packages[4:])]
    assert found == [200, 200]


async def test_the_same_file_name_in_two_subdirs_means_two_files(person: Person, odd: OddUpstream, ask: Asker) -> None:
    """conda#2367, conda#1952: the digests of one platform are listed for another."""
    bodies = {subdir: os.urandom(40) for subdir in ("linux-64", "osx-64")}
    write_channel(odd.folder, {s: [make_record("a", "1.0", subdir=s, **described(b))] for s, b in bodies.items()})
    for subdir, body in bodies.items():
        (odd.folder / subdir / "a-1.0-h0_0.conda").write_bytes(body)
    await person.mirror("main", odd, subdirs=list(bodies))
    for subdir, body in bodies.items():
        assert (await ask(f"/conda/main/{subdir}/a-1.0-h0_0.conda")).body == body
    await ask.application.artifacts.finish_recording()


async def test_both_formats_of_a_build_keep_their_own_digests(person: Person, odd: OddUpstream, ask: Asker) -> None:
    """conda-store#431, conda-lock#748: the .tar.bz2 is listed with the digest of the .conda."""
    both = [ALPHA, Package("alpha", "1.0", suffix=".tar.bz2")]
    artifacts = write_upstream(odd.folder, both)
    await person.mirror("main", odd, subdirs=["linux-64"])
    for fn, data in artifacts.items():
        assert (await ask(f"/conda/main/noarch/{fn}")).body == data
    await ask.application.artifacts.finish_recording()


async def test_a_file_that_was_replaced_under_its_name_is_served_as_its_new_index_says(
    person: Person, odd: OddUpstream, ask: Asker
) -> None:
    """rattler#2608, conda-index#108: the old digest stays listed beside the new bytes."""
    old = write_upstream(odd.folder, [ALPHA])[ALPHA.fn]
    await person.mirror("main", odd, subdirs=["linux-64"])
    assert (await ask(f"/conda/main/{PATH}")).body == old
    new = write_upstream(odd.folder, [Package("alpha", "1.0", payload=b"other")])[ALPHA.fn]
    assert (await ask(f"/conda/main/{PATH}")).body == old  # as the index that is served says
    await person.sync("main")
    answer = await ask(f"/conda/main/{PATH}")
    assert (answer.body, answer.headers["etag"]) == (new, f'"{hashlib.sha256(new).hexdigest()}"')
    await ask.application.artifacts.finish_recording()


async def test_an_interrupted_client_goes_on_where_it_was_or_begins_anew(
    person: Person, odd: OddUpstream, ask: Asker
) -> None:
    """conda#13488, conda#13671: what was resumed is glued to something else."""
    right = write_upstream(odd.folder, [ALPHA])[ALPHA.fn]
    await person.mirror("main", odd, subdirs=["linux-64"])
    for _ in ("while it is fetched", "when it is stored"):
        part = await ask(f"/conda/main/{PATH}", range="bytes=100-")
        assert (part.status, part.body) == (206, right[100:])
        await ask.application.artifacts.finish_recording()
    etag = (await ask(f"/conda/main/{PATH}")).headers["etag"]
    assert (await ask(f"/conda/main/{PATH}", range="bytes=100-", if_range=etag)).body == right[100:]
    changed = await ask(f"/conda/main/{PATH}", range="bytes=100-", if_range='"another"')
    assert (changed.status, changed.body) == (200, right)


FILE_NAMES = {
    "artifactory-user-plugins#226, nexus-public#971: an epoch": make_record("x264", "1!152.20180717", "h470a237_0"),
    "rattler#758: a local version": make_record("libxgboost", "0.6+218_omp", "0"),
    "a tilde": make_record("sp", "1.0", "h~0"),
    "an at sign": make_record("at", "1.0", "h@0"),
}


@pytest.mark.parametrize("listed", FILE_NAMES.values(), ids=FILE_NAMES)
async def test_every_spelling_of_a_file_name_finds_it_here_and_upstream(
    person: Person, odd: OddUpstream, ask: Asker, listed: tuple[str, dict[str, object]]
) -> None:
    fn, record = listed
    body = os.urandom(40)
    write_channel(odd.folder, {"linux-64": [(fn, record | described(body))]})
    answer, odd.find = odd.find, lambda path: answer(unquote(path))  # type: ignore[method-assign]
    (odd.folder / "linux-64" / fn).write_bytes(body)
    await person.mirror("main", odd, subdirs=["linux-64"])
    for spelling in {fn, quote(fn), quote(fn, safe="!+~@"), "".join(f"%{byte:02x}" for byte in fn.encode())}:
        assert (await ask(f"/conda/main/linux-64/{spelling}")).body == body, spelling
    await ask.application.artifacts.finish_recording()


def described(body: bytes) -> dict[str, object]:
    """Digests and size of an artifact, as a record has them."""
    return {"sha256": hashlib.sha256(body).hexdigest(), "md5": hashlib.md5(body).hexdigest(), "size": len(body)}


def _escaping_tar() -> bytes:
    """A .tar.bz2 with members that climb out, as a careless extraction would follow them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:bz2") as archive:
        for name in ("../../outside.txt", "/outside.txt", "info/../../outside.txt"):
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"out"))
        link = tarfile.TarInfo("info/security.json")
        link.type, link.linkname = tarfile.SYMTYPE, "../../outside.txt"
        archive.addfile(link)
    return out.getvalue()


ODD_ARCHIVES = {
    "conda-build#3679, conda-package-handling#35: no archive at all": ("a-1.0-h0_0.conda", b"PK\x03\x04 no zip " * 20),
    "conda#8923: a .conda that is a tar": ("a-1.0-h0_0.conda", make_artifact(Package("a", "1.0", suffix=".tar.bz2"))),
    "anaconda-issues#11109: another format than the name says": ("a-1.0-h0_0.tar.bz2", gzip.compress(b"x" * 500)),
    "conda#8374, conda-build#2798: members that climb out": ("a-1.0-h0_0.tar.bz2", _escaping_tar()),
}


@pytest.mark.parametrize(("fn", "body"), ODD_ARCHIVES.values(), ids=ODD_ARCHIVES)
async def test_an_odd_archive_with_the_promised_digest_is_handed_on_and_harms_nothing(
    person: Person, odd: OddUpstream, ask: Asker, fn: str, body: bytes
) -> None:
    record = make_record("a", "1.0")[1] | described(body)
    write_channel(odd.folder, {"linux-64": [(fn, record), make_record("b", "1.0")]})
    (odd.folder / "linux-64" / fn).write_bytes(body)
    await person.mirror("main", odd, subdirs=["linux-64"])
    before = {path for path in odd.folder.parent.rglob("*") if path.name == "outside.txt"}
    assert (await ask(f"/conda/main/linux-64/{fn}")).body == body
    await ask.application.artifacts.finish_recording()
    assert {path for path in odd.folder.parent.rglob("*") if path.name == "outside.txt"} == before == set()
    assert (await person.look("main")).state == "ok"
