"""The keys that sign advisory files: made once, kept in the database, followed by one that they vouch for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from antivenom.server.advisory_files import queries
from antivenom.server.advisory_files.models import SigningKey
from antivenom.server.context import Context
from antivenom_client.manifest import ROTATED, Manifest, Rotation, signed_bytes, to_document, to_text

SIGNING_LOCK = 0x616E7473  # any number that no other lock of ours has


async def signing_keys(ctx: Context) -> list[SigningKey]:
    """From the first to the one that signs; the first is made when there is none, by one process alone."""
    if keys := await queries.list_keys(ctx.session):
        return keys
    await ctx.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SIGNING_LOCK})
    return await queries.list_keys(ctx.session) or [await add_key(ctx, None)]


async def add_key(ctx: Context, before: SigningKey | None) -> SigningKey:
    """Make a key, which the one before it vouches for; it signs from now on."""
    made = Ed25519PrivateKey.generate()
    public = made.public_key().public_bytes_raw()
    vouched = _open(before).sign(ROTATED + before.public + public) if before is not None else None
    key = SigningKey(
        private=made.private_bytes_raw(),
        public=public,
        vouched=vouched,
        created_at=ctx.now,
        created_by=ctx.actor.label,
    )
    ctx.session.add(key)
    await ctx.session.flush()
    return key


def rotations_of(keys: Sequence[SigningKey]) -> tuple[Rotation, ...]:
    """How each key vouches for the next."""
    pairs = itertools.pairwise(keys)
    return tuple(Rotation(old.public, new.public, new.vouched) for old, new in pairs if new.vouched is not None)


def sign(manifest: Manifest, key: SigningKey) -> bytes:
    """The document that is served."""
    text_ = to_text(manifest)
    return to_document(text_, _open(key).sign(signed_bytes(text_)))


def _open(key: SigningKey) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(key.private)
