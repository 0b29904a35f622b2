"""The soak's own judgement: what it takes for right, torn, allowed and wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.soak import world
from tests.soak.model import Register
from tests.soak.places import FILLER, Place
from tests.soak.upstream import Upstreams
from tests.soak.world import Source, State, TornError

STATES = [
    State(Source("a", 1), 0, 0),
    State(Source("a", 7), 0b1011, 0b101),
    State(Source("b", 12), (1 << world.BITS) - 1, (1 << world.KNOWN) - 1),
]


def served(state: State, subdir: str) -> dict[str, Any]:
    """The records that a right server lists."""
    listed = world.expected(state, subdir)
    return {fn: record for fn, (record, _) in world.contents(state.source, subdir).items() if fn in listed}


@pytest.mark.parametrize("subdir", world.SUBDIRS)
@pytest.mark.parametrize("state", STATES, ids=str)
def test_state_is_read_from_what_is_listed(state: State, subdir: str) -> None:
    assert world.decode(subdir, served(state, subdir)) == state


def test_one_record_of_another_state_is_told() -> None:
    old, new = State(Source("a", 1), 4, 1), State(Source("a", 11), 5, 1)
    right = served(old, "noarch")
    other = served(new, "noarch")
    for fn in sorted(other.keys() ^ right.keys()):
        mixed = dict(right)
        if fn in mixed:
            del mixed[fn]
        else:
            mixed[fn] = other[fn]
        with pytest.raises(TornError):
            world.decode("noarch", mixed)
    replaced = right | {"replaced-1.0-0.conda": other["replaced-1.0-0.conda"]}
    with pytest.raises(TornError, match="other bytes"):
        world.decode("noarch", replaced)


def test_what_was_refused_may_not_be_read_and_what_is_unknown_may() -> None:
    register: Register[int] = Register(1)
    for number in (2, 3, 4):
        register.begin(number)
    register.accept(2)
    register.refuse(3)
    register.leave_open(4)
    assert [register.is_allowed(number) for number in (1, 2, 3, 4, 5)] == [True, True, False, True, False]
    assert register.has_open
    register.settle()
    assert [register.is_allowed(number) for number in (1, 2, 4)] == [False, True, False]


def test_an_upstream_says_the_same_in_each_form_and_lies_on_request() -> None:
    upstreams = Upstreams()
    upstreams.generation["b"] = 3
    plain = upstreams.find("b/noarch/repodata.json")
    assert plain is not None
    records = json.loads(plain.body)["packages.conda"]
    assert {fn: record["sha256"] for fn, record in records.items()} == {
        fn: record["sha256"] for fn, (record, _) in world.contents(Source("b", 3), "noarch").items()
    }
    upstreams.faults["b"] = "old"
    older = upstreams.find("b/noarch/repodata.json")
    assert older is not None
    assert "markerb-1.2-0.conda" in json.loads(older.body)["packages.conda"]
    upstreams.faults["b"] = "empty"
    empty = upstreams.find("b/noarch/repodata.json")
    assert empty is not None
    assert json.loads(empty.body)["packages.conda"] == {}
    upstreams.close()


def test_a_full_place_takes_no_byte_and_an_emptied_one_does(tmp_path: Any) -> None:
    place = Place(tmp_path / "small", 2)
    if not place.is_mount:
        assert place.used_bytes() == 0  # nothing can be mounted here: the soak bounds the processes instead
        return
    try:
        place.fill()
        with pytest.raises(OSError, match="No space left"):
            (place.folder / "more").write_bytes(b"x")
        place.free()
        assert not (place.folder / FILLER).exists()
        (place.folder / "more").write_bytes(b"x")
    finally:
        place.close()
