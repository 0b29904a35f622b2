"""One request for every route of API and pages, things for it to be about, and who sends it signed in how."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from antivenom.core.rights import Levels
from antivenom.server.advisories import service as advisories
from antivenom.server.channel_policies import service as channel_policies
from antivenom.server.channel_policies.policy_editor import STARTER_POLICY
from antivenom.server.channels import service as channels
from antivenom.server.context import LOCAL, Actor, Context, Resources
from antivenom.server.members import groups, roles, service
from antivenom.server.mirrors import service as mirrors
from tests.server.runtime.test_routes import walk

PASSWORD = "correct-horse-battery-1"
HERE, OTHER, ABSENT = "here", "other", "absent"
"""The channel that requests are about, one beside it, and one that does not exist."""
WAYS = ("bearer", "basic", "session")

CORRECTION = {"kind": "ignore", "name": "openssl", "vulnerability": "CVE-2024-0001", "reason": "not built"}
BODIES: dict[str, Any] = {
    "POST /api/v1/members": {"name": "new", "role": "none"},
    "PATCH /api/v1/members/{name}": {"disabled": True},
    "POST /api/v1/members/{name}/password": {},
    "POST /api/v1/groups": {"name": "new"},
    "PATCH /api/v1/groups/{name}": {"description": "x"},
    "POST /api/v1/groups/{name}/members": {"member": "member:low"},
    "POST /api/v1/roles": {"name": "new"},
    "PATCH /api/v1/roles/{name}": {"description": "x"},
    "POST /api/v1/grants": {"role": "blank", "holder": "member:low"},
    "POST /api/v1/grants/revoke": {"role": "blank", "holder": "group:students"},
    "POST /api/v1/tokens": {"name": "new", "role": "none"},
    "POST /api/v1/policies/check": {"text": STARTER_POLICY},
    "POST /api/v1/feeds": {"kind": "osv", "location": "https://example.org/more.zip"},
    "POST /api/v1/feeds/sync": {},
    "POST /api/v1/channels": {"name": "new"},
    "PATCH /api/v1/channels/{channel}": {"description": "x"},
    "POST /api/v1/match": {"components": []},
    "POST /api/v1/match/explain": {"component": {"type": "conda", "name": "openssl", "version": "3.0"}},
    "POST /api/v1/channels/{channel}/rollback": {},
    "PUT /api/v1/channels/{channel}/policy": {"text": STARTER_POLICY},
    "PUT /api/v1/policies": {"text": STARTER_POLICY},
    "POST /api/v1/channels/{channel}/policy/plan": {"text": STARTER_POLICY},
    "POST /api/v1/corrections/preview": CORRECTION,
    "POST /api/v1/corrections": CORRECTION,
    "POST /api/v1/mirrors": {"channel": HERE, "upstream": "https://example.org/more"},
    "PATCH /api/v1/mirrors/{channel}": {"every_s": 7200},
    "POST /api/v1/mirrors/{channel}/accept": {},
    "POST /api/v1/storage/collections": {},
    "POST /api/v1/storage/verifications": {},
    "POST /members": {"name": "new", "role": "none"},
    "POST /members/{name}/role": {"role": "none"},
    "POST /members/{name}/disabled": {"disabled": "yes"},
    "POST /groups": {"name": "new"},
    "POST /groups/{name}/members": {"member": "low"},
    "POST /groups/{name}/members/remove": {"member": "group:pupils"},
    "POST /roles": {"name": "new"},
    "POST /roles/grants": {"role": "blank", "holder": "member:low"},
    "POST /roles/grants/revoke": {"role": "blank", "holder": "group:students"},
    "POST /tokens": {"name": "new", "role": "none", "expires_days": "30"},
    "POST /feeds": {"kind": "osv", "location": "https://example.org/more.zip", "every": "86400"},
    "POST /new-channel": {"name": "new", "privacy": "public", "closure": "on"},
    "POST /new-policy": {"text": STARTER_POLICY},
    "POST /new-policy/plan": {"text": STARTER_POLICY},
    "POST /check-policy": {"text": STARTER_POLICY},
    "POST /policies/{name}": {"text": STARTER_POLICY},
    "POST /policies/{name}/plan": {"text": STARTER_POLICY},
    "POST /channels/{channel}/policy": {"text": STARTER_POLICY},
    "POST /channels/{channel}/policy/everywhere": {"text": STARTER_POLICY},
    "POST /channels/{channel}/policy/plan": {"text": STARTER_POLICY},
    "POST /channels/{channel}/mirror": {"upstream": "https://example.org/more"},
    "POST /channels/{channel}/mirror/edit": {
        "upstream": "https://example.org/here",
        "mode": "passive",
        "every": "86400",
    },
    "POST /channels/{channel}/rollback": {"number": "1"},
    "POST /channels/{channel}/delete": {"confirmation": HERE},
    "POST /channels/{channel}/settings": {"privacy": "public", "closure": "on"},
    "POST /corrections/new": {
        **{"kind": "ignore", "component": "conda:openssl=3.0", "advisory": "CVE-2024-0001", "reason": "not built"},
    },
}
QUERIES = {
    "GET /api/v1/channels/{channel}/explain": "?what=openssl",
    "GET /api/v1/policies/{name}/diff": "?from=1&to=1",
}
NAMED = {"members": "low", "groups": "students", "roles": "blank", "tokens": "spare", "policies": "baseline"}
EXAMPLES = {
    "channel": HERE,
    "member": "group:pupils",
    "advisory": "CVE-2024-0001",
    "any_id": "CVE-2024-0001",
    "advisory_id": "CVE-2024-0001",
    "number": "1",
}


NEEDS = """
DELETE /api/v1/channels/{channel}                channels:manage@
DELETE /api/v1/demo                              settings:manage
DELETE /api/v1/feeds/{feed_id}                   advisories:write
DELETE /api/v1/groups/{name}                     members:manage
DELETE /api/v1/groups/{name}/members/{member}    members:manage
DELETE /api/v1/members/{name}                    members:manage
DELETE /api/v1/mirrors/{channel}                 mirrors:write@
DELETE /api/v1/roles/{name}                      members:manage
DELETE /api/v1/tokens/{name}                     members:manage
GET /                                            signed-in
GET /account                                     signed-in
GET /account/password                            signed-in
GET /advisories                                  advisories:read
GET /advisories/files/{name}                     advisories:read
GET /advisories/manifest.json                    advisories:read
GET /advisories/{advisory}                       advisories:read
GET /antivenom/{path:path}                       open
GET /api/openapi.json                            signed-in
GET /api/v1/advisories                           advisories:read
GET /api/v1/advisories/{advisory_id}/affected    advisories:read
GET /api/v1/advisories/{any_id}                  advisories:read
GET /api/v1/advisory-file                        advisories:read
GET /api/v1/channels                             signed-in
GET /api/v1/channels/{channel}                   channels:read@
GET /api/v1/channels/{channel}/explain           channels:read@
GET /api/v1/channels/{channel}/findings          channels:read@
GET /api/v1/channels/{channel}/history           channels:read@
GET /api/v1/channels/{channel}/packages          channels:read@
GET /api/v1/channels/{channel}/packages/{name}   channels:read@
GET /api/v1/channels/{channel}/policy            channels:read@
GET /api/v1/channels/{channel}/withheld          channels:read@
GET /api/v1/corrections                          advisories:read
GET /api/v1/corrections/knowledge.tsv            advisories:read
GET /api/v1/corrections/{correction_id}          advisories:read
GET /api/v1/events                               audit:read
GET /api/v1/events.csv                           audit:read
GET /api/v1/feeds                                advisories:read
GET /api/v1/feeds/{feed_id}                      advisories:read
GET /api/v1/feeds/{feed_id}/set-aside            advisories:read
GET /api/v1/grants                               signed-in
GET /api/v1/groups                               members:read
GET /api/v1/groups/{name}                        members:read
GET /api/v1/match                                advisories:read
GET /api/v1/me                                   open
GET /api/v1/members                              members:read
GET /api/v1/members/{name}                       members:read
GET /api/v1/members/{name}/rights                members:read
GET /api/v1/mirrors                              signed-in
GET /api/v1/mirrors/{channel}                    mirrors:read@
GET /api/v1/mirrors/{channel}/notes              mirrors:read@
GET /api/v1/mirrors/{channel}/set-aside          mirrors:read@
GET /api/v1/policies                             policies:read
GET /api/v1/policies/{name}                      policies:read
GET /api/v1/policies/{name}/diff                 policies:read
GET /api/v1/policies/{name}/revisions            policies:read
GET /api/v1/roles                                signed-in
GET /api/v1/roles/{name}                         signed-in
GET /api/v1/storage/lost                         settings:read
GET /api/v1/storage/runs                         settings:read
GET /api/v1/storage/runs/{run_id}                settings:read
GET /api/v1/tokens                               members:read
GET /audit                                       audit:read
GET /channels                                    signed-in
GET /channels/{channel}                          channels:read@
GET /channels/{channel}/delete                   channels:read@
GET /channels/{channel}/findings                 channels:read@
GET /channels/{channel}/history                  channels:read@
GET /channels/{channel}/mirror                   channels:read@ mirrors:read@
GET /channels/{channel}/mirror/edit              mirrors:read@ channels:read@
GET /channels/{channel}/mirror/progress          mirrors:read@
GET /channels/{channel}/mirror/state             mirrors:read@
GET /channels/{channel}/packages/{name}          channels:read@
GET /channels/{channel}/policy                   channels:read@
GET /channels/{channel}/policy/edit              channels:read@ policies:read
GET /channels/{channel}/policy/everywhere        channels:read@ policies:read
GET /channels/{channel}/policy/plan              channels:read@ policies:read
GET /channels/{channel}/settings                 channels:read@
GET /channels/{channel}/withheld                 channels:read@
GET /check-policy                                policies:read
GET /corrections                                 advisories:read
GET /corrections/new                             signed-in
GET /corrections/{correction_id}                 advisories:read
GET /feeds                                       advisories:read
GET /feeds/{feed_id}                             advisories:read
GET /groups                                      members:read
GET /groups/{name}                               members:read
GET /healthz                                     open
GET /match                                       advisories:read
GET /members                                     members:read
GET /members/{name}                              members:read
GET /metrics                                     signed-in
GET /new-channel                                 signed-in
GET /new-policy                                  signed-in
GET /new-policy/plan                             signed-in
GET /policies                                    policies:read
GET /policies/{name}                             policies:read
GET /policies/{name}/edit                        policies:read
GET /policies/{name}/plan                        policies:read
GET /readyz                                      open
GET /roles                                       signed-in
GET /roles/{name}                                signed-in
GET /search                                      signed-in
GET /sign-in                                     open
GET /tokens                                      members:read
PATCH /api/v1/channels/{channel}                 channels:write@
PATCH /api/v1/groups/{name}                      members:manage
PATCH /api/v1/members/{name}                     members:manage
PATCH /api/v1/mirrors/{channel}                  mirrors:write@
PATCH /api/v1/roles/{name}                       members:manage
POST /account/password                           signed-in
POST /api/v1/advisory-file/keys                  settings:manage advisories:read
POST /api/v1/channels                            channels:write
POST /api/v1/channels/{channel}/policy/plan      policies:read@ channels:read@
POST /api/v1/channels/{channel}/publications     channels:write@
POST /api/v1/channels/{channel}/rollback         channels:write@
POST /api/v1/corrections                         advisories:write
POST /api/v1/corrections/preview                 advisories:read
POST /api/v1/corrections/{correction_id}/apply   advisories:manage
POST /api/v1/corrections/{correction_id}/decline advisories:write
POST /api/v1/corrections/{correction_id}/revert  advisories:manage
POST /api/v1/feeds                               advisories:write
POST /api/v1/feeds/sync                          advisories:write
POST /api/v1/feeds/{feed_id}/sync                advisories:write
POST /api/v1/grants                              members:manage
POST /api/v1/grants/revoke                       members:manage
POST /api/v1/groups                              members:manage
POST /api/v1/groups/{name}/members               members:manage
POST /api/v1/match                               advisories:read
POST /api/v1/match/explain                       advisories:read
POST /api/v1/members                             members:manage
POST /api/v1/members/{name}/password             members:manage
POST /api/v1/mirrors                             mirrors:write@
POST /api/v1/mirrors/{channel}/accept            mirrors:write@
POST /api/v1/mirrors/{channel}/sync              mirrors:write@
POST /api/v1/policies/check                      policies:read
POST /api/v1/roles                               members:manage
POST /api/v1/storage/collections                 settings:manage
POST /api/v1/storage/verifications               settings:manage
POST /api/v1/tokens                              members:manage
POST /channels/{channel}/delete                  channels:manage@
POST /channels/{channel}/mirror                  channels:read@ mirrors:write@
POST /channels/{channel}/mirror/accept           mirrors:write@
POST /channels/{channel}/mirror/delete           mirrors:write@
POST /channels/{channel}/mirror/edit             mirrors:write@
POST /channels/{channel}/policy                  channels:write@ policies:write
POST /channels/{channel}/policy/everywhere       policies:write
POST /channels/{channel}/policy/plan             policies:read@ channels:read@
POST /channels/{channel}/rollback                channels:write@
POST /channels/{channel}/settings                channels:write@
POST /channels/{channel}/sync                    mirrors:write@
POST /check-policy                               policies:read
POST /corrections/new                            advisories:read
POST /corrections/{correction_id}/apply          advisories:manage
POST /corrections/{correction_id}/decline        advisories:write
POST /corrections/{correction_id}/revert         advisories:manage
POST /feeds                                      advisories:write
POST /feeds/sync                                 advisories:write
POST /feeds/{feed_id}/remove                     advisories:write
POST /feeds/{feed_id}/sync                       advisories:write
POST /groups                                     members:manage
POST /groups/{name}/members                      members:manage
POST /groups/{name}/members/remove               members:manage
POST /groups/{name}/remove                       members:manage
POST /members                                    members:manage
POST /members/{name}/disabled                    members:manage
POST /members/{name}/password                    members:manage
POST /members/{name}/remove                      members:manage
POST /members/{name}/role                        members:manage
POST /new-channel                                channels:write
POST /new-policy                                 policies:write
POST /new-policy/plan                            signed-in
POST /policies/{name}                            policies:write
POST /policies/{name}/plan                       signed-in
POST /roles                                      members:manage
POST /roles/grants                               members:manage
POST /roles/grants/revoke                        members:manage
POST /roles/{name}                               members:manage
POST /roles/{name}/remove                        members:manage
POST /sign-in                                    open
POST /sign-out                                   signed-in
POST /tokens                                     members:manage
POST /tokens/{name}/revoke                       members:manage
PUT /api/v1/channels/{channel}/policy            channels:write@ policies:write
PUT /api/v1/policies                             policies:write
"""
"""What each route needs: permissions for the installation, with @ for the channel that it is about (there, what is
granted for that channel does too); "signed-in" for anybody who is, "open" for anybody at all."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route, named as "METHOD /path/{parameter}"."""

    name: str

    @property
    def method(self) -> str:
        return self.name.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.name.partition(" ")[2]

    @property
    def is_api(self) -> bool:
        return self.path.startswith("/api/") or self.path in ("/metrics", "/healthz", "/readyz")

    @property
    def is_of_a_channel(self) -> bool:
        return "{channel}" in self.path

    def address(self, feed_id: int, channel: str) -> str:
        """The path with an example for each parameter."""

        def fill(found: re.Match[str]) -> str:
            name = found[1]
            if name == "channel":
                return channel
            if name == "name":
                return NAMED.get(self.path.removeprefix("/api/v1").split("/")[1], "openssl")
            return EXAMPLES.get(name, str(feed_id) if name == "feed_id" else "1")

        return re.sub(r"\{(\w+)(?::\w+)?\}", fill, self.path)


