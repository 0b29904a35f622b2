"""Advisory files that were made, and the keys that sign them."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId


class SigningKey(Base):
    """A key pair of Ed25519; the newest signs. All replicas share it, for it is in their database."""

    __tablename__ = "signing_key"

    id: Mapped[BigId]
    private: Mapped[bytes] = mapped_column(LargeBinary)  # 32 bytes: whoever reads the database can sign
    public: Mapped[bytes] = mapped_column(LargeBinary)
    vouched: Mapped[bytes | None] = mapped_column(LargeBinary)  # by the key before: its signature of both
    created_at: Mapped[At]
    created_by: Mapped[str]


class AdvisoryFile(Base):
    """One advisory file that was made; the newest is served, with the deltas that lead to it.

    `blob_key` is "" once another file took its place; `delta_key` is the delta from the row before, "" for none.
    """

    __tablename__ = "advisory_file"

    id: Mapped[BigId]
    sequence: Mapped[int] = mapped_column(BigInteger)
    made_from: Mapped[str]  # what it would be made from again: the match index, the file's format, our version
    made_at: Mapped[At]
    took_s: Mapped[float]
    file_format: Mapped[int]
    content: Mapped[str]  # digest of the rows
    blob_key: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    unpacked_size: Mapped[int] = mapped_column(BigInteger)
    unpacked_sha256: Mapped[str]
    delta_key: Mapped[str] = mapped_column(server_default="")
    delta_size: Mapped[int] = mapped_column(BigInteger, server_default="0")
    delta_unpacked_size: Mapped[int] = mapped_column(BigInteger, server_default="0")
    document: Mapped[bytes] = mapped_column(LargeBinary)  # the signed manifest that is served while it is the newest
