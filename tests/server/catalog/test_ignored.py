"""What a row of knowledge sets aside in a channel: listed with its rule when asked for, counted and judged nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from antivenom import __version__
from antivenom.server.advisories.built_in import announce_built_in
from tests.server.findings.test_match import MYSQL, OPENSSL, learn
from tests.server.mirrors.conftest import Person
from tests.server.test_pages import member_client, stranger  # noqa: F401  # fixtures
from tests.upstreams import UpstreamServer, make_record, write_channel

STRICT = """
name: strict
rules:
  - {id: any, gate: vulnerabilities, trigger: package, action: stop}
"""


@pytest.fixture
async def api(person: Person, upstream: UpstreamServer, app_client: Any) -> Any:
    """A client of a server with a channel of a MySQL client library and a vulnerable OpenSSL, under a strict policy."""
    await learn(person.resources, MYSQL, OPENSSL)
    await person.run_jobs(person.resources)
    records = [
        make_record("mysql-libs", "8.0.30"),
        make_record("mysql-libs", "8.0.31"),
        make_record("openssl", "3.0.5"),
    ]
    write_channel(upstream.folder, {"linux-64": records})
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=STRICT)
    return app_client


async def test_it_is_listed_with_its_rule_when_asked_for_and_changes_no_verdict(api: Any, person: Person) -> None:
    plain = (await api.get("/api/v1/channels/main/findings")).json()
    assert [(row["name"], row["ignored_by"]) for row in plain["items"]] == [("openssl", None)]
    asked = (await api.get("/api/v1/channels/main/findings", params={"status": "ignored", "sort": "name"})).json()
    assert {(row["name"], row["ids"][0], row["status"]) for row in asked["items"]} == {
        ("mysql-libs", "CVE-2024-0001", "ignored")
    }
    assert {row["version"] for row in asked["items"]} == {"8.0.30", "8.0.31"}
    assert {row["ignored_by"]["rule"] for row in asked["items"]} == {"parts/mysql-libs"}
    assert (asked["total"], asked["items"][0]["records"], asked["items"][0]["withheld"]) == (2, 1, 0)
    assert await person.kept("main") == {"mysql-libs-8.0.30-h0_0.conda", "mysql-libs-8.0.31-h0_0.conda"}


async def test_a_package_lists_it_apart_and_does_not_count_it(api: Any) -> None:
    package = (await api.get("/api/v1/channels/main/packages/mysql-libs")).json()
    assert package["findings"] == []
    assert package["package"]["vulnerabilities"] == 0
    assert {row["ignored_by"]["rule"] for row in package["ignored"]} == {"parts/mysql-libs"}
    affected = (await api.get("/api/v1/advisories/CVE-2024-0001/affected")).json()
    assert affected["total"] == 0


async def test_it_is_carried_on_when_something_else_changes(api: Any, person: Person) -> None:
    await person.set_policy("main", "name: none\nrules: []\n")
    asked = (await api.get("/api/v1/channels/main/findings", params={"status": "ignored"})).json()
    assert asked["total"] == 2


async def test_pages_show_the_rule(api: Any, person: Person, member_client: Any) -> None:  # noqa: F811
    await announce_built_in(person.resources)
    listed = (await member_client.get("/channels/main/findings?status=ignored")).text
    assert "parts/mysql-libs" in listed
    assert "mysql-libs" in listed
    assert "parts/mysql-libs" not in (await member_client.get("/channels/main/findings")).text
    package = (await member_client.get("/channels/main/packages/mysql-libs")).text
    assert "Set aside" in package
    assert "does not say that it is about the client library" in package
    assert "Set aside" not in (await member_client.get("/channels/main/packages/openssl")).text
    assert f"built in, release {__version__}" in (await member_client.get("/feeds")).text
    assert "Comes with the release" in (await member_client.get("/feeds/0")).text
