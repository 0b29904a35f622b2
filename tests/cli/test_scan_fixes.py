"""What stands between a finding and its fix: the channel, and the packages that hold it back."""

from __future__ import annotations

from typing import Any

import pytest

from antivenom.cli.scan_fixes import Fixes
from antivenom.core.errors import NotFoundError
from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.snapshot import Component
from antivenom.core.reports.advice import advise_component
from antivenom.core.reports.holders import with_holders
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot


def finding(*fixed: str) -> Finding:
    return Finding(("CVE-1",), "high", None, False, None, 1.0, fixed, "reported", "high", ())


def scanned(*components: tuple[Component, tuple[Finding, ...]], platform: str = "linux-64") -> ScannedSnapshot:
    assessed = tuple(AssessedComponent(c, True, "", findings) for c, findings in components)
    return ScannedSnapshot("pixi.lock", "pixi-lock", "", platform, assessed)


PILLOW = Component("conda", "pillow", "10.0.0")


@pytest.mark.parametrize(
    ("kind", "depends", "holds"),
    [
        ("conda", "pillow <10.0.1", "a (pillow <10.0.1)"),
        ("conda", "Pillow 10.0.0 py312_0", "a (pillow ==10.0.0)"),
        ("conda", "pillow >=9,<11", ""),
        ("conda", "pillow", ""),
        ("conda", "pillow-simd <10.0.1", ""),
        ("conda", "__glibc >=2", ""),
        ("conda", "not a [spec", ""),
        ("pypi", "Pillow<10.0.1,>=9 ; python_version >= '3.9'", "a (pillow <10.0.1,>=9)"),
        ("pypi", "pillow[xmp] (~=10.0.0)", ""),
        ("pypi", "pillow @ https://x.example/p.whl", ""),
        ("pypi", "pillow ==10.0.0", "a (pillow ==10.0.0)"),
    ],
)
def test_a_requirement_that_the_fix_does_not_meet_holds_it_back(kind: str, depends: str, holds: str) -> None:
    other = Component(kind, "a", "1", depends=(depends,))
    [assessed, _] = with_holders(scanned((PILLOW._replace(type=kind), (finding("10.0.1"),)), (other, ()))).components
    assert assessed.hints == ((f"held back by {holds}",) if holds else ())


def test_conda_and_pypi_do_not_hold_each_other_and_many_are_counted() -> None:
    others = [(Component("conda", f"p{n}", "1", depends=("pillow <10.0.1",)), ()) for n in range(5)]
    of_pip = (Component("pypi", "q", "1", depends=("pillow<10.0.1",)), ())
    scan = scanned((PILLOW, (finding("10.0.1"),)), of_pip, *others)
    [assessed, *_] = with_holders(scan).components
    told = ", ".join(f"p{n} (pillow <10.0.1)" for n in range(3))
    assert advise_component(assessed) == f"update to 10.0.1 or later; held back by {told} and 2 more"
    no_fix = scanned((PILLOW, (finding(),)), *others)
    assert with_holders(no_fix) is no_fix


class Server:
    """A client that knows one channel. `without`: a version that it does not have."""

    url = "https://av.example"

    def __init__(self, without: str = "") -> None:
        self.asked: list[str] = []
        self._without = without

    def get(self, path: str) -> Any:
        self.asked.append(path)
        if path != "/api/v1/channels/main/packages/pillow":
            raise NotFoundError("there is none")
        records = [
            {"version": "10.0.1", "subdir": "osx-64", "decision": "admitted", "reasons": []},
            {"version": "10.0.1", "subdir": "linux-64", "decision": "withheld", "reasons": [{"message": "too young"}]},
            {"version": "10.3.0", "subdir": "noarch", "decision": "warned", "reasons": []},
            {"version": "10.0.0", "subdir": "win-64", "decision": "admitted", "reasons": []},
        ]
        return {"records": [record for record in records if record["version"] != self._without]}


def fixes_of(server: Any, channel: str = "") -> Fixes:
    return Fixes(lambda: server, channel)


@pytest.mark.parametrize(
    ("platform", "fixed", "said"),
    [
        ("osx-64", "10.0.1", "channel main has 10.0.1"),
        ("linux-64", "10.0.1", "channel main has 10.3.0"),
        ("linux-64", "10.4", "channel main has no release that fixes it"),
        ("", "10.0.1", "channel main has 10.0.1"),
    ],
)
def test_the_channel_has_the_fix_for_the_platform_or_not(platform: str, fixed: str, said: str) -> None:
    component = PILLOW._replace(channel="https://av.example/conda/main")
    scan = scanned((component, (finding(fixed),)), platform=platform)
    assert fixes_of(Server()).add(scan).components[0].hints == (said,)


def test_a_fix_that_is_withheld_says_why_and_each_package_is_asked_for_once() -> None:
    server = Server(without="10.3.0")
    fixes = fixes_of(server, "main")
    both = (finding("10.0.1"), finding("10.0.1"), finding())
    only = scanned((PILLOW._replace(subdir="linux-64"), both), (Component("conda", "other", "1"), (finding("2"),)))
    for _ in range(3):
        pillow, other = fixes.add(only).components
        assert pillow.hints == ("channel main withholds 10.0.1: too young",)
        assert other.hints == ("channel main does not have the package",)
    assert server.asked == ["/api/v1/channels/main/packages/pillow", "/api/v1/channels/main/packages/other"]


def test_packages_of_other_channels_and_kinds_are_not_looked_up() -> None:
    server = Server()
    elsewhere = PILLOW._replace(channel="https://c.example/conda/main")
    odd = PILLOW._replace(channel="https://av.example/conda/../x")
    scan = scanned((elsewhere, (finding("2"),)), (odd, (finding("2"),)), (Component("pypi", "a", "1"), (finding("2"),)))
    assert [a.hints for a in fixes_of(server).add(scan).components] == [(), (), ()]
    assert server.asked == []
