"""Scanning with and without a server gives the same findings: every real environment, and sampled ones, field by field."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from antivenom.core import advisory_file
from antivenom.core.advisory_file import About
from antivenom.core.readers.purls import purl_of
from antivenom.core.readers.snapshot import Component
from antivenom_client.advisory_file import AdvisoryFile
from antivenom_client.plans import Plans
from tests.client.same_answers import Item, check
from tests.quality.classes import Bench
from tests.quality.labels import read_components, read_lines

pytestmark = pytest.mark.quality
SAMPLED = 800  # with the real ones 1,003
CHANNELS = ("", "conda-forge", "main", "https://there/bioconda", "pytorch")
SUBDIRS = ("", "noarch", "linux-64", "win-64", "osx-arm64", "linux-32")
ODD = ("odd", "1.0rc1", "2020a", "9e", "1!2.0", "1.1.1k")


def test_both_ways_of_scanning_give_the_same_findings(bench: Bench, tmp_path: Path) -> None:
    index = bench.index(held_out=False, curated=True)
    path = tmp_path / "advisories.db"
    advisory_file.write(index, path, about=About("2026-11-28T16:00:00Z", "0"))
    plans = Plans(AdvisoryFile.open(path))
    three = index, advisory_file.open(path), plans
    real = [_real(msgspec.json.decode(line)) for line in read_lines(bench.data / "conda" / "environments.jsonl.zst")]
    found = [check(*three, items) for items in real]
    assert len(real) == 203
    assert sum(findings for findings, _ in found) > 10_000
    assert sum(beyond for _, beyond in found) == 0, "real environments are answered by the hot tables alone"
    known = read_components(bench.data)
    projects = sorted(key.removeprefix("pypi/") for key in index.compiled.packages if key.startswith("pypi/"))
    chance = random.Random(10)
    for _ in range(SAMPLED):
        check(*three, _sampled(chance, known, projects))


def _real(environment: dict[str, list[dict[str, str]]]) -> list[Item]:
    items: list[Item] = [
        {"type": "conda", "name": r["name"].lower(), "version": r["version"]}
        | {field: r[field] for field in ("channel", "subdir") if r.get(field)}
        for r in environment["conda"]
    ]
    items += [
        {"purl": purl_of(Component("pypi", package["name"], package["version"]))}
        for package in environment["pypi"]
        if "name" in package and "version" in package  # else a folder or a repository
    ]
    return items


def _sampled(chance: random.Random, known: list[tuple[str, str]], projects: list[str]) -> list[Item]:
    conda = chance.sample(known, 60)
    conda += [
        (chance.choice(("private-", "r-", "bioconductor-", "lib")) + chance.choice(known)[0], "1.0") for _ in range(5)
    ]
    conda += [(chance.choice(known)[0], chance.choice(ODD)) for _ in range(5)]
    items: list[Item] = [
        {"type": "conda", "name": name.lower(), "version": version, "channel": chance.choice(CHANNELS),
         "subdir": chance.choice(SUBDIRS)}
        for name, version in conda
    ]  # fmt: skip
    return items + [
        {"purl": purl_of(Component("pypi", name, chance.choice(("1.0", "2.3.1", "odd", "5.0rc1"))))}
        for name in (*chance.sample(projects, 20), "unknown-thing")
    ]
