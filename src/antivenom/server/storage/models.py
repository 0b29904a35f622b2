"""Looks at the blob store (collections, verifications, scrubs), and the blobs that were found lost."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId, OptionalAt, StoredAs
from antivenom.server.storage.reports import RunOptions, StorageReport


class StorageRun(Base):
    """One collection ("collect") or verification ("verify") of the store."""

    __tablename__ = "storage_run"

    id: Mapped[BigId]
    kind: Mapped[str]
    state: Mapped[str]  # queued | running | done | failed
    options: Mapped[RunOptions] = mapped_column(StoredAs(RunOptions), server_default="{}")
    created_at: Mapped[At]
    created_by: Mapped[str]
    ended_at: Mapped[OptionalAt]
    error: Mapped[str] = mapped_column(server_default="")
    report: Mapped[StorageReport] = mapped_column(StoredAs(StorageReport), server_default="{}")


class LostBlob(Base):
    """A blob that is named and missing or damaged, until it is mended or named no more."""

    __tablename__ = "lost_blob"

    key: Mapped[str] = mapped_column(primary_key=True)
    problem: Mapped[str]  # missing | damaged
    found_at: Mapped[At]
    needed_by: Mapped[str]  # in words, such as "main/linux-64, publication 12"
    plan: Mapped[str]  # what mends it, in words; "" when nothing does
    tries: Mapped[int] = mapped_column(server_default="0")
    next_try_at: Mapped[OptionalAt]


class ScrubPosition(Base):
    """How far the scrub has read the store; one row."""

    __tablename__ = "scrub_position"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 1
    key: Mapped[str] = mapped_column(server_default="")  # the last blob that was read; "" at the beginning of a round
    bytes_read: Mapped[int] = mapped_column(BigInteger, server_default="0")  # in this round
    round_began_at: Mapped[OptionalAt]
    last_round_ended_at: Mapped[OptionalAt]
