"""What an upstream publishes beside its records is served for what is served, and kept up with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from antivenom.server.publications import service as publications
from tests.reports.odd_upstream import OddUpstream, Reply
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.upstreams import make_record, write_channel

BAN_B = 'name: ban\nrules:\n  - {id: b, gate: packages, trigger: match_spec, action: stop, params: {deny: ["b"]}}\n'


def write(folder: Path, path: str, document: Any) -> None:
    (folder / path).write_text(json.dumps(document), encoding="utf-8")


def write_documents(folder: Path, word: str) -> None:
    fns = ("a-1.0-h0_0.conda", "b-1.0-h0_0.conda")
    entries = {fn: {"run_exports": {"weak": [f"{fn[0]} {word}"]}} for fn in fns}
    write(folder, "linux-64/run_exports.json", {"info": {}, "packages": {}, "packages.conda": entries})
    patches = {fn: {"license": word} for fn in fns}
    write(folder, "linux-64/patch_instructions.json", {"packages": {}, "packages.conda": patches})
    packages = {name: {"summary": f"{name} {word}", "post_link": True, "version": "1.0"} for name in "ab"}
    write(folder, "channeldata.json", {"channeldata_version": 1, "subdirs": ["linux-64"], "packages": packages})


async def served(ask: Asker) -> tuple[Any, Any, Any]:
    files = ("linux-64/run_exports.json", "linux-64/patch_instructions.json", "channeldata.json")
    answers = [await ask(f"/conda/main/{fn}") for fn in files]
    assert [answer.status for answer in answers] == [200, 200, 200]
    exports, patches, channeldata = [json.loads(answer.body) for answer in answers]
    summaries = {name: (entry["summary"], entry["post_link"]) for name, entry in channeldata["packages"].items()}
    return exports["packages.conda"], patches["packages.conda"], summaries


def expected(word: str, *names: str) -> tuple[Any, Any, Any]:
    fns = [f"{name}-1.0-h0_0.conda" for name in names]
    exports = {fn: {"run_exports": {"weak": [f"{fn[0]} {word}"]}} for fn in fns}
    return exports, {fn: {"license": word} for fn in fns}, {name: (f"{name} {word}", True) for name in names}


async def newest(person: Person) -> int:
    """The number of the newest publication."""
    page = await person.ask(publications.list_history, "main")
    return max(row.number for row in page.items)


async def test_what_the_upstream_has_beside_its_records_is_served_for_what_is_served(
    person: Person, odd: OddUpstream, ask: Asker
) -> None:
    """conda/rattler#2014, conda/conda-build#3583, prefix-dev/rattler-build#350: run exports are lost."""
    write_channel(odd.folder, {"linux-64": [make_record(name, "1.0") for name in "ab"]})
    write_documents(odd.folder, "first")
    await person.mirror("main", odd, subdirs=["linux-64"])
    assert await served(ask) == expected("first", "a", "b")
    await person.set_policy("main", BAN_B)
    assert await served(ask) == expected("first", "a")


async def test_a_document_that_changes_alone_is_published(person: Person, odd: OddUpstream, ask: Asker) -> None:
    write_channel(odd.folder, {"linux-64": [make_record("a", "1.0")]})
    await person.mirror("main", odd, subdirs=["linux-64"])
    assert (await ask("/conda/main/linux-64/patch_instructions.json")).status == 404
    for word in ("first", "second"):
        write_documents(odd.folder, word)
        await person.sync("main")
        assert await served(ask) == expected(word, "a")
    number = await newest(person)
    await person.sync("main")
    assert await newest(person) == number  # nothing changed
    for fn in ("linux-64/run_exports.json", "linux-64/patch_instructions.json", "channeldata.json"):
        (odd.folder / fn).unlink()
    await person.sync("main")
    assert json.loads((await ask("/conda/main/linux-64/run_exports.json")).body)["packages.conda"] == {}
    assert (await ask("/conda/main/linux-64/patch_instructions.json")).status == 404


async def test_a_rollback_serves_the_documents_of_its_publication(person: Person, odd: OddUpstream, ask: Asker) -> None:
    write_channel(odd.folder, {"linux-64": [make_record("a", "1.0")]})
    for word in ("first", "second"):
        write_documents(odd.folder, word)
        await (person.sync("main") if word == "second" else person.mirror("main", odd, subdirs=["linux-64"]))
    await person.ask(publications.rollback, "main", await newest(person) - 1)
    assert await served(ask) == expected("first", "a")


async def test_a_document_that_cannot_be_read_changes_nothing_and_is_said(
    person: Person, odd: OddUpstream, ask: Asker
) -> None:
    write_channel(odd.folder, {"linux-64": [make_record("a", "1.0")]})
    write_documents(odd.folder, "first")
    await person.mirror("main", odd, subdirs=["linux-64"])
    for fn in ("linux-64/run_exports.json", "linux-64/patch_instructions.json", "channeldata.json"):
        odd.replies[fn] = Reply(200, b'{"packages": "none"}')
    mirror = await person.sync("main")
    assert mirror.state == "ok"
    told = " ".join(mirror.subdir_states["linux-64"].warnings)
    assert told.count("is not read") == 3
    assert await served(ask) == expected("first", "a")


async def test_a_lost_document_is_fetched_again(person: Person, odd: OddUpstream, ask: Asker) -> None:
    write_channel(odd.folder, {"linux-64": [make_record("a", "1.0")]})
    write_documents(odd.folder, "first")
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    await person.resources.blobs.delete(mirror.subdir_states["linux-64"].run_exports.key)
    await person.sync("main")
    assert await served(ask) == expected("first", "a")
