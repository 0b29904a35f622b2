"""What members and clients do all the while, and what they check of each answer."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import zstandard

from tests.soak import world
from tests.soak.asking import Answer, ask
from tests.soak.model import Channel
from tests.soak.world import Source, TornError

if TYPE_CHECKING:
    from tests.soak.era import Era

DOCUMENTS = ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst", "artifact", "artifact", "other")
OTHERS = ("current_repodata.json", "run_exports.json", "../channeldata.json", "no-such-file.json")
DECOMPRESSED_MAX = 1 << 26


class Client:
    """Reads channel files and compares them with what may be served."""

    def __init__(self, era: Era, rng: random.Random) -> None:
        self.era, self.rng = era, rng

    def read_something(self) -> None:
        channel = self.rng.choice(list(self.era.model.channels.values()))
        port = self.rng.choice(self.era.cluster.web_ports)
        subdir = self.rng.choice(world.SUBDIRS)
        document = self.rng.choice(DOCUMENTS)
        if document == "other":
            self.fetch(port, channel, f"{subdir}/{self.rng.choice(OTHERS)}")
        elif document == "artifact":
            self.read_artifact(port, channel, subdir)
        else:
            self.read_index(port, channel, subdir, document)

    def fetch(self, port: int, channel: Channel, below: str, *, is_artifact: bool = False) -> Answer:
        """One answer, with what holds of every answer."""
        path = f"/conda/{channel.name}/{below}"
        answer = ask(port, "GET", path)
        self.era.check_status(answer, path, port, may_be_gateway=is_artifact)
        tag = answer.header("etag")
        if answer.status == 200 and tag:
            digest = hashlib.sha256(answer.body).hexdigest()
            if not self.era.model.check_tag(path, tag, digest):
                self.era.find(f"{path} had other bytes under the same ETag {tag} before (port {port})")
        return answer

    def read_index(self, port: int, channel: Channel, subdir: str, fn: str) -> dict[str, Any] | None:
        """The records of a subdir by one of its documents; None when there was no answer."""
        starts = self.era.incarnation(port)
        oldest = channel.newest_seen.get((port, starts), 0)
        before = self.era.model.allowed(channel)
        answer = self.fetch(port, channel, f"{subdir}/{fn}")
        if answer.status != 200:
            return None
        try:
            if fn == "repodata_shards.msgpack.zst":
                records = self._read_shards(port, channel, subdir, answer.body)
                if records is None:
                    return None
            else:
                records = read_document(fn, answer.body)
            state = world.decode(subdir, records)
        except (TornError, ValueError, KeyError, zstandard.ZstdError) as error:
            self.era.find_body(f"{channel.name}/{subdir}/{fn} on port {port} is torn or mixed: {error}", answer.body)
            return None
        if wrong := self.era.model.explain(channel, state, before):
            self.era.find(f"{channel.name}/{subdir}/{fn} on port {port} is of a wrong state: {wrong}")
        if starts == self.era.incarnation(port):
            if state.policy < oldest:
                self.era.find(f"{channel.name} on port {port} went back from policy {oldest} to {state.policy}")
            channel.newest_seen[port, starts] = max(state.policy, channel.newest_seen.get((port, starts), 0))
        self.era.journal.counts[f"read {fn}"] += 1
        return records

    def _read_shards(self, port: int, channel: Channel, subdir: str, body: bytes) -> dict[str, Any] | None:
        """The records by the shards of an index; of a large one only some shards are asked for, but then no state."""
        index = msgspec.msgpack.decode(zstandard.decompress(body, max_output_size=DECOMPRESSED_MAX))
        shards: dict[str, bytes] = index["shards"]
        found: dict[str, Any] = {}
        chosen = list(shards) if len(shards) < 100 else self.rng.sample(sorted(shards), 12)
        for name in chosen:
            digest = shards[name].hex()
            answer = self.fetch(port, channel, f"{subdir}/shards/{digest}.msgpack.zst")
            if answer.status != 200:
                if answer.status in (401, 403, 404, 410):
                    self.era.find(f"{channel.name}/{subdir}: the shard of {name} is listed and answers {answer.status}")
                return None
            if hashlib.sha256(answer.body).hexdigest() != digest:
                self.era.find(f"{channel.name}/{subdir}: the shard of {name} is not the bytes of its digest")
                return None
            content = msgspec.msgpack.decode(zstandard.decompress(answer.body, max_output_size=DECOMPRESSED_MAX))
            for section in ("packages", "packages.conda"):
                for fn, record in content[section].items():
                    found[fn] = record | {"sha256": record["sha256"].hex()}
        self.era.journal.counts["read shards"] += len(chosen)
        return found if len(chosen) == len(shards) else None

    def read_artifact(self, port: int, channel: Channel, subdir: str) -> None:
        """A file that was listed a moment ago: its bytes, a refusal, or a reason why not."""
        before = self.era.model.allowed(channel)
        records = self.read_index(port, channel, subdir, "repodata.json")
        if not records:
            return
        names = sorted(records)
        fn = self.rng.choice([name for name in names if not name.startswith("filler")] + self.rng.sample(names, 5))
        answer = self.fetch(port, channel, f"{subdir}/{fn}", is_artifact=True)
        if answer.status == 200 and hashlib.sha256(answer.body).hexdigest() not in self.possible(
            channel, subdir, fn, before.sources
        ):
            self.era.find_body(f"{channel.name}/{subdir}/{fn} on port {port} is given with wrong bytes", answer.body)
        self.era.journal.counts[f"artifact {answer.status}"] += 1

    def possible(self, channel: Channel, subdir: str, fn: str, before: list[Source]) -> set[str]:
        """Digests that a file may have now, or when it was asked for."""
        found = set()
        for source in before + channel.source.allowed():
            if entry := world.contents(source, subdir).get(fn):
                found.add(entry[0]["sha256"])
        return found


def read_document(fn: str, body: bytes) -> dict[str, Any]:
    """The records of repodata.json or repodata.json.zst."""
    if fn.endswith(".zst"):
        body = zstandard.decompress(body, max_output_size=DECOMPRESSED_MAX)
    document = json.loads(body)
    return document["packages"] | document["packages.conda"]  # type: ignore[no-any-return]


class Administrator:
    """Changes one channel, one change after another, and remembers what was accepted."""

    def __init__(self, era: Era, channel: Channel, rng: random.Random) -> None:
        self.era, self.channel, self.rng = era, channel, rng
        self._next_policy = channel.policy.accepted
        # One change is under way at a time: of two at once nobody could say which one the server takes last.
        self._changing = threading.Lock()

    def finish(self) -> None:
        """Wait until the change that is under way has an answer, or none."""
        with self._changing:
            pass

    def call(self, method: str, path: str, body: Any = None, port: int | None = None) -> Answer:
        port = port or self.rng.choice(self.era.cluster.web_ports)
        answer = ask(port, method, f"/api/v1{path}", token=self.era.token_of(port), body=body)
        self.era.check_status(answer, f"{method} {path}", port)
        return answer

    def do_something(self) -> None:
        what = self.rng.choices((self.set_policy, self.sync, self.edit_mirror, self.plan, self.look), (6, 3, 2, 1, 1))[
            0
        ]
        what()

    def set_policy(self, port: int | None = None) -> bool:
        """Whether it was accepted."""
        with self._changing:
            return self._set_policy(port)

    def _set_policy(self, port: int | None) -> bool:
        self._next_policy += 1
        number = self._next_policy
        self.channel.policy.begin(number)
        name = self.channel.name
        body = {"text": world.policy_text(name, number)}
        answer = self.call("PUT", f"/channels/{name}/policy", body, port)
        self.era.journal.note("policy", f"{name} to {number}", answered=answer.status or answer.reason)
        if answer.status == 200:
            self.channel.policy.accept(number)
            self.channel.revision = answer.json()["revision"]
            return True
        if answer.is_unknown:
            self.channel.policy.leave_open(number)
        else:
            self.channel.policy.refuse(number)
            self.era.find(f"a right policy of {name} was refused with {answer.status}: {answer.body[:300]!r}")
        return False

    def sync(self) -> bool:
        answer = self.call("POST", f"/mirrors/{self.channel.name}/sync")
        self.era.journal.note("sync", self.channel.name, answered=answer.status or answer.reason)
        return answer.status == 202

    def edit_mirror(self, upstream: str = "") -> bool:
        """Change how the mirror reads its upstream, or which one it has; whether that was accepted."""
        with self._changing:
            return self._edit_mirror(upstream)

    def _edit_mirror(self, upstream: str) -> bool:
        change: dict[str, Any] = {"shards": self.rng.random() < 0.5}
        if not upstream and self.channel.name == "gamma" and self.rng.random() < 0.5:
            upstream = self.rng.choice(world.UPSTREAMS)
        if upstream:
            change["upstream"] = self.era.upstreams.url(upstream)
            self.era.present([upstream], older=False)
        answer = self.call("PATCH", f"/mirrors/{self.channel.name}", change)
        self.era.journal.note(
            "mirror",
            self.channel.name,
            upstream=upstream,
            shards=change["shards"],
            answered=answer.status or answer.reason,
        )
        if answer.status == 200 and upstream:
            self.era.upstream_of[self.channel.name] = upstream
        elif upstream:
            self.era.unsure_upstreams.add(self.channel.name)
        return answer.status == 200

    def plan(self) -> None:
        text = world.policy_text(self.channel.name, self.rng.randrange(1 << world.BITS))
        answer = self.call("POST", f"/channels/{self.channel.name}/policy/plan", {"text": text})
        self.era.journal.note("plan", self.channel.name, answered=answer.status or answer.reason)

    def look(self) -> None:
        path = self.rng.choice(
            ("/channels", "/mirrors", "/feeds", "/events", f"/channels/{self.channel.name}/withheld",
             f"/channels/{self.channel.name}/findings", f"/channels/{self.channel.name}/packages", "/advisories")
        )  # fmt: skip
        self.call("GET", path)


class Weather:
    """Upstreams and feeds move on, channels come and go."""

    def __init__(self, era: Era, rng: random.Random) -> None:
        self.era, self.rng = era, rng
        self._number = 0

    def do_something(self) -> None:
        self.rng.choices((self.move_upstream, self.move_feed, self.pass_by), (4, 3, 2))[0]()

    def move_upstream(self) -> None:
        name = self.rng.choice(world.UPSTREAMS)
        source = Source(name, self.era.upstreams.generation[name] + 1)
        for channel in self.era.model.channels.values():
            channel.source.begin(source)
        self.era.upstreams.generation[name] = source.generation
        self.era.journal.note("upstream moves", f"{name} to {source.generation}")

    def move_feed(self) -> None:
        number = self.rng.randrange(1 << world.KNOWN)
        self.era.model.knowledge.begin(number)
        self.era.upstreams.knowledge = number
        self.era.journal.note("feed moves", str(number))
        self.sync_feeds()

    def sync_feeds(self) -> bool:
        port = self.rng.choice(self.era.cluster.web_ports)
        answer = ask(port, "POST", "/api/v1/feeds/sync", token=self.era.token_of(port), body={})
        self.era.check_status(answer, "POST /feeds/sync", port)
        self.era.journal.note("sync", "feeds", answered=answer.status or answer.reason)
        return answer.status == 202

    def pass_by(self) -> None:
        """Create a channel, or delete one."""
        port = self.rng.choice(self.era.cluster.web_ports)
        known = sorted(self.era.passing)
        if known and (len(known) > 2 or self.rng.random() < 0.5):
            name = self.rng.choice(known)
            answer = ask(port, "DELETE", f"/api/v1/channels/{name}", token=self.era.token_of(port))
            done = answer.status == 204
            self.era.passing[name] = "gone" if done else "unknown" if answer.is_unknown else self.era.passing[name]
        else:
            self._number += 1
            name = f"passing{self._number}"
            body = {
                "channel": name,
                "upstream": self.era.upstreams.url(self.rng.choice(world.UPSTREAMS)),
                "subdirs": list(world.SUBDIRS),
            }
            answer = ask(port, "POST", "/api/v1/mirrors", token=self.era.token_of(port), body=body)
            done = answer.status == 201
            self.era.passing[name] = "there" if done else "unknown"
        self.era.check_status(answer, f"a channel {name} comes or goes", port)
        self.era.journal.note("channel", name, now=self.era.passing[name], answered=answer.status or answer.reason)
        for name in [name for name, state in self.era.passing.items() if state == "gone"]:
            self.era.gone.add(name)
            del self.era.passing[name]


class Actors:
    """Threads that each do one thing after another, and pause together."""

    def __init__(self, era: Era) -> None:
        self._era = era
        self._over = threading.Event()
        self._resting = threading.Event()
        self._busy = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def add(self, name: str, act: Any, pause: tuple[float, float], rng: random.Random, *, rests: bool = True) -> None:
        def go_on() -> None:
            while not self._over.is_set():
                if rests and self._resting.is_set():
                    time.sleep(0.1)
                    continue
                try:
                    act()
                except Exception as error:
                    self._era.find(f"the soak itself failed in {name}: {type(error).__name__}: {error}")
                self._over.wait(rng.uniform(*pause))

        self._threads.append(threading.Thread(target=go_on, name=name, daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def rest(self, yes: bool) -> None:
        """Let who changes things pause; readers go on."""
        (self._resting.set if yes else self._resting.clear)()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(60)
