"""Records whose name is not the one in their file name: conda lists them under their own (mamba-org/quetz#553)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import zstandard

from antivenom.server.catalog import service as catalog
from tests.e2e.upstream_channel import Package, write_upstream
from tests.reports.odd_upstream import OddUpstream
from tests.reports.test_served_channel import shards_by_index
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.upstreams import write_channel

FN = "filename-1.0-0.conda"
NEEDS = Package("needs", "1.0", depends=("own >=1",), subdir="linux-64")
BAN = "name: ban\nrules:\n  - {id: own, gate: packages, trigger: match_spec, action: stop, params: {deny: [own]}}\n"


def write_renamed(odd: OddUpstream, **fields: Any) -> bytes:
    """An upstream with `own`, whose file is called `filename`, and `needs`, which needs it; the former's bytes."""
    artifacts = write_upstream(odd.folder, [Package("own", "1.0", subdir="linux-64"), NEEDS])
    folder = odd.folder / "linux-64"
    (folder / "own-1.0-0.conda").rename(folder / FN)
    records = json.loads((folder / "repodata.json").read_text())["packages.conda"]
    renamed = records.pop("own-1.0-0.conda") | fields
    write_channel(odd.folder, {"linux-64": [(FN, renamed), *records.items()]})
    return artifacts["own-1.0-0.conda"]


async def test_a_record_is_served_under_its_own_name_everywhere(
    person: Person, odd: OddUpstream, ask: Asker, app_client: Any, member_client: Any
) -> None:
    artifact = write_renamed(odd, subdir="osx-64")
    mirror = await person.mirror("main", odd, subdirs=["linux-64"])
    assert (mirror.state, await person.kept("main")) == ("ok", {FN, NEEDS.fn})
    (record,) = (await person.ask(catalog.get_package, "main", "own")).records
    assert (record.fn, record.name) == (FN, "own")
    (explained,) = await person.ask(catalog.explain, "main", FN)
    assert (explained.name, explained.decision) == ("own", "admitted")

    index = msgspec.msgpack.decode(
        zstandard.decompress((await ask("/conda/main/linux-64/repodata_shards.msgpack.zst")).body)
    )
    assert set(index["shards"]) == {"own", "needs"}
    whole = json.loads((await ask("/conda/main/linux-64/repodata.json")).body)["packages.conda"]
    current = json.loads((await ask("/conda/main/linux-64/current_repodata.json")).body)["packages.conda"]
    for records in (await shards_by_index(ask, "/conda/main/linux-64"), whole, current):
        assert (records[FN]["name"], records[FN]["subdir"]) == ("own", "linux-64")
    assert (await ask(f"/conda/main/linux-64/{FN}")).body == artifact

    notes = (await app_client.get("/api/v1/mirrors/main/notes")).json()["items"]
    assert {(row["subdir"], row["fn"], row["note"]) for row in notes} == {
        ("linux-64", FN, "the record's name is own, and it is served under it"),
        ("linux-64", FN, "its subdir is 'osx-64'; it is served with linux-64"),
    }
    shown = (await app_client.get("/api/v1/mirrors/main")).json()
    assert (shown["noted"], shown["set_aside"]) == (2, 0)
    assert "Put in order" in (await member_client.get("/channels/main/mirror")).text


async def test_policies_and_the_closure_go_by_the_records_own_name(
    person: Person, odd: OddUpstream, ask: Asker
) -> None:
    write_renamed(odd)
    await person.mirror("main", odd, subdirs=["linux-64"])
    await person.set_policy("main", BAN)
    assert set(await person.withheld("main")) == {FN, NEEDS.fn}
    answer = await ask(f"/conda/main/linux-64/{FN}")
    assert (answer.status, b"own" in answer.body) == (403, True)
    write_renamed(odd, license="Apache-2.0")  # nothing else changed
    await person.sync("main")
    assert set(await person.withheld("main")) == {FN, NEEDS.fn}
    assert (await ask(f"/conda/main/linux-64/{FN}")).status == 403


@pytest.mark.parametrize("changed", ["own", "needs"])
async def test_a_note_stays_while_other_names_change(
    person: Person, odd: OddUpstream, ask: Asker, changed: str
) -> None:
    write_renamed(odd)
    await person.mirror("main", odd, subdirs=["linux-64"])
    folder = odd.folder / "linux-64"
    records = json.loads((folder / "repodata.json").read_text())["packages.conda"]
    write_channel(
        odd.folder,
        {"linux-64": [(fn, r | ({"license": "BSD"} if r["name"] == changed else {})) for fn, r in records.items()]},
    )
    mirror = await person.sync("main")
    assert mirror.subdir_states["linux-64"].noted == 1
    assert (await ask(f"/conda/main/linux-64/{FN}")).status == 200
