"""One era of the soak: a server of some shape in a new folder, its upstreams, its load, and rounds of faults."""

from __future__ import annotations

import contextlib
import random
import shutil
import threading
import time
from pathlib import Path

from tests.soak import world
from tests.soak.asking import Answer, ask
from tests.soak.cluster import Cluster, TwoCluster, UpCluster
from tests.soak.journal import Journal
from tests.soak.load import Actors, Administrator, Client, Weather
from tests.soak.model import Channel, Model, Register
from tests.soak.places import Bucket, Place
from tests.soak.upstream import Upstreams
from tests.soak.world import Source

SHAPES = ("two", "up", "bucket")
"""two: PostgreSQL, two servers, two workers, a folder of blobs; bucket: the same with S3; up: one `antivenom up`."""
MEGABYTES = 1500
DATABASE_MEGABYTES = 700
START_PATIENCE_S = 180.0
STORED_MAX_MB = 200
PUBLICATION_MAX_BYTES = 400_000
CHANNELS = {"alpha": "a", "beta": "b", "gamma": "a"}


class Era:
    """Everything that lives as long as one home does."""

    def __init__(self, folder: Path, shape: str, journal: Journal, seed: int) -> None:
        self.folder, self.shape, self.journal, self.seed = folder, shape, journal, seed
        self.rng = random.Random(f"{seed} era")
        folder.mkdir(mode=0o755)
        self.upstreams = Upstreams()
        self.model = Model()
        self.bucket: Bucket | None = None
        self.blobs = Place(folder / "blobs", MEGABYTES)
        self.database_place: Place | None = None
        self.cluster = self._make_cluster()
        self.features = self._list_features()
        self.faulty = threading.Event()  # while a fault lasts, and until all is quiet again
        self.is_published = False
        self.needs_repair = False
        self.upstream_of = dict(CHANNELS)
        self.unsure_upstreams: set[str] = set()
        self.passing: dict[str, str] = {}
        self.gone: set[str] = set()
        self.actors = Actors(self)
        self.administrators: dict[str, Administrator] = {}
        self.client = Client(self, random.Random(f"{seed} client"))
        self.weather = Weather(self, random.Random(f"{seed} weather"))

    def _make_cluster(self) -> Cluster:
        if self.shape == "up":
            return UpCluster(self.blobs.folder, self.journal, str(self.blobs.folder / "home" / "blobs"))
        self.database_place = Place(self.folder / "database", DATABASE_MEGABYTES)
        data = self.database_place.folder / "cluster"
        if self.shape == "two":
            return TwoCluster(self.folder, self.journal, str(self.blobs.folder / "store"), data)
        self.bucket = Bucket(self.folder)
        cluster = TwoCluster(self.folder, self.journal, self.bucket.url, data, **self.bucket.settings)
        cluster.parts.insert(0, self.bucket.part)
        return cluster

    def _list_features(self) -> set[str]:
        found = {"up"} if self.shape == "up" else {"two"}
        if self.bucket is not None:
            found.add("bucket")
        else:
            found.add("folder")
            if self.shape == "two":
                found.add("read-only")
        if self.database_place is not None and self.database_place.is_mount:
            found.add("database-mount")
        return found

    # -- life ----------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Era:
        self.upstreams.__enter__()
        self.cluster.is_unrest.set()
        self.cluster.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.actors.rest(True)
        self.actors.stop()
        self.cluster.stop()
        self.upstreams.__exit__()
        if self.bucket is not None:
            self.bucket.line.close()
        self._keep_logs()
        for place in (self.blobs, self.database_place):
            if place is not None:
                place.close()

    def _keep_logs(self) -> None:
        """Copy what stands on file systems that are about to vanish."""
        for place in (self.blobs, self.database_place):
            if place is None or not place.is_mount:
                continue
            for path in place.folder.rglob("*.log*"):
                target = self.folder / "logs" / path.relative_to(place.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(OSError):
                    shutil.copyfile(path, target)

    def begin(self) -> bool:
        """Wait for the servers, make the mirrors and feeds; whether there is something to ill-treat."""
        if not self.wait_ready(START_PATIENCE_S):
            self.find(f"no server is ready {START_PATIENCE_S:.0f} s after its start")
            return False
        port = self.cluster.web_ports[0]
        for kind, fn in (("knowledge", "names.tsv"), ("osv", "advisories.json")):
            body = {"kind": kind, "location": self.upstreams.feed_url(fn), "every_s": 60}
            self._must(ask(port, "POST", "/api/v1/feeds", token=self.token_of(port), body=body), 201)
        for name, upstream in CHANNELS.items():
            source = Source(upstream, 1)
            channel = Channel(name, Register(0), Register(source))
            body = {
                "channel": name,
                "upstream": self.upstreams.url(upstream),
                "mode": "active" if name == "beta" else "passive",
                "subdirs": list(world.SUBDIRS),
                "policy": world.policy_text(name, 0),
                "every_s": 60,
            }
            self._must(ask(port, "POST", "/api/v1/mirrors", token=self.token_of(port), body=body), 201)
            self.model.channels[name] = channel
            self.administrators[name] = Administrator(self, channel, random.Random(f"{self.seed} {name}"))
        for name, administrator in self.administrators.items():
            self.actors.add(name, administrator.do_something, (0.3, 3.0), random.Random(f"{self.seed} {name} pause"))
        self.actors.add("weather", self.weather.do_something, (1.0, 5.0), random.Random(f"{self.seed} weather pause"))
        for number in (1, 2):
            client = Client(self, random.Random(f"{self.seed} reader {number}"))
            self.actors.add(f"reader-{number}", client.read_something, (0.02, 0.3), client.rng, rests=False)
        return True

    def _must(self, answer: Answer, status: int) -> None:
        if answer.status != status:
            raise AssertionError(f"{answer.status} {answer.reason} instead of {status}: {answer.body[:500]!r}")

    def wait_ready(self, patience_s: float) -> bool:
        """Whether every server says within so many seconds that it is ready."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            if all(ask(port, "GET", "/readyz", patience_s=10).status == 200 for port in self.cluster.web_ports):
                return True
            time.sleep(0.3)
        return False

    def answers(self, part: str) -> bool:
        if not part.startswith("web"):
            return True
        port = self.cluster.web_ports[int(part[-1]) - 1]
        return ask(port, "GET", "/readyz", patience_s=5).status == 200

    def token_of(self, port: int) -> str:
        home = self.cluster.homes[min(self.cluster.web_ports.index(port), len(self.cluster.homes) - 1)]
        with contextlib.suppress(OSError):
            return (home / "local-token").read_text().strip()
        return ""

    def incarnation(self, port: int) -> int:
        """Changes when the server on that port may have been started anew."""
        if self.shape == "up":
            return hash(tuple(sorted(process.pid for process in self.cluster.processes("web"))))
        return self.cluster.part(f"web-{self.cluster.web_ports.index(port) + 1}").starts

    def present(self, upstreams: list[str], *, older: bool) -> None:
        """What these upstreams have may be read from every channel from now on; `older`: also what they had before."""
        for name in upstreams:
            if name == "feeds":
                continue
            generation = self.upstreams.generation[name]
            for number in {generation, max(1, generation - 1)} if older else {generation}:
                for channel in self.model.channels.values():
                    channel.source.begin(Source(name, number))

    def watch_disk(self, size_bytes: int) -> None:
        """What is stored for the same channels stays within a bound: superseded publications are kept for two weeks."""
        self.journal.note("disk", self.shape, mb=size_bytes >> 20, used=self.blobs.used_bytes() >> 20)
        publications = sum(channel.policy.accepted for channel in self.model.channels.values()) + 100
        if size_bytes > STORED_MAX_MB * 2**20 + publications * PUBLICATION_MAX_BYTES:
            self.find(f"{size_bytes >> 20} MB are stored after {publications} publications at most")

    # -- findings ------------------------------------------------------------------------------------------------------

    def find(self, what: str) -> None:
        self.journal.find(f"{what} [{self.shape}, logs in {self.folder}]")

    def find_body(self, what: str, body: bytes) -> None:
        """A finding about bytes: they are kept."""
        path = self.folder / f"body-{len(self.journal.findings) + 1}"
        path.write_bytes(body)
        self.find(f"{what} (its bytes: {path})")

    def check_status(self, answer: Answer, what: str, port: int, *, may_be_gateway: bool = False) -> None:
        """No error of ours but 503 that says when to come again; of an upstream's file also 502 and 504."""
        status = answer.status
        if status == 503 and not answer.header("retry-after"):
            self.find(f"{what} on port {port}: 503 without Retry-After")
        if status >= 500 and status != 503 and not (may_be_gateway and status in (502, 504)):
            self.find(f"{what} on port {port} answered {status}: {answer.body[:300]!r}")
        if status == 401 or (status == 404 and "/repodata" in what and self.is_published):
            self.find(f"{what} on port {port} answered {status}: {answer.body[:300]!r}")
        if status == 0 and not self.faulty.is_set():
            self.find(f"{what} on port {port} got no answer while all was quiet: {answer.reason}")
        if status == 503 and not self.faulty.is_set():
            self.find(f"{what} on port {port} answered 503 while all was quiet: {answer.body[:300]!r}")
