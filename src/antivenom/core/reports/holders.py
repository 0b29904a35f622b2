"""Who holds a fix back: the other packages of an environment whose requirements the fixed release does not meet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from antivenom.core.conda.specs import Dependency, parse_dependency
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot
from antivenom_client.names import normalize_python
from antivenom_client.report import fixing_release

SHOWN = 3
_OF_PIP = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?(?P<versions>[^;()@]*)\)?")


def with_holders(snapshot: ScannedSnapshot) -> ScannedSnapshot:
    """The snapshot with a hint on each component whose fix others of the same environment do not accept."""
    wanted = {
        (assessed.component.type, _fold(assessed.component.type, assessed.component.name)): release
        for assessed in snapshot.components
        if assessed.findings and (release := fixing_release(assessed.findings))
    }
    if not wanted:
        return snapshot
    held: dict[tuple[str, str], dict[str, None]] = {}
    for assessed in snapshot.components:
        of = assessed.component
        for text in of.depends:
            needed = _parse(of.type, text)
            key = (of.type, _fold(of.type, needed.name)) if needed else ("", "")
            if needed and key in wanted and not needed.admits_version(wanted[key]):
                held.setdefault(key, {})[f"{of.name} ({needed.name} {needed.version_text})"] = None
    return snapshot._replace(components=tuple(_add_hints(snapshot.components, held)))


def _add_hints(
    components: tuple[AssessedComponent, ...], held: dict[tuple[str, str], dict[str, None]]
) -> Iterator[AssessedComponent]:
    for assessed in components:
        names = list(held.get((assessed.component.type, _fold(assessed.component.type, assessed.component.name)), ()))
        if names and assessed.findings:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            hint = f"held back by {', '.join(names[:SHOWN])}{more}"
            assessed = assessed._replace(hints=(*assessed.hints, hint))
        yield assessed


@lru_cache(maxsize=1 << 14)
def _parse(kind: str, text: str) -> Dependency | None:
    """What a dependency asks for; pip's form is read as conda's, which has the same operators."""
    if kind == "pypi":
        found = _OF_PIP.match(text)
        text = f"{found['name']} {found['versions'].replace(' ', '')}".strip() if found else ""
    return parse_dependency(text) if text else None


def _fold(kind: str, name: str) -> str:
    return normalize_python(name) if kind == "pypi" else name.lower()