def list_routes(app: Any) -> list[Route]:
    return sorted({Route(f"{method} {path}") for method, path in walk(app, fill=False)}, key=lambda route: route.name)


@dataclass
class Sender:
    """Somebody who sends requests: what they hold, signed in each of the ways."""

    client: Any
    headers: dict[str, dict[str, str]]  # by way
    cookie: str
    csrf: str
    feed_id: int

    async def send(self, route: Route, way: str, channel: str = HERE) -> Any:
        body = BODIES.get(route.name, {})
        if "channel" in body and not route.is_of_a_channel:
            body = {**body, "channel": channel}
        headers, options = dict(self.headers.get(way, {})), {}
        if way == "session":
            headers["cookie"] = f"antivenom_session={self.cookie}"
        if route.method != "GET":
            if route.is_api:
                headers |= {"x-csrf-token": self.csrf} if way == "session" else {}
                options = {"json": body} if route.name in BODIES else {}
            else:
                options = {"data": {**body, "csrf": self.csrf if way == "session" else "x"}}
        path = route.address(self.feed_id, channel) + QUERIES.get(route.name, "")
        return await self.client.request(route.method, path, headers=headers, **options)


async def make_things(ctx: Context) -> int:
    """What requests are about; the number of a feed."""
    await service.create_member(ctx, "boss", PASSWORD, role="admin")
    await service.create_member(ctx, "low", PASSWORD, role=None)
    await service.create_token(ctx, "spare", role="none")
    await roles.create_role(ctx, "blank", {})
    for name in ("students", "pupils"):
        await groups.create_group(ctx, name)
    await groups.add_to_group(ctx, "students", "group:pupils")
    await roles.grant_role(ctx, "blank", "group:students")
    for name in (HERE, OTHER):
        settings = mirrors.MirrorSettings(f"https://example.org/{name}")
        await mirrors.create_mirror(ctx, name, settings)
        await channels.update_channel(ctx, name, privacy="authenticated")
        await channel_policies.set_policy(ctx, name, STARTER_POLICY)
    return (await advisories.add_feed(ctx, "osv", "https://example.org/feed.zip")).id


