"""What an artifact says of its own vulnerabilities: shown to all, counted only where somebody trusts its builder."""

from __future__ import annotations

import json
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from antivenom.cli.channel import explanation
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.server.catalog import artifact_words, build_words
from antivenom.server.channels.service import update_channel
from antivenom.server.mirrors import service as mirrors
from tests.e2e.upstream_channel import Package, write_upstream
from tests.server.asking import Asker
from tests.server.distribution.test_withheld import ALLOW_ALL, CVE, STOP_ACTIVE, tell_of_a_vulnerability
from tests.server.mirrors.conftest import Person
from tests.server.mirrors.test_editing import edit
from tests.server.test_pages import member_client, stranger  # noqa: F401  # fixtures
from tests.upstreams import UpstreamServer

PATCH = "0001-fix.patch"
SAYS = {"vulns_mitigated": {CVE: PATCH}, "vulns_cleared": ["CVE-2023-9999", "*"]}
WORD, SILENT = Package("alpha", "1.0", security=SAYS), Package("alpha", "1.0", suffix=".tar.bz2")


@pytest.fixture
async def mirror(person: Person, upstream: UpstreamServer, ask: Asker, tmp_path: Path) -> Person:
    """Channels `main` and `other` of one upstream; both builds of a vulnerable package are stored; one says something."""
    write_upstream(upstream.folder, [WORD, SILENT])
    for channel in ("main", "other"):
        await person.mirror(channel, upstream, subdirs=["linux-64"])
    await tell_of_a_vulnerability(person, tmp_path, "alpha", "1.0")
    for package in (WORD, SILENT):
        assert (await ask(f"/conda/main/noarch/{package.fn}")).status == 200
    await ask.application.artifacts.finish_recording()
    await person.run_jobs(person.resources)
    for channel in ("main", "other"):
        await person.set_policy(channel, STOP_ACTIVE)
    return person


async def trust(person: Person, trusted: bool = True) -> None:
    await person.ask(update_channel, "main", trust_build_statements=trusted)
    await person.run_jobs(person.resources)


async def explain(client: Any, channel: str, fn: str) -> Any:
    (row,) = (await client.get(f"/api/v1/channels/{channel}/explain", params={"what": f"noarch/{fn}"})).json()["items"]
    return row


async def test_a_build_that_nobody_trusts_clears_nothing_and_is_shown(mirror: Person, app_client: Any) -> None:
    assert set(await mirror.withheld("main")) == {WORD.fn, SILENT.fn}
    row = await explain(app_client, "main", WORD.fn)
    (finding,) = row["findings"]
    assert finding["status"] == "reported"
    says = finding["build_says"]
    assert (says["status"], says["note"], says["counts"]) == ("mitigated", PATCH, False)
    assert says["why_not"] == "the channel does not trust build statements"
    assert f"says mitigated ({PATCH}); it does not count: the channel does not trust" in "\n".join(explanation(row))
    assert (await explain(app_client, "main", SILENT.fn))["findings"][0]["build_says"] is None
    listed = (await app_client.get("/api/v1/channels/main/findings", params={"status": "ignored"})).json()
    assert listed["total"] == 0


async def test_a_trusted_build_sets_aside_its_own_finding_and_no_other(
    mirror: Person, app_client: Any, upstream: UpstreamServer
) -> None:
    await trust(mirror)
    assert set(await mirror.withheld("main")) == {SILENT.fn}  # the other build says nothing
    assert set(await mirror.withheld("other")) == {WORD.fn, SILENT.fn}  # and the other channel trusts nobody
    row = await explain(app_client, "main", WORD.fn)
    (finding,) = row["findings"]
    assert (finding["status"], finding["build_says"]["counts"]) == ("mitigated", True)
    assert finding["build_says"]["author"] == upstream.url
    assert "sets 1 of them aside" in row["assessment"]
    (spared,) = row["excepted"]
    assert (spared["allowlist_id"], spared["rule_id"]) == ("build statement", "active")
    listed = (await app_client.get("/api/v1/channels/main/findings", params={"status": "ignored"})).json()
    assert [(row["name"], row["ids"][0]) for row in listed["items"]] == [("alpha", CVE)]
    by = listed["items"][0]["ignored_by"]
    assert by == {"rule": "build statement", "reason": f"{upstream.url} says mitigated in {WORD.fn}: {PATCH}"}


async def test_what_is_set_aside_is_listed_where_no_verdict_changes(mirror: Person, app_client: Any) -> None:
    """The publication stays the same then, and only its findings are written anew."""
    await mirror.set_policy("main", ALLOW_ALL)
    assert (await app_client.get("/api/v1/channels/main/findings", params={"status": "ignored"})).json()["total"] == 0
    number = (await app_client.get("/api/v1/channels/main")).json()["publication"]
    await trust(mirror)
    assert (await app_client.get("/api/v1/channels/main")).json()["publication"] == number
    assert (await app_client.get("/api/v1/channels/main/findings", params={"status": "ignored"})).json()["total"] == 1


async def test_trust_that_is_taken_back_counts_no_more(mirror: Person) -> None:
    await trust(mirror)
    await trust(mirror, False)
    assert set(await mirror.withheld("main")) == {WORD.fn, SILENT.fn}


