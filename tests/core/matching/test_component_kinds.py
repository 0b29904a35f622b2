"""Each way of naming a component: by conda name and channel, by its record's purls, by a purl; and its explanation."""

from __future__ import annotations

import pytest

from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.explain import Outcome, explain
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.knowledge import Affected, Alias, IgnoreRule, Knowledge
from antivenom.core.matching.match import ComponentKey, MatchIndex

BELOW_2 = AffectedRange("generic", fixed="2")


def advisory(name: str, ecosystem: str, package: str, source: str = "osv", **fields: object) -> Advisory:
    affected = AffectedPackage(ecosystem, package, (BELOW_2,), platforms=fields.pop("platforms", ()))  # type: ignore[arg-type]
    return Advisory(name, source, affected=(affected,), **fields)  # type: ignore[arg-type]


MAPS = NameMaps(
    {
        "pkg": {"conda-forge": {"pypi": ("foo",)}, "other": {"pypi": ("bar",)}},
        "quiet": {"conda-forge": {"pypi": ("quiet",)}},
        "nowhere": {"conda-forge": {"pypi": ()}},
        "led": {"conda-forge": {"pypi": ("led",)}},
    },
    {"pypi/foo": ("v:foo",), "pypi/led": ("v:led",)},
)
KNOWN = Knowledge(
    names={"lib": Alias(("v:lib",)), "bin": Alias(wholes=("v:lib",))},
    metapackages={"meta": "lib"},
    affected={"fine": (Affected("fine", "LIB", (), "looked"),)},
    not_names={"wrong": {"pypi/wrong": "another project"}},
    ignore={"ignore/server": IgnoreRule("part", "summary", ("server",), (), "of the server")},
)
COMPILED = MatchIndex.load(
    build_index(
        [
            advisory("FOO", "pypi", "foo"),
            advisory("BAR", "pypi", "bar"),
            advisory("WRONG", "pypi", "wrong"),
            advisory("LIB", "cpe", "v:lib", "nvd", summary="of the server"),
            advisory("WIN", "cpe", "v:lib", "nvd", platforms=("windows",)),
            advisory("NAMED", "cpe", "v:foo", "nvd"),
            advisory("OWN", "conda", "own"),
            advisory("JSON", "npm", "JSONStream"),
            Advisory("SHA", "osv", flags=("git-range",), affected=(AffectedPackage("pypi", "led"),)),
            Advisory("SHA-2", "osv", flags=("git-range",), affected=(AffectedPackage("pypi", "led"),)),
        ],
        None,
        MAPS,
        KNOWN,
    )
).compiled


@pytest.fixture
def index() -> MatchIndex:
    """One that nobody has asked anything yet."""
    return MatchIndex(COMPILED)


def conda(name: str, version: str = "1.0", *purls: str, subdir: str = "") -> ComponentKey:
    return ComponentKey("conda", name, version, purls=purls, subdir=subdir)


def purl(text: str, version: str = "", subdir: str = "") -> ComponentKey:
    return ComponentKey("purl", text, version, subdir=subdir)


