"""After a fault: within bounded time everything that was accepted is applied, and nothing is left behind."""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any

import psycopg

from tests.soak import world
from tests.soak.asking import ask
from tests.soak.era import Era
from tests.soak.load import read_document
from tests.soak.model import Channel
from tests.soak.world import Source

BOUND_S = 240.0
LOOK_EVERY_S = 0.5


def settle(era: Era, bound_s: float = BOUND_S) -> bool:
    """Whether all became quiet and right in time; every reason why not is a finding."""
    began = time.monotonic()
    until = began + bound_s
    era.actors.rest(True)
    time.sleep(1.0)
    for administrator in era.administrators.values():
        administrator.finish()
    if not era.wait_ready(bound_s):
        bodies = [ask(port, "GET", "/readyz", patience_s=10) for port in era.cluster.web_ports]
        era.find(f"not ready {bound_s:.0f} s after the faults ended: {[(b.status, b.reason, b.body) for b in bodies]}")
        return False
    if not _say_again(era, until):
        era.find(f"changes are still refused {bound_s:.0f} s after the faults ended")
        return False
    while era.needs_repair and time.monotonic() < until:
        report = run_storage(era, "verifications", {"repair": True}, until)
        era.needs_repair = report is not None and report["lost_count"] > 0
        era.journal.note("repair", "", lost=report and report["lost_count"], first=report and report["lost"][:2])
        time.sleep(LOOK_EVERY_S)
    for channel in era.model.channels.values():
        upstream = era.upstream_of[channel.name]
        channel.source.accept(Source(upstream, era.upstreams.generation[upstream]))
    era.model.knowledge.accept(era.upstreams.knowledge)
    wrong, told = ["never looked"], ""
    while wrong and time.monotonic() < until:
        wrong = [*list_unapplied(era), *list_unserved(era)]
        if wrong and (now := re.sub(r"\d+", "0", wrong[0])) != told:
            told = now
            era.journal.note("waits", wrong[0][:300], more=len(wrong) - 1)
        if wrong:
            time.sleep(LOOK_EVERY_S)
    if wrong:
        era.find(f"{bound_s:.0f} s after the faults ended: " + "; ".join(wrong[:8]))
        return False
    era.model.settle()
    took_s = time.monotonic() - began
    era.journal.settled_s.append(took_s)
    era.journal.note("settled", f"after {took_s:.1f} s")
    return True


def _say_again(era: Era, until: float) -> bool:
    """Make changes whose fate is unknown once more, so that there is one right state; ask for a sync of everything."""
    left: list[Any] = []
    for name, administrator in era.administrators.items():
        if administrator.channel.policy.has_open:
            left.append(administrator.set_policy)
        if name in era.unsure_upstreams:
            left.append(lambda a=administrator, n=name: a.edit_mirror(era.upstream_of[n]))
        left.append(administrator.sync)
    left.append(era.weather.sync_feeds)
    while left and time.monotonic() < until:
        left = [ask_again for ask_again in left if not ask_again()]
        if left:
            time.sleep(LOOK_EVERY_S)
    era.unsure_upstreams.clear()
    return not left


def list_unapplied(era: Era) -> list[str]:
    """What the API says is not done yet."""
    port = era.cluster.web_ports[0]
    token = era.token_of(port)
    wrong = []
    for kind, answer in (
        ("feed", ask(port, "GET", "/api/v1/feeds", token=token)),
        ("mirror", ask(port, "GET", "/api/v1/mirrors", token=token)),
    ):
        if answer.status != 200:
            return [f"the list of {kind}s answers {answer.status} {answer.reason}"]
        for row in answer.json()["items"]:
            name = row.get("channel") or row["location"]
            if row["state"] not in ("ok", "built-in") and not row.get("built_in"):
                wrong.append(f"{kind} {name} is {row['state']} ({row['last_error'] or row['progress']})")
    for channel in era.model.channels.values():
        answer = ask(port, "GET", f"/api/v1/channels/{channel.name}", token=token)
        if answer.status != 200:
            return [*wrong, f"channel {channel.name} answers {answer.status} {answer.reason}"]
        row = answer.json()
        if row["behind"]:
            wrong.append(f"channel {channel.name} is behind: {row['behind']}")
        if channel.revision is not None and row["policy_revision"] != channel.revision:
            wrong.append(f"channel {channel.name} has revision {row['policy_revision']}, not {channel.revision}")
    return wrong + _list_passing(era, port, token)


def _list_passing(era: Era, port: int, token: str) -> list[str]:
    answer = ask(port, "GET", "/api/v1/channels?page_size=500", token=token)
    if answer.status != 200:
        return [f"the list of channels answers {answer.status} {answer.reason}"]
    there = {row["name"] for row in answer.json()["items"]}
    wrong = [f"channel {name} was deleted and is there" for name in sorted(there & era.gone)]
    for name, state in list(era.passing.items()):
        if state == "unknown":
            if name in there:
                era.passing[name] = "there"
            else:
                del era.passing[name]
        elif name not in there:
            wrong.append(f"channel {name} was made and is not there")
    return wrong


def list_unserved(era: Era) -> list[str]:
    """What clients do not get as accepted, from each server and in each form."""
    wrong = []
    for channel in era.model.channels.values():
        for port in era.cluster.web_ports:
            for subdir in world.SUBDIRS:
                wrong += _compare(era, channel, port, subdir)
    return wrong


