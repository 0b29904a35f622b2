"""Labels of tools and interpreters: which releases their own databases call affected, evaluated the slow way.

Each tool is asked for at every release that is in a real channel, and around every bound that a database names: at the
bound itself, and at the release before it of all that are known. Of a CVE, databases that contradict each other about a
release give no label.

* golang's database (osv-go), for programs that are Go modules, and Go itself;
* Bitnami's (osv-bitnami), for what it packages. It begins from NVD's ranges and corrects them by hand;
* RustSec (osv-crates), for programs that are crates;
* the CVE records that projects publish through GitHub (cve5-raw-conda-named, cve-vulnrichment);
* Node.js' own index (nodejs-core.json).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import msgspec

from tests.quality.labels import Component, Labels, read_components, read_lines

NODEJS = "nodejs"


@dataclass(frozen=True)
class Tool:
    """A conda package that is the whole of a program, and its names elsewhere.

    `go`: modules. `github`: "owner/repository". `assigner`: only CVEs of this CNA are about it; Bitnami's Java holds
    JavaFX, too, with its WebKit. `apart`: what the CNA calls the components that the package does not have; what is
    affected by their CVEs carries no label. `foreign`: releases that the CNA numbers otherwise: Oracle's 8u371 is OpenJDK's 8u372. Packages that the name map ties to PyPI are no tools (conda's elasticsearch is the client).
    """

    conda: str
    go: tuple[str, ...] = ()
    bitnami: str = ""
    crate: str = ""
    github: str = ""
    assigner: str = ""
    apart: tuple[str, ...] = ()
    foreign: str = "$^"
    since: int = 0  # conda's releases begin with this number; Java's old ones (1.8.0) are numbered anew


GO = (
    Tool("gh", go=("github.com/cli/cli",), github="cli/cli"),
    Tool("go", go=("stdlib", "toolchain"), bitnami="golang"),
    Tool("traefik", go=("github.com/traefik/traefik",), github="traefik/traefik"),
    Tool("kubernetes", go=("k8s.io/kubernetes", "github.com/kubernetes/kubernetes")),
    Tool("vault", go=("github.com/hashicorp/vault",), bitnami="vault"),
    Tool("consul", go=("github.com/hashicorp/consul",), bitnami="consul"),
    Tool("nomad", go=("github.com/hashicorp/nomad",)),
    Tool("terraform", go=("github.com/hashicorp/terraform",)),
    Tool("opentofu", go=("github.com/opentofu/opentofu",), github="opentofu/opentofu"),
    Tool("rclone", go=("github.com/rclone/rclone",), bitnami="rclone", github="rclone/rclone"),
    Tool("caddy", go=("github.com/caddyserver/caddy",), github="caddyserver/caddy"),
    Tool("coredns", go=("github.com/coredns/coredns",), github="coredns/coredns"),
    Tool("podman", go=("github.com/containers/podman", "github.com/containers/libpod"), github="containers/podman"),
    Tool("buildah", go=("github.com/containers/buildah",)),
    Tool("hugo", go=("github.com/gohugoio/hugo",), github="gohugoio/hugo"),
    Tool("cosign", go=("github.com/sigstore/cosign",), bitnami="cosign", github="sigstore/cosign"),
    Tool("oauth2-proxy", go=("github.com/oauth2-proxy/oauth2-proxy",), bitnami="oauth2-proxy"),
    Tool("etcd", go=("go.etcd.io/etcd",), bitnami="etcd"),
    Tool("croc", go=("github.com/schollz/croc",)),
    Tool("git-lfs", go=("github.com/git-lfs/git-lfs",), bitnami="git-lfs", github="git-lfs/git-lfs"),
    Tool("apptainer", go=("github.com/apptainer/apptainer",), github="apptainer/apptainer"),
    Tool("prometheus", bitnami="prometheus"),
    Tool("trivy", go=("github.com/aquasecurity/trivy",), github="aquasecurity/trivy"),
    Tool("syft", go=("github.com/anchore/syft",), github="anchore/syft"),
    Tool("seaweedfs", go=("github.com/seaweedfs/seaweedfs",), bitnami="seaweedfs"),
    Tool("runc", go=("github.com/opencontainers/runc",), github="opencontainers/runc"),
    Tool("syncthing", go=("github.com/syncthing/syncthing",), bitnami="syncthing", github="syncthing/syncthing"),
    Tool("gitea", go=("code.gitea.io/gitea", "github.com/go-gitea/gitea"), bitnami="gitea"),
    Tool("kubernetes-helm", go=("helm.sh/helm",), github="helm/helm"),
    Tool("stripe-cli", go=("github.com/stripe/stripe-cli",), github="stripe/stripe-cli"),
    Tool("ollama", go=("github.com/ollama/ollama",)),
    Tool("oras", go=("oras.land/oras", "github.com/deislabs/oras"), bitnami="oras"),
    Tool("mailpit", go=("github.com/axllent/mailpit",), github="axllent/mailpit"),
    Tool("dasel", go=("github.com/tomwright/dasel",)),
    Tool("act", go=("github.com/nektos/act",), github="nektos/act"),
    Tool("tilt", go=("github.com/tilt-dev/tilt",)),
    Tool("minikube", go=("k8s.io/minikube",)),
    Tool("docker-cli", go=("github.com/docker/cli",), bitnami="docker-cli"),
    Tool("age", go=("filippo.io/age",), github="FiloSottile/age"),
)
RUST = (
    Tool("deno", crate="deno", github="denoland/deno"),
    Tool("rust", github="rust-lang/rust"),
    Tool("starship", crate="starship", github="starship/starship"),
    Tool("wasmer", github="wasmerio/wasmer"),
    Tool("mdbook", crate="mdbook"),
    Tool("git-delta", crate="git-delta"),
    Tool("bat", crate="bat"),
    Tool("rage", crate="rage", github="str4d/rage"),
    Tool("uv", crate="uv", github="astral-sh/uv"),
    Tool("nushell", crate="nu"),
)
JAVA = (
    Tool(
        "openjdk",
        bitnami="java",
        assigner="oracle",
        apart=("JavaFX", "Deployment", "Install"),
        foreign=r"8\.0\.[0-9]*1",
        since=7,
    ),
    Tool("gradle", bitnami="gradle", github="gradle/gradle"),
    Tool("maven", bitnami="maven"),
    Tool("cassandra", bitnami="cassandra"),
    Tool("sbt", github="sbt/sbt"),
    Tool("openrefine", github="OpenRefine/OpenRefine"),
)
JAVASCRIPT = (
    Tool("electron", github="electron/electron"),
    Tool("pnpm", github="pnpm/pnpm"),
    Tool("yarn", github="yarnpkg/yarn"),
    Tool("katex", github="KaTeX/KaTeX"),
    Tool("rollup", github="rollup/rollup"),
    Tool("npm", github="npm/cli"),
)
INTERPRETERS = (
    Tool("python", bitnami="python", github="python/cpython"),
    Tool(NODEJS),
    Tool("php", bitnami="php"),
    Tool("ruby", bitnami="ruby"),
    Tool("lua", bitnami="lua"),
)

Key = tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]]


@cache
def order(text: str) -> Key | None:
    """How a release orders by semantic versioning, with one to four numbers; None for anything else."""
    match = re.fullmatch(r"v?([0-9]+(?:\.[0-9]+){0,3})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]*)?", text)
    if match is None:
        return None
    numbers = tuple(map(int, match[1].split(".")))
    if match[2] is None:
        return numbers + (0,) * (4 - len(numbers)), ((2, 0, ""),)
    parts = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in match[2].split("."))
    return numbers + (0,) * (4 - len(numbers)), parts


def _is_release(text: str) -> bool:
    """Whether a bound can be a release: 0 is none, nor is 1.25.0-0, golang's way to say "and its candidates"."""
    return text != "0" and not text.endswith("-0") and order(text) is not None


@dataclass(frozen=True)
class Interval:
    """From `start` (None: the first release) up to `end` (None: the last)."""

    start: str | None = None
    end: str | None = None
    is_start_in: bool = True
    is_end_in: bool = False
    majors: frozenset[int] = frozenset()  # speaks of these only; empty for all but `not_majors`
    not_majors: frozenset[int] = frozenset()

    def speaks_of(self, version: Key) -> bool:
        major = version[0][0]
        return major in self.majors if self.majors else major not in self.not_majors

    def has(self, version: Key) -> bool | None:
        """Whether a release is in it; None when a bound cannot be read."""
        if not self.speaks_of(version):
            return False
        if self.start not in (None, "0"):
            start = order(self.start or "")
            if start is None:
                return None
            if version < start or (version == start and not self.is_start_in):
                return False
        if self.end is None:
            return True
        end = order(self.end)
        return None if end is None else version < end or (version == end and self.is_end_in)


@dataclass(frozen=True)
class Statement:
    """What one database says of one CVE and one tool: affected in any interval, and nowhere else."""

    tool: str
    cve: str
    intervals: tuple[Interval, ...]
    lines: frozenset[int] = frozenset()  # it speaks of these major versions alone; empty for all

    def speaks_of(self, version: Key) -> bool:
        return not self.lines or version[0][0] in self.lines

    def has(self, version: Key) -> bool | None:
        answers = [interval.has(version) for interval in self.intervals]
        return True if True in answers else None if None in answers else False


def label_tools(data: Path, tools: Iterable[Tool]) -> Labels:
    """The tools at all their known releases against every CVE that one of their own databases tells of."""
    by_cve: dict[tuple[str, str], list[Statement]] = defaultdict(list)
    bounds: dict[tuple[str, str], set[str]] = defaultdict(set)
    tools = tuple(tools)
    since = {tool.conda: tool.since for tool in tools}
    foreign = {tool.conda: re.compile(tool.foreign) for tool in tools}
    apart = {tool.conda: _of_components(data, tool.apart) for tool in tools if tool.apart}
    for statement in _statements(data, tools):
        of_cve = (statement.tool, statement.cve)
        by_cve[of_cve].append(statement)
        texts = (b for i in statement.intervals for b in (i.start, i.end))
        bounds[of_cve].update(b.removeprefix("v") for b in texts if b and _is_release(b))
    real: dict[str, set[str]] = defaultdict(set)
    for name, text in read_components(data):
        if order(text):
            real[name].add(text)
    labels = Labels()
    for tool, of_tool in groupby(sorted(by_cve), key=lambda of_cve: of_cve[0]):
        cves = list(of_tool)
        releases = sorted({*real[tool], *(b for of_cve in cves for b in bounds[of_cve])}, key=order)  # type: ignore[arg-type, return-value]
        before = dict(pairwise(reversed(releases)))
        for of_cve in cves:
            near = bounds[of_cve] | {before[b] for b in bounds[of_cve] if b in before}
            for text in sorted(near | real[tool]):
                version = order(text)
                assert version is not None
                if version[0][0] < since[tool]:
                    continue
                answers = {s.has(version) for s in by_cve[of_cve] if s.speaks_of(version)}
                if answers:
                    is_told = answers == {False} or (len(answers) == 1 and of_cve[1] not in apart.get(tool, ()))
                    is_told &= text not in bounds[of_cve] or not foreign[tool].fullmatch(text)
                    labels.add(Component(tool, text), of_cve[1], answers.pop() if is_told else None)
    return labels


def _statements(data: Path, tools: tuple[Tool, ...]) -> Iterator[Statement]:
    yield from _of_go(data, {module: tool.conda for tool in tools for module in tool.go})
    assigners = {tool.conda: tool.assigner for tool in tools if tool.assigner}
    for statement in _of_osv(data, "osv-bitnami", {tool.bitnami: tool.conda for tool in tools if tool.bitnami}):
        assigner = assigners.get(statement.tool)
        if assigner is None or _assigners(data).get(statement.cve) == assigner:
            yield statement
    yield from _of_osv(data, "osv-crates", {tool.crate: tool.conda for tool in tools if tool.crate})
    yield from _of_github(data, {tool.github.lower(): tool.conda for tool in tools if tool.github})
    if any(tool.conda == NODEJS for tool in tools):
        yield from _of_nodejs(data)


# -- the databases -----------------------------------------------------------------------------------------------------


def _read(data: Path, name: str) -> Iterator[dict[str, Any]]:
    for line in read_lines(data / "advisories" / f"{name}.jsonl.zst"):
        yield msgspec.json.decode(line)


def _cve_of(advisory: dict[str, Any]) -> str | None:
    """The CVE id of an advisory that stands and has exactly one."""
    cves = {i for i in (advisory["id"], *advisory.get("aliases", ())) if i.startswith("CVE-")}
    return cves.pop() if len(cves) == 1 and not advisory.get("withdrawn") else None


def _intervals(entry: dict[str, Any], **majors: frozenset[int]) -> list[Interval]:
    """OSV's events of a SEMVER range as intervals: each ends at the next event that ends one."""
    found = []
    for bounds in entry.get("ranges", ()):
        start: str | None = None
        for kind, text in (next(iter(event.items())) for event in bounds["events"]):
            if kind == "introduced":
                if start is not None:
                    found.append(Interval(start, None, **majors))
                start = text
            elif start is not None:
                found.append(Interval(start, text, is_end_in=kind == "last_affected", **majors))
                start = None
        if start is not None:
            found.append(Interval(start, None, **majors))
    return found


def _of_osv(data: Path, feed: str, names: dict[str, str]) -> Iterator[Statement]:
    for advisory in _read(data, feed) if names else ():
        cve = _cve_of(advisory)
        for entry in advisory.get("affected", ()):
            tool = names.get(entry["package"]["name"])
            intervals = _intervals(entry)
            if cve and tool and intervals:
                yield Statement(tool, cve, tuple(intervals))


def _of_go(data: Path, modules: dict[str, str]) -> Iterator[Statement]:
    """golang's database. A module is called anew at each major version; what was not reviewed and has no end is no word."""
    if not modules:
        return
    named: dict[str, set[int]] = defaultdict(set)
    advisories = list(_read(data, "osv-go"))
    for advisory in advisories:
        for entry in advisory.get("affected", ()):
            module, major = _module(entry["package"]["name"])
            if major:
                named[module].add(major)
    for advisory in advisories:
        cve, found = _cve_of(advisory), defaultdict[str, list[Interval]](list)
        is_reviewed = advisory["database_specific"].get("review_status") == "REVIEWED"
        for entry in advisory.get("affected", ()):
            module, major = _module(entry["package"]["name"])
            if module not in modules:
                continue
            of = {"majors": frozenset({major})} if major else {"not_majors": frozenset(named[module])}
            found[modules[module]] += _intervals(entry, **of)
        for tool, intervals in found.items():
            if cve and (is_reviewed or all(i.end for i in intervals)):
                yield Statement(tool, cve, tuple(intervals))


def _module(path: str) -> tuple[str, int]:
    """(module without its major version, major version or 0)."""
    match = re.fullmatch(r"(.+)/v([0-9]+)", path)
    return (match[1], int(match[2])) if match else (path, 0)


def _of_github(data: Path, repositories: dict[str, str]) -> Iterator[Statement]:
    """CVE records published through GitHub: versions such as ">= 2.1.0, < 2.1.5", of a product owner/repository."""
    for cve, affected in _github_records(data).items() if repositories else ():
        for product in affected:
            tool = repositories.get(f"{product.get('vendor', '')}/{product.get('product', '')}".lower())
            texts = [v["version"] for v in product.get("versions", ()) if v.get("status") == "affected"]
            intervals = [_of_text(text) for text in texts]
            if tool and texts and None not in intervals:
                yield Statement(tool, cve, tuple(i for i in intervals if i))


@cache
def _assigners(data: Path) -> dict[str, str]:
    """The CNA of each CVE that CISA enriched."""
    return {record["cve"]: record["cna"] for record in _read(data, "cve-vulnrichment")}


@cache
def _of_components(data: Path, names: tuple[str, ...]) -> frozenset[str]:
    """The CVEs whose CNA names one of these components alone, as Oracle does: "(component: JavaFX)"."""
    words = re.compile(rf"\(component: (?:{'|'.join(map(re.escape, names))})(?: \([^)]*\))?\)")
    return frozenset(r["cve"] for r in _read(data, "cve-vulnrichment") if words.search(r.get("description") or ""))


@cache
def _github_records(data: Path) -> dict[str, list[dict[str, Any]]]:
    """What the CVE records say that GitHub assigned, by CVE."""
    records: dict[str, list[dict[str, Any]]] = {}
    for record in _read(data, "cve-vulnrichment"):
        if record["cna"] == "GitHub_M":
            records[record["cve"]] = [a for a in record.get("affected") or () if a.get("by") == "cna"]
    for record in _read(data, "cve5-raw-conda-named"):
        meta = record["cveMetadata"]
        if meta.get("assignerShortName") == "GitHub_M" and meta.get("state") == "PUBLISHED":
            records[meta["cveId"]] = record["containers"]["cna"].get("affected", [])
    return records


def _of_text(text: str) -> Interval | None:
    """The interval of GitHub's words for one; None when it says anything else."""
    start, end, is_start_in, is_end_in = None, None, True, False
    for part in text.split(","):
        match = re.fullmatch(r"\s*(<=|>=|<|>|=)?\s*v?([0-9][0-9A-Za-z.+-]*)\s*", part)
        if match is None or order(match[2]) is None:
            return None
        match match[1]:
            case "<" | "<=":
                end, is_end_in = match[2], match[1] == "<="
            case ">" | ">=":
                start, is_start_in = match[2], match[1] == ">="
            case _:
                start = end = match[2]
                is_end_in = True
    return Interval(start, end, is_start_in, is_end_in)


def _of_nodejs(data: Path) -> Iterator[Statement]:
    """Node.js' index: `vulnerable` names lines ("20.x || 22.x"), `patched` the fix of each ("^20.3.1").

    It names maintained lines only: of others nothing is known.
    """
    entries = msgspec.json.decode((data / "advisories" / "nodejs-core.json").read_bytes())
    for entry in entries.values():
        lines = re.findall(r"(?<![\w.])([0-9]+)\.x", entry["vulnerable"])
        fixes = {f.split(".")[0]: f for f in re.findall(r"\^([0-9]+\.[0-9]+\.[0-9]+)", entry.get("patched", ""))}
        is_plain = re.fullmatch(r"[0-9]+\.x(\s*\|\|\s*[0-9]+\.x)*", entry["vulnerable"].strip())
        if not is_plain or set(lines) - set(fixes):
            continue
        for cve in entry.get("cve", ()):
            intervals = tuple(Interval(f"{n}.0.0", fixes[n], majors=frozenset({int(n)})) for n in lines)
            yield Statement(NODEJS, cve, intervals, frozenset(map(int, lines)))