async def test_a_statement_is_found_after_the_trust_was_given(
    person: Person, upstream: UpstreamServer, ask: Asker, tmp_path: Path
) -> None:
    write_upstream(upstream.folder, [WORD])
    await person.mirror("main", upstream, subdirs=["linux-64"])
    await trust(person)
    assert (await ask(f"/conda/main/noarch/{WORD.fn}")).status == 200
    await ask.application.artifacts.finish_recording()
    await tell_of_a_vulnerability(person, tmp_path, "alpha", "1.0")
    await person.set_policy("main", STOP_ACTIVE)
    assert await person.withheld("main") == {}


async def test_another_upstream_takes_the_trust_away(mirror: Person, upstream: UpstreamServer, app_client: Any) -> None:
    await trust(mirror)
    await edit(mirror, every_s=7200)
    assert (await app_client.get("/api/v1/channels/main")).json()["trust_build_statements"] is True
    await mirror.ask(
        mirrors.update_mirror, "main", mirrors.MirrorSettings(f"{upstream.url}/", subdirs=["linux-64"])
    )  # the same, written in another way
    assert (await app_client.get("/api/v1/channels/main")).json()["trust_build_statements"] is True
    await edit(mirror, upstream=upstream.url.replace("127.0.0.1", "localhost"))
    assert (await app_client.get("/api/v1/channels/main")).json()["trust_build_statements"] is False
    assert set(await mirror.withheld("main")) == {WORD.fn, SILENT.fn}


async def test_another_mirror_of_the_same_channel_takes_the_trust_away(
    mirror: Person, upstream: UpstreamServer, app_client: Any
) -> None:
    await trust(mirror)
    for address, trusted in ((upstream.url, True), (upstream.url.replace("127.0.0.1", "localhost"), False)):
        await mirror.ask(mirrors.delete_mirror, "main")
        await mirror.ask(mirrors.create_mirror, "main", mirrors.MirrorSettings(address, subdirs=["linux-64"]))
        assert (await app_client.get("/api/v1/channels/main")).json()["trust_build_statements"] is trusted


async def test_a_file_of_an_older_publication_is_judged_by_the_same_trust(
    mirror: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    await mirror.set_policy("main", ALLOW_ALL)
    write_upstream(upstream.folder, [Package("alpha", "2.0")])
    await mirror.sync("main")
    await mirror.set_policy("main", STOP_ACTIVE)
    path = f"/conda/main/noarch/{WORD.fn}"
    await ask.application.files._directory.refresh()
    assert (await ask(path)).status == 403
    await trust(mirror)
    assert (await ask(path)).status == 200
    assert (await ask(f"/conda/main/noarch/{SILENT.fn}")).status == 403


async def test_pages_show_what_builds_say_and_let_trust_be_given(
    mirror: Person,
    member_client: Any,  # noqa: F811
) -> None:
    page = (await member_client.get("/channels/main/packages/alpha")).text
    assert "said by the build" in page
    assert "the channel does not trust build statements" in page
    settings = (await member_client.get("/channels/main/settings")).text
    assert "Trust what builds say of themselves" in settings
    await trust(mirror)
    page = (await member_client.get("/channels/main/packages/alpha")).text
    assert f"says mitigated in {WORD.fn}" in page
    assert "the channel does not trust build statements" not in page
    assert "build statement" in (await member_client.get("/channels/main/findings?status=ignored")).text


async def test_the_change_is_in_the_audit_trail(mirror: Person, app_client: Any) -> None:
    await trust(mirror)
    events = json.dumps((await app_client.get("/api/v1/events?page_size=200")).json())
    assert "channel.build_statements_changed" in events


async def test_what_artifacts_say_is_read_once_a_name_and_beside_other_requests(
    mirror: Person, app_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may have thousands of records, each with words of its own."""
    read: list[tuple[str, bool]] = []  # who read, and whether others waited for it

    def noting(method: str) -> Any:
        plain = getattr(PublicationIndex, method)

        def note(index: PublicationIndex, name: str) -> Any:
            reader = Path(sys._getframe(1).f_code.co_filename).stem
            read.append((reader, threading.current_thread() is threading.main_thread()))
            return plain(index, name)

        return note

    for method in ("facts", "listed_records"):
        monkeypatch.setattr(PublicationIndex, method, noting(method))
    stored: set[bytes] = set()

    async def found(plain: Any, session: Any, digests: list[bytes]) -> Any:
        stored.update(digests)
        one = await plain(session, digests)
        return dict.fromkeys(digests, next(iter(one.values())))  # as if both said something

    for module, name in ((build_words, "find_build_statements"), (artifact_words, "find_artifact_indexes")):
        monkeypatch.setattr(module, name, partial(found, getattr(module, name)))
    answer = await app_client.get("/api/v1/channels/main/packages/alpha")
    assert answer.status_code == 200
    assert len(stored) == 2
    assert [reader for reader, others_waited in read if others_waited] == []
    assert [reader for reader, _ in read if reader.endswith("_words")] == ["build_words", "artifact_words"]
