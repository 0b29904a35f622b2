"""Jobs that read upstreams have queues of their own."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What an earlier release queued for one queue must not take the slots of publishing.
    op.execute(
        """
        UPDATE procrastinate_jobs SET queue_name = CASE task_name
            WHEN 'mirror.sync' THEN 'mirrors' WHEN 'feed.sync' THEN 'feeds' ELSE 'knowledge' END
        WHERE status IN ('todo', 'doing')
          AND task_name IN ('mirror.sync', 'feed.sync', 'advisory.regroup', 'findings.await_feeds', 'findings.compile')
        """
    )
