"""`patch_instructions.json`: how the upstream's records differ from what their artifacts say, for what is served.

Whoever copies a channel and indexes the copy anew (conda-index) needs them, or the copy loses every repair that was
made to the index since. Ours has the upstream's instructions for served files alone: those for withheld ones would
name them.

Source: conda-index 0.13 (a `.tar.bz2`'s instructions hold for the `.conda` of the same name as well).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw

from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.served_records import iterate_served
from antivenom.core.publication.upstream_documents import PatchInstructions
from antivenom.core.source.packs import IndexBlobs

_ODD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def derive_patch_instructions(blobs: IndexBlobs, published: PublicationIndex, upstream: PatchInstructions) -> bytes:
    """The upstream's instructions for the served files of one subdir, and for those that its index calls removed."""
    served = {fn for found in iterate_served(blobs, published) for p in found.positions for fn in (found.facts.fns[p],)}
    removed = set(published.map.document.removed)
    return msgspec.json.encode(
        msgspec.structs.replace(
            upstream,
            packages=_readable(upstream.packages, lambda fn: fn in served or _conda_of(fn) in served),
            packages_conda=_readable(upstream.packages_conda, served.__contains__),
            remove=[fn for fn in upstream.remove if fn in removed or _conda_of(fn) in removed],
            revoke=[fn for fn in upstream.revoke if fn in served or _conda_of(fn) in served],
        )
    )


def _conda_of(fn: str) -> str:
    return f"{fn.removesuffix('.tar.bz2')}.conda"


def _readable(changes: dict[str, Raw], is_served: Callable[[str], bool]) -> dict[str, Raw]:
    return {fn: change for fn, change in changes.items() if is_served(fn) and _is_object(change)}


def _is_object(text: Raw) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except _ODD:
        return False
