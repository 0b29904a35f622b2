"""/metrics for Prometheus. Each web process counts its own answers; the queue's numbers come from the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Row, text
from starlette.types import Scope

from antivenom import __version__
from antivenom.server.context import SYSTEM, Resources

JOB_STATES = ("todo", "doing", "failed", "succeeded", "aborted", "cancelled")

_BEHIND = text(
    "SELECT count(*), coalesce(extract(epoch FROM now() - min(behind_since)), 0) FROM channel WHERE applied < wanted"
)

_BLOBS = text(
    """
    SELECT kind,
        coalesce((stored->>'count')::bigint, 0), coalesce((stored->>'size_bytes')::bigint, 0),
        coalesce((report->'unnamed'->kind->>'count')::bigint, 0),
        coalesce((report->'unnamed'->kind->>'size_bytes')::bigint, 0)
    FROM (SELECT report FROM storage_run WHERE kind = 'collect' AND state = 'done' ORDER BY id DESC LIMIT 1) AS last,
        jsonb_each(report->'stored') AS each_kind (kind, stored)
    """
)

_ADVISORY_FILE = text("SELECT size, extract(epoch FROM now() - made_at) FROM advisory_file ORDER BY id DESC LIMIT 1")


class Metrics:
    """Has its own registry, so that several applications can run in one process (tests do that)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "antivenom_http_requests", "Answered requests.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "antivenom_http_request_seconds", "Time to answer.", ("route",), registry=self.registry
        )
        self._jobs = Gauge("antivenom_jobs", "Jobs in the queue, by state.", ("state",), registry=self.registry)
        self._behind = Gauge(
            "antivenom_channels_behind",
            "Channels with accepted changes that they do not serve yet.",
            registry=self.registry,
        )
        self._behind_seconds = Gauge(
            "antivenom_channel_behind_seconds",
            "How long the oldest accepted change has waited to be served.",
            registry=self.registry,
        )
        self._sources = Gauge(
            "antivenom_sources",
            "Feeds and mirrors that fail, are held, stale or frozen.",
            ("what", "condition"),
            registry=self.registry,
        )
        self._lost = Gauge("antivenom_lost_blobs", "Stored blobs that are missing or damaged.", registry=self.registry)
        self._blob_bytes = Gauge(
            "antivenom_blob_bytes",
            "Bytes of the blob store at the last collection, by kind; unnamed: those that nothing needs.",
            ("kind", "named"),
            registry=self.registry,
        )
        self._blobs = Gauge(
            "antivenom_blobs",
            "Blobs of the store at the last collection, by kind; unnamed: those that nothing needs.",
            ("kind", "named"),
            registry=self.registry,
        )
        self._advisory_file_bytes = Gauge(
            "antivenom_advisory_file_bytes",
            "Bytes of the advisory file that is served, packed.",
            registry=self.registry,
        )
        self._advisory_file_age = Gauge(
            "antivenom_advisory_file_age_seconds",
            "How long ago the advisory file was made. It is made anew when knowledge changes.",
            registry=self.registry,
        )
        build = Gauge("antivenom_build_info", "The running version.", ("version",), registry=self.registry)
        build.labels(__version__).set(1)

    def show_channel_files(self, answers: Mapping[tuple[str, int], int]) -> None:
        """Include the counts of ChannelFiles, by (kind, status), whenever metrics are rendered."""
        self.registry.register(_ChannelFileCounts(answers))

    def count_request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answer under its route's pattern: the number of distinct paths has no bound."""
        # FastAPI puts the whole pattern of an included route here; `route` has only the router's own part.
        known = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
        route = getattr(known, "path", None) or "other"
        self._requests.labels(str(scope["method"])[:10], route, str(status or 499)).inc()
        self._seconds.labels(route).observe(seconds)

    async def render(self, resources: Resources, sources: Mapping[tuple[str, str], int]) -> bytes:
        """The exposition text, with the current state of the queue.

        Args:
            sources: How many ("feed" or "mirror", condition) there are.
        """
        async with resources.context(SYSTEM) as ctx:
            rows = await ctx.session.execute(
                text("SELECT status::text, count(*) FROM procrastinate_jobs GROUP BY status")
            )
            behind = await ctx.session.execute(_BEHIND)
            self._lost.set(await ctx.session.scalar(text("SELECT count(*) FROM lost_blob")) or 0)
            if (made := (await ctx.session.execute(_ADVISORY_FILE)).first()) is not None:
                self._advisory_file_bytes.set(made[0])
                self._advisory_file_age.set(made[1])
            self._show_blobs((await ctx.session.execute(_BLOBS)).all())
            counts: dict[str, int] = {state: count for state, count in rows}  # noqa: C416  # a Row is no pair to mypy
        channels, seconds = behind.one()
        self._behind.set(channels)
        self._behind_seconds.set(seconds)
        for labels, count in sources.items():
            self._sources.labels(*labels).set(count)
        for state in JOB_STATES:
            self._jobs.labels(state).set(counts.get(state, 0))
        return generate_latest(self.registry)

    def _show_blobs(self, rows: Iterable[Row[Any]]) -> None:
        self._blobs.clear()
        self._blob_bytes.clear()
        for kind, count, size_bytes, unnamed_count, unnamed_bytes in (tuple(row) for row in rows):
            self._blobs.labels(kind, "yes").set(count - unnamed_count)
            self._blobs.labels(kind, "no").set(unnamed_count)
            self._blob_bytes.labels(kind, "yes").set(size_bytes - unnamed_bytes)
            self._blob_bytes.labels(kind, "no").set(unnamed_bytes)


class _ChannelFileCounts(Collector):
    """Exposes plain numbers as a metric: a labelled counter would cost as much as the answers that it counts."""

    def __init__(self, answers: Mapping[tuple[str, int], int]) -> None:
        self._answers = answers

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "antivenom_channel_files", "Answered requests for channel files.", labels=("kind", "status")
        )
        for (kind, status), count in sorted(self._answers.items()):
            family.add_metric((kind, str(status)), count)
        yield family
