"""What dependencies ask for and whether it is still there: every spelling, whichever builds are lost, and however."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from antivenom.core.conda.specs import parse_dependency
from antivenom.core.policy.compile import compile_policy, parse_policy
from antivenom.core.publishing.publish import Published
from antivenom.core.source import source_builder
from tests.core.index_samples import (
    MemoryBlobs,
    channel,
    decisions,
    document,
    fn_of,
    ingest,
    opened,
    publish_all,
    record,
    served,
    stop,
)

BUILDS = [  # of lib: version, build, build number
    ("1.0", "a_0", 0), ("1.0", "b_1", 1), ("2.0", "a_0", 0), ("2.0", "a_2", 2), ("3.0", "b_1", 1), ("3.0", "b_0", 0),
]  # fmt: skip
MEETABLE = (
    "lib", "lib >=2", "lib>=2", "lib <2", "lib 2.*", "lib ==3.0", "lib 2.0|3.0", "lib * a_*", "lib * *_1", "lib 2.0 a_2",
    "lib * b_1", "lib >=2 b_*", "lib[build_number='>=1']", "lib[version='>=2',build_number=0]", "lib[build='a_*',build_number=0]", "LIB",
)  # fmt: skip
NEVER_MET = ("elsewhere", "lib 3.0 a_0", "lib >=9", "lib * c_0", "__unix", "][", "")


def entry(number: int, **more: Any) -> dict[str, Any]:
    version, build, build_number = BUILDS[number]
    return record("lib", version, build, build_number=build_number, **more)


def meets(number: int, text: str) -> bool:
    version, build, build_number = BUILDS[number]
    dependency = parse_dependency(text)
    return (
        dependency is not None
        and dependency.name == "lib"
        and dependency.admits_version(version)
        and dependency.admits_build(build)
        and dependency.admits_number(build_number)
    )


USERS = {f"user{i}": text for i, text in enumerate((*NEVER_MET[:3], *MEETABLE, *NEVER_MET))}


def expect(lost: set[int]) -> set[str]:
    """The users that are left when some builds of lib are lost."""
    met = {user: {n for n in range(len(BUILDS)) if meets(n, text)} for user, text in USERS.items()}
    return {user for user, of_user in met.items() if not of_user or not of_user <= lost}


def every_loss() -> list[set[int]]:
    return [set(some) for size in range(7) for some in itertools.combinations(range(len(BUILDS)), size)]


def kept_users(blobs: MemoryBlobs, published: Published, subdir: str = "noarch") -> set[str]:
    return {entry["name"] for entry in served(blobs, published, subdir).values()} & USERS.keys()


def test_each_dependency_asks_for_some_builds_and_not_for_all() -> None:
    met = {text: sum(meets(n, text) for n in range(len(BUILDS))) for text in MEETABLE}
    assert {text for text, number in met.items() if number == len(BUILDS)} == {"lib", "LIB"}
    assert min(met.values()) > 0
    assert not any(meets(n, text) for n in range(len(BUILDS)) for text in NEVER_MET)


def test_whichever_builds_the_policy_withholds_a_user_falls_when_all_that_it_asks_for_is_gone() -> None:
    blobs = MemoryBlobs()
    users = [record(user, depends=[text]) for user, text in USERS.items()]
    sources = channel(blobs, noarch=[*(entry(n) for n in range(len(BUILDS))), *users])
    for lost in every_loss():
        published = publish_all(blobs, sources, stop(*(fn_of(entry(n)) for n in lost)))
        assert kept_users(blobs, published) == expect(lost), lost


def test_builds_that_fall_one_after_another_are_as_gone_as_those_that_the_policy_withholds() -> None:
    blobs = MemoryBlobs()
    users = [record(user, depends=[text]) for user, text in USERS.items()]
    links = [
        record(f"link{n}-{i}", depends=[f"link{n}-{i - 1}"] if i else []) for n in range(6) for i in range(n % 4 + 1)
    ]
    libraries = [entry(n, depends=[f"link{n}-{n % 4}"]) for n in range(6)]
    # Architecture and noarch hold some each: what one of them still has is not gone.
    sources = channel(blobs, linux_64=[*libraries[::2], *users], noarch=[*libraries[1::2], *links])
    for lost in every_loss():
        published = publish_all(blobs, sources, stop(*(f"link{n}-0" for n in lost)))
        assert kept_users(blobs, published, "linux-64") == expect(lost), lost


@pytest.mark.parametrize("subdir", ["noarch", "linux-64"])
def test_what_fell_comes_back_and_falls_again_whichever_builds_are_freed(subdir: str) -> None:
    blobs = MemoryBlobs()
    users = [record(user, depends=[text]) for user, text in USERS.items()]
    libraries = [entry(n, depends=[f"root{n}"]) for n in range(6)]
    sources = channel(blobs, **{"noarch": [], subdir: [*libraries, *users, *(record(f"root{n}") for n in range(6))]})
    roots = [f"root{n}" for n in range(6)]
    previous: Mapping[str, str] = {}
    for lost in [set(range(6)), *every_loss()]:
        policy = stop(*(f"root{n}" for n in lost))
        published = publish_all(blobs, sources, policy, previous=previous, rejudge=roots)
        assert kept_users(blobs, published, subdir) == expect(lost), lost
        previous = {name: made.publication for name, made in published.subdirs.items()}


def test_builds_that_the_upstream_adds_and_removes_are_seen_by_all_that_ask_for_them() -> None:
    """All builds of lib are withheld: a user falls while the upstream lists any that it asks for."""
    blobs = MemoryBlobs()
    users = [record(user, depends=[text]) for user, text in USERS.items()]
    source: str | None = None
    previous: Mapping[str, str] = {}
    for listed in [set(range(6)), *every_loss()]:
        source = ingest(blobs, document(*(entry(n) for n in listed), *users), previous=source)
        published = publish_all(blobs, {"noarch": source}, stop("lib"), previous=previous, rejudge=())
        fallen = {user for user, text in USERS.items() if any(meets(n, text) for n in listed)}
        assert kept_users(blobs, published) == USERS.keys() - fallen, listed
        previous = {"noarch": published.subdirs["noarch"].publication}


def policy_of(banned: str, *, spares: str) -> Any:
    return compile_policy(
        parse_policy(
            f"name: p\nrules: [{{id: ban, gate: packages, trigger: names, action: stop, params: {{deny: [{banned}]}}}}]\n"
            f"allowlist: [{{id: a1, gate: closure, trigger_id: 'closure+{spares}', owner: o, reason: r, expires_on: 2026-11-22T00:00:00Z}}]\n"
        )
    )


@pytest.mark.parametrize("names_in_a_bucket", [1, 99])  # what is in a bucket of its own is not even read
@pytest.mark.parametrize("spares", ["nothing", "app-1.0-b1.conda", "app-1.0-b3.conda", "app-*"])
def test_decisions_that_hold_are_the_same_beside_those_that_are_new(
    spares: str, names_in_a_bucket: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Builds of one name fall one by one, share dependencies, and some are spared: step by step as at once."""

    def cut(names: Sequence[str]) -> list[tuple[int, int]]:
        return [(at, min(at + names_in_a_bucket, len(names))) for at in range(0, len(names), names_in_a_bucket)]

    monkeypatch.setattr(source_builder, "cut_buckets", cut)
    blobs = MemoryBlobs()
    builds = {"b1": ["r1"], "b2": ["r2"], "b3": ["r1"], "b4": []}
    records = [record(name) for name in ("r1", "r2", "r3")]
    records += [record("app", build=build, depends=needs) for build, needs in builds.items()]
    records += [record("top", build=build, depends=[f"app * {build}"]) for build in builds]
    sources = channel(blobs, noarch=records)
    for path in itertools.permutations(("r3", "r1", "r1, r2", "r2"), 3):
        previous: Mapping[str, str] = {}
        for banned in path:
            policy = policy_of(banned, spares=spares)
            made = publish_all(blobs, sources, policy, previous=previous, rejudge=("r1", "r2", "r3"), monolith=False)
            at_once = publish_all(blobs, sources, policy, monolith=False)
            assert decisions(opened(blobs, made)) == decisions(opened(blobs, at_once)), (path, banned)
            assert made.counts == at_once.counts
            previous = {"noarch": made.subdirs["noarch"].publication}


def test_what_comes_later_and_needs_something_that_fell_before_says_why_that_fell() -> None:
    blobs = MemoryBlobs()
    records = [record("base"), record("lib", depends=["base"])]
    before = publish_all(blobs, channel(blobs, noarch=records), stop("base"))
    sources = channel(blobs, noarch=[*records, record("app", depends=["lib"])])
    previous = {"noarch": before.subdirs["noarch"].publication}
    after = publish_all(blobs, sources, stop("base"), previous=previous, rejudge=["app"])
    [found] = [d for d in decisions(opened(blobs, after)) if d.name == "app"]
    [reason] = found.reasons
    assert (reason.rule_id, reason.gate, reason.trigger, reason.trigger_id) == (
        "closure", "closure", "dependency", "closure+app-1.0-0.conda",
    )  # fmt: skip
    assert reason.message == (
        "needs lib, and every build of it is withheld: lib-1.0-0.conda"
        " (needs base, and every build of it is withheld: base-1.0-0.conda (rule banned: base))"
    )
