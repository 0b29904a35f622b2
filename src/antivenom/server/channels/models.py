"""Channels: names under which publications are served."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId, OptionalAt


class Channel(Base):
    __tablename__ = "channel"

    id: Mapped[BigId]
    name: Mapped[str] = mapped_column(unique=True)  # ^[a-z][a-z0-9_-]*$
    description: Mapped[str] = mapped_column(server_default="")
    privacy: Mapped[str] = mapped_column(server_default="public")  # public | authenticated
    closure: Mapped[bool] = mapped_column(server_default="true")
    # Whether what its upstream's artifacts state about their own vulnerabilities counts.
    trust_build_statements: Mapped[bool] = mapped_column(server_default="false")
    policy_revision_id: Mapped[int | None] = mapped_column(ForeignKey("policy_revision.id"))
    # Which publication is served: the one pointer that moves. No foreign key, for publication already points here.
    publication_id: Mapped[int | None] = mapped_column(BigInteger)
    # Where its records come from ("" when filled by uploads), and the channel whose name maps are the nearest.
    upstream: Mapped[str] = mapped_column(server_default="")
    mapping_channel: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[At]
    created_by: Mapped[str]
    is_demo: Mapped[bool] = mapped_column(server_default="false")
    # What should be served against what is: `wanted` counts the changes that ask for a publication, `applied` is the
    # count that the newest publication includes. publications/reconcile.py publishes until they are equal.
    wanted: Mapped[int] = mapped_column(BigInteger, server_default="0")
    applied: Mapped[int] = mapped_column(BigInteger, server_default="0")
    behind_since: Mapped[OptionalAt]  # when the first change came that is not applied yet
    publish_failures: Mapped[int] = mapped_column(server_default="0")  # in a row
    publish_error: Mapped[str] = mapped_column(server_default="")
    publish_retry_at: Mapped[OptionalAt]  # not before; None: as soon as a worker is free
