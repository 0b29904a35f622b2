"""The feed of knowledge that comes with the release: shown beside the others, compiled anew when a release changes it.

Its rows are files of the release (src/antivenom/knowledge); the database holds only that it is there.
"""

from __future__ import annotations

from sqlalchemy.dialects.postgresql import insert

from antivenom import __version__, knowledge
from antivenom.core.matching.knowledge import MALWARE
from antivenom.server.advisories import queries
from antivenom.server.advisories.feed_state import FeedCounts, FeedCursor, PendingChanges
from antivenom.server.advisories.models import BUILT_IN_ID, Feed
from antivenom.server.advisories.storing import lock_knowledge
from antivenom.server.advisories.syncing import publish_knowledge
from antivenom.server.advisories.vulnerabilities import forget_rules
from antivenom.server.context import SYSTEM, Context, Resources
from antivenom.server.events.progress import JobProgress
from antivenom.server.events.service import record

KIND = "knowledge"
LOCATION = "built in"


async def announce_built_in(resources: Resources) -> None:
    """Show what this release knows as feed 0; where another release knew something else, compile everything anew."""
    async with resources.context(SYSTEM) as ctx:
        await ctx.session.execute(insert(Feed).values(_blank(ctx)).on_conflict_do_nothing())
        feed = await queries.find_feed(ctx.session, BUILT_IN_ID, lock=True)
        assert feed is not None  # noqa: S101  # it was just written
        if feed.cursor.digest == knowledge.digest():
            return
        if feed.cursor.malware not in (None, knowledge.digest(MALWARE)):
            await lock_knowledge(ctx.session)
            await forget_rules(ctx.session)
        feed.cursor = FeedCursor(version=__version__, digest=knowledge.digest(), malware=knowledge.digest(MALWARE))
        feed.counts = FeedCounts(entries=len(knowledge.entries()), set_aside=0)
        feed.last_sync_at = feed.last_success_at = ctx.now
        if await queries.newest_revision(ctx.session) is not None:
            cause = f"feed:{BUILT_IN_ID} of {__version__}"
            revision = await publish_knowledge(ctx, cause, PendingChanges(everything=True))
            await record(ctx, "feed.synced", subject=f"feed:{BUILT_IN_ID}", feed_kind=KIND, revision=revision)


def _blank(ctx: Context) -> dict[str, object]:
    return {
        "id": BUILT_IN_ID,
        "kind": KIND,
        "location": LOCATION,
        "created_at": ctx.now,
        "state": "ok",
        "cursor": FeedCursor(),
        "progress": JobProgress(),
        "counts": FeedCounts(),
    }
