"""/metrics for Prometheus. Each web process counts what it answers; the queue's numbers come from the database."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import text
from starlette.types import Scope

from antivenom import __version__
from antivenom.server.context import SYSTEM, Resources

JOB_STATES = ("todo", "doing", "failed", "succeeded", "aborted", "cancelled")


class Metrics:
    """One registry of its own, so that several applications live in one process (tests do that)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "antivenom_http_requests", "Answered requests.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "antivenom_http_request_seconds", "Time to answer.", ("route",), registry=self.registry
        )
        self._jobs = Gauge("antivenom_jobs", "Jobs in the queue, by state.", ("state",), registry=self.registry)
        build = Gauge("antivenom_build_info", "The running version.", ("version",), registry=self.registry)
        build.labels(__version__).set(1)

    def count_request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answer under its route's pattern: paths themselves would be without number."""
        route = getattr(scope.get("route"), "path", None) or "other"
        self._requests.labels(str(scope["method"])[:10], route, str(status or 499)).inc()
        self._seconds.labels(route).observe(seconds)

    async def render(self, resources: Resources) -> bytes:
        """The exposition text, with the queue's state of now."""
        async with resources.context(SYSTEM) as ctx:
            rows = await ctx.session.execute(
                text("SELECT status::text, count(*) FROM procrastinate_jobs GROUP BY status")
            )
            counts: dict[str, int] = dict(rows.tuples().all())
        for state in JOB_STATES:
            self._jobs.labels(state).set(counts.get(state, 0))
        return generate_latest(self.registry)