@asynccontextmanager
async def nothing_is_kept(monkeypatch: Any) -> AsyncIterator[None]:
    """Every transaction is rolled back, so that each request finds things as they were."""

    @asynccontextmanager
    async def context(self: Resources, actor: Actor) -> AsyncIterator[Context]:
        async with self._sessions() as session:
            await session.begin()
            try:
                yield Context(session, actor, self.clock(), self)
            finally:
                session.expunge_all()  # what was read stays readable
                await session.rollback()

    with monkeypatch.context() as patched:
        patched.setattr(Resources, "context", context)
        yield


async def make_sender(
    resources: Resources, client: Any, name: str, feed_id: int, grants: list[tuple[Levels, str | None]]
) -> Sender:
    """A member and a token of that name, without a role of their own, who hold those levels."""
    async with resources.context(LOCAL) as ctx:
        await service.create_member(ctx, name, PASSWORD, role=None)
        token = (await service.create_token(ctx, name, role="none")).value
        for number, (levels, channel) in enumerate(grants):
            stored = {category: level.name for category, level in levels.items()}
            await roles.create_role(ctx, f"{name}-{number}", stored)
            for holder in (f"member:{name}", f"token:{name}"):
                await roles.grant_role(ctx, f"{name}-{number}", holder, channel=channel)
        session = await service.sign_in(ctx, name, PASSWORD)
    basic = base64.b64encode(f"x:{token}".encode()).decode()
    headers = {"bearer": {"authorization": f"Bearer {token}"}, "basic": {"authorization": f"Basic {basic}"}}
    return Sender(client, headers, session.value, session.csrf, feed_id)
