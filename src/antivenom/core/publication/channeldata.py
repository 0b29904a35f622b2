"""`channeldata.json`: one entry for each package name of which something is served.

What records know is theirs: version, subdirs, license, time, run exports. The upstream's `channeldata.json` adds what
only artifacts hold (summary, home, post_link, …). Its entry describes the newest version that the upstream has; where
that one is withheld, what names it is left out.

Source: CEP 38; rattler's `channel_data` (types: one field of another type makes it refuse the whole document).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from antivenom.core.conda.specs import compare_versions, version_order
from antivenom.core.publication.run_exports import NameExports, readable_exports
from antivenom.core.publication.served_records import without_twins
from antivenom.core.publication.upstream_documents import UpstreamChanneldata

TEXT_FIELDS = ("description", "summary", "source_git_url", "icon_url", "icon_hash", "recipe_origin")
ADDRESS_FIELDS = ("dev_url", "doc_url", "doc_source_url", "home", "source_url")  # one, or a list
LIST_FIELDS = ("tags", "identifiers", "keywords")
FLAG_FIELDS = (
    "binary_prefix", "text_prefix", "activate.d", "deactivate.d", "pre_link", "post_link", "pre_unlink",
)  # fmt: skip
TEXT_MAX_CHARACTERS = 20_000  # the longest real description has some thousands
LIST_MAX = 100
_NOTHING = b"{}"


class _Package:
    """What the served records of one name say, subdir by subdir."""

    def __init__(self) -> None:
        self.version = self.license = ""
        self.newest_ms = 0
        self.subdirs: list[str] = []
        self._version_ms = -1
        self._exports: dict[str, bytes] = {}  # by version
        self._versions: dict[str, bool] = {}  # whether the run exports of a build are known

    def add(self, subdir: str, found: NameExports) -> None:
        """Note the served records of one subdir."""
        served, facts = found.served, found.served.facts
        self.subdirs.append(subdir)
        known: dict[str, tuple[int, bytes]] = {}  # by version: when its newest build was made, and its run exports
        for position in without_twins(facts, served.positions):
            version, built_ms = served.version_at(position), facts.timestamps[position]
            self._note_license(version, built_ms, facts.licenses[facts.license_of[position]][0])
            self._versions.setdefault(version, False)
            self.newest_ms = max(self.newest_ms, built_ms)
            exports = found.by_fn.get(facts.fns[position])
            if exports is not None and (version not in known or built_ms > known[version][0]):
                known[version] = built_ms, exports
        self._versions |= dict.fromkeys(known, True)
        self._exports |= {version: exports for version, (_, exports) in known.items() if exports != _NOTHING}

    def _note_license(self, version: str, built_ms: int, license_text: str) -> None:
        """Remember the newest build, and the license of the newest one that names its license."""
        order = compare_versions(version, self.version) if self.version else 1
        is_newer = order > 0 or (order == 0 and built_ms > self._version_ms)
        if is_newer:
            self.version, self._version_ms = version, built_ms
        if license_text and (is_newer or not self.license):
            self.license = license_text

    def run_exports(self, upstream: Mapping[str, Any]) -> dict[str, Raw]:
        """By served version: its newest build's where one is known, else the upstream's for that version."""
        found: dict[str, Raw] = {}
        others = upstream.get("run_exports")
        for version, is_known in self._versions.items():
            exports = self._exports.get(version)
            if not is_known and isinstance(others, dict) and others.get(version):
                exports = readable_exports(msgspec.json.encode(others[version]))
            if exports is not None and version_order(version) is not None:
                found[version] = Raw(exports)
        return found


def derive_channeldata(
    subdirs: Iterable[tuple[str, Iterator[NameExports]]], upstream: UpstreamChanneldata | None
) -> bytes:
    """The document of a channel, from the served names of each subdir."""
    packages: dict[str, _Package] = {}
    names = {"noarch"}  # an empty one is served where the channel has none
    for subdir, served in subdirs:
        names.add(subdir)
        for found in served:
            packages.setdefault(found.served.facts.name, _Package()).add(subdir, found)
    upstream = upstream or UpstreamChanneldata()
    entries = {name: _entry(package, upstream.find(name)) for name, package in sorted(packages.items())}
    return msgspec.json.encode({"channeldata_version": 1, "packages": entries, "subdirs": sorted(names)})


def _entry(package: _Package, upstream: Mapping[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        **_described(upstream, package.version),
        **{flag: bool(upstream.get(flag)) for flag in FLAG_FIELDS},
        "run_exports": package.run_exports(upstream),
        "subdirs": sorted(package.subdirs),
        "timestamp": package.newest_ms // 1000,
    }
    if package.license:
        entry["license"] = package.license
    if version_order(package.version) is not None:
        entry["version"] = package.version
    return entry


def _described(upstream: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What the upstream says for people, without what is of another type or far too long, or names a version that is
    not served."""
    theirs = upstream.get("version")
    hidden = theirs if isinstance(theirs, str) and theirs != version else ""
    found: dict[str, Any] = {field: value for field in TEXT_FIELDS if _is_text(value := upstream.get(field))}
    for field in LIST_FIELDS:
        value = upstream.get(field)
        if isinstance(value, list) and (texts := [item for item in value if _is_text(item)][:LIST_MAX]):
            found[field] = texts
    for field in ADDRESS_FIELDS:
        value = upstream.get(field)
        addresses = [value] if isinstance(value, str) else value[:LIST_MAX] if isinstance(value, list) else []
        shown = [text for text in addresses if _is_text(text) and not (hidden and hidden in text)]
        if shown:
            found[field] = shown if isinstance(value, list) else shown[0]
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_MAX_CHARACTERS
