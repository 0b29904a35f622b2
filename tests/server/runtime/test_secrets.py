"""Addresses with a secret in every position, given to one whole server: nothing that it writes or answers shows one."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.conftest import RunningServer, launch_server
from tests.e2e.upstream_channel import Package, write_upstream
from tests.reports.odd_upstream import OddUpstream, Reply

SECRET = "s3cr3tW0rd"
UPSTREAMS = {
    "user": "http://ana:{}@{host}/repo/main",
    "password-only": "http://:{}@{host}/repo/main",
    "token-first": "http://{host}/t/{}/repo/main",
    "token-last": "http://{host}/t/{}",
    "token-inside": "http://{host}/repo/t/{}/main",
    "token-twice": "http://{host}/t/{}/repo/t/{}/main",
    "failing": "http://ana:{}@{host}/repo/t/{}/nothing-here",
    "nobody-listens": "http://ana:{}@127.0.0.1:1/repo/t/{}/main",
}
REFUSED = {
    "query": "http://{host}/main?token={}",
    "fragment": "http://{host}/main#{}",
    "port": "http://ana:{}@{host}9999999/main",
    "scheme": "ftp://ana:{}@{host}/main",
    "no-scheme": "ana:{}@{host}/main",
}
FEEDS = (
    "http://ana:{}@{host}/kev.json",
    "http://{host}/kev.json?token={}",
    "http://{host}/x/t/{}/kev.json",
    "http://{host}/gone.json?{}",
)
FN = Package("a", "1.0").fn
PAGES = (
    "/api/v1/mirrors", "/api/v1/feeds", "/api/v1/events", "/api/v1/channels", "/readyz", "/metrics",
)  # fmt: skip


def fill(folder: Path) -> None:
    """A channel wherever the tokens point, each with an artifact of its own, and a feed."""
    for path in (
        "repo/main", f"t/{SECRET}", f"t/{SECRET}/repo/main", f"repo/t/{SECRET}/main", f"t/{SECRET}/repo/t/{SECRET}/main",
    ):  # fmt: skip
        (folder / path).mkdir(parents=True, exist_ok=True)
        write_upstream(folder / path, [Package("a", "1.0", payload=path.encode())])
    kev = json.dumps({"vulnerabilities": [{"cveID": "CVE-2026-0001", "dateAdded": "2026-03-01"}]})
    for path in ("kev.json", f"x/t/{SECRET}/kev.json"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(kev)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    started = launch_server(tmp_path_factory.mktemp("secrets") / "home", "--no-demo", outbound_attempts="1")
    yield started
    started.stop()


def ask(server: RunningServer, path: str) -> str:
    request = urllib.request.Request(server.url + path, headers={"Authorization": f"Bearer {server.token}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return str(error.read().decode(errors="replace"))


def use(server: RunningServer, host: str) -> Iterator[tuple[str, str]]:
    """Everything that a person would do with such addresses: (what it was, what was answered)."""

    def say(*arguments: str) -> tuple[str, str]:
        done = server.cli(*arguments, check=False)
        return " ".join(arguments[:3]), done.stdout + done.stderr

    for name, address in {**UPSTREAMS, **REFUSED}.items():
        url = address.replace("{}", SECRET).replace("{host}", host)
        yield say("mirror", "create", name, "--upstream", url, "--subdir", "noarch", "--wait")
    for location in FEEDS:
        yield say("feed", "add", "kev", location.replace("{}", SECRET).replace("{host}", host), "--wait")
    for name in UPSTREAMS:
        yield say("mirror", "show", name)
        yield say("mirror", "show", name, "-o", "json")
        yield say("channel", "show", name, "-o", "json")
        yield name, ask(server, f"/conda/{name}/noarch/{FN}")
        yield name, ask(server, f"/api/v1/mirrors/{name}")
    url = UPSTREAMS["token-inside"].replace("{}", f"other{SECRET}").replace("{host}", host)
    yield say("mirror", "edit", "token-inside", "--upstream", url, "--wait")
    for listing in (("mirror", "list"), ("feed", "list"), ("channel", "list"), ("admin", "audit")):
        yield say(*listing)
        yield say(*listing, "-o", "json")
    for page in PAGES:
        yield page, ask(server, page)


def stored(server: RunningServer) -> Iterator[tuple[str, str]]:
    """Every table as text, without the two columns in which secrets belong; then every file of the home."""
    with psycopg.connect(server.database_url) as connection:
        columns = connection.execute(
            "SELECT table_name, string_agg(format('%I::text', column_name), ', ') FROM information_schema.columns"
            " JOIN information_schema.tables USING (table_schema, table_name) WHERE table_schema = 'public'"
            " AND table_type = 'BASE TABLE' AND column_name NOT IN ('upstream_auth', 'location_auth') GROUP BY table_name"
        ).fetchall()
        for table, names in columns:
            query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(names), sql.Identifier(table))
            yield f"table {table}", str(connection.execute(query).fetchall())
    for path in sorted(server.home.parent.rglob("*")):
        if path.is_file() and "postgres" not in path.relative_to(server.home.parent).parts[:2]:
            yield str(path), path.read_bytes().decode("latin-1")


def test_no_secret_is_shown_or_written_wherever_an_address_carries_it(server: RunningServer, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    fill(folder)
    with OddUpstream(folder) as odd:
        odd.replies["gone.json"] = Reply(404)
        host = odd.url.removeprefix("http://")
        shown = list(use(server, host))
        assert [where for where, text in shown if SECRET in text] == []
        assert [where for where, text in stored(server) if SECRET in text] == []
        for name in list(UPSTREAMS)[:6]:
            mirror = json.loads(server.cli("mirror", "show", name, "-o", "json").stdout)
            assert name == "token-inside" or mirror["state"] == "ok", (name, mirror)
        feeds = json.loads(server.cli("feed", "list", "-o", "json").stdout)
        assert [feed["state"] for feed in feeds if feed["kind"] == "kev"].count("ok") == 3, feeds
        asked_for = {path for path, _ in odd.seen if path.endswith(FN)}
        assert len(asked_for) == 5, "every form of address led to the artifact"
    assert len([text for _, text in shown if text]) == len(shown), "every step answered something"
