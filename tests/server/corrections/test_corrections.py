"""Corrections through the API on a real channel: the effect first, applied by an administrator, audited, taken back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from antivenom.core.errors import ForbiddenError
from antivenom.core.feeds.correcting import CorrectionKind, Proposal
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.server.context import LOCAL, Actor
from antivenom.server.corrections import service
from antivenom.server.events.models import Event
from tests.server.findings.test_match import conda, learn
from tests.server.mirrors.conftest import Person
from tests.server.test_pages import csrf_of, member_client, stranger  # noqa: F401  # fixtures
from tests.upstreams import UpstreamServer, make_record, write_channel

STRICT = """
name: strict
rules:
  - {id: any, gate: vulnerabilities, trigger: package, action: stop}
"""
ANA, CI = Actor("member", "ana", "member"), Actor("token", "ci", "author")


def until(fixed: str, scheme: str = "cpe") -> AffectedRange:
    return AffectedRange(scheme, None, fixed=fixed)


def nvd(advisory_id: str, product: str, fixed: str, details: str = "", platforms: tuple[str, ...] = ()) -> Advisory:
    affected = AffectedPackage("cpe", product, (until(fixed),), platforms=platforms)
    return Advisory(advisory_id, "nvd", summary=f"{product} has a flaw", details=details, affected=(affected,))


KNOWN = (
    nvd("CVE-2026-0003", "redis:redis", "8.0"),
    nvd("CVE-2026-0005", "haxx:curl", "8.0", "a redirect in the widget mode"),
    nvd("CVE-2026-0007", "openssl:openssl", "3.5", platforms=("windows",)),
    nvd("CVE-2026-0009", "acme:widget", "2.0"),
    Advisory(
        "PYSEC-2", "osv", ("CVE-2026-0002",), affected=(AffectedPackage("pypi", "redis", (until("9.0", "pep440"),)),)
    ),
)
NAMES = {"redis": ["redis"], "pure": ["pure"]}


@pytest.fixture
async def api(person: Person, upstream: UpstreamServer, app_client: Any) -> Any:
    """A client of a server with the channel main: redis, libcurl, openssl and a tool, under a strict policy."""
    await learn(person.resources, *KNOWN, maps=NAMES)
    await person.run_jobs(person.resources)
    records = [make_record(name, "3.0") for name in ("redis", "libcurl", "openssl", "acme-tool")]
    write_channel(upstream.folder, {"linux-64": [*records, make_record("libcurl", "7.0")]})
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=STRICT)
    return app_client


async def found(client: Any, name: str, version: str = "3.0", subdir: str = "") -> tuple[list[str], dict[str, str]]:
    """Ids of the findings, and the rule by id of what is ignored."""
    body = {"components": [conda(name, version, subdir=subdir)], "include_ignored": True}
    [answer] = (await client.post("/api/v1/match", json=body)).json()
    ignored = {f["ids"][0]: f["ignored_by"]["rule"] for f in answer["ignored"]}
    return sorted(f["ids"][0] for f in answer["findings"]), ignored


def wrong(kind: str, name: str, vulnerability: str = "", **fields: Any) -> dict[str, Any]:
    given = {"kind": kind, "name": name, "version": "3.0", "vulnerability": vulnerability, "reason": "we looked"}
    return given | fields


KINDS: dict[str, tuple[dict[str, Any], str, tuple[str, str], dict[str, str], list[str]]] = {
    # what is proposed, the row's id, (what happens in main, to which id), what is ignored then, what is served then
    "wrong package": (
        wrong("package", "redis", wrong_names=["pypi/redis"]), "is-not/redis/pypi/redis",
        ("goes", "CVE-2026-0002"), {"CVE-2026-0002": "is-not/redis/pypi/redis"}, [],
    ),
    "right package": (
        wrong("package", "acme-tool", right_names=["cpe/acme:widget"], version="1.5"), "names/acme-tool",
        ("", ""), {}, ["acme-tool"],
    ),
    "range": (
        wrong("range", "libcurl", "CVE-2026-0005", affected="5.0..8.0"), "affected/libcurl/CVE-2026-0005",
        ("goes", "CVE-2026-0005"), {"CVE-2026-0005": "affected/libcurl/CVE-2026-0005"}, ["libcurl"],
    ),
    "part": (
        wrong("part", "libcurl", "CVE-2026-0005"), "affected/libcurl/CVE-2026-0005",
        ("goes", "CVE-2026-0005"), {"CVE-2026-0005": "affected/libcurl/CVE-2026-0005"}, ["libcurl", "libcurl"],
    ),
    "part by words": (
        wrong("part", "libcurl", words=["widget mode"]), "parts/libcurl",
        ("goes", "CVE-2026-0005"), {"CVE-2026-0005": "parts/libcurl"}, ["libcurl", "libcurl"],
    ),
    "platform": (
        wrong("platform", "openssl", "CVE-2026-0007", platforms=["any"]), "platforms/CVE-2026-0007",
        ("comes", "CVE-2026-0007"), {}, [],
    ),
    "missing": (
        wrong("missing", "acme-tool", "CVE-2026-0009", affected="..4.0"), "affected/acme-tool/CVE-2026-0009",
        ("comes", "CVE-2026-0009"), {}, [],
    ),
    "ignore": (
        wrong("ignore", "redis", "CVE-2026-0003"), "affected/redis/CVE-2026-0003",
        ("goes", "CVE-2026-0003"), {"CVE-2026-0003": "affected/redis/CVE-2026-0003"}, [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", KINDS.values(), ids=KINDS)
async def test_what_is_shown_first_is_what_happens_and_can_be_taken_back(
    api: Any, person: Person, case: tuple[dict[str, Any], str, tuple[str, str], dict[str, str], list[str]]
) -> None:
    body, row_id, (change, vulnerability), ignored, served = case
    name = body["name"]
    before = await found(api, name, subdir="linux-64"), await person.kept("main")
    plan = (await api.post("/api/v1/corrections/preview", json=body)).json()
    assert row_id in plan["row_ids"]
    assert plan["text"].startswith("# antivenom knowledge\n")
    told = {(r["change"], r["id"]) for place in plan["effect"]["channels"] for r in place["sample"]}
    assert told == ({(change, vulnerability)} if change else set())
    assert (await found(api, name, subdir="linux-64"), await person.kept("main")) == before  # nothing was kept

    answer = await api.post("/api/v1/corrections", json=body)
    assert answer.status_code == 201, answer.text
    number = answer.json()["id"]
    shown = (await api.get(f"/api/v1/corrections/{number}")).json()
    assert (shown["state"], shown["effect"], shown["text"]) == ("proposed", plan["effect"], plan["text"])
    applied = (await api.post(f"/api/v1/corrections/{number}/apply")).json()
    assert (applied["state"], applied["applied_by"]) == ("applied", "local")
    await person.run_jobs(person.resources)

    after = await found(api, name, subdir="linux-64")
    assert {i: rule for i, rule in after[1].items() if rule != "platform"} == ignored
    if change:
        assert (vulnerability in after[0]) == (change == "comes")
    assert [fn.rsplit("-", 2)[0] for fn in sorted(await person.kept("main")) if fn.startswith(name)] == served

    back = (await api.get(f"/api/v1/corrections/{number}")).json()["effect"]
    opposite = {"comes": "goes", "goes": "comes", "moves": "moves", "": ""}[change]
    assert {(r["change"], r["id"]) for p in back["channels"] for r in p["sample"]} == (
        {(opposite, vulnerability)} if change else set()
    )
    assert (await api.post(f"/api/v1/corrections/{number}/revert")).json()["state"] == "reverted"
    await person.run_jobs(person.resources)
    assert (await found(api, name, subdir="linux-64"), await person.kept("main")) == before


async def test_the_component_that_was_named_has_an_effect_of_its_own(api: Any) -> None:
    body = wrong("package", "acme-tool", right_names=["cpe/acme:widget"], version="1.5")
    effect = (await api.post("/api/v1/corrections/preview", json=body)).json()["effect"]
    assert (effect["component"]["comes"], effect["component"]["sample"][0]["id"]) == (1, "CVE-2026-0009")
    assert effect["channels"] == []  # main has 3.0, which is fixed


async def test_counts_are_of_findings_of_versions(api: Any) -> None:
    plan = (await api.post("/api/v1/corrections/preview", json=wrong("part", "libcurl", "CVE-2026-0005"))).json()
    [place] = plan["effect"]["channels"]
    assert (place["channel"], place["goes"], place["comes"]) == ("main", 2, 0)
    [row] = place["sample"]
    assert (sorted(row["versions"]), row["subdirs"], row["rule"]) == (
        ["3.0", "7.0"], ["linux-64"], "affected/libcurl/CVE-2026-0005"
    )  # fmt: skip


# -- who may, and what is recorded ------------------------------------------------------------------------------------

IGNORED = Proposal(CorrectionKind.ignore, "redis", "3.0", "CVE-2026-0003", reason="we looked")


async def test_a_reader_sees_the_effect_an_author_proposes_and_an_administrator_applies(
    api: Any, person: Person
) -> None:
    async with person.resources.context(ANA) as ctx:
        assert (await service.preview_correction(ctx, IGNORED)).row_ids == ["affected/redis/CVE-2026-0003"]
        with pytest.raises(ForbiddenError, match="member"):
            await service.propose_correction(ctx, IGNORED)
    async with person.resources.context(CI) as ctx:
        number = (await service.propose_correction(ctx, IGNORED)).id
        for change in (service.apply_correction, service.revert_correction):
            with pytest.raises(ForbiddenError, match="author"):
                await change(ctx, number)
    async with person.resources.context(Actor("token", "other", "author")) as ctx:
        with pytest.raises(ForbiddenError):
            await service.decline_correction(ctx, number)  # another's
    async with person.resources.context(CI) as ctx:
        assert (await service.decline_correction(ctx, number)).state == "declined"  # one's own


async def test_each_step_is_an_event_with_the_rows_the_reason_and_the_counts(api: Any, person: Person) -> None:
    async with person.resources.context(CI) as ctx:
        number = (await service.propose_correction(ctx, IGNORED)).id
    await api.post(f"/api/v1/corrections/{number}/apply")
    await person.run_jobs(person.resources)
    await api.post(f"/api/v1/corrections/{number}/revert")
    async with person.resources.context(LOCAL) as ctx:
        query = select(Event).where(Event.subject == f"correction:{number}").order_by(Event.id)
        events = list(await ctx.session.scalars(query))
    assert [(e.kind, e.actor) for e in events] == [
        ("correction.proposed", "token:ci"), ("correction.applied", "local"), ("correction.reverted", "local"),
    ]  # fmt: skip
    assert {e.data["reason"] for e in events} == {"we looked"}
    assert {tuple(e.data["rows"]) for e in events} == {("affected/redis/CVE-2026-0003",)}
    assert (events[1].data["goes"], events[2].data["comes"]) == (1, 1)
    assert events[2].data["revision"] > events[1].data["revision"]


async def test_a_step_that_is_not_its_turn_is_a_conflict(api: Any) -> None:
    number = (await api.post("/api/v1/corrections", json=wrong("ignore", "redis", "CVE-2026-0003"))).json()["id"]
    assert (await api.post(f"/api/v1/corrections/{number}/revert")).status_code == 409
    assert (await api.post(f"/api/v1/corrections/{number}/apply")).status_code == 200
    assert (await api.post(f"/api/v1/corrections/{number}/apply")).status_code == 409
    assert (await api.post(f"/api/v1/corrections/{number}/decline")).status_code == 409
    again = await api.post("/api/v1/corrections", json=wrong("ignore", "redis", "CVE-2026-0003"))
    assert (again.status_code, f"correction {number} says the same" in again.json()["detail"]) == (409, True)
    assert (await api.get("/api/v1/corrections/99999")).status_code == 404


async def test_of_two_applied_ones_the_last_counts_and_taking_it_back_leaves_the_first(
    api: Any, person: Person
) -> None:
    numbers = []
    for affected in ("..2.0", "..4.0"):
        body = wrong("range", "libcurl", "CVE-2026-0005", affected=affected)
        numbers.append((await api.post("/api/v1/corrections", json=body)).json()["id"])
        assert (await api.post(f"/api/v1/corrections/{numbers[-1]}/apply")).status_code == 200
    await person.run_jobs(person.resources)
    assert (await found(api, "libcurl"))[0] == ["CVE-2026-0005"]
    await api.post(f"/api/v1/corrections/{numbers[1]}/revert")
    await person.run_jobs(person.resources)
    assert (await found(api, "libcurl"))[0] == []


async def test_applied_ones_go_before_a_feed_and_are_a_feed_elsewhere(api: Any, person: Person, tmp_path: Path) -> None:
    body = wrong("range", "libcurl", "CVE-2026-0005", affected="..2.0")
    number = (await api.post("/api/v1/corrections", json=body)).json()["id"]
    await api.post(f"/api/v1/corrections/{number}/apply")
    text = (await api.get("/api/v1/corrections/knowledge.tsv")).text
    assert "libcurl\tCVE-2026-0005\t..2.0\twe looked" in text
    path = tmp_path / "other.tsv"
    path.write_text(text.replace("..2.0", "..4.0"))
    assert (await api.post("/api/v1/feeds", json={"kind": "knowledge", "location": str(path)})).status_code == 201
    await person.run_jobs(person.resources)
    assert (await found(api, "libcurl"))[0] == []
    await api.post(f"/api/v1/corrections/{number}/revert")
    await person.run_jobs(person.resources)
    assert (await found(api, "libcurl"))[0] == ["CVE-2026-0005"]  # now the feed's row counts


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (wrong("package", "redis"), "names"),
        (wrong("package", "redis", wrong_names=["redis"]), "names"),
        (wrong("package", "redis", wrong_names=["pypi/a"], right_names=["pypi/a"]), "names"),
        (wrong("range", "redis", "CVE-2026-0003"), "affected"),
        (wrong("range", "redis", "CVE-2026-0003", affected="8.0"), "affected"),
        (wrong("range", "redis", affected="..8.0"), "vulnerability"),
        (wrong("missing", "redis", "CVE-2026-0003", affected="none"), "affected"),
        (wrong("part", "acme-tool", words=["widget"]), "words"),
        (wrong("platform", "redis", "CVE-2026-0003"), "platforms"),
        (wrong("platform", "redis", "CVE-2026-0003", platforms=["vax"]), "platforms"),
        (wrong("ignore", "redis", "CVE-2026-0003", reason=" "), "reason"),
        (wrong("ignore", "red is", "CVE-2026-0003"), "name"),
        (wrong("ignore", "redis", "CVE-2026-0003 CVE-2026-0005"), "vulnerability"),
        (wrong("nonsense", "redis"), "kind"),
    ],
)
async def test_what_lacks_something_is_refused_by_its_field(api: Any, body: dict[str, Any], field: str) -> None:
    for path in ("/api/v1/corrections/preview", "/api/v1/corrections"):
        answer = await api.post(path, json=body)
        assert (answer.status_code, answer.json().get("field")) == (422, field), answer.text


async def test_a_vulnerability_that_no_feed_knows_is_told(api: Any) -> None:
    unknown = (await api.post("/api/v1/corrections/preview", json=wrong("ignore", "redis", "CVE-1999-0001"))).json()
    assert "No feed that is read knows CVE-1999-0001" in unknown["note"]
    known = (await api.post("/api/v1/corrections/preview", json=wrong("ignore", "redis", "cve-2026-0003"))).json()
    assert (known["note"], known["row_ids"]) == ("", ["affected/redis/CVE-2026-0003"])  # as feeds spell it
    assert known["effect"]["channels"][0]["goes"] == 1


async def test_a_tab_in_a_reason_makes_no_second_cell(api: Any) -> None:
    body = wrong("ignore", "redis", "CVE-2026-0003", reason="we\tlooked\nfor it")
    assert "\twe looked for it\t" in (await api.post("/api/v1/corrections/preview", json=body)).json()["text"]


async def test_a_row_of_names_keeps_what_was_there(api: Any) -> None:
    body = wrong("package", "libcurl", right_names=["cpe/acme:curl"])
    text = (await api.post("/api/v1/corrections/preview", json=body)).json()["text"]
    [row] = [line.split("\t") for line in text.splitlines() if line.startswith("libcurl\t")]
    assert row[1].split()[-1] == "acme:curl"
    assert {"haxx:curl", "curl:libcurl"} <= set(row[1].split())
    assert "julia-builds/LibCURL_jll" in row[3]


# -- pages ------------------------------------------------------------------------------------------------------------


async def test_the_form_shows_the_effect_first_and_applies(api: Any, person: Person, member_client: Any) -> None:  # noqa: F811
    about = {"component": "conda:redis=3.0", "channel": "conda-forge", "advisory": "CVE-2026-0002", "kind": "package"}
    form = await member_client.get("/corrections/new", params=about)
    assert 'value="pypi/redis"' in form.text
    values = about | {"wrong_names": "pypi/redis", "reason": "it is the server", "csrf": await csrf_of(member_client)}
    shown = await member_client.post("/corrections/new", data=values | {"do": "preview"})
    assert shown.status_code == 200
    assert "kept as ignored by is-not/redis/pypi/redis" in shown.text
    assert "redis\tpypi/redis\tit is the server" in shown.text
    assert (await api.get("/api/v1/corrections")).json()["total"] == 0
    [values["shown"]] = re.findall(r'name="shown" value="([^"]+)"', shown.text)
    for changed in ({"reason": "something else"}, {"shown": ""}):  # another effect than the one that was shown
        again = await member_client.post("/corrections/new", data=values | changed | {"do": "apply"})
        assert (again.status_code, "What would change" in again.text) == (200, True)
    assert (await api.get("/api/v1/corrections")).json()["total"] == 0
    done = await member_client.post("/corrections/new", data=values | {"do": "apply"})
    assert done.status_code == 303
    assert re.fullmatch(r"/corrections/\d+", done.headers["location"])
    await person.run_jobs(person.resources)
    page = await member_client.get(done.headers["location"])
    assert "If it is taken back" in page.text
    refused = await member_client.post("/corrections/new", data=values | {"reason": "", "do": "preview"})
    assert (refused.status_code, "why it is wrong" in refused.text) == (422, True)


async def test_every_finding_on_pages_leads_to_the_form(api: Any, member_client: Any) -> None:  # noqa: F811
    package = await member_client.get("/channels/main/packages/redis")
    listed = await member_client.get("/channels/main/findings")
    matched = await member_client.get("/match", params={"component": "conda:redis=3.0"})
    for page in (package, listed, matched):
        links = re.findall(r'href="(/corrections/new\?[^"]+)"[^>]*>This is wrong', page.text)
        assert any("CVE-2026-0003" in link for link in links), page.text[:200]
        for link in links:
            assert (await member_client.get(link.replace("&amp;", "&"))).status_code == 200
