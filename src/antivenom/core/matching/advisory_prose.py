"""An advisory in two parts: what matching needs, and what only people read, which is half of the bytes."""

from __future__ import annotations

import msgspec

from antivenom.core.matching.advisories import Advisory

_encoder = msgspec.msgpack.Encoder()
_body_decoder = msgspec.msgpack.Decoder(Advisory)
_prose_decoder = msgspec.msgpack.Decoder(tuple[str, tuple[str, ...]])


def package_keys(advisory: Advisory) -> tuple[str, ...]:
    """What the advisory is about, as "ecosystem/name", sorted, without repeats."""
    return tuple(sorted({f"{p.ecosystem}/{p.name}" for p in advisory.affected}))


def split_prose(advisory: Advisory) -> tuple[bytes, bytes]:
    """(what matching needs, what only people read) of an advisory; `join_prose` puts them together again."""
    prose = (advisory.details, advisory.references)
    return _encoder.encode(msgspec.structs.replace(advisory, details="", references=())), _encoder.encode(prose)


def join_prose(body: bytes, prose: bytes) -> Advisory:
    """The whole advisory of what `split_prose` made."""
    details, references = _prose_decoder.decode(prose)
    return msgspec.structs.replace(_body_decoder.decode(body), details=details, references=references)
