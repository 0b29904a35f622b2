"""The world that the soak mirrors, as pure functions: what each upstream has in each generation, and what a server
that serves it under a policy and with some knowledge must therefore list.

Everything that decides a publication can be read from the records that it lists: the upstream and its generation from
the package `marker`, the policy's number from which half of each pair `bit3-on`, `bit3-off` is withheld, the
knowledge's number from which of `known0` … are. So one answer is enough to tell a right one from a mix.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from tests.e2e.upstream_channel import Package, make_artifact, make_index_record

SUBDIRS = ("noarch", "linux-64")
BITS = 12
KNOWN = 8
ROLLING = 10
FILLER = {"a": 40, "b": 300}
UPSTREAMS = tuple(FILLER)
BIG_BYTES = 2_500_000
Record = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """What an upstream has at a moment."""

    upstream: str
    generation: int


@dataclass(frozen=True)
class State:
    """What decides a publication."""

    source: Source
    policy: int
    knowledge: int


class TornError(Exception):
    """An answer that is of no single state."""


# -- what upstreams have -----------------------------------------------------------------------------------------------


@functools.cache
def _artifact(package: Package, salt: str) -> tuple[Record, bytes]:
    """Made once: a zip has the time of its making in it. `salt` only tells packages of two upstreams apart."""
    data = make_artifact(package)
    return make_index_record(package, data), data


def _filler(upstream: str, number: int, subdir: str) -> tuple[str, Record, bytes]:
    fn = f"filler{number}-1.0-0.conda"
    data = f"{upstream}/{subdir}/{fn} is no archive, and served for its digest\n".encode() * 3
    record = {
        "name": f"filler{number}",
        "version": "1.0",
        "build": "0",
        "build_number": 0,
        "depends": [],
        "license": "MIT",
        "subdir": subdir,
        "timestamp": 1_700_000_000_000,
        "md5": hashlib.md5(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
    }
    return fn, record, data


def _packages(source: Source, subdir: str) -> list[Package]:
    """The real archives of a subdir."""
    generation = source.generation
    names = [(f"marker{source.upstream}", f"1.{generation}")]
    names += [(f"bit{i}-{half}", "1.0") for i in range(BITS) for half in ("on", "off")]
    names += [(f"known{i}", "1.0") for i in range(KNOWN)]
    names += [(f"rolling{i}", f"1.{(generation + i) // ROLLING}") for i in range(ROLLING)]
    packages = [Package(name, version, subdir=subdir) for name, version in names]
    packages.append(Package("needs-bit0", "1.0", depends=("bit0-on",), subdir=subdir))
    packages.append(Package("replaced", "1.0", subdir=subdir, payload=f"{source} {subdir}".encode()))
    if subdir == "linux-64":
        seed = f"{source.upstream} {generation // 5}".encode()
        packages.append(Package("big", f"1.{generation // 5}", subdir=subdir, payload=_noise(seed, BIG_BYTES)))
    return packages


def _noise(seed: bytes, length: int) -> bytes:
    """Bytes that cannot be compressed."""
    return hashlib.shake_256(seed).digest(length)


@functools.lru_cache(maxsize=64)
def contents(source: Source, subdir: str) -> dict[str, tuple[Record, bytes]]:
    """Record and bytes by file name."""
    found = {package.fn: _artifact(package, source.upstream) for package in _packages(source, subdir)}
    for number in range(FILLER[source.upstream] // 2):
        fn, record, data = _filler(source.upstream, number, subdir)
        found[fn] = (record, data)
    return found


# -- policies and knowledge --------------------------------------------------------------------------------------------


def denied_names(policy: int) -> set[str]:
    return {f"bit{i}-{'off' if policy >> i & 1 else 'on'}" for i in range(BITS)}


def policy_text(name: str, policy: int) -> str:
    """The policy with that number; each withholds one half of each pair."""
    rules = [
        {
            "id": "pairs",
            "gate": "packages",
            "trigger": "match_spec",
            "action": "stop",
            "params": {"deny": sorted(denied_names(policy))},
        },
        {
            "id": "known",
            "gate": "vulnerabilities",
            "trigger": "package",
            "action": "stop",
            "params": {"severity": ">= low"},
        },
    ]
    return json.dumps({"name": name, "description": f"number {policy}", "rules": rules})


def affected_names(knowledge: int) -> set[str]:
    return {f"known{i}" for i in range(KNOWN) if knowledge >> i & 1}


def names_feed() -> bytes:
    """A knowledge feed: which PyPI project each `known` package is."""
    rows = "".join(f"known{i}\tknown{i}\tthe soak\t2026-11-28\n" for i in range(KNOWN))
    return f"# antivenom knowledge\nconda\tpypi\tsource\tchecked\n{rows}".encode()


def advisories_feed(knowledge: int) -> bytes:
    """An OSV feed of the advisories of that number, and one that nothing here has."""
    entries = [
        {
            "id": f"SOAK-2026-{name}",
            "modified": "2026-11-20T00:00:00Z",
            "published": "2026-11-19T00:00:00Z",
            "summary": f"{name} is affected",
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            "affected": [
                {
                    "package": {"ecosystem": "PyPI", "name": name},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
                }
            ],
        }
        for name in sorted(affected_names(knowledge) | {"nobody-has-this"})
    ]
    return json.dumps(entries).encode()


# -- what must be listed -----------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def expected(state: State, subdir: str) -> dict[str, str]:
    """sha256 of each file that is listed."""
    withheld = denied_names(state.policy) | affected_names(state.knowledge)
    if "bit0-on" in withheld:
        withheld.add("needs-bit0")
    return {
        fn: record["sha256"]
        for fn, (record, _) in contents(state.source, subdir).items()
        if record["name"] not in withheld
    }


def decode(subdir: str, records: dict[str, Record]) -> State:
    """The state that a subdir's records are of.

    Raises:
        TornError: They are of none.
    """
    names = {record["name"]: record for record in records.values()}
    markers = sorted(name for name in names if name.startswith("marker"))
    if len(markers) != 1:
        raise TornError(f"{subdir} lists {len(records)} records with the markers {markers}")
    source = Source(markers[0].removeprefix("marker"), int(names[markers[0]]["version"].partition(".")[2]))
    policy = sum(1 << i for i in range(BITS) if f"bit{i}-on" in names)
    knowledge = sum(1 << i for i in range(KNOWN) if f"known{i}" not in names)
    state = State(source, policy, knowledge)
    listed = {fn: record["sha256"] for fn, record in records.items()}
    wanted = expected(state, subdir)
    if listed != wanted:
        missing, added = sorted(wanted.keys() - listed.keys()), sorted(listed.keys() - wanted.keys())
        other = sorted(fn for fn in wanted.keys() & listed.keys() if wanted[fn] != listed[fn])
        raise TornError(
            f"{subdir} is nearly {state}: missing {missing[:5]} ({len(missing)}), "
            f"added {added[:5]} ({len(added)}), other bytes {other[:5]} ({len(other)})"
        )
    return state


@functools.lru_cache(maxsize=16)
def index_bytes(source: Source, subdir: str, *, empty: bool = False) -> bytes:
    """The upstream's repodata.json."""
    sections: dict[str, dict[str, Record]] = {"packages": {}, "packages.conda": {}}
    if not empty:
        sections["packages.conda"] = {fn: record for fn, (record, _) in contents(source, subdir).items()}
    return json.dumps({"info": {"subdir": subdir}, **sections, "removed": [], "repodata_version": 1}).encode()
