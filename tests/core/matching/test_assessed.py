"""What is shown as free of vulnerabilities, and what is not assessed: silence has to be evidence."""

from __future__ import annotations

import msgspec
import pytest

from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.explain import NameOutcome, explain
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.knowledge import IS_NOT, Alias, IgnoreRule, IsNot, Knowledge, assemble
from antivenom.core.matching.match import ComponentKey, MatchIndex

TARGET = IgnoreRule("any", "target", ("phone",), (), "an app for phones")
MAPS = NameMaps({"wrapped": {"conda-forge": {"pypi": ("wrapped",)}}, "htop": {"conda-forge": {"pypi": ()}}}, {})
KNOWN = {"names/acme": Alias(("acme:acme",)), "ignore/phone": TARGET}


def nvd(product: str) -> Advisory:
    affected = AffectedPackage("cpe", product, (AffectedRange("cpe", fixed="2.0"),))
    return Advisory("CVE-2024-1", "nvd", affected=(affected,))


def ask(index: MatchIndex, name: str, version: str) -> tuple[bool, list[str]]:
    [answer] = index.assess([ComponentKey("conda", name, version)], "conda-forge")
    return answer.assessed, [f.ids[0] for f in answer.findings]


def open_index(*advisories: Advisory, knowledge: Knowledge | None = None) -> MatchIndex:
    known = knowledge or assemble([list(KNOWN.items())])
    return MatchIndex.load(build_index(advisories, None, MAPS, known))


@pytest.mark.parametrize("name", ["htop", "htop_not_in_the_map"])
def test_an_equal_name_shows_a_vulnerability_and_not_that_there_is_none(name: str) -> None:
    index = open_index(nvd(f"{name}:{name}"))
    assert ask(index, name, "1.0") == (True, ["CVE-2024-1"])
    assert ask(index, name, "3.0") == (False, [])
    [answer] = index.assess([ComponentKey("conda", name, "3.0")])
    assert answer.reason.startswith(f"only an equal name ties {name} to {name}:{name}")


def test_a_name_of_which_all_that_is_told_is_of_another_thing_is_not_assessed() -> None:
    assert ask(open_index(nvd("acme:acme@phone")), "acme", "3.0") == (False, [])
    of_both = nvd("acme:acme"), msgspec.structs.replace(nvd("acme:acme@phone"), id="CVE-2024-2")
    assert ask(open_index(*of_both), "acme", "3.0") == (True, [])


def test_a_map_that_a_row_contradicts_is_no_evidence() -> None:
    of_python = Advisory("PYSEC-1", "osv", affected=(AffectedPackage("pypi", "other", (), ("1.0",)),))
    assert ask(open_index(of_python), "wrapped", "3.0") == (True, [])
    row = f"{IS_NOT}/wrapped/pypi/wrapped", IsNot("wrapped", "pypi/wrapped", "another program")
    corrected = assemble([[*KNOWN.items(), row]])
    [answer] = open_index(of_python, knowledge=corrected).assess(
        [ComponentKey("conda", "wrapped", "3.0")], "conda-forge"
    )
    assert (answer.assessed, answer.findings) == (False, ())
    assert answer.reason == "no advisory source knows conda package wrapped: another program"


def test_the_way_of_a_component_says_so() -> None:
    explained = explain(open_index(nvd("htop:htop")), ComponentKey("conda", "htop", "3.0"), "conda-forge")
    assert not explained.assessed
    [tried] = [n for n in explained.names if n.name == "htop:htop"]
    assert tried.outcome is NameOutcome.heard
    assert tried.why == "1 advisory names it; only an equal name suggests it, so silence is no evidence"


def test_a_fix_that_the_deciding_source_calls_affected_is_none() -> None:
    lines = (AffectedRange("cpe", fixed="1.2"), AffectedRange("cpe", "1.2", fixed="1.4"))  # 1.2 brought it back
    affected = AffectedPackage("cpe", "acme:acme", lines, fixed_versions=("1.2", "1.4"))
    [answer] = open_index(Advisory("CVE-2024-1", "nvd", affected=(affected,))).assess(
        [ComponentKey("conda", "acme", "1.0")]
    )
    assert answer.findings[0].fixed_versions == ("1.4",)


def test_a_fix_that_another_entry_of_the_deciding_source_calls_affected_is_none() -> None:
    one = AffectedPackage("cpe", "acme:acme", (AffectedRange("cpe", fixed="1.2"),), fixed_versions=("1.2",))
    other = AffectedPackage("cpe", "acme:other", (AffectedRange("cpe", last_affected="1.3"),))
    knowledge = assemble([[("names/acme", Alias(("acme:acme", "acme:other")))]])
    index = open_index(Advisory("CVE-2024-1", "nvd", affected=(one, other)), knowledge=knowledge)
    [answer] = index.assess([ComponentKey("conda", "acme", "1.0")])
    assert answer.findings[0].fixed_versions == ()
