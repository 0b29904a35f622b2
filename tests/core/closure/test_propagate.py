"""The closure: what needs something withheld is withheld with the chain, and spared or freed when it may be."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from antivenom.core.policy.compile import Action, Verdict, compile_policy, parse_policy
from tests.core.index_samples import (
    NOW_MS,
    FakePolicy,
    MemoryBlobs,
    channel,
    decisions,
    opened,
    publish_all,
    record,
    served,
    stop,
    withheld,
)


def test_what_needs_a_withheld_package_is_withheld_with_the_chain() -> None:
    blobs = MemoryBlobs()
    records = [
        record("openssl", "3.0.1"),
        record("curl", depends=["openssl >=3,<4"]),
        record("git", depends=["curl"]),
        record("zlib"),
    ]
    published = publish_all(blobs, channel(blobs, noarch=records), stop("openssl"))
    assert list(served(blobs, published)) == ["zlib-1.0-0.conda"]
    found = {d.name: d.reasons[0] for d in withheld(opened(blobs, published))}
    assert found["curl"].gate == "closure"
    assert "openssl-3.0.1-0.conda (rule banned" in found["curl"].message
    assert "curl-1.0-0.conda" in found["git"].message
    assert "openssl" in found["git"].message
    open_end = publish_all(blobs, channel(blobs, noarch=records), stop("openssl"), closure=False)
    assert len(served(blobs, open_end)) == 3


@pytest.mark.parametrize("gate", ["closure", "*"])
def test_an_exception_spares_a_record_from_the_closure_until_it_ends(gate: str) -> None:
    blobs = MemoryBlobs()
    records = [record("openssl"), record("curl", depends=["openssl"]), record("git", depends=["curl"])]
    sources = channel(blobs, noarch=records)
    ends_ms = NOW_MS + 86_400_000
    policy = compile_policy(
        parse_policy(
            "name: p\nrules:\n"
            "  - {id: ban, gate: packages, trigger: names, action: stop, params: {deny: [openssl]}}\n"
            "allowlist:\n"
            f"  - {{id: a1, gate: '{gate}', trigger_id: 'closure+curl-*', owner: o, reason: r,"
            " expires_on: 2026-11-22T00:00:00Z}\n"
        )
    )
    first = publish_all(blobs, sources, policy)
    assert sorted(served(blobs, first)) == ["curl-1.0-0.conda", "git-1.0-0.conda"]
    [found] = decisions(opened(blobs, first), Action.go)
    assert (found.fn, found.action, found.excepted[0][0]) == ("curl-1.0-0.conda", Action.go, "a1")
    assert 0 < first.holds_until_ms <= ends_ms
    previous = {"noarch": first.subdirs["noarch"].publication}
    assert publish_all(blobs, sources, policy, previous=previous, rejudge=()).unchanged
    later = publish_all(blobs, sources, policy, previous=previous, rejudge=(), now_ms=first.holds_until_ms)
    assert served(blobs, later) == {}
    assert later.counts.excepted == 0


@pytest.mark.parametrize(
    "depends",
    [
        ["openssl >=1"],  # an older build is still there
        ["elsewhere"],  # never met here
        ["openssl >=9"],  # never met here either
        ["__glibc >=2.17"],
        ['openssl[when="python >=3"]'],
        ["][ not a spec"],
        [""],
    ],
)
def test_a_dependency_that_filtering_did_not_break_withholds_nothing(depends: list[str]) -> None:
    blobs = MemoryBlobs()
    records = [record("openssl", "3.0.1"), record("openssl", "1.1.1"), record("user", depends=depends)]
    published = publish_all(blobs, channel(blobs, noarch=records), stop("openssl-3.0.1-0.conda"))
    assert "user-1.0-0.conda" in served(blobs, published)


def test_builds_count_in_dependencies() -> None:
    blobs = MemoryBlobs()
    records = [
        record("abi", "3.9", "1_cp39"),
        record("abi", "3.9", "1_pypy39"),
        record("user", depends=["abi 3.9.* *_cp39"]),
        record("other", depends=["abi 3.9 1_pypy39"]),
    ]
    published = publish_all(blobs, channel(blobs, noarch=records), stop("abi-3.9-1_cp39.conda"))
    assert sorted(served(blobs, published)) == ["abi-3.9-1_pypy39.conda", "other-1.0-0.conda"]


def test_a_noarch_record_falls_only_when_it_is_broken_in_every_architecture() -> None:
    blobs = MemoryBlobs()
    sources = channel(
        blobs,
        linux_64=[record("lib", build="linux")],
        osx_64=[record("lib", build="osx")],
        noarch=[record("tool", depends=["lib"])],
    )
    one = publish_all(blobs, sources, stop("lib-1.0-linux.conda"))
    assert list(served(blobs, one)) == ["tool-1.0-0.conda"]
    both = publish_all(blobs, sources, stop("lib"))
    assert served(blobs, both) == {}
    assert both.counts.by_gate == {"packages": 2, "closure": 1}


def test_a_noarch_record_worked_where_all_it_needs_was_met() -> None:
    blobs = MemoryBlobs()
    # On osx there never was a lib, so the tool never worked there; that its python is still there saves nothing.
    sources = channel(
        blobs,
        linux_64=[record("lib"), record("python", "3.9"), record("python", "3.10")],
        osx_64=[record("python", "3.9"), record("python", "3.10")],
        noarch=[record("tool", depends=["lib", "python"])],
    )
    assert list(served(blobs, publish_all(blobs, sources, stop("lib")))) == []
    both = FakePolicy(lambda facts: facts.name == "lib" or (facts.name, facts.version) == ("python", "3.9"))
    assert list(served(blobs, publish_all(blobs, sources, both))) == []


def test_a_noarch_record_that_never_worked_anywhere_falls_when_something_it_needs_is_met_nowhere_any_more() -> None:
    blobs = MemoryBlobs()
    # No architecture has both, so the tool worked in none; that says nothing until one of the two is gone everywhere.
    sources = channel(blobs, linux_64=[record("a")], osx_64=[record("b")], noarch=[record("tool", depends=["a", "b"])])
    assert list(served(blobs, publish_all(blobs, sources, stop("other")))) == ["tool-1.0-0.conda"]
    published = publish_all(blobs, sources, stop("b"))
    [found] = withheld(opened(blobs, published))
    assert (found.name, found.broken_dependencies) == ("tool", ("b",))


@pytest.mark.parametrize("absent", ["elsewhere", "lib >=9", "__cuda"])
def test_what_no_architecture_ever_met_does_not_count_as_met_nowhere_any_more(absent: str) -> None:
    blobs = MemoryBlobs()
    sources = channel(
        blobs,
        linux_64=[record("lib", build="linux")],
        osx_64=[record("lib", build="osx")],
        noarch=[record("tool", depends=[absent, "lib"]), record("other", depends=["lib", absent])],
    )
    published = publish_all(blobs, sources, stop("lib-1.0-linux.conda"))
    assert sorted(served(blobs, published)) == ["other-1.0-0.conda", "tool-1.0-0.conda"]


def test_a_noarch_record_broken_differently_in_each_architecture_falls_and_says_where() -> None:
    blobs = MemoryBlobs()
    sources = channel(
        blobs,
        linux_64=[record("a", build="l"), record("b", build="l")],
        osx_64=[record("a", build="o"), record("b", build="o")],
        noarch=[record("tool", depends=["a", "b"])],
    )
    published = publish_all(blobs, sources, stop("a-1.0-l.conda", "b-1.0-o.conda"))
    [found] = withheld(opened(blobs, published))
    assert found.broken_dependencies == ("a", "b")
    assert "needs a on linux-64, and every build of it is withheld: a-1.0-l.conda" in found.reasons[0].message
    assert "b on osx-64, and every build of it is withheld: b-1.0-o.conda" in found.reasons[0].message


def test_a_chain_never_goes_through_itself() -> None:
    blobs = MemoryBlobs()
    records = [record("a", depends=["b", "c"]), record("b", depends=["a"]), record("c")]
    index = opened(blobs, publish_all(blobs, channel(blobs, noarch=records), stop("c")))
    found = {d.name: d for d in withheld(index)}
    assert (found["a"].broken_dependencies, found["b"].broken_dependencies, found["c"].broken_dependencies) == (
        ("c",),
        ("a",),
        (),
    )
    assert "b-1.0-0.conda" not in found["a"].reasons[0].message


def test_a_long_chain_tells_its_two_ends() -> None:
    blobs = MemoryBlobs()
    links = [f"link{i}-{'x' * 40}" for i in range(30)]
    records = [record("root"), record("root", "2.0"), record(links[0], depends=["root"])]
    records += [record(name, depends=[before]) for before, name in pairwise(links)]
    index = opened(blobs, publish_all(blobs, channel(blobs, noarch=records), stop("root")))
    messages = {d.name: d.reasons[0].message for d in withheld(index)}
    assert messages[links[0]] == (
        "needs root, and every build of it is withheld: root-1.0-0.conda (rule banned: root) and 1 more"
    )
    last = messages[links[-1]]
    assert last.startswith(f"needs {links[-2]}, and every build of it is withheld: {links[-2]}-1.0-0.conda (needs")
    assert last.endswith("… and in the end root-1.0-0.conda (rule banned: root)")
    assert len(last) <= 600


def messages_of(
    blobs: MemoryBlobs, sources: dict[str, str], policy: FakePolicy, subdir: str = "noarch"
) -> dict[str, str]:
    index = opened(blobs, publish_all(blobs, sources, policy), subdir)
    return {d.name: d.reasons[0].message for d in withheld(index)}


def test_the_message_counts_all_builds_that_are_withheld_and_names_every_architecture() -> None:
    blobs = MemoryBlobs()
    sources = channel(
        blobs,
        linux_64=[record("a", build="l"), record("b", build="l")],
        osx_64=[record("a", build="o"), record("b", build="o")],
        win_64=[record("a", build="w"), record("b", build="w")],
        noarch=[record("tool", depends=["a", "b", "__unix"]), record("a", build="n"), record("python")],
    )
    found = messages_of(blobs, sources, stop("a", "python"))
    assert found["tool"] == "needs a, and every build of it is withheld: a-1.0-l.conda (rule banned: a) and 3 more"
    some = stop("a-1.0-n.conda", "a-1.0-l.conda", "a-1.0-o.conda", "b-1.0-w.conda")
    assert messages_of(blobs, sources, some)["tool"] == (
        "needs a on linux-64, osx-64, and every build of it is withheld: a-1.0-l.conda (rule banned: a) and 2 more"
        "; and b on win-64, and every build of it is withheld: b-1.0-w.conda (rule banned: b)"
    )


@pytest.mark.parametrize("bad", ["1.0", "2.0"])
def test_the_message_rather_names_a_build_that_the_policy_withholds_than_one_that_fell(bad: str) -> None:
    blobs = MemoryBlobs()
    fell = "2.0" if bad == "1.0" else "1.0"
    records = [
        record("root"),
        record("lib", fell, depends=["root"]),
        record("lib", bad),
        record("tool", depends=["lib"]),
    ]
    found = messages_of(blobs, channel(blobs, noarch=records), stop("root", f"lib-{bad}-0.conda"))
    assert (
        found["tool"]
        == f"needs lib, and every build of it is withheld: lib-{bad}-0.conda (rule banned: lib) and 1 more"
    )


def test_a_warning_about_a_build_is_not_why_it_is_withheld() -> None:
    blobs = MemoryBlobs()
    records = [record("root"), record("lib", depends=["root"]), record("tool", depends=["lib"])]
    policy = FakePolicy(lambda facts: facts.name == "root", lambda facts: facts.name == "lib")
    assert messages_of(blobs, channel(blobs, noarch=records), policy)["tool"] == (
        "needs lib, and every build of it is withheld: lib-1.0-0.conda"
        " (needs root, and every build of it is withheld: root-1.0-0.conda (rule banned: root))"
    )


@pytest.mark.parametrize(("rule", "is_told"), [("banned", True), ("banned (for now)", False)])
def test_a_long_chain_whose_end_cannot_be_told_shortly_is_cut(rule: str, is_told: bool) -> None:
    class Named(FakePolicy):
        def judge(self, *arguments: Any) -> Verdict:
            verdict = super().judge(*arguments)
            reasons = tuple(msgspec.structs.replace(reason, rule_id=rule) for reason in verdict.reasons)
            return msgspec.structs.replace(verdict, reasons=reasons) if reasons else verdict

    blobs = MemoryBlobs()
    links = ["root", *(f"link{i}-{'x' * 40}" for i in range(30))]
    records = [record("root"), *(record(name, depends=[before]) for before, name in pairwise(links))]
    last = messages_of(blobs, channel(blobs, noarch=records), Named(lambda facts: facts.name == "root"))[links[-1]]
    assert len(last) <= 600
    if is_told:
        assert last.endswith(f"… and in the end root-1.0-0.conda (rule {rule}: root)")
    else:
        assert "…" in last
        assert "in the end" not in last
    assert last.startswith(f"needs {links[-2]}, and every build of it is withheld: ")


@pytest.mark.parametrize("first", ["__unix", "elsewhere", "lib"])
def test_what_no_package_can_meet_hides_nothing_that_stands_behind_it(first: str) -> None:
    blobs = MemoryBlobs()
    needs = [first, "lib", "__unix"]
    sources = channel(
        blobs,
        linux_64=[record("lib", build="l")],
        osx_64=[record("lib", build="o")],
        noarch=[record("tool", depends=needs)],
    )
    assert served(blobs, publish_all(blobs, sources, stop("lib"))) == {}
    sources = channel(blobs, linux_64=[record("lib"), record("tool", depends=needs)])
    assert served(blobs, publish_all(blobs, sources, stop("lib")), "linux-64") == {}


def test_an_exception_may_look_at_the_subdir_of_what_falls() -> None:
    blobs = MemoryBlobs()
    policy = compile_policy(
        parse_policy(
            "name: p\nrules: [{id: ban, gate: packages, trigger: names, action: stop, params: {deny: [a]}}]\n"
            "allowlist: [{id: i, gate: closure, trigger_id: '*', match: 'b[subdir=osx-64]', owner: o, reason: r}]\n"
        )
    )
    records = [record("a"), record("b", depends=["a"])]
    made = publish_all(blobs, channel(blobs, linux_64=records, osx_64=records), policy)
    assert list(served(blobs, made, "linux-64")) == []
    assert list(served(blobs, made, "osx-64")) == ["b-1.0-0.conda"]


def test_an_architecture_record_may_need_a_noarch_one() -> None:
    blobs = MemoryBlobs()
    sources = channel(blobs, linux_64=[record("app", depends=["data"])], noarch=[record("data")])
    published = publish_all(blobs, sources, stop("data"))
    assert served(blobs, published, "linux-64") == {}


def test_the_closure_is_taken_back_when_its_cause_goes() -> None:
    blobs = MemoryBlobs()
    # a and b need each other and c: taking c's ban back must release both.
    sources = channel(blobs, noarch=[record("a", depends=["b", "c"]), record("b", depends=["a"]), record("c")])
    banned = publish_all(blobs, sources, stop("c"))
    assert served(blobs, banned) == {}
    previous = {"noarch": banned.subdirs["noarch"].publication}
    freed = publish_all(blobs, sources, stop(), previous=previous, rejudge=["c"])
    assert len(served(blobs, freed)) == 3
    assert freed.changed_names == ["a", "b", "c"]


def test_builds_that_the_closure_spares_for_different_reasons_tell_their_own() -> None:
    blobs = MemoryBlobs()
    libraries = [record(f"lib{i}") for i in range(30)]
    builds = [record("app", build=f"b{i:02}", depends=[f"lib{i}"]) for i in range(30)]
    policy = compile_policy(
        parse_policy(
            "name: p\nrules:\n"
            "  - {id: ban, gate: packages, trigger: names, action: stop, params: {deny: ['lib*']}}\n"
            "allowlist:\n"
            "  - {id: a1, gate: closure, trigger_id: 'closure+app-*', owner: o, reason: r}\n"
        )
    )
    made = publish_all(blobs, channel(blobs, noarch=libraries + builds), policy)
    found = [d for d in decisions(opened(blobs, made)) if d.excepted]
    assert {d.build: d.broken_dependencies for d in found} == {f"b{i:02}": (f"lib{i}",) for i in range(30)}
    assert all(f"needs lib{int(d.build[1:])}, " in d.excepted[0][1].message for d in found)
    assert {d.excepted[0][1].trigger_id for d in found} == {f"closure+{d.fn}" for d in found}
