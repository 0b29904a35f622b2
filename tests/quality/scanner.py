"""The second gate: osv-scanner, offline, on the same advisories; every difference from our answers is explained.

`make compare` (compare.py) builds osv-scanner, runs it and records what it says in osv_scanner.tsv. The test asks our matcher
today and compares with that record, so it needs no Go.

Asked are the components of real environments under the names that the ecosystem gives them, as purls: conda packages by
the name map, packages that pip installed, CRAN's of `r-…`; Go's standard library and crates for conda's releases of
these programs; and the Go modules of real SBOMs. Our index holds these advisories alone, without maps.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import zstandard
from packaging.utils import canonicalize_name

from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in
from tests.quality import corpus
from tests.quality.labels import parse, read_components, read_lines, read_python_names
from tests.quality.tool_labels import RUST

VERSION = "v2.5.1"  # the newest whose go.mod Go 1.26 accepts
RECORD = Path(__file__).with_name("osv_scanner.tsv")
FEEDS = {"PyPI": "osv-pypi", "CRAN": "osv-r", "Go": "osv-go", "crates.io": "osv-crates"}
ECOSYSTEMS = {"pypi": "PyPI", "cran": "CRAN", "golang": "Go", "cargo": "crates.io"}
Answers = dict[str, frozenset[str]]  # purl → advisories
PAGE = Path(__file__).resolve().parents[2] / "docs" / "dev" / "quality.md"
BEGIN, END = "% The differences: made by `make compare`", "% End of the differences"


# -- what is asked -----------------------------------------------------------------------------------------------------


def list_components(data: Path) -> list[str]:
    """The purls that both are asked for, sorted."""
    return sorted({*_of_environments(data), *_of_programs(data), *_of_sboms(data)})


def _of_environments(data: Path) -> Iterator[str]:
    projects = read_python_names(data)
    for line in read_lines(data / "conda" / "environments.jsonl.zst"):
        environment = msgspec.json.decode(line)
        for record in environment["conda"]:
            name, version = record["name"], record["version"]
            for project in projects.get(name, ()):
                yield f"pkg:pypi/{project}@{version}"
            if name.startswith("r-"):
                yield f"pkg:cran/{name[2:]}@{version}"
        for package in environment["pypi"]:
            if "name" in package and "version" in package:  # else a folder or a repository
                yield f"pkg:pypi/{canonicalize_name(package['name'])}@{package['version']}"


def _of_programs(data: Path) -> Iterator[str]:
    crates = {tool.conda: tool.crate for tool in RUST if tool.crate}
    for name, version in read_components(data):
        if name == "go":
            yield f"pkg:golang/stdlib@{version}"
        elif name in crates:
            yield f"pkg:cargo/{crates[name]}@{version}"


def _of_sboms(data: Path) -> Iterator[str]:
    packed = (data / "sbom" / "cyclonedx.tar.zst").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().stream_reader(packed).read())) as files:
        for member in files:
            file = files.extractfile(member) if member.name.endswith(".json") else None
            for purl in re.findall(rb'"purl"\s*:\s*"(pkg:golang/[^"?#]+@v?[^"?#]+)', file.read() if file else b""):
                yield unquote(purl.decode()).replace("@v", "@")


# -- our answers -------------------------------------------------------------------------------------------------------


def read_entries(data: Path) -> dict[str, dict[str, Any]]:
    """The advisories by id, as published."""
    lines = (line for feed in FEEDS.values() for line in read_lines(data / "advisories" / f"{feed}.jsonl.zst"))
    return {entry["id"]: entry for entry in map(msgspec.json.decode, lines)}


def answer(purls: list[str], entries: dict[str, dict[str, Any]]) -> Answers:
    """The advisories of each component that our findings rest on."""
    advisories = corpus.read_advisories(*FEEDS.values())
    index = MatchIndex.load(build_index(advisories, None, NameMaps({}, {}), built_in()))
    answers = index.assess([ComponentKey("purl", purl, "") for purl in purls])
    return {
        purl: frozenset(i for finding in found.findings for i in finding.ids if i in entries)
        for purl, found in zip(purls, answers, strict=True)
    }


# -- the record of theirs ----------------------------------------------------------------------------------------------


def digest(data: Path, purls: list[str]) -> str:
    """What differs when any component or advisory does."""
    found = hashlib.sha256("\n".join(purls).encode())
    for feed in FEEDS.values():
        found.update((data / "advisories" / f"{feed}.jsonl.zst").read_bytes())
    return found.hexdigest()


def write_record(path: Path, header: str, answers: Answers) -> None:
    rows = [f"{purl}\t{' '.join(sorted(ids))}" for purl, ids in sorted(answers.items()) if ids]
    path.write_text("\n".join((f"# osv-scanner {header}", *rows, "")))


def read_record(path: Path, purls: list[str]) -> tuple[str, Answers]:
    """(header, answers); a component without a row has none."""
    header, *rows = path.read_text().splitlines()
    found = {purl: frozenset(ids.split()) for purl, ids in (row.split("\t") for row in rows)}
    return header.removeprefix("# osv-scanner "), {purl: found.get(purl, frozenset()) for purl in purls}


# -- differences -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """One advisory that only one of the two names for a component."""

    purl: str
    entry: dict[str, Any]
    is_ours: bool

    @property
    def version(self) -> str:
        return self.purl.rpartition("@")[2]

    @property
    def packages(self) -> list[dict[str, Any]]:
        """What the advisory says of the component's package."""
        kind, _, name = self.purl.removeprefix("pkg:").rpartition("@")[0].partition("/")
        named = [(a.get("package", {}), a) for a in self.entry.get("affected", ())]
        return [
            affected
            for package, affected in named
            if package.get("ecosystem") == ECOSYSTEMS[kind] and _plain(kind, package["name"]) == _plain(kind, name)
        ]

    @property
    def bounds(self) -> list[str]:
        ranges = (r for affected in self.packages for r in affected.get("ranges", ()) if r["type"] != "GIT")
        return [text for r in ranges for event in r["events"] for text in event.values()]


