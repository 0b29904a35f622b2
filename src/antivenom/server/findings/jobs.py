"""Jobs that keep findings in step with what feeds brought."""

from __future__ import annotations

from typing import Any

from antivenom.server.context import Resources
from antivenom.server.events.jobs import job
from antivenom.server.findings.compiling import compile_newest


@job("findings.compile", on=("feed.synced", "feed.removed"), retries=5)
async def compile_knowledge(resources: Resources, **_event: Any) -> None:
    """Compile the match index of the newest knowledge; `advisory.changed` follows when there was something new."""
    await compile_newest(resources)
