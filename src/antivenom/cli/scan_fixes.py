"""Whether a server's channel has the fix of a finding, or withholds it and why: asked for once for each package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from antivenom.cli.arguments import NAME
from antivenom.cli.client import Client, JsonObject
from antivenom.core.errors import InvalidInputError, NotFoundError
from antivenom.core.matching.advisories import Finding
from antivenom.core.matching.fixes import fix_in_channel
from antivenom.core.readers.snapshot import Component
from antivenom.core.reports.holders import with_holders
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot
from antivenom_client.version_keys import version_key

REMEMBERED = 4_096
_WITHHELD = "withheld"


class _Offer(NamedTuple):
    """One version of a package in a channel: for which platforms it is served, and why others are withheld."""

    version: str
    served: frozenset[str]
    withheld: dict[str, str]


class Fixes:
    """What stands between a finding and its fix: the channel, and the other packages of the environment.

    Args:
        connect: The client of the server that answers.
        channel: The server's channel to look into for packages that name none of its channels.
    """

    def __init__(self, connect: Callable[[], Client], channel: str = "") -> None:
        self._connect, self._channel = connect, channel
        self._offers = lru_cache(maxsize=REMEMBERED)(self._ask)

    def add(self, snapshot: ScannedSnapshot) -> ScannedSnapshot:
        """The snapshot with hints on the components that have findings."""
        components = tuple(self._add(assessed, snapshot.platform) for assessed in snapshot.components)
        return with_holders(snapshot._replace(components=components))

    def _add(self, assessed: AssessedComponent, platform: str) -> AssessedComponent:
        of = assessed.component
        channel = self._channel_of(of) if of.type == "conda" and assessed.findings else ""
        fixable = [finding for finding in assessed.findings if finding.fixed_versions]
        if not channel or not fixable:
            return assessed
        offers = self._offers(channel, of.name)
        if offers is None:
            return assessed._replace(hints=(*assessed.hints, f"channel {channel} does not have the package"))
        hint = f"channel {channel} {_describe(offers, fixable, of.subdir or platform)}"
        return assessed._replace(hints=(*assessed.hints, hint))

    def _channel_of(self, component: Component) -> str:
        """The server's channel that a component is of."""
        base = f"{self._connect().url}/conda/"
        if component.channel.startswith(base):
            name = component.channel[len(base) :].strip("/")
            return name if NAME.fullmatch(name) else ""
        return self._channel

    def _ask(self, channel: str, name: str) -> tuple[_Offer, ...] | None:
        if not NAME.fullmatch(name):
            return None
        try:
            found: JsonObject = self._connect().get(f"/api/v1/channels/{channel}/packages/{name}")
        except NotFoundError:
            return None
        offers: dict[str, _Offer] = {}
        for record in found["records"]:
            offer = offers.setdefault(record["version"], _Offer(record["version"], frozenset(), {}))
            if record["decision"] != _WITHHELD:
                offers[record["version"]] = offer._replace(served=offer.served | {record["subdir"]})
            elif record["reasons"]:
                offer.withheld.setdefault(record["subdir"], record["reasons"][0]["message"])
        return tuple(sorted(offers.values(), key=lambda offer: version_key("generic", offer.version) or b""))


def _describe(offers: Sequence[_Offer], findings: Sequence[Finding], subdir: str) -> str:
    """What the channel has for a platform: the first release free of the findings, or why it is withheld."""
    free = [offer for offer in offers if all(fix_in_channel(finding, [offer.version]) for finding in findings)]
    places = {subdir, "noarch"}
    for offer in free:
        if offer.served & places or (not subdir and offer.served):
            return f"has {offer.version}"
    for offer in free:
        for place, why in offer.withheld.items():
            if place in places or not subdir:
                return f"withholds {offer.version}: {why}"
    return "has no release that fixes it"


def check_channel(connect: Callable[[], Client], channel: str) -> None:
    """Refuse a channel that the server does not have, before anything is scanned.

    Raises:
        InvalidInputError: There is none.
        AntivenomError: The server refuses.
    """
    try:
        connect().get(f"/api/v1/channels/{channel}")
    except NotFoundError as error:
        raise InvalidInputError(error.message, hint="antivenom channel list") from None