CLEAN: list[str] = []
KINDS: list[tuple[ComponentKey, str, list[str] | None, list[str]]] = [
    # component, channel, its findings (None: not assessed), what is set aside
    (conda("pkg"), "conda-forge", ["FOO", "NAMED"], []),
    (conda("pkg"), "https://conda.example/conda-forge/linux-64", ["FOO", "NAMED"], []),
    (conda("pkg"), "other", ["BAR"], []),
    (conda("pkg"), "unheard-of", ["FOO", "NAMED"], []),
    (conda("PKG"), "other", ["BAR"], []),
    (conda("pkg", "2.0"), "conda-forge", CLEAN, []),
    (conda("pkg", "1.0", "pkg:pypi/bar"), "conda-forge", ["BAR"], []),
    (conda("pkg", "1.0", "pkg:pypi/bar@2.0"), "conda-forge", CLEAN, []),
    (conda("pkg", "2.0", "pkg:pypi/bar@1.0"), "conda-forge", ["BAR"], []),
    (conda("pkg", "1.0", "pkg:pypi/a", "pkg:pypi/bar"), "", ["BAR"], []),
    (conda("pkg", "trunk"), "conda-forge", None, []),
    (conda("quiet"), "conda-forge", CLEAN, []),
    (conda("nowhere"), "conda-forge", None, []),
    (conda("unheard-of"), "conda-forge", None, []),
    (conda("own"), "", ["OWN"], []),
    (conda("own", "2.0"), "", CLEAN, []),
    (conda("lib"), "", ["LIB", "WIN"], []),
    (conda("lib", subdir="win-64"), "", ["LIB", "WIN"], []),
    (conda("lib", subdir="linux-64"), "", ["LIB"], ["platform"]),
    (conda("lib", subdir="noarch"), "", ["LIB", "WIN"], []),
    (conda("bin"), "", ["WIN"], ["ignore/server"]),
    (conda("bin", subdir="linux-64"), "", CLEAN, ["ignore/server", "platform"]),
    (conda("bin", "2.0"), "", CLEAN, []),
    (conda("fine"), "", None, []),
    (conda("wrong"), "", None, ["is-not/wrong/pypi/wrong"]),
    (conda("wrong", "2.0"), "", None, []),
    (purl("pkg:conda/pkg@1.0"), "conda-forge", ["FOO", "NAMED"], []),
    (purl("pkg:conda/pkg@1.0?channel=other"), "conda-forge", ["BAR"], []),
    (purl("pkg:conda/PKG@1.0?build=h1&channel=https://x.example/other&subdir=linux-64"), "", ["BAR"], []),
    (purl("pkg:conda/pkg@2.0", "1.0"), "conda-forge", CLEAN, []),
    (purl("pkg:conda/pkg", "1.0"), "other", ["BAR"], []),
    (purl("pkg:conda/pkg"), "other", None, []),
    (purl("pkg:conda/bin@1.0"), "", ["WIN"], ["ignore/server"]),
    (purl("pkg:conda/bin@1.0", subdir="osx-64"), "", CLEAN, ["ignore/server", "platform"]),
    (purl("pkg:conda/bin@2.0"), "", CLEAN, []),
    (purl("pkg:conda/bin"), "", None, []),
    (purl("pkg:conda/wrong@1.0"), "", None, ["is-not/wrong/pypi/wrong"]),
    (purl("pkg:pypi/Foo@1.0"), "", ["FOO", "NAMED"], []),
    (purl("PKG:pypi/foo@1.0"), "", ["FOO", "NAMED"], []),
    (purl("pkg:pypi/foo@2.0", "1.0"), "", CLEAN, []),
    (purl("pkg:pypi/foo", "1.0"), "", ["FOO", "NAMED"], []),
    (purl("pkg:pypi/foo"), "", None, []),
    (purl("pkg:npm/jsonstream@1.0"), "", ["JSON"], []),
    (purl("pkg:npm/JSONStream@2.0"), "", CLEAN, []),
    (purl("pkg:generic/lib@1.0"), "", ["LIB", "WIN"], []),
    (purl("pkg:generic/bin@1.0"), "", ["WIN"], ["ignore/server"]),
    (purl("pkg:deb/debian/lib@1.0"), "", None, []),
    (purl("pkg:cargo/x@1.0"), "", None, []),
    (purl("nonsense"), "", None, []),
    (ComponentKey("wheel", "foo", "1.0"), "", None, []),
]


