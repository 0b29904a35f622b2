"""The decisions for one bucket: what the policy and the closure decide for the same record, and how it is counted."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from antivenom.core.closure.propagate import ClosureDecision, NameClosure
from antivenom.core.matching.advisories import Severity
from antivenom.core.policy.compile import Action, AllowlistItem, Reason
from antivenom.core.publication.publication_map import Decision, NameDecisions
from antivenom.core.publishing.decisions import bucket_decisions, count_records, group_decisions, summarize
from antivenom.core.source.source_map import NameFacts

TEXTS = ("lib >=1",)
ITEM = AllowlistItem("spare", "closure", "*", "o", "r", expires_ms=500)


def reason(rule: str, gate: str, action: Action, trigger_id: str = "x") -> Reason:
    return Reason(rule, gate, "t", trigger_id, action, f"{rule} says so")


STOP, WARN = reason("ban", "packages", Action.stop), reason("hint", "licenses", Action.warn)
PUT_ASIDE = ("item", reason("bad", "vulnerabilities", Action.stop))
# Of the policy alone: its action, reasons, what is put aside, and until when that holds.
BY_POLICY = {
    "stops": (Action.stop, (STOP, WARN), (PUT_ASIDE,), 900),
    "nothing": None,
    "excepts": (Action.go, (), (PUT_ASIDE,), 700),
    "warns": (Action.warn, (WARN,), (), 300),
    "warns and excepts": (Action.warn, (WARN,), (PUT_ASIDE,), 0),
}
FNS = [f"app-{at}.0-b{at}.conda" for at in range(len(BY_POLICY))]
FACTS = NameFacts(
    name="app", fns=FNS, legacy=0, components=[(f"{at}.0", ()) for at in range(len(FNS))],
    component_of=list(range(len(FNS))), builds=[f"b{at}" for at in range(len(FNS))], build_numbers=[0] * len(FNS),
    licenses=[("MIT", ""), ("", ""), ("BSD", ""), ("MIT", "x")], license_of=[0] * len(FNS), sizes=[10 + at for at in range(len(FNS))],
    timestamps=[0] * len(FNS), indexed=[0] * len(FNS), noarchs=[""] * len(FNS), latest=f"{len(FNS) - 1}.0",
)  # fmt: skip


def by_policy() -> list[Decision]:
    found = []
    for at, decided in enumerate(BY_POLICY.values()):
        if decided is not None:
            action, reasons, excepted, until_ms = decided
            fields = (FNS[at], "app", f"{at}.0", f"b{at}", 10 + at, action, reasons, excepted, until_ms, Severity.low)
            found.append(Decision(*fields))
    return found


def closure_reason(fn: str, message: str = "needs lib") -> Reason:
    return Reason("closure", "closure", "dependency", f"closure+{fn}", Action.stop, message)


def decided(closure: NameClosure | None, severities: dict[str, Severity] | None = None) -> list[Decision]:
    bucket = {0: closure} if closure is not None else {}
    names = bucket_decisions(by_policy(), bucket, [FACTS], severities or {})
    return [decision for name in names for decision in name.decisions()]


def test_without_a_closure_the_policy_decides_alone() -> None:
    assert decided(None) == by_policy() == [d for n in group_decisions(by_policy()) for d in n.decisions()]


def test_what_falls_keeps_what_the_policy_says_of_it_and_what_it_withholds_is_its_own() -> None:
    severities = {FNS[1]: Severity.high}
    falls = NameClosure(list_of=[0] * len(FNS), broken={0: ("needs lib", TEXTS)})
    stops, nothing, excepts, warns, both = decided(falls, severities)
    assert [d.action for d in (stops, nothing, excepts, warns, both)] == [Action.stop] * 5
    assert [(d.fn, d.version, d.build, d.size_bytes) for d in (stops, nothing, excepts, warns, both)] == [
        (fn, f"{at}.0", f"b{at}", 10 + at) for at, fn in enumerate(FNS)
    ]
    assert [d.reasons for d in (nothing, excepts, warns, both)] == [
        (closure_reason(FNS[1]),),
        (closure_reason(FNS[2]),),
        (closure_reason(FNS[3]), WARN),
        (closure_reason(FNS[4]), WARN),
    ]
    assert [d.excepted for d in (nothing, excepts, warns, both)] == [(), (PUT_ASIDE,), (), (PUT_ASIDE,)]
    assert [d.holds_until_ms for d in (nothing, excepts, warns, both)] == [0, 700, 300, 0]
    assert [d.broken_dependencies for d in (nothing, excepts, warns, both)] == [TEXTS] * 4
    assert nothing.severity == Severity.high
    assert stops == by_policy()[0]


def test_what_an_item_spares_goes_unless_the_policy_withholds_it_and_the_item_is_said() -> None:
    spared = NameClosure(
        list_of=[0] * len(FNS), broken={0: ("needs lib", TEXTS)}, spared=dict.fromkeys(range(len(FNS)), ITEM)
    )
    stops, nothing, excepts, warns, both = decided(spared, {FNS[1]: Severity.high})
    assert [d.action for d in (nothing, excepts, warns, both)] == [Action.go, Action.go, Action.warn, Action.warn]
    assert [d.reasons for d in (nothing, excepts, warns, both)] == [(), (), (WARN,), (WARN,)]
    of_closure = [("spare", closure_reason(fn)) for fn in FNS]
    assert [d.excepted for d in (nothing, excepts, warns, both)] == [
        (of_closure[1],),
        (PUT_ASIDE, of_closure[2]),
        (of_closure[3],),
        (PUT_ASIDE, of_closure[4]),
    ]
    assert [d.holds_until_ms for d in (nothing, excepts, warns, both)] == [500, 500, 300, 500]
    assert (nothing.severity, nothing.broken_dependencies) == (Severity.high, TEXTS)
    assert stops == by_policy()[0]


def test_records_that_fall_alike_share_a_decision_unless_their_severity_differs() -> None:
    alike = NameClosure(list_of=[0, 1, 1, 0, 0], broken={0: ("needs lib", TEXTS), 1: ("needs other", ("other",))})
    severities = {FNS[1]: Severity.high, FNS[2]: Severity.high, FNS[3]: Severity.low}
    [name] = bucket_decisions([], {0: alike}, [FACTS], severities)
    assert [name.shared_of, len(name.shared)] == [[0, 1, 1, 2, 0], 3]
    assert [d.severity for d in name.decisions()] == [
        Severity.unknown, Severity.high, Severity.high, Severity.low, Severity.unknown,
    ]  # fmt: skip
    held = {FNS[4]: ClosureDecision(closure_reason(FNS[4], "as before"), ("old",))}
    [name] = bucket_decisions([], {0: NameClosure(earlier=held)}, [FACTS], {})
    [decision] = name.decisions()
    assert (decision.fn, decision.broken_dependencies, decision.reasons[0].message) == (FNS[4], ("old",), "as before")


def test_names_stay_apart_and_those_without_a_decision_are_left_out() -> None:
    names = [msgspec.structs.replace(FACTS, name=name) for name in ("aaa", "app", "bbb", "ccc")]
    falls = NameClosure(list_of=[0, 1, 1, 1, 1], broken={0: ("needs lib", TEXTS)})
    withheld = Decision(FNS[0], "ccc", "0.0", "b0", 10, Action.stop, (STOP,))
    found = bucket_decisions([*by_policy(), withheld], {2: falls, 3: falls, 0: NameClosure()}, names, {})
    assert [name.name for name in found] == ["app", "bbb", "ccc"]
    assert [len(name.fns) for name in found] == [4, 1, 1]
    assert list(found[2].decisions()) == [withheld]  # it falls too, but the policy withholds it anyway


def test_decisions_are_listed_by_file_name_whatever_their_order() -> None:
    falls = NameClosure(list_of=[0] * len(FNS), broken={0: ("needs lib", TEXTS)})
    backwards = bucket_decisions(by_policy()[::-1], {0: falls}, [FACTS], {})
    assert [d for n in backwards for d in n.decisions()] == decided(falls)
    assert [d.fn for n in group_decisions(by_policy()[::-1]) for d in n.decisions()] == [FNS[0], *FNS[2:]]
    newest_first = [
        Decision(fn, "app", version, "0", 1, Action.stop, (STOP,)) for fn, version in (("b", "1"), ("a", "2"))
    ]
    assert [d.version for n in group_decisions(newest_first) for d in n.decisions()] == ["2", "1"]


def test_a_reason_that_names_the_file_is_shared_and_read_back_with_the_right_name() -> None:
    of_file = [reason("cel", "expression", Action.warn, f"cel+{fn}") for fn in FNS[:2]]
    decisions = [
        Decision(fn, "app", f"{at}.0", f"b{at}", 10 + at, Action.warn, (of,), (("i", of),))
        for at, (fn, of) in enumerate(zip(FNS, of_file, strict=False))
    ]
    [name] = group_decisions(decisions)
    assert (len(name.shared), list(name.decisions())) == (1, decisions)
    falls = NameClosure(list_of=[0] * len(FNS), broken={0: ("needs lib", TEXTS)})
    [name] = bucket_decisions(decisions, {0: falls}, [FACTS], {})
    assert [d.reasons[1] for d in list(name.decisions())[:2]] == of_file
    assert [d.excepted for d in list(name.decisions())[:2]] == [(("i", of),) for of in of_file]


# -- counts and summaries ----------------------------------------------------------------------------------------------


def test_records_are_counted_by_what_became_of_them() -> None:
    again = reason("hint", "licenses", Action.warn, "another")
    decisions = [
        Decision("a", "app", "1", "0", 1, Action.stop, (STOP, WARN, again), (), 0, Severity.high),
        Decision("b", "app", "1", "0", 1, Action.stop, (STOP,), (PUT_ASIDE,), 0, Severity.unknown),
        Decision("c", "app", "1", "0", 1, Action.warn, (WARN, again), (), 0, Severity.low),
        Decision("d", "app", "1", "0", 1, Action.warn, (WARN, again), (), 0, Severity.low),
        Decision("e", "app", "1", "0", 1, Action.go, (), (PUT_ASIDE,), 0, Severity.high),
    ]
    severities = {"a": Severity.high, "c": Severity.low, "d": Severity.low, "e": Severity.high, "f": Severity.low}
    counts = count_records(9, group_decisions(decisions), severities)
    assert (counts.records, counts.kept, counts.withheld, counts.warned, counts.excepted) == (9, 7, 2, 2, 2)
    assert counts.by_rule == {"ban": 2, "hint": 3}
    assert counts.by_gate == {"packages": 2, "licenses": 3}
    assert counts.by_severity == {"high": 2, "low": 3}
    assert counts.withheld_by_severity == {"high": 1}
    assert count_records(3, [NameDecisions("none")], {}).kept == 3


@pytest.mark.parametrize(
    ("withheld", "latest"),
    [
        ((), "4.0"),
        ((4,), "3.0"),
        ((0, 1), "4.0"),
        ((1, 2, 3, 4), "0.0"),
        (range(5), ""),
    ],
)
def test_the_latest_version_of_a_name_is_the_highest_that_is_served(withheld: Sequence[int], latest: str) -> None:
    actions = {FNS[at]: Action.stop for at in withheld}
    summary = summarize(FACTS, "noarch", actions, {})
    assert (summary.name, summary.subdir, summary.versions, summary.records) == ("app", "noarch", 5, 5)
    assert (summary.withheld, summary.latest, summary.latest_upstream) == (len(withheld), latest, "4.0")
    assert summary.licenses == ("MIT", "BSD")


def test_a_summary_has_the_worst_severity_of_all_and_of_what_is_served() -> None:
    severities = {FNS[0]: Severity.critical, FNS[1]: Severity.low, "of another name": Severity.malware}
    actions = {FNS[0]: Action.stop, FNS[2]: Action.warn, FNS[3]: Action.warn, FNS[4]: Action.go}
    found = summarize(FACTS, "noarch", actions, severities)
    assert (found.severity, found.kept_severity, found.withheld, found.warned) == (
        Severity.critical,
        Severity.low,
        1,
        2,
    )
    found = summarize(FACTS, "noarch", {}, {})
    assert (found.severity, found.kept_severity, found.warned) == (Severity.unknown, Severity.unknown, 0)


def test_versions_and_licences_of_a_summary_are_distinct_and_the_list_of_licences_is_short() -> None:
    many = msgspec.structs.replace(
        FACTS,
        components=[("1.0", ()), ("1.0", ("pkg:pypi/app",)), ("2.0", ())],
        component_of=[0, 1, 2, 2, 2],
        licenses=[(f"L{at}", "") for at in range(12)],
        latest="2.0",
    )
    found = summarize(many, "noarch", dict.fromkeys(FNS[2:], Action.stop), {})
    assert (found.versions, found.latest, found.latest_upstream) == (2, "1.0", "2.0")
    assert found.licenses == tuple(f"L{at}" for at in range(8))