def _plain(kind: str, name: str) -> str:
    return str(canonicalize_name(name)) if kind == "pypi" else name


def compare(ours: Answers, theirs: Answers, entries: dict[str, dict[str, Any]]) -> Iterator[Difference]:
    """What only one of them names. An advisory counts as named when an alias of it is."""
    for purl in ours:
        for one, other, is_ours in ((ours, theirs, True), (theirs, ours, False)):
            named = {alias for i in other[purl] for alias in (i, *entries[i].get("aliases", ()))}
            for i in sorted(one[purl] - other[purl]):
                if named.isdisjoint((i, *entries[i].get("aliases", ()))):
                    yield Difference(purl, entries[i], is_ours)


@dataclass(frozen=True)
class Explanation:
    """A class of differences: `holds` tells which are of it, from the advisory and the component alone."""

    title: str
    rule: str
    right: str
    holds: Callable[[Difference], bool]


def _is_python(difference: Difference) -> bool:
    return difference.purl.startswith("pkg:pypi/")


def _names_a_bound_that_is_no_version(difference: Difference) -> bool:
    return difference.is_ours and _is_python(difference) and any(parse(b) is None for b in difference.bounds)


EXPLANATIONS = (
    Explanation(
        "a bound that is no PEP 440 version",
        'such a bound ("2.6.0-NA") is cut at its longest valid start; osv-scanner passes over the range',
        'we: "-NA" is how a CPE without an update was written down, so the range ends at 2.6.0',
        _names_a_bound_that_is_no_version,
    ),
)


def explain(difference: Difference) -> Explanation | None:
    """The first class that a difference is of; None for none."""
    return next((e for e in EXPLANATIONS if e.holds(difference)), None)


def count_same(ours: Answers, theirs: Answers) -> int:
    return sum(len(ours[purl] & theirs[purl]) for purl in ours)


def tabulate(same: int, asked: int, differences: Iterable[Difference]) -> str:
    """The table of the documentation."""
    by_class: dict[str, list[Difference]] = {}
    for difference in differences:
        found = explain(difference)
        by_class.setdefault(found.title if found else "unexplained", []).append(difference)
    lines = [
        f"Of {asked:,} components, both name the same {same:,} advisories. What only one names:",
        "",
        "| class of difference | who names it | count | for example | rule here | who is right |",
        "|---|---|---:|---|---|---|",
    ]
    for e in EXPLANATIONS:
        of_class = by_class.get(e.title, [])
        example = f"{of_class[0].purl}, {of_class[0].entry['id']}" if of_class else "none now"
        who = "we alone" if of_class and of_class[0].is_ours else "osv-scanner alone" if of_class else ""
        lines.append(f"| {e.title} | {who} | {len(of_class)} | {example} | {e.rule} | {e.right} |")
    return "\n".join(lines)


def table_of_page() -> str:
    page = PAGE.read_text()
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)].strip("\n")


def write_page(table: str) -> None:
    page = PAGE.read_text()
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(f"{page[:start]}\n\n{table}\n\n{page[end:]}")