@pytest.mark.parametrize(("key", "channel", "findings", "aside"), KINDS)
def test_what_is_found_and_what_the_explanation_comes_to(
    index: MatchIndex, key: ComponentKey, channel: str, findings: list[str] | None, aside: list[str]
) -> None:
    [assessment] = index.assess([key], channel)
    assert assessment.assessed is (findings is not None)
    assert assessment.reason
    assert sorted(finding.ids[0] for finding in assessment.findings) == (findings or [])
    [ignored] = index.list_ignored([key], channel)
    assert sorted(finding.ignored_by.rule for finding in ignored) == aside
    assert all(finding.ignored_by.reason for finding in ignored)
    found = explain(index, key, channel)
    by_outcome = {outcome: sorted(c.ids for c in found.considered if c.outcome is outcome) for outcome in Outcome}
    assert by_outcome[Outcome.finding] == sorted(f.ids for f in assessment.findings)
    assert sorted(by_outcome[Outcome.set_aside] + by_outcome[Outcome.other_platform]) == sorted(f.ids for f in ignored)
    assert (found.assessed, found.reason) == (assessment.assessed, assessment.reason)


def test_many_at_once_are_what_each_is_alone_in_whatever_order() -> None:
    keys = [key for key, channel, *_ in KINDS if channel in ("", "conda-forge")]
    for order in (keys, keys[::-1], keys[1::2] + keys[::2], [*keys, *keys]):
        index = MatchIndex(COMPILED)
        together, aside = index.assess(order, "conda-forge"), index.list_ignored(order, "conda-forge")
        for key, one, left in zip(order, together, aside, strict=True):
            alone = MatchIndex(COMPILED)
            assert alone.assess([key], "conda-forge") == [one]
            assert alone.list_ignored([key], "conda-forge") == [left]
        assert index.names_set_aside == {"bin", "wrong"}


@pytest.mark.parametrize(
    ("key", "channel", "reason"),
    [
        (ComponentKey("wheel", "foo", "1.0"), "", "components of type 'wheel' are not known; use conda or a purl"),
        (purl("nonsense" * 40), "", f"{('nonsense' * 25)!r} is not a package URL"),
        (purl("pkg:pypi/foo"), "", "the package URL names no version"),
        (purl("pkg:conda/pkg"), "", "the package URL names no version"),
        (conda("meta"), "", "meta has no files of its own: it depends on lib, and what is known is listed there"),
        (conda("quiet"), "conda-forge", "name map of conda-forge: conda quiet is PyPI quiet"),
        (conda("lib", "2.0"), "", "curated: conda lib is CPE product v:lib"),
        (conda("fine"), "", "no name of fine counts as evidence: what advisories tell of fine may be of another thing"),
        (conda("pkg", "trunk"), "conda-forge", "the version of pkg has no number, so no affected range can be compared with it"),
        (conda("led"), "conda-forge", "name map of conda-forge: conda led is PyPI led; 2 advisories name commits only: undecided"),
        (purl("pkg:cargo/x@1.0"), "", "no feed with advisories for crates.io is synced, and only those would name pkg:cargo/x@1.0"),
    ],
)  # fmt: skip
def test_the_reason_tells_why(index: MatchIndex, key: ComponentKey, channel: str, reason: str) -> None:
    [assessment] = index.assess([key], channel)
    assert assessment.reason == reason


def test_what_exists_on_other_platforms_alone_says_on_which(index: MatchIndex) -> None:
    [[left]] = index.list_ignored([conda("lib", subdir="linux-64")])
    assert left.ignored_by.reason == "it exists on windows alone, and this is linux-64"


def test_what_exists_on_several_platforms_names_all() -> None:
    found = advisory("BOTH", "conda", "both", platforms=("linux", "windows"))
    [[left]] = MatchIndex.load(build_index([found])).list_ignored([conda("both", subdir="osx-64")])
    assert left.ignored_by.reason == "it exists on linux, windows alone, and this is osx-64"


def test_what_nobody_can_decide_is_listed_beside_the_answer(index: MatchIndex) -> None:
    [assessment] = index.assess([conda("led")], "conda-forge")
    assert (assessment.assessed, assessment.undecided, assessment.findings) == (True, ("SHA", "SHA-2"), ())
