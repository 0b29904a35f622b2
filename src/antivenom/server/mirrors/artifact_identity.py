"""Refuses artifacts that call themselves another package than the index that lists them.

An artifact says so once: when it is fetched. What it says is kept by its digest, so another channel that lists the same
bytes under another name is refused without fetching them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict

from sqlalchemy.exc import SQLAlchemyError

from antivenom.core.conda.artifact_index import ArtifactIndex, describe_mismatch
from antivenom.core.errors import ArtifactMismatchError
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.distribution.channel_files import WantedArtifact
from antivenom.server.publications.queries import find_artifact_indexes, keep_artifact_index

logger = logging.getLogger(__name__)

CHECKED_KEPT = 50_000
PATIENCE_S = 5.0  # a stored artifact waits so long for the database, then is served without it


def check_identity(wanted: WantedArtifact, said: ArtifactIndex | None) -> None:
    """Check that an artifact calls itself what the index calls it; one that says nothing is what it is called.

    Raises:
        ArtifactMismatchError: It does not.
    """
    decision = wanted.decision
    mismatch = said and describe_mismatch(
        said, name=decision.name, version=decision.version, build=decision.build, subdir=wanted.subdir
    )
    if mismatch:
        raise ArtifactMismatchError(decision.fn, mismatch)


def digest_of(wanted: WantedArtifact) -> bytes:
    """The digest by which the index lists an artifact."""
    return bytes.fromhex(wanted.decision.sha256 or wanted.decision.md5)


class IdentityGuard:
    """Checks artifacts by what is kept of them. Remembers those that it found to be right."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._checked: OrderedDict[tuple[str, ...], None] = OrderedDict()

    async def check(self, wanted: WantedArtifact) -> None:
        """Check an artifact that may have been fetched before, for this channel or another.

        Nothing is refused while the database is away: stored artifacts go on being served.

        Raises:
            ArtifactMismatchError: It calls itself something else.
        """
        decision, digest = wanted.decision, digest_of(wanted)
        key = (digest.hex(), wanted.subdir, decision.name, decision.version, decision.build)
        if key in self._checked:
            return
        try:
            async with asyncio.timeout(PATIENCE_S), self._resources.context(SYSTEM) as ctx:
                said = (await find_artifact_indexes(ctx.session, [digest])).get(digest)
        except (SQLAlchemyError, TimeoutError, OSError) as error:
            logger.warning("%s is not compared with its index (%s)", decision.fn, type(error).__name__)
            return
        if said is None:
            return
        check_identity(wanted, said)
        self._checked[key] = None
        if len(self._checked) > CHECKED_KEPT:
            self._checked.popitem(last=False)

    async def keep(self, wanted: WantedArtifact, said: ArtifactIndex) -> None:
        """Keep what an artifact says it is."""
        async with self._resources.context(SYSTEM) as ctx:
            await keep_artifact_index(ctx.session, digest_of(wanted), said)
