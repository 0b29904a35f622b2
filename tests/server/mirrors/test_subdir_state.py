"""What a mirror remembers of its upstream's subdirs, as it is stored and as earlier releases stored it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text

from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.progress import JobProgress
from antivenom.server.mirrors import queries
from antivenom.server.mirrors.models import Mirror
from antivenom.server.mirrors.subdir_state import SubdirState, count_set_aside
from tests.server.mirrors.conftest import Person
from tests.server.mirrors.test_syncing import small_channel
from tests.upstreams import UpstreamServer, write_channel

WRITTEN_BY_THE_FIRST_RELEASE: dict[str, Any] = {
    "source": "index/aa",
    "file": "repodata.json.zst",
    "etag": None,
    "last_modified": "Mon, 01 Jan 2024 00:00:00 GMT",
    "sha256": "ab",
    "records": 3,
    "set_aside": 2,
    "set_aside_examples": [["x-1-0.conda", "no digest"], ["y-1-0.conda", "no name"]],
}


async def store(resources: Resources, mirror: Mirror, states: Any) -> Mirror:
    """Write the column as another release did, and read it as this one does."""
    async with resources.context(SYSTEM) as ctx:
        update = text("UPDATE mirror SET upstream_state = CAST(:states AS jsonb), progress = '{}' WHERE id = :id")
        await ctx.session.execute(update, {"states": json.dumps(states), "id": mirror.id})
    async with resources.context(SYSTEM) as ctx:
        found = await queries.find_mirror_by_id(ctx.session, mirror.id)
    assert found is not None
    return found


@pytest.fixture
async def mirror(person: Person, upstream: UpstreamServer) -> Mirror:
    write_channel(upstream.folder, small_channel())
    return await person.mirror("main", upstream, subdirs=["linux-64"])


async def test_state_of_an_earlier_release_is_read(resources: Resources, mirror: Mirror) -> None:
    stored = {"linux-64": WRITTEN_BY_THE_FIRST_RELEASE, "noarch": {"source": "index/bb", "missing": True, "records": 0}}
    found = await store(resources, mirror, stored)
    state = found.subdir_states["linux-64"]
    assert (state.source, state.records, state.base_url, state.etag) == ("index/aa", 3, "", None)
    assert state.set_aside_examples[1] == ("y-1-0.conda", "no name")
    assert found.subdir_states["noarch"] == SubdirState(source="index/bb", missing=True)
    assert count_set_aside(found.subdir_states) == 2
    assert found.progress == JobProgress()


async def test_field_of_a_later_release_is_passed_over(resources: Resources, mirror: Mirror) -> None:
    found = await store(resources, mirror, {"noarch": {"source": "index/bb", "mood": "fair"}})
    assert found.subdir_states == {"noarch": SubdirState(source="index/bb")}


async def test_stored_form_is_the_one_that_earlier_releases_read(resources: Resources, mirror: Mirror) -> None:
    async with resources.context(SYSTEM) as ctx:
        stored = await ctx.session.scalar(text("SELECT upstream_state FROM mirror"))
        progress = await ctx.session.scalar(text("SELECT progress FROM mirror"))
    assert set(stored) == {"linux-64", "noarch"}
    assert stored["linux-64"].keys() >= {"source", "file", "sha256", "records"}
    assert stored["linux-64"].keys() <= set(SubdirState.__struct_fields__)
    assert stored["linux-64"]["file"] == "repodata.json.zst"
    assert progress == {}