def _compare(era: Era, channel: Channel, port: int, subdir: str) -> list[str]:
    wanted = era.model.wanted(channel)
    for fn in ("repodata.json.zst", "repodata.json"):
        answer = era.client.fetch(port, channel, f"{subdir}/{fn}")
        if answer.status != 200:
            return [f"{channel.name}/{subdir}/{fn} on port {port} answers {answer.status} {answer.reason}"]
        try:
            found = world.decode(subdir, read_document(fn, answer.body))
        except world.TornError as error:
            return [f"{channel.name}/{subdir}/{fn} on port {port}: {error}"]
        if found != wanted:
            return [f"{channel.name}/{subdir}/{fn} on port {port} is of {found}, not {wanted}"]
    return []


def check_deeply(era: Era) -> None:
    """Every form, every shard, some artifacts of each kind, and refusals."""
    for channel in era.model.channels.values():
        for port in era.cluster.web_ports:
            for subdir in world.SUBDIRS:
                era.client.read_index(port, channel, subdir, "repodata_shards.msgpack.zst")
                for fn in ("current_repodata.json", "run_exports.json"):
                    answer = era.client.fetch(port, channel, f"{subdir}/{fn}")
                    if answer.status != 200:
                        era.find(f"{channel.name}/{subdir}/{fn} on port {port} answers {answer.status}")
                _check_artifacts(era, channel, port, subdir)


def _check_artifacts(era: Era, channel: Channel, port: int, subdir: str) -> None:
    wanted = era.model.wanted(channel)
    listed = world.expected(wanted, subdir)
    all_files = world.contents(wanted.source, subdir)
    special = [fn for fn in listed if not fn.startswith(("filler", "bit", "known", "rolling"))]
    for fn in [*special, *era.rng.sample(sorted(listed), 3)]:
        answer = era.client.fetch(port, channel, f"{subdir}/{fn}", is_artifact=True)
        if answer.status != 200 or hashlib.sha256(answer.body).hexdigest() != listed[fn]:
            era.find(
                f"{channel.name}/{subdir}/{fn} on port {port}: {answer.status} {answer.reason} {answer.body[:200]!r}"
            )
    for fn in era.rng.sample(sorted(all_files.keys() - listed.keys()), 2):
        answer = era.client.fetch(port, channel, f"{subdir}/{fn}", is_artifact=True)
        if answer.status != 403:
            era.find(f"{channel.name}/{subdir}/{fn} is withheld and answers {answer.status} on port {port}")


def check_queue(era: Era, patience_s: float = 90.0) -> None:
    """No job is left as running by nobody."""
    until = time.monotonic() + patience_s
    rows: list[Any] = []
    while time.monotonic() < until:
        try:
            with psycopg.connect(era.cluster.database_url, autocommit=True, connect_timeout=10) as connection:
                rows = connection.execute(
                    "SELECT id, task_name, status, attempts, worker_id FROM procrastinate_jobs "
                    "WHERE status = 'doing' AND task_name IN ('mirror.sync', 'feed.sync', 'publication.republish')"
                ).fetchall()
        except psycopg.Error as error:
            rows = [error]
        if not rows:
            return
        time.sleep(LOOK_EVERY_S)
    era.find(f"jobs run for {patience_s:.0f} s in all quiet: {rows[:5]}")


def check_storage(era: Era, patience_s: float = 120.0) -> None:
    """After a collection nothing is stored that nothing names; nothing that is named is missing or damaged."""
    until = time.monotonic() + patience_s
    if run_storage(era, "collections", {"min_age_s": 0}, until) is None:
        return
    left = run_storage(era, "collections", {"min_age_s": 0, "dry_run": True}, until)
    if left and left["unnamed"]:
        era.find(f"after a collection there are orphans: {left['unnamed']} {left['notes']}")
    found = run_storage(era, "verifications", {}, until)
    if found and found["lost_count"]:
        era.find(f"{found['lost_count']} blobs are lost or damaged: {found['lost'][:3]}")
    if left:
        stored = {kind: (facts["count"], facts["size_bytes"]) for kind, facts in left["stored"].items()}
        era.journal.note("stored", era.shape, **stored)
        era.watch_disk(sum(size for _, size in stored.values()))


def run_storage(era: Era, what: str, body: dict[str, Any], until: float) -> dict[str, Any] | None:
    """The report of a run of storage that ended well; one that found blobs in use is asked for again."""
    port = era.cluster.web_ports[0]
    token = era.token_of(port)
    error = ""
    while time.monotonic() < until:
        asked = ask(port, "POST", f"/api/v1/storage/{what}", token=token, body=body)
        row = asked.json() if asked.status == 202 else {}
        while row.get("state") in ("queued", "running") and time.monotonic() < until:
            time.sleep(LOOK_EVERY_S)
            answer = ask(port, "GET", f"/api/v1/storage/runs/{row['id']}", token=token)
            row = answer.json() if answer.status == 200 else row
        if row.get("state") == "done":
            report: dict[str, Any] = row["report"]
            return report
        error = row.get("error") or f"{asked.status} {asked.reason} {row.get('state', '')}"
        time.sleep(LOOK_EVERY_S)
    era.find(f"{what} of the storage do not end well: {error}")
    return None
